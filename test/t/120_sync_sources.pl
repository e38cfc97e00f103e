# Records that come from several places: two connections and one row, two sources of a task, foreign keys of another
# run, types of records; what links keep of both sides; a token that ends in the middle.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use JSON::PP qw(encode_json);
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.max_sync_wait = '10min'", "integ.retry_delay = '20ms'" ]);
my $provider = Integ::Provider->start(token => 'secret');
my $sync = Integ::SyncLists->new($node, $provider);
my $keyless = 'number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text, name text, value integer,
	updated_at timestamptz, note text';

sub summary { return Integ::SyncLists::summary(@_) }
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub json { return $sync->row("SELECT ($_[0]) AS json")->{json} }

sql(sprintf q(SELECT integ_connect('sync_lists', 'second', '{"base_url": "%s"}');
	SELECT integ_credential_set('second', 'token', 'secret')), $provider->url);

sub from_second { sql("UPDATE integ.sync_tasks SET instance =
	(SELECT id FROM integ.instances WHERE instance_id = 'second') WHERE task_id = '$_[0]'"); return }

# --- two connections feed one table ---

for my $case ([ 'field_match', '["value"]' ], [ 'composite', '["name", "value"]' ])
{
	my ($strategy, $fields) = @$case;
	my $table = "public.$strategy";
	my $dedupe = qq({"strategy": "$strategy", "externalIdField": "id", "matchFields": $fields});
	my %options = (columns => $keyless, schema => { deduplication => "'$dedupe'" });
	my $links = "FROM integ.record_links WHERE target_table = '$table'::regclass AND deleted_at IS NULL";

	$sync->task($strategy, $table, { n => 100, limit => 40 }, %options);
	$sync->task("${strategy}2", $table, { n => 150, limit => 40 }, %options);
	from_second("${strategy}2");
	is(summary($sync->run($strategy)), 'success fetched 100 created 100', "$strategy: the first source makes the rows");
	sql("UPDATE $table SET note = 'kept'");
	is(summary($sync->run("${strategy}2")), 'success fetched 150 created 50 updated 100', '... the second finds them');
	is(sql("SELECT count(*) FROM $table"), 150, '... so that there is a row of each');
	is(sql("SELECT count(*) || ' ' || count(DISTINCT target_key) $links"), '250 150', '... with a link from each source');
	is(sql("SELECT count(*) FROM $table WHERE note = 'kept'"), 100, '... and what nobody maps stays');

	# The row is as the one that changed last has it.
	$sync->configure($strategy, { n => 100, limit => 40, version => 2, changed => 10 });
	is(summary($sync->run($strategy)), 'success fetched 100 updated 100', '... the first has news');
	is(sql("SELECT count(*) FROM $table WHERE name LIKE '% v2'"), 10, '... which count');
	is(summary($sync->run("${strategy}2")), 'success fetched 150 unchanged 150', '... the second has none');
	is(sql("SELECT count(*) FROM $table WHERE name LIKE '% v2'"), 10, '... so that the news stay');

	# A row goes with its last source.
	$sync->configure($strategy, { n => 100, limit => 40, version => 2, changed => 10, without => 10 });
	is(summary($sync->run($strategy)), 'success fetched 90 updated 90 deleted 10', '... gone from one source');
	is(sql("SELECT count(*) FROM $table"), 150, '... it stays, being in the other');
	is(sql("SELECT count(*) $links"), 240, '... and only its link goes');
	$sync->configure("${strategy}2", { n => 150, limit => 40, without => 10 });
	is(summary($sync->run("${strategy}2")), 'success fetched 135 updated 135 deleted 15', '... gone from both');
	is(sql("SELECT count(*) FROM $table"), 135, '... it is removed');
}

# Two rows with the values of the match fields: nobody knows which.
$sync->task('doubtful', 'public.doubtful', { n => 10 }, columns => $keyless,
	schema => { deduplication => q('{"strategy": "field_match", "externalIdField": "id", "matchFields": ["value"]}') });
sql('INSERT INTO public.doubtful (name, value) VALUES (\'a\', 7), (\'b\', 7)');
my $run = $sync->run('doubtful');
is(summary($run), 'partial fetched 10 created 9 failed 1', 'a record that two rows match');
is($run->{error}{message}, '1 record could not be stored', '... is counted in the singular');
like(sql("SELECT reason FROM integ.sync_errors WHERE execution = '$run->{id}'"), qr/several rows/, '... and told');

# --- one task of two sources ---

$sync->task('sources', 'public.sources', { limit => 40 }, columns => $keyless,
	schema => { deduplication => q('{"strategy": "field_match", "externalIdField": "id", "matchFields": ["value"]}') });
sql(q(INSERT INTO integ.sync_task_sources (task, position, instance, entity, config)
	SELECT t.id, s.position, i.id, 'Record', s.config FROM integ.sync_tasks t,
	(VALUES (1, 'lists', '{"n": 100}'::jsonb), (2, 'second', '{"n": 120}')) s (position, name, config)
	JOIN integ.instances i ON i.instance_id = s.name WHERE t.task_id = 'sources'));
is(summary($sync->run('sources')), 'success fetched 220 created 120 updated 100', 'a task of two sources');
is(sql('SELECT count(*) FROM public.sources'), 120, '... a row of each record');
is(summary($sync->run('sources')), 'success fetched 220 unchanged 220', '... and nothing the second time');
sql(q(UPDATE integ.sync_task_sources s SET config = s.config || '{"at": 1, "fault": "say", "key": "sources"}'
	FROM integ.sync_tasks t WHERE t.id = s.task AND task_id = 'sources' AND position = 1));
$run = $sync->run('sources');
is(summary($run), 'partial fetched 120 unchanged 120', '... where one fails the other is read');
like($run->{error}{message}, qr/records/, '... and the error says why');
is(sql("SELECT phase FROM integ.sync_errors WHERE execution = '$run->{id}'"), 'fetching', '... as does a row');
is(sql(q(SELECT string_agg(source || ' ' || (high_water_mark IS NOT NULL), ', ' ORDER BY source)
	FROM integ.sync_cursors c
	JOIN integ.sync_tasks t ON t.id = c.task WHERE task_id = 'sources')), '1 true, 2 true', '... each has its cursor');

# --- foreign keys that come in a later run, of another owner too ---

sql(<<'SQL');
CREATE ROLE keeper LOGIN;
GRANT integ_superadmin, integ_user TO keeper;
GRANT ALL ON SCHEMA public TO keeper;
CREATE TABLE public.parents (number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text UNIQUE NOT NULL,
	name text,
    value integer, updated_at timestamptz);
SQL
my $relation = q('[{"relationshipType": "belongs_to", "targetField": "parent", "sourceField": "id",
	"lookupTable": "public.parents", "lookupByExternalId": true, "valueField": "id"}]');
my $with_parent = 'id text PRIMARY KEY, name text, value integer, updated_at timestamptz,
	parent text REFERENCES public.parents (id)';
$sync->task('children', 'public.children', { n => 50 }, columns => $with_parent,
	schema => { relationship_mappings => $relation });
$sync->task('parents', 'public.parents', { n => 60, without => 5 });
is(summary($sync->run('children')), 'success fetched 50 created 50', 'rows whose foreign keys are not here yet');
is(sql('SELECT count(parent) FROM public.children'), 0, '... have none');
is(sql('SELECT count(*) FROM integ.record_relations WHERE value IS NULL'), 50, '... which is remembered');
is(summary($sync->run('parents')), 'success fetched 48 created 48', 'the rows that they lead to come in another run');
is(sql('SELECT count(parent) FROM public.children WHERE parent = id'), 40, '... and complete them');
is(sql('SELECT count(*) FROM integ.record_relations'), 10, '... those that did not come still wait');
sql('GRANT SELECT, REFERENCES ON public.parents TO keeper');
$sync->task('theirs', 'public.theirs', { n => 20 }, columns => $with_parent, role => 'keeper',
	schema => { relationship_mappings => $relation });
$sync->run('theirs');
is(sql('SELECT count(parent) FROM public.theirs'), 16, 'those that are here are found at once');
$sync->configure('parents', { n => 60 });
is(summary($sync->run('parents')), 'success fetched 60 created 12 updated 48', 'the rest comes');
is(sql('SELECT count(parent) FROM public.children'), 50, '... to rows of the same owner at once');
is(sql('SELECT count(parent) FROM public.theirs'), 16, '... to those of another not');
is(summary($sync->run('theirs')), 'success fetched 20 unchanged 20', '... whose next run');
is(sql('SELECT count(parent) FROM public.theirs WHERE parent = id'), 20, '... takes them, though nothing has changed');
is(sql('SELECT count(*) FROM integ.record_relations'), 0, '... and nothing waits any more');

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
is(json("SELECT coalesce(field_times, '{}') FROM integ.record_links WHERE target_table = 'public.both'::regclass
	AND external_id = 'r11'") && 1, 1, '... and no others');
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

# --- a token that ends in the middle ---

my $manifest = Integ::SyncLists::manifest();
my $host = $provider->url;
@$manifest{qw(integrationId authType oauth2Config)} = ('granted', 'oauth2',
	{ tokenUrl => "$host/oauth/granted/token", tokenEndpointAuthMethod => 'none', grantType => 'client_credentials' });
delete $manifest->{credentialSchema};
sql('SELECT integ_define($m$' . encode_json($manifest) . '$m$)');
sql(q(SELECT integ_credential_set('definition:granted', 'client_id', 'app')));
sql(qq(SELECT integ_connect('granted', 'granted_main', '{"base_url": "$host"}')));
for my $case ([ 'renewed', 1 ], [ 'refused', 1000 ])
{
	my ($name, $times) = @$case;

	$sync->task($name, "public.$name", { n => 400, limit => 100, at => 3, key => $name, times => $times, fault => 'status',
		code => 401 });
	sql("UPDATE integ.sync_tasks SET instance = (SELECT id FROM integ.instances WHERE instance_id = 'granted_main')
		WHERE task_id = '$name'");
}
sql(q(SELECT integ_oauth_refresh('granted_main')));
my $granted = $provider->count('/oauth/granted/token');
is(summary($sync->run('renewed')), 'success fetched 400 created 400', 'a token that is refused on page 3 is renewed');
is($provider->count('/oauth/granted/token') - $granted, 1, '... once');
my @shown = grep { /access-granted/ } map { $_->{headers}{authorization} } $provider->log('/sync/records');
is(scalar(@shown), 5, '... and the page is asked for again');
ok($shown[0] eq $shown[2] && $shown[2] ne $shown[3] && $shown[3] eq $shown[4],
	'... with the new one, as are those behind it');
is_deeply($sync->difference('public.renewed', 400), [], '... and everything is here once');
$run = $sync->run('refused');
is(summary($run), 'failed fetched 200 created 200', 'where the new one is refused, too, the run ends');
is($run->{error}{sqlstate}, 'IG401', '... and says so');
is(sql(q(SELECT status FROM integ.instances WHERE instance_id = 'granted_main')), 'reauth_required',
	'... a person is needed');
is(sql(q(SELECT status FROM integ.sync_tasks WHERE task_id = 'refused')), 'active', '... the task stays as it is');

done_testing();
