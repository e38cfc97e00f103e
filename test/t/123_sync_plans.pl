# What a page costs does not grow with the table: also before anybody has analyzed it, no statement of a sync looks at
# rows that its page does not name.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use Integ::Test qw(slurp);
use Test::More;

my ($n, $limit) = (1200, 100);
my $provider = Integ::Provider->start(token => 'secret');
my $node = Integ::Cluster->create('main', conf => [
	"shared_preload_libraries = 'integ, auto_explain'", 'autovacuum = off',
	'auto_explain.log_min_duration = 0', 'auto_explain.log_nested_statements = on', 'auto_explain.log_analyze = on',
	'auto_explain.log_timing = off' ]);
my $sync = Integ::SyncLists->new($node, $provider);

# The statements that a worker runs for pages, and how many rows each threw away.
sub wasteful
{
	my ($from) = @_;
	my (%statements, @wasteful);

	for my $entry (split /\n(?=\d{4}-\d\d-\d\d )/, substr(slurp($node->logfile), $from))
	{
		my ($query) = $entry =~ /plan:\n\tQuery Text: (.*?)\n\t(?=[A-Z][\w ]+(?: \(| on |\())/s or next;
		next unless $query =~ /\$1/ && $query =~ /record_links|sync_seen|public\.copy/;
		$statements{$query} = 1;
		push @wasteful, "$1: $query" if $entry =~ /(Rows Removed by Join Filter: \d{3,})/;
	}
	cmp_ok(scalar(keys %statements), '>=', 5, 'the plans are in the log');
	return join("\n", @wasteful);
}

$sync->task('copy', 'public.copy', { n => $n, limit => $limit, without => 13 });
is(Integ::SyncLists::summary($sync->run('copy')), 'success fetched 1108 created 1108', 'a first run');

my $before = -s $node->logfile;
$sync->configure('copy', { n => $n, limit => $limit, without => 11, version => 2, changed => 3 });
is($sync->run('copy')->{status}, 'success', 'a run with changes, new records and records that have gone');
is_deeply($sync->difference('public.copy', $n, without => 11, version => 2, changed => 3), [],
	'the target is as the source');
is(wasteful($before), '', '... and no statement has looked at other rows');

# A whole page that fails.
$node->safe_psql('postgres', q(ALTER TABLE public.copy ADD CONSTRAINT never CHECK (name IS NULL) NOT VALID));
$before = -s $node->logfile;
$sync->configure('copy', { n => $n, limit => $limit, without => 11, version => 3, changed => 2 });
cmp_ok($sync->run('copy')->{failed}, '>', 400, 'a run whose records fail');
is(wasteful($before), '', '... costs no more');

done_testing();
