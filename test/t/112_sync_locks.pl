# Who holds a lock on a task or an execution stops that one, and nobody else's; nobody waits for each other in a circle.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Sync;
use Integ::Test qw(slurp wait_until);
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

# --- an execution that waits, or runs, and that somebody keeps locked: no worker waits for them for ever ---

my $waiting = q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'integ sync worker'
	AND wait_event_type = 'Lock');
Integ::Sync::task($node, 'kept');
sql(q(INSERT INTO integ.sync_executions_open (task, task_id, client_id, context_id, instance, owner, run_at)
	SELECT id, task_id, client_id, context_id, instance, owner, now() + interval '1 day' FROM integ.sync_tasks
	WHERE task_id = 'kept'));
$session = holder(q(UPDATE integ.sync_executions_open SET run_at = now() WHERE task_id = 'kept'));
others_run('an execution whose row is being changed waits for its change');
let_go($session, 'COMMIT');
wait_for('kept', q(status = 'success'), '... and begins with it');

# Locked while another execution of its task runs, so that it cannot begin before.
sql("UPDATE integ.sync_tasks SET config = $slow WHERE task_id = 'kept'");
my $first = sql(q(SELECT id FROM integ_sync_run('kept')));
Integ::Sync::worker($node, 'kept');
my $second = sql(q(INSERT INTO integ.sync_executions_open (task, task_id, client_id, context_id, instance, owner)
	SELECT id, task_id, client_id, context_id, instance, owner FROM integ.sync_tasks WHERE task_id = 'kept'
	RETURNING id));
$session = holder("SELECT FROM integ.sync_executions_open WHERE id = '$second' FOR UPDATE");
sql("UPDATE integ.sync_tasks SET config = '{}' WHERE task_id = 'kept'");
sql("SELECT integ_sync_cancel('$first')");
$node->wait_for_sql("SELECT status = 'cancelled' FROM integ.sync_executions WHERE id = '$first'", 'its turn');
others_run('an execution that is due and locked stops no other');
is(sql($waiting), 0, '... no worker waits for it');
is(sql("SELECT status FROM integ.sync_executions WHERE id = '$second'"), 'queued', '... it waits itself');
let_go($session, 'ROLLBACK');
wait_for('kept', q(status = 'success'), '... until the lock is gone');

# As long as the owner's lock_timeout says, at most a minute.
sql(q(ALTER ROLE syncer SET lock_timeout = '100ms'));
$_ ne '' and kill 'TERM', $_ for split /\n/,
	sql(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ sync worker'));
$node->wait_for_sql(q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'integ sync worker'),
	'workers that have the new setting');
sql(q(UPDATE integ.sync_tasks SET status = 'active', config = '{"fault": "delay", "ms": 3000}'
	WHERE task_id = 'kept'));
my $kept = sql(q(SELECT id FROM integ_sync_run('kept')));
my $worker = Integ::Sync::worker($node, 'kept');
$session = holder("SELECT FROM integ.sync_executions_open WHERE id = '$kept' FOR UPDATE");
wait_until('its worker to end', sub { !kill 0, $worker });
like(sql(q(SELECT last_error FROM integ_status() WHERE component = 'keeper')), qr/could not obtain lock/,
	'the worker of an execution that stays locked ends, and integ_status() says why');
like(slurp($node->logfile), qr/execution $kept, or its task, has been locked by another transaction for too long/,
	'... as does the log');
others_run('... and its slot is there for others');
is(sql("SELECT status FROM integ.sync_executions WHERE id = '$kept'"), 'running', 'the execution stays as it is');
sql("UPDATE integ.sync_tasks SET config = '{}' WHERE task_id = 'kept'");
let_go($session, 'ROLLBACK');
wait_for('kept', q(status = 'success' AND resumed = 1), '... and goes on when the lock is gone');
is(sql("SELECT id FROM integ.sync_executions WHERE task_id = 'kept' AND status = 'success' ORDER BY id DESC LIMIT 1"),
	$kept, '... as the same');
sql(q(ALTER ROLE syncer RESET lock_timeout));
$_ ne '' and kill 'TERM', $_ for split /\n/,
	sql(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ sync worker'));

# --- an old snapshot, which keeps the index entries of all that has run since: the keeper does not walk them ---

my $many = 2000;
my $read = q(SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_all_indexes
	WHERE relid = 'integ.sync_executions_open'::regclass);
$session = $node->background_psql('postgres');
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM integ.sync_tasks');
sql("BEGIN; INSERT INTO integ.sync_executions_open (task, task_id, client_id, owner, run_at)
	SELECT gen_random_uuid(), 'gone', '*', 'syncer'::regrole, now() - interval '1 hour' FROM generate_series(1, $many);
	UPDATE integ.sync_executions_open SET status = 'running', lease = 1 WHERE task_id = 'gone';
	DELETE FROM integ.sync_executions_open WHERE task_id = 'gone'; COMMIT");
others_run('what has ended is told of');
my $walked = sql($read);
others_run("behind an old snapshot, run $_") for 1 .. 15;
# All is looked at once a minute, which is two walks.
cmp_ok(sql($read) - $walked, '<', 7 * $many, 'what ran under an old snapshot is not gone through again and again');
let_go($session, 'ROLLBACK');

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
