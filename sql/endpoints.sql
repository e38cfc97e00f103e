-- Endpoints: events go out to the local service of the tests.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY terse

-- what waits for a condition; as the superuser
CREATE FUNCTION delivered(message uuid, wanted text DEFAULT 'delivered') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    FOR i IN 1..600 LOOP
        SELECT string_agg(state, ' ' ORDER BY state) INTO found FROM integ.deliveries d
        WHERE d.message = delivered.message;
        EXIT WHEN found ~ ('^(' || wanted || ' ?)+$');
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN found;
END $$;

-- an endpoint is one statement; its secret is shown once
SELECT endpoint IS NOT NULL AS added, secret ~ '^whsec_[A-Za-z0-9+/]{43}=$' AS secret, public_key
FROM integ_endpoint_add(:'provider_url' || '/echo/orders', '{order.*}', '{"endpoint_id": "orders", "name": "Orders"}');
SELECT endpoint_id, name, client_id, event_types, status, secrets FROM integ.endpoints;
SELECT name, hint ~ '^….{4}$' AS hint, allowed_origins FROM integ.credential_hints WHERE owner_kind = 'endpoint';

-- published once committed, to whom it concerns
BEGIN;
SELECT integ_publish('order.created', '{"id": 17, "total": 99.50}') AS message \gset
SELECT state, event_type, payload FROM integ.deliveries WHERE message = :'message';
COMMIT;
SELECT delivered(:'message');
SELECT state, attempt, last_status, last_error FROM integ.deliveries WHERE message = :'message';
SELECT attempt, status, sqlstate, error, duration_us > 0 AS took, response LIKE $$%"path": "/echo/orders"%$$ AS response
FROM integ.delivery_attempts WHERE message = :'message';
BEGIN;
SELECT integ_publish('order.created', '{"id": 18}') AS message \gset
ROLLBACK;
SELECT count(*) FROM integ.deliveries WHERE message = :'message';
SELECT integ_publish('invoice.paid', '{}') AS message \gset
SELECT count(*) FROM integ.deliveries WHERE message = :'message';

-- what is refused
SELECT integ_publish('no type', '{}');
SELECT integ_publish('integ.instance.connected', '{}');
SELECT integ_publish('order.created', NULL);
SELECT integ_publish('order.created', '{}', '{"keys": "k"}');
SELECT integ_publish('order.created', '{}', '{"endpoint": "nobody"}');
SELECT integ_endpoint_add('ftp://example.com/');
SELECT integ_endpoint_add('https://example.com/', '{order created}');
SELECT integ_endpoint_add('https://example.com/', '{}', '{"secret": "whsec_no base64!"}');
SELECT integ_endpoint_add('https://example.com/', '{}', '{"headers": {"webhook-id": "1"}}');
SELECT integ_endpoint_add('https://example.com/', '{}', '{"retry_schedule": ["0 s"]}');
INSERT INTO integ.endpoints (endpoint_id, url, filter) VALUES ('bad', 'https://example.com/', '$.[');
INSERT INTO integ.endpoints (endpoint_id, url, headers) VALUES ('bad', 'https://example.com/', '{"Host": "x"}');
INSERT INTO integ.endpoints (endpoint_id, url, payload_template)
VALUES ('bad', 'https://example.com/', '{"a": "{data"}');
INSERT INTO integ.endpoints (endpoint_id, url, rate_limit) VALUES ('bad', 'https://example.com/', 0);

-- the same event twice is one
SELECT integ_publish('order.paid', '{"id": 1}', '{"idempotency_key": "paid-1"}') AS message \gset
SELECT integ_publish('order.paid', '{"id": 1}', '{"idempotency_key": "paid-1"}') = :'message' AS same;
SELECT integ_publish('order.paid', '{"id": 2}', '{"idempotency_key": "paid-1"}');
SELECT integ_publish('order.paid', '{}', '{"id": "018f0000-0000-7000-8000-000000000001"}');
SELECT integ_publish('order.paid', '{}', '{"id": "018f0000-0000-7000-8000-000000000001"}');
SELECT count(*) FROM integ.deliveries WHERE event_type = 'order.paid';

-- filter, body and headers of one's own, a secret in a header
INSERT INTO integ.endpoints (endpoint_id, url, event_types, filter, headers, payload_template, signature_header)
VALUES ('big', :'provider_url' || '/echo/big', '{order.*}', '$.total > 100',
        '{"Authorization": "Bearer {credentials.token}", "X-Type": "{type}"}',
        '{"what": "{type}", "total": "{data.total}", "for": "{client}"}', 'X-Shop-Signature');
