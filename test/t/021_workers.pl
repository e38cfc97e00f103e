# The workers: they come with the extension and go with it, in each database by
# itself, leave a database that a command needs, and cost nothing asleep.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Test qw(wait_until);
use Test::More;
use Time::HiRes qw(sleep);

my $node = Integ::Cluster->create('main', extension => 0, conf => ["integ.log_flush = '50ms'"]);

sub sql { return $node->safe_psql($_[0], $_[1]) }
sub keepers
{
	my ($db) = @_;
	return sql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'integ keeper' AND datname = '$db'");
}

sub wait_keeper
{
	my ($db, $what) = @_;
	$node->wait_for_sql(
		q(SELECT count(*) = 1 FROM integ_status() WHERE component = 'keeper' AND state = 'running' AND database = current_database()),
		$what // "a keeper in $db", $db);
	return pass($what // "a keeper runs in $db");
}

sub keeper_pid
{
	my ($db) = @_;
	return sql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ keeper' AND datname = '$db'");
}

sub database
{
	my ($db) = @_;
	sql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	sql($db, 'CREATE EXTENSION integ; CREATE EXTENSION integ_test_record');
	wait_keeper($db);
	return $db;
}

# --- with the extension, and only at commit ---

is(sql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'integ launcher')), 1, 'the launcher runs');
is(sql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'integ keeper')), 0, 'and no keeper');
sql('postgres', 'BEGIN; CREATE EXTENSION integ; ROLLBACK');
sql('postgres', 'CREATE EXTENSION integ');
wait_keeper('postgres', 'CREATE EXTENSION brings a keeper at once');
is(sql('postgres', q(SELECT usename FROM pg_stat_activity WHERE backend_type = 'integ keeper')), 'integ_owner', 'it is integ_owner');
my ($state, $report) = $node->sql_error('SET ROLE integ_owner; SET SESSION AUTHORIZATION DEFAULT; SELECT 1/0');
is($node->psql('postgres', 'SELECT 1', extra_params => [ '-U', 'integ_owner' ]), 2, 'a session of integ_owner is refused');

sql('postgres', 'DROP EXTENSION integ');
wait_until('the keeper leaves with the extension', sub { keepers('postgres') == 0 });
pass('DROP EXTENSION sends the keeper away');
sql('postgres', 'CREATE EXTENSION integ; DROP EXTENSION integ; CREATE EXTENSION integ; CREATE EXTENSION integ_test_record');
wait_keeper('postgres', 'dropped and created again');
sql('postgres', 'BEGIN; DROP EXTENSION integ CASCADE; CREATE EXTENSION integ; CREATE EXTENSION integ_test_record; COMMIT');
wait_keeper('postgres', 'dropped and created in one transaction');
sql('postgres', q(SELECT test_intent('again')));
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.audit_log WHERE client_id = 'again' AND outcome = 'pending'), 'its line');
pass('and it records');
my $db = database('twice');
sql($db, 'BEGIN; DROP EXTENSION integ CASCADE; ROLLBACK');
sql($db, q(SELECT test_intent('again')));
pass('a DROP EXTENSION that is rolled back changes nothing');

# A first call right after CREATE EXTENSION waits for the keeper; in the same transaction it says what is missing.
sql('postgres', 'CREATE DATABASE eager TEMPLATE template0');
sql('eager', 'CREATE EXTENSION integ; CREATE EXTENSION integ_test_record; SELECT test_intent()');
pass('a write right after CREATE EXTENSION');
sql('postgres', 'CREATE DATABASE hasty TEMPLATE template0');
($state, $report) = $node->sql_error('BEGIN; CREATE EXTENSION integ; CREATE EXTENSION integ_test_record; SELECT test_intent()', dbname => 'hasty');
is($state, 'IG500', 'a write in the transaction of CREATE EXTENSION');
like($report, qr/HINT:  Commit CREATE EXTENSION/, 'says to commit first');

# --- they come back ---

