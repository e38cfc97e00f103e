# How many executions use one instance at the same time: integ.instance_sync_concurrency. Others' do not wait for them.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Sync;
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('main',
	conf => [ 'integ.max_sync_workers = 4', 'integ.instance_sync_concurrency = 1' ]);
Integ::Sync::set_up($node, $provider);

sub sql { return $node->safe_psql('postgres', $_[0]) }

my $slow = q('{"fault": "delay", "ms": 600000}');
Integ::Sync::task($node, 'first', config => $slow);
Integ::Sync::task($node, 'second');
Integ::Sync::task($node, 'third');
sql(sprintf q(SET ROLE syncer; SELECT integ_connect('life', 'another', '{"base_url": "%s"}')), $provider->url);
sql(q(UPDATE integ.sync_tasks SET instance = (SELECT id FROM integ.instances WHERE instance_id = 'another')
	WHERE task_id = 'third'));

my $execution = sql(q(SELECT id FROM integ_sync_run('first')));
Integ::Sync::worker($node, 'first');
sql(q(SELECT integ_sync_run('second')));
is(sql(q(SELECT status FROM integ_sync_run('third', wait => true))), 'success', 'what uses another instance runs');
is(sql(q(SELECT status FROM integ.sync_executions WHERE task_id = 'second')), 'queued',
	'... what was asked for before, and uses an instance that is in use, waits');
sql("SELECT integ_sync_cancel('$execution')");
Integ::Sync::wait_for($node, 'second', q(status = 'success'), '... for its turn');
is(sql(q(SELECT s.started_at >= f.completed_at FROM integ.sync_executions s, integ.sync_executions f
	WHERE s.task_id = 'second' AND f.task_id = 'first')), 't', '... which comes when the other one has ended');

$node->stop;
done_testing();
