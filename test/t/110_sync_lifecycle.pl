# Executions of sync tasks from the moment they are asked for to the moment they
# have ended, whatever happens to them meanwhile.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Sync;
use Integ::Test qw(slurp wait_until);
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('main', conf => [ 'integ.max_sync_workers = 3',
	'integ.instance_sync_concurrency = 3', "integ.retry_delay = '20ms'" ]);
Integ::Sync::set_up($node, $provider);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub task { return Integ::Sync::task($node, @_) }
sub wait_for { return Integ::Sync::wait_for($node, @_) }
sub last_one
{
	my ($name, $columns) = @_;
	return sql("SELECT $columns FROM integ.sync_executions WHERE task_id = '$name' ORDER BY id DESC LIMIT 1");
}
my $slow = q('{"fault": "delay", "ms": 600000}');
my $fast = q('{}');

# --- a run, and what it leaves ---

task('first');
my $countries = sql(q(SELECT fetched FROM integ_sync_run('first', wait => true)));
cmp_ok($countries, '>', 200, 'a run brings the records');
is(sql('SELECT count(*) FROM synced.first'), $countries, 'into the table');
is(last_one('first', q(status || ' ' || phase || ' ' || trigger || ' ' || triggered_by || ' ' || owner || ' '
	|| (created = fetched) || ' ' || (duration > '0'))),
	'success complete manual postgres syncer true true', 'its execution says how');
is(sql(q(SELECT status || ' ' || last_run_status || ' ' || (stats ->> 'totalRuns') || ' '
	|| (stats ->> 'successfulRuns')
	|| ' ' || (stats ->> 'recordsCreated')::int || ' ' || (last_run_at IS NOT NULL) FROM integ.sync_tasks
		WHERE task_id = 'first')),
	"active success 1 1 $countries true", 'and its task counts it');
is(sql(q(SELECT string_agg(kind, ' ' ORDER BY id) FROM integ.events WHERE payload ->> 'task' = 'first')),
	'sync.started sync.finished', 'events tell of it');
is(sql('SELECT count(*) FROM integ.notifications'), 0, 'a success that nobody asked to hear of notifies nobody');

sql(q(BEGIN; SELECT integ_sync_run('first'); ROLLBACK));
wait_for('first', 'completed_at IS NOT NULL', 'a run outlives the rollback of its caller');
is(last_one('first', q(status || ' ' || unchanged)), "success $countries", 'and finds all unchanged');

my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN integ_sync');
my $heard = sql(q(SELECT id FROM integ_sync_run('first', wait => true)));
wait_until('a notification', sub { $listener->query('SELECT 1') =~ /"integ_sync" with payload "[^"]*\Q$heard\E/ });
$listener->quit;
ok(1, 'who listens hears of its end');

# --- under way: asked again, shown, cancelled, paused, deleted ---

task('slow', config => $slow);
my $execution = sql(q(SELECT id FROM integ_sync_run('slow')));
Integ::Sync::worker($node, 'slow');
is(sql(q(SELECT task_id || ' ' || status || ' ' || phase || ' ' || processed_records FROM integ.sync_progress)),
	'slow running fetching 0', 'its progress is shown');
my ($state, $report) = $node->sql_error(q(SELECT integ_sync_run('slow')));
is($state, 'IG409', 'a task runs once at a time');
like($report, qr/HINT: .*integ_sync_cancel/, 'and what to do');
($state, $report) = $node->sql_error("SELECT integ_sync_retry('$execution')");
is($state, 'IG404', 'what has not ended cannot be repeated');
task('patient', config => $slow);
($state, $report) = $node->sql_error(q(SELECT integ_sync_run('patient', wait => true, options => '{"timeout": 100}')));
is($state, 'IG504', 'who waits, waits as long as it says');
is(last_one('patient', 'completed_at IS NULL'), 't', '... while the run goes on');
sql(q(SELECT integ_sync_cancel(id) FROM integ.sync_executions_open WHERE task_id = 'patient'));
wait_for('patient', q(status = 'cancelled'), 'its end');
is(sql("BEGIN; SELECT integ_sync_cancel('$execution'); ROLLBACK"), 'running', 'a cancel that is rolled back');
is(sql("SELECT status || cancel_requested FROM integ.sync_executions WHERE id = '$execution'"), 'runningfalse',
	'is none');
