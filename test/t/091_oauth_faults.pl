# Token endpoints that misbehave, and a dispatcher that dies.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use JSON::PP;
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.log_flush = '20ms'" ]);
my $provider = Integ::Provider->start;
my $number = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub encoded { my ($text) = @_; $text =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ge; return $text }

# A token endpoint that always answers so.
sub answers { my ($body, $code) = @_; return $provider->url('/fault/status?code=' . ($code // 200) . '&body=' . encoded($body)) }

sub manifest
{
	my ($id, $token_url, %oauth) = @_;
	return encode_json({
			integrationId => $id, name => $id, version => '1.0.0', category => 'custom', baseUrl => $provider->url, authType => 'oauth2',
			oauth2Config => { tokenUrl => $token_url, grantType => 'client_credentials', tokenEndpointAuthMethod => 'none', %oauth },
			methods => [ { id => 'echo', name => 'Echo', access => 'read', inputSchema => {}, outputSchema => {},
				request => { method => 'GET', path => '/echo' }, response => { map => { authorization => '.headers.authorization' } } } ] });
}

# A new instance whose token endpoint is that; its id.
sub connect_to
{
	my ($token_url, %oauth) = @_;
	my $id = 'svc' . ++$number;

	sql('SELECT integ_define($$' . manifest($id, $token_url, %oauth) . '$$)');
	sql("SELECT integ_credential_set('definition:$id', 'client_id', 'me')");
	sql("SELECT integ_connect('$id', '${id}_main')");
	return "${id}_main";
}

sub refresh { my ($instance, $options) = @_; return $node->sql_error("SELECT integ_oauth_refresh('$instance'" . ($options ? ", '$options'" : '') . ')') }

sub tokens { my ($instance, $column) = @_;
	return sql("SELECT $column FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance WHERE i.instance_id = '$instance'") }

# Answers that are good in odd ways.
{
	my $instance = connect_to(answers('{"access_token": "t1", "expires_in": 3600}'));
	is((refresh($instance))[0], '00000', 'a plain answer');
	is(tokens($instance, "expires_at BETWEEN now() + '59 min' AND now() + '61 min'"), 't', 'an hour');
	is(sql("SELECT status FROM integ.instances WHERE instance_id = '$instance'"), 'active', 'and the instance is active');

	for my $case ([ 'missing', '' ], [ 'negative', ', "expires_in": -5' ], [ 'text', ', "expires_in": "soon"' ], [ 'null', ', "expires_in": null' ])
	{
		$instance = connect_to(answers(qq({"access_token": "t"$case->[1]})));
		is((refresh($instance))[0], '00000', "expiry $case->[0]");
		is(tokens($instance, 'expires_at IS NULL AND refresh_at IS NULL'), 't', 'counts as not said');
	}
	$instance = connect_to(answers('{"access_token": "t", "expires_in": "7200"}'));
	is((refresh($instance))[0], '00000', 'a number as text');
	is(tokens($instance, "expires_at > now() + '1 h'"), 't', 'is a number');
	$instance = connect_to(answers('{"access_token": "t", "expires_in": 7200000}'), expiresUnit => 'milliseconds');
	refresh($instance);
	is(tokens($instance, "expires_at < now() + '3 h'"), 't', 'milliseconds');
	$instance = connect_to(answers('access_token=form%2Btoken&expires_in=60&scope=a%2Cb'));
	is((refresh($instance))[0], '00000', 'a form');
	is(tokens($instance, 'array_to_string(scopes, $$ $$)'), 'a b', 'with scopes between commas');
	$instance = connect_to(answers('{"ok": true, "data": {"token": "nested"}, "authed": {"team": "T1"}}'),
		tokenFields => { access_token => '.data.token', team => '.authed.team' });
	is((refresh($instance))[0], '00000', 'a nested token');
	is(sql("SELECT token_fields ->> 'team' FROM integ.instances WHERE instance_id = '$instance'"), 'T1', 'and what else was told');
}

# Answers that are not.
for my $case (
	[ 'HTML', answers('<html>busy</html>'), 'IG502' ],
	[ 'no token', answers('{"hello": 1}'), 'IG502' ],
	[ 'a token with a line break', answers('{"access_token": "a\\nb"}'), 'IG502' ],
	[ 'invalid_client', answers('{"error": "invalid_client", "error_description": "who?"}', 401), 'IG401' ],
	[ "a 500", answers('{}', 500), 'IG504' ],
	[ '10 MB', $provider->url('/fault/huge?bytes=10000000'), 'IG502' ],
	[ 'a reset', $provider->url('/fault/reset'), 'IG504' ],
	[ 'garbage', $provider->url('/fault/garbage'), 'IG502' ],
	[ 'a redirect', $provider->url('/fault/redirect?to=http://127.0.0.1:1/'), 'IG502' ])
{
	my ($name, $url, $expected) = @$case;
	my $instance = connect_to($url);
	my ($state, $report) = refresh($instance);

	is($state, $expected, $name);
	like($report, qr/DETAIL: /, "$name: why");
	is(sql("SELECT count(*) FROM integ.credentials c JOIN integ.instances i ON i.id = c.instance WHERE i.instance_id = '$instance'"), '0', "$name: nothing is stored");
}

# Slow: who waits has a limit, and the dispatcher goes on.
{
	my $instance = connect_to($provider->url('/fault/status?code=200&body=' . encoded('{"access_token": "late", "expires_in": 3600}') . '&_fault=delay&ms=1500'));
	my ($state) = refresh($instance, '{"timeout": "200 ms"}');
	ok($state eq 'IG504' || $state eq '00000', 'waiting has a limit');
	$node->wait_for_sql("SELECT count(*) = 1 FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance WHERE i.instance_id = '$instance' AND t.version = 1",
		'the token comes all the same');
}

# Not over the network in the clear, and not to somebody else.
{
	sql('SELECT integ_define($$' . manifest('clear', 'http://login.example.com/token') . '$$)');
	sql(q(SELECT integ_connect('clear', 'clear_main')));
	my ($state, $report) = refresh('clear_main');
	is($state, 'IG400', 'a token endpoint without TLS');
	like($report, qr/not encrypted/, 'is refused');

	my $instance = connect_to(answers('{"access_token": "t", "refresh_token": "r", "expires_in": 3600}'));
	my ($definition) = $instance =~ /(.*)_main/;
	refresh($instance);
	my $other = Integ::Provider->start;
	my $moved = manifest($definition, $other->url('/fault/status?code=200&body=' . encoded('{"access_token": "stolen"}')));
	$moved =~ s/"1\.0\.0"/"1.1.0"/;
	sql("SELECT integ_define(\$\$$moved\$\$)");
	($state, $report) = refresh($instance);
	is($state, 'IG401', 'a token endpoint that moved');
	is($other->count('/fault/status'), 0, 'gets no refresh token');
	is(sql("SELECT status FROM integ.instances WHERE instance_id = '$instance'"), 'reauth_required', 'a person is asked');
}

# A dispatcher that dies while the token endpoint thinks: the next one asks again.
{
	my $instance = connect_to($provider->url('/fault/status?code=200&body=' . encoded('{"access_token": "second", "expires_in": 3600}') . '&_fault=delay&ms=700'));
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$session->query_until(qr/begun/, "\\echo begun\nSELECT integ_oauth_refresh('$instance');\n");
	my $dispatcher = q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher');
	$node->wait_for_sql("SELECT count(*) = 1 FROM ($dispatcher) d", 'a dispatcher');
	my $pid = sql($dispatcher);
	kill 'TERM', $pid;
	$session->quit;
	$node->wait_for_sql("SELECT count(*) = 1 FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance WHERE i.instance_id = '$instance' AND t.version >= 1",
		'the token is obtained');
}

done_testing();
