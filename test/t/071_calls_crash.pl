# Kills at random moments while calls are under way: every call ends, no read is
# lost, no write is sent twice, and none whose outcome is known is sent again.

use strict;
use warnings;

use Integ::Calls;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(rounds seed slurp wait_until);
use Test::More;
use Time::HiRes qw(sleep);

seed();
my $rounds = rounds(5, 60);
my $calls = rounds(900, 10000);
my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('crash', conf => [ 'integ.dispatchers = 2', 'integ.retry_delay = 20ms' ]);

Integ::Calls::connect($node, 'postgres', map { ("host_$_" => $provider->url) } 1 .. 7);
Integ::Calls::connect_shared($node, 'postgres', host_0 => $provider->url);
$node->safe_psql('postgres', <<"SQL");
SELECT count(integ_enqueue('host_' || g % 8, (ARRAY['read', 'write', 'keyed'])[g % 3 + 1],
    jsonb_build_object('a', 'echo', 'b', 'n' || g, 'fault', 'delay', 'ms', 60), jsonb_build_object('max_attempts', 10)))
FROM generate_series(1, $calls) g
SQL

# One of the two, once both are there.
sub dispatcher_pid
{
	my ($status, $pids) = $node->psql('postgres', q(SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'integ dispatcher'));
	my @pids = $status == 0 ? split(/\n/, $pids) : ();
	return @pids == 2 ? $pids[ rand @pids ] : 0;
}

sub wait_for_another
{
	my ($gone) = @_;
	return wait_until('another dispatcher', sub {
		my ($status, $count) = $node->psql('postgres', "SELECT count(*) FROM pg_stat_activity
			WHERE backend_type = 'integ dispatcher' AND pid <> $gone");
		return $status == 0 && $count eq '2'; });
}

my $killed = 0;
my %kill = (
	dispatcher => sub {
		my $pid = wait_until('a dispatcher', \&dispatcher_pid);
		kill 'KILL', $pid;
		wait_for_another($pid);
	},
	terminate => sub {
		my $pid = wait_until('a dispatcher', \&dispatcher_pid);
		kill 'TERM', $pid;
		wait_for_another($pid);
	},
	postmaster => sub {
		my $pid = (split /\n/, slurp($node->data_dir . '/postmaster.pid'))[0];
		my $worker = dispatcher_pid();
		$node->kill9;
		# Its children leave shared memory a moment later.
		wait_until('the processes to end', sub { !kill(0, $pid) && !($worker && kill(0, $worker)) });
		$node->start;
	},
	immediate => sub { $node->stop('immediate'); $node->start; },
	fast => sub { $node->stop('fast'); $node->start; });
my @kinds = sort keys %kill;

for my $round (1 .. $rounds)
{
	my $kind = $round <= @kinds ? $kinds[ $round - 1 ] : $kinds[ rand @kinds ];
	sleep(0.2 + rand 0.5);
	my $left = $node->safe_psql('postgres', 'SELECT count(*) FROM integ.calls_open');
	note("round $round: $kind, $left calls left");
	$killed++ if $left > 0;
	$kill{$kind}->();
}
cmp_ok($killed, '>', 0, 'calls were under way at the kills');

$node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', 'every call to end');
is($node->safe_psql('postgres', 'SELECT count(*) FROM integ.calls_done'), $calls, 'none is lost');
is( $node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls_done WHERE method <> 'write'
	AND state <> 'succeeded')),
	0, 'every read and every keyed write succeeded');
is( $node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls_done WHERE method = 'write'
	AND state NOT IN ('succeeded', 'unknown'))),
	0, 'every other write succeeded, or says that its outcome is unknown');
note('unknown: ' . $node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls_done WHERE state = 'unknown')));
is( $node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls_done WHERE state = 'unknown'
	AND (error_hint IS NULL OR last_sqlstate IS NULL))),
	0, 'and what a person can do');

my %state = map { split /\|/ } split /\n/,
  $node->safe_psql('postgres', q(SELECT input ->> 'b', state FROM integ.calls_done WHERE method = 'write'));
my $counts = $provider->count;
my @twice = grep { ($counts->{"/echo/$_"} // 0) > 1 } keys %state;
my @missing = grep { $state{$_} eq 'succeeded' && ($counts->{"/echo/$_"} // 0) != 1 } keys %state;
is_deeply(\@twice, [], 'no write was sent twice');
is_deeply(\@missing, [], 'every write that succeeded arrived');

$node->wait_for_sql('SELECT count(*) = 2 FROM integ.dispatcher_leases',
	'nothing to be left of the dispatchers that ended');
$node->stop;
done_testing();