is(sql("SET ROLE syncer; SELECT integ_sync_cancel('$execution')"), 'running', 'a cancel');
wait_for('slow', q(status = 'cancelled'), 'ends it');
is(last_one('slow', 'reason'), 'cancelled by sue', 'and says who');
is(sql(q(SELECT status || ' ' || last_run_status FROM integ.sync_tasks WHERE task_id = 'slow')), 'active cancelled',
	'the task stays active');
is(sql(q(SELECT count(*) FROM integ.notifications)), 0, 'what a person ended notifies nobody');

for my $end ([ 'paused', q(SELECT integ_sync_pause('slow')), 'the task was paused' ],
	[ 'updated', q(UPDATE integ.sync_tasks SET status = 'disabled' WHERE task_id = 'slow'), 'the task was disabled' ],
	[ 'without its schema', q(DELETE FROM integ.conversion_schemas WHERE schema_id = 'slow'),
		'the conversion schema of the task was deleted' ])
{
	sql(q(SELECT integ_sync_resume('slow'))) if $end->[0] ne 'paused';
	$execution = sql(q(SELECT id FROM integ_sync_run('slow')));
	Integ::Sync::worker($node, 'slow');
	sql($end->[1]);
	wait_for('slow', q(status = 'cancelled'), "the run of a task that is $end->[0] ends");
	is(last_one('slow', 'reason'), $end->[2], 'and says why');
}
is(sql(q(SELECT status || ' ' || (last_error ->> 'message') FROM integ.sync_tasks WHERE task_id = 'slow')),
	'error its conversion schema was deleted', 'a task without its schema is in error');

sql(sprintf q(SET ROLE syncer; SELECT integ_connect('life', 'leaving', '{"base_url": "%s"}')), $provider->url);
task('lonely', config => $slow);
sql(q(UPDATE integ.sync_tasks SET instance = (SELECT id FROM integ.instances WHERE instance_id = 'leaving')
	WHERE task_id = 'lonely'));
sql(q(SELECT integ_sync_run('lonely')));
Integ::Sync::worker($node, 'lonely');
sql(q(DELETE FROM integ.instances WHERE instance_id = 'leaving'));
wait_for('lonely', q(status = 'cancelled'), 'the run of a task whose instance is deleted ends');
is(last_one('lonely', 'reason'), 'the instance of the task was deleted', 'and says why');
is(sql(q(SELECT status || ' ' || (last_error ->> 'message') FROM integ.sync_tasks WHERE task_id = 'lonely')),
	'error its instance was deleted', 'the task is in error');

task('gone', config => $slow);
sql(q(SELECT integ_sync_run('gone')));
Integ::Sync::worker($node, 'gone');
sql(q(DELETE FROM integ.sync_tasks WHERE task_id = 'gone'));
wait_for('gone', q(status = 'cancelled'), 'the run of a task that is deleted ends');
is(last_one('gone', 'reason'), 'the task was deleted', 'and says why');

# --- its worker ends ---

task('killed', config => $slow);
for my $signal (qw(TERM KILL))
{
	sql("UPDATE integ.sync_tasks SET config = $slow WHERE task_id = 'killed'");
	$execution = sql(q(SELECT id FROM integ_sync_run('killed')));
	my $pid = Integ::Sync::worker($node, 'killed');
	sql("UPDATE integ.sync_tasks SET config = $fast WHERE task_id = 'killed'");
	kill $signal, $pid;
	wait_until('the server', sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
	wait_for('killed', 'completed_at IS NOT NULL', "an execution whose worker got $signal goes on");
	is(last_one('killed', q(id || ' ' || status || ' ' || fetched || ' ' || resumed)), "$execution success $countries 1",
		'as the same execution');
	is(sql('SELECT count(*) FROM synced.killed'), $countries, 'and its records are there');
}

# --- the keeper ends, and the server ---

sql("UPDATE integ.sync_tasks SET config = $slow WHERE task_id = 'killed'");
$execution = sql(q(SELECT id FROM integ_sync_run('killed')));
my $worker = Integ::Sync::worker($node, 'killed');
my $keeper = sql(q(SELECT pg_terminate_backend(pid)::text || pid FROM pg_stat_activity
	WHERE backend_type = 'integ keeper'));
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ_status() WHERE component = 'keeper' AND state = 'running'),
	'another keeper');
is(Integ::Sync::worker($node, 'killed'), $worker, 'a worker does not end with the keeper');
sql("SELECT integ_sync_cancel('$execution')");
wait_for('killed', q(status = 'cancelled'), 'and the next keeper tells it to stop');

