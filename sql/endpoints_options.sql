-- Endpoints of one connection; keys that others verify with; deliveries that are steered; what is refused in words.
\getenv provider_url INTEG_PROVIDER_URL
SET client_min_messages = warning;
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CREATE SCHEMA eo;
SELECT integ_define($${"integrationId": "eo_svc", "name": "Svc", "version": "1.0.0", "authType": "none",
 "baseUrl": "https://example.com", "methods": [{"id": "get", "name": "Get", "access": "read",
 "inputSchema": {"type": "object"}, "outputSchema": {}, "request": {"method": "GET", "path": "/"}}]}$$);
SELECT count(integ_connect('eo_svc', i)) FROM unnest('{eo_one,eo_two}'::text[]) i;
CREATE VIEW eo.sent AS
SELECT e.endpoint_id, d.event_type, d.state, d.message FROM integ.deliveries d JOIN integ.endpoints e
    ON e.id = d.endpoint WHERE e.endpoint_id LIKE 'eo_%' ORDER BY d.id;

-- Of one connection only what is about it.
SELECT count(*) FROM integ_endpoint_add(:'provider_url' || '/echo/eo', '{eo.*}',
    '{"endpoint_id": "eo_one", "instance": "eo_one"}');
SELECT integ_publish('eo.a', '{}', '{"instance": "eo_one"}') IS NOT NULL AS published,
    integ_publish('eo.b', '{}', '{"instance": "eo_two"}') IS NOT NULL AS other,
    integ_publish('eo.c', '{}') IS NOT NULL AS none;
CALL pg_temp.wait_for('SELECT bool_and(state = ''delivered'') FROM eo.sent');
SELECT endpoint_id, event_type FROM eo.sent;
SELECT integ_endpoint_add(:'provider_url', '{}', '{"instance": "eo_three"}');

-- Keys of endpoints that are signed asymmetrically: both while one is rotated.
SELECT public_key AS first FROM integ_endpoint_add(:'provider_url' || '/echo/eo', '{eo.none}',
    '{"endpoint_id": "eo_keys", "signature": "ed25519"}') \gset
SELECT array_agg(k) = ARRAY[:'first'] AS its_own FROM integ_endpoint_public_keys('eo_keys') k;
SELECT integ_credential_rotate('endpoint:' || id, 'secret', 'whsk_' || encode(decode(repeat('ab', 32), 'hex'),
    'base64')) FROM integ.endpoints WHERE endpoint_id = 'eo_keys';
SELECT count(*), bool_or(k = :'first') AS with_first, bool_and(k ~ '^whpk_') AS well_formed
FROM integ_endpoint_public_keys('eo_keys') k;
SELECT count(*) AS none FROM integ_endpoint_public_keys('eo_one');
SELECT integ_endpoint_public_keys('eo_nobody');

-- A delivery that waits is made at once; one under way is neither made again nor taken back.
SELECT count(*) FROM integ_endpoint_add(:'provider_url' || '/fault/once?key=eo&times=1&code=503', '{eo.later}',
    '{"endpoint_id": "eo_later", "retry_schedule": ["1 hour"]}');
SELECT integ_publish('eo.later', '{}') AS later \gset
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM integ.deliveries_open WHERE event_type = ''eo.later'' AND attempt = 1'
    ' AND state = ''queued''');
SELECT integ_delivery_replay(id) = id AS same FROM integ.deliveries_open WHERE event_type = 'eo.later';
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM integ.deliveries_done WHERE event_type = ''eo.later''');
SELECT state, attempt FROM integ.deliveries_done WHERE event_type = 'eo.later';
SELECT count(*) FROM integ_endpoint_add(:'provider_url' || '/fault/delay?ms=2000', '{eo.slow}',
    '{"endpoint_id": "eo_slow"}');
SELECT integ_publish('eo.slow', '{}') AS slow \gset
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM integ.deliveries_open WHERE event_type = ''eo.slow'''
    ' AND state = ''sending''');
