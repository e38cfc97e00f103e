# What authenticates a request, seen from the service: every authType, every place, signed tokens.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use File::Temp qw(tempdir);
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp spew);
use JSON::PP;
use MIME::Base64 qw(decode_base64 decode_base64url encode_base64 encode_base64url);
use Test::More;

my $node = Integ::Cluster->create('main');
my $provider = Integ::Provider->start;
my $json = JSON::PP->new->canonical->utf8;
my $dir = tempdir('keys-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $secret = 'sekrit-0123456789';

sub quoted
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'";
}

sub sql
{
	my ($statement) = @_;
	return $node->safe_psql('postgres', $statement);
}

my %methods = (
	get => { request => { method => 'GET', path => '/get/{id}', query => { q => '{q}' } } },
	json => { request => { method => 'POST', path => '/to', body => { note => '{q}', auth => { kept => 1 } } } },
	form => { request => { method => 'POST', path => '/to', encoding => 'form', body => { note => '{q}' } } },
	parts => { request => { method => 'POST', path => '/to', encoding => 'multipart', body => { note => '{q}' } } },
	bare => { request => { method => 'POST', path => '/to' } },
	text => { request => { method => 'POST', path => '/to', encoding => 'text', body => 'note {q}' } });

# One definition, many ways to authenticate; an instance of each.
sub define
{
	my ($id, $auth_methods, %more) = @_;
	my $manifest = {
		integrationId => $id, name => $id, version => '1.0.0', baseUrl => $provider->url('/echo'),
		configSchema => { type => 'object', properties => { user => { type => 'string' } } },
		credentialSchema => { type => 'object', additionalProperties => JSON::PP::true },
		authMethods => $auth_methods,
		methods => [ map { +{ id => $_, name => $_, outputSchema => {}, inputSchema => { type => 'object', properties => {
			q => { type => 'string', default => 'x' }, id => { type => 'string', default => '1' } } }, %{ $methods{$_} } } }
			sort keys %methods ],
		%more };
	sql('SELECT integ_define(' . quoted($json->encode($manifest)) . ')');
	return;
}

sub connect_with
{
	my ($id, $way, %credentials) = @_;
	sql("SELECT integ_connect('$id', '$way', '{\"user\": \"ann\"}', '{\"auth_method\": \"$way\"}')");
	sql("SELECT integ_credential_set('$way', '$_', " . quoted($credentials{$_}) . ')') for sort keys %credentials;
	return;
}

