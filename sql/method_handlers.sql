-- SQL functions around a method's requests, and in place of credentials, as the role that defined the integration.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY terse

INSERT INTO integ.clients (id, name) VALUES ('mh_acme', 'Acme');
CREATE ROLE mh_definer LOGIN;
CREATE ROLE mh_user LOGIN;
GRANT integ_admin TO mh_definer;
GRANT integ_user TO mh_user;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('mh_definer', 'mh_acme', NULL, 'admin'), ('mh_user', 'mh_acme', 'ann', 'user');
CREATE SCHEMA mh AUTHORIZATION mh_definer;
SET ROLE mh_definer;
CREATE TABLE mh.seen (id bigint GENERATED ALWAYS AS IDENTITY, what text, argument jsonb,
    session_name text DEFAULT session_user);
CREATE FUNCTION mh.before(call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mh.seen (what, argument) VALUES ('before', call - 'config');
    IF call -> 'input' ->> 'name' = 'forbidden' THEN
        RAISE EXCEPTION 'nobody is called forbidden' USING HINT = 'Choose another name.';
    ELSIF call -> 'input' ->> 'name' = 'coded' THEN
        RAISE EXCEPTION 'not here' USING ERRCODE = 'IG404';
    ELSIF call -> 'input' ->> 'name' = 'broken' THEN
        PERFORM 1 / 0;
    ELSIF call -> 'input' ->> 'name' = 'wrong' THEN
        RETURN '{"name": 7}';
    ELSIF call -> 'input' ->> 'name' = 'list' THEN
        RETURN '[]';
    ELSIF call -> 'input' ->> 'name' = 'as it is' THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_set(call -> 'input', '{name}', to_jsonb(upper(call -> 'input' ->> 'name')));
END
$$;
CREATE FUNCTION mh.after(call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mh.seen (what, argument) VALUES ('after', call - 'config');
    IF call -> 'input' ->> 'name' = 'OOPS' THEN
        RAISE EXCEPTION 'that is no answer';
    END IF;
    RETURN jsonb_build_object('asked', call -> 'input' ->> 'name', 'got', call -> 'result');
END
$$;
CREATE FUNCTION mh.sign(call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mh.seen (what, argument) VALUES ('sign', call - 'config');
    RETURN CASE call -> 'config' ->> 'kind'
        WHEN 'string' THEN '"Token very-secret-1"'
        WHEN 'object' THEN '{"headers": {"X-Sign": "very-secret-2"}, "query": {"sig": "very secret/3"}}'
        WHEN 'odd' THEN '{"headers": {"X-Sign": 4}}'
        WHEN 'empty' THEN '{}'
        WHEN 'break' THEN to_jsonb('very-secret-5' || E'\r\nX-Evil: 1')
    END::jsonb;
END
$$;
CREATE FUNCTION mh.counts(call jsonb) RETURNS integer LANGUAGE sql AS 'SELECT 1';
RESET ROLE;
REVOKE ALL ON FUNCTION mh.before(jsonb), mh.after(jsonb), mh.sign(jsonb) FROM PUBLIC;

CREATE FUNCTION pg_temp.manifest(method_handler jsonb, auth jsonb) RETURNS jsonb LANGUAGE sql AS $$
SELECT jsonb_build_object('integrationId', 'mh_svc', 'name', 'Method handlers', 'version', '1.0.0',
    'baseUrl', '{config.base_url}', 'authType', CASE WHEN auth IS NULL THEN 'none' ELSE 'custom' END,
    'configSchema', '{"type": "object", "properties": {"base_url": {"type": "string"},
        "kind": {"type": "string"}}}'::jsonb,
    'methods', jsonb_build_array(
        jsonb_build_object('id', 'hello', 'name', 'Hello', 'access', 'read', 'outputSchema', '{}'::jsonb,
            'inputSchema', '{"type": "object", "required": ["name"], "properties": {"name": {"type": "string"},
                "mood": {"type": "string", "default": "good"}}}'::jsonb,
            'request', '{"method": "GET", "path": "/echo/hello", "query": {"name": "{name}", "mood": "{mood}"}}'::jsonb,
            'response', '{"map": {"query": ".query"}}'::jsonb, 'handler', method_handler),
        '{"id": "plain", "name": "Plain", "access": "read", "inputSchema": {}, "outputSchema": {},
          "request": {"method": "GET", "path": "/echo/plain"}, "response": {"map": {"headers": ".headers",
              "query": ".query"}}}'::jsonb))
    || CASE WHEN auth IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('auth', auth) END
