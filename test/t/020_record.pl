# The recorder: writes are on disk before they leave and always get an outcome,
# reads come in batches, a full ring pushes back and tells what it lost, a
# poisoned row costs itself only.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Test qw(wait_until);
use Test::More;

my $node = Integ::Cluster->create('main',
	conf => [ "integ.log_flush = '50ms'", "integ.log_buffer = '64kB'", "log_min_messages = 'log'" ]);
$node->safe_psql('postgres', q(
	CREATE EXTENSION integ_test_record;
	CREATE FUNCTION queue() RETURNS bigint LANGUAGE sql VOLATILE AS
	$$ SELECT queue_depth FROM integ_status() WHERE component = 'recorder' AND database = current_database() $$;
	CREATE FUNCTION in_flight() RETURNS bigint LANGUAGE sql VOLATILE AS
	$$ SELECT queue_depth FROM integ_status() WHERE component = 'writes under way' AND database = current_database() $$));

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub drained { $node->wait_for_sql('SELECT queue() = 0', 'the ring is written'); return }

# What became of a call: outcomes of its lines in their order.
sub outcomes
{
	my ($call) = @_;
	drained();
	return sql("SELECT string_agg(outcome, ' ' ORDER BY id) FROM integ.audit_log WHERE call_id = '$call'");
}

# --- reads ---

sql(q(BEGIN; SELECT test_requests(3), test_audits(2, detail => '{"a": 1}'); ROLLBACK));
drained();
is(sql(q(SELECT count(*), min(kind), min(status), min(user_id), min(role::text) FROM integ.requests)),
	'3|request|200|ada|postgres', 'a rollback takes no request with it');
is(sql(q(SELECT count(*), min(retention), min(detail::text) FROM integ.audit_log)),
	'2|standard|{"a": 1}', 'nor a line of the audit');

# --- writes ---

my $call = sql(q(SELECT test_intent(detail => '{"order": 1}')));
is(outcomes($call), 'pending unknown', 'a session that ends without settling: unknown');
like(sql("SELECT detail FROM integ.writes WHERE call_id = '$call'"), qr/reason/, 'and why');

my $session = $node->background_psql('postgres', on_error_stop => 0);
$call = $session->query_safe(q(BEGIN; SELECT test_intent()));
is(outcomes($call), 'pending', 'the intent is in the audit while nobody knows the outcome');
is(sql("SELECT outcome FROM integ.writes WHERE call_id = '$call'"), 'pending', 'and the write is under way');
is(sql('SELECT in_flight()'), 1, 'an outcome slot is reserved');
$session->query_safe(q(SELECT test_outcome('succeeded', '{"status": 201}'); ROLLBACK));
is(outcomes($call), 'pending succeeded', 'the outcome survives the caller\'s rollback');
is(sql('SELECT in_flight()'), 0, 'the slot is free again');

$call = $session->query_safe(q(BEGIN; SAVEPOINT a; SAVEPOINT b; SELECT test_intent()));
$session->query_safe('RELEASE b; SELECT 1');
is(outcomes($call), 'pending', 'a released savepoint hands its intent on');
$session->query_safe('ROLLBACK TO a; COMMIT');
is(outcomes($call), 'pending unknown', 'a savepoint that is rolled back: unknown');

$call = $session->query_safe(q(BEGIN; SELECT test_intent()));
$session->query_safe('COMMIT');
is(outcomes($call), 'pending unknown', 'a commit without settling: unknown');

$call = $session->query_safe(q(BEGIN; SELECT test_intent()));
$session->query_safe(q(SELECT test_outcome('surprising')));
$session->query_safe('COMMIT');
is(outcomes($call), 'pending unknown', 'an outcome that nobody knows: unknown');

$call = $session->query_safe(q(BEGIN; SELECT test_intent()));
$session->query_safe(q(SELECT test_outcome('failed', '{"text": "' || repeat('x', 5000) || '"}'); COMMIT));
is(outcomes($call), 'pending failed', 'a detail that is too long does not cost the outcome');
is(sql("SELECT detail ? 'truncated' FROM integ.writes WHERE call_id = '$call'"), 't', 'and says so');

