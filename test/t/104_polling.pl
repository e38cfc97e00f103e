# Polls that are killed in the middle: each record becomes one event.

use strict;
use warnings;

use HTTP::Tiny;
use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(rounds seed wait_until);
use JSON::PP;
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(sleep);

seed();
my $json = JSON::PP->new->canonical->utf8;
my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('polling', conf => [ 'integ.retry_delay = 20ms' ]);
my $http = HTTP::Tiny->new(timeout => 60);

$node->safe_psql('postgres', sprintf q(SELECT integ_define('%s'::jsonb)), $json->encode({
	integrationId => 'feed', name => 'Feed', version => '1.0.0', authType => 'none', baseUrl => $provider->url,
	methods => [ {
		id => 'list', name => 'List', outputSchema => {},
		inputSchema => { type => 'object', properties => { since => { type => 'string' } } },
		request => {
			method => 'GET', path => '/feed/killed',
			query => { since => '{since}', size => '20', order => 'reverse', repeat => '1', _fault => 'delay', ms => '10' } },
		response => { records => '.items' }, pagination => { style => 'page', param => 'page', more => '.more' } } ],
	triggers => [ {
		id => 'made', name => 'm', type => 'updated',
		poll => {
			method => 'list', intervalSeconds => 1, idField => 'id', modifiedField => 'changed',
			modifiedParam => 'since' } } ] }));
$node->safe_psql('postgres', q(
SELECT integ_connect('feed', 'feed_main');
CREATE TABLE seen (id text PRIMARY KEY);
CREATE FUNCTION take(event jsonb) RETURNS void LANGUAGE sql AS
    'INSERT INTO public.seen VALUES (event ->> ''id'') ON CONFLICT DO NOTHING';
SELECT integ_webhook_register('feed_main', 'made', '{"start": "beginning", "handler": "public.take"}')));

sub dispatcher_pid
{
	my ($status, $pid) =
	  $node->psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'));
	return $status == 0 && $pid ? $pid : 0;
}

my ($rounds, $last) = (rounds(4, 60), 0);

for my $round (1 .. $rounds)
{
	my $pid = wait_until('a dispatcher', \&dispatcher_pid);
	my $now = strftime('%Y-%m-%dT%H:%M:%SZ', gmtime);
	my @records = map { { id => $_, changed => $now } } $last + 1 .. $last + 200;

	# As services have them: in no order.
	$http->request('POST', $provider->url('/feed/killed'),
		{ content => $json->encode([ sort { rand() <=> 0.5 } @records ]) });
	$last += 200;
	sleep(0.3 + rand 1);
	if ($round % 2)
	{
		kill 'KILL', $pid;
		wait_until('the restart after the crash', sub { my $now = dispatcher_pid(); $now && $now != $pid });
	}
	else { $node->stop('immediate'); $node->start; }
}
$node->wait_for_sql("SELECT count(*) >= $last FROM integ.webhook_events", 'all records to be events');
$node->wait_for_sql("SELECT failures = 0 FROM integ.polls", "a poll that succeeds");
my $polls = $node->safe_psql('postgres', 'SELECT polls FROM integ.polls');
$node->wait_for_sql("SELECT polls > $polls + 1 FROM integ.polls", 'two more polls');
is($node->safe_psql('postgres',
		q(SELECT count(*) || ' ' || count(DISTINCT payload ->> 'id') FROM integ.webhook_events)),
	"$last $last", "after $rounds crashes each record is one event");
$node->wait_for_sql("SELECT count(*) = $last FROM seen", 'all to be handled');
is($node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls_open WHERE purpose = 'poll')),
	1, 'and one call polls');
done_testing();
