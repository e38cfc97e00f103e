# A sync that is killed at random moments, with its worker, its server, its host: afterwards the target is as the
# source, each record is there once, what others wrote beside it is theirs, and the counters are right.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use Integ::Test qw(rounds seed slurp wait_until);
use Test::More;
use Time::HiRes qw(sleep);

my $rounds = rounds(5, 100);
my $n = $ENV{INTEG_LONG} ? 50_000 : 6_000;
my $node = Integ::Cluster->create('main', conf => [ "integ.max_sync_wait = '10min'", "integ.retry_delay = '20ms'" ]);
my $provider = Integ::Provider->start(token => 'secret');
my $sync = Integ::SyncLists->new($node, $provider);

srand(seed());

sub worker
{
	return $node->safe_psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ sync worker'));
}

my %kills = (
	'kill -9 of the worker' => sub {
		my $pid = worker();
		kill 'KILL', $pid if $pid;
		# The server restarts its processes.
		wait_until('the server to be back', sub { $node->psql('postgres', 'SELECT 1') == 0 });
	},
	'kill -9 of the server' => sub {
		my @pids = ((split /\n/, slurp($node->data_dir . '/postmaster.pid'))[0], worker() || ());
		$node->kill9;
		# Its children leave shared memory a moment later.
		wait_until('the processes to end', sub { !grep { kill(0, $_) } @pids });
		$node->start;
	},
	'an immediate shutdown' => sub { $node->stop('immediate'); $node->start },
	'a restart' => sub { $node->restart });

sub ended
{
	my ($id) = @_;
	my $out;
	return 0 unless $node->psql('postgres', "SELECT status FROM integ.sync_executions
		WHERE id = '$id'", stdout => \$out) == 0;
	return ($out // '') =~ /^(success|partial|failed|cancelled)$/;
}

for my $round (1 .. $rounds)
{
	my $table = "crash$round";
	my $name = (sort keys %kills)[ int(rand(4)) ];
	my $version = 1 + int(rand(3));

	$sync->task($table, "public.$table", { n => $n, limit => 200, without => 13, key => $table });
	my $run = $sync->row("SELECT * FROM integ_sync_run('$table')");
	for (1 .. 1 + int(rand(2)))
	{
		my $behind = int(rand($n * 0.8));
		wait_until('the run to have come so far', sub {
			return ended($run->{id}) || $node->safe_psql('postgres',
				"SELECT coalesce(max(processed_records), 0) >= $behind FROM integ.sync_progress
					WHERE execution = '$run->{id}'") eq 't' });
		# What people write beside it, while it runs.
		$node->safe_psql('postgres', "UPDATE public.$table SET note = 'kept' WHERE value % 7 = 0 AND value <= $behind / 2");
		sleep(rand(0.05));
		$kills{$name}->();
	}
	wait_until('the run to end', sub { ended($run->{id}) }, 300);
	my $end = $sync->row("SELECT * FROM integ.sync_executions WHERE id = '$run->{id}'");
	my $here = $n - int($n / 13);
	is($end->{status}, 'success', "$name: the run goes on and ends") or diag explain $end->{error};
	is_deeply($sync->difference("public.$table", $n, without => 13), [],
		'... the target is as the source, each record once');
	is($end->{fetched}, $here, '... and so many were fetched');
	is($end->{created} + $end->{updated} + $end->{unchanged}, $here, '... and counted');
	is($end->{created}, $here, '... each as created, once');
	is($sync->row("SELECT count(*) AS n, count(DISTINCT external_id) AS d FROM integ.record_links
		WHERE target_table = 'public.$table'::regclass")->{n},
		$here, '... each has its link');
	is($sync->row("SELECT count(*) AS n FROM integ.sync_seen")->{n}, 0, '... and nothing that the run remembered is left');

	# The next one, with changes and deletions at the service, ends in the middle as well.
	$node->safe_psql('postgres', "UPDATE public.$table SET note = 'kept' WHERE value % 5 = 0");
	my $kept = $sync->row("SELECT count(*) AS n FROM public.$table WHERE note = 'kept' AND value % 13 <> 0
		AND value % 11 <> 0")->{n};
	$sync->configure($table, { n => $n, limit => 200, without => 11, version => 2, changed => 3 });
	$run = $sync->row("SELECT * FROM integ_sync_run('$table')");
	sleep(rand(0.5));
	$kills{$name}->();
	wait_until('the second run to end', sub { ended($run->{id}) }, 300);
	$end = $sync->row("SELECT * FROM integ.sync_executions WHERE id = '$run->{id}'");
	is($end->{status}, 'success', 'changes and deletions: the run goes on and ends') or diag explain $end->{error};
	is_deeply($sync->difference("public.$table", $n, without => 11, version => 2, changed => 3), [],
		'... the target is as the source');
	is($sync->row("SELECT count(*) AS n FROM public.$table WHERE note = 'kept' AND value % 13 <> 0")->{n}, $kept,
		'... and what others wrote into columns of theirs is there');
}

done_testing();