my $pid = $session->query_safe('SELECT pg_backend_pid()');
$call = $session->query_safe(q(BEGIN; SELECT test_intent()));
sql("SELECT pg_terminate_backend($pid)");
$node->wait_for_sql('SELECT in_flight() = 0', 'the terminated backend settled');
is(outcomes($call), 'pending unknown', 'a terminated backend: unknown, once');
eval { $session->quit };

# Many at once: one group of commits, each with its own outcome.
my @sessions = map { $node->background_psql('postgres') } 1 .. 5;
$_->query_safe(q(SET integ.max_sync_wait = '1min')) for @sessions;
$_->query_safe(q(DO $$ BEGIN FOR i IN 1 .. 40 LOOP PERFORM test_intent('group'); PERFORM test_outcome(); END LOOP; END $$)) for @sessions;
$_->quit for @sessions;
drained();
is(sql(q(SELECT count(*), count(DISTINCT call_id) FROM integ.writes WHERE client_id = 'group' AND outcome = 'succeeded')),
	'200|200', 'two hundred writes, two hundred outcomes');

# --- a poisoned row ---

sql(q(SELECT test_audits(3, 'poison'), test_audits(1, 'poison', detail => '{not json'),
             test_audits(1, 'poison', outcome => 'perhaps'), test_requests(4, 'poison'), test_audits(3, 'poison')));
drained();
is(sql(q(SELECT count(*) FROM integ.audit_log WHERE client_id = 'poison')), 7, 'the lines around the poisoned one are written');
is(sql(q(SELECT count(*) FROM integ.requests WHERE client_id = 'poison')), 4, 'in the other log too');
is(sql(q(SELECT count(*) FROM integ.audit_log WHERE client_id = 'poison' AND detail IS NULL)), 7, 'a detail that is no JSON costs the detail');
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.audit_log WHERE action = 'recorder.gap' AND detail = '{"lost": 1}'),
	'a gap row tells of the line');
like(sql(q(SELECT last_error FROM integ_status() WHERE component = 'keeper')), qr/audit_log_outcome_check/, 'the status says why');

my ($state, $report) = $node->sql_error(q(SELECT test_intent(detail => '{not json'); SELECT 1/0));
is($state, '22012', 'an intent with a poisoned detail is recorded without it');

# --- back-pressure ---

# Somebody holds the table: the ring fills, callers wait for a bounded time, then count.
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE integ.requests IN ACCESS EXCLUSIVE MODE');
sql(q(SELECT test_requests(2000, 'full')));
is(sql(q(SELECT state FROM integ_status() WHERE component = 'recorder' AND database = current_database())),
	'full', 'the status says that the ring is full');
($state, $report) = $node->sql_error(q(SET integ.max_sync_wait = '200ms'; SELECT test_intent('full')));
is($state, 'IG500', 'a write that cannot be recorded is refused');
like($report, qr/DETAIL: .*integ\.max_sync_wait/, 'with the detail');
like($report, qr/HINT: .*integ_status/, 'and a hint');
($state) = $node->sql_error(q(SET statement_timeout = '200ms'; SELECT test_intent('full')));
is($state, '57014', 'and the wait ends with statement_timeout');
$holder->query_safe('COMMIT');
$holder->quit;
drained();
$node->wait_for_sql(q(SELECT count(*) FILTER (WHERE kind = 'request') + coalesce(sum(lost), 0) = 2000
                      FROM integ.requests WHERE client_id = 'full' OR kind = 'gap'), 'every request is in the log or in a gap row');
is(sql(q(SELECT count(*) > 0 FROM integ.requests WHERE kind = 'gap' AND error ~ 'full')), 't', 'and the gap row says why');

