# A sync task whose service misbehaves: fails, repeats, changes its order, refuses, breaks off, forgets its tokens.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::SyncLists;
use Test::More;

my $node = Integ::Cluster->create('main', conf => [ "integ.retry_delay = '20ms'", "integ.max_retry_delay = '100ms'",
	"integ.request_timeout = '3s'",
	"integ.max_sync_wait = '10min'" ]);
my $provider = Integ::Provider->start(token => 'secret');
my $sync = Integ::SyncLists->new($node, $provider);
my %list = (n => 4000, limit => 100);

sub summary { return Integ::SyncLists::summary(@_) }

# A fault on page 37 of 40, once: the page is asked for again, and nothing else is.
my %faults = (
	'a server error' => { fault => 'status', code => 503 },
	'Retry-After' => { fault => 'status', code => 429, retry_after => 1 },
	'a connection that is reset in the middle of the page' => { fault => 'reset', after => 300 },
	'a page that ends too soon' => { fault => 'truncate', bytes => 200, claim => 5000 },
	'no answer in time' => { fault => 'noanswer' },
	'a page without the records' => { fault => 'say' },
	'HTML' => { fault => 'notjson' });
my $number = 0;

for my $name (sort keys %faults)
{
	my $task = 'fault' . ++$number;
	my $lasting = $name =~ /without|HTML/;

	$sync->task($task, "public.$task", { %list, at => 37, key => $task, %{ $faults{$name} } });
	my $run = $sync->run($task);
	if ($lasting)
	{
		is(summary($run), 'failed fetched 3600 created 3600', "$name: the run ends there");
		is($run->{error}{sqlstate}, 'IG502', '... because of what the service promised');
		is($sync->row("SELECT status FROM integ.sync_tasks WHERE task_id = '$task'")->{status}, 'active',
			'... and may be run again');
	}
	else
	{
		is(summary($run), 'success fetched 4000 created 4000', "$name: the page is asked for again");
		is_deeply($sync->difference("public.$task", 4000), [], '... and everything is here once');
	}
}

# It fails for longer than a run has patience: the retry goes on behind what is stored.
$sync->task('fails', 'public.fails', { %list, at => 37, key => 'fails', times => 4, fault => 'status', code => 500 });
my $failed = $sync->run('fails');
is(summary($failed), 'failed fetched 3600 created 3600', 'the pages before the failure are stored');
like($failed->{error}{detail}, qr/500/, '... and the error says what the service answered');
is($sync->row("SELECT count(*) AS n FROM public.fails")->{n}, 3600, '... in the table');
my $asked = $provider->count('/sync/records');
my $retry = $sync->row("SELECT * FROM integ_sync_retry('$failed->{id}', 'all', true)");
is(summary($retry), 'success fetched 400 created 400',
	'a retry goes on where it failed') or diag explain $retry->{error};
is($provider->count('/sync/records') - $asked, 4, '... with the pages that were missing');
is_deeply($sync->difference('public.fails', 4000), [], '... and everything is here once');

# Order, repetition.
$sync->task('orders', 'public.orders', { %list, order => 'reverse', at => 20, repeat => 1 });
is(summary($sync->run('orders')), 'success fetched 4100 created 4000 unchanged 100', 'a repeated page changes nothing');
is_deeply($sync->difference('public.orders', 4000), [], '... in whatever order');
$sync->task('older', 'public.older', { n => 100, version => 3, changed => 10 });
is(summary($sync->run('older')), 'success fetched 100 created 100', 'the newest versions');
$sync->configure('older', { n => 100, version => 2, changed => 10 });
is(summary($sync->run('older')), 'success fetched 100 updated 90 skipped 10', 'older ones do not replace them');
is_deeply($sync->difference('public.older', 100, version => 3, changed => 10), [], '... and all stays as it was');

