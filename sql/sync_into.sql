-- integ_sync_into: from an entity to a table that is kept, in one statement.
\getenv url INTEG_PROVIDER_URL
\getenv token INTEG_PROVIDER_TOKEN
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA into_test;
SELECT integ_define('{"integrationId": "into_iso", "name": "ISO codes", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [
    {"id": "list_countries", "name": "List countries", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"updated_since": {"type": "string"},
         "limit": {"type": "integer", "default": 50}}},
     "request": {"method": "GET", "path": "/v1/countries", "query": {"limit": "{limit}",
         "updated_since": "{updated_since}"}},
     "response": {"records": ".data"}, "pagination": {"style": "cursor", "param": "cursor", "next": ".next_cursor"}},
    {"id": "list_languages", "name": "List languages", "access": "read", "outputSchema": {}, "inputSchema": {},
     "request": {"method": "GET", "path": "/v1/languages"}, "response": {"records": ".data"},
         "pagination": {"style": "link"}}],
  "entities": [
  {"id": "Country", "list": "list_countries", "idField": "id", "modifiedField": "updated_at",
      "modifiedParam": "updated_since"},
  {"id": "Language", "list": "list_languages", "idField": "ID"},
  {"id": "Order", "list": "list_languages", "idField": "OrderId", "schema": {"type": "object", "properties": {
     "OrderId": {"type": "string", "description": "Number of the order"}, "AccountId": {"type": ["string", "null"]},
     "Total": {"type": "number"}, "Lines": {"type": "array"}, "Count": {"type": "integer"},
         "isPaid": {"type": "boolean"},
     "PlacedAt": {"type": "string", "format": "date-time"}, "Due": {"type": ["string", "null"],
         "anyOf": [{"format": "date"}]},
     "HTTPStatus": {"type": ["integer", "string"]}, "Stage": {"enum": ["a", "b"]}, "order id": {"type": "string"},
     "Region__c": {"type": "string", "title": "Region"}, "select": {"type": "string"}, "Ship To": {"type": "object",
         "properties": {"City": {"type": "string"}}},
     "Größe": {"type": "string"}}}},
  {"id": "Nested", "list": "list_languages", "idField": "node.key", "schema": {"type": "object", "properties": {
     "node": {"type": "object", "properties": {"key": {"type": "integer"}}}, "name": {"type": "string"}}}},
  {"id": "Unlisted"}]}');
SELECT integ_connect('into_iso', 'into_iso_main', jsonb_build_object('base_url', :'url'),
    '{}') IS NOT NULL AS connected;
SELECT integ_credential_set('into_iso_main', 'token', :'token') IS NOT NULL AS has_token;

