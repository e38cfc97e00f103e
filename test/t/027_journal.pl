# The journal: an intent is on disk before its row is in the audit, whatever keeps the recorder
# from writing it; after a crash each line is in the audit once.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Test qw(rounds wait_until);
use Test::More;

my $node = Integ::Cluster->create('main', init => [ allows_streaming => 1, extra => [qw(--encoding=UTF8 --no-locale -U postgres --data-checksums)] ],
	conf => [ "integ.log_buffer = '256kB'", "log_min_messages = 'log'" ]);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub lines
{
	my ($call) = @_;
	return sql("SELECT string_agg(outcome, ' ' ORDER BY id) FROM integ.audit_log WHERE call_id = '$call'");
}

sub drained
{
	$node->wait_for_sql(q(SELECT queue_depth = 0 FROM integ_status() WHERE component = 'recorder' AND database = current_database()),
		'the ring is written');
	return;
}

# Nobody writes into the audit while this session lives.
sub hold_audit
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query_safe('BEGIN; LOCK TABLE integ.audit_log IN ACCESS EXCLUSIVE MODE');
	return $session;
}

# The bytes of the journal hold the call's id.
sub in_journal
{
	my ($call) = @_;
	return sql("SELECT count(*) FROM integ.intent_journal WHERE position(uuid_send('$call') IN entries) > 0");
}

sub crash
{
	my ($pid) = @_;
	my $boot = sql('SELECT boot FROM integ.recorder');
	if ($pid)
	{
		kill 'KILL', $pid or die "no process $pid";
	}
	else
	{
		$node->stop('immediate');
		$node->start;
	}
	$node->wait_for_sql("SELECT boot <> '$boot' AND NOT is_clean FROM integ.recorder", 'the recorder is back');
	$node->wait_for_sql(q(SELECT state = 'running' FROM integ_status() WHERE component = 'keeper' AND database = current_database()), 'the keeper runs');
	return;
}

sql('CREATE EXTENSION integ_test_record');
sql('SELECT test_intent()');

# --- an intent that no row tells of yet ---

for my $how ('kill -9', 'an immediate shutdown')
{
	my $holder = hold_audit();
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $done = $session->query_safe(q(BEGIN; SELECT test_intent()));
	$session->query_safe('SELECT test_outcome(); ROLLBACK');
	my $open = $session->query_safe(q(BEGIN; SELECT test_intent(detail => '{"order": 7}')));
	is(in_journal($open), 1, "$how: a write goes on while nobody can write into the audit");
	crash($how eq 'kill -9' ? $session->query_safe('SELECT pg_backend_pid()') : undef);
	eval { $_->quit } for $session, $holder;
	is(lines($open), 'pending unknown', 'the intent is there, its outcome unknown');
	is(sql("SELECT intent FROM integ.writes WHERE call_id = '$open'"), '{"order": 7}', 'with its detail');
	is(lines($done), 'pending succeeded', 'the outcome before it too');
	crash();
	is(lines($open) . ', ' . lines($done), 'pending unknown, pending succeeded', 'once, after another crash as well');
	$node->restart;
	is(lines($open) . ', ' . lines($done), 'pending unknown, pending succeeded', 'and after an orderly restart');
}

# --- what is in both is not moved twice ---

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $both = $session->query_safe(q(BEGIN; SELECT test_intent()));
drained();
is(in_journal($both) . lines($both), '1pending', 'a line in the journal and in the audit');
crash();
eval { $session->quit };
is(lines($both), 'pending unknown', 'is not moved again');

# --- many more than the journal holds ---

my $writes = rounds(1000, 100000);
my @writers = map { $node->background_psql('postgres') } 1 .. 3;
my $loop = "DO \$\$ BEGIN FOR i IN 1 .. $writes LOOP PERFORM test_intent('many'); PERFORM test_outcome(); END LOOP; END \$\$;\n";
$_->{stdin} .= $loop for @writers;
$_->{run}->pump_nb for @writers;
$_->query_safe('SELECT 1') for @writers;
$_->quit for @writers;
drained();
is(sql(q(SELECT count(*) FROM integ.writes WHERE client_id = 'many' AND outcome = 'succeeded')), 3 * $writes, 'the journal goes round');
is(sql(q(SELECT pg_relation_size('integ.intent_journal') / current_setting('block_size')::int)), 256, 'and does not grow');

