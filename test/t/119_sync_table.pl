# What becomes of links when their table is renamed, moved, dropped and made again, or when the schema is given another.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.max_sync_wait = '10min'" ]);
my $provider = Integ::Provider->start(token => 'secret');
my $sync = Integ::SyncLists->new($node, $provider);

sub summary { return Integ::SyncLists::summary(@_) }
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub retarget
{
	my ($task, $table) = @_;
	sql("UPDATE integ.conversion_schemas SET target_table = '$table' WHERE schema_id = '$task'");
	return;
}

sub tables
{
	return sql(q(SELECT string_agg(DISTINCT target_table::text, ' ' ORDER BY target_table::text) FROM integ.record_links));
}

my $columns = 'number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text, name text, value integer,
	updated_at timestamptz';
my %list = (n => 300, limit => 100);

# Rows that only their link leads to: the table makes the key.
$sync->task('moves', 'public.moves', {%list}, columns => $columns);
is(summary($sync->run('moves')), 'success fetched 300 created 300', 'a table');
sql('ALTER TABLE public.moves RENAME TO moved');
my $run = $sync->run('moves');
is($run->{status}, 'failed', 'renamed, it is not found by the name that the schema has');
like($run->{error}{detail}, qr/"public\.moves" does not exist/, '... which the error says');
is(sql(q(SELECT status FROM integ.sync_tasks WHERE task_id = 'moves')), 'error', '... and the task is in error');
is(tables(), 'moved', '... while the links have gone along');
retarget('moves', 'public.moved');
sql(q(SELECT integ_sync_resume('moves')));
is(summary($sync->run('moves')), 'success fetched 300 updated 300', 'by its new name, each row is found again');
sql('CREATE SCHEMA "An other"; ALTER TABLE public.moved SET SCHEMA "An other"');
retarget('moves', '"An other".moved');
is(summary($sync->run('moves')), 'success fetched 300 updated 300', '... in another schema, too');
$sync->configure('moves', { %list, without => 10 });
is(summary($sync->run('moves')), 'success fetched 270 updated 270 deleted 30', '... and what is gone is removed');
is(sql('SELECT count(*) FROM "An other".moved'), 270, '... once each');

# A table of that name that is another one.
$sync->task('again', 'public.again', { %list, incrementalSync => \1 });
$sync->run('again');
is(summary($sync->run('again')), 'success fetched 2 unchanged 2', 'an incremental run');
sql('CREATE TABLE public.fresh (LIKE public.again INCLUDING ALL); DROP TABLE public.again;
	ALTER TABLE public.fresh RENAME TO again');
is(summary($sync->run('again')), 'success fetched 300 created 300',
	'dropped and made again, the table is filled again');
is_deeply($sync->difference('public.again', 300), [], '... with everything');

# Dropped: the task says so, and what is left of the table is forgotten by a job, before its number may be another's.
sub left
{
	my ($task) = @_;
	return sql("SELECT (SELECT count(*) FROM integ.record_links WHERE schema = t.schema) || ' '
		|| (SELECT count(*) FROM integ.sync_cursors WHERE task = t.id) FROM integ.sync_tasks t WHERE task_id = '$task'");
}

$sync->task('dropped', 'public.dropped', {%list});
$sync->run('dropped');
is(left('dropped'), '300 1', 'a table with its links and its cursor');
my $others = sql(q(SELECT count(*) FROM integ.record_links l WHERE EXISTS (SELECT FROM pg_class
	WHERE oid = l.target_table AND relname <> 'dropped')));
sql('DROP TABLE public.dropped');
$run = $sync->run('dropped');
is(summary($run), 'failed', 'dropped, nothing is fetched for it');
is(join("\n", @{ $run->{error} }{qw(sqlstate detail hint)}), join("\n", 'IG400',
	'The table "public.dropped" does not exist.',
	'Make it again; or, where it was renamed, give the schema its new name.'), '... which the error says, and what to do');
is(sql(q(SELECT status || ' ' || (last_error -> 'details' ->> 'detail') FROM integ.sync_tasks
	WHERE task_id = 'dropped')), 'error The table "public.dropped" does not exist.', '... as does the task, in error');
sql(q(UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'dropped_tables'));
$node->wait_for_sql(q(SELECT last_run_at IS NOT NULL AND next_run_at > now() FROM integ.maintenance_jobs
	WHERE name = 'dropped_tables'), 'the job');
is(sql(q(SELECT last_error FROM integ.maintenance_jobs WHERE name = 'dropped_tables')), '', '... ends well');
is(left('dropped'), '0 0', '... and forgets links and cursor');
is(sql(q(SELECT count(*) FROM integ.record_links)), $others, '... those of no other table');
sql('CREATE TABLE public.dropped (id text PRIMARY KEY, name text, value integer, updated_at timestamptz)');
sql(q(SELECT integ_sync_resume('dropped')));
is(summary($sync->run('dropped')), 'success fetched 300 created 300', 'made again and resumed, it is filled');

# The schema is deleted and made again: its former links must not count as another source of the rows.
sql(q(DELETE FROM integ.sync_tasks WHERE task_id = 'dropped';
	DELETE FROM integ.conversion_schemas WHERE schema_id = 'dropped'));
is(sql(q(SELECT count(*) FROM integ.record_links WHERE target_table = 'public.dropped'::regclass)), 0,
	'links of a schema go with it');
$sync->task('dropped', 'public.dropped', {%list});
is(summary($sync->run('dropped')), 'success fetched 300 updated 300', '... its rows are found by their key');
$sync->configure('dropped', { %list, without => 10 });
is(summary($sync->run('dropped')), 'success fetched 270 updated 270 deleted 30',
	'... and are removed with their records');
is_deeply($sync->difference('public.dropped', 300, without => 10), [], '... all of them');

# Another table, whose rows are not those that links of the former lead to, though their keys are.
$sync->task('other', 'public.other1', {%list}, columns => $columns);
$sync->run('other');
sql(qq(CREATE TABLE public.other2 ($columns);
	INSERT INTO public.other2 (id, name) SELECT 'own' || i, 'ours' FROM generate_series(1, 300) i));
retarget('other', 'public.other2');
is(summary($sync->run('other')), 'success fetched 300 created 300', 'another table gets rows of its own');
is(sql(q(SELECT count(*) FILTER (WHERE name = 'ours') || ' ' || count(*) FROM public.other2)), '300 600',
	'... and what was there stays as it was');
is(sql('SELECT count(*) FROM public.other1'), 300, '... as does the former');

done_testing();