SELECT integ_credential_set('endpoint:' || id, 'secret', 'whsec_' || repeat('QUJD', 8)) FROM integ.endpoints
WHERE endpoint_id = 'big';
SELECT integ_credential_set('endpoint:' || id, 'token', 'a-secret-token',
                            jsonb_build_object('origins', jsonb_build_array(:'provider_url')))
FROM integ.endpoints WHERE endpoint_id = 'big';
SELECT integ_publish('order.created', '{"total": 99}', '{"endpoint": "big"}') AS message \gset
SELECT count(*) FROM integ.deliveries WHERE message = :'message';
SELECT integ_publish('order.created', '{"total": 250.50}', '{"endpoints": ["big"], "key": "k"}') AS message \gset
SELECT delivered(:'message');
SELECT response LIKE '%a-secret-token%' AS leaked,
       response LIKE '%"x-type": "order.created"%' AS header, response LIKE '%"Bearer **************"%' AS masked,
       response LIKE '%"x-shop-signature": "sha256=%' AS signed
FROM integ.delivery_attempts WHERE message = :'message';

-- without a secret nothing leaves
INSERT INTO integ.endpoints (endpoint_id, url, event_types, retry_schedule)
VALUES ('unsigned', :'provider_url' || '/echo/unsigned', '{unsigned}', '{}');
SELECT integ_publish('unsigned', '{}') AS message \gset
SELECT delivered(:'message', 'dead');
SELECT attempt, status, sqlstate, error, duration_us FROM integ.delivery_attempts WHERE message = :'message';

-- sent again, under the same id
SELECT integ_credential_set('endpoint:' || id, 'secret', 'whsec_' || repeat('QUJD', 8)) FROM integ.endpoints
WHERE endpoint_id = 'unsigned';
SELECT integ_delivery_replay(id) IS NOT NULL AS again FROM integ.deliveries WHERE message = :'message';
SELECT delivered(:'message', '(dead|delivered)');
SELECT count(*) FROM integ_deliveries_replay('{"endpoint": "unsigned", "since": "2020-01-01"}');
SELECT count(*) FROM integ_deliveries_replay('{"endpoint": "unsigned", "state": "delivered"}');
SELECT integ_deliveries_replay('{"state": "dead"}');
SELECT integ_delivery_replay('018f0000-0000-7000-8000-000000000001');

-- cancelled before it is due
SELECT integ_publish('order.late', '{}', '{"deliver_at": "2999-01-01", "endpoint": "orders"}') AS message \gset
SELECT integ_delivery_cancel(id) FROM integ.deliveries WHERE message = :'message';
SELECT integ_delivery_cancel(id) FROM integ.deliveries WHERE message = :'message';
SELECT state FROM integ.deliveries WHERE message = :'message';

-- changes of a table, in one line
CREATE TABLE orders (id integer PRIMARY KEY, customer text, total numeric, internal text);
SELECT integ_publish_changes('orders', '{"event": "order", "columns": ["id", "total"], "key": "id", "old": true}');
BEGIN;
INSERT INTO orders SELECT g, 'c' || g, g * 10, 'x' FROM generate_series(1, 3) g;
UPDATE orders SET total = total + 1 WHERE id < 3;
UPDATE orders SET internal = 'y';
DELETE FROM orders WHERE id = 3;
SELECT event_type, key, payload FROM integ.deliveries_open d JOIN integ.endpoints e ON e.id = d.endpoint
WHERE endpoint_id = 'orders' AND payload ? 'operation' ORDER BY d.id;
COMMIT;
-- Their values read the same whatever the writer's session has set.
CREATE TABLE formats (id integer PRIMARY KEY, at timestamptz, during tstzrange, took interval, part float8, seen bytea);
SELECT integ_publish_changes('formats', '{"event": "order", "columns": ["at", "during", "took", "part", "seen"],
  "key": "id"}');
BEGIN;
SET LOCAL datestyle = 'German';
SET LOCAL intervalstyle = 'sql_standard';
SET LOCAL extra_float_digits = -10;
SET LOCAL bytea_output = 'escape';
SET LOCAL timezone = 'Asia/Kathmandu';
INSERT INTO formats VALUES (70, '2026-01-02 03:04:05+00', '[2026-01-02 03:04:05+00,)', '1 day 2:00',
    0.1::float8 + 0.2, '\x01');
