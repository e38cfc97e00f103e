# Kills while calls of several requests are under way: a job that was submitted is
# asked for, never submitted again; what a write did is not done twice.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp wait_until);
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('steps', conf => [ 'integ.retry_delay = 20ms' ]);

$node->safe_psql('postgres', <<'SQL');
SELECT integ_define($$
{
  "integrationId": "steps", "name": "Steps", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "job", "name": "Job", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"}, "polls": {"type": "integer"}}},
     "job": {"submit": {"request": {"method": "POST", "path": "/jobs", "query": {"key": "{key}"}, "body": {"key": "{key}", "polls": "{polls}"}}},
             "id": ".job.id",
             "poll": {"request": {"method": "GET", "path": "/jobs/{job.id}"}, "intervalMs": 50, "done": "$.job ? (@.state == \"JobComplete\")"},
             "download": {"request": {"method": "GET", "path": "/jobs/{job.id}/results"}}}},
    {"id": "write", "name": "Write", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"}, "fault": {"type": "string"}}},
     "steps": [{"id": "a", "request": {"method": "POST", "path": "/echo/a/{key}"}, "response": {"map": {"path": ".path"}}},
               {"id": "b", "request": {"method": "POST", "path": "/echo/b/{key}", "query": {"_fault": "{fault}", "ms": 600000, "code": 429, "retry_after": 3600}}}]},
    {"id": "gated", "name": "Gated write", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"}}},
     "steps": [{"id": "a", "request": {"method": "POST", "path": "/gate/{key}"}},
               {"id": "b", "request": {"method": "POST", "path": "/echo/b/{key}"}},
               {"id": "c", "request": {"method": "POST", "path": "/echo/c/{key}"}}]},
    {"id": "keyed", "name": "Keyed write", "access": "write", "outputSchema": {}, "idempotency": {"header": "Idempotency-Key"},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"}, "fault": {"type": "string"}}},
     "steps": [{"id": "a", "request": {"method": "POST", "path": "/echo/a/{key}"}, "response": {"map": {"path": ".path"}}},
               {"id": "b", "request": {"method": "POST", "path": "/echo/b/{key}", "query": {"_fault": "{fault}", "ms": 600000}}}]},
    {"id": "read", "name": "Read", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"}, "fault": {"type": "string"}}},
     "steps": [{"id": "a", "request": {"method": "GET", "path": "/echo/a/{key}"}, "response": {"map": {"path": ".path"}}},
               {"id": "b", "request": {"method": "POST", "path": "/echo/b/{key}", "query": {"_fault": "{fault}", "ms": 600000}, "body": "{steps.a}"}}]}
  ]
}
$$::jsonb)
SQL
$node->safe_psql('postgres', sprintf(q(SELECT integ_connect('steps', 'main', '{"base_url": "%s"}')), $provider->url));

sub enqueue
{
	my ($method, %input) = @_;
	my $json = join ', ', map { sprintf '"%s": "%s"', $_, $input{$_} } grep { $_ ne 'polls' } sort keys %input;
	$json .= qq(, "polls": $input{polls}) if exists $input{polls};
	return $node->safe_psql('postgres', qq(SELECT integ_enqueue('main', '$method', '{$json}', '{"timeout": "10 minutes"}')));
}

sub dispatcher_pid
{
	my ($status, $pid) = $node->psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'));
	return $status == 0 && $pid ? $pid : 0;
}

sub replace_dispatcher
{
	my ($signal) = @_;
	my $pid = wait_until('a dispatcher', \&dispatcher_pid);
	kill $signal, $pid;
	wait_until('another dispatcher', sub { my $now = dispatcher_pid(); $now && $now != $pid });
}

# The state of an ended call, and how often paths were asked for.
sub ended { my ($id) = @_; $node->wait_for_sql("SELECT count(*) = 1 FROM integ.calls_done WHERE id = '$id'", 'the call to end');
	return $node->safe_psql('postgres', "SELECT state FROM integ.calls_done WHERE id = '$id'"); }
sub arrived { my ($path) = @_; return wait_until("a request of $path", sub { $provider->count($path) }); }