-- Columns by the entity's JSON Schema.
SELECT jsonb_pretty(integ_sync_into('into_iso_main', 'Order', 'into_test.orders', '{"every": "15 minutes",
    "start": false}'));
SELECT a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS key,
       col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a WHERE a.attrelid = 'into_test.orders'::regclass AND a.attnum > 0 ORDER BY a.attnum;
SELECT obj_description('into_test.orders'::regclass);
SELECT m ->> 'targetField' AS column, m -> 'config' ->> 'sourceField' AS field,
    m -> 'config' -> 'transformations' AS transformations
FROM integ.conversion_schemas, jsonb_array_elements(field_mappings) AS m WHERE schema_id = 'into_iso_main.Order'
    ORDER BY 1;
SELECT schema_id, source_entity, target_table, deduplication, delete_if_removed, removal FROM integ.conversion_schemas
    WHERE schema_id LIKE 'into%';
SELECT task_id, name, entity, direction, schedule, config, status, coalesce(next_run_at > now(), true) AS not_started
    FROM integ.sync_tasks WHERE task_id LIKE 'into%';
SELECT integ_convert('into_iso_main.Order', '{"OrderId": "7", "Total": 10.50, "Lines": [1],
    "PlacedAt": "2026-01-31T10:00:00+02:00", "isPaid": true, "HTTPStatus": 404, "Ship To": {"City": "Oslo"}}');

-- Again: nothing is made anew, and what somebody edited stays. The schedule is as it is said now.
UPDATE integ.conversion_schemas SET name = 'Edited' WHERE schema_id = 'into_iso_main.Order';
SELECT integ_sync_into('into_iso_main', 'Order', 'into_test.orders', '{"every": "15 minutes"}');
SELECT integ_sync_into('into_iso_main', 'Order', 'into_test.orders', '{"cron": "0 2 * * *",
    "timezone": "Europe/Paris", "config": {"maxResults": 10}}') -> 'schedule' AS schedule;
SELECT s.name, t.config, t.next_run_at IS NULL OR t.next_run_at > now() AS not_started, count(*) OVER () AS tasks
FROM integ.sync_tasks t JOIN integ.conversion_schemas s ON s.id = t.schema WHERE task_id LIKE 'into%';
-- The table is made again where it is gone.
DROP TABLE into_test.orders;
UPDATE integ.sync_tasks SET status = 'error' WHERE task_id = 'into_iso_main.Order';
SELECT integ_sync_into('into_iso_main', 'Order', 'into_test.orders') - 'schedule';
SELECT status FROM integ.sync_tasks WHERE task_id = 'into_iso_main.Order';

-- No schema: a page of the list tells.
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.countries', '{"start": false}') - 'mappings';
SELECT a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS key,
       col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a WHERE a.attrelid = 'into_test.countries'::regclass AND a.attnum > 0 ORDER BY a.attnum;
SELECT count(*) AS failed FROM integ_convert_test('into_iso_main.Country', (SELECT jsonb_agg(r)
    FROM integ_fetch('into_iso_main', 'list_countries') AS r)) WHERE status <> 'converted';
SELECT integ_sync_into('into_iso_main', 'Language', 'into_test.languages', '{"start": false, "samples": [
  {"ID": 7, "name": "x", "rank": 1, "since": "2024-01-01", "at": "2024-01-01T10:00:00Z", "note": null, "mixed": 1,
      "list": []},
  {"ID": 8, "name": null, "rank": 2, "since": "2024-01-02", "at": "soon", "mixed": "a", "flag": true}]}') - 'mappings';
SELECT a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS key
FROM pg_attribute a WHERE a.attrelid = 'into_test.languages'::regclass AND a.attnum > 0 ORDER BY a.attnum;
SELECT integ_sync_into('into_iso_main', 'Nested', 'into_test.nested', '{"start": false}') - 'mappings';
SELECT integ_convert('into_iso_main.Nested', '{"node": {"key": 5}, "name": "n"}');

-- A table that is there, and a record type.
CREATE TABLE into_test.own (id text PRIMARY KEY, official_name text, internal text, deleted_at timestamptz);
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.own', '{"task_id": "into_own", "start": false,
    "removal": "soft_delete"}');
SELECT integ_sync_into('into_iso_main', 'Country', 'c_company', '{"task_id": "into_companies", "name": "Countries",
    "start": false}');
SELECT schema_id, target_table, target_type, delete_if_removed, removal, jsonb_array_length(field_mappings) AS mappings
FROM integ.conversion_schemas WHERE schema_id IN ('into_own', 'into_companies', 'into_iso_main.Country') ORDER BY 1;

-- The first run is started by the commit, and brings everything; the next one only looks.
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.first',
    '{"task_id": "into_first"}') -> 'created' AS created;
CALL pg_temp.wait_for($$SELECT count(*) = 1 FROM integ.sync_executions WHERE task_id = 'into_first'
    AND completed_at IS NOT NULL$$);
SELECT status, trigger, fetched = created AND created > 200 AS all_of_them, failed, error FROM integ.sync_executions
    WHERE task_id = 'into_first';
SELECT id, name, updated_at, (SELECT count(*) FROM into_test.first) = (SELECT count(*)
    FROM integ_fetch('into_iso_main', 'list_countries')) AS complete