SELECT current_setting('datestyle') AS datestyle, current_setting('timezone') AS timezone;
COMMIT;
SELECT payload -> 'row' AS row FROM integ.deliveries WHERE key = '70';
DROP TABLE formats;
-- Loaded by COPY it publishes too; only a COPY into our own tables is a restore, which would hold the database.
COPY orders (id, customer) FROM STDIN;
7	c7
\.
SELECT event_type, key FROM integ.deliveries WHERE key = '7';
SELECT count(*) AS restored FROM integ.identity WHERE system_identifier = '';
ALTER TABLE orders ADD COLUMN note text;
ALTER TABLE orders DROP COLUMN total;
INSERT INTO orders (id, note) VALUES (9, 'n');
SELECT payload FROM integ.deliveries WHERE key = '9';
SELECT integ_publish_changes('orders', '{"columns": ["total"]}');
SELECT integ_publish_changes('orders', '{"event": "integ.order"}');
SELECT integ_publish_changes('orders', '{"evnt": "order"}');
SELECT integ_publish_changes('orders', '{"events": {"delete": null, "insert": "order.made"}}');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'orders'::regclass ORDER BY tgname;
SELECT integ_unpublish_changes('orders');
SELECT integ_unpublish_changes('orders');
INSERT INTO orders (id) VALUES (10);
SELECT count(*) FROM integ.deliveries WHERE payload @> '{"row": {"id": 10}}';
DROP TABLE orders;

-- integ's own events are named by who wants them
SELECT endpoint IS NOT NULL AS added
FROM integ_endpoint_add(:'provider_url' || '/echo/own', '{integ.delivery.*}', '{"endpoint_id": "own"}');
SELECT integ_publish('unsigned', '{"n": 5}') AS message \gset
SELECT delivered(:'message');
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT count(*) > 0 FROM integ.deliveries_done
    WHERE event_type = 'integ.delivery.delivered'$$);
SELECT event_type, payload ->> 'event_type' AS about, payload ->> 'attempt' AS attempt, payload ->> 'status' AS status
FROM integ.deliveries WHERE event_type LIKE 'integ.%' AND payload ->> 'message' = :'message';
SELECT count(*) FROM integ.deliveries WHERE event_type LIKE 'integ.%' AND payload ->> 'event_type' LIKE 'integ.%';

-- clients see their own, and nobody a secret
CREATE ROLE endpoints_admin LOGIN IN ROLE integ_admin;
CREATE ROLE endpoints_user LOGIN IN ROLE integ_user;
INSERT INTO integ.clients (id, name) VALUES ('acme_out', 'Acme');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('endpoints_admin', 'acme_out', 'a', 'admin'), ('endpoints_user', 'acme_out', 'u', 'user');
SET ROLE endpoints_admin;
SELECT endpoint IS NOT NULL AS added
FROM integ_endpoint_add(:'provider_url' || '/echo/acme', '{acme.*}', '{"endpoint_id": "mine"}');
SELECT endpoint_id, client_id FROM integ.endpoints;
SELECT integ_endpoint_add('https://example.com/', '{}', '{"client": "*"}');
UPDATE integ.endpoints SET failures = 3;
SELECT count(*) FROM integ.credentials;
SELECT count(*) FROM integ.deliveries;
SET ROLE endpoints_user;
SELECT count(*) FROM integ.endpoints;
SELECT integ_endpoint_add('https://example.com/');
SELECT integ_publish('acme.x', '{}', '{"client": "*"}');
SELECT integ_publish('acme.x', '{"of": "acme"}') AS message \gset
RESET ROLE;
SELECT delivered(:'message');
SELECT client_id, event_client FROM integ.deliveries WHERE message = :'message';

-- a secret is its client's, whoever sets it
SELECT integ_credential_set('endpoint:' || id, 'another', 'whsec_' || repeat('QUJD', 8)) FROM integ.endpoints
WHERE endpoint_id = 'mine';
SELECT DISTINCT client_id FROM integ.credential_hints WHERE owner_kind = 'endpoint' AND name = 'another';

