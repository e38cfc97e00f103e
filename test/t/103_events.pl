# integ's own events as endpoints get them: each has the form that
# docs/events.md gives it.

use strict;
use warnings;

use Integ::Cluster;
use Integ::Provider;
use Integ::Test qw(slurp source_file);
use Test::More;

my $token = 'token-9f2c61';
my $provider = Integ::Provider->start(token => $token);
my $node = Integ::Cluster->create('events', conf => ["integ.delivery_schedule = '100ms'"]);

# The schemas of the document, by kind.
my %schemas;
my $document = slurp(source_file('docs/events.md'));
while ($document =~ /```json schema=(\S+)\n(.*?)```/gs)
{
	my ($kinds, $schema) = ($1, $2);
	$schemas{$_} = $schema for split /,/, $kinds;
}
cmp_ok(scalar(keys %schemas), '>', 15, 'the document has schemas');

sub sql
{
	return $node->safe_psql('postgres', shift);
}

sql("SELECT integ_endpoint_add('" . $provider->url('/echo/own') . q[', '{integ.*}', '{"endpoint_id": "own"}')]);
for my $name (qw(good bad gone))
{
	my $path = { good => '/echo/good', bad => '/fault/status?code=500', gone => '/fault/status?code=410' }->{$name};
	sql("SELECT integ_endpoint_add('" . $provider->url($path) . qq[', '{$name.*}', '{"endpoint_id": "$name"}')]);
}

sql("SELECT integ_endpoint_add('"
	  . $provider->url('/echo/requests')
	  . q[', '{integ.api.request}', '{"endpoint_id": "requests"}')]);

sql(q(SELECT integ_define($$
{"integrationId": "shop", "name": "Shop", "version": "1.0.0", "category": "custom", "authType": "bearer",
 "baseUrl": "{config.base_url}",
 "auth": {"in": "header", "name": "Authorization", "value": "Bearer {credentials.token}"},
 "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
 "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
 "circuitBreaker": {"failureThreshold": 2, "resetTimeoutMs": 100},
 "methods": [
  {"id": "buy", "name": "Buy", "access": "write", "approvalRequired": true, "inputSchema": {"type": "object"},
   "outputSchema": {}, "request": {"method": "POST", "path": "/echo"}},
  {"id": "sell", "name": "Sell", "access": "write", "outputSchema": {},
   "inputSchema": {"type": "object", "properties": 
    {"name": {"type": "string"}, "fault": {"type": "string"}, "code": {"type": "integer"}}},
   "request": {"method": "POST", "path": "/echo/{name}",
    "query": {"_fault": "{fault}", "key": "{name}", "code": "{code}"}}},
  {"id": "look", "name": "Look", "access": "read", "outputSchema": {},
   "inputSchema": {"type": "object", "properties": 
    {"fault": {"type": "string"}, "key": {"type": "string"}, "times": {"type": "string"}, "code": {"type": "string"}}},
   "request": {"method": "GET", "path": "/fault/{fault}",
    "query": {"key": "{key}", "times": "{times}", "code": "{code}"}}},
  {"id": "limited", "name": "Limited", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
   "rateLimit": {"requestsPerHour": 5}, "request": {"method": "GET", "path": "/echo"}},
  {"id": "countries", "name": "Countries", "access": "read", "outputSchema": {},
   "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}},
   "request": {"method": "GET", "path": "/v1/countries", "query": {"q": "{q}", "limit": "100"}},
   "response": {"records": ".data"}}],
 "entities": [{"id": "Country", "list": "countries", "idField": "alpha_2"}]}
$$::jsonb)));
sub connect_shop
{
	my ($name, $secret) = @_;
	sql("SELECT integ_connect('shop', '$name', jsonb_build_object('base_url', '" . $provider->url . "'))");
	sql("SELECT integ_credential_set('$name', 'token', '$secret')");
	return;
}
connect_shop($_, $token) for qw(main flaky);
connect_shop('stale', 'wrong');

# --- connections, approvals, deliveries, webhooks ---

sql(q(SELECT integ_enqueue('main', 'buy') FROM generate_series(1, 2)));
sql(q(SELECT integ_approve(id) FROM (SELECT id FROM integ.approvals ORDER BY id LIMIT 1) a));
sql(q(SELECT integ_reject(id) FROM integ.approvals WHERE state = 'pending'));
sql(q(SELECT integ_publish(t, '{}') FROM unnest('{good.x,bad.x,gone.x}'::text[]) t));
sql(q(INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('in', 'shop')));
sql(q(SELECT integ_credential_set('webhook:' || id, 'secret', 'k') FROM integ.webhooks));
is( sql(
		q(SELECT status FROM integ_webhook_receive('shop/in',
		'{"Authorization": "Bearer k", "Content-Type": "application/json"}', '{"event": "paid", "data": {"id": 1}}'))),
	200, 'a webhook comes in');

# --- a breaker, limits, credentials that are refused ---

my $look = q(SELECT integ_execute('flaky', 'look', '{"fault": "once", "key": "f", "times": "2", "code": "503"}'));
$node->sql_error($look) for 1 .. 2;
$node->wait_for_sql(q(SELECT half_open_at < now() FROM integ.circuit_breakers WHERE instance_id = 'flaky'),
	'the breaker may be tried');
sql($look);
sql(q(SELECT integ_execute('main', 'limited'))) for 1 .. 5;
is(($node->sql_error(q(SELECT integ_execute('main', 'limited'))))[0], 'IG429', 'the limit is reached');
my $refused = sql(q(SELECT integ_enqueue('stale', 'countries')));
is(sql("SELECT integ_await('$refused', '30 s') ->> 'state'"), 'failed', 'a wrong token is refused');

# --- actions: of the caller's own session, many, durable; a rolled back one was carried out all the same ---

is( ($node->sql_error(
			q(DO $$ BEGIN PERFORM integ_execute('main', 'sell', '{"name": "undone"}'); RAISE EXCEPTION 'no'; END $$)))[0],
	'P0001', 'a transaction rolls back');
is( ($node->sql_error(q(SELECT integ_execute('main', 'sell', '{"name": "lost", "fault": "close"}'))))[0],
	'IG504', 'an answer is lost');
sql(q(SELECT count(*) FROM integ_execute_many('main', 'sell', ARRAY[jsonb '{"name": "a"}', '{"name": "b"}'])));
my $dead = sql(q(SELECT integ_enqueue('main', 'sell', '{"name": "no", "fault": "status", "code": 422}')));
is(sql("SELECT integ_await('$dead', '30 s') ->> 'state'"), 'failed', 'a durable call fails');

# --- a sync that succeeds, one that cannot, and what an endpoint is told that their tasks name ---

sql("SELECT integ_endpoint_add('" . $provider->url('/echo/syncs') . q[', '{shop.*}', '{"endpoint_id": "syncs"}')]);
sql(q(SELECT integ_sync_into('main', 'Country', 'public.countries', '{"start": false}')));
sql(q(UPDATE integ.sync_tasks SET notifications = '{"onSuccess": true, "endpoint": "syncs"}'));
sql(q(INSERT INTO integ.sync_tasks (task_id, notifications) VALUES
	('hopeless', '{"endpoint": "syncs", "recipients": ["ann"]}'), ('nobody', '{"endpoint": "nowhere"}'), ('plain', '{}')));
is( ($node->sql_error(q(UPDATE integ.sync_tasks SET notifications = '{"endpoint": 1}')))[0],
	'IG400', 'an endpoint is named by a text');
sql(q(UPDATE integ.sync_tasks SET next_run_at = now()));
$node->wait_for_sql(q(SELECT count(*) = 4 FROM integ.sync_executions_done), 'the syncs to end');
is( sql(q(SELECT string_agg(d.event_type || ' ' || (d.payload ->> 'task'), ', ' ORDER BY d.event_type)
	FROM integ.deliveries d JOIN integ.endpoints e ON e.id = d.endpoint WHERE e.endpoint_id = 'syncs')),
	'integ.sync.failed hopeless, integ.sync.succeeded main.Country',
	'the endpoint that was named is told, and nothing else');
is( sql(q(SELECT string_agg(coalesce(recipient, 'administrators') || ' ' || (text ~ 'plain')::text || ' '
	|| (hint ~ 'endpoint "nowhere"')::text, ', ' ORDER BY recipient, text)
	FROM integ.notifications WHERE kind ~ '^sync')),
	'ann false false, administrators false true, administrators true false',
	'people are told who were named too, administrators where there is no such endpoint, or none was named');
sql(q(SELECT integ_disconnect('main')));

my @wanted = qw(instance.connected instance.disconnected definition.defined approval.requested approval.approved
  approval.rejected webhook.received delivery.delivered delivery.failed delivery.dead endpoint.disabled
  breaker.opened breaker.half_opened breaker.closed rate_limit.approaching rate_limit.hit instance.reauth_required
  sync.started sync.finished sync.succeeded sync.failed action.executed api.request);
for my $kind (@wanted)
{
	$node->wait_for_sql(
		"SELECT count(*) > 0 FROM integ.deliveries WHERE event_type = 'integ.$kind' AND state = 'delivered'",
		"$kind to be delivered");
	ok($schemas{$kind}, "$kind is described");
}

# Whatever came besides is described too.
my $came = sql(q(SELECT DISTINCT substr(event_type, 7) FROM integ.deliveries WHERE event_type LIKE 'integ.%'));
for my $kind (split /\n/, $came)
{
	ok($schemas{$kind}, "$kind came and is described") or next;
	is( sql("SELECT count(*) FROM integ.deliveries d,"
			  . " integ.json_schema_problems(\$schema\$$schemas{$kind}\$schema\$, d.payload)"
			  . " WHERE d.event_type = 'integ.$kind'"),
		0, "$kind is as described");
}
is(sql(q(SELECT count(*) FROM integ.events WHERE kind ~ '^instance' AND kind <> 'instance.health'
	AND (payload ->> 'definition' <> 'shop') IS NOT FALSE)), 0, 'events of a connection name its definition in one way');
is(sql(q(SELECT count(*) FROM integ.deliveries WHERE payload ->> 'event_type' LIKE 'integ.delivery.%')),
	0, 'events about deliveries make no further ones');

# --- what is told of an action ---

sub actions
{
	my ($condition) = @_;
	return sql("SELECT string_agg(payload ->> 'state', ' ' ORDER BY payload ->> 'state') FROM integ.deliveries"
		  . " WHERE event_type = 'integ.action.executed' AND $condition");
}
$node->wait_for_sql(q(SELECT count(*) = 6 FROM integ.deliveries WHERE event_type = 'integ.action.executed'
	AND payload ->> 'method' IN ('sell', 'buy')), 'every write to be told of');
is(actions(q(payload ->> 'method' = 'sell')), 'failed succeeded succeeded succeeded unknown',
	'each once: rolled back, lost, two of many, and a durable one');
is(actions("payload ->> 'call' = '$dead' AND payload ->> 'sqlstate' = 'IG422'"), 'failed', 'by its call');
is(actions(q(payload ->> 'method' = 'buy')), 'succeeded', 'one that was approved, and none that was rejected');
is(actions(q(payload ->> 'method' = 'limited')), 'succeeded succeeded succeeded succeeded succeeded',
	'what did not leave is not told of');
is(actions(q(payload ->> 'instance_id' = 'main' AND payload ->> 'method' = 'countries')), '',
	'nor are the pages of a sync');

# --- what is told of requests: what the log has, to those who name it ---

$node->wait_for_sql(q(SELECT count(*) = (SELECT count(*) FROM integ.requests WHERE kind = 'request')
	FROM integ.deliveries d JOIN integ.endpoints e ON e.id = d.endpoint
	WHERE d.event_type = 'integ.api.request' AND e.endpoint_id = 'requests'), 'every exchange to be told of');
is(sql(q(SELECT count(*) FROM integ.requests r WHERE kind = 'request' AND NOT EXISTS (SELECT FROM integ.deliveries d
	WHERE d.event_type = 'integ.api.request' AND d.instance = r.instance AND d.event_client = r.client_id
	AND d.payload @> jsonb_build_object('call', r.call_id, 'method', r.method, 'path_template', r.path_template,
		'is_write', r.is_write, 'duration_us', r.duration_us, 'http_method', r.http_method)
	AND (d.payload ->> 'status')::integer IS NOT DISTINCT FROM r.status
	AND (d.payload ->> 'started_at')::timestamptz = r.created_at))), 0, 'with what the log has');
is(sql(q(SELECT count(*) FROM integ.deliveries d JOIN integ.endpoints e ON e.id = d.endpoint
	WHERE d.event_type = 'integ.api.request' AND e.endpoint_id <> 'requests')), 0, 'to nobody who did not name it');
is(sql("SELECT count(*) FROM integ.deliveries d WHERE d.payload::text ~ '$token|wrong'"), 0,
	'no secret is in any of them');

# Nobody wants it any more: nothing is made.
sql(q(DELETE FROM integ.endpoints WHERE endpoint_id = 'requests'));
my $known = sql(q(SELECT count(*) FROM integ.requests));
sql(q(SELECT integ_execute('flaky', 'limited')));
$node->wait_for_sql("SELECT count(*) > $known FROM integ.requests", 'a request to be logged');
is(sql(q(SELECT count(*) FROM integ.deliveries_open WHERE event_type = 'integ.api.request')), 0, 'and not told of');

$node->stop;
done_testing();