my $pid = keeper_pid('twice');
sql('postgres', "SELECT pg_terminate_backend($pid)");
wait_until('another keeper', sub { my $new = keeper_pid('twice'); $new ne '' && $new != $pid });
wait_keeper('twice', 'a terminated keeper comes back');
$node->restart;
wait_keeper('twice', 'after a restart the launcher finds the databases by itself');
wait_keeper('eager');
my $launcher = sql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ launcher'));
$pid = keeper_pid('twice');
sql('postgres', "SELECT pg_terminate_backend($launcher)");
wait_until('another launcher', sub {
	sql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'integ launcher' AND pid <> $launcher") == 1 });
is(keeper_pid('twice'), $pid, 'a new launcher leaves keepers that run alone');
sql('postgres', "SELECT pg_terminate_backend($pid)");
wait_until('another keeper', sub { my $new = keeper_pid('twice'); $new ne '' && $new != $pid });
wait_keeper('twice', 'and looks after them');

# Reloads and barriers pass through everyone.
$node->reload;
sql('postgres', 'CREATE DATABASE barrier STRATEGY file_copy; DROP DATABASE barrier');
pass('a process barrier is absorbed');

# What a database sets does not reach the workers.
sql('postgres', q(ALTER DATABASE twice SET default_transaction_read_only = on; ALTER DATABASE twice SET search_path = nowhere;
                  ALTER DATABASE twice SET statement_timeout = '1ms'; ALTER DATABASE twice SET synchronous_commit = off));
$pid = keeper_pid('twice');
sql('postgres', "SELECT pg_terminate_backend($pid)");
wait_until('another keeper', sub { my $new = keeper_pid('twice'); $new ne '' && $new != $pid });
sql('postgres', q(ALTER DATABASE twice RESET statement_timeout; ALTER DATABASE twice RESET search_path));
wait_keeper('twice');
sql('twice', q(SELECT test_intent('settings')));
$node->wait_for_sql(q(SELECT count(*) >= 1 FROM integ.audit_log WHERE client_id = 'settings'), 'its line', 'twice');
pass('settings of the database do not reach the recorder');
sql('postgres', 'ALTER DATABASE twice RESET ALL');

# --- commands that need the database ---

$db = database('moving');
sql($db, q(SELECT test_requests(10)));
sql('postgres', 'ALTER DATABASE moving RENAME TO moved');
wait_keeper('moved', 'RENAME, and the keeper is back');
is(sql('moved', q(SELECT state FROM integ_status() WHERE component = 'held')), 'no', 'a renamed database is not held');
$node->wait_for_sql(q(SELECT count(*) = 10 FROM integ.requests), 'what was queued is written', 'moved');
my $tablespace = $node->basedir . '/space';
mkdir $tablespace;
sql('postgres', "CREATE TABLESPACE space LOCATION '$tablespace'");
sql('postgres', 'ALTER DATABASE moved SET TABLESPACE space');
wait_keeper('moved', 'SET TABLESPACE, and the keeper is back');
sql('postgres', 'ALTER DATABASE moved SET TABLESPACE pg_default');
wait_keeper('moved');

sql('postgres', 'CREATE DATABASE copy TEMPLATE moved');
wait_keeper('moved', 'as a template it goes on afterwards');
wait_keeper('copy', 'the copy gets a keeper');
is(sql('copy', q(SELECT state FROM integ_status() WHERE component = 'held')), 'yes', 'the copy is held');
($state, $report) = $node->sql_error('SELECT test_not_held()', dbname => 'copy');
is($state, 'IG500', 'nothing leaves it');
like($report, qr/DETAIL:  It is a copy of database "moved"/, 'the detail says whose copy');
like($report, qr/HINT: .*integ_resume/, 'the hint what to do');
is(sql('copy', q(SELECT integ_resume() LIKE 'resumed%')), 't', 'integ_resume()');
sql('copy', 'SELECT test_not_held()');
pass('releases it at once');

# A command that fails brings the workers back.
my $session = $node->background_psql('moved');
$session->query_safe('SELECT 1');
$pid = keeper_pid('moved');
($state) = $node->sql_error('ALTER DATABASE moved RENAME TO elsewhere');
is($state, '55006', 'a database that somebody uses is not renamed');
wait_until('the keeper is back', sub { my $new = keeper_pid('moved'); $new ne '' && $new != $pid });
pass('and its keeper is back');
$pid = keeper_pid('moved');
sql('postgres', 'CREATE ROLE nobody LOGIN');
($state) = $node->sql_error('SET ROLE nobody; DROP DATABASE moved');
is($state, '42501', 'a stranger may not drop it');
is(keeper_pid('moved'), $pid, 'and does not disturb its keeper');
$session->quit;

# The extension in template1 does not stand in the way of CREATE DATABASE.
sql('template1', 'CREATE EXTENSION integ');
wait_keeper('template1');
sql('postgres', 'CREATE DATABASE ordinary');
wait_keeper('ordinary', 'a copy of template1 gets a keeper');
wait_keeper('template1', 'and template1 keeps its own');
is(sql('ordinary', q(SELECT state FROM integ_status() WHERE component = 'held')), 'yes', 'and is held');
sql('postgres', 'DROP DATABASE ordinary');
sql('template1', 'DROP EXTENSION integ');
wait_until('the keeper leaves template1', sub { keepers('template1') == 0 });

# A transaction that renames and rolls back.
($state) = $node->sql_error('BEGIN; ALTER DATABASE moved RENAME TO elsewhere; SELECT 1/0');
wait_keeper('moved', 'a rename that is rolled back');

# Dropped while it works.
for my $force ('', ' WITH (FORCE)')
{
	database('doomed');
	my $writer = $force ? $node->background_psql('doomed', on_error_stop => 0) : undef;
	$writer->query_safe('SELECT 1') if $writer;
	sql('doomed', q(SELECT test_requests(1000); UPDATE integ.maintenance_jobs SET next_run_at = now()));
	sql('postgres', "DROP DATABASE doomed$force");
	pass("DROP DATABASE$force while it works");
	eval { $writer->quit } if $writer;
}
sql('postgres', 'DROP DATABASE copy');
$node->wait_for_sql(q(SELECT count(*) = 0 FROM integ_status() WHERE component = 'keeper' AND state <> 'running'), 'no slot of a dropped database stays');
pass('its slot is free again');

# --- one bad neighbour stops nobody ---

database('broken');
sql('broken', 'ALTER TABLE integ.requests RENAME TO gone');
sql('broken', q(SELECT test_requests(1)));
$node->wait_for_sql(q(SELECT last_error LIKE 'recorder: %requests%' FROM integ_status() WHERE component = 'keeper' AND database = 'broken'),
	'the broken one says so');
is(sql('broken', q(SELECT count(*) FROM integ.events WHERE kind = 'keeper.failed' AND payload ->> 'step' = 'recorder')), 1, 'as an event, once');
sql('moved', q(SELECT test_intent('fine')));
$node->wait_for_sql(q(SELECT count(*) > 0 FROM integ.audit_log WHERE client_id = 'fine'), 'its line', 'moved');
pass('another database goes on');
sql('broken', q(UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'retention'));
$node->wait_for_sql(q(SELECT last_run_at > now() - interval '1 minute' FROM integ.maintenance_jobs WHERE name = 'retention'),
	'its other steps go on', 'broken');
sql('broken', 'ALTER TABLE integ.gone RENAME TO requests');
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.requests WHERE kind = 'request'), 'mended, it writes what it kept', 'broken');
pass('nothing was lost');