\set VERBOSITY terse
SELECT id AS sending FROM integ.deliveries_open WHERE event_type = 'eo.slow' \gset
CREATE FUNCTION eo.trial(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE what INTO result;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID');
END
$$;
SELECT eo.trial(format('SELECT integ_delivery_replay(%L)', :'sending'));
SELECT eo.trial(format('SELECT integ_delivery_cancel(%L)', :'sending'));
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM integ.deliveries_done WHERE event_type = ''eo.slow''');
SELECT state FROM integ.deliveries_done WHERE event_type = 'eo.slow';
SELECT eo.trial(format('SELECT integ_delivery_cancel(%L)', :'sending'));
-- Of an endpoint that is gone nothing can be sent again.
DELETE FROM integ.endpoints WHERE endpoint_id = 'eo_slow';
SELECT eo.trial(format('SELECT integ_delivery_replay(%L)', :'sending'));

-- One ordered by key, of which the first is cancelled before it is due: the next goes.
SELECT count(*) FROM integ_endpoint_add(:'provider_url' || '/echo/eo', '{eo.key}',
    '{"endpoint_id": "eo_key", "ordered": true}');
SELECT integ_publish('eo.key', '{"n": 1}', jsonb_build_object('key', 'k', 'deliver_at', now() + interval '1 day'))
    AS head \gset
SELECT integ_publish('eo.key', '{"n": 2}', '{"key": "k"}') AS next \gset
SELECT integ_delivery_cancel(id) FROM integ.deliveries_open WHERE message = :'head';
CALL pg_temp.wait_for('SELECT count(*) = 2 FROM integ.deliveries_done WHERE event_type = ''eo.key''');
SELECT payload ->> 'n' AS n, state FROM integ.deliveries_done WHERE event_type = 'eo.key' ORDER BY 1;

-- Answers that are none, and that are no text.
SELECT count(*) FROM (VALUES ('garbage', '/fault/garbage'), ('binary', '/fault/binary')) v (name, path),
    integ_endpoint_add(:'provider_url' || path, ARRAY['eo.' || name], jsonb_build_object('endpoint_id', 'eo_' || name,
    'retry_schedule', '[]'::jsonb)) e;
SELECT count(integ_publish('eo.' || name, '{}')) FROM unnest('{garbage,binary}'::text[]) name;
CALL pg_temp.wait_for($$SELECT count(*) = 2 FROM integ.deliveries_done WHERE event_type ~ '^eo.(garbage|binary)'$$);
SELECT d.event_type, d.state, a.status, a.sqlstate, a.response FROM integ.deliveries_done d
    JOIN integ.delivery_attempts a ON a.message = d.message WHERE d.event_type ~ '^eo.(garbage|binary)' ORDER BY 1;

-- What cannot be right is said when it is written.
SELECT eo.trial($$SELECT integ_endpoint_add(NULL)$$);
SELECT eo.trial($$SELECT integ_endpoint_add('https://example.com/', '{}', '{"signature": "rsa"}')$$);
SELECT eo.trial($$INSERT INTO integ.endpoints (endpoint_id, url, event_types) VALUES ('eo_x', 'https://x.example/',
    '{a,NULL}')$$);
SELECT eo.trial($$INSERT INTO integ.endpoints (endpoint_id, url, secrets) VALUES ('eo_x', 'https://x.example/',
    '{a,b,c,d,e,f,g,h,i,j,k}')$$);
SELECT eo.trial($$INSERT INTO integ.endpoints (endpoint_id, url, secrets) VALUES ('eo_x', 'https://x.example/',
    '{NULL}')$$);
SELECT eo.trial($$INSERT INTO integ.endpoints (endpoint_id, url, signature_header) VALUES ('eo_x', 'https://x.example/',
    'Webhook-Mine')$$);
SELECT eo.trial($$INSERT INTO integ.endpoints (endpoint_id, url, retry_schedule) SELECT 'eo_x', 'https://x.example/',
    array_agg(interval '1 second') FROM generate_series(1, 1000)$$);
SELECT eo.trial($$SELECT integ_publish('eo.a', '{}', '{"key": ""}')$$);
SELECT eo.trial($$SELECT integ_publish('eo.a', '{}', jsonb_build_object('idempotency_key', repeat('k', 1000)))$$);
SELECT eo.trial($$SELECT integ_publish('eo.a', '{}', '{"endpoint": "eo_one", "endpoints": ["eo_keys"]}')$$);
SELECT eo.trial($$SELECT integ_publish('eo.a', '{}', '{"endpoints": [1]}')$$);
SELECT eo.trial($$SELECT integ_publish('eo.a', '{}', '{"instance": "eo_three"}')$$);
SELECT eo.trial($$SELECT integ_deliveries_replay('{"endpoint": "eo_one", "state": "sent"}')$$);
SELECT eo.trial($$SELECT integ_deliveries_replay('{"endpoint": "eo_one", "limit": 0}')$$);
\set VERBOSITY default
ALTER SYSTEM SET integ.delivery_schedule = '5 s, , 1 min';
ALTER SYSTEM SET integ.delivery_schedule = '40 days';
SELECT string_agg('1 s', ' , ') AS many FROM generate_series(1, 65) \gset
\set VERBOSITY terse
ALTER SYSTEM SET integ.delivery_schedule = :'many';
ALTER SYSTEM SET integ.delivery_schedule = ' 5 s , 1 min ';
ALTER SYSTEM RESET integ.delivery_schedule;

