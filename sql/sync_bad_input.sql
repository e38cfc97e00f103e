-- What a task cannot be or do: a clear error, the task in error with its last error, and nothing half-written.
\getenv url INTEG_PROVIDER_URL
\getenv token INTEG_PROVIDER_TOKEN
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null '(null)'
SET client_min_messages = warning;
CREATE SCHEMA bad_test;
SELECT integ_define('{"integrationId": "bad_lists", "name": "Lists", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer", "circuitBreaker": {"failureThreshold": 1000},
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [
    {"id": "list", "name": "List", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}},
     "request": {"method": "GET", "path": "/v1/countries", "query": {"limit": 50}},
     "response": {"records": ".data"}, "pagination": {"style": "cursor", "param": "cursor", "next": ".next_cursor"}},
    {"id": "nowhere", "name": "No records", "access": "read", "outputSchema": {}, "inputSchema": {},
     "request": {"method": "GET", "path": "/v1/countries"}, "response": {"records": ".items"},
     "pagination": {"style": "cursor", "param": "cursor", "next": ".next_cursor"}},
    {"id": "stuck", "name": "A cursor that never changes", "access": "read", "outputSchema": {}, "inputSchema": {},
     "request": {"method": "GET", "path": "/lists/stuck"}, "response": {"records": ".data"},
     "pagination": {"style": "cursor", "param": "cursor", "next": ".next"}},
    {"id": "circle", "name": "Cursors in a circle", "access": "read", "outputSchema": {}, "inputSchema": {},
     "request": {"method": "GET", "path": "/lists/circle"}, "response": {"records": ".data"},
     "pagination": {"style": "cursor", "param": "cursor", "next": ".next"}},
    {"id": "write", "name": "Writes", "access": "write", "outputSchema": {}, "inputSchema": {},
     "request": {"method": "POST", "path": "/v1/countries"}}],
  "entities": [{"id": "Country", "list": "list", "idField": "id"}, {"id": "Idless"}]}');
SELECT integ_connect('bad_lists', 'bad_main', jsonb_build_object('base_url', :'url'), '{}') IS NOT NULL AS connected;
SELECT integ_credential_set('bad_main', 'token', :'token') IS NOT NULL AS has_token;

-- Schedules are refused with the row.
CREATE FUNCTION pg_temp.refused(schedule jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    INSERT INTO integ.sync_tasks (task_id, schedule) VALUES ('bad_schedule', schedule);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;
SELECT schedule, pg_temp.refused(schedule) AS error FROM unnest(ARRAY['{"cron": "61 * * * *"}',
    '{"cron": "0 0 30 2 *"}',
    '{"cron": "0 2 * * *", "timezone": "Mars/Olympus"}', '{"every": "0 minutes"}',
    '{"type": "interval", "config": {"type": "interval", "interval": 0, "unit": "hours"}}', '{"cron": "* * *"}',
    '{"every": "1 month"}', '{"every": "-5 minutes"}', '"sometimes"', '{}', '[]']::jsonb[]) AS schedule;
SELECT count(*) FROM integ.sync_tasks WHERE task_id = 'bad_schedule';

-- Everything else is found by the run: what ran, what the task says then, and what is in the target.
CREATE PROCEDURE pg_temp.make(handle text, columns jsonb DEFAULT '{"id": "id", "name": "name"}',
    entity text DEFAULT 'Country', method text DEFAULT NULL, dedupe jsonb DEFAULT '{"externalIdField": "id"}')
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_table, deduplication, delete_if_removed,
        field_mappings)
    SELECT 'bad_' || handle, entity, 'bad_test.' || handle, '{"strategy": "external_id"}' || dedupe, true,
        jsonb_agg(jsonb_build_object('targetField', c.key, 'mappingType', 'direct',
            'config', jsonb_build_object('sourceField', c.value)) ORDER BY c.key) FROM jsonb_each_text(columns) c;
    INSERT INTO integ.sync_tasks (task_id, instance, schema, method, schedule)
    SELECT 'bad_' || handle, i.id, s.id, make.method, '{"every": "1 day"}'
    FROM integ.instances i, integ.conversion_schemas s WHERE i.instance_id = 'bad_main'
        AND s.schema_id = 'bad_' || handle;