# Modified times: only what may have changed is asked for; a second run over the same page changes nothing.
$sync->task('since', 'public.since', { %list, incrementalSync => \1 });
$sync->run('since');
is(summary($sync->run('since')), 'success fetched 2 unchanged 2', 'the mark, inclusive, with an overlap');
is($sync->row("SELECT high_water_mark AS m FROM integ.sync_cursors c JOIN integ.sync_tasks t ON t.id = c.task
	WHERE task_id = 'since'")->{m},
	'2024-01-03T18:40:00Z', 'the mark is the newest stored');

# Tombstones, and the service's own list of what was deleted.
$sync->task('tombs', 'public.tombs', { n => 100 });
$sync->run('tombs');
$sync->configure('tombs', { n => 100, deleted => 10 });
is(summary($sync->run('tombs')), 'success fetched 100 updated 90 deleted 10',
	'records that say they were deleted are removed');
is_deeply($sync->difference('public.tombs', 100, without => 10), [], '... and only those');
$sync->task('listed', 'public.listed', { n => 100, incrementalSync => \1 }, entity => 'Listed');
$sync->run('listed');
$node->safe_psql('postgres', q(UPDATE integ.sync_tasks SET config = config || '{"deleted": 10, "without": 10}'
	WHERE task_id = 'listed'));
is(summary($sync->run('listed')), 'success fetched 90 updated 90 deleted 10', 'a full run removes what is not there');
is(summary($sync->run('listed')), 'success fetched 2 unchanged 2',
	'... and the list of what was deleted removes nothing twice');

# A token of what changed; one that has expired means everything.
$sync->task('delta', 'public.delta', { n => 100, incrementalSync => \1, version => 2, changed => 10 },
	entity => 'Changed');
is(summary($sync->run('delta')), 'success fetched 100 created 100', 'without a token everything');
is(summary($sync->run('delta')), 'success fetched 10 unchanged 10', 'with it what changed');
is($sync->row("SELECT delta_token AS t FROM integ.sync_cursors c JOIN integ.sync_tasks t ON t.id = c.task
	WHERE task_id = 'delta'")->{t},
	't2', 'the next token is kept');
$node->safe_psql('postgres', q(UPDATE integ.sync_cursors c SET delta_token = 'expired' FROM integ.sync_tasks t
	WHERE t.id = c.task AND task_id = 'delta'));
is(summary($sync->run('delta')), 'success fetched 100 unchanged 100', 'an expired one means everything');
like($sync->row("SELECT message AS m FROM integ.sync_logs l JOIN integ.sync_tasks t ON t.id = l.task
	WHERE task_id = 'delta'
	AND message !~ '^lists:'")->{m}, qr/token has expired/, '... which is logged');
is($sync->row("SELECT jsonb_agg(message ORDER BY l.id) AS m FROM integ.sync_logs l JOIN integ.sync_tasks t
	ON t.id = l.task WHERE task_id = 'since'")->{m}[1], 'lists: what was modified since 2024-01-03T18:39:00Z is read',
	'what a run reads is logged');
is($sync->row("SELECT string_agg(level || ' ' || message, ', ' ORDER BY id) AS m FROM integ.sync_logs
	WHERE execution = '$retry->{id}'")->{m}, 'info lists: it goes on behind the page that was stored last',
	'... and where it goes on');
like($sync->row("SELECT string_agg(message, ', ' ORDER BY id) AS m FROM integ.sync_logs
	WHERE execution = '$failed->{id}'
	AND level = 'warn'")->{m}, qr/^(the service failed on lists\.list; the page is asked for again(, )?){3}$/,
	'... and each failure of the service');

# maxResults, page size, single records.
$sync->task('few', 'public.few', { n => 1000, limit => 50, maxResults => 120 });
is(summary($sync->run('few')), 'success fetched 120 created 120', 'no more than maxResults');
my %part = (n => 250, limit => 50, maxResults => 100, incrementalSync => \1);
$sync->task('part', 'public.part', {%part});
is(summary($sync->run('part')), 'success fetched 100 created 100', 'an incremental run of no more than maxResults');
is(summary($sync->run('part')), 'success fetched 100 created 100', '... goes on there the next time');
is(summary($sync->run('part')), 'success fetched 50 created 50', '... to the end of the list');
is_deeply($sync->difference('public.part', 250), [], '... which is then here, all of it');
$sync->configure('part', { %part, without => 25 });
is(join(', ', map { summary($sync->run('part')) } 1 .. 3),
	'success fetched 100 updated 100, success fetched 100 updated 100, success fetched 40 updated 40',
	'... and of which none removes anything: it has not seen everything');
$sync->task('named', 'public.named', { n => 100, without => 7 });
is(summary($sync->run('named', options => { records => [ 'r3', 'r7', { id => 'x', name => 'given', value => 1 } ] })),
	'success fetched 2 created 2', 'records that are named are asked for, records that are given are taken');
is($sync->row("SELECT string_agg(id, ',' ORDER BY id) AS ids FROM public.named")->{ids}, 'r3,x', '... and no others');

done_testing();
