-- Webhooks that integ registers at the service, renews and removes.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY terse
SET integ.public_url = 'https://hooks.example.com/base/';
ALTER SYSTEM SET integ.retry_delay = '10ms';
SELECT pg_reload_conf();

-- The service, and a view of what it has: "book" is for tests.
SELECT integ_define($$
{
  "integrationId": "reg_svc", "name": "Registry", "version": "1.0.0", "baseUrl": "{config.base_url}", "authType":
      "none",
  "circuitBreaker": {"failureThreshold": 1000},
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "subscribe", "name": "Subscribe", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["url", "shop"], "additionalProperties": false, "properties":
         {"url": {"type": "string"},
       "events": {"type": "array"}, "shop": {"type": "string"}, "lifetime": {"type": "integer"}, "lose": {"type":
           "integer"}}},
     "request": {"method": "POST", "path": "/hooks/{shop}", "query": {"lose": "{lose}"},
                 "body": {"url": "{url}", "events": "{events}", "lifetime": "{lifetime}", "secret":
                     "{credentials.hook_secret}"}}},
    {"id": "unsubscribe", "name": "Unsubscribe", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["id", "shop"], "properties": {"id": {"type": "integer"}, "shop":
         {"type": "string"}}},
     "request": {"method": "DELETE", "path": "/hooks/{shop}/{id}"}},
    {"id": "extend", "name": "Extend", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["id", "shop", "seconds"], "properties": {"id": {"type":
         "integer"}, "shop": {"type": "string"}, "seconds": {"type": "integer"}, "refuse": {"type": "integer"}}},
     "request": {"method": "PATCH", "path": "/hooks/{shop}/{id}", "query": {"refuse": "{refuse}"}, "body":
         {"lifetime": "{seconds}"}}},
    {"id": "change_secret", "name": "Change the secret", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["id", "shop"], "properties": {"id": {"type": "integer"}, "shop":
         {"type": "string"}}},
     "request": {"method": "PATCH", "path": "/hooks/{shop}/{id}", "body": {"secret": "{credentials.hook_secret}"}}},
    {"id": "list_hooks", "name": "List", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["shop"], "properties": {"shop": {"type": "string"}}},
     "request": {"method": "GET", "path": "/hooks/{shop}"}, "response": {"records": ".hooks"},
     "pagination": {"style": "page", "param": "page", "more": ".more"}},
    {"id": "book", "name": "Book", "outputSchema": {}, "inputSchema": {"type": "object", "properties": {"shop":
        {"type": "string"}}},
     "request": {"method": "GET", "path": "/hookbook/{shop}"}},
    {"id": "forget", "name": "Forget", "access": "write", "outputSchema": {}, "inputSchema": {"type": "object",
        "properties": {"shop": {"type": "string"}, "id": {"type": "string"}}},
     "request": {"method": "DELETE", "path": "/hookbook/{shop}/{id}"}}
  ],
  "triggers": [
    {"id": "order_paid", "name": "Order paid", "type": "updated", "event": "order.paid"},
    {"id": "order_changed", "name": "Order changed", "type": "updated", "event": ["order.paid", "order.shipped"]}
  ],
  "webhook": {
    "signature": {"scheme": "hmac-sha256", "header": "X-Signature", "credential": "hook_secret"}, "event": ".type",
        "deliveryId": ".id",
    "register": "subscribe", "unregister": "unsubscribe", "renew": "extend", "rotate": "change_secret", "list":
        "list_hooks",
    "externalId": ".id", "expiresAt": ".ends", "secret": {"generate": {"bytes": 32, "encoding": "hex"}},
    "inputs": {"renew": {"seconds": 86400}}
  }
}
$$::jsonb);
SELECT integ_connect('reg_svc', 'reg_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
CREATE SCHEMA reg_code;
CREATE TABLE reg_code.seen (event jsonb);
CREATE FUNCTION reg_code.take(event jsonb) RETURNS void LANGUAGE sql AS
    'INSERT INTO reg_code.seen (event) SELECT jsonb_build_object(''event'', event -> ''event'', ''triggers'', event '
        '-> ''triggers'')';
CREATE FUNCTION reg_code.book(shop text) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT integ_execute('reg_main', 'book', jsonb_build_object('shop', shop)) $$;
CREATE FUNCTION reg_code.job() RETURNS void LANGUAGE sql AS
    $$ UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'webhooks' $$;
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait

-- What has not committed is not registered; what is asked for in vain is said at once.
BEGIN;
SELECT status, url LIKE 'https://hooks.example.com/base/webhooks/reg_svc/%' AS url, call IS NOT NULL AS call
FROM integ_webhook_register('reg_main', 'order_paid', '{"input": {"shop": "a"}}');
ROLLBACK;
SELECT integ_webhook_register('reg_main', 'order_lost');
SELECT integ_webhook_register('reg_main', 'order_paid');
SELECT integ_webhook_register('reg_main', 'order_paid', '{"shop": "a"}');
SELECT integ_webhook_register('reg_main', 'order_paid', '{"input": {"shop": "a"}, "handler": "reg_code.nothing"}');
SELECT integ_webhook_register('reg_none', 'order_paid');
SELECT integ_webhook_register(NULL);
SET integ.public_url = '';
SELECT integ_webhook_register('reg_main', 'order_paid', '{"input": {"shop": "a"}}');
SET integ.public_url = 'https://hooks.example.com/base/';
SELECT reg_code.book('a') -> 'hooks' AS nothing, count(*) FROM integ.webhook_registrations GROUP BY 1;
SELECT count(*) FROM integ.webhook_registrations;

-- Registered: the secret is made here and sent, and is in the vault alone.
SELECT webhook, call FROM integ_webhook_register('reg_main', 'order_paid',
    '{"input": {"shop": "a"}, "handler": "reg_code.take"}') \gset
SELECT integ_await(:'call') - 'call' - 'attempts' AS outcome;
SELECT webhook_id, instance_id, trigger_id, events, webhook_url = 'https://hooks.example.com/base/webhooks/reg_svc/'
    || webhook AS url, external_id, is_active, status,
       registered_at IS NOT NULL AS registered, expires_at, last_error, delivery_count
FROM integ.webhook_status WHERE definition = 'reg_svc';
SELECT h ->> 'id' AS id, h ->> 'url' = (SELECT url FROM integ.webhook_registrations WHERE webhook = :'webhook') AS
    url, h -> 'events' AS events, length(h ->> 'secret') AS secret
FROM jsonb_array_elements(reg_code.book('a') -> 'hooks') h;
SELECT name, state, allowed_origins = ARRAY[:'provider_url'] AS origin FROM integ.credentials WHERE owner_kind =
    'webhook' AND owner_id = :'webhook';
SELECT count(*) FROM integ.calls WHERE instance_id = 'reg_main' AND (result IS NOT NULL OR input::text LIKE '%secret%');
SELECT DISTINCT purpose FROM integ.calls_done WHERE instance_id = 'reg_main';
SELECT kind, payload - 'webhook' AS payload FROM integ.events WHERE kind LIKE 'webhook.%' AND payload ->>
    'definition' = 'reg_svc' ORDER BY id;

-- What the service signs with it is taken, and only the trigger's handler runs.
CREATE EXTENSION pgcrypto;
CREATE FUNCTION reg_code.send(shop text, body text, nth integer DEFAULT 0) RETURNS integer LANGUAGE sql AS $$
    SELECT r.status FROM jsonb_path_query_array(reg_code.book(shop), '$.hooks[*]') hooks,
        integ_webhook_receive('reg_svc/' || substring(hooks -> nth ->> 'url' FROM '[^/]*$'), jsonb_build_object(
            'Content-Type', 'application/json',
            'X-Signature', encode(hmac(convert_to(body, 'UTF8'), convert_to(hooks -> nth ->> 'secret', 'UTF8'),
                'sha256'), 'hex')),
            convert_to(body, 'UTF8')) r
$$;
SELECT reg_code.send('a', '{"type": "order.paid", "id": "1"}'), reg_code.send('a',
    '{"type": "order.shipped", "id": "2"}');
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM reg_code.seen');
SELECT event FROM reg_code.seen;
SELECT last_fired_at IS NOT NULL AS fired, delivery_count, failure_count FROM integ.webhook_status WHERE webhook =
    :'webhook';

-- Again is the same; with another address the service gets another one, and loses the first.
SELECT status, webhook = :'webhook' AS same, call FROM integ_webhook_register('reg_main', 'order_paid',
    '{"input": {"shop": "a"}, "handler": "reg_code.take"}');
SET integ.public_url = 'https://other.example.com';
SELECT status, call FROM integ_webhook_register('reg_main', 'order_paid',
    '{"input": {"shop": "a"}, "handler": "reg_code.take"}') \gset
SELECT integ_await(:'call') ->> 'state' AS outcome;
SELECT h ->> 'id' AS id, h ->> 'url' LIKE 'https://other.example.com/webhooks/reg_svc/%' AS url FROM
    jsonb_array_elements(reg_code.book('a') -> 'hooks') h;
SELECT status, external_id, former FROM integ.webhook_registrations WHERE webhook = :'webhook';

-- Another secret: both are valid, and the one before is forgotten a day later.
SELECT integ_webhook_rotate(:'webhook') AS call \gset
SELECT integ_await(:'call') ->> 'state' AS outcome;
SELECT state FROM integ.credentials WHERE owner_kind = 'webhook' AND owner_id = :'webhook' ORDER BY state;
SELECT reg_code.send('a', '{"type": "order.paid", "id": "3"}');
UPDATE integ.webhook_registrations SET rotated_at = now() - interval '2 days' WHERE webhook = :'webhook';
SELECT reg_code.job();
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM integ.credentials c JOIN integ.webhooks w ON w.id::text = c.owner_id '
    'WHERE w.definition = ''reg_svc''');
