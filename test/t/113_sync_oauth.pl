# A sync whose access token ends in the middle of a list: it is refreshed, once, and the run goes on with the page that
# was refused. One that cannot be refreshed ends the run behind what is stored.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use JSON::PP qw(encode_json);
use Test::More;

my $node = Integ::Cluster->create('main',
	conf => [ "integ.retry_delay = '20ms'", "integ.max_retry_delay = '100ms'", "integ.max_sync_wait = '10min'" ]);
my $provider = Integ::Provider->start;
my $url = $provider->url;
my $sync = Integ::SyncLists->new($node, $provider, {
	authType => 'oauth2', credentialSchema => {},
	oauth2Config => { tokenUrl => "$url/oauth/sync/token", grantType => 'client_credentials',
		tokenEndpointAuthMethod => 'none' } });

$node->safe_psql('postgres', q(SELECT integ_credential_set('definition:sync_lists', 'client_id', 'app')));

sub granted { return $provider->request('GET', '/oauth/sync/seen')->{grants}{'client_credentials granted'} // 0 }
sub tokens { my %seen; return scalar grep { !$seen{ $_->{headers}{authorization} }++ } $provider->log('/sync/records') }

my %list = (n => 4000, limit => 100, at => 37, fault => 'status', code => 401);
$sync->task('once', 'public.once', { %list, key => 'once' });
my $run = $sync->run('once');
is(Integ::SyncLists::summary($run), 'success fetched 4000 created 4000', 'a token that ends on page 37 is refreshed')
	or diag explain $run->{error};
is_deeply($sync->difference('public.once', 4000), [], '... and everything is here once');
is(granted(), 2, '... with one more token');
is(tokens(), 2, '... which the rest of the pages carry');
is($provider->count('/sync/records'), 41, '... and one page was asked for twice');

$sync->task('often', 'public.often', { %list, key => 'often', times => 100 });
$run = $sync->run('often');
is(Integ::SyncLists::summary($run), 'failed fetched 3600 created 3600',
	'where the next one is refused too, the run ends');
is($run->{error}{sqlstate}, 'IG401', '... and says why');
is($node->safe_psql('postgres', q(SELECT status FROM integ.instances WHERE instance_id = 'lists')), 'reauth_required',
	'... as does the instance');
is($node->safe_psql('postgres', 'SELECT count(*) FROM public.often'), 3600, '... what came before is stored');

$node->stop;
done_testing();
