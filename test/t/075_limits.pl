# Limits: never more requests than allowed, as the service counts them, whoever sends and
# whatever crashes; circuit breakers open, probe and close.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(wait_until free_port);
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('limits', conf => [ 'integ.dispatchers = 2', 'integ.retry_delay = 20ms', 'integ.max_retry_delay = 100ms' ]);
my $closed = free_port();

# A definition with these members, and instances of it connected to a URL.
sub connect_all
{
	my ($id, $members, $url, @handles) = @_;
	$node->safe_psql('postgres', <<"SQL");
SELECT integ_define('{
  "integrationId": "$id", "name": "$id", "version": "1.0.0", "category": "custom", "authType": "none",
  "baseUrl": "{config.base_url}", $members,
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "read", "name": "Read", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/{a}/{b}", "query": {"ms": "{ms}", "h_retry-after-ms": "{wait}", "code": "{code}",
       "h_x-quota-left": "{left}", "h_x-quota-end": "{end}", "body": "{body}"}}},
    {"id": "other", "name": "Other", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/echo/other"}}
  ]}'::jsonb)
SQL
	$node->safe_psql('postgres', "SELECT integ_connect('$id', '$_', '{\"base_url\": \"$url\"}')") for @handles;
	return;
}

# Requests at the path, as the service saw them: the fewest seconds in which it got more than the limit.
sub shortest_stretch
{
	my ($path, $limit) = @_;
	my @at = sort { $a <=> $b } map { $_->{at} } $provider->log($path);
	my $shortest = 1e9;

	for my $i (0 .. $#at - $limit)
	{
		my $stretch = $at[ $i + $limit ] - $at[$i];
		$shortest = $stretch if $stretch < $shortest;
	}
	return $shortest;
}

sub wait_for_calls
{
	return $node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', $_[0]);
}

sub slow_query
{
	my ($session, $sql) = @_;
	$session->query_until(qr/begun/, "\\echo begun\n$sql;\n");
	return;
}

# Four instances that share one limit, four sessions and two dispatchers.
my ($limit, $seconds) = (40, 4);
connect_all('shared', qq("rateLimit": {"windows": [{"limit": $limit, "perMs": ${seconds}000, "scope": "definition"}]}),
	$provider->url, map { "shared_$_" } 0 .. 3);
PostgreSQL::Test::Utils::append_to_file($node->basedir . '/shared.sql', <<'SQL');
\set instance random(0, 3)
SELECT integ_execute('shared_' || :instance, 'read', '{"a": "echo", "b": "shared"}', '{"max_wait": "30 seconds"}');
SQL
$node->safe_psql('postgres', <<'SQL');
SELECT count(integ_enqueue('shared_' || g % 4, 'read', '{"a": "echo", "b": "shared"}')) FROM generate_series(1, 90) g;
SQL
$node->command_ok([ 'pgbench', '-n', '-c', '4', '-j', '4', '-t', '15', '-f', $node->basedir . '/shared.sql', 'postgres' ],
	'four sessions wait for their slots');
wait_for_calls('the calls of two dispatchers');
is($provider->count('/echo/shared'), 150, 'every request was sent once');
cmp_ok(shortest_stretch('/echo/shared', $limit), '>=', $seconds, 'never more than the limit in any window');
is($node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls_done WHERE state = 'succeeded' AND attempt = 1)), 90,
	'waiting for a slot is no attempt');
$node->wait_for_sql(q(SELECT count(*) >= 2 FROM integ.events WHERE kind LIKE 'rate_limit.%'), 'the events');
is( $node->safe_psql('postgres', q(SELECT string_agg(kind, ' ' ORDER BY id) FROM integ.events WHERE kind LIKE 'rate_limit.%')),
	'rate_limit.approaching rate_limit.hit', 'one event at 80 %, and one at the limit');