-- A client's administrator publishes for its client, with its endpoints and those for all; superadmins for any.
INSERT INTO integ.clients (id, name) VALUES ('eo_acme', 'Acme');
CREATE ROLE eo_admin LOGIN;
GRANT integ_admin TO eo_admin;
GRANT USAGE ON SCHEMA eo TO eo_admin;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('eo_admin', 'eo_acme', 'ann', 'admin');
SELECT integ_publish('eo.acme', '{}', '{"client": "eo_acme", "deliver_at": "2999-01-01"}') IS NOT NULL AS published;
SET ROLE eo_admin;
SELECT eo.trial($$SELECT integ_publish('eo.a', '{}', '{"client": "another"}')$$);
SELECT eo.trial($$SELECT endpoint FROM integ_endpoint_add('https://x.example/', '{}', '{"client": "another"}')$$);
SELECT eo.trial(format('SELECT integ_delivery_cancel(%L)', :'sending'));
SELECT endpoint IS NOT NULL AS added FROM integ_endpoint_add('https://x.example/', '{eo.mine*}',
    '{"endpoint_id": "eo_mine"}');
SELECT integ_publish('eo.mine', '{}', '{"deliver_at": "2999-01-01"}') IS NOT NULL AS published;
SELECT integ_delivery_cancel(id) FROM integ.deliveries WHERE event_type = 'eo.mine';
RESET ROLE;

-- Rows of a table: the client in a column, keys, partitions that are nobody's, and triggers that were not made by us.
CREATE TABLE eo.rows (id integer PRIMARY KEY, client text, key text, note text);
SELECT integ_publish_changes('eo.rows', '{"event": "eo.mine", "key": "key", "client_column": "client"}');
BEGIN;
INSERT INTO eo.rows VALUES (1, 'eo_acme', 'k', 'a'), (2, NULL, 'k', 'nobody''s'), (3, '', NULL, 'nor this'),
    (4, 'eo_acme', NULL, 'without a key');
UPDATE eo.rows SET note = note;
SELECT payload -> 'row' ->> 'note' AS note, key, event_client FROM integ.deliveries_open WHERE event_type ~ '^eo.mine'
ORDER BY id;
ROLLBACK;
BEGIN;
INSERT INTO eo.rows SELECT i, CASE WHEN i % 2 = 0 THEN 'eo_acme' END, NULL, 'many' FROM generate_series(1, 5000) i;
SELECT count(*) FROM integ.deliveries_open WHERE event_type = 'eo.mine.created';
ROLLBACK;
CREATE TABLE eo.quiet (id integer);
SELECT integ_publish_changes('eo.quiet', '{"event": "nobody.listens"}');
INSERT INTO eo.quiet VALUES (1);
SELECT count(*) FROM integ.deliveries_open WHERE event_type ~ 'nobody';
SELECT eo.trial($$INSERT INTO eo.rows VALUES (5, 'eo_acme', repeat('k', 1000), 'x')$$);
CREATE TRIGGER by_row AFTER INSERT ON eo.rows FOR EACH ROW EXECUTE FUNCTION integ.tg_publish_changes('{}');
SELECT eo.trial($$INSERT INTO eo.rows VALUES (6, 'eo_acme', 'k', 'x')$$);
DROP TRIGGER by_row ON eo.rows;
CREATE TRIGGER unnamed AFTER INSERT ON eo.rows REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION
    integ.tg_publish_changes('{"event": "integ.forged"}');
SELECT eo.trial($$INSERT INTO eo.rows VALUES (7, 'eo_acme', 'k', 'x')$$);
DROP TRIGGER unnamed ON eo.rows;
GRANT CREATE ON SCHEMA eo TO eo_admin;
ALTER TABLE eo.rows OWNER TO eo_admin;
SELECT eo.trial($$INSERT INTO eo.rows VALUES (8, 'another', 'k', 'x')$$);

DROP TABLE eo.rows, eo.quiet;
DELETE FROM integ.endpoints WHERE endpoint_id LIKE 'eo_%';
DELETE FROM integ.instances WHERE instance_id LIKE 'eo_%';
SELECT integ_undefine('eo_svc');
DELETE FROM integ.members WHERE client_id = 'eo_acme';
DELETE FROM integ.clients WHERE id = 'eo_acme';
DROP SCHEMA eo CASCADE;
DROP OWNED BY eo_admin;
DROP ROLE eo_admin;
