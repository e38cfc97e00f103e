# Who gets a sync worker, where there are few or none: clients take turns, slots
# that are missing are told of and tried again, a standby runs nothing.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Test qw(wait_until);
use Test::More;

my $node = Integ::Cluster->create('main', init => [ allows_streaming => 1 ],
	conf => [ 'integ.max_sync_workers = 1', 'integ.max_handler_workers = 1' ]);

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub hold
{
	my ($value) = @_;
	sql("ALTER SYSTEM SET integ.hold = $value");
	sql('SELECT pg_reload_conf()');
	my $held = $value eq 'on' ? 'yes' : 'no';
	$node->wait_for_sql("SELECT state = '$held' FROM integ_status() WHERE component = 'held'", "held: $held");
	return;
}

# Tasks that are due together and fail at once: they have no instance.
sub tasks
{
	my ($name, $count, $client, $late) = @_;
	sql("INSERT INTO integ.sync_tasks (task_id, next_run_at, client_id, context_type, context_id)
		SELECT '$name-' || g, now() - interval '20 seconds' + (g + $late) * interval '1 millisecond', '$client',
			CASE '$client' WHEN '*' THEN 'global' ELSE 'client' END, nullif('$client', '*') FROM generate_series(1, $count) g");
	return;
}

# --- in their order, and in turns ---

sql(q(INSERT INTO integ.clients (id, name) VALUES ('acme', 'Acme')));
hold('on');
tasks('many', 30, '*', 0);
tasks('few', 3, 'acme', 1000);
sql('SELECT integ.sync_schedule()');
is(sql('SELECT count(*) FROM integ.sync_executions_open'), 33, 'all wait while the database is held');
my $depth = sql(q(SELECT queue_depth FROM integ_status() WHERE component = 'sync'));
is($depth, 33, 'and integ_status() counts them');
hold('off');
$node->wait_for_sql('SELECT count(*) = 33 FROM integ.sync_executions_done', 'all end');
is(sql(q(SELECT bool_and(due = number) FROM (SELECT row_number() OVER (ORDER BY scheduled_for) AS due,
	row_number() OVER (ORDER BY started_at) AS number FROM integ.sync_executions_done WHERE task_id ~ '^many') e)), 't', 'those of a client in the order they were due');
cmp_ok(sql(q(SELECT max(number) FROM (SELECT task_id, row_number() OVER (ORDER BY started_at) AS number
	FROM integ.sync_executions_done) e WHERE task_id ~ '^few')), '<=', 7, 'the few of another do not wait for the many');

# --- a standby runs nothing, and what was due when it is promoted is made up for ---

$node->backup('base');
my $standby = Integ::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
sql(q(INSERT INTO integ.sync_tasks (task_id) VALUES ('promoted')));
$node->stop('fast');
is($standby->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ '^integ (keeper|sync)')), 0, 'on a standby nothing runs');
my ($state) = $standby->sql_error(q(SELECT integ_sync_run('promoted')));
is($state, '25006', 'nor can it be asked to');
$standby->promote;
$standby->wait_for_sql(q(SELECT count(*) = 1 FROM integ_status() WHERE component = 'keeper' AND state = 'running'), 'the keeper runs after the promotion');
$standby->safe_psql('postgres', q(UPDATE integ.sync_tasks SET next_run_at = now() WHERE task_id = 'promoted'));
$standby->wait_for_sql(q(SELECT count(*) = 1 FROM integ.sync_executions_done WHERE task_id = 'promoted'), 'a task runs after the promotion');
$standby->stop;

# --- no slot for a worker ---

# The launcher, logical replication's, the keeper and the dispatcher take them all.
$node->append_conf('postgresql.conf', 'max_worker_processes = 4');
$node->start;
$node->wait_for_sql(q(SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type IN ('integ keeper', 'integ dispatcher')), 'the resident workers');
sql(q(UPDATE integ.sync_tasks SET status = 'active', next_run_at = now() WHERE task_id = 'few-1'));
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ_status() WHERE component = 'sync workers' AND hint ~ 'max_worker_processes'),
	'integ_status() tells that no worker can be had');
is(sql(q(SELECT status FROM integ.sync_executions_open)), 'queued', 'the execution waits');
sql('ALTER SYSTEM SET integ.dispatchers = 0');
sql('SELECT pg_reload_conf()');
$node->wait_for_sql(q(SELECT count(*) = 2 FROM integ.sync_executions_done WHERE task_id = 'few-1'), 'and runs once there is one');
is(sql(q(SELECT count(*) FROM integ_status() WHERE component = 'sync workers' AND hint IS NOT NULL)), 0, 'of which nothing is told any more');
$node->stop;
done_testing();