sql(q(SELECT integ_sync_run('killed')));
Integ::Sync::worker($node, 'killed');
sql("UPDATE integ.sync_tasks SET config = $fast WHERE task_id = 'killed'");
$node->stop('fast');
$node->start;
wait_for('killed', q(status = 'success'), 'an execution goes on after a restart of the server');

# --- the schedule ---

task('timed', schedule => q('{"every": "1 hour"}'));
is(sql(q(SELECT next_run_at > now() + interval '59 minutes' FROM integ.sync_tasks WHERE task_id = 'timed')), 't',
	'a task begins an interval later');
sql(q(UPDATE integ.sync_tasks SET next_run_at = now() WHERE task_id = 'timed'));
wait_for('timed', q(status = 'success'), 'setting next_run_at runs it');
is(last_one('timed', q(trigger || ' ' || (scheduled_for IS NOT NULL))), 'schedule true', 'as a slot of its schedule');
is(sql(q(SELECT next_run_at BETWEEN now() + interval '59 minutes' AND now() + interval '61 minutes'
	FROM integ.sync_tasks WHERE task_id = 'timed')),
	't', 'from which it goes on');

# Three slots of an hour ago and earlier, each run in its turn.
sql(q(UPDATE integ.sync_tasks SET catchup_policy = 'all', next_run_at = now() - interval '150 minutes'
	WHERE task_id = 'timed'));
$node->wait_for_sql(q(SELECT count(*) = 4 FROM integ.sync_executions_done
	WHERE task_id = 'timed' AND status = 'success'), 'missed slots run');
is(sql(q(SELECT bool_and(started_at >= before)
	FROM (SELECT started_at, lag(completed_at) OVER (ORDER BY scheduled_for) AS before
	FROM integ.sync_executions_done WHERE task_id = 'timed' AND scheduled_for < now() - interval '1 minute') e)), 't',
		'one after the other');

sql("UPDATE integ.sync_tasks SET config = $slow, overlap_policy = 'cancel', next_run_at = now()
	WHERE task_id = 'timed'");
Integ::Sync::worker($node, 'timed');
$execution = last_one('timed', 'id');
sql("UPDATE integ.sync_tasks SET config = $fast, next_run_at = now() WHERE task_id = 'timed'");
wait_for('timed', q(status = 'success'), 'a slot that cancels what runs');
is(sql("SELECT status || ': ' || reason FROM integ.sync_executions WHERE id = '$execution'"),
	'cancelled: the next slot of the schedule took its place (overlap_policy is cancel)', 'ends that');

# --- failures that pass, and those that do not ---

task('failing', schedule => q('{"every": "1 hour"}'), config => q('{"fault": "status", "code": 503}'),
	retry_config => q('{"maxRetries": 2, "retryDelaySeconds": 0, "exponentialBackoff": true}'),
	notifications => q('{"onFailure": true, "recipients": ["sue", "tom"]}'));
sql(q(UPDATE integ.sync_tasks SET next_run_at = now() WHERE task_id = 'failing'));
$node->wait_for_sql(q(SELECT count(*) = 2 FROM integ.notifications WHERE kind = 'sync.failed'),
	'a failure is told once nobody tries again');
is(sql(q(SELECT string_agg(status || ' ' || trigger || ' ' || retry_count || ' ' || (error ->> 'sqlstate'), ', '
	ORDER BY id)
	FROM integ.sync_executions WHERE task_id = 'failing')),
	'failed schedule 0 IG502, failed retry 1 IG502, failed retry 2 IG502', 'having been tried again as often as it says');
is(sql(q(SELECT string_agg(recipient || ' ' || client_id || ' ' || (text ~ 'failing.*failed'), ', '
	ORDER BY recipient) FROM integ.notifications)),
	'sue acme true, tom acme true', 'to each recipient');
is(sql(q(SELECT status || ' ' || last_run_status || ' ' || (last_error ->> 'message' <> '') || ' '
	|| (stats ->> 'failedRuns')
	FROM integ.sync_tasks WHERE task_id = 'failing')), 'active failed true 3',
		'the task stays active, and says what failed');

sql(q(UPDATE integ.sync_tasks SET retry_config = '{"maxRetries": 1, "retryDelaySeconds": 3600}', next_run_at = now()
	WHERE task_id = 'failing'));
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.sync_executions_open WHERE task_id = 'failing'
	AND trigger = 'retry'
	AND run_at > now() + interval '50 minutes'), 'a retry waits for its time');
