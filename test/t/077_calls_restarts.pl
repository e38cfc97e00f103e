# Restarts at random moments while calls with idempotency keys are under way: every call ends, none is lost,
# none whose outcome is known is sent again, and enqueueing again with the same key gives the same call.

use strict;
use warnings;

use Integ::Calls;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(rounds seed slurp wait_until);
use Test::More;

seed();
my $rounds = rounds(5, 100);
my $calls = rounds(1200, 10000);
my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('restarts', conf => [ 'integ.dispatchers = 2', 'integ.retry_delay = 20ms',
	'integ.deactivate_after_failures = 0' ]);
Integ::Calls::connect($node, 'postgres', map { ("host_$_" => $provider->url) } 1 .. 7);
Integ::Calls::connect_shared($node, 'postgres', host_0 => $provider->url);

my $enqueue = <<"SQL";
SELECT count(integ_enqueue('host_' || g % 8, (ARRAY['read', 'write', 'keyed'])[g % 3 + 1],
    jsonb_build_object('a', 'echo', 'b', 'n' || g, 'fault', 'delay', 'ms', 40),
    jsonb_build_object('idempotency_key', 'key-' || g, 'max_attempts', 1000)))
FROM generate_series(1, $calls) g
SQL

my %restart = (
	crash => sub {
		my $pid = (split /\n/, slurp($node->data_dir . '/postmaster.pid'))[0];
		my @children = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity
			WHERE pid <> pg_backend_pid()');
		$node->kill9;
		# They leave shared memory a moment later.
		wait_until('the processes to end', sub { !grep { kill(0, $_) } $pid, @children });
	},
	immediate => sub { $node->stop('immediate') },
	fast => sub { $node->stop('fast') });
my @kinds = sort keys %restart;

# What the service has seen and the database says of every call, between two restarts: known for good.
my %known;
sub learn
{
	for my $row (split /\n/, $node->safe_psql('postgres', q(SELECT input ->> 'b', id, state FROM integ.calls_done)))
	{
		my ($name, $id, $state) = split /\|/, $row;
		my $before = $known{$name};
		is("$id $state", $before->{what}, "$name keeps its outcome") if $before && $before->{what} ne "$id $state";
		$known{$name} //= { what => "$id $state", sent => undef };
	}
	my $counts = $provider->count;
	$known{$_}{sent} //= $counts->{"/echo/$_"} // 0 for keys %known;
	return;
}

is($node->safe_psql('postgres', $enqueue), $calls, 'the calls are enqueued');
my $ids = $node->safe_psql('postgres', q(SELECT md5(string_agg(call::text, ' ' ORDER BY idempotency_key))
	FROM integ.call_keys));
my $under_way = 0;
for my $round (1 .. $rounds)
{
	my $kind = $round <= @kinds ? $kinds[ $round - 1 ] : $kinds[ rand @kinds ];
	# Somewhere in what is left; all of it takes several rounds.
	my $left = $node->safe_psql('postgres', 'SELECT count(*) FROM integ.calls_open');
	my $until = $left - int(rand($calls / $rounds));
	$node->wait_for_sql("SELECT count(*) <= $until FROM integ.calls_open", 'some calls to end') if $until > 0;
	$left = $node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls_open));
	learn();
	note("round $round: $kind, $left calls left");
	$under_way++ if $left > 0;
	$restart{$kind}->();
	$node->start;
}
cmp_ok($under_way, '>', 0, 'calls were under way at the restarts');
is($node->safe_psql('postgres', $enqueue), $calls, 'the calls are enqueued once more');
$node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', 'every call to end');
is($node->safe_psql('postgres', q(SELECT md5(string_agg(call::text, ' ' ORDER BY idempotency_key))
	FROM integ.call_keys)), $ids,
	'they are the same calls');
is($node->safe_psql('postgres', 'SELECT count(*) FROM integ.calls_done'), $calls,
	'none is lost, and there are no others');
is( $node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls_done WHERE state <> 'succeeded'
	AND (method <> 'write' OR state <> 'unknown'))),
	0, 'each succeeded, or is a write whose outcome nobody knows');
note('unknown: ' . $node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls_done WHERE state = 'unknown')));

my $counts = $provider->count;
is_deeply([ grep { ($counts->{"/echo/$_"} // 0) > $known{$_}{sent} } sort keys %known ], [],
	'none whose outcome was known was sent again');
learn();
my %method = map { split /\|/ } split /\n/, $node->safe_psql('postgres', q(SELECT input ->> 'b', method
	FROM integ.calls_done));
is_deeply([ grep { $method{$_} eq 'write' && $known{$_}{sent} > 1 } sort keys %known ], [], 'no write was sent twice');
is_deeply([ grep { $known{$_}{what} =~ /succeeded/ && $known{$_}{sent} < 1 } sort keys %known ], [],
	'every call that succeeded arrived');

$node->stop;
done_testing();
