-- Durable calls against the local service of the tests.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY terse
-- The service counts by key, also over the runs of this test.
SELECT gen_random_uuid() AS run \gset

SELECT integ_define($$
{
  "integrationId": "calls_svc", "name": "Calls", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "rateLimit": {"concurrent": 4},
  "methods": [
    {"id": "get", "name": "Get", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "additionalProperties": false,
                     "properties": {"n": {"type": "integer"}, "limit": {"type": "integer", "default": 7}}},
     "request": {"method": "GET", "path": "/echo/get", "query": {"n": "{n}", "limit": "{limit}"}},
     "response": {"map": {"path": ".path", "query": ".query"}}},
    {"id": "once", "name": "Fails first", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"},
         "times": {"type": "integer", "default": 1}, "code": {"type": "integer", "default": 500}}},
     "request": {"method": "GET", "path": "/fault/once",
         "query": {"key": "{key}", "times": "{times}", "code": "{code}"}},
     "response": {"map": {"ok": "."}}},
    {"id": "status", "name": "Status", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"code": {"type": "integer"}}},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "{code}"}}},
    {"id": "post", "name": "Post", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}},
     "request": {"method": "POST", "path": "/echo/post", "body": {"n": "{n}"}},
     "response": {"map": {"method": ".method"}}},
    {"id": "post_fails", "name": "Post that fails", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {}},
     "request": {"method": "POST", "path": "/fault/status", "query": {"code": 500}}},
    {"id": "post_again", "name": "Post that may be repeated", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"}}},
     "idempotency": {"header": "Idempotency-Key"},
     "request": {"method": "POST", "path": "/fault/once", "query": {"key": "{key}", "times": 1, "code": 503}}},
    {"id": "gated", "name": "Needs an approval", "access": "write", "approvalRequired": true, "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {}},
     "request": {"method": "POST", "path": "/echo"}}
  ]
}
$$::jsonb);
SELECT integ_connect('calls_svc', 'calls_main',
    jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;

-- A committed call is done, and its outcome waits to be read.
SELECT integ_enqueue('calls_main', 'get', '{"n": 1}') AS id \gset
SELECT integ_await(:'id', '20 s') - 'call' AS outcome;
SELECT state, instance_id, method, is_write, input, result, attempt, finished_at >= created_at AS ended, owner
FROM integ.calls WHERE id = :'id';

-- What has not committed does not leave.
BEGIN;
SELECT integ_enqueue('calls_main', 'get', '{"n": 2}') AS id \gset
SELECT state FROM integ.calls WHERE id = :'id';
\set VERBOSITY sqlstate
SELECT integ_await(:'id', '1 s');
ROLLBACK;
SELECT integ_await(:'id', '1 s');
\set VERBOSITY terse

-- Mistakes show at once.
SELECT integ_enqueue('calls_main', 'get', '{"n": "one"}');
SELECT integ_enqueue('calls_main', 'nothing');
SELECT integ_enqueue('calls_nowhere', 'get');
SELECT integ_enqueue('calls_main', 'get', '[]');
SELECT integ_enqueue(NULL, 'get');
SELECT integ_enqueue('calls_main', 'get', '{}', '{"prio": 1}');
SELECT integ_enqueue('calls_main', 'get', '{}', '{"priority": 11}');
SELECT integ_enqueue('calls_main', 'get', '{}', '{"timeout": -1}');
SELECT integ_enqueue('calls_main', 'get', '{}', '{"timeout": "2 years"}');
SELECT integ_enqueue('calls_main', 'get', '{}', '{"max_attempts": 0}');
SELECT integ_enqueue('calls_main', 'get', '{}', '{"run_at": "infinity"}');
SELECT integ_enqueue('calls_main', 'get', '{}', '{"run_at": "someday"}');
SELECT integ_enqueue('calls_main', 'get', '{}', jsonb_build_object('ordering_key', repeat('k', 1000000)));
SELECT integ_enqueue('calls_main', 'get', '{}', '{"ordering_key": ""}');
SELECT integ_enqueue('calls_main', 'get', '{}', '{"on_success": "now"}');
BEGIN READ ONLY;
SELECT integ_enqueue('calls_main', 'post');
ROLLBACK;

-- A read that fails is tried again; a final answer is final.
SELECT integ_enqueue('calls_main', 'once', jsonb_build_object('key', 'calls-1-' || :'run')) AS id \gset
SELECT o ->> 'state' AS state, o ->> 'attempts' AS attempts FROM integ_await(:'id', '20 s') o;
SELECT integ_enqueue('calls_main', 'status', '{"code": 500}', '{"max_attempts": 1}') AS id \gset
SELECT o ->> 'state' AS state, o ->> 'attempts' AS attempts, o #>> '{error,sqlstate}' AS sqlstate
    FROM integ_await(:'id', '20 s') o;
SELECT integ_enqueue('calls_main', 'status', '{"code": 404}') AS id \gset
SELECT o ->> 'state' AS state, o ->> 'attempts' AS attempts, o #>> '{error,sqlstate}' AS sqlstate
    FROM integ_await(:'id', '20 s') o;
SELECT count(*) FROM integ.calls_open WHERE instance_id = 'calls_main';

-- A write: done once; unknown where it may have been carried out; repeated only where the service knows it again.
SELECT integ_enqueue('calls_main', 'post', '{"n": 3}') AS id \gset
SELECT integ_await(:'id', '20 s') - 'call' AS outcome;
SELECT integ_enqueue('calls_main', 'post_fails') AS unknown_id \gset
SELECT o ->> 'state' AS state, o ->> 'attempts' AS attempts, o #>> '{error,sqlstate}' AS sqlstate
    FROM integ_await(:'unknown_id', '20 s') o;
SELECT integ_enqueue('calls_main', 'post_again', jsonb_build_object('key', 'calls-2-' || :'run')) AS id \gset
SELECT o ->> 'state' AS state, o ->> 'attempts' AS attempts FROM integ_await(:'id', '20 s') o;

-- A call whose outcome is unknown is repeated by a person's word only.
\set VERBOSITY sqlstate
SELECT integ_call_retry(:'unknown_id');
\set VERBOSITY terse
SELECT integ_call_retry(:'unknown_id', '{"confirm": true}') = :'unknown_id' AS again;
SELECT o ->> 'state' AS state, o ->> 'attempts' AS attempts FROM integ_await(:'unknown_id', '20 s') o;
\set VERBOSITY sqlstate
SELECT integ_call_retry(:'id');
SELECT integ_call_retry('00000000-0000-7000-8000-000000000000');
\set VERBOSITY terse

-- Many are enqueued again by what they have in common.
SELECT count(integ_enqueue('calls_main', 'status', jsonb_build_object('code', code), '{"max_attempts": 1}'))
FROM unnest(ARRAY[404, 404, 404, 500]) code;
SELECT integ_await(id, '20 s') ->> 'state' AS state FROM integ.calls WHERE method = 'status' ORDER BY id;
SELECT count(*) FROM integ_calls_retry(jsonb_build_object('instance', 'calls_main', 'method', 'status', 'sqlstate',
    'IG502', 'since', now() - interval '1 hour'));
SELECT count(*) FROM integ_calls_retry(jsonb_build_object('method', 'status', 'until', now() - interval '1 hour'));
BEGIN;
SELECT count(r) = 2 AS limited, min(r::text) = (SELECT min(id::text) FROM integ.calls
    WHERE method = 'status' AND last_sqlstate = 'IG422') AS oldest_first
FROM integ_calls_retry('{"definition": "calls_svc", "sqlstate": "IG422", "state": "failed", "limit": 2}') r;
ROLLBACK;
SELECT count(*) FROM integ_calls_retry('{"instance": "calls_main", "state": "cancelled"}');
SELECT integ_calls_retry('{}');
SELECT integ_calls_retry(NULL);
SELECT integ_calls_retry('{"state": "dead"}');
SELECT integ_calls_retry('{"method": "get", "state": "succeeded"}');
SELECT integ_calls_retry('{"method": "post_fails", "state": "unknown"}');
SELECT integ_calls_retry('{"method": "post_fails", "limit": 0}');
SELECT integ_calls_retry('{"since": "tomorrow or so"}');
SELECT integ_calls_retry('{"instances": "calls_main"}');
SELECT count(*) AS repeated FROM integ_calls_retry('{"method": "post_fails", "state": "unknown", "confirm": true}');
SELECT integ_await(id, '20 s') ->> 'state' AS state FROM integ.calls WHERE method IN ('status', 'post_fails')
    ORDER BY id;

-- What integ itself made is nobody's to repeat: as a call without its purpose it would be another.
INSERT INTO integ.calls_done
SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'purpose', 'webhook',
    'method', 'errand'))).*
