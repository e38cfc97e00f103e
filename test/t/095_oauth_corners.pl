# Corners of OAuth: answers in odd shapes, what is missing or switched off, and who has to wait.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp wait_until);
use JSON::PP;
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.log_flush = '20ms'" ]);
my $provider = Integ::Provider->start;
my $host = $provider->url;
my $number = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub fails { my ($sql, %options) = @_; return $node->sql_error($sql, %options) }
sub refresh { my ($instance, $options) = @_; return fails("SELECT integ_oauth_refresh('$instance', '"
	. ($options // '{}') . "')") }
sub encoded { my ($text) = @_; $text =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ge; return $text }

# An endpoint that always answers so.
sub answers { my ($body, $code) = @_; return "$host/fault/status?code=" . ($code // 200) . '&body=' . encoded($body) }

sub of
{
	my ($instance, $what) = @_;
	return sql("SELECT $what FROM integ.instances i LEFT JOIN integ.oauth_tokens t ON i.id = t.instance WHERE i.instance_id = '$instance'");
}

my %person = (
	grantType => 'authorization_code', authorizationUrl => 'https://login.example.com/authorize',
	redirectUri => 'https://db.example.com/callback');

sub define
{
	my ($id, $oauth, %more) = @_;
	my $manifest = encode_json({
			integrationId => $id, name => $id, version => '1.0.0', category => 'custom', baseUrl => $host,
				authType => 'oauth2',
			oauth2Config => {
				tokenUrl => "$host/oauth/$id/token", grantType => 'client_credentials',
					tokenEndpointAuthMethod => 'none', %$oauth },
			methods => [ { id => 'me', name => 'Me', access => 'read', inputSchema => {}, outputSchema => {},
					request => { method => 'GET', path => '/echo' } } ], %more });

	sql("SELECT integ_define(\$\$$manifest\$\$)");
	return;
}

# A definition of its own with an instance; the instance. Its name without the last part is the definition's.
sub make
{
	my ($oauth, %more) = @_;
	my $id = 'c' . ++$number;

	define($id, $oauth, %more);
	sql("SELECT integ_credential_set('definition:$id', 'client_id', 'app')");
	sql("SELECT integ_connect('$id', '${id}_main')");
	return "${id}_main";
}

sub change { my ($instance, $version, $oauth, %more) = @_; define($instance =~ s/_main//r, $oauth,
	version => $version, %more); return }

sub authorize
{
	my ($instance, $params) = @_;
	my $state = sql("SELECT state FROM integ_oauth_start('$instance')");
	return fails("SELECT * FROM integ_oauth_callback('$state', 'good', params => '" . ($params // '{}') . "')");
}

# Answers in odd shapes.
{
	my $soon = time() + 7200;
	for my $case (
		[ 'epoch_s', $soon ], [ 'epoch_ms', $soon * 1000 ], [ 'minutes', 120 ], [ 'milliseconds', 7200_000 ])
	{
		my ($unit, $value) = @$case;
		my $instance = make({ tokenUrl => answers(qq({"access_token": "t", "expires_in": $value})),
			expiresUnit => $unit });
		refresh($instance);
		is(of($instance, q(t.expires_at BETWEEN now() + '110 min' AND now() + '130 min')), 't', "an expiry in $unit");
	}
	my $instance = make({ tokenUrl => answers('{"access_token": "t", "expires_in": 1e15}') });
	is((refresh($instance))[0], '00000', 'an expiry in some other age');
	is(of($instance, 't.expires_at IS NULL'), 't', 'counts as not said');
	$instance = make({ tokenUrl => answers('{"access_token": "t", "scope": ["a", "b"]}') });
	refresh($instance);
	is(of($instance, q(array_to_string(t.scopes, ' '))), 'a b', 'scopes as a list');
	$instance = make({ tokenUrl => answers('access_token=a+b&odd&broken=%FF&expires_in=60') });
	is((refresh($instance))[0], '00000', 'a form with odd parts');

	for my $case (
		[ 'JSON that ends early', '{"access_token": "t' ], [ 'a list', '[1]' ], [ 'an empty token',
			'{"access_token": ""}' ],
		[ 'a token that is an object', '{"access_token": {"a": 1}}' ], [ 'bytes that are no text',
			"access_token=\xff" ])
	{
		my ($state, $report) = refresh(make({ tokenUrl => answers($case->[1]) }));
		is($state, 'IG502', $case->[0]);
	}
	my $long = "no\\nlines " . 'x' x 400;
	my ($state, $report) = refresh(make({ tokenUrl => answers(qq({"error": "invalid_request",
		"error_description": "$long"}), 400) }));
	is($state, 'IG401', 'a service that goes on and on');
	unlike($report, qr/x{350}/, 'is cut short');
	like($report, qr/no lines/, 'on one line');

	for my $token ('nothing', 'e30.!!!.x', 'e30.bm8ganNvbg.x', 'e30..x')
	{
		my $instance = make({ %person, scopes => ['openid'], tokenUrl => answers(qq({"access_token": "t",
			"id_token": "$token"})) });
		is((authorize($instance))[0], '00000',
			"an identity token that cannot be read ($token) proves nothing and breaks nothing");
	}
}

# What the authorization page is asked: scopes with a separator of the service's own, further parameters.
{
	my $instance = make({ %person, scopes => [qw(issues:read issues:write)], scopeSeparator => ',',
		additionalParameters => { access_type => 'offline', owner => 'user' } });
	my $url = sql("SELECT authorization_url FROM integ_oauth_start('$instance')");
	like($url, qr/[?&]scope=issues%3Aread(?:,|%2C)issues%3Awrite(?:&|$)/, 'scopes joined by a comma');
	like($url, qr/[?&]access_type=offline(?:&|$)/, 'further parameters of the authorization page');
	like($url, qr/[?&]owner=user(?:&|$)/, '... all of them');
}

# What the redirect tells; the account behind it.
{
	my $instance = make(
		{ %person, redirectParameters => [qw(realm other)], tokenParameters => { audience => 'crm', number => '7' },
			accountInfo => { method => 'me', id => '.method', name => '.headers' } },
		baseUrl => "$host/{token.realm}");
	my ($state, $report) = authorize($instance, '{"other": 1}');
	is($state, 'IG502', 'a base URL that the answer does not tell');
	is(of($instance, 'i.status'), 'initializing', 'leaves the instance as it was');
	my $begun = sql("SELECT state FROM integ_oauth_start('$instance')");
	my ($failed, $out, $warning) =
	  $node->psql('postgres', qq(SELECT * FROM integ_oauth_callback('$begun', 'good', params => '{"realm": "r1"}')));
	is($failed, 0, 'a base URL of the redirect');
	like($warning, qr/WARNING.*the account behind/, 'an account that cannot be asked for is a warning');
	is(of($instance, q(i.status || ' ' || (i.token_fields ->> 'realm'))), 'active r1',
		'and the authorization stands');
	like(($provider->log('/oauth/c' . $number . '/token'))[-1]{body}, qr/(?=.*audience=crm)(?=.*number=7)/,
		'further parameters of the token request');
	$instance = make({ %person, accountInfo => { method => 'me', id => '.method', name => '.headers' } });
	authorize($instance);
	is(of($instance, q(i.external_account_id || coalesce(i.external_account_name, ' and no name'))),
		'GET and no name', 'an account without a name');
}

# What is missing.
{
	my $instance = make({%person});
	my ($state, $report) = fails("SELECT integ_execute('$instance', 'me')");
	is($state, 'IG401', 'never authorized');
	like($report, qr/HINT: .*integ_oauth_start\('$instance'\)/, 'says how');

	change($instance, '1.1.0', { %person, tokenUrl => "$host/oauth/short/token?refresh=0" });
	authorize($instance);
	($state, $report) = refresh($instance);
	is($state, 'IG401', 'no refresh token');
	like($report, qr/gave no refresh token/, 'says so');
	($state, $report) = refresh($instance);
	like($report, qr/must be authorized again/, 'and again');

	$instance = make({ refreshStrategy => 'manual' });
	refresh($instance);
	sql("UPDATE integ.credentials SET expires_at = now() - interval '1 s' WHERE instance = (SELECT id FROM integ.instances WHERE instance_id = '$instance') AND name = 'access_token'");
	($state, $report) = fails("SELECT integ_execute('$instance', 'me')");
	is($state, 'IG401', 'a token that is refreshed by hand only');
	like($report, qr/refreshStrategy is manual/, 'says so');

	define('homeless', { tokenUrl => '{config.login}/token' },
		configSchema => { type => 'object', properties => { login => { type => 'string' } } });
	sql(q(SELECT integ_connect('homeless', 'homeless_main')));
	is((refresh('homeless_main'))[0], 'IG400', 'a token endpoint whose placeholder has no value');
	my %nowhere = %person;
	delete $nowhere{redirectUri};
	$instance = make(\%nowhere);
	is((fails("SELECT integ_oauth_start('$instance')"))[0], 'IG400', 'nowhere to send the person back to');
	like((fails("SET integ.public_url = 'https://db.example.com/integ'; SELECT authorization_url FROM integ_oauth_start('$instance')"))[1],
		qr{redirect_uri=https%3A%2F%2Fdb.example.com%2Finteg%2Foauth%2Fcallback}, 'but to integ.public_url');
	sql("DELETE FROM integ.credentials WHERE owner_id = 'c$number'");
	is((fails(qq(SELECT integ_oauth_start('$instance', '{"redirect_uri": "https://x.example.com/"}'))))[0], 'IG401',
		'no client_id');
	sql("SELECT integ_credential_set('definition:c$number', 'client_id', E'two\\nlines')");
	is((refresh(make({ tokenEndpointAuthMethod => 'client_secret_basic' })))[0], 'IG401', 'no client_secret');

	$instance = make({ grantType => 'jwt_bearer' }, configSchema => { type => 'object',
		properties => { key_id => { type => 'string' } } });
	sql("UPDATE integ.instances SET config = '{\"key_id\": \"k1\"}' WHERE instance_id = '$instance'; SELECT integ_credential_set('$instance', 'key', 'no key')");
	($state, $report) = refresh($instance);
	is($state, 'IG400', 'a key that is none');
	like($report, qr/cannot sign/, 'cannot sign');
}

# Refused for good, although the token is new: a person is needed, or other credentials.
{
	my $instance = make({}, methods => [ { id => 'me', name => 'Me', access => 'read', inputSchema => {},
		outputSchema => {},
				request => { method => 'GET', path => '/fault/status', query => { code => '401' } } } ]);
	my ($state) = fails("SELECT integ_execute('$instance', 'me')");
	is($state, 'IG401', 'a service that refuses every token');
	is($provider->count("/oauth/c$number/token"), 2, 'is asked for a token, and once for another');
	is(of($instance, 'i.status'), 'reauth_required', 'and the instance says what is needed');
	is(sql("SELECT string_agg(e.kind, ' ' ORDER BY e.created_at, e.id) FROM integ.events e JOIN integ.instances i ON i.id = e.instance WHERE i.instance_id = '$instance' AND e.kind ~ 'reauth'"),
		'instance.reauth_required', 'once');
}

# A device: questions that come too often, answers that are none.
{
	my $device = '{"device_code": "d", "user_code": "U", "verification_uri": "https://login.example.com/device", "interval": 1, "expires_in": 600}';
	my $instance = make({ %person, deviceAuthorizationUrl => answers($device),
		tokenUrl => answers('{"error": "slow_down"}', 400) });
	my ($flow, $uri) = split /\|/, sql(qq(SELECT flow_id, verification_uri FROM integ_oauth_start('$instance',
		'{"flow": "device_code"}')));
	is($uri, 'https://login.example.com/device', 'where the person enters the code');
	$node->wait_for_sql("SELECT poll_interval = 6 FROM integ.oauth_flows WHERE id = '$flow'",
		'it asks less often when told so');
	change($instance, '1.1.0', { %person, deviceAuthorizationUrl => answers($device),
		tokenUrl => answers('{"error": "access_denied"}', 400) });
	sql("UPDATE integ.oauth_flows SET next_poll_at = now() WHERE id = '$flow'");
	$node->wait_for_sql("SELECT status = 'denied' FROM integ.oauth_flows WHERE id = '$flow'", 'the person says no');
	for my $case ([ answers('{"device_code": "d"}'), 'IG502' ], [ answers('{}', 500), 'IG422' ],
		[ "$host/fault/reset", 'IG504' ])
	{
		my $instance = make({ %person, deviceAuthorizationUrl => $case->[0] });
		is((fails(qq(SELECT integ_oauth_start('$instance', '{"flow": "device_code"}'))))[0], $case->[1],
			'no device code');
	}
}

# Revocation that the service refuses, or does not answer.
for my $url (answers('{}', 500), "$host/fault/reset")
{
	my $instance = make({ revokeUrl => $url });
	refresh($instance);
	my ($state, $report) = fails("SELECT integ_oauth_revoke('$instance')");
	like($report, qr/^f/m, 'not revoked at the service');
	is(sql("SELECT count(*) FROM integ.credentials WHERE name = 'access_token' AND instance = (SELECT id FROM integ.instances WHERE instance_id = '$instance')"), 0, 'but gone here');
}

# Who waits: for a failure that has just been, for a service that thinks, for a row that somebody has locked.
{
	my $instance = make({ refreshStrategy => 'on_demand' });
	refresh($instance);
	my $expire = "UPDATE integ.credentials SET expires_at = now() - interval '1 s' WHERE name = 'access_token' AND instance = (SELECT id FROM integ.instances WHERE instance_id = '$instance')";
	change($instance, '1.1.0', { refreshStrategy => 'on_demand', tokenUrl => answers('{}', 503)
		. '&retry_after=600' });
	sql($expire);
	is((fails("SELECT integ_execute('$instance', 'me')"))[0], 'IG504', 'a service that is away');
	my $asked = $provider->count('/fault/status');
	my ($state, $report) = fails("SELECT integ_execute('$instance', 'me')");
	like($report, qr/The last attempt failed so/, 'is left alone for a while');
	is($provider->count('/fault/status'), $asked, 'nothing leaves');

	change($instance, '1.2.0', { tokenUrl => "$host/oauth/slow/token?before=gate" });
	($state, $report) = refresh($instance, '{"timeout": "50 ms"}');
	is($state, 'IG504', 'waiting has an end');
	like($report, qr/goes on with it/, 'the dispatcher goes on');
	my $session = $node->background_psql('postgres');
	wait_until('the request to arrive', sub { $provider->count('/oauth/slow/token') == 1 });
	$session->query("BEGIN; SELECT FROM integ.oauth_tokens WHERE instance = (SELECT id FROM integ.instances WHERE instance_id = '$instance') FOR UPDATE");
	$provider->request('GET', '/open/gate');
	wait_until('an answer that cannot be stored',
		sub { slurp($node->logfile) =~ /could not store what the token endpoint/ });
	$session->query('COMMIT');
	$session->quit;
	$node->wait_for_sql("SELECT t.version = 2 FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance WHERE i.instance_id = '$instance'",
		'it is kept as soon as it can be');

	# A dispatcher that is told to stop waits for answers, but not for ever.
	$instance = make({ %person, tokenUrl => "$host/oauth/never/token?before=never" });
	my $code_state = sql("SELECT state FROM integ_oauth_start('$instance')");
	my $waiting = $node->background_psql('postgres', on_error_stop => 0);
	$waiting->query_until(qr/begun/, "\\echo begun\nSELECT integ_oauth_callback('$code_state', 'good');\n");
	wait_until('the code to arrive', sub { $provider->count('/oauth/never/token') == 1 });
	my $pid = sql(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'));
	kill 'TERM', $pid;
	$node->wait_for_sql("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'integ dispatcher' AND pid <> $pid", 'another dispatcher');
	$node->wait_for_sql(qq(SELECT f.status = 'failed' FROM integ.oauth_flows f JOIN integ.instances i ON i.id = f.instance WHERE i.instance_id = '$instance'),
		'the authorization that was broken off says so');
	$waiting->quit;

	$node->append_conf('postgresql.conf', 'integ.dispatchers = 0');
	$node->reload;
	$node->wait_for_sql(q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'),
		'no dispatcher');
	($state, $report) = refresh($instance, '{"timeout": "50 ms"}');
	is($state, 'IG500', 'nobody is there to ask');
	like($report, qr/integ.dispatchers must be at least 1/, 'with what to do');
}

# Others' users.
{
	$node->append_conf('postgresql.conf', 'integ.dispatchers = 1');
	$node->reload;
	sql(q(INSERT INTO integ.clients (id, name) VALUES ('acme', 'Acme')));
	sql("CREATE ROLE $_ LOGIN IN ROLE integ_user; INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('$_', 'acme', '$_', 'user')") for qw(ada bob);
	my $instance = make({%person});
	my $state = $node->safe_psql('postgres',
		"SELECT state FROM integ_oauth_start('c$number', '{\"instance_id\": \"own\"}')", extra_params => [ '-U',
		'ada' ]);
	is((fails("SELECT integ_oauth_callback('$state', 'good')", params => [ '-U', 'bob' ]))[0], 'IG404',
		"another user's authorization is as unknown as none");
	is((fails("SELECT integ_oauth_callback('$state', 'good')", params => [ '-U', 'ada' ]))[0], '00000',
		'the own one is completed');
	is((fails("SELECT integ_oauth_start('$instance')", params => [ '-U', 'ada' ]))[0], 'IG403',
		'a global instance is not for users to authorize');
	sql(q(SELECT integ_define('{"integrationId": "plain", "name": "x", "version": "1.0.0", "category": "custom", "baseUrl": "https://x.example.com", "authType": "none", "methods": []}')));
	sql(q(SELECT integ_connect('plain', 'plain_main')));
	is((fails(q(SELECT integ_oauth_start('plain_main'))))[0], 'IG400', 'an instance that does not use OAuth');
}

done_testing();