FROM into_test.first WHERE id = 'NO';
SELECT status, fetched = unchanged AS nothing_new, deleted FROM integ_sync_run('into_first', true);
-- A record that is gone at the service is gone here.
DELETE FROM into_test.first WHERE id = 'NO';
INSERT INTO into_test.first (id, name) VALUES ('not theirs', 'Ours');
SELECT status FROM integ_request('into_iso_main', 'DELETE', '/v1/countries/SE');
SELECT status, deleted FROM integ_sync_run('into_first', true);
SELECT id FROM into_test.first WHERE id IN ('SE', 'not theirs');
SELECT status FROM integ_request('into_iso_main', 'GET', '/reset');
-- Records of a type.
SELECT status, created > 200 AS created, failed FROM integ_sync_run('into_companies', true);
SELECT count(*) = (SELECT count(*) FROM integ_fetch('into_iso_main', 'list_countries')) AS same FROM integ.records
    WHERE type = 'c_company';
SELECT title FROM integ_search('norway', '{c_company}');

-- What cannot be.
SELECT integ_sync_into('nobody', 'Country', 'into_test.x');
SELECT integ_sync_into('into_iso_main', 'Nothing', 'into_test.x');
SELECT integ_sync_into('into_iso_main', 'Unlisted', 'into_test.x');
SELECT integ_sync_into('into_iso_main', 'Country', 'countries', '{"task_id": "into_bad"}');
SELECT integ_sync_into('into_iso_main', 'Country', 'a.b.c', '{"task_id": "into_bad"}');
SELECT integ_sync_into('into_iso_main', 'Country', 'into_nowhere.x', '{"task_id": "into_bad"}');
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.');
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.x', '{"ever": "5 minutes"}');
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.x', '{"every": "0 minutes", "task_id": "into_bad"}');
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.x', '{"removal": "perhaps"}');
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.x', '{"start": false}');
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.own', '{"task_id": "into_iso_main.Order"}');
CREATE TABLE into_test.unlike (a int PRIMARY KEY, b int);
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.unlike', '{"task_id": "into_unlike"}');
CREATE TABLE into_test.keyless (id text, name text);
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.keyless', '{"task_id": "into_unlike"}');
CREATE VIEW into_test.view AS SELECT id, name FROM into_test.first;
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.view', '{"task_id": "into_unlike"}');
CREATE TABLE into_test.generated (id text PRIMARY KEY, name text GENERATED ALWAYS AS (id) STORED);
SELECT integ_sync_into('into_iso_main', 'Country', 'into_test.generated', '{"task_id": "into_unlike",
    "start": false}') -> 'mappings' AS mappings;
DELETE FROM integ.sync_tasks WHERE task_id = 'into_unlike';
SELECT to_regclass('into_test.x') IS NULL AS nothing_left, count(*) AS tasks FROM integ.sync_tasks
    WHERE task_id IN ('into_bad', 'into_unlike');

-- Who may: the table is made, and the task run, with the rights of the caller.
CREATE ROLE into_ada LOGIN IN ROLE integ_user;
INSERT INTO integ.clients (id, name) VALUES ('into_acme', 'Acme');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('into_ada', 'into_acme', 'ada', 'admin');
SET ROLE into_ada;
SELECT integ_sync_into('into_iso_main', 'Order', 'into_test.ada', '{"start": false}');
RESET ROLE;
GRANT USAGE, CREATE ON SCHEMA into_test TO into_ada;
SET ROLE into_ada;
SELECT integ_sync_into('into_iso_main', 'Order', 'into_test.ada', '{"start": false}') -> 'created' AS created;
RESET ROLE;
SELECT t.owner, t.client_id, t.context_type, c.relowner::regrole FROM integ.sync_tasks t, pg_class c
WHERE t.task_id = 'into_iso_main.Order' AND t.client_id = 'into_acme' AND c.oid = 'into_test.ada'::regclass;

DELETE FROM integ.sync_tasks WHERE task_id LIKE 'into%';
DELETE FROM integ.records WHERE type = 'c_company';
DELETE FROM integ.conversion_schemas WHERE schema_id LIKE 'into%';
SELECT integ_disconnect('into_iso_main');
DELETE FROM integ.instances WHERE instance_id = 'into_iso_main';
SELECT integ_undefine('into_iso');
DROP SCHEMA into_test CASCADE;
DELETE FROM integ.members WHERE role = 'into_ada'::regrole;
DELETE FROM integ.clients WHERE id = 'into_acme';
DROP ROLE into_ada;