SELECT reg_code.send('a', '{"type": "order.paid", "id": "4"}');
SELECT integ_webhook_rotate('reg_nothing');

-- It is renewed ahead of its end.
SELECT webhook AS second, call FROM integ_webhook_register('reg_main', 'order_changed',
    '{"input": {"shop": "b", "lifetime": 30}}') \gset
SELECT integ_await(:'call') ->> 'state' AS outcome;
SELECT events, expires_at > now() AND expires_at < now() + interval '30 seconds' AS ends, renew_at < expires_at AS
    before FROM integ.webhook_registrations WHERE webhook = :'second';
UPDATE integ.webhook_registrations SET renew_at = now() WHERE webhook = :'second';
SELECT reg_code.job();
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM integ.webhook_registrations WHERE trigger = ''order_changed'' AND '
    'expires_at > now() + interval ''10 hours'' AND call IS NULL');
SELECT status, checked_at > registered_at AS seen FROM integ.webhook_registrations WHERE webhook = :'second';

-- A renewal that fails is told of, and tried again.
UPDATE integ.webhook_registrations SET renew_at = now(), input = input || '{"refuse": 1}' WHERE webhook = :'second';
SELECT reg_code.job();
CALL pg_temp.wait_for('SELECT status = ''failing'' FROM integ.webhook_registrations WHERE trigger = ''order_changed''');
SELECT status, last_error, hint, renew_at > now() AND renew_at < expires_at AS again FROM integ.webhook_registrations
    WHERE webhook = :'second';