END
$$;
CREATE FUNCTION pg_temp.told(handle text) RETURNS TABLE (run text, error text, task text, last_error text, links bigint)
LANGUAGE sql AS $$
    SELECT concat_ws(' ', e.status, nullif(e.created, 0)),
        concat_ws(E'\n', (e.error ->> 'sqlstate') || ': ' || (e.error ->> 'message'), e.error ->> 'detail',
            e.error ->> 'hint'),
        t.status, CASE WHEN t.last_error ->> 'message' = e.error ->> 'message'
            AND t.last_error ->> 'timestamp' IS NOT NULL
                       THEN 'the same' ELSE t.last_error ->> 'message' END,
        (SELECT count(*) FROM integ.record_links l WHERE l.schema = t.schema)
    FROM integ.sync_tasks t JOIN integ.sync_executions e ON e.task = t.id WHERE t.task_id = 'bad_' || handle
$$;
\pset format wrapped
\pset columns 150

CREATE TABLE bad_test.keyless (id text, name text);
CALL pg_temp.make('keyless');
CREATE VIEW bad_test.view AS SELECT * FROM bad_test.keyless;
CALL pg_temp.make('view');
CREATE TABLE bad_test.generated (id text PRIMARY KEY, name text GENERATED ALWAYS AS (upper(id)) STORED);
CALL pg_temp.make('generated');
CREATE TABLE bad_test.identity (id text, name integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
CALL pg_temp.make('identity');
CREATE TABLE bad_test.column (id text PRIMARY KEY, name text);
CALL pg_temp.make('column', '{"id": "id", "name": "name", "nothing": "name"}');
CREATE TABLE bad_test.dropped (id text PRIMARY KEY, name text);
CALL pg_temp.make('dropped');
DROP TABLE bad_test.dropped;
CREATE TABLE bad_test.undeleted (id text PRIMARY KEY, name text);
CALL pg_temp.make('undeleted');
UPDATE integ.conversion_schemas SET removal = 'soft_delete' WHERE schema_id = 'bad_undeleted';
CREATE TABLE bad_test.idless (id text PRIMARY KEY, name text);
CALL pg_temp.make('idless', entity => 'Idless', method => 'list',
    dedupe => '{"strategy": "field_match", "matchFields": ["name"]}');
CREATE TABLE bad_test.method (id text PRIMARY KEY, name text);
CALL pg_temp.make('method', method => 'nothing');
CREATE TABLE bad_test.writes (id text PRIMARY KEY, name text);
CALL pg_temp.make('writes', method => 'write');
CREATE TABLE bad_test.config (id text PRIMARY KEY, name text);
CALL pg_temp.make('config');
UPDATE integ.sync_tasks SET config = '{"maxResults": "many"}' WHERE task_id = 'bad_config';
CREATE TABLE bad_test.nowhere (id text PRIMARY KEY, name text);
CALL pg_temp.make('nowhere', method => 'nowhere');
CREATE TABLE bad_test.stuck (id integer PRIMARY KEY, name text);
CALL pg_temp.make('stuck', method => 'stuck');
CREATE TABLE bad_test.circle (id integer PRIMARY KEY, name text);
CALL pg_temp.make('circle', method => 'circle');
SELECT integ_sync_run(task_id, true) IS NULL AS ran FROM integ.sync_tasks WHERE task_id ~ '^bad_' ORDER BY task_id;
SELECT n AS task, t.*
    FROM unnest('{keyless,view,generated,identity,column,dropped,undeleted,idless,method,writes,config,
    nowhere,stuck,circle}'::text[]) n, LATERAL pg_temp.told(n) t;
SELECT (SELECT count(*) FROM bad_test.keyless) + (SELECT count(*) FROM bad_test.generated)
    + (SELECT count(*) FROM bad_test.identity) + (SELECT count(*) FROM bad_test.column)
    + (SELECT count(*) FROM bad_test.undeleted) + (SELECT count(*) FROM bad_test.idless)
    + (SELECT count(*) FROM bad_test.nowhere) AS written;
-- Of pages in a circle the ones that came are there, once each.
SELECT (SELECT count(*) FROM bad_test.stuck) AS stuck, (SELECT count(*) FROM bad_test.circle) AS circle;

-- A partitioned table is a table, where the key has what it is partitioned by.
CREATE TABLE bad_test.parts (id text, name text, PRIMARY KEY (id)) PARTITION BY LIST (id);
CREATE TABLE bad_test.parts_default PARTITION OF bad_test.parts DEFAULT;
CALL pg_temp.make('parts');
SELECT status, created > 200 AS created FROM integ_sync_run('bad_parts', true);

-- An owner without rights: on the table, on its schema.
INSERT INTO integ.clients (id, name) VALUES ('bad_acme', 'Acme');
CREATE ROLE bad_ann LOGIN IN ROLE integ_admin;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('bad_ann', 'bad_acme', 'ann', 'admin');
CREATE TABLE bad_test.rights (id text PRIMARY KEY, name text);
SELECT pg_my_temp_schema()::regnamespace AS temp \gset
GRANT USAGE ON SCHEMA :temp, bad_test TO bad_ann;
SET ROLE bad_ann;
CALL pg_temp.make('rights');
SELECT integ_sync_run('bad_rights', true) IS NULL AS ran;
RESET ROLE;
SELECT 'rights' AS task, t.* FROM pg_temp.told('rights') t;
GRANT SELECT, INSERT, UPDATE ON bad_test.rights TO bad_ann;
SET ROLE bad_ann;
SELECT integ_sync_resume('bad_rights') > now() AS resumed;
SELECT error ->> 'detail' AS detail, error ->> 'hint' AS hint FROM integ_sync_run('bad_rights', true);
RESET ROLE;
GRANT DELETE ON bad_test.rights TO bad_ann;
REVOKE USAGE ON SCHEMA bad_test FROM bad_ann;
SET ROLE bad_ann;
SELECT integ_sync_resume('bad_rights') > now() AS resumed;
SELECT status, error ->> 'sqlstate' AS sqlstate, error ->> 'message' AS message FROM integ_sync_run('bad_rights', true);
RESET ROLE;
SELECT count(*) FROM bad_test.rights;
-- Mended and resumed, it runs.
GRANT USAGE ON SCHEMA bad_test TO bad_ann;
SET ROLE bad_ann;
SELECT integ_sync_resume('bad_rights') > now() AS resumed;
SELECT status, created > 200 AS created FROM integ_sync_run('bad_rights', true);
SELECT status, last_error FROM integ.sync_tasks WHERE task_id = 'bad_rights';
RESET ROLE;

-- What the keeper is asked by others than integ_sync_run.
SELECT integ.sync_execution_store('{}');
SELECT integ.sync_execution_store('{"task": 7}');

DELETE FROM integ.sync_tasks WHERE task_id ~ '^bad_';
DELETE FROM integ.conversion_schemas WHERE schema_id ~ '^bad_';
DELETE FROM integ.instances WHERE instance_id = 'bad_main';
SELECT integ_undefine('bad_lists');
DROP SCHEMA bad_test CASCADE;
DROP PROCEDURE pg_temp.make;
DROP FUNCTION pg_temp.told, pg_temp.refused;
DELETE FROM integ.members WHERE role = 'bad_ann'::regrole;
DELETE FROM integ.clients WHERE id = 'bad_acme';
DROP OWNED BY bad_ann;
DROP ROLE bad_ann;