$$;

-- Mistakes show when the integration is defined.
SELECT integ_define(pg_temp.manifest('{"before": "mh.nothing"}', NULL));
SELECT integ_define(pg_temp.manifest('{"after": "mh.counts"}', NULL));
SELECT integ_define(pg_temp.manifest('{"before": "mh.before"}', '{"function": "mh.nothing"}'));
SELECT integ_define(pg_temp.manifest('{"before": "mh.before"}', '{"function": "mh.sign", "value": "x"}'));
SELECT integ_define(jsonb_set(pg_temp.manifest('{"before": "mh.before"}', '{"function": "mh.sign"}'), '{authType}',
    '"bearer"'));
SET ROLE mh_user;
SELECT integ_define(pg_temp.manifest('{"before": "mh.before", "after": "mh.after"}', NULL));
RESET ROLE;

GRANT USAGE ON SCHEMA mh TO mh_user;
SET ROLE mh_definer;
SELECT integ_define(pg_temp.manifest('{"before": "mh.before", "after": "mh.after"}', NULL));
SELECT integ_connect('mh_svc', 'mh_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
RESET ROLE;
SELECT owner FROM integ.definition_versions WHERE id = 'mh_svc';

-- Input and result pass by the functions; the caller may not call them, and their effects are not the caller's
-- transaction.
SET ROLE mh_user;
SELECT integ_execute('mh_main', 'hello', '{"name": "world"}');
BEGIN;
SELECT integ_execute('mh_main', 'hello', '{"name": "as it is"}');
ROLLBACK;
SELECT mh.before('{}');
RESET ROLE;
SELECT what, argument, session_name FROM mh.seen ORDER BY id;

-- What they refuse.
SET ROLE mh_user;
\set VERBOSITY default
SELECT integ_execute('mh_main', 'hello', '{"name": "forbidden"}');
\set VERBOSITY sqlstate
SELECT integ_execute('mh_main', 'hello', '{"name": "coded"}');
SELECT integ_execute('mh_main', 'hello', '{"name": "broken"}');
SELECT integ_execute('mh_main', 'hello', '{"name": "oops"}');
\set VERBOSITY terse
SELECT integ_execute('mh_main', 'hello', '{"name": "wrong"}');
SELECT integ_execute('mh_main', 'hello', '{"name": "list"}');
SELECT integ_execute('mh_main', 'hello', '{}');

-- The same for a durable call.
SELECT integ_enqueue('mh_main', 'hello', '{"name": "durable"}') AS id \gset
SELECT integ_await(:'id', '20 s') - 'call';
SELECT integ_enqueue('mh_main', 'hello', '{"name": "forbidden"}') AS id \gset
SELECT integ_await(:'id', '20 s') - 'call';
SELECT integ_enqueue('mh_main', 'hello', '{"name": "oops"}') AS id \gset
SELECT integ_await(:'id', '20 s') - 'call';
-- more than may be asked at once
SELECT count(integ_enqueue('mh_main', 'hello', jsonb_build_object('name', 'many ' || i))) FROM generate_series(1,
    150) i;
RESET ROLE;
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT count(*) = 0 FROM integ.calls_open WHERE instance_id = 'mh_main'$$);
SELECT state, count(*), count(DISTINCT result ->> 'asked'), max(attempt) FROM integ.calls
WHERE instance_id = 'mh_main' AND input ->> 'name' LIKE 'many%' GROUP BY state;