# The server dies while calls are under way, again and again; and is stopped orderly.
$provider->forget;
$node->safe_psql('postgres', <<'SQL');
SELECT count(integ_enqueue('shared_' || g % 4, 'read', '{"a": "echo", "b": "crash"}')) FROM generate_series(1, 130) g;
SQL
for my $how (qw(kill stop kill))
{
	my $before = $provider->count('/echo/crash');
	wait_until('some more requests', sub { $provider->count('/echo/crash') >= $before + 10 });
	if ($how eq 'kill')
	{
		my @pids = split /\n/, $node->safe_psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()));
		my $postmaster = $node->{_pid};
		$node->kill9;
		# Its children leave shared memory a moment later.
		wait_until('the processes to end', sub { !grep { kill(0, $_) } $postmaster, @pids });
	}
	else
	{
		$node->stop('fast');
	}
	$node->start;
}
wait_for_calls('the calls to end after three restarts');
cmp_ok($provider->count('/echo/crash'), '>=', 130, 'all were sent');
cmp_ok(shortest_stretch('/echo/crash', $limit), '>=', $seconds, 'never more than the limit over crashes and a restart');

# The order in which calls wait is that in which they came.
connect_all('order', '"rateLimit": {"windows": [{"limit": 3, "perMs": 300}]}', $provider->url, 'order_a');
$node->safe_psql('postgres', <<'SQL');
SELECT count(integ_enqueue('order_a', 'read', jsonb_build_object('a', 'echo', 'b', 'order', 'ms', g))) FROM generate_series(1, 40) g;
SQL
wait_for_calls('the calls in their order');
my @order = map { $_->{args}{ms} } $provider->log('/echo/order');
is(scalar(@order), 40, 'all of them were sent');
my $overtaken = 0;
for my $i (0 .. $#order)
{
	$overtaken++ if grep { $order[$_] > $order[$i] + 15 } 0 .. $i - 1;
}
is($overtaken, 0, 'none by much later ones') or diag("@order");

# At most three at the same time, of sessions and dispatcher together.
connect_all('narrow', '"rateLimit": {"concurrent": 3}', $provider->url, 'narrow_a');
$provider->forget;
PostgreSQL::Test::Utils::append_to_file($node->basedir . '/narrow.sql',
	q(SELECT integ_execute('narrow_a', 'read', '{"a": "fault", "b": "delay", "ms": 30}', '{"max_wait": "30 seconds"}');));
$node->safe_psql('postgres', q(SELECT count(integ_enqueue('narrow_a', 'read', '{"a": "fault", "b": "delay", "ms": 30}')) FROM generate_series(1, 30)));
$node->command_ok([ 'pgbench', '-n', '-c', '6', '-j', '6', '-t', '8', '-f', $node->basedir . '/narrow.sql', 'postgres' ],
	'six sessions take turns');
wait_for_calls('the narrow calls');
is($provider->count('/fault/delay'), 78, 'all were sent');
cmp_ok($provider->request('GET', '/peak'), '<=', 3, 'never more than three at the same time');

# At most so many at the same time at one host, of all its instances together; another host is not delayed.
my $busy = Integ::Provider->start;
connect_all('hosted', '"description": "without limits"', $busy->url, map { "hosted_$_" } 0 .. 11);
$node->safe_psql('postgres', sprintf q(SELECT integ_connect('hosted', 'elsewhere', '{"base_url": "%s"}')), $provider->url);
$node->append_conf('postgresql.conf', 'integ.host_concurrency = 4');
$node->restart;
$node->wait_for_sql(q(SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'integ dispatcher'));
PostgreSQL::Test::Utils::append_to_file($node->basedir . '/hosted.sql', <<'SQL');
\set instance random(0, 11)
SELECT integ_execute('hosted_' || :instance, 'read', '{"a": "fault", "b": "delay", "ms": 30}', '{"max_wait": "30 seconds"}');
SQL
$node->safe_psql('postgres', <<'SQL');
SELECT count(integ_enqueue('hosted_' || g % 12, 'read', '{"a": "fault", "b": "delay", "ms": 30}')) FROM generate_series(1, 240) g;
SELECT count(integ_enqueue('elsewhere', 'read', '{"a": "echo", "b": "elsewhere"}')) FROM generate_series(1, 20) g;
SQL
$node->wait_for_sql(q(SELECT count(*) = 20 FROM integ.calls_done WHERE instance_id = 'elsewhere'), 'the calls to another host');
cmp_ok($node->safe_psql('postgres', q(SELECT count(*) FROM integ.calls_open WHERE instance_id LIKE 'hosted%')), '>', 0,
	'which do not wait for those that wait for this one');
$node->command_ok([ 'pgbench', '-n', '-c', '4', '-j', '4', '-t', '8', '-f', $node->basedir . '/hosted.sql', 'postgres' ],
	'four sessions take turns with two dispatchers');
wait_for_calls('the calls to one host');
is($busy->count('/fault/delay'), 272, 'all were sent');
cmp_ok($busy->request('GET', '/peak'), '<=', 4, 'never more than four at the same time');
is($node->safe_psql('postgres', q(SELECT DISTINCT "limit" FROM integ.rate_limits WHERE source = 'setting')), 4, 'integ.rate_limits shows it');
$node->append_conf('postgresql.conf', 'integ.host_concurrency = 0');
$node->reload;

# A session that ends, or is cancelled, takes no slot with it.
connect_all('single', '"rateLimit": {"concurrent": 1}', $provider->url, 'single_a');
for my $end (qw(pg_terminate_backend pg_cancel_backend))
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$provider->forget;
	slow_query($session, q(SELECT integ_execute('single_a', 'read', '{"a": "fault", "b": "delay", "ms": 20000}')));
	wait_until('its request', sub { $provider->count('/fault/delay') == 1 });
	my ($state) = $node->sql_error(q(SELECT integ_execute('single_a', 'other')));
	is($state, 'IG429', 'the only slot is taken');
	$node->safe_psql('postgres', "SELECT $end(pid) FROM pg_stat_activity WHERE query LIKE '%single_a%' AND pid <> pg_backend_pid()");
	is( $node->safe_psql('postgres', q(SELECT integ_execute('single_a', 'other', '{}', '{"max_wait": "20 seconds"}') ->> 'path')),
		'/echo/other', "and free after $end");
	$session->{run}->kill_kill if $session->{run};
}