SELECT kind, text, hint FROM integ.notifications WHERE kind LIKE 'webhook.%' ORDER BY id;
UPDATE integ.webhook_registrations SET renew_at = now(), input = input - 'refuse' WHERE webhook = :'second';
SELECT reg_code.job();
CALL pg_temp.wait_for('SELECT status = ''active'' AND call IS NULL FROM integ.webhook_registrations WHERE trigger = '
    '''order_changed''');

-- One that somebody has removed at the service is noticed; by choice it comes back by itself.
SELECT integ_execute('reg_main', 'forget', '{"shop": "b", "id": "1"}') ? 'made' AS forgotten;
UPDATE integ.webhook_registrations SET check_at = now() WHERE webhook = :'second';
SELECT reg_code.job();
CALL pg_temp.wait_for('SELECT status = ''lost'' FROM integ.webhook_registrations WHERE trigger = ''order_changed''');
SELECT regexp_replace(state, '20[0-9].*', 'TIME') AS state, last_error, hint FROM integ_status()
WHERE component = 'registrations';
SELECT status, last_error, hint, external_id FROM integ.webhook_status WHERE webhook = :'second';
SELECT webhook = :'second' AS same, status, call FROM integ_webhook_register('reg_main', 'order_changed',
    '{"input": {"shop": "b"}, "reregister": true}') \gset
SELECT integ_await(:'call') ->> 'state' AS outcome;
SELECT integ_execute('reg_main', 'forget', '{"shop": "b", "id": "2"}') ? 'made' AS forgotten;
UPDATE integ.webhook_registrations SET check_at = now() WHERE webhook = :'second';
SELECT reg_code.job();
CALL pg_temp.wait_for('SELECT status = ''active'' AND external_id = ''3'' AND call IS NULL FROM '
    'integ.webhook_registrations WHERE trigger = ''order_changed''');

