-- Functions that integ calls, each as its owner: callbacks of durable calls.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY terse

SELECT integ_define($$
{
  "integrationId": "handlers_svc", "name": "Handlers", "version": "1.0.0",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "get", "name": "Get", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}},
     "request": {"method": "GET", "path": "/echo/get", "query": {"n": "{n}"}},
     "response": {"map": {"path": ".path"}}},
    {"id": "refused", "name": "Refused", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {}},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": 404}}}
  ]
}
$$::jsonb);
INSERT INTO integ.clients (id, name) VALUES ('handlers_acme', 'Acme');
CREATE ROLE handlers_app LOGIN;
CREATE ROLE handlers_pool LOGIN;
CREATE ROLE handlers_group NOLOGIN;
GRANT integ_user TO handlers_app, handlers_pool, handlers_group;
GRANT integ_impersonate TO handlers_pool;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('handlers_app', 'handlers_acme', 'ann', 'user'), ('handlers_group', 'handlers_acme', 'ann', 'user');
SELECT integ_connect('handlers_svc', 'handlers_main', jsonb_build_object('base_url',
    :'provider_url')) IS NOT NULL AS connected;
INSERT INTO integ.instance_grants (instance, client_id) SELECT id, '*' FROM integ.instances
    WHERE instance_id = 'handlers_main';

-- Waits until a query says true.
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait

CREATE SCHEMA handlers_code;
GRANT USAGE ON SCHEMA handlers_code TO handlers_app, handlers_pool;
CREATE TABLE handlers_code.seen (
    id bigint GENERATED ALWAYS AS IDENTITY, name text, argument jsonb,
    session_name text DEFAULT session_user, current_name text DEFAULT current_user,
    client text DEFAULT integ_current_client(), user_id text DEFAULT integ_current_user_id());
GRANT INSERT, SELECT ON handlers_code.seen TO handlers_app, handlers_pool;