FROM integ.calls_done c WHERE method = 'status' AND state = 'failed' LIMIT 1
RETURNING id AS errand \gset
\set VERBOSITY sqlstate
SELECT integ_call_retry(:'errand');
\set VERBOSITY terse
SELECT count(*) FROM integ_calls_retry('{"instance": "calls_main", "method": "errand"}');
SELECT state, purpose FROM integ.calls_done WHERE id = :'errand';

-- Cancelled before it ran; and run after all.
SELECT integ_enqueue('calls_main', 'get', '{"n": 4}',
    jsonb_build_object('run_at', now() + interval '1 day')) AS id \gset
SELECT integ_call_cancel(:'id');
SELECT integ_call_cancel(:'id');
SELECT state, attempt, result FROM integ.calls WHERE id = :'id';
SELECT integ_call_retry(:'id') = :'id' AS again;
SELECT o ->> 'state' AS state, o #>> '{result,query}' AS query FROM integ_await(:'id', '20 s') o;
\set VERBOSITY sqlstate
SELECT integ_call_cancel(:'id');
\set VERBOSITY terse

-- Steered by UPDATE: what was to run tomorrow runs now.
SELECT integ_enqueue('calls_main', 'get', '{"n": 5}',
    jsonb_build_object('run_at', now() + interval '1 day')) AS id \gset
