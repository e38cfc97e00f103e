# Held: a copy of a database sends nothing until somebody says that it is the
# one to go on; a standby does nothing until it is promoted.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Test qw(wait_until slurp);
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = Integ::Cluster->create('primary', init => [ allows_streaming => 1, has_archiving => 1 ], conf => [ "integ.log_flush = '50ms'" ]);

sub wait_running
{
	my ($node, $db) = @_;
	$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ_status() WHERE component = 'keeper' AND state = 'running' AND database = current_database()),
		'the keeper runs', $db);
	return;
}

sub held
{
	my ($node, $db) = @_;
	return $node->safe_psql($db // 'postgres', q(SELECT state FROM integ_status() WHERE component = 'held'));
}

sub refused
{
	my ($node, $detail, $what, $db) = @_;
	my ($state, $report) = $node->sql_error('SELECT test_not_held()', dbname => $db // 'postgres');
	is($state, 'IG500', "$what: nothing leaves");
	like($report, $detail, "$what: why");
	like($report, qr/HINT: .*integ_resume/, "$what: what to do");
	return;
}

$primary->safe_psql('postgres', q(CREATE EXTENSION integ_test_record;
	INSERT INTO integ.clients (id, name) VALUES ('acme', 'Acme')));
wait_running($primary);
is(held($primary), 'no', 'a fresh installation is not held');
$primary->backup('base');

# --- integ.hold ---

$primary->safe_psql('postgres', 'ALTER SYSTEM SET integ.hold = on; SELECT pg_reload_conf()');
$primary->wait_for_sql(q(SELECT state = 'yes' FROM integ_status() WHERE component = 'held'), 'integ.hold takes effect');
my ($state, $report) = $primary->sql_error('SELECT test_not_held()');
is($state, 'IG500', 'integ.hold: nothing leaves');
like($report, qr/HINT: .*integ\.hold = off/, 'integ.hold: what to do');
$primary->safe_psql('postgres', 'ALTER SYSTEM RESET integ.hold; SELECT pg_reload_conf()');
$primary->wait_for_sql(q(SELECT state = 'no' FROM integ_status() WHERE component = 'held'), 'and off again');

# --- a standby, and its regular promotion ---

my $standby = Integ::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', q(SELECT test_intent()));
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is($standby->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'integ%')), 0, 'on a standby nothing runs');
is($standby->safe_psql('postgres', q(SELECT state FROM integ_status() WHERE component = 'launcher')), 'standby', 'and the status says why');
($state, $report) = $standby->sql_error('SELECT test_intent()');
is($state, 'IG500', 'a write there is refused');
($state) = $standby->sql_error('SELECT integ_resume()');
is($state, 'IG500', 'so is integ_resume()');

my $session = $primary->background_psql('postgres', on_error_stop => 0);
my $call = $session->query_safe(q(BEGIN; SELECT test_intent()));
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
$primary->stop('immediate');
eval { $session->quit };
$standby->promote;
wait_running($standby);
is(held($standby), 'no', 'a regular promotion goes on');
$standby->safe_psql('postgres', 'SELECT test_not_held(), test_intent()');
is($standby->safe_psql('postgres', "SELECT outcome FROM integ.writes WHERE call_id = '$call'"), 'unknown', 'a write that was under way on the primary is unknown');
is($standby->safe_psql('postgres', q(SELECT count(*) FROM integ.events WHERE kind = 'database.promoted')), 1, 'the promotion is an event');
$standby->restart;
wait_running($standby);
is(held($standby), 'no', 'after a restart too');
$standby->stop;
$primary->start;
wait_running($primary);
is(held($primary), 'no', 'a crash does not hold');

# --- recovery to a point in time ---

