# integ_execute_many and integ_fetch are ended from outside: what had left is known, what had not is known too.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(wait_until);
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('main', conf => ["integ.log_flush = '50ms'"]);

$node->safe_psql('postgres', sprintf <<'SQL', $provider->url(''));
SELECT integ_define($${
  "integrationId": "many", "name": "Many", "version": "1.0.0", "category": "custom", "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "put", "name": "Put", "access": "write", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/echo/put", "query": {"_fault": "delay", "ms": "{ms}"}}},
    {"id": "list", "name": "List", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/lists/stall"}, "response": {"records": ".data"},
     "pagination": {"style": "cursor", "param": "cursor", "next": ".next"}}]}$$::jsonb);
SELECT integ_connect('many', 'many_main', jsonb_build_object('base_url', '%s'));
SQL

# A session that runs the statement; its process id. What comes of it goes to /dev/null.
sub begin
{
	my ($statement) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	$session->query('SELECT 1');
	my $pid = $session->query('SELECT pg_backend_pid()');
	$session->query_until(qr/begun/, "\\echo begun\n$statement;\n");
	return ($session, $pid);
}

# The first of ten writes is answered at once: with it gone a second batch of five is on record, and one of it sent.
my $many = q(SELECT * FROM integ_execute_many('many_main', 'put', (SELECT array_agg(jsonb_build_object('ms', CASE i WHEN 1 THEN 0 ELSE 600000 END))
	FROM generate_series(1, 10) AS i), '{"concurrency": 5, "timeout": "1 hour"}'));
my $outcomes = q(SELECT string_agg(outcome || ' ' || n, ', ' ORDER BY outcome) FROM
	(SELECT outcome, count(*) AS n FROM integ.audit_log WHERE method = 'put' AND action = 'call.write' GROUP BY 1) AS o);

my ($session, $pid) = begin($many);
wait_until('six writes to arrive', sub { $provider->count('/echo/put') == 6 });
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$node->wait_for_sql(q(SELECT count(*) = 10 FROM integ.audit_log WHERE method = 'put' AND outcome IN ('succeeded', 'failed', 'unknown')),
	'every intent has its outcome');
is($node->safe_psql('postgres', $outcomes), 'failed 4, pending 10, succeeded 1, unknown 5',
	'a cancel: five may have been received, four were not sent');
$node->wait_for_sql(q(SELECT count(*) = 6 FROM integ.requests WHERE method = 'put'), 'what was sent is in the request log');
is($session->query('SELECT 42'), '42', 'the session goes on');

# The same, and the session is killed with everything it knew.
($session, $pid) = begin($many);
wait_until('six more to arrive', sub { $provider->count('/echo/put') == 12 });
kill 'KILL', $pid;
eval { $session->quit };
$node->wait_for_sql(q(SELECT count(*) = 20 FROM integ.audit_log WHERE method = 'put' AND outcome IN ('succeeded', 'failed', 'unknown')),
	'every intent has its outcome after a crash');
like($node->safe_psql('postgres', $outcomes), qr/^failed 4, pending 20, succeeded 2, unknown 14$/,
	'a crash: all that was on record and not answered may have been received');

# A page that does not come can be cancelled.
($session, $pid) = begin(q(SELECT count(*) FROM integ_fetch('many_main', 'list', '{}', '{"timeout": "1 hour"}')));
wait_until('the second page to be asked for', sub { $provider->count('/lists/stall') == 2 });
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
is($session->query('SELECT 42'), '42', 'and the session goes on');

done_testing();
