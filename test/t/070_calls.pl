# Durable calls: what commits is done, what does not commit does not leave, and
# nobody holds up anybody else.

use strict;
use warnings;

use Integ::Calls;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(wait_until free_port);
use Test::More;
use Time::HiRes qw(time);

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('calls', conf => [ 'integ.retry_delay = 20ms', 'integ.request_timeout = 5s' ]);
my $closed = free_port();

sub connect_all
{
	my ($database) = @_;
	Integ::Calls::connect($node, $database,
		main => $provider->url, slow => $provider->url, other => $provider->url, down => "http://127.0.0.1:$closed");
	return;
}

sub enqueue
{
	my ($instance, $method, $input, $options, $database) = @_;
	return $node->safe_psql($database // 'postgres',
		sprintf q(SELECT integ_enqueue('%s', '%s', '%s', '%s')), $instance, $method, $input, $options // '{}');
}

# Waits for a call to end; "state attempts sqlstate".
sub outcome
{
	my ($id, $database) = @_;
	$node->wait_for_sql("SELECT count(*) = 1 FROM integ.calls_done WHERE id = '$id'", "call $id to end", $database);
	return $node->safe_psql($database // 'postgres',
		"SELECT concat_ws(' ', state, attempt, last_sqlstate) FROM integ.calls_done WHERE id = '$id'");
}

sub dispatchers
{
	my ($database) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'integ dispatcher' AND datname = '"
		  . ($database // 'postgres') . "'");
}

connect_all('postgres');

# Commit, rollback, savepoint, two-phase commit.
$node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT integ_enqueue('main', 'write', '{"a": "echo", "b": "rolled-back"}');
ROLLBACK;
BEGIN;
SELECT integ_enqueue('main', 'write', '{"a": "echo", "b": "committed"}');
SAVEPOINT s;
SELECT integ_enqueue('main', 'write', '{"a": "echo", "b": "savepoint"}');
ROLLBACK TO s;
COMMIT;
SQL
$node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', 'the committed call to end');
is($provider->count('/echo/committed'), 1, 'what committed was sent once');
$node->safe_psql('postgres',
	q(BEGIN; SELECT integ_enqueue('main', 'write', '{"a": "echo", "b": "prepared"}'); PREPARE TRANSACTION 'calls'));
is(outcome(enqueue('main', 'read', '{"a": "echo", "b": "after"}')), 'succeeded 1', 'a later call is done');
is($provider->count('/echo/prepared'), 0, 'what is only prepared was not sent');
my $begun = time;
$node->safe_psql('postgres', q(COMMIT PREPARED 'calls'));
$node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', 'the prepared call to end');
note(sprintf 'COMMIT PREPARED to done: %.3f s', time - $begun);
is($provider->count('/echo/prepared'), 1, 'COMMIT PREPARED sends it');
is($provider->count('/echo/rolled-back') + $provider->count('/echo/savepoint'), 0, 'what rolled back never left');

# What is retried, and what is not.
is(outcome(enqueue('main', 'read', '{"a": "fault", "b": "once", "code": 503, "times": 2, "key": "r"}')),
	'succeeded 3', 'a read is repeated after a 503');
is(outcome(enqueue('main', 'read', '{"a": "fault", "b": "reset"}', '{"max_attempts": 3}')),
	'dead 3 IG502', 'a read is repeated after a reset, until its attempts are used up');
is($provider->count('/fault/reset'), 3, 'and the service saw each attempt');
$node->append_conf('postgresql.conf', 'integ.request_timeout = 10min');
$node->reload;
is(outcome(enqueue('main', 'read', '{"a": "fault", "b": "noanswer"}', '{"timeout": 100, "max_attempts": 2}')),
	'dead 2 IG504', 'a read that times out is repeated; its own timeout is shorter than the setting');
$node->append_conf('postgresql.conf', 'integ.request_timeout = 300ms');
$node->reload;
my $patient = enqueue('main', 'read', '{"a": "fault", "b": "delay", "ms": 2000}',
	'{"timeout": "10 minutes", "max_attempts": 1}');
is(outcome(enqueue('main', 'read', '{"a": "fault", "b": "noanswer"}', '{"max_attempts": 1}')), 'dead 1 IG504',
	'without one the setting holds');
is(outcome($patient), 'succeeded 1', 'and another is longer');
$node->append_conf('postgresql.conf', 'integ.request_timeout = 5s');
$node->reload;
is(outcome(enqueue('main', 'write', '{"a": "fault", "b": "noanswer"}', '{"timeout": 100}')),
	'unknown 1 IG504', 'a write that times out is not: its outcome is unknown');
is(outcome(enqueue('main', 'write', '{"a": "fault", "b": "close"}')), 'unknown 1 IG504',
	'nor one whose answer is lost');
is($provider->count('/fault/close'), 1, 'it was sent once');
is(outcome(enqueue('down', 'write', '{"a": "echo", "b": "x"}', '{"max_attempts": 3}')),
	'dead 3 IG504', 'a write of which nothing was sent is repeated');
is(outcome(enqueue('main', 'keyed', '{"a": "fault", "b": "once", "code": 500, "times": 1, "key": "k"}')),
	'succeeded 2', 'a write with a key that the service honours is repeated');
my %keys = map { $_->{headers}{'idempotency-key'} => 1 } $provider->log('/fault/once');
delete $keys{''};
is(scalar(grep { defined && length } keys %keys), 1, 'with the same key');
is(outcome(enqueue('main', 'read', '{"a": "fault", "b": "notjson"}')), 'failed 1 IG502', 'garbage is final');
is(outcome(enqueue('main', 'read', '{"a": "fault", "b": "status", "code": 403}')), 'failed 1 IG422',
	'a refusal is final');

# Who listens hears of it; nothing but ids, and nothing where it is switched off.
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN integ_calls');
my $heard = '';
sub hears { my ($id) = @_; $heard .= $listener->query('SELECT 1'); return $heard =~ /$id/ }
my @announced = map { enqueue('other', 'read', '{"a": "echo", "b": "announced"}') } 1 .. 3;
wait_until('the notification', sub { hears($_) }) for @announced;
like($heard, qr/"integ_calls" with payload "[0-9a-f-]{36}(,[0-9a-f-]{36})*" received/,
	'the payload has ids and nothing else');
$node->append_conf('postgresql.conf', 'integ.notify_calls = off');
$node->reload;
my $quiet;
wait_until('silence', sub {
	$quiet = enqueue('other', 'read', '{"a": "echo", "b": "quiet"}');
	outcome($quiet);
	# Its notification would come before this one.
	$node->safe_psql('postgres', "NOTIFY integ_calls, 'after-$quiet'");
	wait_until('a later notification', sub { hears("after-$quiet") });
	return $heard !~ /"[^"]*(?<!after-)$quiet/;
});
pass('integ.notify_calls switches it off');
$listener->quit;

# The service says when, and the whole instance waits until then; others do not.
my $limited = enqueue('slow', 'read', '{"a": "fault", "b": "status", "code": 429, "retry_after": 3600}');
$node->wait_for_sql("SELECT state = 'waiting' FROM integ.calls WHERE id = '$limited'", 'the call to wait');
is( $node->safe_psql('postgres',
		"SELECT next_attempt_at > started_at + interval '59 minutes', attempt, last_sqlstate FROM integ.calls
			WHERE id = '$limited'"),
	't|1|IG429', 'it waits for as long as the service says');
my $behind = enqueue('slow', 'read', '{"a": "echo", "b": "behind"}');
is(outcome(enqueue('other', 'read', '{"a": "echo", "b": "other"}')), 'succeeded 1', 'another instance goes on');
is($provider->count('/echo/behind'), 0, 'its own calls wait with it');
$node->safe_psql('postgres', "SELECT integ_call_cancel('$_')") for $limited, $behind;

# One slow host holds nobody, although it has more to do than all others.
$node->safe_psql('postgres', <<'SQL');
SELECT integ_connect('calls', 'snail', (SELECT config FROM integ.instances WHERE instance_id = 'main'));
SELECT count(integ_enqueue('snail', 'read', '{"a": "fault", "b": "delay", "ms": 1500}')) FROM generate_series(1, 1000);
SELECT count(integ_enqueue('other', 'read', jsonb_build_object('a', 'echo', 'b', 'fast'))) FROM generate_series(1, 100);
SQL
$node->wait_for_sql(q(SELECT count(*) = 100 FROM integ.calls_done WHERE input ->> 'b' = 'fast'), 'the fast calls');
is( $node->safe_psql('postgres', <<'SQL'), 't', 'a hundred fast calls ended while slow ones went four at a time');
SELECT count(*) FILTER (WHERE d.finished_at < f.last) <= 40
FROM integ.calls_done d, (SELECT max(finished_at) AS last FROM integ.calls_done WHERE input ->> 'b' = 'fast') f
WHERE d.instance_id = 'snail'
SQL
cmp_ok($node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls WHERE instance_id = 'snail'
	AND state = 'running')),
	'<=', 4, 'no more of them at once than the definition allows');

