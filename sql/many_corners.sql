-- Many calls of one method where credentials are rotated, a function sees each answer, or slots are few.
\getenv provider_url INTEG_PROVIDER_URL
\getenv provider_token INTEG_PROVIDER_TOKEN
SET client_min_messages = warning;
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CREATE SCHEMA mc;
CREATE FUNCTION mc.after(call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF call -> 'input' ->> 'code' = 'DE' THEN
        RAISE EXCEPTION 'not this one';
    END IF;
    RETURN jsonb_build_object('seen', call -> 'result' ->> 'name');
END
$$;
SELECT integ_define($${"integrationId": "mc_svc", "name": "Corners", "version": "1.0.0",
 "baseUrl": "{config.base_url}", "authType": "bearer", "circuitBreaker": {"failureThreshold": 1000},
 "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
 "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
 "methods": [
  {"id": "get", "name": "Get", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object", "properties":
    {"code": {"type": "string"}}}, "request": {"method": "GET", "path": "/v1/countries/{code}"},
    "response": {"map": {"name": ".data.name"}}},
  {"id": "asked", "name": "Asked", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object",
    "properties": {"code": {"type": "string"}}}, "request": {"method": "GET", "path": "/v1/countries/{code}"},
    "response": {"map": {"name": ".data.name"}}, "handler": {"after": "mc.after"}},
  {"id": "few", "name": "Few", "access": "read", "outputSchema": {}, "inputSchema": {},
    "rateLimit": {"concurrent": 2, "windows": [{"limit": 3, "perMs": 1000}]},
    "request": {"method": "GET", "path": "/echo/few", "query": {"_fault": "delay", "ms": "50"}}}]}$$::jsonb);
SELECT integ_connect('mc_svc', 'mc_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;

-- A new token that the service does not take: each call goes on with the one before; one that it takes stays.
SELECT integ_credential_set('mc_main', 'token', :'provider_token');
SELECT integ_credential_rotate('mc_main', 'token', 'a wrong token');
SELECT ordinal, ok, result FROM integ_execute_many('mc_main', 'get', ARRAY['{"code": "FR"}', '{"code": "XX"}',
    '{"code": "DE"}']::jsonb[]);
SELECT name, state FROM integ.credentials WHERE owner_id = (SELECT id::text FROM integ.instances WHERE instance_id =
    'mc_main') ORDER BY state;
SELECT integ_credential_delete('mc_main', 'token');
SELECT integ_credential_set('mc_main', 'token', 'a wrong token');
SELECT integ_credential_rotate('mc_main', 'token', :'provider_token');
SELECT ordinal, ok, result FROM integ_execute_many('mc_main', 'get', ARRAY['{"code": "FR"}',
    '{"code": "DE"}']::jsonb[]);
CALL pg_temp.wait_for($$SELECT count(*) = 1 FROM integ.credentials WHERE owner_id = (SELECT id::text FROM
    integ.instances WHERE instance_id = 'mc_main')$$);

-- A function of the definition sees each answer; what it raises ends that call alone.
SELECT ordinal, ok, result, sqlstate, message FROM integ_execute_many('mc_main', 'asked', ARRAY['{"code": "FR"}',
    '{"code": "DE"}', '{"code": "AT"}']::jsonb[]);

-- No more at a time than the service takes, and not before it takes more; who does not want to wait is told.
SELECT count(*), bool_and(ok) FROM integ_execute_many('mc_main', 'few', array_fill('{}'::jsonb, ARRAY[7]),
    '{"concurrency": 7, "max_wait": "30 s"}');
SELECT count(*) FILTER (WHERE ok) <= 3 AS some, string_agg(DISTINCT sqlstate, ' ') AS others, bool_and(ok OR retry_at >
    now()) AS later FROM integ_execute_many('mc_main', 'few', array_fill('{}'::jsonb, ARRAY[7]));

DELETE FROM integ.instances WHERE instance_id = 'mc_main';
SELECT integ_undefine('mc_svc');
DROP SCHEMA mc CASCADE;
