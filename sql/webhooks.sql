-- Webhooks: requests that services send, taken by a listener of one's own.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY terse

SELECT integ_define($$
{
  "integrationId": "hook_svc", "name": "Hooks", "version": "1.0.0",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "note", "name": "Note", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"},
         "size": {"type": "integer"}}},
     "request": {"method": "GET", "path": "/echo/note", "query": {"text": "{text}", "size": "{size}"}},
     "response": {"map": {"path": ".path"}}}
  ],
  "triggers": [
    {"id": "order_paid", "name": "Order paid", "type": "updated", "event": "order.paid",
     "payloadSchema": {"type": "object", "required": ["number"], "properties": {"number": {"type": "integer"}}}},
    {"id": "order_large", "name": "Large order", "type": "custom", "event": ["order.paid", "order.made"],
        "when": "$.total > 100",
     "payloadSchema": {"type": "object"}}
  ],
  "webhook": {
    "signature": {"scheme": "hmac-sha256", "header": "X-Hook-Signature", "prefix": "sha256="},
    "event": ".type", "deliveryId": {"header": "X-Hook-Id"}, "account": ".shop", "timestamp": ".at", "data": ".order",
    "handshakes": [
      {"when": {"method": "GET", "query": "challenge"}, "respond": {"echo": {"query": "challenge"}}},
      {"when": {"path": "$ ? (@.type == \"hello\")"}, "respond": {"hmac": {"from": ".token", "encoding": "base64"},
          "body": {"token": "{challenge}", "proof": "{hmac}"}}}
    ]
  }
}
$$::jsonb);
SELECT integ_connect('hook_svc', 'hook_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
UPDATE integ.instances SET external_account_id = 'shop-1' WHERE instance_id = 'hook_main';

CREATE SCHEMA hook_code;
CREATE TABLE hook_code.seen (id bigint GENERATED ALWAYS AS IDENTITY, event jsonb);
CREATE FUNCTION hook_code.take(event jsonb) RETURNS void LANGUAGE sql AS
    'INSERT INTO hook_code.seen (event) VALUES (event - ''id'' - ''instance'')';
CREATE FUNCTION hook_code.fail(event jsonb) RETURNS void LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''not today''; END';
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait

-- One address for all accounts of the service; its secret is a credential of its own.
INSERT INTO integ.webhooks (webhook_id, definition, handler, trigger_handlers)
VALUES ('main', 'hook_svc', 'hook_code.take', '{"order_large": "hook_code.take"}')
RETURNING webhook_id, handler, trigger_handlers, owner = current_user::regrole AS mine;
SELECT id AS webhook FROM integ.webhooks WHERE definition = 'hook_svc' \gset
SELECT integ_credential_set('webhook:' || :'webhook', 'secret', 'k') IS NOT NULL AS set;

-- What a service would send: signed with openssl's HMAC, by pgcrypto's.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
RESET client_min_messages;
CREATE FUNCTION hook_code.send(body text, delivery text DEFAULT NULL, secret text DEFAULT 'k',
    path text DEFAULT 'hook_svc/main')
RETURNS TABLE (status integer, body_out text, stored integer) LANGUAGE sql AS $$
    SELECT r.status, r.body_out, cardinality(r.events)
    FROM integ_webhook_receive(path, jsonb_strip_nulls(jsonb_build_object(
             'Content-Type', 'application/json', 'X-Hook-Id', delivery, 'Authorization', 'Bearer private',
             'X-Hook-Signature', 'sha256=' || encode(hmac(convert_to(body, 'UTF8'), convert_to(secret, 'UTF8'),
                 'sha256'), 'hex'))),
         convert_to(body, 'UTF8')) r
$$;

SELECT * FROM hook_code.send(
    '{"type": "order.paid", "shop": "shop-1", "at": 1700000000, "order": {"number": 7, "total": 250}}', 'd-1');
SELECT event, triggers, delivery_id, account, occurred_at AT TIME ZONE 'UTC' AS occurred_at, payload, headers,
    i.instance_id, convert_from(body, 'UTF8') AS body
FROM integ.webhook_events e LEFT JOIN integ.instances i ON i.id = e.instance;
CALL pg_temp.wait_for('SELECT bool_and(state = ''handled'') FROM integ.webhook_events');
SELECT event FROM hook_code.seen;

-- The same delivery again is answered, and changes nothing.
SELECT * FROM hook_code.send('{"type": "order.paid", "shop": "shop-1", "order": {"number": 7}}', 'd-1');
-- Without the right secret nobody learns anything, and nothing is stored.
SELECT * FROM hook_code.send('{"type": "order.paid", "shop": "shop-1", "order": {"number": 8}}', 'd-2', 'other');
SELECT * FROM hook_code.send('{}', 'd-2', 'k', 'hook_svc/nobody');
SELECT * FROM hook_code.send('{}', 'd-2', 'k', 'nobody/main');
SELECT count(*) FROM integ.webhook_events;
-- A rolled back transaction has taken nothing.
BEGIN;
SELECT * FROM hook_code.send('{"type": "order.made", "shop": "shop-1", "order": {"number": 9}}', 'd-3');
ROLLBACK;
SELECT * FROM hook_code.send('{"type": "order.made", "shop": "shop-1", "order": {"number": 9}}', 'd-3');
-- An account that nobody has connected is nobody's; what is not what the trigger promises is kept, and nothing runs.
SELECT * FROM hook_code.send('{"type": "order.made", "shop": "shop-9", "order": {"number": 10}}', 'd-4');
SELECT * FROM hook_code.send('{"type": "order.paid", "shop": "shop-1", "order": {"number": "ten"}}', 'd-5');
CALL pg_temp.wait_for('SELECT bool_and(state <> ''received'') FROM integ.webhook_events');
SELECT delivery_id, instance IS NULL AS nobodys, state, last_error FROM integ.webhook_events
    WHERE delivery_id IN ('d-4', 'd-5') ORDER BY 1;

-- Handshakes: one anybody may ask for, one that must be signed.
SELECT status, headers_out, body_out, events FROM integ_webhook_receive('hook_svc/main', '{}', '', '{"method": "GET",
    "query": "a=1&challenge=x%20y"}');
SELECT * FROM hook_code.send('{"type": "hello", "token": "t"}');
SELECT encode(hmac('t', 'k', 'sha256'), 'base64');
SELECT * FROM hook_code.send('{"type": "hello", "token": "t"}', NULL, 'other');
SELECT status FROM integ_webhook_receive('hook_svc/main', '{}', '', '{"method": "GET"}');

-- Two secrets while one is replaced.
SELECT integ_credential_rotate('webhook:' || :'webhook', 'secret', 'new') IS NOT NULL AS rotated;
SELECT status FROM hook_code.send('{"type": "x"}', 'd-6', 'k') UNION ALL SELECT status
    FROM hook_code.send('{"type": "x"}', 'd-7', 'new');
SELECT integ_credential_rotate('webhook:' || :'webhook', 'secret', NULL, '{"promote": true}') IS NOT NULL AS promoted;
SELECT status FROM hook_code.send('{"type": "x"}', 'd-8', 'k') UNION ALL SELECT status
    FROM hook_code.send('{"type": "x"}', 'd-9', 'new');
SELECT integ_credential_set('webhook:' || :'webhook', 'secret', 'k') IS NOT NULL AS set;

-- Names and a filter choose what is taken.
UPDATE integ.webhooks SET events = '{order.*}', filter = '$.total > 10' WHERE webhook_id = 'main';
SELECT stored FROM hook_code.send('{"type": "order.made", "order": {"total": 11}}', 'd-10')
UNION ALL SELECT stored FROM hook_code.send('{"type": "order.made", "order": {"total": 10}}', 'd-11')
UNION ALL SELECT stored FROM hook_code.send('{"type": "customer.made", "order": {"total": 11}}', 'd-12');
UPDATE integ.webhooks SET events = '{}', filter = NULL WHERE webhook_id = 'main';

-- A rule: an event enqueues a call, once, as the rule's owner.
INSERT INTO integ.rules (rule_id, trigger_definition, trigger, filter, instance, method, input)
VALUES ('note_large', 'hook_svc', 'order_large', '$.number > 20', 'hook_main', 'note',
    '{"text": "order {payload.number} of {event.account}", "size": "{payload.total}"}');
SELECT status, stored FROM hook_code.send(
    '{"type": "order.made", "shop": "shop-1", "order": {"number": 20, "total": 500}}', 'd-20');
SELECT status, stored FROM hook_code.send(
    '{"type": "order.made", "shop": "shop-1", "order": {"number": 21, "total": 500}}', 'd-21');
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM integ.calls WHERE instance_id =
    ''hook_main'' AND state = ''succeeded''');
SELECT method, input, state, owner = current_user::regrole AS mine FROM integ.calls WHERE instance_id = 'hook_main';
-- A rule whose call cannot be enqueued says so at the event.
UPDATE integ.rules SET method = 'nothing' WHERE rule_id = 'note_large';
SELECT status, stored FROM hook_code.send(
    '{"type": "order.made", "shop": "shop-1", "order": {"number": 22, "total": 500}}', 'd-22');
CALL pg_temp.wait_for('SELECT state = ''dead'' FROM integ.webhook_events WHERE delivery_id = ''d-22''');
SELECT state, last_error FROM integ.webhook_events WHERE delivery_id = 'd-22';
-- Mended, and run once more.
UPDATE integ.rules SET method = 'note' WHERE rule_id = 'note_large';
SELECT integ_event_replay(id) FROM integ.webhook_events WHERE delivery_id = 'd-22';
CALL pg_temp.wait_for('SELECT state = ''handled'' FROM integ.webhook_events WHERE delivery_id = ''d-22''');
CALL pg_temp.wait_for('SELECT count(*) = 2 FROM integ.calls WHERE instance_id =
    ''hook_main'' AND state = ''succeeded''');
DELETE FROM integ.rules WHERE rule_id = 'note_large';

-- A handler that fails is tried again, and the event shows it.
UPDATE integ.webhooks SET handler = 'hook_code.fail', trigger_handlers = '{}' WHERE webhook_id = 'main';
SELECT status, stored FROM hook_code.send('{"type": "order.made", "shop": "shop-1", "order": {"number": 30}}', 'd-30');
CALL pg_temp.wait_for('SELECT state = ''failed'' FROM integ.webhook_events WHERE delivery_id = ''d-30''');
SELECT state, last_error FROM integ.webhook_events WHERE delivery_id = 'd-30';
SELECT r.kind, r.function, r.state IN ('waiting', 'running') AS is_open, r.attempt > 0 AS begun, r.last_error
    FROM integ.handler_runs r JOIN integ.webhook_events e ON e.id = r.event WHERE e.delivery_id = 'd-30';

