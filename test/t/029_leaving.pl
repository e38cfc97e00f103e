# Workers leave a database for a command that wants it to itself: also a dispatcher that waits for the keeper, which has
# left before it.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(wait_until);
use Test::More;
use Time::HiRes qw(sleep);

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('leaving', extension => 0);

$node->safe_psql('postgres', 'CREATE DATABASE doomed');
$node->safe_psql('doomed', q(CREATE EXTENSION integ;
	SELECT integ_define('{"integrationId": "two", "name": "Two", "version": "1.0.0", "baseUrl": "{config.base_url}",
	  "authType": "none", "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
	  "methods": [{"id": "both", "name": "Both", "access": "read", "inputSchema": {}, "outputSchema": {}, "steps": [
	    {"id": "first", "request": {"method": "GET", "path": "/fault/delay", "query": {"ms": 1500}}},
	    {"id": "second", "request": {"method": "GET", "path": "/echo"}}]}]}');
	) . sprintf(q(SELECT integ_connect('two', 'main', '{"base_url": "%s"}')), $provider->url));
$node->wait_for_sql(q(SELECT state LIKE '1 of%' FROM integ_status() WHERE component = 'dispatchers'),
	'the dispatcher runs', 'doomed');

# The keeper ends while the first request is under way, and cannot connect again; the second waits for it.
$node->safe_psql('doomed', q(SELECT integ_enqueue('main', 'both')));
wait_until('the first request', sub { $provider->count('/fault/delay') == 1 });
$node->safe_psql('postgres', q(ALTER DATABASE doomed ALLOW_CONNECTIONS false;
	SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity
	WHERE backend_type = 'integ keeper' AND datname = 'doomed'));
sleep 3;
my ($state, $report) = $node->sql_error('DROP DATABASE doomed');
is($state, '00000', 'DROP DATABASE while a dispatcher waits for the keeper') or diag($report);
is($provider->count('/echo'), 0, 'without a keeper nothing was sent');

done_testing();