# A request for a token to the same host counts too, and is not sent where there is no slot.
$node->safe_psql('postgres', sprintf <<'SQL', $provider->url, $provider->url);
SELECT integ_define('{
  "integrationId": "tokens", "name": "Tokens", "version": "1.0.0", "category": "custom", "baseUrl": "%s", "authType": "oauth2",
  "oauth2Config": {"grantType": "client_credentials", "tokenUrl": "%s/oauth/limited/token", "tokenEndpointAuthMethod": "none"},
  "rateLimit": {"requestsPerHour": 3},
  "methods": [{"id": "read", "name": "Read", "access": "read", "outputSchema": {}, "inputSchema": {},
               "request": {"method": "GET", "path": "/echo/tokens"}}]}'::jsonb);
SELECT integ_credential_set('definition:tokens', 'client_id', 'app');
SELECT integ_connect('tokens', 'tokens_a');
SQL
$node->safe_psql('postgres', q(SELECT integ_execute('tokens_a', 'read')));
is($node->safe_psql('postgres', q(SELECT used FROM integ.rate_limits WHERE instance_id = 'tokens_a')), 2, 'a call and the token before it are two requests');
$node->safe_psql('postgres', q(SELECT integ_oauth_refresh('tokens_a')));
my $asked = $provider->count('/oauth/limited/token');
my ($limited) = $node->sql_error(q(SELECT integ_oauth_refresh('tokens_a')));
is($limited, 'IG429', 'at the limit no token is asked for');
is($provider->count('/oauth/limited/token'), $asked, 'and nothing is sent');