\set VERBOSITY sqlstate
SELECT integ_await(:'id', '100 ms');
-- a wait ends with its statement
SET statement_timeout = '100ms';
SELECT integ_await(:'id', '20 s');
RESET statement_timeout;
\set VERBOSITY terse
UPDATE integ.calls_open SET run_at = now() WHERE id = :'id';
SELECT o ->> 'state' AS state FROM integ_await(:'id', '20 s') o;
UPDATE integ.calls_open SET run_at = 'infinity' WHERE false;

-- Too late to begin.
SELECT integ_enqueue('calls_main', 'get', '{}',
    jsonb_build_object('expires_at', now() - interval '1 second')) AS id \gset
SELECT o ->> 'state' AS state, o #>> '{error,message}' AS message FROM integ_await(:'id', '20 s') o;

-- The same idempotency key is the same call; for another request it is a conflict.
SELECT integ_enqueue('calls_main', 'get', '{"n": 6}', '{"idempotency_key": "order-6"}') AS id \gset
SELECT integ_enqueue('calls_main', 'get', '{"n": 6}', '{"idempotency_key": "order-6"}') = :'id' AS same;
SELECT integ_enqueue('calls_main', 'get', '{"n": 7}', '{"idempotency_key": "order-6"}');
BEGIN;
SELECT integ_enqueue('calls_main', 'get', '{"n": 8}', '{"idempotency_key": "order-8"}') AS gone \gset
ROLLBACK;
SELECT integ_enqueue('calls_main', 'get', '{"n": 8}', '{"idempotency_key": "order-8"}') <> :'gone' AS another;

-- One at a time and in order, whatever their priority.
SELECT count(integ_enqueue('calls_main', 'get', jsonb_build_object('n', g),
    jsonb_build_object('ordering_key', 'k', 'priority', g % 3)))
FROM generate_series(1, 20) g;
SELECT id AS last FROM integ.calls WHERE ordering_key = 'k' ORDER BY id DESC LIMIT 1 \gset
SELECT integ_await(:'last', '20 s') ->> 'state' AS state;
SELECT count(*) AS calls, bool_and(state = 'succeeded') AS succeeded,
       bool_and(started_at >= previous) AS one_after_the_other
FROM (SELECT state, started_at, lag(finished_at) OVER (ORDER BY id) AS previous FROM integ.calls
    WHERE ordering_key = 'k') c;

-- SERIALIZABLE sees nothing newer than its snapshot.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT integ_await(:'last', '1 s');
ROLLBACK;
SELECT integ_await(:'last', '-1 s');
SELECT integ_await(:'last', '1 hour -1 day');
SELECT integ_await(:'last', '1 day -1 hour') ->> 'state' AS state;
SELECT integ_await(:'last', '178000000 years') ->> 'state' AS state;
-- What this transaction enqueues happens after it: to wait for it would be to wait for ever.
BEGIN;
SELECT integ_enqueue('calls_main', 'get', '{"n": 9}', '{"idempotency_key": "order-9"}') AS own \gset
SAVEPOINT s;
\set VERBOSITY sqlstate
SELECT integ_await(:'own', '1 s');
\set VERBOSITY terse
ROLLBACK TO s;
COMMIT;
SELECT integ_await(:'own', '20 s') ->> 'state' AS state;