-- An answer that is lost: the next attempt finds what the first has made, also on a later page.
SELECT count(*) FROM generate_series(1, 4) g,
    integ_webhook_register('reg_main', 'order_paid', jsonb_build_object('webhook_id', 'many-' || g, 'input',
        '{"shop": "c"}'::jsonb)) r;
CALL pg_temp.wait_for('SELECT count(*) = 0 FROM integ.calls_open');
SELECT webhook AS lost, call FROM integ_webhook_register('reg_main', 'order_paid',
    '{"webhook_id": "lost", "input": {"shop": "c", "lose": 1}}') \gset
SELECT integ_await(:'call', '30 s') ->> 'state' AS outcome;
SELECT r.status, r.external_id, w.webhook_id FROM integ.webhook_registrations r JOIN integ.webhooks w ON w.id =
    r.webhook WHERE r.webhook = :'lost';
SELECT jsonb_array_length(book -> 'hooks') AS hooks, book -> 'made' AS made, book -> 'removed' AS removed FROM
    reg_code.book('c') book;

-- Removed: no event is taken any more, and the service is told.
SELECT integ_webhook_unregister('many-1') AS call \gset
SELECT integ_await(:'call') ->> 'state' AS outcome;
SELECT count(*) FROM integ.webhooks WHERE webhook_id = 'many-1';
SELECT jsonb_array_length(book -> 'hooks') AS hooks FROM reg_code.book('c') book;
-- Deleting the row does the same.
DELETE FROM integ.webhooks WHERE webhook_id = 'many-2';
CALL pg_temp.wait_for('SELECT count(*) = 0 FROM integ.calls_open');
SELECT jsonb_array_length(book -> 'hooks') AS hooks FROM reg_code.book('c') book;
SELECT integ_webhook_unregister('many-1');

-- Disconnecting removes them all.
SELECT integ_disconnect('reg_main');
SELECT w.webhook_id, r.status, r.external_id, w.is_active FROM integ.webhook_registrations r JOIN integ.webhooks w ON
    w.id = r.webhook WHERE r.definition = 'reg_svc' ORDER BY 1;
SELECT integ_connect('reg_svc', 'reg_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
SELECT shop, book -> 'hooks' AS hooks FROM unnest('{a,b,c}'::text[]) shop, reg_code.book(shop) book ORDER BY shop;

-- A service without a method for it: the address is for a person to enter.
SELECT integ_define('{"integrationId": "reg_plain", "name": "Plain", "version": "1.0.0", "baseUrl": '
    '"https://plain.example.com", "authType": "none",
    "methods": [{"id": "get", "name": "Get", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
        "request": {"method": "GET", "path": "/"}}]}');
SELECT integ_connect('reg_plain', 'plain_main') IS NOT NULL AS connected;
SELECT webhook AS plain FROM integ_webhook_register('plain_main', NULL, '{"webhook_id": "by_hand"}') \gset
SELECT status, replace(hint, webhook::text, 'KEY') AS hint FROM integ.webhook_status WHERE webhook = :'plain';
SELECT integ_webhook_rotate('by_hand');
SELECT integ_webhook_unregister('by_hand') IS NULL AS gone;

-- Who may.
CREATE ROLE reg_app LOGIN;
GRANT integ_user TO reg_app;
INSERT INTO integ.clients (id, name) VALUES ('reg_acme', 'Acme');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('reg_app', 'reg_acme', 'ann', 'user');
SET ROLE reg_app;
SELECT integ_webhook_register('reg_main', 'order_paid', '{"input": {"shop": "a"}}');
SELECT integ_webhook_unregister('lost');
SELECT count(*) FROM integ.webhook_registrations;
SELECT count(*) FROM integ.webhook_status;
RESET ROLE;

DELETE FROM integ.webhooks WHERE definition = 'reg_svc';
DELETE FROM integ.webhook_events WHERE definition = 'reg_svc';
DELETE FROM integ.instances WHERE instance_id IN ('reg_main', 'plain_main');
SELECT integ_undefine('reg_svc'), integ_undefine('reg_plain');
DELETE FROM integ.members WHERE client_id = 'reg_acme';
DELETE FROM integ.clients WHERE id = 'reg_acme';
DELETE FROM integ.notifications WHERE kind LIKE 'webhook.%';
DROP ROLE reg_app;
ALTER SYSTEM RESET integ.retry_delay;
SELECT pg_reload_conf();
SET client_min_messages = warning;
DROP SCHEMA reg_code CASCADE;
DROP EXTENSION pgcrypto;