# While nobody can write into the audit, it fills, and writes are refused.
my $holder = hold_audit();
my ($state, $report) = $node->sql_error(q(SET integ.max_sync_wait = '300ms';
	DO $$ BEGIN LOOP PERFORM test_intent('full'); PERFORM test_outcome(); END LOOP; END $$));
is($state, 'IG500', 'a full journal ends writes');
like($report, qr/DETAIL: .*integ\.max_sync_wait/, 'with the reason');
crash();
eval { $holder->quit };
is(sql(q(SELECT count(*) FROM (SELECT call_id FROM integ.audit_log WHERE client_id = 'full' GROUP BY call_id
	HAVING count(*) FILTER (WHERE outcome = 'pending') <> 1 OR count(*) FILTER (WHERE outcome <> 'pending') <> 1) AS odd)),
	0, 'all that left is in the audit after a crash, with one outcome');
cmp_ok(sql(q(SELECT count(*) FROM integ.audit_log WHERE client_id = 'full' AND outcome = 'succeeded')), '>', 100, 'and there was much of it');

# --- an intent that is too long for a row ---

$session = $node->background_psql('postgres', on_error_stop => 0);
my $long = $session->query_safe(q(BEGIN; SELECT test_intent(detail => '{"text": "' || repeat('x', 3000) || '"}')));
is(in_journal($long) . lines($long), '0pending', 'a long intent is the recorder\'s');
$session->query_safe('SELECT test_outcome(); ROLLBACK');
$session->quit;

# --- a table that is not as it was made ---

sql('VACUUM FULL integ.intent_journal');
$session = $node->background_psql('postgres', on_error_stop => 0);
my $call = $session->query_safe(q(BEGIN; SELECT test_intent()));
is(in_journal($call), 1, 'a rewritten journal goes on');
$session->query_safe('SELECT test_outcome(); ROLLBACK');
for my $change ('UPDATE integ.intent_journal SET page = page', 'ALTER TABLE integ.intent_journal SET UNLOGGED',
	'TRUNCATE integ.intent_journal')
{
	sql($change);
	$call = $session->query_safe(q(BEGIN; SELECT test_intent()));
	is(lines($call), 'pending', "$change: the recorder is waited for");
	$session->query_safe('SELECT test_outcome(); ROLLBACK');
}
sql(q(ALTER TABLE integ.intent_journal SET LOGGED;
      INSERT INTO integ.intent_journal SELECT n, decode(repeat('00', current_setting('block_size')::int / 4), 'hex') FROM generate_series(0, 255) AS n));
$call = $session->query_safe(q(BEGIN; SELECT test_intent()));
is(in_journal($call), 1, 'and no more once it is mended');
$session->query_safe('SELECT test_outcome(); ROLLBACK');
$session->quit;

# --- a synchronous standby ---

sql(q(ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()));
wait_until('sessions know', sub { sql('SHOW synchronous_standby_names') eq 'nobody' });
($state, $report) = $node->sql_error(q(SET integ.max_sync_wait = '300ms'; SELECT test_intent('standby')));
is($state, 'IG500', 'where a commit waits for a standby, a write does');
like($report, qr/did not answer/, 'for the recorder');
sql(q(ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()));
$node->wait_for_sql(q(SELECT string_agg(outcome, ' ' ORDER BY id) = 'pending failed' FROM integ.audit_log WHERE client_id = 'standby'),
	'the write that was not sent');
pass('and is closed as failed');

# --- the table itself ---

sql('CREATE ROLE journal_reader LOGIN IN ROLE integ_superadmin');
($state) = $node->sql_error('SET ROLE journal_reader; SELECT count(*) FROM integ.intent_journal');
is($state, '42501', 'nobody reads it but its owner and superusers');
($state) = $node->sql_error('SET ROLE integ_owner; DELETE FROM integ.intent_journal');
is($state, '42501', 'and its owner does not change it');
sql('VACUUM (FREEZE) integ.intent_journal');
sql('SELECT test_intent()');
is($node->safe_psql('postgres', q(SELECT sum(checksum_failures) FROM pg_stat_database)), 0, 'no page was torn');
$node->stop;
done_testing();
