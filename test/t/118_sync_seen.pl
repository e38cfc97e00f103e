# What a full run has seen, so that it knows what has disappeared: who goes on from it, and when it is forgotten.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use Integ::Test qw(wait_until);
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.max_sync_wait = '10min'", "integ.retry_delay = '20ms'" ]);
my $provider = Integ::Provider->start(token => 'secret');
my $sync = Integ::SyncLists->new($node, $provider);
my %list = (n => 400, limit => 100);

sub summary { return Integ::SyncLists::summary(@_) }
sub sql { return $node->safe_psql('postgres', $_[0]) }

sub seen
{
	my ($task) = @_;
	return sql("SELECT count(*) FROM integ.sync_seen s JOIN integ.sync_tasks t ON t.id = s.task WHERE task_id = '$task'");
}

# A task whose first run failed on page 3.
sub failed
{
	my ($task) = @_;
	$sync->task($task, "public.$task", { %list, at => 3, key => $task, times => 4, fault => 'status', code => 500 });
	my $run = $sync->run($task);
	is(summary($run), 'failed fetched 200 created 200', "$task: the run fails on page 3");
	is(seen($task), 2, '... and what it has seen is kept');
	return $run;
}

# Waits until so many records are stored; until it has ended.
sub stored
{
	my ($run, $count) = @_;
	$node->wait_for_sql("SELECT processed_records >= $count FROM integ.sync_progress WHERE execution = '$run->{id}'",
		"$count records");
	return;
}

sub ends
{
	my ($run, $status) = @_;
	$node->wait_for_sql("SELECT status = '$status' FROM integ.sync_executions WHERE id = '$run->{id}'", "to be $status");
	return;
}

sub retried { return $sync->row("SELECT * FROM integ_sync_retry('$_[0]{id}', 'all', true)") }

my $run = failed('repeated');
is(summary(retried($run)), 'success fetched 200 created 200', 'the run that repeats it goes on, and removes nothing');
is(seen('repeated'), 0, '... and leaves nothing behind');

failed('anew');
is(summary($sync->run('anew')), 'success fetched 400 created 200 unchanged 200', 'a run that begins anew');
is(seen('anew'), 0, '... leaves nothing of the former behind');

# Were pages that are forgotten taken for records that are gone, they would be deleted.
for my $lost ([ 'a_page', 'page = 1' ], [ 'everything', 'true' ])
{
	my ($task, $which) = @$lost;
	$run = failed($task);
	sql("DELETE FROM integ.sync_seen WHERE $which");
	is(summary(retried($run)), 'success fetched 400 created 200 unchanged 200',
		"where $task that was seen is gone, the run that repeats it begins anew");
	is_deeply($sync->difference("public.$task", 400), [], '... and deletes nothing');
}

# A schema that removes only since the failure.
$sync->task('since', 'public.since', { %list, at => 3, key => 'since', times => 4, fault => 'status', code => 500 },
	schema => { delete_if_removed => 'false' });
$run = $sync->run('since');
is(seen('since'), 0, 'a schema that removes nothing notes nothing');
sql(q(UPDATE integ.conversion_schemas SET delete_if_removed = true WHERE schema_id = 'since'));
is(summary(retried($run)), 'success fetched 400 created 200 unchanged 200', 'one that removes since then begins anew');
is_deeply($sync->difference('public.since', 400), [], '... and deletes nothing');

# A dry run has its own, and leaves nothing, however it ends.
$run = failed('dry');
sql(q(UPDATE integ.sync_tasks SET config = config || '{"key": "dry2"}' WHERE task_id = 'dry'));
is($sync->run('dry', dry_run => 1)->{status}, 'failed', 'a dry run that fails');
is(seen('dry'), 2, '... leaves what the failed run has seen, and no more');
sql(q(UPDATE integ.sync_tasks SET config = config || '{"key": "dry"}' WHERE task_id = 'dry'));
is(summary(retried($run)), 'success fetched 200 created 200', '... which goes on from there');

# Cancelled and paused.
$sync->task('cancelled', 'public.cancelled', { %list, at => 3, key => 'cancelled', fault => 'noanswer' });
$run = $sync->row("SELECT * FROM integ_sync_run('cancelled')");
stored($run, 200);
is(seen('cancelled'), 2, 'a run under way');
sql("SELECT integ_sync_cancel('$run->{id}')");
ends($run, 'cancelled');
is(seen('cancelled'), 0, '... that is cancelled leaves nothing');
is(summary(retried($run)), 'success fetched 400 created 200 unchanged 200', '... and can be repeated');
failed('paused');
sql(q(SELECT integ_sync_pause('paused')));
is(seen('paused'), 0, 'a task that is paused forgets');

# Deleted, also under way.
failed('deleted');
sql(q(DELETE FROM integ.sync_tasks WHERE task_id = 'deleted'));
is(sql('SELECT count(*) FROM integ.sync_seen WHERE task NOT IN (SELECT id FROM integ.sync_tasks)'), 0,
	'with the task it goes');
$sync->task('going', 'public.going',
	{ %list, maxDeletePercent => 100, at => 4, key => 'going', fault => 'delay', ms => 500 });
$run = $sync->row("SELECT * FROM integ_sync_run('going')");
stored($run, 200);
sql(q(DELETE FROM integ.sync_tasks WHERE task_id = 'going'));
ends($run, 'cancelled');
cmp_ok(sql('SELECT count(*) FROM public.going'), '>=', 200, 'a task that is deleted while it runs removes no rows');

# What nobody can repeat any more.
failed('old');
sql(q(DELETE FROM integ.sync_executions_done WHERE task_id = 'old'));
sql(q(UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'sync_seen'));
wait_until('the job', sub { seen('old') == 0 });
is(sql(q(SELECT last_error IS NULL FROM integ.maintenance_jobs WHERE name = 'sync_seen')), 't',
	'is forgotten by the job');

done_testing();
