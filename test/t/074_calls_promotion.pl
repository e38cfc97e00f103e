# A standby that is promoted, and a copy that is resumed, go on with the calls that are open: what the server
# before may have sent, and the service would not know again, becomes unknown and is not sent.

use strict;
use warnings;

use Integ::Calls;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(wait_until);
use Test::More;

my $provider = Integ::Provider->start;
my $primary = Integ::Cluster->create('primary',
	init => [ allows_streaming => 1 ],
	conf => [ 'integ.retry_delay = 20ms', 'integ.request_timeout = 10min' ]);
Integ::Calls::connect($primary, 'postgres', main => $provider->url, side => $provider->url, keys => $provider->url);
$primary->backup('base');
my $standby = Integ::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub enqueue
{
	my ($instance, $method, $input, $options) = @_;
	return $primary->safe_psql('postgres',
		sprintf q(SELECT integ_enqueue('%s', '%s', '%s', %s)), $instance, $method, $input, $options // q('{}'));
}

# Its first request is not answered as long as the server lives.
sub hanging { return qq({"a": "echo", "b": "$_[0]", "fault": "hangonce", "key": "$_[0]"}) }

sub outcome
{
	my ($node, $id, $db) = @_;
	return $node->safe_psql($db // 'postgres',
		"SELECT concat_ws(' ', state, last_sqlstate) FROM integ.calls WHERE id = '$id'");
}

# Under way at the moment of the failure: four of each, which is as many as run at once; the others wait behind them.
my %under_way = (
	write => [ map { enqueue('main', 'write', hanging("write$_")) } 1 .. 4 ],
	keyed => [ map { enqueue('keys', 'keyed', hanging("keyed$_")) } 1 .. 4 ],
	read => [ map { enqueue('side', 'read', hanging("read$_")) } 1 .. 4 ]);
wait_until('the requests',
	sub { $provider->count("/echo/write4") && $provider->count("/echo/keyed4") && $provider->count("/echo/read4") });
my $queued = enqueue('main', 'write', '{"a": "echo", "b": "queued"}');
my $queued_read = enqueue('side', 'read', '{"a": "echo", "b": "queued_read"}');
my $later = enqueue('main', 'write', '{"a": "echo", "b": "later"}',
	q(jsonb_build_object('run_at', now() + interval '1 day')));
$primary->safe_psql('postgres', 'CHECKPOINT');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

# What a dump of this moment knows, for a copy.
my $dump = $primary->basedir . '/dump.sql';
$primary->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump while calls are under way');

$primary->stop('immediate');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM integ.calls_open'), 15,
	'the standby has them, and does nothing');
$standby->promote;
$standby->wait_for_sql(q(SELECT count(*) = 1 FROM integ.calls_open), 'every call but the one of tomorrow to end');
is(outcome($standby, $_), 'unknown IG504', 'a write that was under way is unknown') for @{ $under_way{write} };
is(outcome($standby, $queued), 'unknown IG504', 'so is one that waited: the primary may have sent it');
like($standby->safe_psql('postgres', "SELECT error_detail || error_hint FROM integ.calls WHERE id = '$queued'"),
	qr/may have sent.*integ_call_retry/, 'and says what to do');
is(outcome($standby, $_), 'succeeded', 'a write with a key is made') for @{ $under_way{keyed} };
is(outcome($standby, $_), 'succeeded', 'a read is made') for @{ $under_way{read} }, $queued_read;
is(outcome($standby, $later), 'queued', 'a call of tomorrow waits for tomorrow');
is($provider->count("/echo/write$_"), 1, "write $_ was sent once") for 1 .. 4;
is($provider->count('/echo/queued'), 0, 'the unknown one never left');
my %keys = map { $_->{headers}{'idempotency-key'} => 1 } $provider->log('/echo/keyed1');
is(scalar(keys %keys), 1, 'the repeated write had the same key');
is($standby->safe_psql('postgres', q(SELECT count(*) FROM integ_calls_retry(
		'{"instance": "main", "state": "unknown", "confirm": true, "method": "write"}'))), 5,
	'a person may repeat them');
$standby->wait_for_sql(q(SELECT count(*) = 1 FROM integ.calls_open), 'the repeated calls to end');
is($provider->count('/echo/queued'), 1, 'which sends them');
$standby->restart;
my $after = $standby->safe_psql('postgres', q(SELECT integ_enqueue('main', 'write', '{"a": "echo", "b": "after"}')));
$standby->wait_for_sql("SELECT state = 'succeeded' FROM integ.calls WHERE id = '$after'",
	'a write after a restart: the promotion is over');

# A copy is held; once it is resumed, the same holds for what is open in it.
my %sent = %{ $provider->count };
$standby->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE template0');
$standby->safe_psql('copy', "\\i $dump");
is($standby->safe_psql('copy', q(SELECT count(*) FROM integ.identity WHERE system_identifier = '')), 1,
	'a copy is marked by its first rows, before the row that says whose they are has come');
$standby->wait_for_sql(q(SELECT state = 'yes' FROM integ_status() WHERE component = 'held'),
	'the copy to be held', 'copy');
is($standby->safe_psql('copy', 'SELECT count(*) FROM integ.calls'), 15, 'a copy has the calls that were open');
my $held = $standby->safe_psql('copy', q(SELECT integ_enqueue('side', 'read', '{"a": "echo", "b": "held"}')));
my ($state) = $standby->sql_error("SELECT integ_await('$held', '1 s')", dbname => 'copy');
is($state, 'IG504', 'nothing of it is made');
is_deeply({ %{ $provider->count } }, \%sent, 'and nothing sent, while it is held');
$standby->safe_psql('copy', 'SELECT integ_resume()');
$standby->wait_for_sql(q(SELECT count(*) = 1 FROM integ.calls_open), 'the calls of the copy to end', 'copy');
is($standby->safe_psql('copy', q(SELECT count(*) FROM integ.calls WHERE state = 'unknown')), 5,
	'writes are unknown there too');
is($standby->safe_psql('copy', q(SELECT count(*) FROM integ.calls WHERE state = 'succeeded')), 10,
	'reads, and writes with a key, are made');
is($provider->count("/echo/write1"), $sent{'/echo/write1'}, 'and no write without one is sent by it');

$standby->stop;
done_testing();
