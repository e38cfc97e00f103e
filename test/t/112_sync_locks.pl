# Who holds a lock on a task or an execution stops that one, and nobody else's; nobody waits for each other in a circle.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Sync;
use Integ::Test qw(slurp);
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('main',
	conf => [ 'integ.max_sync_workers = 4', 'integ.instance_sync_concurrency = 4' ]);
Integ::Sync::set_up($node, $provider);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub wait_for { return Integ::Sync::wait_for($node, @_) }

# The keeper has looked at what is due after this.
sub others_run
{
	my ($what) = @_;
	sql(q(UPDATE integ.sync_tasks SET next_run_at = now() WHERE task_id = 'other'));
	wait_for('other', q(completed_at IS NOT NULL AND scheduled_for = (SELECT max(scheduled_for) FROM integ.sync_executions
		WHERE task_id = 'other')), $what);
	return;
}

sub holder
{
	my ($statement) = @_;
	my $session = $node->background_psql('postgres');
	$session->query_safe("BEGIN; $statement");
	return $session;
}

sub let_go
{
	my ($session, $how) = @_;
	$session->query_safe($how);
	$session->quit;
	return;
}

my $runs = 0;
my $slow = q('{"fault": "delay", "ms": 600000}');
Integ::Sync::task($node, $_, schedule => q('{"every": "1 hour"}')) for qw(other locked);

# --- a task that is due ---

# Locked before it is due, however long a session takes to begin.
my $lock = q(SELECT FROM integ.sync_tasks WHERE task_id = 'locked' FOR UPDATE);
my ($session, $seconds, $in_time) = (undef, 0.5, 'f');
while ($in_time ne 't')
{
	let_go($session, 'ROLLBACK') if $session;
	$seconds *= 2;
	sql("UPDATE integ.sync_tasks SET next_run_at = now() + interval '$seconds seconds' WHERE task_id = 'locked'");
	$session = holder($lock);
	$in_time = $session->query_safe(q(SELECT next_run_at > clock_timestamp() FROM integ.sync_tasks
		WHERE task_id = 'locked'));
}
my $before = sql(q(SELECT count(*) FROM integ.sync_executions WHERE task_id = 'locked'));
$node->wait_for_sql(q(SELECT next_run_at <= now() FROM integ.sync_tasks WHERE task_id = 'locked'),
	'a task is due whose row is locked');
others_run('a locked task stops no other');
others_run('... however often');
is(sql(q(SELECT count(*) FROM integ.sync_executions WHERE task_id = 'locked')), $before, 'it does not run');
let_go($session, 'ROLLBACK');
$node->wait_for_sql("SELECT count(*) = $before + 1 FROM integ.sync_executions_done WHERE task_id = 'locked'",
	'but once the lock is gone, of which nobody tells');

# --- an execution that a slot is to end ---

