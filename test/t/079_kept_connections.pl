# A service closes the connections that the dispatchers keep to it: they notice, and sleep on.

use strict;
use warnings;

use Integ::Calls;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(wait_until);
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;
use Time::HiRes qw(sleep);

plan skip_all => 'the states of processes are read from /proc' if !-r "/proc/$$/stat";

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('kept', conf => ['integ.dispatchers = 2']);

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub pids { return split /\n/, sql(q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher')); }

sub runs { return slurp_file("/proc/$_[0]/stat") =~ /\) R/; }

# One that goes round and round is met running sooner or later.
sub sleeps
{
	my ($pid) = @_;

	for (1 .. 100)
	{
		return 0 if runs($pid);
		sleep 0.01;
	}
	return 1;
}

sub connections
{
	my $port = sprintf '%04X', $provider->port;
	return scalar grep { /^\s*\d+: \S+ \S+:$port 01/ } split /\n/, slurp_file('/proc/net/tcp');
}

Integ::Calls::connect_shared($node, 'postgres', main => $provider->url);
sql(sprintf q(SELECT integ_endpoint_add('%s', '{order.*}', '{"endpoint_id": "hook"}')), $provider->url('/echo/hook'));
sql(q(SELECT count(integ_enqueue('main', 'read', '{"a": "echo", "b": "x"}')) FROM generate_series(1, 50)));
sql(q(SELECT count(integ_publish('order.made', '{}')) FROM generate_series(1, 50)));
$node->wait_for_sql('SELECT count(*) = 50 FROM integ.calls_done', 'the calls');
$node->wait_for_sql('SELECT count(*) = 50 FROM integ.deliveries_done', 'the deliveries');
cmp_ok(connections(), '>', 0, 'connections to the service are kept');

$provider->stop;
wait_until('its end of them to be closed', sub { connections() == 0 });
for my $pid (pids())
{
	wait_until("dispatcher $pid to sleep", sub { sleeps($pid) }, 60);
	pass('a dispatcher sleeps');
}

$node->stop;
done_testing();
