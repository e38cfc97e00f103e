# Handler workers: users' functions as their owner, whatever they do, and
# whatever happens to the worker meanwhile.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Test qw(wait_until);
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ 'integ.retry_delay = 20ms', 'integ.max_retry_delay = 200ms',
	'integ.max_handler_workers = 3', q(integ.handler_timeout = '2s') ]);

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }

# A role that may do nothing but this, and its table.
sub role
{
	my ($name) = @_;
	sql("CREATE ROLE $name LOGIN; CREATE SCHEMA $name AUTHORIZATION $name;
	     SET ROLE $name;
	     CREATE TABLE $name.seen (what text, at timestamptz DEFAULT clock_timestamp())");
	return $name;
}

sub function
{
	my ($role, $name, $body) = @_;
	sql("SET ROLE $role; CREATE FUNCTION $role.$name(argument jsonb) RETURNS void LANGUAGE plpgsql AS \$f\$ $body \$f\$");
	return;
}

# Enqueues a run of the owner's function; returns its id.
sub run
{
	my ($role, $name, %set) = @_;
	$set{max_attempts} //= 3;
	my $columns = join '', map { ", $_" } sort keys %set;
	my $values = join '', map { ", $set{$_}" } sort keys %set;
	return sql("INSERT INTO integ.handler_runs (kind, owner, function$columns) VALUES ('test', '$role', '$role.$name'$values) RETURNING id");
}

sub wait_state
{
	my ($id, $state) = @_;
	$node->wait_for_sql("SELECT state = '$state' FROM integ.handler_runs WHERE id = '$id'", "run $id to be $state");
	return;
}

sub field { my ($id, $field) = @_; return sql("SELECT $field FROM integ.handler_runs WHERE id = '$id'") }

sub workers { return sql(q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'integ handler')) }

