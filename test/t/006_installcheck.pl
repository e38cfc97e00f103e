# make installcheck, as on any PGXS extension: twice on one server with one service beside it, so that no test
# depends on what an earlier run left there.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp);
use PostgreSQL::Test::Utils ();
use Test::More;

plan skip_all => 'all tests of SQL twice: make check-long does' unless $ENV{INTEG_LONG};

my $node = Integ::Cluster->create('main', extension => 0);
my $provider = Integ::Provider->start(token => 'provider-token');
my $source = $ENV{INTEG_SOURCE};
chomp(my $pg_config = qx(which pg_config));

for my $run (1, 2)
{
	local $ENV{INTEG_PROVIDER_URL} = $provider->url('');
	local $ENV{INTEG_PROVIDER_TOKEN} = 'provider-token';
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	my $log = "$PostgreSQL::Test::Utils::log_path/installcheck_$run.log";

	is(system("make -C '$source' --no-print-directory installcheck PG_CONFIG='$pg_config' >'$log' 2>&1"),
		0, "run $run of make installcheck passes")
	  or diag join "\n", (grep { !/^ok|^test.* ok / } split /\n/, slurp($log)),
		grep { defined } map { eval { slurp("$source/$_") } } qw(regression.diffs build/isolation/regression.diffs);
}
done_testing();