# A wait for a slot ends with the statement.
connect_all('hourly', '"rateLimit": {"requestsPerHour": 1}', $provider->url, 'hourly_a');
connect_all('second', '"rateLimit": {"requestsPerSecond": 1}', $provider->url, 'second_a');
$node->safe_psql('postgres', q(SELECT integ_execute('hourly_a', 'other')));
connect_all('slow', '"rateLimit": {"concurrent": 1}', $provider->url, 'slow_a');
my $holder = $node->background_psql('postgres', on_error_stop => 0);
$provider->forget;
slow_query($holder, q(SELECT integ_execute('slow_a', 'read', '{"a": "fault", "b": "delay", "ms": 25000}')));
wait_until('its request', sub { $provider->count('/fault/delay') == 1 });
my ($state) = $node->sql_error(q(SET statement_timeout = '300ms'; SELECT integ_execute('slow_a', 'other', '{}', '{"max_wait": "20 seconds"}')));
is($state, '57014', 'a wait can be cancelled');
$node->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%slow_a%' AND pid <> pg_backend_pid()));
$holder->{run}->kill_kill if $holder->{run};
($state) = $node->sql_error(q(SELECT integ_execute('hourly_a', 'other', '{}', '{"max_wait": "25 seconds"}')));
is($state, 'IG429', 'nor does anybody wait in vain');
is( $node->safe_psql('postgres', q(SELECT count(integ_execute('second_a', 'other', '{}', '{"max_wait": "25 seconds"}')) FROM generate_series(1, 4))),
	4, 'and ends with the slot');

# What the service says: what is left, in headers of its own; and that it wants no more.
connect_all('taught', '"rateLimit": {"headers": {"remaining": "X-Quota-Left", "reset": "X-Quota-End", "resetUnit": "seconds"}}',
	$provider->url, 'taught_a', 'taught_b', 'taught_c');
my $say = sub { my ($handle, $input) = @_; return $node->sql_error(qq(SELECT integ_execute('$handle', 'read', '{"a": "fault", "b": "say", $input}'))) };
($state) = $say->('taught_a', '"left": 1, "end": 3600');
is($state, '00000', 'an answer that says that one is left');
($state) = $say->('taught_a', '"left": 0, "end": 3600');
is($state, '00000', 'that one');
($state) = $say->('taught_a', '"left": 0, "end": 3600');
is($state, 'IG429', 'none is left until the window ends');
($state) = $say->('taught_b', '"left": 5, "end": 3600');
is($state, '00000', 'another instance has a limit of its own');
my $report;
($state, $report) = $say->('taught_b', '"code": 429, "wait": 3600000');
is($state, 'IG429', 'the service wants no more');
($state) = $node->sql_error(q(SELECT integ_execute('taught_b', 'other')));
is($state, 'IG429', 'nobody sends before its time');
($state) = $say->('taught_c', '"code": 429, "wait": 400');
is($state, 'IG429', 'and no more for a moment');
is($node->safe_psql('postgres', q(SELECT integ_execute('taught_c', 'other', '{}', '{"max_wait": "20 seconds"}') ->> 'path')),
	'/echo/other', 'at its time everybody does');

# A service that is down: durable calls wait for the breaker, and go when it is back.
connect_all('fragile', '"circuitBreaker": {"failureThreshold": 2, "resetTimeoutMs": 300, "halfOpenMax": 1}',
	"http://127.0.0.1:$closed", 'fragile_a');
$node->safe_psql('postgres',
	q(SELECT count(integ_enqueue('fragile_a', 'read', '{"a": "echo", "b": "back"}', '{"max_attempts": 100}')) FROM generate_series(1, 12)));
$node->wait_for_sql(q(SELECT count(*) >= 4 FROM integ.events e WHERE kind = 'breaker.half_opened'), 'probes');
is($node->safe_psql('postgres', q(SELECT count(*) FROM integ.circuit_breakers WHERE instance_id = 'fragile_a' AND state <> 'closed')), 1,
	'the breaker is not closed');
