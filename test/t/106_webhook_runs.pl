# What events lead to, where it goes wrong: handlers that raise or never end, and what leads to itself.
use strict;
use warnings;

use Integ::Cluster;
use Integ::Listener;
use Integ::Provider;
use Test::More;

my $provider = Integ::Provider->start;
my $node = Integ::Cluster->create('main',
	conf => [ "integ.retry_delay = '20ms'", "integ.max_retry_delay = '50ms'", 'integ.max_event_depth = 5' ]);
my $listener = Integ::Listener->start($node);

sub sql { return $node->safe_psql('postgres', $_[0]) }

my $url = $provider->url;
sql(qq(
SELECT integ_define(\$\$
{"integrationId": "shop", "name": "Shop", "version": "1.0.0", "authType": "none", "baseUrl": "$url",
 "methods": [{"id": "note", "name": "Note", "access": "write", "inputSchema": {"type": "object"}, "outputSchema": {},
   "request": {"method": "POST", "path": "/echo"}}],
 "triggers": [{"id": "paid", "name": "Paid", "type": "updated", "event": "paid",
   "payloadSchema": {"type": "object"}}],
 "webhook": {"event": ".type", "deliveryId": ".id"}}\$\$::jsonb);
SELECT integ_connect('shop', 'main');
));
sql(q(
CREATE FUNCTION act(event jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CASE event ->> 'event'
	WHEN 'raises' THEN RAISE 'this never works' USING DETAIL = 'not today';
	WHEN 'hangs' THEN PERFORM pg_sleep(3600);
	WHEN 'loops' THEN PERFORM integ_webhook_receive('shop/main', '{"Authorization": "Bearer k"}',
		convert_to(jsonb_build_object('type', 'loops', 'id', event ->> 'id')::text, 'UTF8'));
	ELSE
	END CASE;
END $$;
CREATE FUNCTION again(call jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM integ_webhook_receive('shop/main', '{"Authorization": "Bearer k"}',
		convert_to(jsonb_build_object('type', 'paid', 'id', call ->> 'call')::text, 'UTF8'));
END $$;
INSERT INTO integ.webhooks (webhook_id, definition, handler) VALUES ('main', 'shop', 'public.act');
SELECT integ_credential_set('webhook:' || id, 'secret', 'k') FROM integ.webhooks;
INSERT INTO integ.rules (rule_id, trigger_definition, trigger, instance, method, options)
VALUES ('echo', 'shop', 'paid', 'main', 'note', '{"on_success": "public.again"}');
));

# Of every run that has failed for the first time: how long after the failure it is due, in milliseconds.
sql(q(
CREATE TABLE retries (event uuid, delay_ms float8);
CREATE FUNCTION note_retry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO public.retries VALUES (NEW.event,
		extract(epoch FROM NEW.next_attempt_at - clock_timestamp()) * 1000);
	RETURN NULL;
END $$;
CREATE TRIGGER note_retry AFTER UPDATE ON integ.handler_runs FOR EACH ROW
	WHEN (NEW.state = 'waiting' AND OLD.state = 'running' AND NEW.attempt = 1) EXECUTE FUNCTION note_retry();
));

sub deliver
{
	my ($type) = @_;
	my $body = qq({"type": "$type", "id": "$type-1"});
	return $listener->post('/webhooks/shop/main', $body, authorization => 'Bearer k')->{status};
}

sub event
{
	my ($type, $condition) = @_;
	return $node->wait_for_sql("SELECT count(*) > 0 FROM integ.webhook_events WHERE event = '$type' AND $condition",
		"an event $type with $condition");
}

# --- a handler that raises ---

is(deliver('raises'), 200, 'an event whose handler raises');
ok(event('raises', "state = 'dead'"), 'is dead in the end');
is(sql(q(SELECT last_error FROM integ.webhook_events WHERE event = 'raises')), 'this never works', 'and says why');
is(sql(q(SELECT concat_ws(' ', attempt = max_attempts, last_sqlstate, error_detail)
	FROM integ.handler_runs WHERE state = 'dead')),
	't P0001 not today', 'after all its attempts');
is(sql(q(SELECT count(*) || ' ' || (max(delay_ms) <= 200) FROM retries)), '1 true',
	'the second of them was due within 200 ms of the first')
  or diag(sql('SELECT * FROM retries'));
is(deliver('raises'), 200, 'the service sends it again');
is(sql(q(SELECT count(*) FROM integ.webhook_events WHERE event = 'raises')), '1', 'and nothing comes of it');

# --- one that never ends ---

sql(q(ALTER SYSTEM SET integ.handler_timeout = '200ms'));
sql('SELECT pg_reload_conf()');
is(deliver('hangs'), 200, 'an event whose handler never ends');
ok(event('hangs', "state IN ('failed', 'dead')"), 'has failed');
is(sql(q(SELECT last_sqlstate FROM integ.handler_runs r
	JOIN integ.webhook_events e ON e.id = r.event WHERE e.event = 'hangs')),
	'57014', 'it was cancelled');
is(deliver('else'), 200, 'another one');
ok(event('else', "state = 'handled'"), 'is not hindered');
ok(event('hangs', "state = 'dead'"), 'until it is dead, too');
sql('ALTER SYSTEM RESET integ.handler_timeout');
sql('SELECT pg_reload_conf()');

# --- what leads to itself ---

is(deliver('loops'), 200, 'an event whose handler receives another one like it');
ok(event('loops', 'depth = 5'), 'leads to a few more');
is(sql(q(SELECT string_agg(depth || ' ' || state, ', ' ORDER BY depth) FROM integ.webhook_events
	WHERE event = 'loops' AND depth = 5)),
	'5 dead', 'the last of which leads to nothing');
like(sql(q(SELECT last_error FROM integ.webhook_events
	WHERE event = 'loops' AND depth = 5)), qr/led to itself: 5 runs/, 'and says why');
ok(event('loops', "depth = 4 AND state = 'handled'"), 'the others are handled');
is(sql(q(SELECT count(*) FROM integ.webhook_events WHERE event = 'loops')), '6', 'there are no more');

is(deliver('paid'), 200, 'an event whose rule makes a call whose callback receives another one');
ok(event('paid', "depth >= 5 AND state = 'dead'"), 'ends as well');
$node->wait_for_sql('SELECT count(*) = 0 FROM integ.calls_open', 'the calls to end');
is(sql(q(SELECT string_agg(DISTINCT depth::text, ' ' ORDER BY depth::text)
	FROM integ.webhook_events WHERE event = 'paid')), '0 2 4 6',
	'each is as deep as the rule and the callback that led to it');
is(sql(q(SELECT count(*) FROM integ.calls_done)), $provider->count('/echo'), 'each call was made once');

$node->stop;
done_testing();
