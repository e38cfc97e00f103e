-- Requests that bring several events: each is one, known by its own id, and all are stored or none.
SET client_min_messages = warning;
SELECT integ_define($$
{"integrationId": "split", "name": "Split", "version": "1.0.0", "authType": "none", "baseUrl": "https://example.com",
 "methods": [{"id": "get", "name": "Get", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
   "request": {"method": "GET", "path": "/"}}],
 "triggers": [{"id": "made", "name": "Made", "type": "created", "event": ["made", "born"]},
              {"id": "any", "name": "Any", "type": "custom"}],
 "webhook": {"signature": {"scheme": "equal", "header": "X-Token"}, "events": ".list", "event": ".type",
   "deliveryId": {"path": ".id"}, "account": ".shop", "timestamp": ".at", "data": ".data",
   "handshakes": [{"when": {"query": "crc"}, "respond": {"body": {"token": "{hmac}"},
     "hmac": {"from": {"query": "crc"}, "encoding": "base64", "prefix": "sha256="}}},
     {"when": {"header": "X-Hello", "method": "POST"}, "signed": false, "respond": {"body": {"signed": "{hmac}"},
     "hmac": {"from": {"header": "X-Hello"}}}}]}}
$$::jsonb);
SELECT integ_define($$
{"integrationId": "split_whole", "name": "Whole", "version": "1.0.0", "authType": "none",
 "baseUrl": "https://example.com",
 "methods": [{"id": "get", "name": "Get", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
   "request": {"method": "GET", "path": "/"}}],
 "webhook": {"signature": {"scheme": "equal", "header": "X-Token"}, "events": ".", "event": ".type",
   "deliveryId": {"header": "X-Delivery"}}}
$$::jsonb);
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('main', 'split'), ('main', 'split_whole');
SELECT count(integ_credential_set('webhook:' || id, 'secret', 'the token')) FROM integ.webhooks
WHERE definition LIKE 'split%';
CREATE SCHEMA split_code;
CREATE FUNCTION split_code.take(body jsonb, more jsonb DEFAULT '{}', whose text DEFAULT 'split/main') RETURNS text
LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.status, btrim(r.body_out, E'\n'), cardinality(r.events))
    FROM integ_webhook_receive(whose, '{"Content-Type": "application/json", "X-Token": "the token"}' || more,
        convert_to(body::text, 'UTF8')) r
$$;
CREATE FUNCTION split_code.stored(whose text DEFAULT 'split') RETURNS TABLE (event text, delivery_id text, account text,
    occurred_at timestamp, triggers text[], payload jsonb) LANGUAGE sql AS $$
    SELECT event, left(delivery_id, 30), account, occurred_at AT TIME ZONE 'UTC', triggers, payload
    FROM integ.webhook_events WHERE definition = whose ORDER BY id
$$;

-- Each with its own id, account, time and triggers; what one does not say, the request says for it.
SELECT split_code.take('{"shop": "s0", "at": "2024-05-06T07:08:09Z", "list": [
    {"type": "made", "id": "a", "shop": "s1", "at": 1700000000, "data": {"n": 1}},
    {"type": "born", "id": "b", "at": 1700000000123, "data": {"n": 2}},
    {"type": "gone", "id": "c", "at": "nonsense", "n": 3},
    {"type": "gone", "n": 4}]}');
SELECT * FROM split_code.stored();
-- Repeated in one request, and from one to the next: once.
SELECT split_code.take('{"list": [{"id": "d"}, {"id": "a"}, {"id": "d"}, {"id": "c"}]}');
SELECT string_agg(delivery_id, ' ' ORDER BY delivery_id) FROM split_code.stored();
-- An id of any length.
SELECT split_code.take(jsonb_build_object('list', jsonb_build_array(jsonb_build_object('id', repeat('long', 100)),
    jsonb_build_object('id', repeat('long', 100)), jsonb_build_object('id', repeat('long', 100) || '2'))));
SELECT count(*), max(length(delivery_id)) FROM integ.webhook_keys k JOIN integ.webhooks w ON w.id = k.webhook WHERE
    w.definition = 'split' AND delivery_id !~ '^.$';
