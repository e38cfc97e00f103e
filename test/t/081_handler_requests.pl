# Functions whose answer somebody waits for: what happens when it does not come,
# and that what was asked for stays.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(wait_until);
use Test::More;

my $provider = Integ::Provider->start;
my $url = $provider->url;
my $node = Integ::Cluster->create('main', conf => [ 'integ.retry_delay = 20ms', q(integ.handler_timeout = '60s'), q(integ.max_sync_wait = '60s') ]);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql(q(CREATE ROLE definer LOGIN; CREATE ROLE caller LOGIN; GRANT integ_superadmin TO definer; GRANT integ_superadmin TO caller;
	CREATE SCHEMA code AUTHORIZATION definer;
	CREATE TABLE code.gate (open bool); INSERT INTO code.gate VALUES (false); GRANT SELECT ON code.gate TO definer;
	CREATE TABLE code.seen (what text); ALTER TABLE code.seen OWNER TO definer));
sql(q(SET ROLE definer;
	CREATE FUNCTION code.gated(call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $f$
	BEGIN
		INSERT INTO code.seen VALUES ('gated');
		WHILE NOT (SELECT open FROM code.gate) LOOP PERFORM pg_sleep(0.02); END LOOP;
		RETURN NULL;
	END $f$;
	CREATE FUNCTION code.nested(call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $f$
	BEGIN
		RETURN integ_execute('svc_main', 'quick', '{}');
	END $f$;
	CREATE FUNCTION code.quick(call jsonb) RETURNS jsonb LANGUAGE sql AS $f$ SELECT call -> 'result' $f$;
	CREATE FUNCTION code.large(call jsonb) RETURNS jsonb LANGUAGE sql AS $f$ SELECT jsonb_build_object('text', repeat('x', 3000000)) $f$));

sub method
{
	my ($id, $access, $handler) = @_;
	my $verb = $access eq 'read' ? 'GET' : 'POST';
	my $approval = $id eq 'approved' ? ', "approvalRequired": true' : '';
	my $with = $handler ? qq(, "handler": $handler) : '';
	return qq({"id": "$id", "name": "$id", "access": "$access", "inputSchema": {}, "outputSchema": {}$approval$with,
		"request": {"method": "$verb", "path": "/echo/$id"}, "response": {"map": {"path": ".path"}}});
}
my $methods = join ', ', method('before', 'read', '{"before": "code.gated"}'), method('after', 'write', '{"after": "code.gated"}'),
	method('nested', 'read', '{"after": "code.nested"}'), method('quick', 'read', '{"after": "code.quick"}'),
	method('large', 'read', '{"after": "code.large"}'), method('plain', 'read'), method('approved', 'write');
sql(qq(SET ROLE definer; SELECT integ_define(\$m\${"integrationId": "svc", "name": "Service", "version": "1.0.0", "baseUrl": "$url",
	"authType": "none", "methods": [$methods]}\$m\$); SELECT integ_connect('svc', 'svc_main')));

sub as_caller { return "SET SESSION AUTHORIZATION caller; $_[0]" }
sub wait_called
{
	$node->wait_for_sql(q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'integ handler' AND state = 'active' AND query LIKE '%gated%'),
		'the function to be called');
	return;
}
sub wait_not_called
{
	$node->wait_for_sql(q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'integ handler' AND state = 'active'), $_[0]);
	return pass($_[0]);
}

# --- the caller goes away ---

my ($state, $report) = $node->sql_error(as_caller(q(SET statement_timeout = '300ms'; SELECT integ_execute('svc_main', 'before'))));
is($state, '57014', 'a caller whose time is over is cancelled');
wait_not_called('and the function with it');
is(sql('SELECT count(*) FROM code.seen'), 0, 'what it had done is undone');
is(sql(as_caller(q(SELECT integ_execute('svc_main', 'quick')))), '{"path": "/echo/quick"}', 'the next one is not');

my $caller = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $caller->query_safe('SELECT pg_backend_pid()');
$caller->{stdin} .= "SELECT integ_execute('svc_main', 'before');\n";
$caller->{run}->pump_nb;
wait_called();
sql("SELECT pg_terminate_backend($pid)");
wait_not_called('a terminated caller ends the function too');
eval { $caller->quit };

# --- the function does not answer ---

($state, $report) = $node->sql_error(as_caller(q(SET integ.max_sync_wait = '300ms'; SELECT integ_execute('svc_main', 'before'))));
is($state, 'IG504', 'a function that does not answer in time');
like($report, qr/code\.gated did not answer in time/, 'and which one');
wait_not_called('is cancelled');

