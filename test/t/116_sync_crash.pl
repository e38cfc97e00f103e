# A sync that is killed at random moments, with its worker, its keeper, its server: afterwards the target is as the
# source, each record is there once, what others wrote beside it is theirs, and the counters are right.
#
# A round has three kills of one kind: two in a first run, one in a run with changes and deletions.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use Integ::Test qw(rounds seed slurp wait_until);
use Test::More;
use Time::HiRes qw(sleep);

my $rounds = rounds(2, 34); # of each kind
my $n = $ENV{INTEG_LONG} ? 50_000 : 4_000;
my $limit = $ENV{INTEG_LONG} ? 500 : 200;
my $node = Integ::Cluster->create('main',
	conf => [ "integ.max_sync_wait = '10min'", "integ.retry_delay = '20ms'", 'log_statement = none' ]);
my $provider = Integ::Provider->start(token => 'secret');
my $sync = Integ::SyncLists->new($node, $provider);

srand(seed());

# --- who is killed ---

sub process
{
	my ($type) = @_;
	my $out;
	return 0 unless $node->psql('postgres', "SELECT max(pid) FROM pg_stat_activity WHERE backend_type = '$type'",
		stdout => \$out) == 0;
	return $out || 0;
}

# The server then restarts its processes.
sub kill_process
{
	my ($type) = @_;
	my $pid = process($type);
	kill 'KILL', $pid if $pid;
	wait_until('the server to be back', sub { !($pid && kill 0, $pid) && $node->psql('postgres', 'SELECT 1') == 0 });
	return;
}

sub kill_server
{
	my @pids = ((split /\n/, slurp($node->data_dir . '/postmaster.pid'))[0], process('integ sync worker') || ());
	$node->kill9;
	# Its children leave shared memory a moment later.
	wait_until('the processes to end', sub { !grep { kill(0, $_) } @pids });
	$node->start;
	return;
}

my %kills = (
	'kill -9 of the worker' => sub { kill_process('integ sync worker') },
	'kill -9 of the keeper' => sub { kill_process('integ keeper') },
	'kill -9 of the server' => \&kill_server,
	'an immediate shutdown' => sub { $node->stop('immediate'); $node->start });

# --- what goes on meanwhile ---

sub ended
{
	my ($run) = @_;
	my $out;
	return 0 unless $node->psql('postgres', "SELECT completed_at IS NOT NULL FROM integ.sync_executions
		WHERE id = '$run->{id}'", stdout => \$out) == 0;
	return ($out // '') eq 't';
}

sub wait_for_end
{
	my ($run) = @_;
	wait_until('the run to end', sub { ended($run) }, 600);
	return $sync->row("SELECT * FROM integ.sync_executions WHERE id = '$run->{id}'");
}

sub wait_for_records
{
	my ($run, $count) = @_;
	wait_until('the run to have come so far', sub {
		return ended($run) || $node->safe_psql('postgres', "SELECT coalesce(max(processed_records), 0) >= $count
			FROM integ.sync_progress WHERE execution = '$run->{id}'") eq 't' }, 600);
	return;
}

# What people write beside it; a deadlock with it is theirs to repeat.
sub edit
{
	my ($statement) = @_;
	wait_until('an edit', sub { $node->psql('postgres', $statement) == 0 });
	return;
}

sub count { return $sync->row("SELECT count(*) AS n FROM $_[0]")->{n} }

# --- rounds ---

sub first_run
{
	my ($table, $name) = @_;
	my $here = $n - int($n / 13);

	$sync->task($table, "public.$table", { n => $n, limit => $limit, without => 13, key => $table });
	my $run = $sync->row("SELECT * FROM integ_sync_run('$table')");
	for (1 .. 2)
	{
		my $behind = int(rand($n * 0.8));
		wait_for_records($run, $behind);
		edit("UPDATE public.$table SET note = 'kept' WHERE value % 7 = 0 AND value <= $behind / 2");
		sleep(rand(0.05));
		$kills{$name}->();
	}
	my $end = wait_for_end($run);
	is(Integ::SyncLists::summary($end), "success fetched $here created $here",
		"$name: the run goes on and ends, each record counts once") or diag explain $end->{error};
	is_deeply($sync->difference("public.$table", $n, without => 13), [],
		'... the target is as the source, each record once');
	is(count("integ.record_links WHERE target_table = 'public.$table'::regclass"), $here, '... each has its link');
	is(count('integ.sync_seen'), 0, '... and nothing that the run remembered is left');
	return;
}

sub second_run
{
	my ($table, $name) = @_;
	my $known = "public.$table WHERE value % 13 <> 0";
	my $here = $n - int($n / 11);

	edit("UPDATE public.$table SET note = 'kept' WHERE value % 5 = 0");
	my $kept = count("$known AND value % 11 <> 0 AND value % 5 <> 1 AND note = 'kept'");
	$sync->configure($table, { n => $n, limit => $limit, without => 11, version => 2, changed => 3 });
	my $run = $sync->row("SELECT * FROM integ_sync_run('$table')");
	sleep(rand(0.5));
	edit("UPDATE public.$table SET note = 'late' WHERE value % 5 = 1");
	$kills{$name}->();
	my $end = wait_for_end($run);
	is($end->{status}, 'success', "$name, among changes and deletions: the run goes on and ends")
		or diag explain $end->{error};
	is($end->{fetched}, $here, '... each record is counted once');
	is($end->{created} + $end->{updated} + $end->{unchanged}, $here, '... as what became of it');
	is($end->{deleted}, int($n / 11) - int($n / 143), '... and each that has gone');
	is_deeply($sync->difference("public.$table", $n, without => 11, version => 2, changed => 3), [],
		'... the target is as the source');
	is(count("$known AND note = 'kept'"), $kept, '... and what others wrote into columns of theirs is there');
	is(count("$known AND value % 5 = 1 AND note IS DISTINCT FROM 'late'"), 0, '... also what they wrote while it ran');
	return;
}

my $round = 0;
for my $name (map { sort keys %kills } 1 .. $rounds)
{
	my $table = 'crash' . ++$round;

	first_run($table, $name);
	second_run($table, $name);
	$node->safe_psql('postgres', "DELETE FROM integ.sync_tasks WHERE task_id = '$table';
		DROP TABLE public.$table; DELETE FROM integ.record_links");
}

done_testing();