-- a plan says how many endpoints and webhooks a client may have
INSERT INTO integ.plans (id, name, limits) VALUES ('ep_small', 'Small', '{"endpoints": "many"}');
INSERT INTO integ.plans (id, name, limits) VALUES ('ep_small', 'Small', '{"endpoints": 2, "webhooks": false}');
UPDATE integ.clients SET plan = 'ep_small' WHERE id = 'acme_out';
SET ROLE endpoints_admin;
\set VERBOSITY default
SELECT endpoint IS NOT NULL AS added FROM integ_endpoint_add('https://example.com/2');
SELECT endpoint IS NOT NULL AS added FROM integ_endpoint_add('https://example.com/3');
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('in', 'github');
\set VERBOSITY terse
DELETE FROM integ.endpoints WHERE url = 'https://example.com/2';
RESET ROLE;
SELECT endpoint IS NOT NULL AS added FROM integ_endpoint_add('https://example.com/4', '{}', '{"client": "acme_out"}');
SELECT endpoint IS NOT NULL AS added FROM integ_endpoint_add('https://example.com/5', '{}', '{"client": "acme_out"}');
DELETE FROM integ.endpoints WHERE url ~ '^https://example.com/[45]$';
UPDATE integ.plans SET limits = '{"webhooks": 1, "endpoints": true}' WHERE id = 'ep_small';
INSERT INTO integ.webhooks (webhook_id, definition, client_id) VALUES ('in', 'github', 'acme_out');
INSERT INTO integ.webhooks (webhook_id, definition, client_id) VALUES ('in2', 'github', 'acme_out');
INSERT INTO integ.webhooks (webhook_id, definition, client_id) VALUES ('ep_global', 'github', '*');
DELETE FROM integ.webhooks WHERE webhook_id IN ('in', 'ep_global');
UPDATE integ.clients SET plan = NULL WHERE id = 'acme_out';
DELETE FROM integ.plans WHERE id = 'ep_small';

-- integ_status() tells of them, and an administrator only of those of the client
UPDATE integ.endpoints SET status = 'disabled', status_reason = 'it answered 410' WHERE endpoint_id = 'orders';
INSERT INTO integ.endpoints (endpoint_id, url, client_id) VALUES ('broken', 'https://example.com/', 'acme_out');
UPDATE integ.endpoints SET failing_since = now() - interval '1 hour', failures = 3, last_error = 'HTTP 500'
WHERE endpoint_id = 'broken';
SELECT state, now() - since >= '1 hour' AS since, last_error, hint FROM integ_status() WHERE component = 'endpoints';
SET ROLE endpoints_admin;
SELECT state, last_error, hint FROM integ_status() WHERE component = 'endpoints';
RESET ROLE;
CALL pg_temp.wait_for($$SELECT count(*) = 0 FROM integ.deliveries_open WHERE state = 'sending'$$);
INSERT INTO integ.deliveries_open (id, endpoint, message, created_at, next_attempt_at, client_id, event_client,
                                   event_type, payload, attempt, state)
SELECT integ.uuid_generate(), e.id, integ.uuid_generate(), now(), d.at, e.client_id, '*', 'order.x', '{}', d.attempt,
       'queued'
FROM integ.endpoints e, (VALUES (now() - interval '1 day', 0), (now() + interval '1 day', 1)) d (at, attempt)
WHERE e.endpoint_id = 'orders';
SELECT state, queue_depth, oldest_age, hint FROM integ_status() WHERE component = 'deliveries';
BEGIN;
UPDATE integ.endpoints SET status = 'active' WHERE endpoint_id = 'orders';
SELECT state, queue_depth, oldest_age >= '1 day' AS oldest, hint FROM integ_status() WHERE component = 'deliveries';
ROLLBACK;
DELETE FROM integ.deliveries_open WHERE event_type = 'order.x';
UPDATE integ.endpoints SET status = 'active' WHERE endpoint_id = 'orders';

-- what goes with an endpoint
SELECT integ_publish('order.late', '{}', '{"deliver_at": "2999-01-01", "endpoint": "orders"}') AS message \gset
DELETE FROM integ.endpoints;
SELECT state, last_error FROM integ.deliveries WHERE message = :'message';
SELECT count(*) FROM integ.credentials WHERE owner_kind = 'endpoint' AND owner_id NOT LIKE '00000000%';
DELETE FROM integ.members WHERE role::text LIKE 'endpoints_%';
DELETE FROM integ.clients WHERE id = 'acme_out';
DROP ROLE endpoints_admin, endpoints_user;
DROP FUNCTION delivered(uuid, text);