my $pitr = Integ::Cluster->new('pitr');
$pitr->init_from_backup($primary, 'base', has_restoring => 1, standby => 0);
$pitr->append_conf('postgresql.conf', "recovery_target = 'immediate'\nrecovery_target_action = 'promote'\n");
$pitr->start;
$pitr->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
wait_running($pitr);
is(held($pitr), 'yes', 'recovered to a point in time: held');
refused($pitr, qr/DETAIL: .*timeline 1 and is on \d/, 'recovered to a point in time');
$pitr->restart;
wait_running($pitr);
is(held($pitr), 'yes', 'a restart does not release it');
is($pitr->safe_psql('postgres', q(SELECT integ_resume() ~ '^resumed')), 't', 'integ_resume()');
$pitr->safe_psql('postgres', 'SELECT test_not_held(), test_intent()');
is(held($pitr), 'no', 'releases it');
$pitr->stop;

# --- a copy of the cluster under another system identifier, as pg_upgrade leaves it ---

$primary->safe_psql('postgres', q(UPDATE integ.identity SET system_identifier = '42'));
$primary->wait_for_sql(q(SELECT state = 'yes' FROM integ_status() WHERE component = 'held'), 'held');
refused($primary, qr/DETAIL: .*cluster with the system identifier 42/, 'of another cluster');
$primary->safe_psql('postgres', 'SELECT integ_resume()');
is(held($primary), 'no', 'and released');

# --- dump and restore ---

$primary->safe_psql('postgres', q(
	INSERT INTO integ.notifications (client_id, kind, text) VALUES ('acme', 'test.dump', 'kept');
	UPDATE integ.maintenance_jobs SET schedule = '3 hours' WHERE name = 'retention';
	SELECT test_requests(3)));
$primary->wait_for_sql(q(SELECT count(*) = 4 FROM pg_inherits WHERE inhparent = 'integ.requests'::regclass AND inhrelid::regclass::text ~ '\d{8}$'), 'partitions');
my $dump = $primary->basedir . '/dump.sql';
$primary->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump');
unlike(slurp($dump), qr/CREATE TABLE integ\./, 'the dump has no table of integ');
unlike(slurp($dump), qr/COPY integ\.(requests|audit_log|events|recorder)/, 'and no history');
for my $order ('before', 'after')
{
	$primary->safe_psql('postgres', "CREATE DATABASE restored_$order TEMPLATE template0");
	# Once with a keeper that comes before the rows, once with one that comes after.
	wait_until('restore', sub {
		my ($status, $out, $err) = $primary->psql("restored_$order", $order eq 'after' ? "BEGIN;\n\\i $dump\nCOMMIT" : "\\i $dump",
			on_error_stop => 1);
		is($err =~ s/^.*(WARNING|NOTICE).*$//mgr, '', "the restore has no error");
		return 1; });
	wait_running($primary, "restored_$order");
	$primary->wait_for_sql(q(SELECT state = 'yes' FROM integ_status() WHERE component = 'held'), 'a restored database is held', "restored_$order");
	refused($primary, qr/DETAIL: .*(copy of database "postgres"|older state)/, "restored $order", "restored_$order");
	is($primary->safe_psql("restored_$order", q(SELECT schedule FROM integ.maintenance_jobs WHERE name = 'retention')), '03:00:00', 'what people set came along');
	is($primary->safe_psql("restored_$order", q(SELECT text FROM integ.notifications)), 'kept', 'state came along');
	is($primary->safe_psql("restored_$order", q(SELECT count(*) FROM integ.requests)), 0, 'history did not');
	$primary->safe_psql("restored_$order", 'SELECT integ_resume()');
	$primary->safe_psql("restored_$order", 'SELECT test_not_held(), test_intent()');
	pass('integ_resume(), and it goes on');
}

# DROP EXTENSION takes the partitions of run time along.
$primary->safe_psql('restored_after', 'DROP EXTENSION integ CASCADE');
is($primary->safe_psql('restored_after', q(SELECT count(*) FROM pg_class WHERE relname ~ '^(requests|audit_log|events)')), 0, 'DROP EXTENSION leaves no partition');
$primary->stop;
done_testing();
