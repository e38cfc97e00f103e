# A disk that is full where the history is, names that do not resolve, a clock that jumps: nothing is lost, nothing is
# sent twice, and what does not need them goes on.

use strict;
use warnings;

use Integ::Calls;
use Integ::Cluster;
use Integ::Faults;
use Integ::Provider;
use Integ::Test qw(wait_until);
use Test::More;

plan skip_all => Integ::Faults->missing if Integ::Faults->missing;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('faults', start => 0, conf => [
	'integ.retry_delay = 50ms', 'integ.max_retry_delay = 200ms', 'integ.notify_calls = off',
		'integ.connect_timeout = 5s' ]);
my $faults = Integ::Faults->start($node);
sub on { return $faults->on(@_) }
sub off { return $faults->off(@_) }
sub sql { return $node->safe_psql('postgres', $_[0]) }

my ($port) = $provider->url =~ /:(\d+)/;
sql('CREATE EXTENSION integ');
Integ::Calls::connect($node, 'postgres', main => $provider->url, other => $provider->url,
	named => "http://service.test:$port");

# --- a full disk ---

sql(sprintf q(CREATE TABLESPACE history LOCATION '%s'), $faults->disk);
$node->wait_for_sql(q(SELECT count(*) >= 4 FROM pg_inherits
	WHERE inhparent = 'integ.calls_done'::regclass), 'the partitions');
sql(<<'SQL');
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'integ.calls_done'::regclass LOOP
        EXECUTE format('ALTER TABLE %s SET TABLESPACE history', part);
    END LOOP;
END
$$
SQL
on('full');
my $calls = 60;
sql(<<"SQL");
SELECT count(integ_enqueue((ARRAY['main', 'other'])[g % 2 + 1], (ARRAY['read', 'write', 'keyed'])[g % 3 + 1],
    jsonb_build_object('a', 'echo', 'b', 'n' || g))) FROM generate_series(1, $calls) g
SQL
wait_until('the error to be told', sub {
	$node->log_contains(qr/could not (extend|write)[^\n]*No space left on device/) });
is(sql(q(SELECT count(*) FROM integ.calls_done)), 0, 'no outcome can be stored');
like(sql(q(SELECT last_error FROM integ_status() WHERE component = 'dispatcher'
	AND database = current_database())) . slurp_log(),
	qr/No space left/, 'and the server says why');
is(sql(q(SELECT count(*) > 0 FROM integ.calls_open WHERE state = 'running')),
	't', 'calls that were answered wait to be stored');
is(sql(q(SELECT integ_execute('main', 'read', '{"a": "echo", "b": "meanwhile"}') ->> 'path')),
	'/echo/meanwhile', 'synchronous calls go on');
is(sql(q(SELECT count(integ_enqueue('main', 'read', '{"a": "echo", "b": "more"}'))
	FROM generate_series(1, 5))), 5, 'and calls are enqueued');
