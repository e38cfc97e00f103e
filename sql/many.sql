-- Many calls of one method at once.
\getenv provider_url INTEG_PROVIDER_URL
\getenv provider_token INTEG_PROVIDER_TOKEN
SELECT integ_define($${
  "integrationId": "many_test", "name": "Many", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [
    {"id": "get", "name": "Get", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["code"], "properties": {"code": {"type": "string",
         "pattern": "^[A-Z]{2}$"}}},
     "request": {"method": "GET", "path": "/v1/countries/{code}"}, "response": {"map": {"name": ".data.name"}}},
    {"id": "slow", "name": "Slow", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/echo/{i}", "query": {"_fault": "delay", "ms": "{ms}"}},
         "response": {"map": {"path": ".path"}}},
    {"id": "put", "name": "Put", "access": "write", "inputSchema": {"type": "object",
        "properties": {"i": {"type": "integer"}}},
     "outputSchema": {}, "request": {"method": "POST", "path": "/echo/put", "body": {"i": "{i}"}},
         "response": {"map": {"i": ".json.i"}}},
    {"id": "fail", "name": "Fail", "access": "write", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/fault/status", "query": {"code": "{code}", "retry_after": "100"}}},
    {"id": "approve", "name": "Approve", "access": "write", "approvalRequired": true, "inputSchema": {},
        "outputSchema": {},
     "request": {"method": "POST", "path": "/echo"}}
  ]}$$::jsonb);
SELECT integ_connect('many_test', 'many', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
SELECT integ_credential_set('many', 'token', :'provider_token');
SELECT integ_connect('many_test', 'many_fail', jsonb_build_object('base_url',
    :'provider_url')) IS NOT NULL AS connected;
SELECT integ_credential_set('many_fail', 'token', :'provider_token');

-- Each input its outcome, in their order; what is wrong with one stops no other.
SELECT ordinal, ok, result, sqlstate, message FROM integ_execute_many('many', 'get',
    ARRAY['{"code": "FR"}', '{"code": "fr"}', NULL, '{"code": "ZZ"}', '{"code": "DE"}', '[]']::jsonb[]);
-- The slowest first: the order stays.
SELECT array_agg(ordinal) AS ordinals, array_agg(result ->> 'path') AS paths
FROM integ_execute_many('many', 'slow',
    (SELECT array_agg(jsonb_build_object('i', i, 'ms', (20 - i) * 5)) FROM generate_series(1, 20) AS i),
        '{"concurrency": 20}');
-- None, one, and as many as are allowed; fewer at a time than inputs.
SELECT count(*) FROM integ_execute_many('many', 'get', '{}');
SELECT count(*) FROM integ_execute_many('many', 'get', NULL);
SELECT count(*), bool_and(ok), bool_and(ordinal = (result ->> 'i')::int)
FROM integ_execute_many('many', 'put', (SELECT array_agg(jsonb_build_object('i', i)) FROM generate_series(1,
    250) AS i), '{"concurrency": 100}');
SELECT count(*), bool_and(ok) FROM integ_execute_many('many', 'put',
    (SELECT array_agg(jsonb_build_object('i', i)) FROM generate_series(1, 7) AS i), '{"concurrency": 1}');
-- What the service says of a write; a 429 says when.
SELECT ordinal, ok, sqlstate, retry_at > clock_timestamp() AS later
FROM integ_execute_many('many_fail', 'fail', ARRAY['{"code": "422"}', '{"code": "500"}', '{"code": "200"}',
    '{"code": "429"}']::jsonb[], '{"concurrency": 1}');

-- What needs an approval waits for one.
SELECT ordinal, ok, sqlstate, message FROM integ_execute_many('many', 'approve', ARRAY['{"i": 1}',
    '{"i": 2}']::jsonb[]);

-- What is wrong with all is raised once, before anything is sent.
\set VERBOSITY terse
SELECT * FROM integ_execute_many('many', 'nothing', ARRAY['{}']::jsonb[]);
SELECT * FROM integ_execute_many('nobody', 'get', ARRAY['{}']::jsonb[]);
SELECT * FROM integ_execute_many('many', NULL, ARRAY['{}']::jsonb[]);
SELECT * FROM integ_execute_many('many', 'get', ARRAY['{}']::jsonb[], '{"concurrency": 101}');
SELECT * FROM integ_execute_many('many', 'get', ARRAY['{}']::jsonb[], '{"concurrency": 0}');
SELECT * FROM integ_execute_many('many', 'get', ARRAY['{}']::jsonb[], '{"at_once": 3}');
BEGIN READ ONLY;
SELECT ok FROM integ_execute_many('many', 'get', ARRAY['{"code": "FR"}']::jsonb[]);
SELECT ok FROM integ_execute_many('many', 'put', ARRAY['{}']::jsonb[]);
ROLLBACK;
\set VERBOSITY default

-- The audit of writes stays although their transaction is rolled back.
BEGIN;
SELECT count(*) FROM integ_execute_many('many', 'put', ARRAY['{"i": 1}', '{"i": 2}']::jsonb[]);
ROLLBACK;
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT (SELECT count(*) FROM integ.audit_log WHERE instance_id LIKE 'many%'
    AND action = 'call.write' AND outcome <> 'pending') >= 265
    AND (SELECT count(*) FROM integ.requests WHERE instance_id LIKE 'many%') >= 287$$);
SELECT method, outcome, count(*) FROM integ.audit_log WHERE instance_id LIKE 'many%'
    AND action = 'call.write' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT method, status, count(*), count(DISTINCT call_id) AS calls FROM integ.requests
    WHERE instance_id LIKE 'many%' GROUP BY 1, 2 ORDER BY 1, 2;

-- A cancel ends all at once: what was under way is unknown, what was not sent is not.
SET statement_timeout = '300ms';
SELECT * FROM integ_execute_many('many', 'slow', (SELECT array_agg('{"i": 1, "ms": 60000}'::jsonb)
    FROM generate_series(1, 30)), '{"concurrency": 5}');
RESET statement_timeout;
SELECT count(*), bool_and(ok) FROM integ_execute_many('many', 'get', ARRAY['{"code": "FR"}']::jsonb[]);

DELETE FROM integ.instances WHERE instance_id LIKE 'many%';
SELECT integ_undefine('many_test');
