# A dump of a database that publishes, restored as another one: endpoints, secrets, what was on its way and published
# tables are there; nothing leaves until somebody says so, and then each delivery goes out under the id it had.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use PostgreSQL::Test::Utils;
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('publisher');
my $dump = $node->basedir . '/dump.sql';

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub copy { return $node->safe_psql('copy', $_[0]) }

my $state = q(SELECT endpoint_id, url, event_types, status, secrets FROM integ.endpoints ORDER BY endpoint_id);
my $open = q(SELECT event_type, message, payload FROM integ.deliveries_open ORDER BY id);

sql("SELECT integ_endpoint_add('" . $provider->url('/echo/copy') . q[', '{orders.*,late}', '{"endpoint_id": "copy"}')]);
sql(q(UPDATE integ.endpoints SET status = 'paused'));
sql(q(CREATE TABLE orders (id integer PRIMARY KEY, total numeric)));
sql(q(SELECT integ_publish_changes('orders')));
sql(q(INSERT INTO orders VALUES (1, 10)));
my $late = sql(q(SELECT integ_publish('late', '{"n": 1}')));
my ($endpoints, $deliveries) = (sql($state), sql($open));
is(scalar(split /\n/, $deliveries), 2, 'two deliveries wait');

$node->run_log([ 'pg_dump', '--dbname' => $node->connstr('postgres'), '--file' => $dump ]);
sql('CREATE DATABASE copy TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('copy'), '-f', $dump ],
	'the restore succeeds');

is(copy($state), $endpoints, 'endpoints are as they were');
is(copy($open), $deliveries, 'so are deliveries');
is(copy(q(SELECT count(*) FROM integ.deliveries_done)), 0, 'none has left: the copy is held');
is(copy(q(SELECT state FROM integ_status() WHERE component = 'held' AND database = 'copy')), 'yes', 'and says so');
copy(q(UPDATE integ.endpoints SET status = 'active'));
is(copy(q(SELECT count(*) FROM integ.deliveries_done)), 0, 'also where its endpoint is active');

copy('SELECT integ_resume()');
ok( $node->poll_query_until('copy', q(SELECT count(*) = 2 FROM integ.deliveries WHERE state = 'delivered')),
	'resumed, both are delivered');
is(copy("SELECT count(*) FROM integ.deliveries WHERE message = '$late' AND event_type = 'late'"), 1, 'under their ids');
copy(q(INSERT INTO orders VALUES (2, 20)));
ok( $node->poll_query_until('copy', q(SELECT count(*) = 2 FROM integ.deliveries
	WHERE state = 'delivered' AND event_type LIKE 'orders.%')), 'the copied table goes on publishing');
is(sql($open), $deliveries, 'what the first database had to send is still its own');

$provider->stop;
$node->stop;
done_testing();
