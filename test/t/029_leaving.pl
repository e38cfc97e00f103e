# Workers leave a database for a command that wants it to itself: also a dispatcher that waits for the keeper, which has
# left before it. They leave for DROP EXTENSION, too, whatever they hold a lock on.

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

# A user's function that has read our tables and never ends: what it holds, DROP EXTENSION needs.
$node->safe_psql('postgres', q(CREATE EXTENSION integ;
	CREATE SCHEMA code;
	CREATE FUNCTION code.linger(argument jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN PERFORM count(*) FROM integ.instances; PERFORM pg_sleep(3600); END $$;));
my $linger = q(INSERT INTO integ.handler_runs (kind, owner, function)
	VALUES ('test', current_user::regrole, 'code.linger'));
my $lingers = q(SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'integ handler' AND wait_event = 'PgSleep');
$node->safe_psql('postgres', $linger);
$node->wait_for_sql($lingers, 'the function waits');
$node->safe_psql('postgres', q(SET statement_timeout = '90 s'; BEGIN; DROP EXTENSION integ CASCADE; ROLLBACK));
$node->wait_for_sql(q(SELECT state = 'running' FROM integ_status() WHERE component = 'keeper'),
	'after a ROLLBACK the workers are back');
$node->wait_for_sql($lingers, 'the function waits again');
is(($node->sql_error(q(SET statement_timeout = '90 s'; DROP EXTENSION integ CASCADE)))[0], '00000',
	'DROP EXTENSION while a function has our tables');
$node->wait_for_sql(q(SELECT count(*) = 0 FROM pg_stat_activity
	WHERE backend_type ~ '^integ (keeper|handler|dispatcher)'), 'no worker stays');
$node->safe_psql('postgres', 'CREATE EXTENSION integ');
$node->wait_for_sql(q(SELECT state = 'running' FROM integ_status() WHERE component = 'keeper'), 'and all begins again');

done_testing();
