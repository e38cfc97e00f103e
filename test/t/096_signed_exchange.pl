# A signed token that is exchanged for an access token at the service's own
# address, as for the installations of a GitHub App.

use strict;
use warnings;

use HTTP::Tiny;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp);
use IPC::Run;
use JSON::PP;
use Test::More;

my $node = Integ::Cluster->create('main', conf => ["integ.log_flush = '50ms'"]);
my $provider = Integ::Provider->start;
my $url = $provider->url;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub seen { return $provider->request('GET', '/oauth/app/seen') }
sub shown { my ($header) = map { $_->{headers}{authorization} } ($provider->log('/echo'))[-1]; return $header }

my $file = $node->basedir . '/key.pem';
system("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $file 2>/dev/null") == 0 or die 'no key';
my $pem = slurp($file);
my $other = `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null`;
HTTP::Tiny->new->put("$url/oauth/app/key", { content => scalar `openssl pkey -in $file -pubout 2>/dev/null` })->{success}
  or die 'the service takes no key';

sub define
{
	my ($version, $query) = @_;
	my $manifest = encode_json({
		integrationId => 'app', name => 'App', version => $version, category => 'custom', baseUrl => '{config.base_url}',
		configSchema => { type => 'object', properties => { base_url => { type => 'string' }, installation => { type => 'string' } } },
		credentialSchema => { type => 'object', properties => { key => { type => 'string' } } },
		authType => 'jwt',
		auth => { value => 'token {credentials.access_token}', jwt => {
			algorithm => 'RS256', issuer => 'app-7', audience => 'the service', expiresInSeconds => 540,
			tokenUrl => "{config.base_url}/oauth/app/installation?audience=the%20service&for={config.installation}$query",
			tokenFields => { access_token => '.token', expires_in => '.expires_at' }, expiresUnit => 'iso8601' } },
		methods => [{ id => 'echo', name => 'Echo', access => 'read', inputSchema => {}, outputSchema => {},
			request => { method => 'GET', path => '/echo' }, response => { map => '.path' } },
			{ id => 'me', name => 'Me', access => 'read', inputSchema => {}, outputSchema => {},
			request => { method => 'GET', path => '/oauth/app/me' } }] });
	sql("SELECT integ_define(\$manifest\$$manifest\$manifest\$)");
}
define('1.0.0', '');
sql(qq(SELECT integ_connect('app', 'app_main', '{"base_url": "$url", "installation": "42"}')));

my ($state, $report) = $node->sql_error(q(SELECT integ_execute('app_main', 'echo')));
is($state, 'IG401', 'without a key there is no token');
like($report, qr/HINT: .*integ_credential_set/, 'and the hint says so');
is($provider->count('/oauth/app/installation'), 0, 'nothing was asked for');

sql(qq(SELECT integ_credential_set('app_main', 'key', \$\$$pem\$\$)));
is(sql(q(SELECT integ_execute('app_main', 'echo'))), '"/echo"', 'a call obtains its token by itself');
is(shown(), 'token ghs-app-1', 'and goes with it');
my $claims = seen()->{claims};
is($claims->{iss}, 'app-7', 'the service verified the signed token');
cmp_ok($claims->{exp} - $claims->{iat}, '==', 540, 'which lives as long as the manifest says');
is(($provider->log('/oauth/app/installation'))[0]{query}, 'audience=the%20service&for=42', 'at the address of the instance');
is(sql(q(SELECT integ_execute('app_main', 'me') ->> 'token')), '*********', 'the token is masked where it is echoed');
my $id = sql(q(SELECT integ_enqueue('app_main', 'echo')));
is(sql(qq(SELECT integ_await('$id', '30 s') ->> 'state')), 'succeeded', 'a durable call uses it');
is($provider->count('/oauth/app/installation'), 1, 'the token is kept');
is(sql(q(SELECT t.expires_at BETWEEN now() + '58 minutes' AND now() + '61 minutes' FROM integ.oauth_tokens t)), 't', 'until it expires');
is(sql(q(SELECT count(*) FROM integ.oauth_tokens t JOIN integ.instances i ON i.id = t.instance WHERE t.refresh_at < t.expires_at)), '1',
	'and is refreshed before');

# One request, however many wait for it.
sql(q(UPDATE integ.credentials SET expires_at = now() - interval '1 s' WHERE name = 'access_token'));
my @sessions = map {
	my %io = (in => q(SELECT integ_execute('app_main', 'echo')), out => '');
	$io{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$io{in}, '>', \$io{out}, '2>&1');
	\%io;
} 1 .. 8;
$_->{run}->finish for @sessions;
is(join(' ', map { $_->{out} =~ s/\s+$//r } @sessions), join(' ', ('"/echo"') x 8), 'eight sessions need a new one at once');
is($provider->count('/oauth/app/installation'), 2, 'and obtain it together');
$node->wait_for_sql(q(SELECT count(*) = 2 FROM integ.audit_log WHERE action = 'oauth.refresh' AND outcome = 'succeeded'), 'each token is in the audit');

# A token that the service has taken back is replaced once.
sql(q(SELECT integ_oauth_refresh('app_main')));
is($provider->count('/oauth/app/installation'), 3, 'a new one can be asked for');

# A key that is not the service's.
sql(qq(SELECT integ_credential_set('app_main', 'key', \$\$$other\$\$)));
($state, $report) = $node->sql_error(q(SELECT integ_oauth_refresh('app_main')));
is($state, 'IG401', 'another key is refused');
unlike($report, qr/BEGIN|eyJ/, 'and nothing secret is said');
is(sql(q(SELECT count(*) FROM integ.requests WHERE requests::text ~ 'ghs-|eyJ')), '0', 'nor in the log');
sql(q(SELECT integ_credential_set('app_main', 'key', 'no key at all')));
($state, $report) = $node->sql_error(q(SELECT integ_oauth_refresh('app_main')));
is($state, 'IG401', 'what is no key signs nothing');

done_testing();
