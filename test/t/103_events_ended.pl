# integ.action.executed of calls that do not end by their answer: cancelled, lost with their process, left open by
# the server before, stopped between two requests. Each is told once, with how it ended.

use strict;
use warnings;

use Integ::Calls;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp wait_until);
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('ended',
	init => [ allows_streaming => 1 ],
	conf => [ 'integ.retry_delay = 1min', 'integ.max_retry_delay = 1min', 'integ.request_timeout = 10min' ]);
Integ::Calls::connect($node, 'postgres', main => $provider->url);

sub value { return $node->safe_psql('postgres', shift) }

value(q(SELECT integ_define($$
{"integrationId": "stepping", "name": "Stepping", "version": "1.0.0", "authType": "none",
 "baseUrl": "{config.base_url}",
 "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
 "methods": [{"id": "both", "name": "Both", "access": "write", "inputSchema": {"type": "object"}, "outputSchema": {},
   "steps": [
    {"id": "first", "access": "write", "request": {"method": "POST", "path": "/echo/{name}",
     "query": {"_fault": "{fault}", "key": "{name}"}}},
    {"id": "second", "access": "write", "request": {"method": "POST", "path": "/echo/{name}/{steps.first.missing}"}}]}]}
$$::jsonb)));
value("SELECT integ_connect('stepping', 'steps', '" . qq({"base_url": "${\ $provider->url}"}) . "')");
value("SELECT integ_endpoint_add('" . $provider->url('/echo/told') . q[', '{integ.action.executed}')]);

sub enqueue
{
	my ($method, $name, $more, $options) = @_;
	$more = $more ? ", $more" : '';
	$options //= q('{}');
	return value(qq(SELECT integ_enqueue('main', '$method', '{"a": "echo", "b": "$name"$more}', $options)));
}

# What was told of a call: "state attempts sqlstate", an event a line.
sub told
{
	my ($call, $of) = @_;
	return ($of // $node)->safe_psql('postgres', qq(SELECT concat_ws(' ', payload ->> 'state', payload ->> 'attempts',
		payload ->> 'sqlstate') FROM integ.deliveries WHERE event_type = 'integ.action.executed'
		AND payload ->> 'call' = '$call'));
}

# --- cancelled ---

my $tomorrow = enqueue('write', 'tomorrow', undef, q(jsonb_build_object('run_at', now() + interval '1 day')));
value("SELECT integ_call_cancel('$tomorrow')");
is(told($tomorrow), '', 'nothing of it had been sent');

my $failing = enqueue('read', 'failing', '"fault": "status", "code": 503');
$node->wait_for_sql("SELECT state = 'waiting' FROM integ.calls WHERE id = '$failing'", 'it is to be tried again');
is(value("BEGIN; SELECT integ_call_cancel('$failing'); ROLLBACK"), 'cancelled', 'a cancellation that is rolled back');
is(told($failing), '', 'tells nothing');
value("SELECT integ_call_cancel('$failing')");
is(told($failing), 'cancelled 1 IG502', 'cancelled before another attempt');
is(value("SELECT payload @> '" . q({"method": "read", "instance_id": "main", "definition": "calls", "is_write": false})
	  . "' FROM integ.deliveries WHERE payload ->> 'call' = '$failing'"), 't', 'by its names');

my $running = enqueue('read', 'running', '"fault": "delay", "ms": 1500');
wait_until('its request', sub { $provider->count('/echo/running') });
is(value("SELECT integ_call_cancel('$running')"), 'running', 'one that is under way');
is(value("SELECT integ_await('$running', '30 s') ->> 'state'"), 'succeeded', 'may still succeed');
is(told($running), 'succeeded 1', 'and then has');

my $late = enqueue('read', 'late', '"fault": "reset"');
wait_until('its request', sub { $provider->count('/echo/late') });
$node->wait_for_sql("SELECT state = 'waiting' FROM integ.calls WHERE id = '$late'", 'it is to be tried again');
value("UPDATE integ.calls_open SET input = input || '"
	  . q({"fault": "hangonce", "key": "late"}) . "', next_attempt_at = now() WHERE id = '$late'");
wait_until('its second request', sub { $provider->count('/echo/late') == 2 });
is(value("SELECT integ_call_cancel('$late')"), 'running', 'one whose second attempt is under way');
my $dispatcher = q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher');
value("SELECT pg_terminate_backend(pid) FROM ($dispatcher) d");
is(value("SELECT integ_await('$late', '30 s') ->> 'state'"), 'cancelled', 'ends with its attempt');
is(told($late), 'cancelled 2 57014', 'and is told of');

# --- lost with their process ---

my $read = enqueue('read', 'read', '"fault": "hangonce", "key": "read"');
my $write = enqueue('write', 'write', '"fault": "hangonce", "key": "write"');
my $given_up = enqueue('read', 'given_up', '"fault": "hangonce", "key": "given_up"');
wait_until('the requests',
	sub { $provider->count('/echo/read') && $provider->count('/echo/write') && $provider->count('/echo/given_up') });
