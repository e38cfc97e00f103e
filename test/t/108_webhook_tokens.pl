# Requests that are proven by a signed token (RFC 7519), signed by openssl with every kind of key: what is accepted, and
# what a token must not get through with.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256 hmac_sha512);
use Integ::Cluster;
use Integ::Test qw(slurp spew);
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;

my $now = 1_700_000_000;
my $json = JSON::PP->new->canonical;
my $node = Integ::Cluster->create('tokens');
my $dir = PostgreSQL::Test::Utils::tempdir();

# --- keys, and what signs with them ---

sub openssl { system_or_bail('openssl', @_); return }

sub key
{
	my ($name, @kind) = @_;
	openssl('genpkey', '-quiet', @kind, '-out' => "$dir/$name");
	openssl('pkey', '-in' => "$dir/$name", '-pubout', '-out' => "$dir/$name.pub");
	return slurp("$dir/$name.pub");
}

my @rsa = qw(-algorithm RSA -pkeyopt rsa_keygen_bits:2048);
my %public = (
	rsa => key('rsa', @rsa), other => key('other', @rsa),
	ec => key('ec', qw(-algorithm EC -pkeyopt ec_paramgen_curve:prime256v1)), ed => key('ed', qw(-algorithm ED25519)));

sub signed
{
	my ($key, $text, @options) = @_;
	spew("$dir/text", $text);
	openssl('pkeyutl', '-sign', '-rawin', '-inkey' => "$dir/$key", '-in' => "$dir/text", '-out' => "$dir/signature",
		@options);
	return slurp("$dir/signature");
}

# The two numbers of an ECDSA signature, 32 bytes each (RFC 7518, section 3.4), of openssl's DER.
sub concatenated
{
	my ($der) = @_;
	my ($r, $s) = unpack 'x3 C/a x C/a', $der;
	return join '', map { substr(("\0" x 32) . $_, -32) } $r, $s;
}

my %signers = (
	HS256 => sub { hmac_sha256($_[0], 'a secret of the service') },
	HS512 => sub { hmac_sha512($_[0], 'a secret of the service') },
	RS256 => sub { signed('rsa', $_[0], qw(-digest sha256)) },
	PS256 => sub {
		signed('rsa', $_[0], qw(-digest sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest)) },
	ES256 => sub { concatenated(signed('ec', $_[0], qw(-digest sha256))) },
	EdDSA => sub { signed('ed', $_[0]) });
my %keys = (
	HS256 => 'a secret of the service', HS512 => 'a secret of the service', RS256 => $public{rsa}, PS256 => $public{rsa},
	ES256 => $public{ec}, EdDSA => $public{ed});

