# Records of a type, in integ.records; what links keep of both sides; a service that is unlike its definition.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.max_sync_wait = '10min'", "integ.retry_delay = '20ms'" ]);
my $provider = Integ::Provider->start(token => 'secret');
my $sync = Integ::SyncLists->new($node, $provider);
my $run;

sub summary { return Integ::SyncLists::summary(@_) }
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub json { return $sync->row("SELECT ($_[0]) AS json")->{json} }

# --- records of a type ---

sql(q(INSERT INTO integ.record_types (id, name, schema, title_field, search_fields) VALUES ('c_thing', 'Thing',
	'{"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "rank": {"type": "integer",
	"maximum": 98}}, "additionalProperties": false}', 'name', '{name}')));
sql(q(INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, delete_if_removed, removal,
	deduplication,
	field_mappings) VALUES ('things', 'Record', 'c_thing', true, 'soft_delete',
	'{"strategy": "external_id", "externalIdField": "id"}', '[
	{"targetField": "name", "mappingType": "direct", "config": {"sourceField": "name"}},
	{"targetField": "rank", "mappingType": "direct", "config": {"sourceField": "value"}}]')));
sql(q(INSERT INTO integ.sync_tasks (task_id, instance, schema, config) SELECT 'things', i.id, s.id, '{"n": 100}'
	FROM integ.instances i, integ.conversion_schemas s WHERE i.instance_id = 'lists' AND s.schema_id = 'things'));
$run = $sync->run('things');
is(summary($run), 'partial fetched 100 created 98 failed 2', 'records of a type: what its schema refuses is an error');
is(sql("SELECT string_agg(external_id || ' ' || field, ', ' ORDER BY id) FROM integ.sync_errors
	WHERE execution = '$run->{id}'"), 'r99 rank, r100 rank', '... of the record and the field');
is(sql(q(SELECT title || ' ' || type FROM integ_search('"record 42"', '{c_thing}'))), 'Record 42 v1 c_thing',
	'... they are found');
is(sql(q(SELECT count(*) FROM integ_search('"record 42"', '{card}'))), 0, '... as what they are');
my $record = sql(q(SELECT record FROM integ.record_links WHERE external_id = 'r42' AND record IS NOT NULL));
$sync->configure('things', { n => 100, version => 2, changed => 42, without => 41 });
$run = $sync->run('things');
is(summary($run), 'partial fetched 98 updated 96 deleted 2 failed 2', '... changes and deletions');
is(sql("SELECT data ->> 'name' FROM integ.records WHERE id = '$record'"), 'Record 42 v2', '... the same record');
is(sql(q(SELECT count(*) FROM integ_search('"record 41"'))), 0, '... what is gone is not found any more');
is(sql(q(SELECT count(*) FROM integ.records WHERE type = 'c_thing' AND deleted_at IS NOT NULL)), 2, '... but kept');

# --- what links keep of both sides ---

$sync->task('both', 'public.both', { n => 20 });
sql(q(CREATE FUNCTION public.shout() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;
	CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON public.both FOR EACH ROW EXECUTE FUNCTION public.shout()));
$sync->run('both');
my $of_both = "FROM integ.record_links WHERE target_table = 'public.both'::regclass AND external_id = 'r10'";
is(sql("SELECT num_nulls(external_values, local_values, local_modified_at, field_times) $of_both"), 4,
	'a task that only pulls keeps nothing of what it can ask for');
is(sql("SELECT external_modified_at AT TIME ZONE 'UTC' $of_both"), '2024-01-01 00:10:00',
	'... but when it was changed there');
sql(q(UPDATE integ.sync_tasks SET direction = 'bidirectional' WHERE task_id = 'both'));
is(summary($sync->run('both')), 'success fetched 20 updated 20', 'one that is to write both ways learns it of all');
my $values = json("SELECT jsonb_build_array(external_values, local_values) $of_both");
is_deeply([ map { $_->{name} } @$values ], [ 'Record 10 v1', 'RECORD 10 V1' ], '... what is there, and what is here');
is_deeply([ sort keys %{ $values->[1] } ], [qw(id name updated_at value)], '... of the fields that are mapped');
is(sql("SELECT local_modified_at = last_synced_at AND field_times IS NULL $of_both"), 't', '... and since when');
is(summary($sync->run('both')), 'success fetched 20 unchanged 20', '... once');
$sync->configure('both', { n => 20, version => 2, changed => 10 });
$sync->run('both');
my $times = json("SELECT field_times $of_both");
is_deeply([ sort keys %$times ], [qw(name updated_at)], 'a change: the fields that it is in');
is(sql(qq(SELECT (field_times #>> '{name,externalModifiedAt}')::timestamptz = external_modified_at
	AND (field_times #>> '{name,localModifiedAt}')::timestamptz = local_modified_at $of_both)), 't', '... with its times');
is(sql(q(SELECT count(field_times) FROM integ.record_links WHERE target_table = 'public.both'::regclass)), 2,
	'... of no other record');
sql(q(UPDATE integ.sync_tasks SET direction = 'push' WHERE task_id = 'both'));
$run = $sync->run('both');
is("$run->{status} $run->{error}{sqlstate}", 'failed IG400', 'a task that pushes says that it cannot yet');

# --- a service that answers otherwise than its definition says, for good ---

$sync->task('elsewhere', 'public.elsewhere', { at => 1, key => 'elsewhere', times => 1000, fault => 'say' });
sql(q(UPDATE integ.sync_tasks SET schedule = '{"every": "1 day"}', next_run_at = now(),
	retry_config = '{"maxRetries": 1, "retryDelaySeconds": 0}' WHERE task_id = 'elsewhere'));
$node->wait_for_sql(q(SELECT status = 'error' FROM integ.sync_tasks WHERE task_id = 'elsewhere'),
	'no records where they should be: the task is in error');
is(sql(q(SELECT string_agg(trigger || ' ' || status, ', ' ORDER BY id) FROM integ.sync_executions
	WHERE task_id = 'elsewhere')), 'schedule failed, retry failed', 'a task is in error once it has been tried again');

done_testing();