# Those of the first batch, and one each time that it half-opened.
my $attempts = $node->safe_psql('postgres', q(SELECT sum(attempt) FROM integ.calls WHERE instance_id = 'fragile_a'));
$node->wait_for_sql("SELECT count(*) + 12 >= $attempts FROM integ.events WHERE kind = 'breaker.half_opened'", 'as many probes as there may be');
my $back = Integ::Provider->start(port => $closed);
wait_for_calls('the calls of the service that is back');
is($back->count('/echo/back'), 12, 'every call was done');
$node->wait_for_sql(q(SELECT count(*) > 0 FROM integ.events WHERE kind = 'breaker.closed'), 'the event that it closed');
is($node->safe_psql('postgres', q(SELECT state FROM integ.circuit_breakers WHERE instance_id = 'fragile_a')), 'closed', 'it is closed');

# Closed by hand while calls wait: they go at once.
connect_all('stubborn', '"circuitBreaker": {"failureThreshold": 1, "resetTimeoutMs": 3600000}', $provider->url, 'stubborn_a');
my $call = $node->safe_psql('postgres', q(SELECT integ_enqueue('stubborn_a', 'read', '{"a": "fault", "b": "status", "code": 503}', '{"max_attempts": 1}')));
$node->wait_for_sql("SELECT state = 'dead' FROM integ.calls WHERE id = '$call'", 'the call that opens it');
$call = $node->safe_psql('postgres', q(SELECT integ_enqueue('stubborn_a', 'other')));
$node->wait_for_sql("SELECT state = 'waiting' AND last_sqlstate = 'IG503' FROM integ.calls WHERE id = '$call'", 'a call to wait for the breaker');
is($node->safe_psql('postgres', "SELECT attempt FROM integ.calls WHERE id = '$call'"), 0, 'which was not begun');
is($node->safe_psql('postgres', q(SELECT integ_breaker_reset('stubborn_a'))), 't', 'a person closes it');
$node->wait_for_sql("SELECT state = 'succeeded' FROM integ.calls WHERE id = '$call'", 'the call to go at once');

# As many wait as may, all for a slot of the same key, and are cancelled: that of another key does not wait with them.
connect_all('keyed', '"rateLimit": {"windows": [{"limit": 1, "perMs": 86400000, "key": "{b}"}]}', $provider->url, 'keyed_a');
$node->safe_psql('postgres', <<'SQL');
SELECT count(integ_enqueue('keyed_a', 'read', '{"a": "echo", "b": "taken"}')) FROM generate_series(1, 200);
SQL
$node->wait_for_sql(q(SELECT count(*) >= 128 FROM integ.calls_open WHERE instance_id = 'keyed_a' AND state = 'waiting'), 'many wait');
$node->safe_psql('postgres', <<'SQL');
SELECT count(integ_call_cancel(id)) FROM integ.calls_open WHERE instance_id = 'keyed_a';
SELECT integ_enqueue('keyed_a', 'read', '{"a": "echo", "b": "free"}');
SQL
wait_until('the call of another key', sub { $provider->count('/echo/free') == 1 });

# No room for another limit: an error that says so, and nothing sent.
$node->append_conf('postgresql.conf', 'integ.max_rate_limits = 64');
$node->restart;
connect_all('many', '"rateLimit": {"windows": [{"limit": 5, "perMs": 3600000, "key": "{b}"}]}', $provider->url, 'many_a');
($state, $report) = $node->sql_error(q(SELECT integ_execute('many_a', 'read', jsonb_build_object('a', 'echo', 'b', 'k' || g)) FROM generate_series(1, 200) g));
is($state, 'IG500', 'shared memory is full');
like($report, qr/HINT: .*integ\.max_rate_limits/, 'and what to do');

unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/TRAP:|PANIC/, 'no process crashed');
$node->stop;
done_testing();