# A row that somebody has locked is settled when it is free again, and holds up nobody.
my $locked = enqueue('main', 'read', '{"a": "fault", "b": "delay", "ms": 700}');
$node->wait_for_sql("SELECT state = 'running' FROM integ.calls WHERE id = '$locked'", 'the call to run');
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT 1 FROM integ.calls_open WHERE id = '$locked' FOR UPDATE");
wait_until('its answer', sub { $provider->count('/fault/delay') > 0 });
is(outcome(enqueue('other', 'read', '{"a": "echo", "b": "beside"}')), 'succeeded 1', 'a locked row holds up nobody');
$session->query_safe('COMMIT');
$session->quit;
is(outcome($locked), 'succeeded 1', 'and is settled once it is free');
$node->safe_psql('postgres', q(SELECT integ_call_cancel(id) FROM integ.calls_open WHERE instance_id = 'snail'));
$node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', 'the cancelled calls to end');
is($node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls WHERE instance_id = 'snail')), 1000, 'none is lost');

# While the server is held, nothing leaves.
$node->append_conf('postgresql.conf', 'integ.hold = on');
$node->reload;
$node->wait_for_sql(q(SELECT current_setting('integ.hold') = 'on'));
my $held = enqueue('main', 'write', '{"a": "echo", "b": "held"}');
my ($state) = $node->sql_error("SELECT integ_await('$held', '500 ms')");
is($state, 'IG504', 'a held call does not end');
is($provider->count('/echo/held'), 0, 'and was not sent');
$node->append_conf('postgresql.conf', 'integ.hold = off');
$node->reload;
is(outcome($held), 'succeeded 1', 'it goes once the server is released');