-- What cannot be is refused where it is written.
INSERT INTO integ.webhooks (webhook_id, definition, handler) VALUES ('bad', 'hook_svc', 'hook_code.nothing');
INSERT INTO integ.webhooks (webhook_id, definition, trigger_handlers) VALUES ('bad', 'hook_svc', '{"order_paid": 7}');
INSERT INTO integ.webhooks (webhook_id, definition, signature) VALUES ('bad', 'hook_svc', '{"scheme": "rot13"}');
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('a/b', 'hook_svc');
INSERT INTO integ.rules (rule_id, trigger_definition, trigger, instance, method, input)
VALUES ('bad', 'hook_svc', 'order_paid', 'hook_main', 'note', '{"text": "{payload."}');
SELECT integ_webhook_receive('hook_svc/main', '[]', '');
SELECT integ_webhook_receive('hook_svc/main', '{}', '', '{"mehtod": "GET"}');
SELECT integ_event_replay('00000000-0000-0000-0000-000000000000');
-- Without a secret nothing is proven.
SELECT integ_credential_delete('webhook:' || :'webhook', 'secret');
SELECT status, stored FROM hook_code.send('{"type": "order.made"}', 'd-40');

-- A delivery is remembered for its time only.
UPDATE integ.webhook_keys SET expires_at = now() - interval '1 hour' WHERE delivery_id LIKE 'd-1@%';
UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'webhook_keys';
CALL pg_temp.wait_for('SELECT NOT EXISTS (SELECT FROM integ.webhook_keys WHERE delivery_id LIKE ''d-1@%'')');
SELECT last_error FROM integ.maintenance_jobs WHERE name = 'webhook_keys';