-- A method that is a function: nothing is sent, and a write leaves its trace in the audit all the same.
SET ROLE mh_definer;
SELECT integ_define('{"integrationId": "mh_own", "name": "Own", "version": "1.0.0",
    "baseUrl": "https://nobody.example", "authType": "none", "methods": [
    {"id": "look", "name": "Look", "access": "read", "inputSchema": {"type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}}}, "outputSchema": {}, "handler": {"before": "mh.before",
            "after": "mh.after"}},
    {"id": "change", "name": "Change", "access": "write", "inputSchema": {"type": "object",
        "properties": {"name": {"type": "string"}}}, "outputSchema": {}, "handler": {"after": "mh.after"}},
    {"id": "check", "name": "Check", "access": "read", "inputSchema": {"type": "object",
        "properties": {"name": {"type": "string"}}}, "outputSchema": {}, "handler": {"before": "mh.before"}}]}');
SELECT integ_connect('mh_own', 'mh_own_main', '{}') IS NOT NULL AS connected;
TRUNCATE mh.seen;
SET ROLE mh_user;
SELECT integ_execute('mh_own_main', 'look', '{"name": "ann"}');
SELECT integ_execute('mh_own_main', 'change', '{"name": "ann"}');
SELECT integ_execute('mh_own_main', 'check', '{"name": "ann"}') IS NULL AS nothing;
SELECT integ_execute('mh_own_main', 'look', '{"name": "forbidden"}');
SELECT integ_execute('mh_own_main', 'change', '{"name": "OOPS"}');
SELECT integ_execute('mh_own_main', 'look', '{}');
BEGIN READ ONLY;
SELECT integ_execute('mh_own_main', 'change', '{"name": "ann"}');
ROLLBACK;
SELECT * FROM integ_fetch('mh_own_main', 'look', '{"name": "list of one"}');
SELECT ordinal, ok, result, sqlstate, message FROM integ_execute_many('mh_own_main', 'look', ARRAY['{"name": "one"}',
    '{"name": "forbidden"}', '{"name": "two"}']::jsonb[]) ORDER BY 1;
SELECT integ_enqueue('mh_own_main', 'look', '{"name": "durable"}') AS id \gset
SELECT integ_await(:'id', '20 s') - 'call';
SELECT integ_enqueue('mh_own_main', 'change', '{"name": "OOPS"}') AS id \gset
SELECT integ_await(:'id', '20 s') - 'call';
SELECT integ_test('mh_own_main') ->> 'state' AS health;
RESET ROLE;
SELECT what, count(*) FROM mh.seen GROUP BY 1 ORDER BY 1;
CALL pg_temp.wait_for($$SELECT count(*) >= 3 FROM integ.audit_log WHERE instance_id = 'mh_own_main'
    AND action = 'call.write'$$);
SELECT method, outcome, count(*) FROM integ.audit_log WHERE instance_id = 'mh_own_main'
    AND action = 'call.write' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) FROM integ.requests WHERE instance_id = 'mh_own_main';
\set VERBOSITY default
SELECT integ_define('{"integrationId": "mh_odd", "name": "Odd", "version": "1.0.0", "methods": [{"id": "m",
    "name": "M", "inputSchema": {}, "outputSchema": {}, "handler": {"after": "mh.after"}, "access": "write",
        "approvalRequired": true}]}');
SELECT integ_define('{"integrationId": "mh_odd", "name": "Odd", "version": "1.0.0", "methods": [{"id": "m",
    "name": "M", "inputSchema": {}, "outputSchema": {}, "handler": {"after": "mh.after"}, "access": "write",
        "idempotency": {"header": "X"}}]}');
SELECT integ_define('{"integrationId": "mh_odd", "name": "Odd", "version": "1.0.0", "methods": [{"id": "m",
    "name": "M", "inputSchema": {}, "outputSchema": {}, "handler": {"after": "mh.after"}, "access": "read",
        "stream": "sse"}]}');