# Two dispatchers share the instances.
$node->append_conf('postgresql.conf', 'integ.dispatchers = 2');
$node->reload;
wait_until('the second dispatcher', sub { dispatchers() == 2 });
$node->safe_psql('postgres', <<'SQL');
SELECT count(integ_connect('calls', 'many_' || g, (SELECT config FROM integ.instances
	WHERE instance_id = 'main'))) FROM generate_series(1, 20) g;
SELECT count(integ_enqueue('many_' || g % 20 + 1, 'write', jsonb_build_object('a', 'echo', 'b',
	'many'), jsonb_build_object('ordering_key', (g % 3)::text)))
FROM generate_series(1, 600) g;
SQL
$node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', 'the calls of two dispatchers');
is($provider->count('/echo/many'), 600, 'two dispatchers send every call once');

# They share also the calls of one instance, but those that have an order, or a limit, to keep.
Integ::Calls::connect_shared($node, 'postgres', shared => $provider->url);
$node->safe_psql('postgres', <<'SQL');
SELECT count(integ_enqueue('shared', 'read', jsonb_build_object('a', 'echo', 'b', 'shared', 'fault', 'delay',
	'ms', 300)))
FROM generate_series(1, 400) g;
SELECT count(integ_enqueue('shared', 'read', jsonb_build_object('a', 'echo', 'b', 'keyed'),
	jsonb_build_object('ordering_key', (g % 2)::text)))