-- No event, and no list.
SELECT split_code.take('{"list": []}'), split_code.take('{"list": {"id": "e", "type": "made"}}'), split_code.take('[]');
SELECT * FROM split_code.stored() OFFSET 7;
-- More than one request may bring: none is stored.
SELECT split_code.take(jsonb_build_object('list', (SELECT jsonb_agg(jsonb_build_object('id', 'x' || i)) FROM
    generate_series(1, 1001) i)));
SELECT count(*) FROM split_code.stored() WHERE delivery_id LIKE 'x%';
SELECT split_code.take(jsonb_build_object('list', (SELECT jsonb_agg(jsonb_build_object('id', 'y' || i)) FROM
    generate_series(1, 1000) i)));
-- Whatever the list holds is an event.
SELECT split_code.take('{"list": [1, null, "text", [], {"id": "f", "type": "made"}]}');
SELECT event, payload FROM split_code.stored() OFFSET 1009;

-- A delivery that has one id for all of its events: they are numbered.
SELECT split_code.take('[{"type": "one"}, {"type": "two"}]', '{"X-Delivery": "d1"}', 'split_whole/main');
SELECT split_code.take('[{"type": "one"}, {"type": "two"}]', '{"X-Delivery": "d1"}', 'split_whole/main');
SELECT split_code.take('[{"type": "one"}]', '{"X-Delivery": "d2"}', 'split_whole/main');
SELECT event, delivery_id FROM split_code.stored('split_whole');

-- A challenge that is to be signed; by the definition's secret where the webhook has none.
CREATE EXTENSION IF NOT EXISTS pgcrypto;
SELECT r.status, r.body_out::jsonb ->> 'token' = 'sha256=' || encode(hmac('hello', 'the token', 'sha256'), 'base64')
FROM integ_webhook_receive('split/main', '{"X-Token": "the token"}', '', '{"method": "GET", "query": "crc=hello"}') r;
SELECT r.status, r.body_out::jsonb ->> 'signed' = encode(hmac('hey', 'the token', 'sha256'), 'hex')
FROM integ_webhook_receive('split/main', '{"X-Hello": "hey"}', '') r;
SELECT count(integ_credential_delete('webhook:' || id, 'secret')) FROM integ.webhooks WHERE definition = 'split';
SELECT status, body_out FROM integ_webhook_receive('split/main', '{"X-Hello": "hey"}', '');
SELECT integ_credential_set('definition:split', 'secret', 'of all', '{"origins": []}');
SELECT r.status, r.body_out::jsonb ->> 'signed' = encode(hmac('hey', 'of all', 'sha256'), 'hex')
FROM integ_webhook_receive('split/main', '{"X-Hello": "hey"}', '') r;
-- What proves itself and is no POST.
SELECT status, body_out FROM integ_webhook_receive('split/main', '{"X-Token": "of all"}', '', '{"method": "GET"}');
SELECT integ_webhook_receive('split/main', '["X-Token"]', '');
SELECT integ_webhook_receive(NULL, '{}', '');

-- A form that has nothing but a document (GitHub, Slack), and forms that nest.
CREATE FUNCTION split_code.form(body text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    taken uuid;
BEGIN
    SELECT r.events[1] INTO taken FROM integ_webhook_receive('split_whole/main',
        '{"Content-Type": "application/x-www-form-urlencoded", "X-Token": "the token"}', convert_to(body, 'UTF8')) r;
    RETURN (SELECT payload FROM integ.webhook_events WHERE id = taken);
END
$$;
SELECT split_code.form('payload=%7B%22type%22%3A+%22push%22%2C+%22n%22%3A+%5B1%2C2%5D%7D');
SELECT split_code.form('payload=no+document');
SELECT split_code.form('payload=%7B%7D&and=more');
SELECT split_code.form('order[id]=1&order[lines][][sku]=a&order[lines][][sku]=b&order[tags][]=x&order[tags][]=y&z');
SELECT split_code.form('a=1&a=2&a[b]=3&[c]=4&d[=5&e]=6&f[g=7&h[i]j=8&%5Bk%5D=9&=10');

DELETE FROM integ.webhook_events WHERE definition LIKE 'split%';
DELETE FROM integ.webhooks WHERE definition LIKE 'split%';
SELECT integ_undefine('split'), integ_undefine('split_whole');
DROP SCHEMA split_code CASCADE;