# The request that a call leaves behind at the service.
sub sent
{
	my ($way, $method) = @_;
	$provider->forget;
	sql("SELECT integ_execute('$way', '" . ($method // 'get') . "')");
	my @log = $provider->log;
	is(scalar @log, 1, "$way: one request");
	return $log[0];
}

define('ways', [
	{ id => 'none', authType => 'none' },
	{ id => 'bearer', authType => 'bearer' },
	{ id => 'bot', authType => 'apikey', auth => { value => 'Bot {credentials.key}' } },
	{ id => 'bare_key', authType => 'apikey' },
	{ id => 'named', authType => 'apikey', auth => { in => 'header', name => 'X-Api-Key' } },
	{ id => 'query', authType => 'apikey', auth => { in => 'query', name => 'api key' } },
	{ id => 'cookie', authType => 'apikey', auth => { in => 'cookie', name => 'session' } },
	{ id => 'path', authType => 'apikey', auth => { in => 'path', value => '/bot{credentials.key}' } },
	{ id => 'body', authType => 'apikey', auth => { in => 'body', name => 'auth.key' } },
	{ id => 'field', authType => 'apikey', auth => { in => 'body', name => 'key' } },
	{ id => 'basic', authType => 'basic' },
	{ id => 'fixed_user', authType => 'basic', auth => { username => 'anystring', password => '{credentials.key}' } },
	{ id => 'empty_user', authType => 'basic', auth => { username => '', password => '{credentials.key}' } },
	{ id => 'key_as_user', authType => 'basic', auth => { username => '{credentials.key}', password => '' } },
	{ id => 'token_user', authType => 'basic', auth => { username => '{config.user}/token', password => '{credentials.key}' } },
	{ id => 'parts', authType => 'apikey', auth => { parts => [
		{ in => 'header', name => 'DD-API-KEY', value => '{credentials.key}' },
		{ in => 'header', name => 'DD-APPLICATION-KEY', value => '{credentials.secret}' },
		{ in => 'cookie', name => 'a', value => '1' }, { in => 'cookie', name => 'b', value => '{credentials.key}' },
		{ in => 'path', value => '/v{config.user}' }, { in => 'path', value => '/{credentials.key}' } ] } },
	{ id => 'custom', authType => 'custom', auth => { in => 'header', name => 'X-Custom', value => '{credentials.username}:{credentials.secret}' } },
	{ id => 'oauth', authType => 'oauth2', oauth2Config => { tokenUrl => 'https://example.com/token', authorizationUrl => 'https://example.com/authorize' } },
]);

connect_with('ways', 'none');
ok(!exists sent('none')->{headers}{authorization}, 'none sends nothing');
connect_with('ways', 'bearer', token => $secret);
is(sent('bearer')->{headers}{authorization}, "Bearer $secret", 'bearer');
connect_with('ways', 'bot', key => $secret);
is(sent('bot')->{headers}{authorization}, "Bot $secret", 'a scheme of its own');
connect_with('ways', 'bare_key', key => $secret);
is(sent('bare_key')->{headers}{authorization}, $secret, 'the bare key');
connect_with('ways', 'named', key => $secret);
is(sent('named')->{headers}{'x-api-key'}, $secret, 'a header of its own');
connect_with('ways', 'query', key => 'a b&c=d/sekrit');
is(sent('query')->{query}, 'q=x&api%20key=a%20b%26c%3Dd%2Fsekrit', 'in the query, encoded, behind the others');
connect_with('ways', 'cookie', key => $secret);
is(sent('cookie')->{headers}{cookie}, "session=$secret", 'a cookie');
connect_with('ways', 'path', key => '12:ab/c');
is(sent('path')->{path}, '/echo/bot12%3Aab%2Fc/get/1', 'in the path, encoded');

# In the body, whatever it is.
connect_with('ways', 'body', key => $secret);
is_deeply(sent('body', 'json')->{json}, { note => 'x', auth => { kept => 1, key => $secret } }, 'in a document, at its path');
is_deeply(sent('body', 'bare')->{json}, { auth => { key => $secret } }, 'a body of its own where there is none');
connect_with('ways', 'field', key => $secret);
is_deeply(sent('field', 'json')->{json}, { note => 'x', auth => { kept => 1 }, key => $secret }, 'in a document');
is(sent('field', 'form')->{body}, "key=$secret&note=x", 'in a form');
like(sent('field', 'parts')->{body}, qr/name="key"\r\n\r\n$secret\r\n--.*--\r\n\z/s, 'as a part');
for my $method ('get', 'text')
{
	$provider->forget;
	my ($state, $report) = $node->sql_error("SELECT integ_execute('field', '$method')");
	is($state, 'IG400', "a $method request cannot carry it");
	unlike($report, qr/sekrit/, 'which is said without it');
	is(scalar $provider->log, 0, 'and nothing is sent');
}

sub basic
{
	my ($way) = @_;
	return decode_base64(sent($way)->{headers}{authorization} =~ s/^Basic //r);
}

connect_with('ways', 'basic', username => 'ann', password => $secret);
is(basic('basic'), "ann:$secret", 'basic');
connect_with('ways', 'fixed_user', key => $secret);
is(basic('fixed_user'), "anystring:$secret", 'basic with a fixed user');
connect_with('ways', 'empty_user', key => $secret);
is(basic('empty_user'), ":$secret", 'basic with an empty user');
connect_with('ways', 'key_as_user', key => $secret);
is(basic('key_as_user'), "$secret:", 'basic with the key as user');
connect_with('ways', 'token_user', key => $secret);
is(basic('token_user'), "ann/token:$secret", 'basic with a user of the config');
sql(q(SELECT integ_credential_delete('basic', 'password')));
my ($state, $report) = $node->sql_error(q(SELECT integ_execute('basic', 'get')));
is($state, 'IG401', 'basic without its password');
like($report, qr/has no credential "password".*HINT: .*integ_credential_set/s, 'says which is missing');
sql(q(SELECT integ_credential_set('basic', 'password', 'x'), integ_credential_set('basic', 'username', 'a:b')));
($state, $report) = $node->sql_error(q(SELECT integ_execute('basic', 'get')));
is($state, 'IG400', 'a user with a colon');

connect_with('ways', 'parts', key => $secret, secret => 'app-key-42');
my $request = sent('parts');
is($request->{headers}{'dd-api-key'}, $secret, 'several places: the first header');
is($request->{headers}{'dd-application-key'}, 'app-key-42', 'the second');
is($request->{headers}{cookie}, "a=1; b=$secret", 'two cookies in one header');
is($request->{path}, "/echo/vann/$secret/get/1", 'two parts of the path');
connect_with('ways', 'custom', username => 'u', secret => $secret);
is(sent('custom')->{headers}{'x-custom'}, "u:$secret", 'custom');
sql(q(SELECT integ_connect('ways', 'oauth', '{}', '{"auth_method": "oauth"}')));
($state) = $node->sql_error(q(SELECT integ_execute('oauth', 'get')));
is($state, 'IG401', 'oauth2 without a token');

# What would end a header is refused, whatever it comes from.
sql(q(SELECT integ_credential_set('named', 'key', E'a\r\nX-Evil: 1')));
$provider->forget;
($state, $report) = $node->sql_error(q(SELECT integ_execute('named', 'get')));
is($state, 'IG400', 'a line break in a credential');
like($report, qr/"X-Api-Key" contains a control character/, 'names the header');
unlike($report, qr/Evil/, 'and not what was in it');
is(scalar $provider->log, 0, 'nothing was sent');

# --- Signed tokens ---

sub openssl
{
	my (@arguments) = @_;
	system("openssl @arguments >'$dir/out' 2>&1") == 0 or die slurp("$dir/out");
	return;
}

openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $dir/rsa.pem");
openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $dir/ec.pem");
openssl("genpkey -algorithm ed25519 -out $dir/ed.pem");
openssl("pkcs8 -topk8 -in $dir/rsa.pem -passout pass:sesame -out $dir/encrypted.pem");
openssl("rsa -in $dir/rsa.pem -traditional -out $dir/pkcs1.pem");
openssl("pkey -in $dir/$_.pem -pubout -out $dir/$_.pub") for ('rsa', 'ec', 'ed');
my %pem = map { $_ => slurp("$dir/$_.pem") } ('rsa', 'ec', 'ed', 'encrypted', 'pkcs1');

sub jwt
{
	my ($id, %jwt) = @_;
	return { id => $id, authType => 'jwt', auth => { jwt => \%jwt } };
}

define('tokens', [
	jwt('rs256', algorithm => 'RS256', keyId => '{credentials.client_id}', issuer => '{config.user}', subject => 'me@example.com',
		audience => 'https://example.com/token', scope => 'a b', expiresInSeconds => 600,
		claims => { list => [1, 2], more => { x => '{config.user}' } }, header => { x5t => 'thumb' }),
	jwt('hs256', algorithm => 'HS256', issuer => 'i', keyEncoding => 'base64'),
	jwt('hs_text', algorithm => 'HS256', key => '{credentials.secret}'),
	jwt('es256', algorithm => 'ES256', tokenId => JSON::PP::true),
	jwt('eddsa', algorithm => 'EdDSA'),
	jwt('passphrase', algorithm => 'RS256', passphrase => '{credentials.password}'),
	jwt('loop', algorithm => 'HS256', claims => { again => '{credentials.access_token}' }),
	{ %{ jwt('elsewhere', algorithm => 'HS256') },
		auth => { in => 'header', name => 'X-Token', value => 'JWT {credentials.access_token}', jwt => { algorithm => 'HS256' } } } ]);

# Header and claims, after the signature was verified as a service would.
sub token_of
{
	my ($token, $kind) = @_;
	my ($header, $claims, $signature) = map { decode_base64url($_) } split /\./, $token;
	my ($signed) = $token =~ /^(.*)\./;

	spew("$dir/signed", $signed);
	if ($kind =~ /^(rsa|ed)$/)
	{
		spew("$dir/signature", $signature);
		openssl($kind eq 'rsa'
			? "dgst -sha256 -verify $dir/rsa.pub -signature $dir/signature $dir/signed"
			: "pkeyutl -verify -rawin -pubin -inkey $dir/ed.pub -in $dir/signed -sigfile $dir/signature");
	}
	elsif ($kind ne 'ec')
	{
		is(encode_base64url($signature), encode_base64url(hmac_sha256($signed, $kind)), 'its HMAC is right');
	}
	else
	{
		is(length $signature, 64, 'r and s have the length of the curve');
		my @numbers = map { my $n = $_; $n =~ s/^\0+(?=.)//s; ord($n) > 127 ? "\0$n" : $n } unpack('a32 a32', $signature);
		my $body = join '', map { "\x02" . chr(length $_) . $_ } @numbers;
		spew("$dir/signature", "\x30" . chr(length $body) . $body);
		openssl("dgst -sha256 -verify $dir/ec.pub -signature $dir/signature $dir/signed");
	}
	return ($json->decode($header), $json->decode($claims));
}

sub bearer
{
	my ($way) = @_;
	return sent($way)->{headers}{authorization} =~ s/^Bearer //r;
}

connect_with('tokens', 'rs256', key => $pem{rsa}, client_id => 'kid-1');
my $token = bearer('rs256');
my ($header, $claims) = token_of($token, 'rsa');
is_deeply($header, { alg => 'RS256', typ => 'JWT', kid => 'kid-1', x5t => 'thumb' }, 'RS256: header');
my ($issued, $expires) = delete @$claims{ 'iat', 'exp' };
is_deeply($claims, { iss => 'ann', sub => 'me@example.com', aud => 'https://example.com/token', scope => 'a b',
	list => [1, 2], more => { x => 'ann' } }, 'claims');
is($expires - $issued, 600, 'lifetime');
cmp_ok($issued, '<', time, 'issued a little ago, for clocks that are behind');
cmp_ok($expires, '>', time, 'not expired');

# One session signs once while the token holds, and again for another key.
$provider->forget;
sql(q(SELECT integ_execute('rs256', 'get'); SELECT integ_execute('rs256', 'get');
      SELECT integ_credential_set('rs256', 'client_id', 'kid-2'); SELECT integ_execute('rs256', 'get')));
my @tokens = map { $_->{headers}{authorization} =~ s/^Bearer //r } $provider->log;
is(scalar @tokens, 3, 'three calls');
is($tokens[0], $tokens[1], 'a token is used again');
isnt($tokens[1], $tokens[2], 'but not with another key id');
is((token_of($tokens[2], 'rsa'))[0]{kid}, 'kid-2', 'which it then has');

connect_with('tokens', 'hs256', key => encode_base64("\x01\xff" . 'x' x 30, ''));
token_of(bearer('hs256'), "\x01\xff" . 'x' x 30);
connect_with('tokens', 'hs_text', secret => $secret);
token_of(bearer('hs_text'), $secret);
connect_with('tokens', 'elsewhere', key => $secret);
token_of(sent('elsewhere')->{headers}{'x-token'} =~ s/^JWT //r, $secret);
connect_with('tokens', 'eddsa', key => $pem{ed});
token_of(bearer('eddsa'), 'ed');
connect_with('tokens', 'es256', key => $pem{ec} =~ s/\n/\\n/gr);
$provider->forget;
sql(q(SELECT integ_execute('es256', 'get'); SELECT integ_execute('es256', 'get')));
my @ids = map { (token_of($_->{headers}{authorization} =~ s/^Bearer //r, 'ec'))[1]{jti} } $provider->log;
is(scalar @ids, 2, 'two tokens');
isnt($ids[0], $ids[1], 'each with an id of its own, and used once');
connect_with('tokens', 'passphrase', key => $pem{encrypted}, password => 'sesame');
token_of(bearer('passphrase'), 'rsa');
sql("SELECT integ_credential_set('passphrase', 'key', " . quoted($pem{pkcs1}) . ')');
token_of(bearer('passphrase'), 'rsa');

# A key that cannot sign is an error that says why, and nothing leaves.
$provider->forget;
for my $case (
	[ 'rs256', 'key', $pem{ec}, qr/RS256 is signed with an RSA private key; this one is of the kind EC/ ],
	[ 'es256', 'key', $pem{rsa}, qr/P-256; this one is of the kind RSA/ ],
	[ 'eddsa', 'key', $pem{ec}, qr/Ed25519/ ],
	[ 'rs256', 'key', slurp("$dir/rsa.pub"), qr/is a public key/ ],
	[ 'rs256', 'key', 'just a text', qr/no private key in PEM or DER/ ],
	[ 'hs256', 'key', 'not*base64', qr/not written in base64/ ],
	[ 'hs_text', 'secret', $pem{rsa}, qr/shared secret; this is a key or certificate in PEM/ ],
	[ 'passphrase', 'password', 'wrong', undef ],
	[ 'passphrase', 'key', $pem{encrypted}, qr/the passphrase does not open it/ ])
{
	my ($way, $name, $value, $pattern) = @$case;
	sql("SELECT integ_credential_set('$way', '$name', " . quoted($value) . ')');
	next if !defined $pattern;
	my ($code, $text) = $node->sql_error("SELECT integ_execute('$way', 'get')");
	is($code, 'IG401', "$way: a key that cannot sign");
	like($text, $pattern, 'says why');
	unlike($text, qr/MII|MC4C|just a text|not\*base64/, 'without the key');
}
sql(q(SELECT integ_credential_delete('rs256', 'key')));
($state, $report) = $node->sql_error(q(SELECT integ_execute('rs256', 'get')));
is($state, 'IG401', 'no key');
like($report, qr/has no credential "key"/, 'says so');
connect_with('tokens', 'loop', key => $secret);
($state, $report) = $node->sql_error(q(SELECT integ_execute('loop', 'get')));
is($state, 'IG400', 'a token made of itself');
like($report, qr/would be made of itself/, 'says so');
is(scalar $provider->log, 0, 'nothing of all this was sent');

# No secret and no token is in a log.
$node->wait_for_sql(q(SELECT count(*) >= 30 FROM integ.requests));
is(sql("SELECT count(*) FROM integ.requests r WHERE r::text LIKE '%sekrit%' OR r::text LIKE '%eyJ%'"), '0', 'no secret in the request log');

done_testing();