# An intent whose session stopped waiting was never sent: it is closed as failed. Without the journal the recorder is waited for.
$holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE integ.audit_log, integ.intent_journal IN ACCESS EXCLUSIVE MODE');
($state) = $node->sql_error(q(SET integ.max_sync_wait = '300ms'; SELECT test_intent('late')));
is($state, 'IG500', 'the recorder does not answer');
$holder->query_safe('COMMIT');
$holder->quit;
$node->wait_for_sql(q(SELECT string_agg(outcome, ' ' ORDER BY id) = 'pending failed' FROM integ.audit_log WHERE client_id = 'late'),
	'the intent nobody waited for is closed as failed');
is(sql('SELECT in_flight()'), 0, 'no slot is lost');

# A burst through the smallest ring arrives whole.
sql(q(SELECT test_requests(20000, 'burst')));
drained();
is(sql(q(SELECT count(*) FROM integ.requests WHERE client_id = 'burst')), 20000, 'a burst waits for room instead of losing');

# --- retention classes ---

sql(q(INSERT INTO integ.plans (id, name, limits) VALUES ('no', 'No', '{"audit": false}'), ('long', 'Long', '{"audit": "long"}'),
                                                        ('odd', 'Odd', '{"audit": {"x": 1}}');
      INSERT INTO integ.clients (id, name, plan) VALUES ('c_no', 'No', 'no'), ('c_long', 'Long', 'long'), ('c_odd', 'Odd', 'odd')));
sql(q(SELECT test_audits(1, 'c_no'), test_audits(1, 'c_long'), test_audits(1, 'c_odd'), test_audits(1, 'c_none')));
drained();
is(sql(q(SELECT string_agg(retention, ' ' ORDER BY client_id) FROM integ.audit_log WHERE client_id LIKE 'c\_%')),
	'long short standard standard', 'the plan says how long the audit is kept') or diag sql(q(SELECT client_id, retention FROM integ.audit_log WHERE client_id LIKE 'c\_%'));
sql(q(UPDATE integ.clients SET plan = 'long' WHERE id = 'c_no'));
sql(q(SELECT test_audits(1, 'c_no')));
drained();
is(sql(q(SELECT retention FROM integ.audit_log WHERE client_id = 'c_no' ORDER BY id DESC LIMIT 1)), 'long', 'a change of plan counts at once');

# --- last_used_at ---

sql(q(INSERT INTO integ.definitions (id, name, display_name, version, manifest) VALUES ('used', 'Used', 'Used', '1.0.0', '{}');
      INSERT INTO integ.instances (instance_id, definition, version, name, context_type, client_id)
      SELECT 'used_' || i, 'used', '1', 'Used', 'global', '*' FROM generate_series(1, 2) AS i));
my $generation = sql(q(SELECT updated_at FROM integ.instances WHERE instance_id = 'used_1'));
$holder = $node->background_psql('postgres');
$holder->query_safe(q(BEGIN; UPDATE integ.instances SET description = 'held' WHERE instance_id = 'used_2'));
sql(q(SELECT test_used(id), test_used(id) FROM integ.instances));
sql(q(SELECT test_used(integ.uuid_generate())));
$node->wait_for_sql(q(SELECT last_used_at IS NOT NULL FROM integ.instances WHERE instance_id = 'used_1'), 'use of an instance is written');
is(sql(q(SELECT last_used_at FROM integ.instances WHERE instance_id = 'used_2')), '', 'a row that somebody holds is left');
$holder->query_safe('COMMIT');
$holder->quit;
$node->wait_for_sql(q(SELECT last_used_at IS NOT NULL FROM integ.instances WHERE instance_id = 'used_2'), 'and written later');
is(sql(q(SELECT updated_at FROM integ.instances WHERE instance_id = 'used_1')), $generation, 'it is no change of the instance');

# A line of another day goes to the default partition, and on to its own.
sql(q(SELECT test_requests(1, 'early', at => '2091-01-01 12:00+00')));
drained();
is(sql(q(SELECT tableoid::regclass FROM integ.requests WHERE client_id = 'early')), 'integ.requests_default', 'a day without a partition');

$node->stop;
done_testing();