my $waiting = $node->background_psql('postgres', on_error_stop => 0);
$waiting->{stdin} .= "\\set VERBOSITY verbose\nSELECT integ_execute('svc_main', 'before');\n\\echo ended\n";
$waiting->{run}->pump_nb;
wait_called();
sql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'integ handler' AND state = 'active'));
wait_until('the error', sub { $waiting->{run}->pump_nb; $waiting->{stdout} =~ /ended/ });
like($waiting->{stderr}, qr/IG500: .*the worker that called code\.gated has ended/, 'a worker that ends is an error at once');
$waiting->{stderr} = $waiting->{stdout} = '';
$waiting->quit;

# --- nested, and large ---

is(sql(as_caller(q(SELECT integ_execute('svc_main', 'nested')))), '{"path": "/echo/quick"}', 'a function that makes calls with functions');
is(sql(as_caller(q(SELECT length(integ_execute('svc_main', 'large') ->> 'text')))), 3000000, 'an answer larger than the queue');

# --- durable calls do not wait for one another ---

my $stuck = sql(as_caller(q(SELECT integ_enqueue('svc_main', 'before', '{}', '{"max_attempts": 1}'))));
wait_called();
my $id = sql(as_caller(q(SELECT integ_enqueue('svc_main', 'plain'))));
is(sql(as_caller("SELECT integ_await('$id', '30 s') ->> 'state'")), 'succeeded', 'the dispatcher goes on while a function is asked');
is(sql("SELECT state FROM integ.calls WHERE id = '$stuck'"), 'running', 'the call that asks waits');

# The dispatcher ends meanwhile: nothing was sent, the call is made again.
sql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'));
$node->wait_for_sql("SELECT attempt > 1 FROM integ.calls WHERE id = '$stuck'", 'another attempt');
wait_called();
sql('UPDATE code.gate SET open = true');
is(sql(as_caller("SELECT integ_await('$stuck', '30 s') ->> 'state'")), 'succeeded', 'a call whose dispatcher ended while it asked');
is($provider->count('/echo/before'), 1, 'was sent once');

# After the answer: a write is not sent again for the sake of its function.
sql('UPDATE code.gate SET open = false');
my $write = sql(as_caller(q(SELECT integ_enqueue('svc_main', 'after'))));
wait_called();
is($provider->count('/echo/after'), 1, 'a write was sent before its function is asked');
sql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'));
$node->wait_for_sql("SELECT state IN ('failed', 'unknown') FROM integ.calls WHERE id = '$write'", 'the write to end');
is($provider->count('/echo/after'), 1, 'and not again when the dispatcher ends');
$write = sql(as_caller(q(SELECT integ_enqueue('svc_main', 'after'))));
wait_called();
my $handler = sql(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ handler' AND state = 'active'));
kill 'KILL', $handler;
$node->wait_for_sql("SELECT state = 'unknown' FROM integ.calls WHERE id = '$write'", 'the write of before the crash');
is($provider->count('/echo/after'), 2, 'a crash of the worker does not repeat it either');

# --- an approval stays although everything around it fails ---

($state, $report) = $node->sql_error(as_caller(q(BEGIN; SELECT integ_execute('svc_main', 'approved'))));
is($state, 'IG428', 'a method that needs an approval');
my ($approval) = $report =~ /Approval ([0-9a-f-]{36}) is pending/;
$node->stop('immediate');
$node->start;
is(sql("SELECT state FROM integ.approvals WHERE id = '$approval'"), 'pending', 'its approval survives ROLLBACK and crash');
$node->wait_for_sql(q(SELECT state = 'running' FROM integ_status() WHERE component = 'keeper'), 'the keeper');
my $call = sql("SELECT integ_approve('$approval')");
is(sql(as_caller("SELECT integ_await('$call', '30 s') ->> 'state'")), 'succeeded', 'approved, it is made');
is($provider->count('/echo/approved'), 1, 'once');

# --- no worker may be had ---

$node->append_conf('postgresql.conf', 'integ.max_handler_workers = 0');
$node->reload;
$node->wait_for_sql(q(SELECT current_setting('integ.max_handler_workers') = '0'), 'the reload');
($state, $report) = $node->sql_error(as_caller(q(SELECT integ_execute('svc_main', 'quick'))));
is($state, 'IG500', 'without workers there is no answer');
like($report, qr/integ\.max_handler_workers/, 'and the error says what to set');
($state, $report) = $node->sql_error(as_caller(q(SELECT integ_execute('svc_main', 'approved'))));
is($state, 'IG500', 'nor an approval: and nothing is sent');
is($provider->count('/echo/approved'), 1, 'indeed');

$node->stop;
done_testing();
