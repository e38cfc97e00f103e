# The table that a sync writes into: triggers that raise, wait, and want to be more than they are; changes of its shape
# during a run; rights; what cannot be a target.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use Integ::Test qw(wait_until);
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.max_sync_wait = '10min'", "integ.retry_delay = '20ms'" ]);
my $provider = Integ::Provider->start(token => 'secret');

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE syncer LOGIN;
GRANT integ_superadmin, integ_user TO syncer;
GRANT ALL ON SCHEMA public TO syncer;
SQL

my $sync = Integ::SyncLists->new($node, $provider);

sub summary { return Integ::SyncLists::summary(@_) }
sub sql { return $node->safe_psql('postgres', $_[0]) }

# --- triggers ---

$sync->task('raises', 'public.raises', { n => 500, limit => 100 });
sql(<<'SQL');
CREATE FUNCTION raises() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.value % 100 = 42 THEN RAISE EXCEPTION 'not %', NEW.id USING ERRCODE = 'P0042', HINT = 'ask'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER raises BEFORE INSERT ON raises FOR EACH ROW EXECUTE FUNCTION raises();
SQL
my $run = $sync->run('raises');
is(summary($run), 'partial fetched 500 created 495 failed 5',
	'a trigger that raises: that record fails, the rest of its page is stored');