SELECT integ_define('{"integrationId": "mh_odd", "name": "Odd", "version": "1.0.0", "methods": [{"id": "m",
    "name": "M", "inputSchema": {}, "outputSchema": {}, "handler": {"after": "mh.after"}, "access": "read",
        "pagination": {"style": "link"}}]}');
SELECT integ_define('{"integrationId": "mh_odd", "name": "Odd", "version": "1.0.0", "healthCheck": "m",
    "methods": [{"id": "m", "name": "M", "access": "read", "inputSchema": {}, "outputSchema": {},
        "handler": {"after": "mh.after"}}]}');
\set VERBOSITY terse

-- Custom authentication: a string, or headers and query.
SET ROLE mh_definer;
SELECT integ_define(pg_temp.manifest('{"before": "mh.before", "after": "mh.after"}', '{"function": "mh.sign"}'),
    '{"replace": true}');
SELECT integ_connect('mh_svc', 'mh_' || kind, jsonb_build_object('base_url', :'provider_url', 'kind',
    kind)) IS NOT NULL AS connected
FROM unnest('{string,object,odd,empty,none,break}'::text[]) kind;
RESET ROLE;
SET ROLE mh_user;
-- What was sent is secret: masked where it is echoed.
SELECT integ_execute('mh_string', 'plain') -> 'headers' ->> 'authorization' AS echoed;
SELECT integ_execute('mh_object', 'plain') -> 'headers' ->> 'x-sign' AS header, integ_execute('mh_object',
    'plain') ->> 'query' AS query;
SELECT integ_execute('mh_odd', 'plain');
SELECT integ_execute('mh_empty', 'plain');
SELECT integ_execute('mh_none', 'plain');
SELECT integ_execute('mh_break', 'plain');
SELECT integ_enqueue('mh_string', 'plain') AS id \gset
SELECT integ_await(:'id', '20 s') -> 'result' -> 'headers' ->> 'authorization' AS echoed;
SELECT integ_enqueue('mh_none', 'plain') AS id \gset
SELECT integ_await(:'id', '20 s') - 'call' AS outcome;
RESET ROLE;
SELECT count(*) FROM integ.requests WHERE requests::text LIKE '%very-secret%';
SELECT count(*) FROM integ.calls WHERE calls::text LIKE '%very-secret%';
SELECT argument - 'instance' AS argument FROM mh.seen WHERE what = 'sign' ORDER BY id LIMIT 1;

-- A method that only an instance has: nobody answers for its functions.
INSERT INTO integ.instance_methods (id, instance, client_id, method)
SELECT 'own', id, client_id, '{"id": "own", "name": "Own", "access": "read", "inputSchema": {}, "outputSchema": {},
    "handler": {"before": "mh.before"},
    "request": {"method": "GET", "path": "/echo/own"}}' FROM integ.instances WHERE instance_id = 'mh_main';
SET ROLE mh_user;
SELECT integ_execute('mh_main', 'own');
RESET ROLE;

-- Whoever defines a version anew answers for it.
SELECT integ_define(jsonb_set(pg_temp.manifest('{"before": "mh.before"}', NULL), '{name}', '"New"'),
    '{"client": "mh_acme", "replace": true}');
SELECT owner = current_user::regrole AS mine FROM integ.definition_versions WHERE id = 'mh_svc';

DROP SCHEMA mh CASCADE;
SET ROLE mh_user;
SELECT integ_execute('mh_main', 'hello', '{"name": "gone"}');
RESET ROLE;
DELETE FROM integ.calls_open WHERE client_id = 'mh_acme';
DELETE FROM integ.instances WHERE definition IN ('mh_svc', 'mh_own');
SELECT integ_undefine('mh_own');
SELECT integ_undefine('mh_svc');
DELETE FROM integ.members WHERE client_id = 'mh_acme';
DELETE FROM integ.clients WHERE id = 'mh_acme';
DROP ROLE mh_definer;
DROP ROLE mh_user;