value("SELECT integ_call_cancel('$given_up')");
my $pid = value($dispatcher);
kill 'KILL', $pid or die "$pid: $!";
wait_until('another dispatcher', sub {
	my ($status, $other) = $node->psql('postgres', $dispatcher);
	return $status == 0 && $other ne '' && $other ne $pid; });
$node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', 'all calls to end');
is(told($write), 'unknown 1 IG504', 'a write whose dispatcher was killed');
is(told($read), 'succeeded 1', 'a read is told of when it has been made again');
is(told($given_up), 'cancelled 1 IG504', 'one that was cancelled meanwhile is not');

# --- stopped between two requests, and broken off, in the session's own call ---

# How the actions of a method ended, by the name in their calls.
sub actions
{
	my ($condition) = @_;
	return value(qq(SELECT coalesce(string_agg(concat_ws(' ', payload ->> 'method', payload ->> 'state',
		payload ->> 'sqlstate'), ', '
		ORDER BY payload ->> 'state'), '') FROM integ.deliveries
		WHERE event_type = 'integ.action.executed' AND $condition));
}

my $steps = q(payload ->> 'instance_id' = 'steps');
is(($node->sql_error(q(SELECT integ_execute('steps', 'both', '{"name": "one"}'))))[0],
	'IG400', 'a step cannot be built');
is($provider->count('/echo/one'), 1, 'after the one before it was carried out');
$node->wait_for_sql("SELECT count(*) = 1 FROM integ.deliveries WHERE $steps", 'it to be told of');
is(actions($steps), 'both failed IG400', 'which is told of');
value(q(SELECT count(*) FROM integ_execute_many('steps', 'both', ARRAY[jsonb '{"name": "many"}'])));
$node->wait_for_sql("SELECT count(*) = 2 FROM integ.deliveries WHERE $steps", 'many to be told of');
is(actions($steps), 'both failed IG400, both failed IG400', 'also among many');
# Runs a statement until a request of it is under way, and cancels it.
sub cancelled
{
	my ($statement, $path) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query_until(qr/begun/, "\\echo begun\n$statement;\n");
	wait_until('its request', sub { $provider->count($path) });
	value(q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND query ~ '^SELECT .*hangonce'
		AND pid <> pg_backend_pid()));
	$node->wait_for_sql(q(SELECT count(*) = 0 FROM pg_stat_activity WHERE state = 'active' AND query ~ '^SELECT .*hangonce'
		AND pid <> pg_backend_pid()), 'the statement to end');
	$session->quit;
	return;
}

sub told_of
{
	my ($name, $condition, $count) = @_;
	$node->wait_for_sql("SELECT count(*) >= $count FROM integ.deliveries WHERE $condition", "$name to be told of");
	return actions($condition);
}

my $own = q(payload @> '{"instance_id": "main", "method": "write"}' AND payload ->> 'call' NOT IN (SELECT id::text
	FROM integ.calls));
cancelled(q(SELECT integ_execute('main', 'write', '{"a": "echo", "b": "slow", "fault": "hangonce", "key": "slow"}')),
	'/echo/slow');
is(told_of('it', $own, 1), 'write unknown 57014', 'a write that is under way at a cancellation: nobody knows');
cancelled(q(SELECT * FROM integ_execute_many('main', 'write', ARRAY[jsonb '{"a": "echo", "b": "m1"}',
	'{"a": "echo", "b": "m2", "fault": "hangonce", "key": "m2"}', '{"a": "echo", "b": "m3"}'], '{"concurrency": 1}')) =~
	  s/\s+/ /gr, '/echo/m2');
is(told_of('they', $own, 3), 'write succeeded, write unknown 57014, write unknown 57014',
	'of many those that were sent, each as it ended');
is($provider->count('/echo/m3'), 0, 'and not the one that was not');
cancelled(q(SELECT integ_execute_many('steps', 'both', ARRAY[jsonb '{"name": "s1", "fault": "hangonce"}'])),
	'/echo/s1');
is(told_of('they', $steps, 3), 'both failed IG400, both failed IG400, both unknown 57014',
	'one of several requests, too');
is(($node->sql_error(q(SELECT integ_execute('main', 'read', '{"a": "a b", "b": {"no": "text"}}'))))[0], 'IG400',
	'what cannot be built at all');
is(actions(q(payload ->> 'sqlstate' = 'IG400' AND payload ->> 'instance_id' = 'main')), '',
	'was not carried out, and is not told of');

# --- left open by the server before ---

$node->backup('base');
my $standby = Integ::Cluster->new('after');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $open = enqueue('write', 'open', '"fault": "hangonce", "key": "open"');
wait_until('its request', sub { $provider->count('/echo/open') });
my $next = enqueue('write', 'next', '"fault": "hangonce", "key": "next"',
	q(jsonb_build_object('run_at', now() + interval '1 day')));
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$node->stop('immediate');
$standby->promote;
$standby->wait_for_sql('SELECT count(*) = 1 FROM integ.calls_open', 'the write to end');
is(told($open, $standby), 'unknown 1 IG504', 'a write that was open when its server was replaced');
is(told($next, $standby), '', 'one of tomorrow is still to be made');
is($provider->count('/echo/open'), 1, 'and nothing was sent again');

$standby->stop;
done_testing();