-- Who may.
CREATE ROLE hook_app LOGIN;
CREATE ROLE hook_admin LOGIN;
GRANT integ_user TO hook_app;
GRANT integ_admin TO hook_admin;
INSERT INTO integ.clients (id, name) VALUES ('hook_acme', 'Acme');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('hook_app', 'hook_acme', 'ann', 'user'),
    ('hook_admin', 'hook_acme', 'bea', 'admin');
SET ROLE hook_app;
SELECT count(*) FROM integ.webhooks;
SELECT count(*) FROM integ.webhook_events;
SELECT integ_webhook_receive('hook_svc/main', '{}', '');
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('mine', 'hook_svc');
SET ROLE hook_admin;
SELECT count(*) FROM integ.webhook_events;
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('theirs', 'hook_svc') RETURNING client_id, webhook_id;
-- It is not theirs to receive for.
SELECT status FROM integ_webhook_receive('hook_svc/main', '{}', '');
UPDATE integ.webhooks SET owner = 'hook_app' WHERE webhook_id = 'theirs';
RESET ROLE;

DELETE FROM integ.webhooks WHERE definition = 'hook_svc';
SELECT integ_disconnect('hook_main');
DELETE FROM integ.instances WHERE instance_id = 'hook_main';
SELECT integ_undefine('hook_svc');
DELETE FROM integ.members WHERE client_id = 'hook_acme';
DELETE FROM integ.clients WHERE id = 'hook_acme';
DROP ROLE hook_app, hook_admin;
DROP SCHEMA hook_code CASCADE;