for my $case ([ 'queued retry', 'skip', q(trigger = 'retry') ], [ 'execution', 'cancel', 'true' ])
{
	my ($what, $policy, $condition) = @$case;

	sql("INSERT INTO integ.sync_executions_open (task, task_id, client_id, context_id, instance, owner, trigger, run_at)
		SELECT id, task_id, client_id, context_id, instance, owner, 'retry', now() + interval '1 day' FROM integ.sync_tasks
		WHERE task_id = 'locked'");
	$session = holder(q(SELECT FROM integ.sync_executions_open WHERE task_id = 'locked' FOR UPDATE));
	sql("UPDATE integ.sync_tasks SET overlap_policy = '$policy', next_run_at = now() WHERE task_id = 'locked'");
	others_run("a $what that is locked and is to give way to a slot stops no other");
	is(sql(q(SELECT status || ' ' || (next_run_at <= now()) FROM integ.sync_tasks WHERE task_id = 'locked')),
		'active true',
		'... its task stays due and active');
	let_go($session, 'ROLLBACK');
	wait_for('locked', q(trigger = 'schedule' AND status = 'success'), '... and runs when the lock is gone');
	is(sql(q(SELECT count(*) FROM integ.sync_executions
		WHERE task_id = 'locked' AND trigger = 'retry' AND status = 'cancelled')),
		++$runs, '... in place of what waited');
}

# --- an execution that is to end ---

sql("INSERT INTO integ.sync_executions_open (task, task_id, client_id, context_id, instance, owner, run_at)
	SELECT id, task_id, client_id, context_id, instance, owner, now() + interval '1 day' FROM integ.sync_tasks
	WHERE task_id = 'locked'");
$session = holder($lock);
sql(q(SELECT integ_sync_cancel(id) FROM integ.sync_executions_open WHERE task_id = 'locked'));
others_run('an execution that is to be cancelled and whose task is locked stops no other');
is(sql(q(SELECT count(*) FROM integ.sync_executions_open WHERE task_id = 'locked')), 1, '... and waits');
let_go($session, 'ROLLBACK');
wait_for('locked', q(status = 'cancelled'), '... until the lock is gone');

# --- an execution whose worker has ended, and which nobody can give back ---

Integ::Sync::task($node, 'orphan', config => $slow);
sql(q(SELECT integ_sync_run('orphan')));
my $pid = Integ::Sync::worker($node, 'orphan');
$session = holder(q(SELECT FROM integ.sync_executions_open WHERE task_id = 'orphan' FOR UPDATE));
sql("UPDATE integ.sync_tasks SET config = '{}' WHERE task_id = 'orphan'");
kill 'TERM', $pid;
others_run('an execution that its worker cannot give back stops no other');
let_go($session, 'ROLLBACK');
wait_for('orphan', q(status = 'success'), '... and goes on when the lock is gone');

# --- a run that ends while its task is paused: both take the task first ---

Integ::Sync::task($node, 'pausing');
$session = holder(q(SELECT FROM integ.sync_tasks WHERE task_id = 'pausing' FOR NO KEY UPDATE));
my $execution = sql(q(INSERT INTO integ.sync_executions_open (task, task_id, client_id, context_id, instance, owner)
	SELECT id, task_id, client_id, context_id, instance, owner FROM integ.sync_tasks WHERE task_id = 'pausing'
	RETURNING id));
$node->wait_for_sql(q(SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'integ sync worker' AND wait_event_type = 'Lock'),
	'a run that has ended waits for its task');
$session->query_safe(q(SELECT integ_sync_pause('pausing')));
let_go($session, 'COMMIT');
wait_for('pausing', 'completed_at IS NOT NULL', 'the one who has the task first is the first');
is(sql(q(SELECT status FROM integ.sync_tasks WHERE task_id = 'pausing')), 'paused', 'it is paused');
is(sql("SELECT count(*) FROM integ.sync_executions WHERE id = '$execution' AND resumed = 0"), 1,
	'and nobody had to begin anew');

# --- a run that is cancelled when all of it is stored ---

Integ::Sync::task($node, 'late');
$session = holder(q(SELECT FROM integ.sync_tasks WHERE task_id = 'late' FOR NO KEY UPDATE));
$execution = sql(q(INSERT INTO integ.sync_executions_open (task, task_id, client_id, context_id, instance, owner)
	SELECT id, task_id, client_id, context_id, instance, owner FROM integ.sync_tasks WHERE task_id = 'late'
	RETURNING id));
my $waits = q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'integ sync worker'
	AND wait_event_type = 'Lock' AND pg_blocking_pids(pid) = ARRAY[%s]);
$node->wait_for_sql(sprintf($waits, $session->query_safe('SELECT pg_backend_pid()')), 'it waits for its task');
my $canceller = holder("SELECT integ_sync_cancel('$execution')");
let_go($session, 'ROLLBACK');
$node->wait_for_sql(sprintf($waits, $canceller->query_safe('SELECT pg_backend_pid()')), 'then for whoever cancels it');
let_go($canceller, 'COMMIT');
wait_for('late', 'completed_at IS NOT NULL', 'a cancel that comes too late ends nothing');
is(sql("SELECT status || ' ' || (created = fetched) || ' ' || (reason IS NULL) FROM integ.sync_executions
	WHERE id = '$execution'"), 'success true true', 'what is done is done');
unlike(slurp($node->logfile), qr/deadlock detected/, 'nor was anybody in a circle');

$node->stop;
done_testing();