sub worker_of
{
	my ($role) = @_;
	return wait_until("a worker of $role", sub {
		sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ handler' AND usename = '$role' LIMIT 1") });
}

role('ann');
is(workers(), 0, 'nothing to do, no worker');

# --- who it is ---

function('ann', 'who', q(BEGIN INSERT INTO ann.seen VALUES (session_user || ' ' || current_user || ' ' || current_setting('is_superuser')); END));
wait_state(run('ann', 'who'), 'succeeded');
is(sql('SELECT what FROM ann.seen'), 'ann ann off', 'the session user is the owner');

# What is left for the commit is done as the owner too.
sql(q(CREATE TABLE public.prey (touched_by text); REVOKE ALL ON public.prey FROM PUBLIC));
sql(q(TRUNCATE ann.seen; SET ROLE ann;
	CREATE TABLE ann.trap (x int);
	CREATE FUNCTION ann.spring() RETURNS trigger LANGUAGE plpgsql AS $f$
	BEGIN
		BEGIN INSERT INTO public.prey VALUES (current_user); EXCEPTION WHEN insufficient_privilege THEN
			INSERT INTO ann.seen VALUES ('refused as ' || current_user); END;
		BEGIN SET SESSION AUTHORIZATION postgres; EXCEPTION WHEN insufficient_privilege THEN
			INSERT INTO ann.seen VALUES ('no session authorization'); END;
		BEGIN SET ROLE integ_owner; EXCEPTION WHEN insufficient_privilege THEN
			INSERT INTO ann.seen VALUES ('no role'); END;
		BEGIN ALTER ROLE ann SUPERUSER; EXCEPTION WHEN insufficient_privilege THEN
			INSERT INTO ann.seen VALUES ('no superuser'); END;
		BEGIN UPDATE integ.handler_runs SET owner = 'postgres'; EXCEPTION WHEN insufficient_privilege THEN
			INSERT INTO ann.seen VALUES ('no other owner'); END;
		RETURN NULL;
	END $f$;
	CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON ann.trap DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION ann.spring()));
function('ann', 'deferred', 'BEGIN INSERT INTO ann.trap VALUES (1); END');
wait_state(run('ann', 'deferred'), 'succeeded');
is(sql('SELECT string_agg(what, E\'\n\' ORDER BY at) FROM ann.seen'),
	"refused as ann\nno session authorization\nno role\nno superuser\nno other owner", 'a deferred trigger gets no further than its owner');
is(sql('SELECT count(*) FROM public.prey'), 0, 'and has touched nothing');

# An error at commit is an error of the run.
sql('SET ROLE ann; CREATE TABLE ann.one (x int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
function('ann', 'conflict', 'BEGIN INSERT INTO ann.one VALUES (1), (1); END');
my $id = run('ann', 'conflict', max_attempts => 2);
wait_state($id, 'dead');
is(field($id, 'last_sqlstate || attempt'), '235052', 'what fails at commit has failed, and is tried as often as it may be');

# --- nothing of one run is left to the next ---

function('ann', 'litter', q(BEGIN
	SET search_path = nowhere; SET statement_timeout = 1; SET application_name = 'litter'; SET default_transaction_read_only = on;
	CREATE TEMP TABLE heap (x int); PERFORM pg_advisory_lock(42); PERFORM pg_advisory_unlock_all(); PERFORM pg_advisory_lock(43);
	INSERT INTO ann.seen VALUES ('litter ' || pg_backend_pid()); PREPARE kept AS SELECT 1; SET ROLE pg_monitor; END));
sql('GRANT pg_monitor TO ann');
function('ann', 'clean', q(BEGIN
	INSERT INTO ann.seen SELECT format('clean %s: %s %s %s %s %s', pg_backend_pid(), current_user,
		(SELECT count(*) FROM pg_prepared_statements WHERE name = 'kept'), to_regclass('pg_temp.heap') IS NULL,
		current_setting('application_name') <> 'litter',
		(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())); END));
sql('TRUNCATE ann.seen');
wait_state(run('ann', 'litter'), 'succeeded');
wait_state(run('ann', 'clean'), 'succeeded');
like(sql('SELECT string_agg(what, \', \' ORDER BY at) FROM ann.seen'), qr/^litter (\d+), clean \1: ann 0 t t 0$/, 'one session, but nothing left of the first function');

# --- what does not end ---

function('ann', 'stubborn', q(BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END));
$id = run('ann', 'stubborn', timeout_ms => 50, max_attempts => 1);
wait_state($id, 'dead');
is(field($id, 'last_sqlstate'), '57P01', 'one that catches its cancel is ended with its worker');
like(field($id, 'last_error'), qr/worker ended/, 'and the row says so');
wait_state(run('ann', 'clean'), 'succeeded');
pass('the next one has a worker again');

# --- what becomes of the worker ---

sql(q(CREATE TABLE public.gate (open bool); INSERT INTO public.gate VALUES (false); GRANT SELECT ON public.gate TO PUBLIC));
function('ann', 'gated', q(BEGIN
	INSERT INTO ann.seen VALUES ('gated');
	WHILE NOT (SELECT open FROM public.gate) LOOP PERFORM pg_sleep(0.02); END LOOP; END));

for my $how (qw(terminate kill9 immediate))
{
	sql('UPDATE public.gate SET open = false; TRUNCATE ann.seen');
	$id = run('ann', 'gated', timeout_ms => 600000);
	wait_state($id, 'running');
	my $pid = worker_of('ann');
	if ($how eq 'immediate') { $node->stop('immediate'); $node->start; }
	else { kill($how eq 'kill9' ? 'KILL' : 'TERM', $pid); }
	$node->wait_for_sql("SELECT attempt > 1 FROM integ.handler_runs WHERE id = '$id'", "another attempt after $how");
	sql('UPDATE public.gate SET open = true');
	wait_state($id, 'succeeded');
	is(sql('SELECT count(*) FROM ann.seen'), 1, "$how: tried again, and done once");
}

# --- owners that cannot ---

sql('ALTER ROLE ann NOLOGIN');
$node->wait_for_sql(q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'integ handler'), 'idle workers to leave');
pass('a worker with nothing to do leaves');
$id = run('ann', 'who', max_attempts => 2);
if (sql('SHOW server_version_num') < 170000)
{
	wait_state($id, 'dead');
	like(field($id, 'last_error'), qr/role "ann" may not log in/, 'a role that may not log in');
	sql('ALTER ROLE ann LOGIN');
	sql("SELECT integ_handler_retry('$id')");
}
wait_state($id, 'succeeded');
sql('ALTER ROLE ann LOGIN');
pass('and again once it may');

sql('REVOKE CONNECT ON DATABASE postgres FROM PUBLIC');
role('bob');
function('bob', 'who', q(BEGIN INSERT INTO bob.seen VALUES ('bob'); END));
$id = run('bob', 'who', max_attempts => 2);
wait_state($id, 'dead');
like(field($id, 'last_error'), qr/role "bob" may not connect/, 'a role that may not connect');
sql('GRANT CONNECT ON DATABASE postgres TO PUBLIC');

# A start that fails for another reason: the database takes no connections but those it has.
my $hold = $node->background_psql('postgres');
sql('ALTER DATABASE postgres ALLOW_CONNECTIONS false', 'template1');
$id = $hold->query_safe(q(INSERT INTO integ.handler_runs (kind, owner, function, max_attempts) VALUES ('test', 'bob', 'bob.who', 2) RETURNING id));
wait_until('the run to be dead', sub { $hold->query_safe("SELECT state FROM integ.handler_runs WHERE id = '$id'") eq 'dead' });
like($hold->query_safe("SELECT last_error FROM integ.handler_runs WHERE id = '$id'"), qr/could not start/, 'a worker that cannot start');
sql('ALTER DATABASE postgres ALLOW_CONNECTIONS true', 'template1');
$hold->quit;

role('cyd');
function('cyd', 'who', q(BEGIN NULL; END));
$id = run('cyd', 'who', next_attempt_at => q('2100-01-01'));
sql('DROP OWNED BY cyd; DROP ROLE cyd');
sql("UPDATE integ.handler_runs SET next_attempt_at = now() WHERE id = '$id'");
wait_state($id, 'dead');
like(field($id, 'last_error'), qr/there is no role/, 'a role that was dropped');
is(field($id, 'attempt'), 1, 'is not tried again');

# --- more owners than workers: each has its turn ---

my @owners = map { role("owner_$_") } 1 .. 6;
sql('UPDATE public.gate SET open = false');
function($_, 'gated', q(BEGIN WHILE NOT (SELECT open FROM public.gate) LOOP PERFORM pg_sleep(0.02); END LOOP; END)) for @owners;
function($_, 'quick', q(BEGIN NULL; END)) for @owners;
run($owners[0], 'gated', timeout_ms => 600000) for 1 .. 20;
my @quick = map { run($_, 'quick') } @owners[ 1 .. 5 ];
wait_state($_, 'succeeded') for @quick;
is(sql("SELECT count(*) FROM integ.handler_runs WHERE state = 'succeeded' AND owner = 'owner_1'::regrole"), 0,
	'the others did not wait for the one whose functions do not end');
cmp_ok(workers(), '<=', 3, 'and there were no more workers than may be');
sql('UPDATE public.gate SET open = true');
$node->wait_for_sql(q(SELECT count(*) = 20 FROM integ.handler_runs WHERE state = 'succeeded' AND owner = 'owner_1'::regrole), 'its runs to end');

# --- held: nothing is called ---

$node->append_conf('postgresql.conf', 'integ.hold = on');
$node->reload;
$node->wait_for_sql(q(SELECT current_setting('integ.hold') = 'on'), 'the reload');
sql('TRUNCATE ann.seen');
$id = run('ann', 'who');
my $other = sql(q(INSERT INTO integ.handler_runs (kind, owner, function) VALUES ('test', 'bob', 'bob.who') RETURNING id));
is(field($id, 'state'), 'queued', 'while the cluster is held, runs wait');
$node->append_conf('postgresql.conf', 'integ.hold = off');
$node->reload;
wait_state($_, 'succeeded') for $id, $other;
pass('and go on afterwards');

# --- commands on the database ---

sql('CREATE DATABASE other TEMPLATE template0');
sql('CREATE EXTENSION integ; CREATE SCHEMA ann AUTHORIZATION ann', 'other');
sql(q(SET ROLE ann; CREATE FUNCTION ann.forever(argument jsonb) RETURNS void LANGUAGE plpgsql AS
	$f$ BEGIN LOOP PERFORM pg_sleep(1); END LOOP; END $f$), 'other');
sql(q(INSERT INTO integ.handler_runs (kind, owner, function, timeout_ms) VALUES ('test', 'ann', 'ann.forever', 3000000)), 'other');
$node->wait_for_sql(q(SELECT state = 'running' FROM integ.handler_runs), 'the endless run to begin', 'other');
sql('ALTER DATABASE other RENAME TO renamed');
$node->wait_for_sql(q(SELECT state = 'running' AND attempt > 1 FROM integ.handler_runs), 'it to begin again', 'renamed');
pass('a worker leaves a database that a command needs, and comes back');
sql('DROP DATABASE renamed');
pass('and is not in the way of DROP DATABASE');
sql('DROP EXTENSION integ');
$node->wait_for_sql(q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'integ %' AND datname = 'postgres'), 'all workers to leave');
pass('DROP EXTENSION sends them away');

$node->stop;
done_testing();