FROM generate_series(1, 20) g;
SELECT count(integ_enqueue('many_1', 'read', jsonb_build_object('a', 'echo', 'b', 'limited')))
	FROM generate_series(1, 20) g;
SQL
$node->wait_for_sql(q(SELECT count(DISTINCT lease) = 2 AND count(*) > 32 FROM integ.calls_open
	WHERE instance_id = 'shared' AND state = 'running' AND ordering_key IS NULL),
		'both to have calls of one instance under way');
$node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', 'the shared calls');
is($provider->count('/echo/shared'), 400, 'each is sent once');
is( $node->safe_psql('postgres', q(SELECT count(*)
	FROM (SELECT started_at < lag(finished_at) OVER (PARTITION BY ordering_key ORDER BY id) AS early
	FROM integ.calls_done WHERE input ->> 'b' = 'keyed') k WHERE early)), 0,
		'those of an ordering key one after the other');
$node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT integ_enqueue('shared', 'read', '{"a": "echo", "b": "x"}', '{"ordering_key": "k", "run_at": "2100-01-01"}');
SELECT integ_enqueue('many_1', 'read', '{"a": "echo", "b": "x"}', '{"run_at": "2100-01-01"}');
SELECT integ_enqueue('shared', 'read', '{"a": "echo", "b": "x"}', '{"run_at": "2100-01-01"}');
COMMIT;
SQL
is( $node->safe_psql('postgres', q(SELECT string_agg((share IS NOT NULL)::text, ' ' ORDER BY id)
	FROM integ.calls_open)), 'false false true',
	'what has an order or a limit to keep is one dispatcher\'s');
$node->safe_psql('postgres', 'SELECT count(integ_call_cancel(id)) FROM integ.calls_open');
$node->append_conf('postgresql.conf', 'integ.dispatchers = 1');
$node->reload;
wait_until('the second dispatcher to leave', sub { dispatchers() == 1 });
is(outcome(enqueue('many_7', 'read', '{"a": "echo", "b": "one"}')), 'succeeded 1', 'one serves all of them again');

# A database of its own beside it: dropped while its calls are under way.
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', 'CREATE EXTENSION integ');
connect_all('second');
is(outcome(enqueue('main', 'read', '{"a": "echo", "b": "second"}', '{}', 'second'), 'second'), 'succeeded 1',
	'a second database has its own');
$node->safe_psql('second', q(SELECT count(integ_enqueue('main', 'read', '{"a": "fault", "b": "delay",
	"ms": 3000}')) FROM generate_series(1, 50)));
wait_until('calls of the second database', sub { $node->safe_psql('second', q(SELECT count(*) > 0
	FROM integ.calls_open WHERE state = 'running')) eq 't' });
$begun = time;
$node->safe_psql('postgres', 'DROP DATABASE second');
note(sprintf 'DROP DATABASE with calls under way: %.3f s', time - $begun);
is(outcome(enqueue('main', 'read', '{"a": "echo", "b": "third"}')), 'succeeded 1', 'the first goes on');

# The extension, dropped while its calls are under way, and made again.
$node->safe_psql('postgres', q(SELECT count(integ_enqueue('main', 'read', '{"a": "fault", "b": "delay",
	"ms": 3000}')) FROM generate_series(1, 50)));
$node->wait_for_sql(q(SELECT count(*) > 0 FROM integ.calls_open WHERE state = 'running'));
$node->safe_psql('postgres', 'DROP EXTENSION integ CASCADE; CREATE EXTENSION integ');
connect_all('postgres');
is(outcome(enqueue('main', 'read', '{"a": "echo", "b": "again"}')), 'succeeded 1',
	'after DROP and CREATE EXTENSION calls are done');

unlike(slurp_log(), qr/terminated by signal|PANIC|TRAP:/, 'no process crashed');

sub slurp_log { return PostgreSQL::Test::Utils::slurp_file($node->logfile) }

$node->stop;
done_testing();