sql("UPDATE integ.sync_tasks SET config = $fast WHERE task_id = 'failing'");
is(sql(q(SELECT status FROM integ_sync_run('failing', wait => true))), 'success', 'a person need not wait for it');
is(sql(q(SELECT count(*) FROM integ.sync_executions_open WHERE task_id = 'failing')), 0, 'whose run takes its place');
is(sql(q(SELECT last_error IS NULL FROM integ.sync_tasks WHERE task_id = 'failing')), 't', 'and the error is over');

# The delays of its retries, in steps of 1,000 seconds, as the rows have them: each is begun before its time.
sub delays
{
	my ($retry_config) = @_;
	my @delays;

	sql("UPDATE integ.sync_tasks SET config = '{\"fault\": \"status\", \"code\": 503}', retry_config = '$retry_config',
		next_run_at = now() WHERE task_id = 'failing'");
	for my $count (1 .. 4)
	{
		$node->wait_for_sql("SELECT count(*) = 1 FROM integ.sync_executions_open WHERE task_id = 'failing'
			AND status = 'queued' AND retry_count = $count", "retry $count");
		push @delays, sql(q(WITH now AS (UPDATE integ.sync_executions_open SET run_at = clock_timestamp()
			WHERE task_id = 'failing' RETURNING id)
			SELECT trunc(extract(epoch FROM o.run_at - d.completed_at) / 1000)
			FROM integ.sync_executions_open o JOIN integ.sync_executions_done d ON d.id = o.retry_of, now));
	}
	wait_for('failing', 'retry_count = 4 AND completed_at IS NOT NULL', 'the last one');
	return join ' ', @delays;
}

is(delays('{"maxRetries": 4, "retryDelaySeconds": 1000, "exponentialBackoff": true}'), '1 2 4 8',
	'the delay of a retry doubles each time');
is(delays('{"maxRetries": 4, "retryDelaySeconds": 1000, "exponentialBackoff": false}'), '1 1 1 1',
	'... where it is to');
is(delays('{"maxRetries": 4, "retryDelaySeconds": 50000}'), '50 86 86 86', '... up to a day');

task('wrong', schedule => q('{"every": "1 hour"}'));
sql('ALTER TABLE synced.wrong DROP COLUMN name');
sql(q(UPDATE integ.sync_tasks SET next_run_at = now() WHERE task_id = 'wrong'));
wait_for('wrong', q(status = 'failed'), 'a run that cannot be');
is(sql(q(SELECT status || ' ' || (last_error ->> 'message' ~ 'name') FROM integ.sync_tasks WHERE task_id = 'wrong')),
	'error true', 'leaves its task in error');
is(sql(q(SELECT count(*) FROM integ.sync_executions WHERE task_id = 'wrong')), 1, 'which is not tried again');
like(sql(q(SELECT last_error || ' ' || hint FROM integ_status() WHERE component = 'sync')), qr/integ_sync_resume/,
	'and integ_status() says so');
sql('ALTER TABLE synced.wrong ADD COLUMN name text');
is(sql(q(SELECT status FROM integ_sync_run('wrong', wait => true))), 'success', 'mended, it runs');
is(sql(q(SELECT status || ' ' || (last_error IS NULL) || ' ' || (next_run_at > now()) FROM integ.sync_tasks
	WHERE task_id = 'wrong')), 'active true true', '... and is active and scheduled again');

# --- records that failed, and named ones ---

task('partly');
sql(q(ALTER TABLE synced.partly ADD CONSTRAINT no_france CHECK (id NOT IN ('FR', 'DE'))));
is(sql(q(SELECT status || ' ' || failed || ' ' || created FROM integ_sync_run('partly', wait => true))),
	'partial 2 ' . ($countries - 2),
	'records that the table refuses');
is(sql(q(SELECT string_agg(external_id, ' ' ORDER BY external_id) FROM integ.sync_errors)), 'DE FR', 'are noted');
sql('ALTER TABLE synced.partly DROP CONSTRAINT no_france');
$execution = last_one('partly', 'id');
is(sql("SELECT status || ' ' || trigger || ' ' || retry_count || ' ' || (retry_of = '$execution') || ' ' || fetched
	|| ' ' || created
	FROM integ_sync_retry('$execution', 'failed_records', wait => true)"), 'success retry 1 true 2 2',
		'and repeated by themselves');
is(sql('SELECT count(*) FROM synced.partly'), $countries, 'all is there');
($state) = $node->sql_error(q(SELECT integ_sync_retry(id, 'failed_records') FROM integ.sync_executions
	WHERE task_id = 'first' LIMIT 1));
is($state, 'IG409', 'where nothing failed, nothing is repeated');

sql(q(UPDATE synced.partly SET name = 'Somewhere' WHERE id IN ('FR', 'IT')));
sql(q(UPDATE integ.record_links SET raw_hash = NULL WHERE target_table = 'synced.partly'::regclass));
sql(q(BEGIN; SELECT integ.sync_records(id, '["FR"]') FROM integ.sync_tasks WHERE task_id = 'partly';
	SELECT integ.sync_records(id, '["IT"]') FROM integ.sync_tasks WHERE task_id = 'partly'; COMMIT));
wait_for('partly', q(trigger = 'webhook' AND status = 'success'), 'named records are synchronized');
is(last_one('partly', q(fetched || ' ' || updated || ' ' || records)), '2 2 ["FR", "IT"]', 'together, and no others');

# --- whose worker cannot be had ---

sql('CREATE ROLE leaver LOGIN; GRANT integ_admin TO leaver; GRANT leaver TO syncer');
task('left', schedule => q('{"every": "1 hour"}'));
sql(q(UPDATE integ.sync_tasks SET owner = 'leaver', next_run_at = '2100-01-01' WHERE task_id = 'left'));
sql('REVOKE integ_admin FROM leaver; DROP ROLE leaver');
sql(q(UPDATE integ.sync_tasks SET next_run_at = now() WHERE task_id = 'left'));
wait_for('left', q(status = 'failed'), 'a task whose owner is gone fails');
like(sql(q(SELECT status || ' ' || (last_error ->> 'message') FROM integ.sync_tasks WHERE task_id = 'left')),
	qr/^error there is no role/, 'and is in error');

task('right', schedule => q('{"every": "1 hour"}'));
sql('REVOKE ALL ON SCHEMA synced FROM syncer; ALTER SCHEMA synced OWNER TO postgres');
sql(q(UPDATE integ.sync_tasks SET next_run_at = now() WHERE task_id = 'right'));
wait_for('right', q(status = 'failed'), 'a task whose owner lost its rights fails');
is(sql(q(SELECT status FROM integ.sync_tasks WHERE task_id = 'right')), 'error', 'and is in error');
sql('ALTER SCHEMA synced OWNER TO syncer; GRANT ALL ON SCHEMA synced TO syncer');

# --- held, and a database that goes away ---

task('held', config => $slow);
sql(q(SELECT integ_sync_run('held')));
Integ::Sync::worker($node, 'held');
sql("UPDATE integ.sync_tasks SET config = $fast WHERE task_id = 'held'");
sql('ALTER SYSTEM SET integ.hold = on');
sql('SELECT pg_reload_conf()');
wait_for('held', q(status = 'queued'), 'while held, what runs waits');
sql(q(UPDATE integ.sync_tasks SET next_run_at = now() WHERE task_id = 'timed'));
($state) = $node->sql_error(q(SELECT integ_sync_run('first')));
is($state, 'IG500', 'nothing is run');
is(sql(q(SELECT count(*) FROM integ.sync_executions_open WHERE task_id = 'timed')), 0, 'nothing is scheduled');
sql('ALTER SYSTEM RESET integ.hold');
sql('SELECT pg_reload_conf()');
wait_for('held', q(status = 'success'), 'and it goes on afterwards');
wait_for('timed', q(status = 'success' AND scheduled_for > now() - interval '10 minutes'), 'as does the schedule');

sql('CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION integ');
Integ::Sync::set_up($node, $provider, dbname => 'other');
Integ::Sync::task($node, 'theirs', dbname => 'other', config => $slow);
$node->safe_psql('other', q(SELECT integ_sync_run('theirs')));
Integ::Sync::worker($node, 'theirs', 'other');
is(sql(q(SELECT status FROM integ_sync_run('first', wait => true))), 'success', 'two databases do not stop each other');
sql('DROP DATABASE other');
is(sql(q(SELECT count(*) FROM pg_database WHERE datname = 'other')), 0,
	'a database can be dropped while it synchronizes');

is(sql(q(SELECT count(*) FROM integ.sync_executions_open)), 0, 'nothing is left');
$node->stop;
done_testing();