is_deeply($sync->row("SELECT jsonb_agg(external_id ORDER BY id) AS ids FROM integ.sync_errors
	WHERE execution = '$run->{id}'")->{ids},
	[qw(r42 r142 r242 r342 r442)], '... each with a line');
my $error = $sync->row("SELECT * FROM integ.sync_errors WHERE execution = '$run->{id}' AND external_id = 'r42'");
is_deeply([ @$error{qw(phase sqlstate reason)}, $error->{details}{hint}, $error->{raw_record}{value} ], [ 'saving',
	'P0042', 'not r42', 'ask', 42 ],
	'... that says what was wrong with what');
sql('DROP TRIGGER raises ON raises');
$run = $sync->row("SELECT * FROM integ_sync_retry('$run->{id}', 'failed_records', true)");
is(summary($run), 'success fetched 5 created 5', 'the failed records alone are tried again');

# A record that was stored before, and fails then: its link says so until it is stored again.
my $link = q(FROM integ.record_links WHERE target_table = 'public.raises'::regclass AND external_id = 'r142');
sql(q(ALTER TABLE raises ADD CONSTRAINT short CHECK (name NOT LIKE '%142 v2')));
$sync->configure('raises', { n => 500, limit => 100, version => 2, changed => 142 });
is(summary($sync->run('raises')), 'partial fetched 500 updated 499 failed 1', 'a record fails that is here');
is(sql("SELECT sync_status || ': ' || error $link"),
	'error: new row for relation "raises" violates check constraint "short"', '... which its link says');
sql('ALTER TABLE raises DROP CONSTRAINT short');
is(summary($sync->run('raises')), 'success fetched 500 updated 1 unchanged 499', '... it is tried again');
is(sql("SELECT sync_status || ' ' || (error IS NULL) $link"), 'synced true', '... and is well');

# Constraints and triggers that wait for the commit, of this table and of another.
$sync->task('defers', 'public.defers', { n => 300, limit => 100 });
sql(<<'SQL');
CREATE TABLE numbers (value integer PRIMARY KEY);
INSERT INTO numbers SELECT i FROM generate_series(1, 300) i WHERE i NOT IN (7, 150);
ALTER TABLE defers ADD FOREIGN KEY (value) REFERENCES numbers DEFERRABLE INITIALLY DEFERRED;
SQL
is(summary($sync->run('defers')), 'partial fetched 300 created 298 failed 2',
	'a deferred constraint is the error of its record');
$sync->task('echoes', 'public.echoes', { n => 300, limit => 100 });
sql(<<'SQL');
CREATE TABLE echo (value integer REFERENCES numbers DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO echo VALUES (NEW.value); RETURN NEW;
	END $$;
CREATE TRIGGER echo AFTER INSERT ON echoes FOR EACH ROW EXECUTE FUNCTION echo();
SQL
is(summary($sync->run('echoes')), 'partial fetched 300 created 298 failed 2',
	'... also one of a table that a trigger writes into');
is($sync->row('SELECT count(*) AS n FROM echo')->{n}, 298, '... which has what was stored');

# A trigger runs as the owner of the task, whatever it sets, and cannot become anybody else.
$sync->task('climbs', 'public.climbs', { n => 100, limit => 50 }, role => 'syncer');
sql(<<'SQL');
CREATE TABLE who (value integer, who text, session text, result text);
GRANT ALL ON who TO PUBLIC;
SET SESSION AUTHORIZATION syncer;
CREATE FUNCTION definer() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RESET ROLE; END $$;
CREATE FUNCTION climbs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    result text := 'nothing';
BEGIN
    IF NEW.value = 1 THEN
        BEGIN SET ROLE postgres; result := 'became postgres';
        EXCEPTION WHEN OTHERS THEN result := SQLSTATE; END;
    ELSIF NEW.value = 2 THEN
        BEGIN SET ROLE integ_owner; result := 'became integ_owner';
        EXCEPTION WHEN OTHERS THEN result := SQLSTATE; END;
    ELSIF NEW.value = 3 THEN
        BEGIN SET SESSION AUTHORIZATION postgres; result := 'became postgres';
        EXCEPTION WHEN OTHERS THEN result := SQLSTATE; END;
    ELSIF NEW.value = 4 THEN
        BEGIN CREATE FUNCTION public.trap(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
        	result := 'made a function';
        EXCEPTION WHEN OTHERS THEN result := SQLSTATE; END;
        SET search_path = public;
    ELSIF NEW.value = 5 THEN
        BEGIN DELETE FROM integ.record_links; result := 'deleted links';
        EXCEPTION WHEN OTHERS THEN result := SQLSTATE; END;
    ELSIF NEW.value = 6 THEN
        RESET ROLE;
    ELSIF NEW.value = 7 THEN
        RESET SESSION AUTHORIZATION;
    ELSIF NEW.value = 8 THEN
        BEGIN PERFORM set_config('session_authorization', 'postgres', false); result := 'became postgres';
        EXCEPTION WHEN OTHERS THEN result := SQLSTATE; END;
    ELSIF NEW.value = 9 THEN
        BEGIN PERFORM public.definer(); result := 'reset the role in a definer';
        EXCEPTION WHEN OTHERS THEN result := SQLSTATE; END;
    ELSIF NEW.value = 10 THEN
        BEGIN ALTER ROLE syncer SUPERUSER; result := 'made itself superuser';
        EXCEPTION WHEN OTHERS THEN result := SQLSTATE; END;
    END IF;
    INSERT INTO public.who VALUES (NEW.value, current_user, session_user, result);
    RETURN NEW;
END $$;
CREATE TRIGGER climbs BEFORE INSERT ON climbs FOR EACH ROW EXECUTE FUNCTION climbs();
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON climbs DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION climbs();
SQL
is(summary($sync->run('climbs')), 'success fetched 100 created 100', 'triggers that want to be more');
is($sync->row('SELECT jsonb_agg(DISTINCT who || session) AS w FROM who')->{w}[0], 'syncersyncer',
	'... run as the owner, the deferred ones too');
is($sync->row('SELECT count(DISTINCT who) AS n FROM who')->{n}, 1, '... and as nobody else');
is_deeply($sync->row(q(SELECT jsonb_agg(result ORDER BY value) AS results FROM (SELECT DISTINCT value, result FROM who
	WHERE value <= 3 OR value >= 8 AND value <= 10) d))->{results},
	[ ('42501') x 6 ], '... nor become anybody else');
is($sync->row(q(SELECT rolsuper AS s FROM pg_roles WHERE rolname = 'syncer'))->{s}, JSON::PP::false, '... or more');
is($sync->row(q(SELECT count(*) AS n FROM integ.record_links WHERE target_table = 'public.climbs'::regclass))->{n},
	100, '... nor take links away');

# One that waits: the run can be cancelled, and what it has stored stays.
$sync->task('waits', 'public.waits', { n => 400, limit => 100 });
sql(<<'SQL');
CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.value = 250 THEN PERFORM pg_advisory_xact_lock(4711); END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER waits BEFORE INSERT ON waits FOR EACH ROW EXECUTE FUNCTION waits();
SQL
my $asked = $provider->count('/sync/records');
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(4711)');
$run = $sync->row("SELECT * FROM integ_sync_run('waits')");
$node->wait_for_sql(q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'integ sync worker'
	AND wait_event = 'advisory'),
	'a trigger waits for a lock');
is($sync->row("SELECT processed_records AS n FROM integ.sync_progress WHERE execution = '$run->{id}'")->{n}, 200,
	'... with two pages stored');
is($sync->row("SELECT p.percentage || ' ' || (p.rate > 0) || ' ' || (p.estimated_end > p.progressed_at) || ' '
	|| ((e.percentage, e.rate) = (p.percentage, p.rate) AND e.estimated_end - p.estimated_end < '1 second') AS p
	FROM integ.sync_executions e JOIN integ.sync_progress p ON p.execution = e.id WHERE e.id = '$run->{id}'")->{p},
	'50.0 true true true', '... which is so much of all, as the execution says, too');
wait_until('the page behind it', sub { $provider->count('/sync/records') - $asked == 4 });
ok(1, '... and the page behind the one that is being written is asked for meanwhile');
$holder->query_safe('SELECT pg_advisory_unlock(4711)');
$holder->quit;
$node->wait_for_sql("SELECT status = 'success' FROM integ.sync_executions WHERE id = '$run->{id}'",
	'the run goes on when the lock is free');

# --- the shape of the target changes during a run ---

$sync->task('alters', 'public.alters', { n => 20_000, limit => 200 });
$run = $sync->row("SELECT * FROM integ_sync_run('alters')");
$node->wait_for_sql('SELECT count(*) > 1000 FROM public.alters', 'some pages are stored');
sql(q(ALTER TABLE public.alters ADD COLUMN more text DEFAULT repeat('x', 10), ALTER COLUMN value TYPE bigint,
	DROP COLUMN note));
$node->wait_for_sql("SELECT status IN ('success', 'partial', 'failed') FROM integ.sync_executions
	WHERE id = '$run->{id}'", 'the run to end');
is(summary($sync->row("SELECT * FROM integ.sync_executions WHERE id = '$run->{id}'")),
	'success fetched 20000 created 20000',
	'columns that are added, dropped and changed during a run');
is_deeply($sync->difference('public.alters', 20_000), [], '... corrupt nothing');
$sync->task('drops', 'public.drops', { n => 20_000, limit => 200 });
$run = $sync->row("SELECT * FROM integ_sync_run('drops')");
$node->wait_for_sql('SELECT count(*) > 1000 FROM public.drops', 'some pages are stored');
sql('ALTER TABLE public.drops DROP COLUMN name');
$node->wait_for_sql("SELECT status IN ('success', 'partial', 'failed') FROM integ.sync_executions
	WHERE id = '$run->{id}'", 'the run to end');
$run = $sync->row("SELECT * FROM integ.sync_executions WHERE id = '$run->{id}'");
is($run->{status}, 'failed', 'a column that a mapping writes is dropped: the run ends');
like($run->{error}{message} . $run->{error}{detail}, qr/name/, '... and says which');
my $task = $sync->row("SELECT * FROM integ.sync_tasks WHERE task_id = 'drops'");
is($task->{status}, 'error', '... the task is in error');
is($run->{created}, $sync->row('SELECT count(*) AS n FROM public.drops')->{n},
	'... and what it counted is what is there');

# --- what cannot be a target ---

my $before = $provider->count('/sync/records');
my %bad = (
	'no key' => [ 'CREATE TABLE public.bad1 (id text, name text, value integer, updated_at timestamptz)',
		qr/primary key/ ],
	'a key that nothing fills' => [ 'CREATE TABLE public.bad2 (number integer PRIMARY KEY, id text, name text,
		value integer, updated_at timestamptz)', qr/number/ ],
	'no rights' => [ 'CREATE TABLE public.bad3 (id text PRIMARY KEY, name text, value integer, updated_at timestamptz)',
		qr/bad3/, 'syncer' ]);

for my $name (sort keys %bad)
{
	my ($table, $like, $role) = @{ $bad{$name} };
	my ($id) = $table =~ /public\.(\w+)/;

	sql($table);
	$sync->task($id, "public.$id", { n => 10 }, $role ? (role => $role) : ());
	$run = $sync->run($id);
	is($run->{status}, 'failed', "$name: the run does not begin");
	like(join(' ', map { $_ // '' } @{ $run->{error} }{qw(message detail hint)}), $like, '... and says why');
	$task = $sync->row("SELECT status, last_error FROM integ.sync_tasks WHERE task_id = '$id'");
	is($task->{status}, 'error', '... the task is in error');
	ok($task->{last_error}{message} && $task->{last_error}{timestamp}, '... with its last error');
	is($sync->row("SELECT count(*) AS n FROM public.$id")->{n}, 0, '... and nothing was written');
}
is($provider->count('/sync/records'), $before, 'nothing was fetched for any of them');

# --- keys that the table makes, partitions, columns of other types ---

$sync->task('serial', 'public.serial', { n => 500, limit => 100 },
	columns => 'number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text, name text, value integer,
		updated_at timestamptz');
is(summary($sync->run('serial')), 'success fetched 500 created 500', 'a key that the table makes');
is($sync->row(q(SELECT count(*) AS n FROM integ.record_links l JOIN public.serial s
	ON l.target_key = jsonb_build_object('number', s.number) AND l.external_id = s.id))->{n},
	500, '... is in the links');
sql('DELETE FROM public.serial WHERE value = 3');
$sync->configure('serial', { n => 500, limit => 100, version => 2, changed => 1 });
is(summary($sync->run('serial')), 'success fetched 500 created 1 updated 499',
	'... by which rows are found again; one that was deleted here is made anew');
is_deeply($sync->difference('public.serial', 500, version => 2), [], '... all of them');
sql(q(CREATE TABLE public.parts (id text, name varchar(40), value smallint, updated_at date, PRIMARY KEY (id))
	PARTITION BY HASH (id);
	CREATE TABLE public.parts0 PARTITION OF public.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE public.parts1 PARTITION OF public.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1)));
$sync->task('parts', 'public.parts', { n => 500, limit => 100 });
is(summary($sync->run('parts')), 'success fetched 500 created 500', 'a partitioned table');
$sync->configure('parts', { n => 500, limit => 100, version => 2, changed => 2 });
is(summary($sync->run('parts')), 'success fetched 500 updated 500', '... again');
is_deeply($sync->difference('public.parts', 500, version => 2, changed => 2), [], '... is as the source');

# Soft deletion and detachment.
for my $removal (qw(soft_delete detach))
{
	$sync->task($removal, "public.$removal", { n => 100 },
		columns => 'id text PRIMARY KEY, name text, value integer, updated_at timestamptz, deleted_at timestamptz',
		schema => { removal => "'$removal'" });
	$sync->run($removal);
	$sync->configure($removal, { n => 100, without => 20 });
	is(summary($sync->run($removal)), 'success fetched 95 updated 95 deleted 5', "$removal");
	is($sync->row("SELECT count(*) AS n FROM public.$removal WHERE deleted_at IS NOT NULL")->{n},
		$removal eq 'detach' ? 0 : 5, '... the rows');
	is($sync->row("SELECT count(*) AS n FROM integ.record_links WHERE target_table = 'public.$removal'::regclass
		AND deleted_at IS NULL")->{n}, 95, '... the links');
	$sync->configure($removal, { n => 100 });
	is($sync->run($removal)->{status}, 'success', '... and they come back');
	is($sync->row("SELECT count(*) AS n FROM public.$removal WHERE deleted_at IS NULL")->{n}, 100, '... all of them');
}

done_testing();
