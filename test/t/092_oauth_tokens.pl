# Tokens of services with ways of their own: assertions, several origins, long-lived tokens, bad redirects; and what
# is told of it.
use strict;
use warnings;

use HTTP::Tiny;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp spew wait_until);
use JSON::PP;
use Test::More;

my $node = Integ::Cluster->create(
	'main',
	conf => [
		"integ.log_flush = '20ms'",
		"integ.reconnect_url = 'https://app.example.com/reconnect?from=mail'",
		"integ.allowed_return_urls = 'https://app.example.com/done'",
		"log_statement = 'all'"
	]);
my $provider = Integ::Provider->start;
my $other = Integ::Provider->start;
my $host = $provider->url;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub row { return split /\|/, sql($_[0]), -1 }
sub fails { my ($sql, %options) = @_; return $node->sql_error($sql, %options) }
sub seen { my ($name) = @_; return $provider->request('GET', "/oauth/$name/seen") }
sub tokens { my ($instance, $column) = @_;
	return sql("SELECT $column FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance WHERE i.instance_id = '$instance'") }
sub instance { my ($instance,
	$column) = @_; return sql("SELECT $column FROM integ.instances WHERE instance_id = '$instance'") }
sub origins { my ($instance) = @_;
	return sql("SELECT array_to_string(c.allowed_origins, ' ') FROM integ.credentials c JOIN integ.instances i ON i.id = c.instance
		WHERE i.instance_id = '$instance' AND c.name = 'access_token' AND c.state = 'current'") }

sub rsa_key { return scalar `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null` }

# The token that the last request to a service carried.
sub carried { my ($service) = @_; my $header = ($service->log('/echo'))[-1]{headers}{authorization}; return $header =~ s/^Bearer //r }
sub token_of { my ($instance, $method,
	$service) = @_; sql("SELECT integ_execute('$instance', '$method')"); return carried($service // $provider) }

sub method { my ($id, %more) = @_;
	return { id => $id, name => $id, access => 'read', inputSchema => {}, outputSchema => {},
		request => { method => 'GET', path => '/echo', %more } } }

sub define
{
	my ($id, $oauth, %more) = @_;
	my $manifest = encode_json({
			integrationId => $id, name => $id, version => '1.0.0', category => 'custom', baseUrl => $host,
				authType => 'oauth2',
			oauth2Config => { tokenUrl => "$host/oauth/$id/token", tokenEndpointAuthMethod => 'none', %$oauth },
			methods => [ method('echo') ], %more });

	sql("SELECT integ_define(\$\$$manifest\$\$)");
	return;
}

sub client { my ($id) = @_; sql("SELECT integ_credential_set('definition:$id', 'client_id', 'app-of-$id')"); return }

# A person is sent away and comes back with a code; the row of the callback, or the error.
sub authorize
{
	my ($target, $code, %params) = @_;
	my ($flow, $instance, $url, $state) = row(sprintf q(SELECT * FROM integ_oauth_start('%s', '%s')), $target,
		$params{options} // '{}');
	delete $params{options};
	return fails(sprintf q(SELECT * FROM integ_oauth_callback('%s', '%s', params => $$%s$$)), $state, $code,
		encode_json(\%params));
}

my %person = (authorizationUrl => 'https://login.example.com/authorize',
	redirectUri => 'https://db.example.com/oauth/callback');

# A service account: the token service verifies what was signed.
{
	my $file = $node->basedir . '/key.pem';
	spew($file, rsa_key());
	my $public = `openssl pkey -in $file -pubout 2>/dev/null`;
	my $pem = slurp($file);

	define('robot', { grantType => 'jwt_bearer',
		tokenUrl => "$host/oauth/robot/token?audience=https://login.example.com",
			assertion => { issuer => '{config.account}', subject => '{config.user}',
				audience => 'https://login.example.com', scope => 'read write' } },
		configSchema => { type => 'object', properties => { account => { type => 'string' },
			user => { type => 'string' } } });
	client('robot');
	HTTP::Tiny->new->put($provider->url('/oauth/robot/key'), { content => $public })->{success} or die 'no key';
	sql(q(SELECT integ_connect('robot', 'machine', '{"account": "svc@example.com", "user": "ada@example.com"}')));
	my ($state, $report) = fails(q(SELECT integ_execute('machine', 'echo')));
	is($state, 'IG401', 'a service account without a key');
	like($report, qr/has no key to sign with.*integ|HINT/s, 'says what is missing');

	sql(qq(SELECT integ_credential_set('machine', 'key', \$\$$pem\$\$)));
	is(token_of('machine', 'echo'), 'access-robot-1', 'the first call obtains a token');
	my $claims = seen('robot')->{claims};
	is($claims->{iss}, 'svc@example.com', 'the assertion names the account');
	is($claims->{sub}, 'ada@example.com', 'and whom it acts for');
	is($claims->{scope}, 'read write', 'and what it asks for');
	cmp_ok($claims->{exp} - $claims->{iat}, '<=', 3600, 'and lives no longer than services allow');
	is(tokens('machine', 'grant_type'), 'jwt_bearer', 'how the token came');

	my $wrong = rsa_key();
	sql(qq(SELECT integ_credential_set('machine', 'key', \$\$$wrong\$\$)));
	($state, $report) = fails(q(SELECT integ_oauth_refresh('machine')));
	is($state, 'IG401', 'another key is refused');
	like($report, qr/HINT:  Enter its credentials again/, 'with what to correct');
	is(seen('robot')->{grants}{'jwt-bearer refused'}, 1, 'by the service, which verifies');
	is(instance('machine', 'status'), 'reauth_required', 'and the instance says so');
	sql(qq(DELETE FROM integ.credentials WHERE name = 'key'; SELECT integ_credential_set('definition:robot', 'key',
		\$\$$pem\$\$)));
	is((fails(q(SELECT integ_execute('machine', 'echo'))))[0], 'IG401', 'until somebody asks');
	is((fails(q(SELECT integ_oauth_refresh('machine'))))[0], '00000', 'with the key of the definition');
	is(instance('machine', q(status || ' ' || is_active)), 'active true', 'it works again');
}

# A token goes to each origin that its definition has for the instance, and nowhere else.
{
	my @methods = (method('echo'), method('files', baseUrl => $other->url), method('told',
		baseUrl => 'http://127.0.0.1:{token.port}'));
	my ($port) = $other->url =~ /:(\d+)$/;
	my $third = Integ::Provider->start;
	my %oauth = (%person, tokenFields => { port => '.scope' }, tokenUrl => "$host/oauth/hosts/token?scope=$port");

	define('hosts', \%oauth, methods => \@methods);
	client('hosts');
	is((authorize('hosts', 'good', options => '{"instance_id": "multi"}'))[0], '00000', 'authorized');
	is(origins('multi'), join(' ', sort $host, $other->url), 'its token is bound to all origins');
	is(token_of('multi', 'echo'), 'access-hosts-1', 'the base URL gets it');
	is(token_of('multi', $_, $other), 'access-hosts-1', "and the base URL of $_") for qw(files told);
	is((fails(q(SELECT integ_request('multi', 'GET', 'https://elsewhere.example.com/echo'))))[0], 'IG400',
		'another origin does not get it');

	# What a later version adds is for whoever authorizes again to agree to.
	define('hosts', \%oauth, version => '1.1.0', methods => [ @methods, method('more', baseUrl => $third->url) ]);
	sql(q(SELECT integ_oauth_refresh('multi')));
	is(origins('multi'), join(' ', sort $host, $other->url), 'a refresh does not carry it to a new origin');
	is((fails(q(SELECT integ_execute('multi', 'more'))))[0], 'IG403', 'which is refused');
	is($third->count('/echo'), 0, 'before anything leaves');
	is((authorize('multi', 'good'))[0], '00000', 'authorized again');
	like(token_of('multi', 'more', $third), qr/access-hosts/, 'it goes there');

	# What the token answer itself moves, it moves.
	my ($third_port) = $third->url =~ /:(\d+)$/;
	define('hosts', { %oauth, tokenUrl => "$host/oauth/hosts/token?scope=$third_port" }, version => '1.2.0',
		methods => \@methods);
	sql(q(SELECT integ_oauth_refresh('multi')));
	is(origins('multi'), join(' ', sort $host, $other->url, $third->url), 'the token answer may move it');
	$third->stop;
}

# A definition that moves does not carry the token along by a refresh.
{
	define('mover', {%person});
	client('mover');
	authorize('mover', 'good', options => '{"instance_id": "moved"}');
	my $before = seen('mover')->{grants}{'refresh_token granted'} // 0;
	define('mover', {%person}, version => '1.1.0', baseUrl => $other->url);
	is(instance('moved', 'status'), 'initializing', 'the instance says that it moved');
	my ($state, $report) = fails(q(SELECT integ_oauth_refresh('moved')));
	is($state, 'IG401', 'its token is not refreshed for the new place');
	like($report, qr/another origin.*moved from \Q$host\E to \Q@{[$other->url]}\E/s, 'and the message says why');
	is(seen('mover')->{grants}{'refresh_token granted'} // 0, $before, 'nothing was asked of the service');
	is(instance('moved', 'status'), 'reauth_required', 'a person is needed');
	is((authorize('moved', 'good'))[0], '00000', 'who authorizes it');
	like(token_of('moved', 'echo', $other), qr/access-mover/, 'for the new place');

	define('servant', { grantType => 'client_credentials' });
	client('servant');
	sql(q(SELECT integ_connect('servant', 'serving')));
	sql(q(SELECT integ_oauth_refresh('serving')));
	define('servant', { grantType => 'client_credentials' }, version => '1.1.0', baseUrl => $other->url);
	sql(q(UPDATE integ.oauth_tokens SET refresh_at = now() WHERE instance = (SELECT id FROM integ.instances WHERE instance_id = 'serving')));
	$node->wait_for_sql(q(SELECT last_sqlstate = 'IG403' AND refresh_at > now() FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance
		WHERE i.instance_id = 'serving'), 'no dispatcher refreshes it by itself');
	is(origins('serving'), $host, 'the token stays where it was');
	sql(q(SELECT integ_oauth_refresh('serving')));
	is(origins('serving'), $other->url, 'who asks for it agrees');
}

# A long-lived token instead of a refresh token: exchanged at once, renewed while it is valid.
{
	my $exchange = { url => "$host/oauth/social/exchange", parameters => { grant_type => 'exchange_token',
		client_secret => '{credentials.client_secret}', token => '{credentials.access_token}' } };
	my $renew = { url => $exchange->{url}, method => 'POST', parameters => { grant_type => 'renew_token',
		access_token => '{credentials.access_token}' } };
	my %social = (%person, tokenEndpointAuthMethod => 'client_secret_post',
		tokenUrl => "$host/oauth/social/token?refresh=0", longLived => { exchange => $exchange, renew => $renew });

	define('social', \%social);
	client('social');
	sql(q(SELECT integ_credential_set('definition:social', 'client_secret', 'social-secret')));
	is((authorize('social', 'good', options => '{"instance_id": "wall"}'))[0], '00000', 'a short-lived token');
	$node->wait_for_sql(q(SELECT long_lived FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance WHERE i.instance_id = 'wall'), 'is exchanged at once');
	is(tokens('wall', q(expires_at > now() + '59 days' AND refresh_at > now() + '44 days')), 't',
		'for one that lives 60 days and is renewed before');
	my ($request) = $provider->log('/oauth/social/exchange');
	is($request->{method}, 'GET', 'as the manifest says');
	like($request->{query}, qr/client_secret=social-secret/, 'with the secret');
	is(sql(q(SELECT count(*) FROM integ.requests WHERE path_template = '/oauth/social/exchange')), '1',
		'the log has its path');
	is(sql(q(SELECT count(*) FROM integ.requests WHERE path_template ~ 'secret|token=')), '0', 'without the secret');

	sql(q(UPDATE integ.oauth_tokens SET refresh_at = now() WHERE long_lived));
	$node->wait_for_sql(q(SELECT version = 3 FROM integ.oauth_tokens WHERE long_lived), 'it is renewed');
	is(($provider->log('/oauth/social/exchange'))[-1]{method}, 'POST', 'in its own way');
	is(token_of('wall', 'echo'), 'access-social-3', 'and the new one is used');
	is(sql(q(SELECT count(*) FROM integ.oauth_tokens WHERE refresh_started_at IS NOT NULL)), '0', 'no mark is left');

	# Refused: it is tried again while the token is valid, and a person is asked when it is not.
	$provider->forget;
	my ($state, $report) = fails(q(SELECT integ_oauth_refresh('wall')));
	is($state, 'IG401', 'the service refuses to renew it');
	like($report, qr/did not re-issue the token of "wall"/, 'and the message says so');
	is(instance('wall', 'status'), 'active', 'the token that is there stays in use');
	sql(q(UPDATE integ.credentials SET expires_at = now() - interval '1 s' WHERE name = 'access_token' AND instance = (SELECT id FROM integ.instances WHERE instance_id = 'wall')));
	($state, $report) = fails(q(SELECT integ_oauth_refresh('wall')));
	is($state, 'IG401', 'after its end');
	like($report, qr/only a valid one is exchanged/, 'nothing can be had for it');
	is(instance('wall', 'status'), 'reauth_required', 'but by a person');

	my ($code, $where) = fails(q(SELECT integ_define('{"integrationId": "bad", "name": "Bad", "version": "1.0.0", "category": "custom", "baseUrl": "https://x.example.com",
		"authType": "oauth2", "oauth2Config": {"tokenUrl": "https://x.example.com/t",
			"grantType": "client_credentials",
		"longLived": {"exchange": {"url": "ftp://x.example.com", "parameters": {"a": "{credentials.nothing}"}}}}, "methods": []}')));
	is($code, 'IG400', 'a manifest with another URL and an unknown credential');
	like($where, qr{longLived/exchange/url.*longLived/exchange/parameters}s, 'is told of both');
}

# Redirects that are not what they should be. Each: an error of its own, nothing stored, an entry in the audit.
{
	my $audit = sub { return sql(q(SELECT count(*) FROM integ.audit_log WHERE action = 'oauth.callback' AND outcome = 'denied')) };
	my $stored = sub { return sql(q(SELECT count(*) FROM integ.credentials WHERE name IN ('access_token', 'refresh_token'))) };
	my $refused = sub {
		my ($name, $expected, $sql, %options) = @_;
		my ($denied, $kept) = ($audit->(), $stored->());
		my ($state, $report) = fails($sql, %options);

		is($state, $expected, $name);
		like($report, qr/HINT: /, "$name: what to do");
		unlike($report, qr/good-secret-code|access-|refresh-/, "$name: nothing secret is said");
		is($stored->(), $kept, "$name: nothing is stored");
		wait_until("$name: the audit has it", sub { $audit->() == $denied + 1 });
		return $report;
	};
	my $start = sub { my ($options) = @_; return row("SELECT flow_id, state FROM integ_oauth_start('mover_main', '"
		. ($options // '{}') . "')") };

	sql(q(SELECT integ_connect('mover', 'mover_main')));
	define('mover', { %person, issuer => 'https://login.example.com', requireIssuer => JSON::PP::true },
		version => '1.2.0');
	$refused->('an unknown state', 'IG404', q(SELECT * FROM integ_oauth_callback('guessed', 'good-secret-code')));

	my ($flow, $state) = $start->();
	sql("UPDATE integ.oauth_flows SET expires_at = now() - interval '1 s' WHERE id = '$flow'");
	$refused->('an expired state', 'IG409', "SELECT * FROM integ_oauth_callback('$state', 'good-secret-code')");

	($flow, $state) = $start->();
	$refused->('another issuer', 'IG403', qq(SELECT * FROM integ_oauth_callback('$state', 'good-secret-code',
		params => '{"iss": "https://evil.example.com"}')));
	$refused->('no issuer where one must be', 'IG403',
		"SELECT * FROM integ_oauth_callback('$state', 'good-secret-code')");
	is(sql("SELECT status FROM integ.oauth_flows WHERE id = '$flow'"), 'pending',
		'which leaves the authorization to whom it belongs');

	sql(q(INSERT INTO integ.clients (id, name) VALUES ('acme', 'Acme'), ('rival', 'Rival')));
	sql("CREATE ROLE $_ LOGIN IN ROLE integ_admin") for qw(acme_admin rival_admin);
	sql(q(INSERT INTO integ.members (role, client_id, level) VALUES ('acme_admin', 'acme', 'admin'), ('rival_admin', 'rival', 'admin')));
	my $theirs = $node->safe_psql('postgres',
		q(SELECT state FROM integ_oauth_start('mover', '{"instance_id": "acme_one"}')), extra_params => [ '-U',
		'acme_admin' ]);
	$refused->("the state of another client's authorization", 'IG404',
		"SELECT * FROM integ_oauth_callback('$theirs', 'good-secret-code')", params => [ '-U', 'rival_admin' ]);
	is(sql(q(SELECT count(*) FROM integ.oauth_flows WHERE status = 'pending' AND client_id = 'acme')), '1',
		'which goes on');

	my $iss = q(params => '{"iss": "https://login.example.com"}');
	is((fails("SELECT * FROM integ_oauth_callback('$state', 'good-secret-code', $iss)"))[0], '00000',
		'the right one is completed');
	$refused->('a code used twice', 'IG409',
		"SELECT * FROM integ_oauth_callback('$state', 'good-secret-code', $iss)");

	($flow, $state) = $start->();
	my ($error, $report) = fails("SELECT * FROM integ_oauth_callback('$state', 'bad-secret-code', $iss)");
	is($error, 'IG401', 'a code that the service refuses');
	like($report, qr/invalid_grant/, 'with its reason');
	unlike($report, qr/bad-secret-code/, 'and without the code');
	is((row("SELECT status, error FROM integ.oauth_flows WHERE id = '$flow'"))[1], 'invalid_grant',
		'which the flow keeps');

	($flow, $state) = $start->();
	is((fails("SELECT status FROM integ_oauth_callback('$state', error => 'redirect_uri_mismatch', params => '{\"iss\": \"https://login.example.com\"}')"))[1],
		'failed', 'a redirect URI that the service does not know');
	like((fails(q(SELECT integ_oauth_start('mover_main', '{"return_url": "https://app.example.com/done/../evil"}'))))[1], qr/return URL is not allowed/, 'no way out of the allowed path');
	is((fails(qq(SELECT integ_oauth_start('mover_main', '{"return_url": "$_"}'))))[0], 'IG403', "no return to $_")
	  for 'https://app.example.com/donee', 'https://app.example.com@evil.example.com/done', 'javascript:alert(1)',
		'//evil.example.com/done', 'https://app.example.com/done/%2e%2e/x';
	is((fails(q(SELECT integ_oauth_start('mover_main', '{"return_url": "https://app.example.com/done?x=1"}'))))[0],
		'00000', 'but to what is allowed');

	is((fails($_))[0], 'IG400', $_)
	  for q(SELECT integ_oauth_start('mover_main', '{"flow": "password"}')),
		q(SELECT integ_oauth_start('mover_main', '{"flow": "device_code"}')),
	  q(SELECT integ_oauth_start('mover_main', '{"parameters": {"state": "mine"}}')),
		q(SELECT integ_oauth_start('mover')), q(SELECT integ_oauth_start(NULL)),
	  q(SELECT integ_oauth_callback('x')), q(SELECT integ_oauth_callback('x', 'y', params => '[]')),
		q(SELECT integ_oauth_refresh(NULL)),
	  q(SELECT integ_oauth_refresh('mover_main', '{"timeout": "0 s"}')), q(SELECT integ_oauth_start('serving'));
	($flow, $state) = $start->();
	is((fails(sprintf q(SELECT integ_oauth_callback('%s', repeat('x', 3000), %s)), $state, $iss))[0], 'IG400',
		'a code as long as none is');
}

# The token endpoint has changed since; scopes withheld; an identity token of another authorization; a bad token.
{
	define('changing', { %person, scopes => [qw(openid read write)] });
	client('changing');
	my ($flow, $instance, $url,
		$state) = row(q(SELECT * FROM integ_oauth_start('changing', '{"instance_id": "changed"}')));
	define('changing', { %person, scopes => [qw(openid read write)],
		tokenUrl => $other->url('/oauth/changing/token') }, version => '1.1.0');
	my ($error, $report) = fails("SELECT * FROM integ_oauth_callback('$state', 'good')");
	is($error, 'IG403', 'the token endpoint changed after the authorization began');
	is($other->count('/oauth/changing/token'), 0, 'and does not get the code');

	define('changing', { %person, scopes => [qw(openid read write)],
		tokenUrl => "$host/oauth/changing/token?scope=read" }, version => '1.2.0');
	($flow, $instance, $url, $state) = row(q(SELECT * FROM integ_oauth_start('changed')));
	is(sql("SELECT array_to_string(missing_scopes, ' ') FROM integ_oauth_callback('$state', 'good')"), 'openid write',
		'scopes that were withheld');
	is(tokens('changed', q(array_to_string(scopes, ' '))), 'read', 'are known');

	define('changing', { %person, scopes => [qw(openid read)], tokenUrl => "$host/oauth/changing/token?nonce=other" },
		version => '1.3.0');
	my $version = tokens('changed', 't.version');
	is((authorize('changed', 'good'))[0], 'IG403', 'an identity token of another authorization');
	is(tokens('changed', 't.version'), $version, 'its tokens are not kept');

	my $bad = $provider->url('/fault/status?code=200&body=' . join '', map { sprintf '%%%02X', ord } split //,
		'{"access_token": "a\\u0007secret"}');
	define('changing', { %person, tokenUrl => $bad }, version => '1.4.0');
	($error, $report) = authorize('changed', 'good');
	is($error, 'IG502', 'a token with control characters');
	unlike($report, qr/secret"|\\u0007/, 'is not shown');
	is(tokens('changed', 't.version'), $version, 'nor kept');

	my ($code, $why) = fails(sprintf q(SELECT integ_define('%s')),
		'{"integrationId": "ftp", "name": "x", "version": "1.0.0", "category": "custom", "baseUrl": "https://x.example.com", "authType": "oauth2", "oauth2Config": {"tokenUrl": "ftp://x.example.com/t", "grantType": "client_credentials"}, "methods": []}');
	is($code, 'IG400', 'a token endpoint that is no URL of the web');
	like($why, qr/tokenUrl/, 'names it');
}

# What is told: status, events, a notification with a link.
{
	my ($state, $depth, $error,
		$hint) = row(q(SELECT state, queue_depth, last_error, hint FROM integ_status() WHERE component = 'authorizations'));
	is($state, 'a person is needed', 'the status tells of it');
	is($depth, 1, 'how many');
	like($error, qr/wall: the access token has expired/, 'which, and why');
	like($hint, qr/integ_oauth_start/, 'and what to do');
	like(sql(q(SELECT state FROM integ_status() WHERE component = 'tokens')),
		qr/^\d+ kept, \d+ expire within 10 minutes, \d+ expired$/, 'and of tokens');
	is($node->safe_psql('postgres', q(SELECT state FROM integ_status() WHERE component = 'authorizations'),
		extra_params => [ '-U', 'rival_admin' ]), 'complete', 'another client sees its own');

	my $id = instance('wall', 'id');
	is(sql(q(SELECT link FROM integ.notifications WHERE text ~ 'wall')),
		"https://app.example.com/reconnect?from=mail&instance=$id&instance_id=wall", 'the notification has a link');
	is((authorize('wall', 'good'))[0], '00000', 'authorized again');
	is(sql(q(SELECT integ_oauth_revoke('wall'))), 'f', 'a service that cannot be told');
	is(sql("SELECT string_agg(kind, ' ' ORDER BY created_at, id) FROM integ.events WHERE instance = '$id' AND kind <> 'instance.connected'"),
		'instance.authorized instance.reauth_required instance.recovered instance.authorized instance.disconnected',
			'events tell its life');
	wait_until('so does the audit', sub { sql("SELECT count(DISTINCT action) = 4 FROM integ.audit_log WHERE instance = '$id'
		AND action IN ('instance.authorized', 'instance.reauth_required', 'instance.recovered', 'oauth.forget')") eq 't' });
}

# Failures that pass: the token lapses, is tried again, and recovers.
{
	my %weak = (%person, tokenUrl => "$host/oauth/weak/token");

	define('weak', \%weak);
	client('weak');
	is((authorize('weak', 'good', options => '{"instance_id": "weakly"}'))[0], '00000', 'authorized');
	my $id = instance('weakly', 'id');
	define('weak', { %weak, tokenUrl => "$weak{tokenUrl}?_fault=status&code=503&retry_after=600" }, version => '1.1.0');
	sql("UPDATE integ.oauth_tokens SET expires_at = now() - interval '1 s', refresh_at = now() WHERE instance = '$id'");
	$node->wait_for_sql("SELECT count(*) = 1 FROM integ.events WHERE instance = '$id' AND kind = 'instance.token_expired'",
		'a token lapses');
	is(tokens('weakly', "t.failures = 1 AND refresh_at > now() + interval '5 min'"), 't', 'and is tried again when the service says');
	is(instance('weakly', q(status || ' ' || is_active)), 'token_expired true', 'the instance says so, and stays switched on');
	define('weak', \%weak, version => '1.2.0');
	sql("UPDATE integ.oauth_tokens SET refresh_at = now() WHERE instance = '$id'");
	$node->wait_for_sql("SELECT count(*) = 1 FROM integ.events WHERE instance = '$id' AND kind = 'instance.recovered'",
		'it recovers by itself');
	is(instance('weakly', 'status'), 'active', 'and is active again');
}

# Codes are in no log and no view.
{
	my $session = $node->background_psql('postgres');
	$session->query(q(SET log_min_duration_statement = 0));
	my ($flow, $state) = row(q(SELECT flow_id, state FROM integ_oauth_start('moved')));
	$session->query(qq(SELECT status FROM integ_oauth_callback('$state', 'good-in-the-log',
		params => '{"iss": "https://login.example.com"}')));
	unlike(sql(q(SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE pid <> pg_backend_pid())),
		qr/good-in-the-log/, 'pg_stat_activity has no code');
	$session->quit;
	my $log = slurp($node->logfile);
	like($log, qr/integ_oauth_start/, 'the log has statements');
	unlike($log, qr/good-in-the-log|good-secret-code/, 'but no code');
}

is(sql(q(SELECT count(*) FROM integ.requests WHERE error ~ 'access-|refresh-' OR path_template ~ 'access-|refresh-')),
	'0', 'no token in the request log');
is(sql(q(SELECT count(*) FROM integ.audit_log WHERE detail::text ~ 'access-|refresh-|good-secret')), '0',
	'nor in the audit');
done_testing();
