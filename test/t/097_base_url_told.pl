# A base URL that neither the config nor the token answer has: a second call tells it, as Atlassian's list of sites, the
# metadata of Mailchimp and DocuSign's userinfo do. A fresh instance learns it with its first authorization or call.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test;
use JSON::PP;
use Test::More;

my $node = Integ::Cluster->create('main');
my $provider = Integ::Provider->start;
my $host = $provider->url;
my ($port) = $host =~ /:(\d+)$/;
my $number = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub fails { my ($sql, %options) = @_; return $node->sql_error($sql, %options) }
sub of { return sql("SELECT $_[1] FROM integ.instances i WHERE instance_id = '$_[0]'") }

# What the token is bound to.
sub bound
{
	return sql("SELECT array_to_string(allowed_origins, ' ')
		FROM integ.credentials c JOIN integ.instances i ON i.id = c.instance
		WHERE instance_id = '$_[0]' AND c.name = 'access_token' AND c.state = 'current'");
}

# A definition whose method "where" is answered so: a status and a body.
sub define
{
	my ($id, $version, $base_url, $told, $fields, %oauth) = @_;
	my %account = %{ delete $oauth{account} // {} };
	my $manifest = encode_json({
			integrationId => $id, name => $id, version => $version, category => 'custom', baseUrl => $base_url,
			authType => 'oauth2',
			oauth2Config => {
				tokenUrl => "$host/oauth/$id/token", authorizationUrl => 'https://login.example.com/authorize',
				redirectUri => 'https://db.example.com/callback', tokenEndpointAuthMethod => 'none',
				accountInfo => { method => 'where', input => { code => $told->[0], body => $told->[1] },
					tokenFields => $fields, %account },
				%oauth },
			methods => [
				{ id => 'where', name => 'Where', inputSchema => {}, outputSchema => {},
					request => { method => 'GET', baseUrl => $host, path => '/fault/status',
						query => { code => '{code}', body => '{body}' } } },
				{ id => 'me', name => 'Me', inputSchema => {}, outputSchema => {},
					request => { method => 'GET', path => '/me' },
					response => { map => { path => '.path', host => '.headers.host' } } },
				{ id => 'save', name => 'Save', inputSchema => {}, outputSchema => {},
					request => { method => 'POST', path => '/save' } } ] });

	sql("SELECT integ_define(\$q\$$manifest\$q\$)");
	return;
}

# An instance of a definition of its own.
sub make
{
	my $id = 'told' . ++$number;

	define($id, '1.0.0', @_);
	sql("SELECT integ_credential_set('definition:$id', 'client_id', 'app')");
	sql("SELECT integ_connect('$id', '${id}_main')");
	return "${id}_main";
}

sub authorize
{
	my ($instance) = @_;
	my $state = sql("SELECT state FROM integ_oauth_start('$instance')");
	return $node->psql('postgres', "SELECT status FROM integ_oauth_callback('$state', 'good')");
}

sub me { return $_[0] && decode_json(sql("SELECT integ_execute('$_[0]', 'me')")) }

# Atlassian: the path has an id that only a list of sites tells.
{
	my $instance = make("$host/echo/ex/jira/{token.cloud_id}",
		[ 200, '[{"id": "11-22", "name": "acme", "url": "https://acme.atlassian.net"}, {"id": "33"}]' ],
		{ cloud_id => '.[0].id' }, account => { id => '.[0].id', name => '.[0].name' });

	is(of($instance, 'status'), 'initializing', 'nothing is known of a fresh instance');
	my ($failed, $out, $warning) = authorize($instance);
	is("$failed $out", '0 completed', 'it is authorized');
	is($warning, '', 'without a warning');
	is(of($instance, q(status || ' ' || token_fields::text)), 'active {"cloud_id": "11-22"}',
		'and has asked for its site');
	is(of($instance, q(external_account_id || ' ' || external_account_name)), '11-22 acme', 'and for its account');
	is(me($instance)->{path}, '/echo/ex/jira/11-22/me', 'which its requests go to');
	ok($node->poll_query_until('postgres',
		"SELECT EXISTS (SELECT FROM integ.audit_log WHERE instance_id = '$instance' AND action = 'oauth.learn')"),
		'the audit has it');
	sql("SELECT integ_oauth_refresh('$instance')");
	is(me($instance)->{path}, '/echo/ex/jira/11-22/me', 'after a refresh too');
	sql("UPDATE integ.instances SET config = '{\"x\": 1}' WHERE instance_id = '$instance'");
	is(of($instance, 'origin'), $host, 'and after a change of the config');
}

# Mailchimp: the host has a part that only a second service tells. The token goes where it leads, and nowhere else.
{
	my $instance = make("http://{token.dc}:$port/echo/3.0", [ 200, '{"dc": "localhost", "role": "owner"}' ],
		{ dc => '.dc' });

	my ($failed, $out, $warning) = authorize($instance);
	is("$failed $out$warning", '0 completed', 'a host that a second call tells');
	is(of($instance, 'origin'), "http://localhost:$port", 'is where the instance is');
	is(bound($instance), "$host http://localhost:$port", 'its token goes there, and where the other call goes');
	my $me = me($instance);
	is("$me->{host} $me->{path}", "localhost:$port /echo/3.0/me", 'and so do its requests');
	like(($provider->log('/echo/3.0/me'))[-1]{headers}{authorization}, qr/^Bearer \S/, 'with the token');
	is((fails("SELECT integ_execute('$instance', 'save')"))[0], '00000', 'a write too');
	sql("SELECT integ_oauth_refresh('$instance')");
	is(bound($instance), "$host http://localhost:$port", 'the next token goes to the same places');
	my $before = ($provider->log('/echo/3.0/me'))[-1]{headers}{authorization};
	me($instance);
	my $after = ($provider->log('/echo/3.0/me'))[-1]{headers}{authorization};
	like($after, qr/^Bearer \S/, 'and arrives');
	isnt($after, $before, 'it is another one');
}

# DocuSign: one of several accounts; no person is needed, so the first call asks.
{
	my @accounts = ({ is_default => \0, base_uri => 'https://na1.example.com', account_id => 'a-1' },
		{ is_default => \1, base_uri => "http://localhost:$port/echo", account_id => 'a-2' });
	my %fields = map { $_ => "\$.accounts[*] ? (\@.is_default == true).$_" } qw(base_uri account_id);
	my @shape = ('{token.base_uri}/v2.1/accounts/{token.account_id}', [ 200, encode_json({ accounts => \@accounts }) ],
		\%fields, grantType => 'client_credentials');
	my $instance = make(@shape);

	is(me($instance)->{path}, '/echo/v2.1/accounts/a-2/me', 'the first call asks');
	is(of($instance, 'status'), 'active', 'and the instance is ready');
	$instance = make(@shape);
	is((fails("BEGIN READ ONLY; SELECT integ_execute('$instance', 'me'); COMMIT"))[0], '00000',
		'in a READ ONLY transaction too');
	$instance = make(@shape);
	sql("BEGIN; SELECT integ_execute('$instance', 'me'); ROLLBACK");
	is(of($instance, q(token_fields ->> 'account_id')), 'a-2', 'what was told outlives a ROLLBACK');
	$instance = make(@shape);
	sql("SELECT integ_oauth_refresh('$instance')");
	is(of($instance, q(status || ' ' || origin)), "active http://localhost:$port", 'integ_oauth_refresh asks');
}

# What goes wrong is told, and nothing is sent anywhere.
{
	my $instance = make("$host/echo/{token.site}", [ 500, 'oops' ], { site => '.site' });
	my ($failed, $out, $warning) = authorize($instance);
	is("$failed $out", '0 completed', 'a service that does not tell does not undo the authorization');
	like($warning, qr/WARNING.*the account behind.*HINT.*integ_oauth_refresh\('$instance'\)/s,
		'and a warning says what to do');
	is(of($instance, 'status'), 'initializing', 'the instance is not ready');
	my ($state, $report) = fails("SELECT integ_execute('$instance', 'me')");
	is($state, 'IG502', 'a call asks again');
	define("told$number", '1.1.0', "$host/echo/{token.site}", [ 200, '{"sites": []}' ], { site => '.sites[0]' });
	($state, $report) = fails("SELECT integ_execute('$instance', 'me')");
	is($state, 'IG502', 'an answer without it');
	like($report, qr/nothing tells the base URL.*accountInfo\.tokenFields/s, 'says what is missing');
	my $call = sql("SELECT integ_enqueue('$instance', 'me')");
	$node->poll_query_until('postgres', "SELECT state = 'failed' FROM integ.calls WHERE id = '$call'");
	like(sql("SELECT last_sqlstate || ' ' || last_error FROM integ.calls WHERE id = '$call'"), qr/^IG401 .*base URL/,
		'a durable call does not ask, and fails');
	define("told$number", '1.2.0', "$host/echo/{token.site}", [ 200, '{"site": "s1"}' ], { site => '.site' });
	is(me($instance)->{path}, '/echo/s1/me', 'once it is told, all goes well');

	for my $case ([ 'evil.example/', qr/leads to another host/ ], [ 'evil.example#', qr/no usable base URL/ ],
		[ '', qr/./ ], [ 'x' x 3000, qr/too long/ ])
	{
		my ($dc, $says) = @$case;
		$instance = make("http://{token.dc}.localhost:$port/echo", [ 200, encode_json({ dc => $dc }) ], { dc => '.dc' });
		($failed, $out, $warning) = authorize($instance);
		like($warning, $says, 'an odd host is refused: ' . substr($dc, 0, 20));
		is(of($instance, q(status || ' ' || coalesce(origin, 'nowhere'))), 'initializing nowhere', 'and not kept');
	}
}

# A manifest that contradicts itself.
{
	my $said = sub {
		my ($account, $request) = @_;
		return (fails('SELECT integ_define($q$' . encode_json({
					integrationId => 'bad', name => 'bad', version => '1.0.0', baseUrl => "$host/{token.x}",
					authType => 'oauth2',
					oauth2Config => {
						tokenUrl => "$host/token", grantType => 'client_credentials', accountInfo => $account },
					methods => [
						{ id => 'where', name => 'Where', inputSchema => { type => 'object', properties => {} },
							outputSchema => {}, request => { method => 'GET', path => '/', %$request } } ] }) . '$q$)'))[1];
	};
	my %x = (tokenFields => { x => '.x' });

	like($said->({ method => 'here', %x }, {}), qr{/oauth2Config/accountInfo/method: there is no method "here"},
		'no such method');
	like($said->({ method => 'where', %x }, {}), qr/needs a baseUrl of its own/, 'asked where it is to tell');
	like($said->({ method => 'where', %x }, { baseUrl => "$host/{token.x}" }), qr/needs \{token\.x\}, which it is to tell/,
		'asked with what it is to tell');
	like($said->({ method => 'where', %x, input => { a => 1 } }, { baseUrl => $host }), qr/has no input "a"/,
		'an input it has not');
	like($said->({ method => 'where' }, { method => 'POST' }), qr/one that reads is needed/, 'a method that writes');
	like($said->({ method => 'where', tokenFields => { x => '.[' } }, { baseUrl => $host }), qr/bracket/,
		'a path that is none');
}

done_testing();