CREATE FUNCTION handlers_code.good(call jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO handlers_code.seen (name, argument) VALUES ('good', call - 'call');
END
$$;
CREATE FUNCTION handlers_code.bad(call jsonb) RETURNS jsonb LANGUAGE sql BEGIN ATOMIC
    INSERT INTO handlers_code.seen (name, argument) VALUES ('bad', call - 'call') RETURNING to_jsonb(name);
END;
CREATE FUNCTION handlers_code.raises(call jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO handlers_code.seen (name) VALUES ('raises');
    RAISE EXCEPTION 'no, % times no', call ->> 'attempts' USING ERRCODE = 'P0042', DETAIL = 'the detail',
        HINT = 'the hint';
END
$$;
CREATE FUNCTION handlers_code.endless(call jsonb) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN LOOP PERFORM pg_sleep(1); END LOOP; END $$;
CREATE FUNCTION handlers_code.two(a jsonb, b jsonb) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION handlers_code.counts(call jsonb) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION handlers_code.lists(call jsonb) RETURNS SETOF jsonb LANGUAGE sql AS 'SELECT call';
CREATE FUNCTION handlers_code.secret(call jsonb) RETURNS void LANGUAGE sql AS '';
REVOKE ALL ON FUNCTION handlers_code.secret(jsonb) FROM PUBLIC;

-- Mistakes show when they are made.
SET ROLE handlers_app;
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_success": "handlers_code.nothing"}');
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_success": "good"}');
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_success": "handlers_code.two"}');
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_failure": "handlers_code.counts"}');
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_failure": "handlers_code.lists"}');
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_success": "handlers_code.secret"}');
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_success": "x; DROP TABLE y"}');
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_success": 1}');
RESET ROLE;

-- What succeeds, and what ends in another way; as its owner, for its client.
SET ROLE handlers_app;
SELECT integ_enqueue('handlers_main', 'get', '{"n": 1}', '{"on_success": "handlers_code.good",
    "on_failure": "handlers_code.bad"}') AS good \gset
SELECT integ_enqueue('handlers_main', 'refused', '{}', '{"on_success": "handlers_code.good",
    "on_failure": "handlers_code.bad"}') AS bad \gset
RESET ROLE;
CALL pg_temp.wait_for('SELECT count(*) = 2 FROM handlers_code.seen');
SELECT name, argument - 'error', argument -> 'error' ->> 'sqlstate' AS sqlstate, session_name, current_name, client,
    user_id
FROM handlers_code.seen ORDER BY name;
CALL pg_temp.wait_for($$SELECT count(*) = 2 FROM integ.handler_runs WHERE state = 'succeeded'
    AND owner = 'handlers_app'::regrole$$);
SELECT kind, owner, function, argument ->> 'call' = call::text AS of_call, client_id, user_id, attempt, last_error,
    finished_at >= started_at AS ended
FROM integ.handler_runs WHERE call IN (:'good', :'bad') ORDER BY kind;
SELECT on_success, on_failure FROM integ.calls WHERE id = :'good';

-- A role that acts for others: the function acts for the client of the call.
TRUNCATE handlers_code.seen;
SET ROLE handlers_pool;
BEGIN;
SELECT integ_act_as('handlers_acme', 'bob');
SELECT integ_enqueue('handlers_main', 'get', '{"n": 2}', '{"on_success": "handlers_code.good"}') IS NOT NULL AS
    enqueued;
COMMIT;
RESET ROLE;
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM handlers_code.seen');
SELECT session_name, client, user_id FROM handlers_code.seen;

-- A cancelled call has ended, too; one that is rolled back has not been there.
TRUNCATE handlers_code.seen;
SET ROLE handlers_app;
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_failure": "handlers_code.bad",
    "run_at": "2100-01-01 00:00+00"}') AS id \gset
SELECT integ_call_cancel(:'id');
BEGIN;
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_success": "handlers_code.good"}') IS NOT NULL AS enqueued;
ROLLBACK;
RESET ROLE;
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM handlers_code.seen');
SELECT argument ->> 'state' AS state, argument -> 'error' AS error FROM handlers_code.seen;

-- One that raises: its effects are gone, and what it says is kept; replayed, it is called again.
TRUNCATE handlers_code.seen;
SET ROLE handlers_app;
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_success": "handlers_code.raises"}') AS id \gset
RESET ROLE;
CALL pg_temp.wait_for($$SELECT count(*) = 1 FROM integ.handler_runs WHERE function = 'handlers_code.raises'
    AND last_error IS NOT NULL$$);
UPDATE integ.handler_runs SET max_attempts = 1 WHERE call = :'id';
CALL pg_temp.wait_for($$SELECT state = 'dead' FROM integ.handler_runs WHERE function = 'handlers_code.raises'$$);
SELECT state, last_sqlstate, last_error, error_detail, error_hint, attempt >= 1 AS tried FROM integ.handler_runs
    WHERE call = :'id';
SELECT count(*) FROM handlers_code.seen;
SELECT id AS run FROM integ.handler_runs WHERE call = :'id' \gset
\set VERBOSITY sqlstate
SET ROLE handlers_pool;
SELECT integ_handler_retry(:'run');
BEGIN;
SELECT integ_act_as('handlers_acme', 'bob');
SELECT integ_handler_retry(:'run');
ROLLBACK;
RESET ROLE;
CREATE OR REPLACE FUNCTION handlers_code.raises(call jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO handlers_code.seen (name) VALUES ('does not raise any more');
END
$$;
SET ROLE handlers_app;
SELECT integ_handler_retry(:'run') = :'run' AS again;
RESET ROLE;
CALL pg_temp.wait_for($$SELECT state = 'succeeded' FROM integ.handler_runs WHERE function = 'handlers_code.raises'$$);
SELECT last_error, name FROM integ.handler_runs, handlers_code.seen WHERE call = :'id';
SELECT integ_handler_retry(:'run');
SELECT integ_handler_retry('00000000-0000-7000-8000-000000000000');
\set VERBOSITY terse

-- One that never ends is cancelled; others of its owner do not wait for it.
TRUNCATE handlers_code.seen;
SET ROLE handlers_app;
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_success": "handlers_code.endless"}') AS id \gset
RESET ROLE;
CALL pg_temp.wait_for($$SELECT state = 'running' FROM integ.handler_runs WHERE function = 'handlers_code.endless'$$);
SET ROLE handlers_app;
SELECT integ_enqueue('handlers_main', 'get', '{}', '{"on_success": "handlers_code.good"}') IS NOT NULL AS enqueued;
RESET ROLE;
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM handlers_code.seen');
SELECT state FROM integ.handler_runs WHERE call = :'id';
SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'integ handler'
    AND query LIKE '%endless%';
CALL pg_temp.wait_for($$SELECT last_error IS NOT NULL FROM integ.handler_runs
    WHERE function = 'handlers_code.endless'$$);
UPDATE integ.handler_runs SET timeout_ms = 20, max_attempts = 1, next_attempt_at = now() WHERE call = :'id';
CALL pg_temp.wait_for($$SELECT state = 'dead' FROM integ.handler_runs WHERE function = 'handlers_code.endless'$$);
SELECT last_sqlstate, last_error, error_hint FROM integ.handler_runs WHERE call = :'id';

-- What was there when the call was enqueued, and is not any more.
INSERT INTO integ.handler_runs (kind, owner, function, argument, client_id, user_id) VALUES
    ('on_success', 'handlers_app', 'handlers_code.gone', '{}', 'handlers_acme', 'ann'),
    ('on_success', 'handlers_app', 'handlers_code.secret', '{}', 'handlers_acme', 'ann'),
    ('on_success', 'handlers_app', 'handlers_code.good', '{}', 'handlers_acme', 'eve'),
    ('on_success', 'handlers_group', 'handlers_code.good', '{}', 'handlers_acme', 'ann');
CALL pg_temp.wait_for($$SELECT count(*) = 3 FROM integ.handler_runs WHERE call IS NULL AND state = 'dead'$$);
SELECT function, user_id, state, last_sqlstate, last_error FROM integ.handler_runs
WHERE call IS NULL AND owner = 'handlers_app'::regrole ORDER BY id;

-- Who sees what.
SET ROLE handlers_app;
SELECT count(*) > 3 AS own, count(*) FILTER (WHERE user_id <> 'ann' AND owner <> 'handlers_app'::regrole) AS of_others
    FROM integ.handler_runs;
UPDATE integ.handler_runs SET owner = 'postgres';
INSERT INTO integ.handler_runs (kind, owner, function) VALUES ('x', 'postgres', 'handlers_code.good');
RESET ROLE;
SET ROLE handlers_pool;
SELECT count(*) FROM integ.handler_runs;
RESET ROLE;

SELECT component, database = current_database() AS here, queue_depth FROM integ_status()
    WHERE component = 'handler workers' AND database = current_database();

DROP SCHEMA handlers_code CASCADE;
DELETE FROM integ.handler_runs;
DELETE FROM integ.instances WHERE instance_id = 'handlers_main';
SELECT integ_undefine('handlers_svc');
DELETE FROM integ.members WHERE client_id = 'handlers_acme';
DELETE FROM integ.clients WHERE id = 'handlers_acme';
DROP ROLE handlers_app;
DROP ROLE handlers_pool;
DROP ROLE handlers_group;
