# Two dispatchers make the deliveries to one endpoint; once it has a rate to keep, one of them makes all.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('shared', conf => ['integ.dispatchers = 2']);
my $count = 400;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub publish
{
	my ($type, $deliveries) = @_;
	return sql("SELECT count(integ_publish('$type', jsonb_build_object('n', g))) FROM generate_series(1, $deliveries) g");
}

sql(sprintf q(SELECT integ_endpoint_add('%s', '{order.*}', '{"endpoint_id": "slow", "concurrency": 32}')),
	$provider->url('/fault/delay?ms=200'));
sql(sprintf q(SELECT integ_endpoint_add('%s', '{rated.*}', '{"endpoint_id": "rated", "rate_limit": 1000}')),
	$provider->url('/echo/rated'));
publish('order.made', $count);
$node->wait_for_sql(q(SELECT count(DISTINCT lease) = 2 FROM integ.deliveries_open WHERE state = 'sending'),
	'both dispatchers to have deliveries under way');
cmp_ok(sql(q(SELECT count(*) FROM integ.deliveries_open WHERE state = 'sending')), '<=', 32,
	'no more than it takes at once');

# More have left by now than may in an hour, so no more leave, also of those that the other dispatcher had waiting.
sql(q(UPDATE integ.endpoints SET rate_limit = 10, rate_period = '1 hour' WHERE endpoint_id = 'slow'));
$node->wait_for_sql(q(SELECT count(*) = 0 FROM integ.deliveries_open WHERE state = 'sending'),
	'those under way to end');
my $left = sql('SELECT count(*) FROM integ.deliveries_open');
cmp_ok($left, '>', 0, 'deliveries wait for the rate');
publish('rated.once', 1);
$node->wait_for_sql(q(SELECT count(*) = 1 FROM integ.deliveries WHERE event_type = 'rated.once'
	AND state = 'delivered'),
	'a delivery to another endpoint');
is(sql('SELECT count(*) FROM integ.deliveries_open'), $left, 'none leaves before its time');

# With a rate that lets them, one dispatcher makes also what was shared out to the other.
sql(q(UPDATE integ.endpoints SET rate_limit = 100000 WHERE endpoint_id = 'slow'));
# Not only when everything is looked at anew, after a minute.
$node->wait_for_sql(q(SELECT count(*) > 0 FROM integ.deliveries_open WHERE state = 'sending'),
	'deliveries to leave again', undef, 45);
is(sql(q(SELECT count(DISTINCT lease) FROM integ.deliveries_open WHERE state = 'sending')), 1,
	'they are one dispatcher\'s');
$node->wait_for_sql('SELECT count(*) = 0 FROM integ.deliveries_open', 'all deliveries');
is(sql(q(SELECT count(*) FROM integ.deliveries WHERE state = 'delivered' AND event_type = 'order.made')), $count,
	'all are made');
is($provider->count('/fault/delay'), $count, 'each of them once');

sql(q(UPDATE integ.endpoints SET rate_limit = NULL, ordered = true WHERE endpoint_id = 'slow'));
my @seen = split /\n/, sql(<<'SQL');
BEGIN;
SELECT integ_publish('order.made', '{}', '{"key": "k"}');
SELECT integ_publish('rated.once', '{}');
SELECT count(*) || ' ' || count(share) FROM integ.deliveries_open WHERE created_at >= now();
COMMIT;
SQL
is($seen[-1], '2 0', 'what has a rate, or an order, to keep is one dispatcher\'s');

$node->stop;
done_testing();
