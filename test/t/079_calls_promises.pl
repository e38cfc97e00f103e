# How durable calls leave: the highest priority first, with no transaction open meanwhile, each with its whole time
# from when it is sent, over few connections.

use strict;
use warnings;

use Integ::Calls;
use Integ::Certificates;
use Integ::Cluster;
use Integ::Nginx;
use Integ::Provider;
use Integ::Test qw(wait_until);
use Test::More;

my $provider = Integ::Provider->start;
my $ca = Integ::Certificates->create;
my $node = Integ::Cluster->create('promises', conf => [
	'integ.retry_delay = 20ms', "integ.ca_file = '" . $ca->file . "'", 'integ.dispatchers = 1' ]);
Integ::Calls::connect($node, 'postgres', main => $provider->url);
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub all_ended { return $node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', $_[0]) }

sub hold
{
	my ($value) = @_;
	$node->append_conf('postgresql.conf', "integ.hold = $value");
	$node->reload;
	return $node->wait_for_sql("SELECT current_setting('integ.hold') = '$value'");
}

# One at a time, so that the order in which they arrive is the one in which they were taken.
sql(q(UPDATE integ.instances SET rate_limit = '{"concurrent": 1}' WHERE instance_id = 'main'));
hold('on');
sql(<<'SQL');
SELECT count(integ_enqueue('main', 'read', jsonb_build_object('a', 'echo', 'b', 'priority', 'key', p),
    jsonb_build_object('priority', p)))
FROM unnest('{0,-10,5,10,-3,5,0,10}'::integer[]) p;
SQL
hold('off');
all_ended('the calls of every priority');
is(join(' ', map { $_->{args}{key} } $provider->log('/echo/priority')), '10 10 5 5 0 0 -3 -10',
	'the highest priority goes first');

# While requests are under way nothing of the database is held: neither a transaction nor a snapshot.
sql(q(UPDATE integ.instances SET rate_limit = NULL WHERE instance_id = 'main'));
$provider->forget;
sql(q(SELECT integ_enqueue('main', method, '{"a": "fault", "b": "delay", "ms": 20000}')
	FROM unnest('{read,write,keyed}'::text[]) method));
wait_until('their requests', sub { $provider->count('/fault/delay') == 3 });
$node->wait_for_sql(q(SELECT count(*) = 1 AND bool_and(xact_start IS NULL AND backend_xmin IS NULL
	AND backend_xid IS NULL) FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'),
	'the dispatcher to hold nothing while it waits for answers');
is(sql(q(SELECT count(*) FROM integ.calls_open WHERE state = 'running')), 3, 'the calls are under way still');
sql(q(SELECT count(integ_call_cancel(id)) FROM integ.calls_open));
my ($pid) = sql(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'));
sql("SELECT pg_terminate_backend($pid)");
all_ended('the calls of a dispatcher that was told to end');

# A call that waits for its turn for longer than its timeout has all of it once it is sent.
sql(q(UPDATE integ.instances SET rate_limit = '{"concurrent": 1}' WHERE instance_id = 'main'));
sql(<<'SQL');
SELECT integ_enqueue('main', 'read', '{"a": "fault", "b": "delay", "ms": 12000}', '{"timeout": "5 minutes"}');
SELECT count(integ_enqueue('main', 'read', '{"a": "echo", "b": "turn"}',
    '{"timeout": "10 seconds", "max_attempts": 1}'))
FROM generate_series(1, 5);
SQL
all_ended('those that waited for their turn');
is(sql(q(SELECT string_agg(DISTINCT state, ' ') FROM integ.calls_done WHERE input ->> 'b' = 'turn')), 'succeeded',
	'the time of a call counts from when it is sent');
cmp_ok(sql(q(SELECT min(finished_at - created_at) > interval '10 seconds' FROM integ.calls_done
	WHERE input ->> 'b' = 'turn')), 'eq', 't', 'although it waited for longer before');

# A wait sees how the call ended, whatever the snapshot of its transaction, which stays as it was.
my $awaited = sql(q(SELECT integ_enqueue('main', 'read', '{"a": "echo", "b": "awaited"}', '{"run_at": "2100-01-01"}')));
my $session = $node->background_psql('postgres');
my $state = "SELECT state FROM integ.calls WHERE id = '$awaited'";
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($session->query_safe($state), 'queued', 'a transaction with a snapshot from before');
sql("UPDATE integ.calls_open SET run_at = now() WHERE id = '$awaited'");
is($session->query_safe("SELECT integ_await('$awaited', '60 seconds') ->> 'state'"), 'succeeded',
	'waits for the call to end');
is($session->query_safe($state), 'queued', 'and keeps its snapshot');
$session->query_safe('COMMIT');
$session->quit;

SKIP:
{
	skip 'nginx is not installed', 4 unless Integ::Nginx->available;
	my $nginx = Integ::Nginx->start(tls => { valid => [ $ca->issue('localhost') ] }, http2 => 1,
		locations => { '/echo' => q(default_type application/json; return 200 '{"ok": true}';) });

	Integ::Calls::connect($node, 'postgres', fast => $nginx->url('', tls => 'valid'), plain => $nginx->url(''));
	for my $instance (qw(fast plain))
	{
		sql("SELECT count(integ_enqueue('$instance', 'read', '{\"a\": \"echo\", \"b\": \"$instance\"}'))
			FROM generate_series(1, 200)");
	}
	all_ended('the calls to nginx');
	for my $case ([ fast => 'HTTP/2.0' ], [ plain => 'HTTP/1.1' ])
	{
		my ($instance, $protocol) = @$case;
		my @requests = grep { m{/echo/$instance\b} } $nginx->requests;
		my %connections = map { (split ' ')[4] => 1 } @requests;
		is(scalar(grep { (split ' ')[2] eq $protocol && (split ' ')[3] == 200 } @requests), 200, "200 calls over $protocol");
		cmp_ok(scalar(keys %connections), '<=', 4, 'over no more connections than requests at a time')
			or diag(join ' ', %connections);
	}
}

$node->stop;
done_testing();