-- A user sees and manages its own calls, an administrator those of its client.
INSERT INTO integ.clients (id, name) VALUES ('calls_acme', 'Acme');
CREATE ROLE calls_ann LOGIN;
CREATE ROLE calls_bob LOGIN;
CREATE ROLE calls_adm LOGIN;
GRANT integ_user TO calls_ann, calls_bob;
GRANT integ_admin TO calls_adm;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('calls_ann', 'calls_acme', 'ann', 'user'), ('calls_bob', 'calls_acme', 'bob', 'user'),
        ('calls_adm', 'calls_acme', NULL, 'admin');
INSERT INTO integ.instance_grants (instance, client_id) SELECT id, 'calls_acme' FROM integ.instances
    WHERE instance_id = 'calls_main';
SET ROLE calls_ann;
SELECT integ_enqueue('calls_main', 'get', '{"n": 9}',
    jsonb_build_object('run_at', now() + interval '1 day')) AS id \gset
SELECT client_id, user_id, owner, state FROM integ.calls;
INSERT INTO integ.calls_open SELECT * FROM integ.calls_open;
UPDATE integ.calls_open SET state = 'running', lease = 1;
DELETE FROM integ.calls_open;
SELECT integ_call_cancel(:'id');
SET ROLE calls_bob;
SELECT count(*) FROM integ.calls;
SELECT count(*) AS of_another_user FROM integ_calls_retry('{"method": "get", "state": "cancelled"}');
SET ROLE calls_adm;
BEGIN;
SELECT count(*) AS of_the_client FROM integ_calls_retry('{"method": "get", "state": "cancelled"}');
SELECT count(*) AS of_another_client FROM integ_calls_retry('{"client": "*", "method": "status"}');
ROLLBACK;
SET ROLE calls_ann;
BEGIN;
SELECT count(*) AS own FROM integ_calls_retry('{"method": "get", "state": "cancelled"}');
UPDATE integ.calls_open SET next_attempt_at = run_at;
COMMIT;
SET ROLE calls_bob;
\set VERBOSITY sqlstate
SELECT integ_call_cancel(:'id');
SELECT integ_await(:'id', '1 s');
\set VERBOSITY terse
UPDATE integ.calls_open SET priority = 1;
SET ROLE calls_adm;
UPDATE integ.calls_open SET priority = 5;
SELECT priority FROM integ.calls WHERE id = :'id';
RESET ROLE;
-- An ordering key is its client's: whoever else calls the same instance with the same words waits for nobody.
SELECT integ_enqueue('calls_main', 'get', '{}', '{"ordering_key": "shared", "run_at": "2100-01-01"}') AS blocking \gset
SET ROLE calls_ann;
SELECT integ_enqueue('calls_main', 'get', '{}', '{"ordering_key": "shared"}') AS mine \gset
SELECT integ_await(:'mine', '20 s') ->> 'state' AS state;
RESET ROLE;
SELECT integ_call_cancel(:'blocking');

-- A call runs with the rights its owner has when it runs.
DELETE FROM integ.members WHERE role = 'calls_ann'::regrole;
UPDATE integ.calls_open SET next_attempt_at = now() WHERE id = :'id';
SELECT o ->> 'state' AS state, o #>> '{error,sqlstate}' AS sqlstate, o #>> '{error,message}' AS message
    FROM integ_await(:'id', '20 s') o;

-- A call to an instance that is no more.
SELECT integ_enqueue('calls_main', 'get', '{}', jsonb_build_object('run_at', now() + interval '1 day')) AS id \gset
DELETE FROM integ.instances WHERE instance_id = 'calls_main';
UPDATE integ.calls_open SET next_attempt_at = now() WHERE id = :'id';
SELECT o ->> 'state' AS state, o #>> '{error,sqlstate}' AS sqlstate FROM integ_await(:'id', '20 s') o;

SELECT count(*) FROM integ.calls_open;
DELETE FROM integ.members WHERE client_id = 'calls_acme';
DELETE FROM integ.clients WHERE id = 'calls_acme';
DROP ROLE calls_ann, calls_bob, calls_adm;
SELECT integ_undefine('calls_svc');
