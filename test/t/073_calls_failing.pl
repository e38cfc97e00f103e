# An instance whose calls fail for long is switched off, said why, and switched on again by
# whoever mends it; what a person switched off stays off.

use strict;
use warnings;

use Integ::Calls;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(wait_until);
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('failing', conf => [
	'integ.retry_delay = 20ms', 'integ.deactivate_after_failures = 5', 'integ.deactivate_after = 0' ]);
Integ::Calls::connect($node, 'postgres', map { ($_ => $provider->url) } qw(lasting mixed sync slow person caller));

sub sql { return $node->safe_psql('postgres', $_[0]) }

# Calls that end one after the other; their states.
sub calls
{
	my ($instance, @inputs) = @_;
	my @states;
	for my $input (@inputs)
	{
		my $id = sql("SELECT integ_enqueue('$instance', 'read', '$input', '{\"max_attempts\": 1}')");
		push @states, sql("SELECT integ_await('$id', '60 seconds') ->> 'state'");
	}
	return join ' ', @states;
}

sub counted
{
	my ($instance, $count) = @_;
	return $node->wait_for_sql("SELECT failures = $count
		FROM integ.instances WHERE instance_id = '$instance'", "$count failures of $instance");
}

my $no = '{"a": "fault", "b": "status", "code": 403}';
my $broken = '{"a": "fault", "b": "notjson"}';
my $yes = '{"a": "echo", "b": "yes"}';

is(calls('lasting', $no, $broken, $no, $broken), 'failed failed failed failed', 'four calls fail');
counted('lasting', 4);
is(sql("SELECT is_active AND status = 'active' AND failing_since <= now()
	FROM integ.instances WHERE instance_id = 'lasting'"), 't',
	'they are counted, and the instance is in use');
my $waiting = sql("SELECT integ_enqueue('lasting', 'read',
	'$yes', jsonb_build_object('run_at', now() + interval '1 day'))");
is(calls('lasting', $no), 'failed', 'the fifth in a row');
$node->wait_for_sql("SELECT NOT is_active FROM integ.instances WHERE instance_id = 'lasting'",
	'the instance to be switched off');
like(sql("SELECT concat_ws('|', status, deactivated_by, deactivated_reason)
	FROM integ.instances WHERE instance_id = 'lasting'"),
	qr/^error\|The last 5 calls have failed, since \d{4}-.*: .*403/, 'by nobody, and says why');
is(sql(q(SELECT concat_ws(' ', payload ->> 'instance_id', payload ->> 'definition') FROM integ.events
	WHERE kind = 'instance.deactivated')), 'lasting calls', 'with an event');
like(sql("SELECT text || '|' || hint FROM integ.notifications WHERE kind = 'instance.deactivated'"),
	qr/^"lasting" was switched off: .*\|Mend .*UPDATE integ\.instances SET is_active = true.*integ_calls_retry/,
	'and a notification that says what to do');
my $before = $provider->count('/echo/yes');
sql("UPDATE integ.calls_open SET run_at = now() WHERE id = '$waiting'");
is(sql("SELECT concat_ws(' ', o ->> 'state', o -> 'error' ->> 'sqlstate') FROM integ_await('$waiting',
	'60 seconds') o"), 'failed IG403', 'calls that wait are refused now');
is($provider->count('/echo/yes'), $before, 'and not sent');
my ($state, $report) = $node->sql_error("SELECT integ_execute('lasting', 'read', '$yes')");
is($state, 'IG403', 'also synchronous ones');
like($report, qr/DETAIL:  The last 5 calls have failed.*HINT:  UPDATE integ\.instances SET is_active = true/s,
	'with the reason and what to do');
sql(q(SELECT integ_connect('calls', 'lasting', (SELECT config FROM integ.instances WHERE instance_id = 'lasting'))));
is(sql("SELECT concat_ws('|', is_active, deactivated_reason, failures)
	FROM integ.instances WHERE instance_id = 'lasting'"), 't|0',
	'a reconnect switches on what failure has switched off');
is(sql(q(SELECT count(*) FROM integ_calls_retry('{"instance": "lasting", "sqlstate": "IG403"}'))),
	1, 'what was refused meanwhile is enqueued again');
$node->wait_for_sql("SELECT count(*) = 0 FROM integ.calls_open", 'the repeated call to end');
is($provider->count('/echo/yes'), $before + 1, 'and sent');

# A person may do so too.
is(calls('lasting', ($no) x 5), 'failed failed failed failed failed', 'five failures again');
$node->wait_for_sql("SELECT NOT is_active FROM integ.instances WHERE instance_id = 'lasting'",
	'the instance to be switched off again');
sql("UPDATE integ.instances SET is_active = true WHERE instance_id = 'lasting'");
is(sql("SELECT concat_ws('|', status, deactivated_reason, failures, failing_since)
	FROM integ.instances WHERE instance_id = 'lasting'"), 'active|0',
	'switched on by a person, it begins anew');
is(calls('lasting', $yes), 'succeeded', 'and is in use');

# A success between them, of a durable call or of a session, is a new beginning.
is(calls('mixed', $no, $no, $no, $no, $yes, $no), 'failed failed failed failed succeeded failed',
	'a success between failures');
counted('mixed', 1);
is(calls('sync', ($no) x 4), 'failed failed failed failed', 'four failures');
counted('sync', 4);
sql("SELECT integ_execute('sync', 'read', '$yes')");
$node->wait_for_sql("SELECT last_succeeded_at > failing_since FROM integ.instances WHERE instance_id = 'sync'",
	'the success of a session');
is(calls('sync', $no), 'failed', 'and a fifth failure');
counted('sync', 1);

# What the caller did wrong does not count.
sql(q(SELECT integ_enqueue('caller', 'read',
	'{"a": "echo", "b": "late"}', jsonb_build_object('expires_at', now() - interval '1 second'))
	FROM generate_series(1, 6)));
$node->wait_for_sql("SELECT count(*) = 0 FROM integ.calls_open", 'the expired calls to end');
is(calls('caller', $no), 'failed', 'one that does');
counted('caller', 1);

# A person's switch-off is nobody's but a person's to end.
is(calls('person', ($no) x 2), 'failed failed', 'failures');
sql("UPDATE integ.instances SET is_active = false, deactivated_reason = 'not now' WHERE instance_id = 'person'");
$node->safe_psql('postgres', q(SELECT integ_connect('calls',
	'person', (SELECT config FROM integ.instances WHERE instance_id = 'person'))));
is(sql("SELECT concat_ws('|', is_active, deactivated_by, deactivated_reason)
	FROM integ.instances WHERE instance_id = 'person'"), 'f|postgres|not now',
	'a reconnect does not undo it');

# Not before it has failed for so long.
$node->append_conf('postgresql.conf', "integ.deactivate_after = '1h'");
$node->reload;
$node->wait_for_sql(q(SELECT current_setting('integ.deactivate_after') = '1h'));
wait_until('the setting in the dispatcher', sub {
	sql("UPDATE integ.instances SET is_active = true, failures = 0, failing_since = NULL WHERE instance_id = 'slow'");
	calls('slow', ($no) x 6);
	counted('slow', 6);
	return sql("SELECT is_active FROM integ.instances WHERE instance_id = 'slow'") eq 't';
});
pass('many failures in a short time switch nothing off');
sql("UPDATE integ.instances SET failing_since = now() - interval '2 hours' WHERE instance_id = 'slow'");
is(calls('slow', $no), 'failed', 'one more, two hours after the first');
$node->wait_for_sql("SELECT NOT is_active FROM integ.instances WHERE instance_id = 'slow'",
	'the instance to be switched off after an hour');

# A locked row delays no outcome.
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; SELECT 1 FROM integ.instances WHERE instance_id = 'mixed' FOR UPDATE");
is(calls('mixed', $no, $yes, $no, $yes), 'failed succeeded failed succeeded',
	'outcomes are stored while somebody has the row of the instance');
$session->query_safe('ROLLBACK');
$session->quit;

$node->stop;
done_testing();
