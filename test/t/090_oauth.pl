# OAuth with a real authorization server: code flow with PKCE, refresh, rotation, revocation.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Node;
use Integ::Test qw(spew);
use MIME::Base64 qw(encode_base64url);
use Test::More;

BEGIN
{
	plan skip_all => Integ::Node->missing if Integ::Node->missing;
	require Integ::Authorization;
}

my $node = Integ::Cluster->create('main', conf => [ "integ.log_flush = '20ms'", "integ.allowed_return_urls = 'https://app.example.com/'" ]);
my $redirect = 'http://127.0.0.1:9/callback';
my $server = Integ::Authorization->start(redirectUri => $redirect);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub row { return split /\|/, sql($_[0]), -1 }

sub define { my ($id, %oauth) = @_; $server->define($node, $id, %oauth); return }

sub client { my ($id, $name, $secret) = @_;
	sql("SELECT integ_credential_set('definition:$id', 'client_id', '$name')");
	sql("SELECT integ_credential_set('definition:$id', 'client_secret', '$secret')") if defined $secret; return }

# A person authorizes the instance; returns the row of the callback.
sub authorize
{
	my ($target, $options) = @_;
	my ($flow, $instance, $url, $state) = row("SELECT * FROM integ_oauth_start('$target', '" . ($options // '{}') . "')");
	my %params = $server->agree($url);

	is($params{state}, $state, "$target: the state comes back");
	return row(sprintf q(SELECT instance_id, status, array_to_string(scopes, ' '), missing_scopes, return_url
		FROM integ_oauth_callback('%s', '%s', params => '{"iss": "%s"}')), $params{state}, $params{code}, $params{iss});
}

define('oidc', tokenEndpointAuthMethod => 'client_secret_basic');
client('oidc', 'basic', 'sec:ret/+ %');

# The first authorization.
{
	my ($instance, $status, $scopes, $missing, $return) =
	  authorize('oidc', '{"instance_id": "crm", "return_url": "https://app.example.com/done"}');
	is($instance, 'crm', 'a definition is connected and authorized at once');
	is($status, 'completed', 'the authorization is complete');
	like($scopes, qr/\bread\b/, 'granted scopes are known');
	is($return, 'https://app.example.com/done', 'and where the person goes');
	is(sql(q(SELECT status FROM integ.instances WHERE instance_id = 'crm')), 'active', 'the instance is active');
	is(sql(q(SELECT integ_execute('crm', 'me') ->> 'sub')), 'ada', 'its token is accepted');
	is(sql(q(SELECT count(*) FROM integ.credentials WHERE owner_kind = 'oauth_flow')), '0', 'the secrets of the flow are gone');
	is(sql(q(SELECT count(*) FROM integ.oauth_tokens WHERE refresh_at < expires_at AND refresh_at > obtained_at)), '1',
		'it will be refreshed before it expires');
}

# A rollback loses neither the token nor the refresh.
{
	my ($flow, $instance, $url, $state) = row("SELECT * FROM integ_oauth_start('crm')");
	my %params = $server->agree($url);

	$node->safe_psql('postgres', "BEGIN; SELECT * FROM integ_oauth_callback('$state', '$params{code}'); ROLLBACK");
	is(sql("SELECT status FROM integ.oauth_flows WHERE id = '$flow'"), 'completed', 'a rollback after the callback loses nothing');
	my $version = sql('SELECT version FROM integ.oauth_tokens');
	$node->safe_psql('postgres', "BEGIN; SELECT integ_oauth_refresh('crm'); ROLLBACK");
	is(sql('SELECT version FROM integ.oauth_tokens'), $version + 1, 'nor after a refresh');
	is(sql(q(SELECT integ_execute('crm', 'me') ->> 'sub')), 'ada', 'the refreshed token is accepted');

	my ($state2, $report) = $node->sql_error("SELECT * FROM integ_oauth_callback('$state', '$params{code}')");
	is($state2, 'IG409', 'a state works once');
	is(($node->sql_error("SELECT * FROM integ_oauth_callback('guessed', 'x')"))[0], 'IG404', 'an unknown state');
}

# Bad ends.
{
	my ($flow, $instance, $url, $state) = row("SELECT * FROM integ_oauth_start('crm')");

	is(($node->sql_error("SELECT * FROM integ_oauth_callback('$state', 'x', params => '{\"iss\": \"https://evil.example\"}')"))[0],
		'IG403', 'the answer of another issuer is refused');
	is(($node->sql_error("SELECT * FROM integ_oauth_callback('$state', 'wrong-code')"))[0], 'IG401', 'a wrong code');
	is(sql("SELECT status FROM integ.oauth_flows WHERE id = '$flow'"), 'failed', 'which ends the authorization');
	is(sql(q(SELECT integ_execute('crm', 'me') ->> 'sub')), 'ada', 'and leaves the token that was there');

	($flow, $instance, $url, $state) = row(q(SELECT * FROM integ_oauth_start('crm', '{"login_hint": "nobody"}')));
	my %params = $server->agree($url);
	is($params{error}, 'access_denied', 'a person says no');
	is((row("SELECT status FROM integ_oauth_callback('$state', error => '$params{error}')"))[0], 'denied', 'which is kept');

	is(($node->sql_error(q(SELECT * FROM integ_oauth_start('crm', '{"return_url": "https://app.example.com.evil.example/"}'))))[0],
		'IG403', 'no open redirect');
	is(($node->sql_error(qq(BEGIN; SELECT set_config('x.s', state, true) FROM integ_oauth_start('crm');
			SELECT * FROM integ_oauth_callback(current_setting('x.s'), 'x'))))[0], 'IG409', 'a flow that is not committed');
}

# Many sessions with one token that is refused: one refresh, and all succeed.
{
	my $before = $server->counts->{'refresh_token granted'} // 0;

	sql(q(UPDATE integ.credentials SET expires_at = now() - interval '1 minute' WHERE name = 'access_token'));
	$node->pgbench('-n -c 16 -t 1 -j 2', 0, [qr/number of failed transactions: 0/], [qr/^$/], 'sixteen sessions',
		{ '090_expired' => q(SELECT integ_execute('crm', 'me')) });
	is($server->counts->{'refresh_token granted'}, $before + 1, 'sixteen sessions with an expired token make one request');
}

# A token that the service refuses early: one forced refresh, one repeat.
{
	my $granted = sub { $server->counts->{'refresh_token granted'} };
	my $refuse = sub {
		sql(q(SELECT integ_credential_set('crm', 'access_token', 'no-such-token'))) };
	my $before = $granted->();

	$refuse->();
	is(sql(q(SELECT integ_execute('crm', 'me') ->> 'sub')), 'ada', 'a refused token is refreshed and the call repeated');
	is($granted->(), $before + 1, 'once');
	is(sql(q(SELECT count(*) FROM integ.requests WHERE method = 'me' AND status = 401)), '1', 'both exchanges are logged');

	$refuse->();
	my $call = sql(q(SELECT integ_enqueue('crm', 'me')));
	is(sql("SELECT integ_await('$call', '30 s') #>> '{result,sub}'"), 'ada', 'a durable call comes again with a new token');
	is($granted->(), $before + 2, 'after one refresh');

	sql(q(UPDATE integ.credentials SET expires_at = now() - interval '1 minute' WHERE name = 'access_token'));
	my @calls = map { sql(q(SELECT integ_enqueue('crm', 'me'))) } 1 .. 20;
	is(sql("SELECT integ_await('$_', '30 s') #>> '{result,sub}'"), 'ada', 'durable calls wait for an expired token') for $calls[-1];
	$node->wait_for_sql(q(SELECT count(*) = 0 FROM integ.calls_open), 'all of them are done');
	is($granted->(), $before + 3, 'and one refresh does for all');
}

# The refresh token is gone at the service: a person is asked, and only for this instance.
{
	my $token = sql(q(SELECT integ_credential_set('crm', 'refresh_token', 'no-such-token')));
	my ($state, $report) = $node->sql_error(q(SELECT integ_oauth_refresh('crm')));

	is($state, 'IG401', 'a refresh token that is not good any more');
	like($report, qr/integ_oauth_start\('crm'\)/, 'says how to mend it');
	unlike($report, qr/no-such-token/, 'without showing it');
	is(sql(q(SELECT status || ' ' || is_active FROM integ.instances WHERE instance_id = 'crm')), 'reauth_required false', 'the instance says so');
	is(sql(q(SELECT count(*) FROM integ.events WHERE kind = 'instance.reauth_required')), '1', 'an event');
	is(sql(q(SELECT count(*) FROM integ.notifications WHERE kind = 'instance.reauth_required')), '1', 'and a notification');
	is(($node->sql_error(q(SELECT integ_execute('crm', 'me'))))[0], 'IG401', 'calls are refused');
	is((authorize('crm'))[1], 'completed', 'authorized again');
	is(sql(q(SELECT integ_execute('crm', 'me') ->> 'sub')), 'ada', 'it works again');
}

# Revocation at the service: the next refresh is refused, and a person is asked.
{
	my ($host) = $server->url =~ m{//(.*)};

	ok(sql(q(SELECT integ_oauth_revoke('crm'))) eq 't', 'revoked at the service');
	is(sql(q(SELECT status FROM integ.instances WHERE instance_id = 'crm')), 'disconnected', 'and disconnected here');
	is(sql(q(SELECT count(*) FROM integ.oauth_tokens)), '0', 'nothing is left of the token');
	is(($node->sql_error(q(SELECT integ_execute('crm', 'me'))))[0], 'IG403', 'calls are refused');
}

# Other ways to authenticate the client, and no person at all.
{
	define('oidc_post', tokenEndpointAuthMethod => 'client_secret_post');
	client('oidc_post', 'post', 'post-secret');
	is((authorize('oidc_post', '{"instance_id": "by_post"}'))[1], 'completed', 'client_secret_post');
	define('oidc_public', tokenEndpointAuthMethod => 'none');
	client('oidc_public', 'public');
	is((authorize('oidc_public', '{"instance_id": "by_none"}'))[1], 'completed', 'a public client');

	define('oidc_service', grantType => 'client_credentials', scopes => ['read']);
	client('oidc_service', 'service', 'service-secret');
	sql(q(SELECT integ_connect('oidc_service', 'robot')));
	my $expires = sql(q(SELECT integ_oauth_refresh('robot') > now()));
	is($expires, 't', 'client credentials');
	is(sql(q(SELECT grant_type FROM integ.oauth_tokens JOIN integ.instances i ON i.id = instance WHERE i.instance_id = 'robot')),
		'client_credentials', 'and how it came');
	client('oidc_service', 'service', 'wrong');
	my ($state, $report) = $node->sql_error(q(SELECT integ_oauth_refresh('robot')));
	is($state, 'IG401', 'a wrong client secret');
	like($report, qr/client_secret/, 'with what to correct');
	is(sql(q(SELECT status FROM integ.instances WHERE instance_id = 'robot')), 'active', 'needs no person');
}

# A key instead of a secret, and the account behind it.
{
	my $pem = `openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null`;
	my ($file, $modulus) = ("@{[$node->basedir]}/key.pem");
	spew($file, $pem);
	($modulus) = `openssl rsa -in $file -noout -modulus 2>/dev/null` =~ /=([0-9A-F]+)/;
	my $n = encode_base64url(pack 'H*', $modulus);
	my $signing = Integ::Authorization->start(redirectUri => $redirect, jwk => { kty => 'RSA', e => 'AQAB', n => $n, use => 'sig', alg => 'RS256' });
	my $kept = $server;

	$server = $signing;
	define('oidc_signer', grantType => 'client_credentials', scopes => ['read'], tokenEndpointAuthMethod => 'private_key_jwt');
	client('oidc_signer', 'signer');
	sql(q(SELECT integ_connect('oidc_signer', 'signing')));
	sql(qq(SELECT integ_credential_set('signing', 'key', \$\$$pem\$\$)));
	is(sql(q(SELECT integ_oauth_refresh('signing') > now())), 't', 'private_key_jwt');
	is($signing->counts->{'client_credentials granted'}, 1, 'the server verified the signature');
	$server = $kept;
	define('oidc_named', accountInfo => { method => 'me', id => '.sub', name => '.sub' });
	client('oidc_named', 'basic', 'sec:ret/+ %');
	authorize('oidc_named', '{"instance_id": "named"}');
	is(sql(q(SELECT external_account_id FROM integ.instances WHERE instance_id = 'named')), 'ada', 'the account is known');
	is(sql(q(SELECT integ_disconnect('named') IS NOT NULL)), 't', 'disconnected');
	is($server->counts->{revoked}, 2, 'which revokes at the service');
}

# A device.
{
	define('oidc_tv', tokenEndpointAuthMethod => 'none', scopes => [qw(openid read)]);
	client('oidc_tv', 'television');
	my ($flow, $user_code) = row(q(SELECT flow_id, user_code FROM integ_oauth_start('oidc_tv', '{"instance_id": "tv", "flow": "device_code"}')));
	ok($user_code ne '', 'a code for the person');
	$server->{http}->get($server->url("/approve-device?user_code=$user_code"));
	$node->wait_for_sql("SELECT status = 'completed' FROM integ.oauth_flows WHERE id = '$flow'", 'the device is authorized');
	is(sql(q(SELECT integ_execute('tv', 'me') ->> 'sub')), 'ada', 'and its token is accepted');
}

is(sql(q(SELECT count(*) FROM integ.requests WHERE error ~ 'secret' OR path_template ~ 'code=')), '0', 'no secret in the log');
done_testing();