# --- wake at commit ---

$session = $node->background_psql('twice');
$session->query_safe(q(BEGIN; UPDATE integ.maintenance_jobs SET next_run_at = now() - interval '1 hour' WHERE name = 'retention'));
my $before = sql('twice', q(SELECT last_run_at FROM integ.maintenance_jobs WHERE name = 'retention'));
$session->query_safe('COMMIT');
$session->quit;
$node->wait_for_sql("SELECT last_run_at IS DISTINCT FROM nullif('$before', '')::timestamptz FROM integ.maintenance_jobs WHERE name = 'retention'",
	'the job runs after the commit', 'twice');
$before = sql('twice', q(SELECT last_run_at FROM integ.maintenance_jobs WHERE name = 'retention'));
sql('twice', q(BEGIN; UPDATE integ.maintenance_jobs SET next_run_at = now() - interval '1 hour' WHERE name = 'retention'; PREPARE TRANSACTION 'p'));
sql('twice', q(COMMIT PREPARED 'p'));
$node->wait_for_sql("SELECT last_run_at > '$before' FROM integ.maintenance_jobs WHERE name = 'retention'",
	'and after COMMIT PREPARED', 'twice');
pass('waking at commit');

# --- asleep ---

wait_until('all is quiet', sub { sql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'maintenance')) == 0 });
sub cpu_ticks
{
	my $ticks = 0;
	for my $worker (split /\n/, sql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type IN ('integ keeper', 'integ launcher'))))
	{
		open my $stat, '<', "/proc/$worker/stat" or next;
		my @field = split / /, (<$stat> =~ s/.*\) //r);
		$ticks += $field[11] + $field[12];
	}
	return $ticks;
}
my $asleep = sql('twice', 'SELECT test_wakeups()');
my $ticks = cpu_ticks();
sleep 3;
my $woke = sql('twice', 'SELECT test_wakeups()') - $asleep;
diag(sprintf 'idle: %d wake-ups of one keeper and %d ticks of CPU of all workers in 3 s', $woke, cpu_ticks() - $ticks);
$asleep = sql('twice', 'SELECT test_wakeups()');
sql('twice', q(SELECT test_requests(1000)));
$node->wait_for_sql(q(SELECT count(*) >= 1000 FROM integ.requests), 'requests are written', 'twice');
my $busy = sql('twice', 'SELECT test_wakeups()') - $asleep;
cmp_ok($busy, '<', 100, 'a thousand reads wake the keeper a few times only');
# Jobs that come due are a few; a keeper that does not sleep wakes many thousand times.
cmp_ok($woke, '<', 100, 'and nothing to do keeps it asleep');

