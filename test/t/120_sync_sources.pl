# Records that come from several places: two connections and one row, two sources of a task, foreign keys of another
# run.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.max_sync_wait = '10min'", "integ.retry_delay = '20ms'" ]);
my $provider = Integ::Provider->start(token => 'secret');
my $sync = Integ::SyncLists->new($node, $provider);
my $keyless = 'number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text, name text, value integer,
	updated_at timestamptz, note text';

sub summary { return Integ::SyncLists::summary(@_) }
sub sql { return $node->safe_psql('postgres', $_[0]) }

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

	next if $strategy eq 'composite';

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

# Who wants to hear of it, and what the task counts: the specification's names.
my $told = q(SELECT coalesce(string_agg(kind || ': ' || text, ' | ' ORDER BY id), '') FROM integ.notifications);
is(sql($told), '', 'nobody hears of a part that failed who did not ask');
sql(q(UPDATE integ.sync_tasks SET notifications = '{"onSuccess": true, "onFailure": true, "onPartial": true}'
	WHERE task_id = 'doubtful'));
$sync->run('doubtful');
is(sql($told), 'sync.partial: Sync task "doubtful" succeeded in part: 1 record could not be stored',
	'... who did, does');
sql(q(DELETE FROM public.doubtful WHERE name = 'b'));
is(summary($sync->run('doubtful')), 'success fetched 10 updated 1 unchanged 9', 'mended');
like(sql($told), qr/sync\.succeeded: Sync task "doubtful" succeeded: /, '... and a success, where that was asked for');
my $task = $sync->row(q(SELECT stats, last_run_status, last_error FROM integ.sync_tasks WHERE task_id = 'doubtful'));
ok(delete $task->{stats}{lastSuccessAt}, 'when it last succeeded');
is_deeply($task, { last_run_status => 'success', last_error => undef, stats => { totalRuns => 3, successfulRuns => 1,
	failedRuns => 0, recordsProcessed => 30, recordsCreated => 9, recordsUpdated => 1, recordsSkipped => 18,
	recordsFailed => 2 } }, '... and all that it has done');

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

done_testing();