# A job outlives its dispatcher, several times.
my $job = enqueue('job', key => 'j1', polls => 40);
$node->wait_for_sql("SELECT progress #>> '{earlier,job,id}' = 'j1' FROM integ.calls_open WHERE id = '$job'", 'the id of the job in its row');
for my $signal ('KILL', 'TERM', 'KILL')
{
	my $before = $provider->count('/jobs/j1');
	wait_until('another poll', sub { $provider->count('/jobs/j1') > $before });
	replace_dispatcher($signal);
}
is(ended($job), 'succeeded', 'a job goes on after its dispatcher was killed');
is($provider->count('/jobs'), 1, 'it was submitted once');
is($provider->count('/jobs/j1/results'), 1, 'and downloaded once');
is($node->safe_psql('postgres', "SELECT attempt - interrupted FROM integ.calls_done WHERE id = '$job'"), 1, 'polls are no attempts');

# The postmaster is killed while a job waits for its next poll.
$job = enqueue('job', key => 'j2', polls => 5);
arrived('/jobs/j2');
my $postmaster = (split /\n/, slurp($node->data_dir . '/postmaster.pid'))[0];
my $worker = dispatcher_pid();
$node->kill9;
wait_until('the processes to end', sub { !kill(0, $postmaster) && !kill(0, $worker) });
$node->start;
is(ended($job), 'succeeded', 'a job goes on after a crash of the server');
is(scalar(grep { $_->{path} eq '/jobs' && $_->{args}{key} eq 'j2' } $provider->log), 1, 'it was submitted once');

# Killed in the second of two writes: its outcome is not known, and neither is repeated.
my $write = enqueue('write', key => 'w1', fault => 'delay');
arrived('/echo/b/w1');
replace_dispatcher('KILL');
is(ended($write), 'unknown', 'a write that was cut off between its answers is unknown');
is_deeply([ map { $provider->count("/echo/$_/w1") } 'a', 'b' ], [ 1, 1 ], 'none of its requests is repeated');

# Killed while it waits for a rate limit between two writes: it goes on with the second.
$write = enqueue('write', key => 'w2', fault => 'status');
$node->wait_for_sql("SELECT progress ->> 'next' = 'b' FROM integ.calls_open WHERE id = '$write' AND state = 'waiting'", 'the rate limit');
replace_dispatcher('KILL');
$node->safe_psql('postgres', "UPDATE integ.calls_open SET input = input - 'fault', next_attempt_at = now() WHERE id = '$write'");
is(ended($write), 'succeeded', 'a write that waited between two requests goes on');
is($provider->count('/echo/a/w2'), 1, 'what it had done is not done again');

# What may be repeated begins anew.
for my $method ('keyed', 'read')
{
	my $call = enqueue($method, key => $method, fault => 'delay');
	arrived("/echo/b/$method");
	$node->safe_psql('postgres', "UPDATE integ.calls_open SET input = input - 'fault' WHERE id = '$call'");
	replace_dispatcher('KILL');
	is(ended($call), 'succeeded', "$method: begins anew");
	is($provider->count("/echo/a/$method"), 2, "$method: from its first step");
}
my @keys = map { $_->{headers}{'idempotency-key'} } grep { $_->{path} =~ m{/echo/[ab]/keyed} } $provider->log;
is(scalar @keys, 4, 'four writes with a key');
is_deeply([ @keys[ 0, 1 ] ], [ @keys[ 2, 3 ] ], 'the same keys the second time');
isnt($keys[0], $keys[1], 'another key for each step');

# Cancelled while the first of two requests is under way: the second does not leave.
my $gated = enqueue('gated', key => 'g1');
arrived('/gate/g1');
is($node->safe_psql('postgres', "SELECT integ_call_cancel('$gated')"), 'running', 'it runs');
$provider->request('GET', '/open/g1');
is(ended($gated), 'cancelled', 'a call can be cancelled between two of its requests');
is($provider->count('/echo/b/g1'), 0, 'the second one does not leave');
like($node->safe_psql('postgres', "SELECT error_detail FROM integ.calls_done WHERE id = '$gated'"),
	qr/^Before it: a gave HTTP 200\. Not begun: c\.$/, 'and it says what was done');

# A shutdown between two writes: the first is not done again.
$gated = enqueue('gated', key => 'g2');
arrived('/gate/g2');
my $stopped = dispatcher_pid();
kill 'TERM', $stopped;
$provider->request('GET', '/open/g2');
like(ended($gated), qr/^(succeeded|unknown)$/, 'a shutdown while a write is under way');
is($provider->count('/gate/g2'), 1, 'it is not repeated');

$node->stop;
done_testing();
