# A dump that is restored as another database: tasks, cursors, links, records and what was under way are there, nothing
# runs until somebody says so, and then everything goes on from where it was.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.max_sync_wait = '10min'",
	"integ.request_timeout = '300s'" ]);
my $provider = Integ::Provider->start(token => 'secret');
my $sync = Integ::SyncLists->new($node, $provider);
my $dump = $node->basedir . '/dump.sql';

sub summary { return Integ::SyncLists::summary(@_) }
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub copy { return $node->safe_psql('copy', $_[0]) }

# Runs a task of the copy, and returns what Integ::SyncLists->run does.
sub run_copy
{
	my ($task) = @_;
	return JSON::PP->new->decode(copy("SELECT to_jsonb(r) FROM (SELECT * FROM integ_sync_run('$task', true)) r"));
}

# --- what is there ---

my $serial = 'number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text, name text, value integer,
	updated_at timestamptz';
sql('CREATE SCHEMA "of sales"');
$sync->task('changes', '"of sales".changes', { n => 300, incrementalSync => \1 });
$sync->task('serial', 'public.serial', { n => 200 }, columns => $serial);
$sync->task('under_way', 'public.under_way',
	{ n => 400, limit => 100, at => 4, key => 'way', fault => 'noanswer', maxDeletePercent => 100 });
$sync->task('failed', 'public.failed', { n => 400, limit => 100, at => 3, key => 'failed', times => 4,
	fault => 'status',
	code => 500, maxDeletePercent => 100 });
$sync->run($_) for qw(changes serial failed);
sql(q(UPDATE integ.sync_tasks SET schedule = '{"cron": "* * * * *"}', retry_config = '{"maxRetries": 1}',
	next_run_at = now() - interval '1 day', status = 'paused' WHERE task_id = 'serial'));

sql(q(INSERT INTO integ.record_types (id, name, title_field, search_fields) VALUES ('c_thing', 'Thing', 'name',
	'{name}')));
sql(q(INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, deduplication, field_mappings)
	VALUES ('things', 'Record', 'c_thing', '{"strategy": "external_id", "externalIdField": "id"}',
	'[{"targetField": "name", "mappingType": "direct", "config": {"sourceField": "name"}}]')));
sql(q(INSERT INTO integ.sync_tasks (task_id, instance, schema, config) SELECT 'things', i.id, s.id, '{"n": 50}'
	FROM integ.instances i, integ.conversion_schemas s WHERE i.instance_id = 'lists' AND s.schema_id = 'things'));
$sync->run('things');
sql(q(INSERT INTO integ.sync_tasks (task_id, config) VALUES ('briefing',
	'{"n": 3, "card": {"title": "Three", "content": [{"$each": "list", "as": "r", "do": "- {r.name}\n"}]}}')));
sql(q(INSERT INTO integ.sync_task_sources (task, position, name, instance, method)
	SELECT t.id, 1, 'list', i.id, 'list' FROM integ.sync_tasks t, integ.instances i
	WHERE task_id = 'briefing' AND instance_id = 'lists'));
is($sync->run('briefing')->{status}, 'success', 'a card');

my $run = $sync->row(q(SELECT * FROM integ_sync_run('under_way')));
$node->wait_for_sql("SELECT processed_records = 300 FROM integ.sync_progress WHERE execution = '$run->{id}'",
	'three pages');

my %state = (
	tasks => 'SELECT * FROM integ.sync_tasks ORDER BY id',
		sources => 'SELECT * FROM integ.sync_task_sources ORDER BY 1, 2',
	cursors => 'SELECT * FROM integ.sync_cursors ORDER BY 1, 2, 3, 4',
		records => 'SELECT * FROM integ.records ORDER BY id',
	links => 'SELECT * FROM integ.record_links ORDER BY 1, 2, 3, 4', types => 'SELECT * FROM integ.record_types
	WHERE NOT builtin ORDER BY id', executions => 'SELECT id, task, processed_records, created
	FROM integ.sync_executions_open ORDER BY id');
my %before = map { $_ => sql($state{$_}) } keys %state;
isnt($before{$_}, '', "there are $_") for sort keys %before;

command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dump');
sql("SELECT integ_sync_cancel('$run->{id}')");

# --- what comes back ---

my ($out, $err) = ('', '');
sql('CREATE DATABASE copy TEMPLATE template0');
is($node->psql('copy', undef, on_error_stop => 1, stdout => \$out, stderr => \$err, extra_params => [ '-f', $dump ]), 0,
	'the restore succeeds') or diag($err);
is(copy($state{$_}), $before{$_}, "$_ are as they were") for sort keys %state;
$node->wait_for_sql(q(SELECT state = 'yes' FROM integ_status() WHERE component = 'held'), 'the copy is held', 'copy');
my $asked = $provider->count('/sync/records');
my ($code) = $node->sql_error(q(SELECT integ_sync_run('changes')), dbname => 'copy');
is($code, 'IG500', 'nothing runs in it');
copy(q(UPDATE integ.sync_tasks SET status = 'active', next_run_at = now() WHERE task_id = 'serial'));
copy(q(SELECT pg_sleep(0.5)));
is(copy(q(SELECT count(*) FROM integ.sync_executions WHERE task_id = 'serial')), 0, '... nor is anything scheduled');
is($provider->count('/sync/records'), $asked, '... and nothing is asked of the service');

# --- and goes on ---

copy(q(SELECT integ_resume()));
$node->wait_for_sql("SELECT status = 'success' FROM integ.sync_executions WHERE id = '$run->{id}'",
	'what was under way goes on', 'copy');
is(copy("SELECT created || ' ' || unchanged || ' ' || deleted FROM integ.sync_executions WHERE id = '$run->{id}'"),
	'400 300 0', '... from the beginning, since what it had seen is not in a dump, and deletes nothing');
is(copy('SELECT count(*) FROM public.under_way'), 400, '... so that everything is there');
$node->wait_for_sql(q(SELECT count(*) > 0 FROM integ.sync_executions_done
	WHERE task_id = 'serial' AND status = 'success'),
	'what is due is run', 'copy');
is(copy(q(SELECT count(*) || ' ' || max(number) FROM public.serial)), '200 200',
	'... and its rows are found by their links');
copy(q(UPDATE integ.sync_tasks SET status = 'paused' WHERE task_id = 'serial'));
is(summary(run_copy('changes')), 'success fetched 2 unchanged 2',
	'an incremental task reads what has changed, and no more');
is(summary(run_copy('failed')), 'success fetched 400 created 200 unchanged 200', 'one that had failed is run');
is(summary(run_copy('things')), 'success fetched 50 unchanged 50', 'records are as they were');
is(copy(q(SELECT title FROM integ_search('"record 42"', '{c_thing}'))), 'Record 42 v1', '... and are found');
is(run_copy('briefing')->{status}, 'success', 'a card');
is(copy(q(SELECT count(*) FROM integ.records WHERE type = 'card')), 1, '... stays the one it is');
is(copy(q(SELECT rtrim(data ->> 'content', E'\n') FROM integ.records WHERE type = 'card')),
	"- Record 1 v1\n- Record 2 v1\n- Record 3 v1", '... with what it says');

done_testing();