off('full');
$node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', 'every call to end once there is room');
is(sql(q(SELECT count(*) FROM integ.calls_done WHERE state = 'succeeded')), $calls + 5, 'none is lost');
my $counts = $provider->count;
is_deeply([ grep { ($counts->{"/echo/n$_"} // 0) != 1 } 1 .. $calls ], [], 'and each was sent once');

# Full again, and the dispatcher is told to stop: what it could not store says so.
# (An empty table has no page with room.)
sql('TRUNCATE integ.calls_done');
on('full');
my $write = sql(q(SELECT integ_enqueue('main', 'write', '{"a": "echo", "b": "unstored"}')));
wait_until('its request', sub { $provider->count('/echo/unstored') });
my $pid = sql(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'));
sql("SELECT pg_terminate_backend($pid)");
$node->wait_for_sql("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'
	AND pid <> $pid", 'another dispatcher');
off('full');
$node->wait_for_sql("SELECT state = 'unknown' FROM integ.calls_done WHERE id = '$write'", 'the write to be unknown');
is($provider->count('/echo/unstored'), 1, 'it was sent once');

# --- names that do not resolve ---

on('no_names');
my $short = sql(q(SELECT integ_enqueue('named', 'read', '{"a": "echo", "b": "short"}', '{"max_attempts": 2}')));
is(sql("SELECT concat_ws(' ', o ->> 'state', o ->> 'attempts', o -> 'error' ->> 'sqlstate')
	FROM integ_await('$short', '60 seconds') o"),
	'dead 2 IG504', 'a call to a name that does not resolve is tried again, and dead in the end');
like(sql("SELECT last_error || error_detail FROM integ.calls
	WHERE id = '$short'"), qr/service\.test|resolve/i, 'and says what');
my $read = sql(q(SELECT integ_enqueue('named', 'read', '{"a": "echo", "b": "named"}', '{"max_attempts": 100000}')));
my $named = sql(q(SELECT integ_enqueue('named', 'write', '{"a": "echo", "b": "named_write"}',
	'{"max_attempts": 100000}')));
my $beside = sql(q(SELECT integ_enqueue('other', 'read', '{"a": "echo", "b": "beside"}')));
is(sql("SELECT integ_await('$beside', '60 seconds') ->> 'state'"), 'succeeded', 'others are not delayed');
$node->wait_for_sql(q(SELECT state = 'open' FROM integ.circuit_breakers
	WHERE instance_id = 'named'), 'the circuit breaker to open');
off('no_names');
sql(q(SELECT integ_breaker_reset('named')));
is(sql("SELECT integ_await('$_', '60 seconds') ->> 'state'"), 'succeeded',
	'once it resolves, the call is made') for $read, $named;
is($provider->count("/echo/$_"), 1, "$_ was sent once") for qw(named named_write);

# --- a clock that jumps ---

my $tomorrow = sql(q(SELECT integ_enqueue('main', 'read', '{"a": "echo", "b": "tomorrow"}',
	jsonb_build_object('run_at', now() + interval '1 day'))));
my $gone = sql(q(SELECT integ_enqueue('main', 'read', '{"a": "echo", "b": "gone"}',
	jsonb_build_object('run_at', now() + interval '1 day', 'expires_at', now() + interval '25 hours'))));
my $slow = sql(q(SELECT integ_enqueue('other', 'write', '{"a": "fault", "b": "delay", "ms": 1500}')));
wait_until('its request', sub { $provider->count('/fault/delay') });
on('clock', 2 * 86400);
is(sql("SELECT integ_await('$slow', '60 seconds') ->> 'state'"),
	'succeeded', 'a call under way does not time out when the clock jumps two days ahead');
# The dispatcher sleeps by another clock; a call wakes it.
my $ahead = sql(q(SELECT integ_enqueue('other', 'read', '{"a": "echo", "b": "ahead"}')));
is(sql("SELECT integ_await('$ahead', '60 seconds') ->> 'state'"), 'succeeded', 'calls go on');
sql("UPDATE integ.calls_open SET priority = 1 WHERE id IN ('$tomorrow', '$gone')");
is(sql("SELECT integ_await('$tomorrow', '60 seconds') ->> 'state'"), 'succeeded', 'a call of tomorrow is made');
is(sql("SELECT concat_ws(' ', o ->> 'state', o -> 'error' ->> 'message') FROM integ_await('$gone', '60 seconds') o"),
	'dead the call expired before it was begun', 'one that has expired says so');
my $far = sql(q(SELECT integ_enqueue('main', 'read', '{"a": "fault", "b": "status", "code": 429, "retry_after": 5}')));
$node->wait_for_sql("SELECT state = 'waiting' FROM integ.calls
	WHERE id = '$far'", 'the instance to be limited for five seconds');
off('clock');
my $back = sql(q(SELECT integ_enqueue('other', 'read', '{"a": "echo", "b": "back"}')));
is(sql("SELECT integ_await('$back', '60 seconds') ->> 'state'"), 'succeeded', 'calls go on when it is set back');
my $same = sql(q(SELECT integ_enqueue('main', 'read', '{"a": "echo", "b": "same"}')));
is(sql("SELECT integ_await('$same', '60 seconds') ->> 'state'"),
	'succeeded', 'also of the instance that waited for a time then');
is(sql("SELECT state FROM integ.calls WHERE id = '$far'"), 'waiting', 'a call keeps the time that stands in its row');
sql("UPDATE integ.calls_open SET next_attempt_at = now(), max_attempts = 1 WHERE id = '$far'");
$node->wait_for_sql("SELECT state = 'dead' FROM integ.calls
	WHERE id = '$far'", 'the call that was put off to end once it is told to');
is(sql('SELECT count(*) FROM integ.calls_open'), 0, 'none is left');

unlike(slurp_log(), qr/terminated by signal|PANIC|TRAP:/, 'no process crashed');
sub slurp_log { return PostgreSQL::Test::Utils::slurp_file($node->logfile) }

$node->stop;
done_testing();