sub token
{
	my ($algorithm, $claims, %options) = @_;
	my $header = $json->encode({ typ => 'JWT', alg => $options{alg} // $algorithm });
	my $text = join '.', map { encode_base64url($_) } $header, ref $claims ? $json->encode($claims) : $claims;
	return "$text." . encode_base64url(($options{signer} // $signers{$algorithm})->($text));
}

# --- judging ---

sub quote { (my $text = $_[0]) =~ s/'/''/g; return "'$text'" }

sub verdict
{
	my ($scheme, $headers, @keys) = @_;
	return $node->safe_psql('postgres', sprintf q(SELECT integ.webhook_verify(%s, ARRAY[%s]::text[], %s, '{}',
		at => to_timestamp(%d))), quote($json->encode({ scheme => 'jwt', %$scheme })), join(', ', map { quote($_) } @keys),
		quote($json->encode($headers)), $now);
}

sub bearer
{
	my ($token, $scheme, @keys) = @_;
	@keys = $keys{ $scheme->{algorithm} // 'HS256' } unless @keys;
	return verdict($scheme, { Authorization => "Bearer $token" }, @keys);
}

my %claims = (iss => 'https://acme.example', aud => 'integ', exp => $now + 300);

for my $algorithm (sort keys %signers)
{
	my $token = token($algorithm, \%claims);
	my %scheme = (algorithm => $algorithm, claims => { iss => 'https://acme.example', aud => 'integ' });

	is(bearer($token, \%scheme), 'valid', "$algorithm: what openssl signs is accepted");
	(my $changed = $token) =~ s/\.(.*)\./'.' . encode_base64url($json->encode({ %claims, sub => 'root' })) . '.'/e;
	is(bearer($changed, \%scheme), 'wrong', "$algorithm: ... not with other claims");
	my $half = token($algorithm, \%claims, signer => sub { substr($signers{$algorithm}->($_[0]), 0, -9) });
	is(bearer($half, \%scheme), 'wrong', "$algorithm: ... not with a part of its signature");
}

# --- whose it is ---

is(bearer(token('HS256', \%claims), {}), 'valid', 'HS256 goes without saying');
is(bearer(token('RS256', \%claims), { algorithm => 'RS256' }, $public{other}), 'wrong', 'the key of somebody else');
is(bearer(token('RS256', \%claims), { algorithm => 'RS256' }, $public{other}, $public{rsa}), 'valid',
	'one of two keys, while one is replaced');
is(bearer(token('RS256', \%claims), { algorithm => 'RS256' }, 'no key at all'), 'wrong', 'a key that is none');
is(bearer(token('HS256', \%claims, alg => 'none', signer => sub { '' }), {}), 'malformed', 'no signature');
is(bearer(token('HS256', \%claims, alg => 'none'), {}), 'wrong', 'an algorithm that the token itself chooses: none');
# Whoever knows the public key could sign with it as if it were a secret.
my %known = (signer => sub { hmac_sha256($_[0], $public{rsa}) });
is(bearer(token('HS256', \%claims, %known), { algorithm => 'RS256' }), 'wrong', '... or HMAC with the public key');
is(bearer(token('HS256', \%claims, %known, alg => 'RS256'), { algorithm => 'RS256' }), 'wrong',
	'... under the right name');

# --- what it says ---

my %asks = (claims => { aud => 'integ' });
is(bearer(token('HS256', { %claims, aud => [ 'others', 'integ' ] }), \%asks), 'valid', 'one of several audiences');
is(bearer(token('HS256', { %claims, aud => ['others'] }), \%asks), 'wrong', 'none of several audiences');
is(bearer(token('HS256', { %claims, aud => 'others' }), \%asks), 'wrong', 'another audience');
is(bearer(token('HS256', { exp => $now + 300 }), \%asks), 'wrong', 'no audience');
is(bearer(token('HS256', { %claims, aud => { integ => 1 } }), \%asks), 'wrong', 'an audience that is no text');
is(bearer(token('HS256', { %claims, exp => $now - 30 }), {}), 'valid', 'clocks differ');
is(bearer(token('HS256', { %claims, exp => $now - 61 }), {}), 'stale', 'its time is over');
is(bearer(token('HS256', { iss => 'x' }), {}), 'stale', 'it would hold for ever');
is(bearer(token('HS256', { %claims, nbf => $now + 61 }), {}), 'stale', 'its time has not come');
is(bearer(token('HS256', '[1]'), {}), 'malformed', 'claims that are none');
is(bearer(token('HS256', '{"exp":'), {}), 'malformed', 'claims that are no JSON');

# --- what it looks like ---

my $token = token('HS256', \%claims);
is(verdict({}, {}, $keys{HS256}), 'missing', 'no header');
is(verdict({}, { Authorization => $token }, $keys{HS256}), 'malformed', 'no prefix');
is(verdict({ header => 'X-Token', prefix => '' }, { 'X-Token' => $token }, $keys{HS256}), 'valid', 'in another header');
is(bearer($_, {}), 'malformed', "\"$_\" is no token") for '', 'a', 'a.b', 'a.b.c', '..', '.e30.', "$token.", "!$token";
is(bearer(encode_base64url('{"alg":5}') . '.e30.AAAA', {}), 'wrong', 'an algorithm that is no text');
is(verdict({}, { Authorization => "Bearer $token" }), 'no_key', 'without a key nothing is proven');
my ($state) = $node->sql_error(q(SELECT integ.webhook_verify('{"scheme": "jwt", "algorithm": "HS1"}', '{k}', '{}',
	'')));
is($state, 'IG400', 'an algorithm that there is not');

done_testing();