# --- what is missing ---

sql('postgres', 'ALTER SYSTEM SET integ.max_databases = 2');
$node->restart;
$node->wait_for_sql(q(SELECT count(*) = 2 FROM integ_status() WHERE component = 'keeper' AND state = 'running'), 'two slots, two keepers');
$node->wait_for_sql(q(SELECT hint ~ 'integ.max_databases' FROM integ_status() WHERE component = 'database slots'), 'the status says that slots are missing');
pass('a database without a slot is told of');
sql('postgres', q(ALTER SYSTEM RESET integ.max_databases));
sql('postgres', q(ALTER SYSTEM SET max_worker_processes = 2));
$node->restart;
$node->wait_for_sql(q(SELECT hint ~ 'max_worker_processes' FROM integ_status() WHERE component = 'worker slots'), 'the status says that worker slots are missing');
pass('no worker slot is told of');
sql('postgres', q(ALTER SYSTEM RESET max_worker_processes));
$node->stop;

# --- without preload ---

$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->start;
is(sql('postgres', q(SELECT state FROM integ_status() WHERE component = 'preload')), 'missing', 'not preloaded: the status says so');
is(sql('postgres', q(SELECT count(*) FROM integ_status() WHERE component = 'held' AND state = 'no')), 1, 'and answers the rest');
($state, $report) = $node->sql_error('SELECT test_intent()');
is($state, 'IG500', 'not preloaded: a write is refused');
like($report, qr/HINT: .*shared_preload_libraries/, 'with the mend');
sql('postgres', 'SELECT test_requests(1), test_not_held()');
pass('not preloaded: reads go on');
$node->stop;
done_testing();
