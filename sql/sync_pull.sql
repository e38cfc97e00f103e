-- What one execution of a sync task does: records of a service into a table of our own.
\getenv url INTEG_PROVIDER_URL
\getenv token INTEG_PROVIDER_TOKEN
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA pull_test;
SELECT integ_define('{"integrationId": "pull_iso", "name": "ISO codes", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [
    {"id": "list_countries", "name": "List countries", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"updated_since": {"type": "string"}, "limit": {"type": "integer",
         "default": 40}, "q": {"type": "string"}}},
     "request": {"method": "GET", "path": "/v1/countries", "query": {"limit": "{limit}",
         "updated_since": "{updated_since}", "q": "{q}"}},
     "response": {"records": ".data"}, "pagination": {"style": "cursor", "param": "cursor", "next": ".next_cursor"}}],
  "entities": [
  {"id": "Country", "list": "list_countries", "idField": "id", "modifiedField": "updated_at",
      "modifiedParam": "updated_since"}]}');
SELECT integ_connect('pull_iso', 'pull_main', jsonb_build_object('base_url', :'url'), '{}') IS NOT NULL AS connected;
SELECT integ_credential_set('pull_main', 'token', :'token') IS NOT NULL AS has_token;
CREATE TABLE pull_test.countries (
    id text PRIMARY KEY,
    name text NOT NULL,
    official_name text,
    alpha_3 varchar(3),
    number integer,
    updated_at timestamptz,
    note text DEFAULT 'ours',
    compiled text DEFAULT current_setting('jit'));
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_table, delete_if_removed, deduplication,
    field_mappings)
VALUES ('pull_countries', 'Country', 'pull_test.countries', true,
    '{"strategy": "external_id", "externalIdField": "id"}', '[
  {"targetField": "id", "mappingType": "direct", "config": {"sourceField": "id"}},
  {"targetField": "name", "mappingType": "direct", "config": {"sourceField": "name"}},
  {"targetField": "official_name", "mappingType": "direct", "config": {"sourceField": "official_name"}},
  {"targetField": "alpha_3", "mappingType": "direct", "config": {"sourceField": "alpha_3"}},
  {"targetField": "number", "mappingType": "direct", "config": {"sourceField": "numeric"}},
  {"targetField": "updated_at", "mappingType": "direct", "config": {"sourceField": "updated_at"}}]');
INSERT INTO integ.sync_tasks (task_id, instance, schema, config)
SELECT 'pull_countries', i.id, s.id, '{"incrementalSync": true}' FROM integ.instances i, integ.conversion_schemas s
WHERE i.instance_id = 'pull_main' AND s.schema_id = 'pull_countries';

-- The first run: everything.
SELECT status, phase, fetched, created, updated, unchanged, skipped, deleted, failed, reason, error
    FROM integ_sync_run('pull_countries', true);
SELECT count(*), count(official_name) > 100 AS official, count(*) FILTER (WHERE note = 'ours') AS ours,
    count(*) FILTER (WHERE compiled = 'on') AS compiled FROM pull_test.countries;
SELECT id, name, alpha_3, number, updated_at FROM pull_test.countries WHERE id = 'FR';
SELECT external_type, external_id, target_table, target_key, sync_status, length(raw_hash) AS hash, external_modified_at
FROM integ.record_links WHERE target_table = 'pull_test.countries'::regclass AND external_id = 'FR';
SELECT c.entity, c.source, high_water_mark, page_cursor, delta_token FROM integ.sync_cursors c
    JOIN integ.sync_tasks t ON t.id = c.task WHERE t.task_id = 'pull_countries';

-- The second: what may have changed, of which nothing has.
SELECT status, fetched, created, updated, unchanged, skipped, deleted, failed, reason, error
    FROM integ_sync_run('pull_countries', true);

-- What changed there, and only that, is written here; columns that no mapping writes are ours.
UPDATE pull_test.countries SET note = 'changed here' WHERE id IN ('ZW', 'ZM');
CREATE TABLE pull_test.before AS SELECT id, xmin::text AS version FROM pull_test.countries;
SELECT status FROM integ_request('pull_main', 'PUT', '/v1/countries/ZW',
    body => '{"name": "Zimbabwe!", "alpha_2": "ZW", "alpha_3": "ZWE", "numeric": "716"}');
SELECT status, fetched, created, updated, unchanged, skipped, deleted, failed, reason, error
    FROM integ_sync_run('pull_countries', true);
SELECT id, name, note FROM pull_test.countries JOIN pull_test.before b USING (id)
    WHERE countries.xmin::text <> b.version;
DROP TABLE pull_test.before;

-- A full run removes what has disappeared, but not too much of it.
SELECT status FROM integ_request('pull_main', 'DELETE', '/v1/countries/ZW');
SELECT status, fetched, created, updated, unchanged, skipped, deleted, failed, reason, error
    FROM integ_sync_run('pull_countries', true, false, '{"full": true}');
SELECT count(*) AS gone FROM pull_test.countries WHERE id = 'ZW';
SELECT deleted_at IS NOT NULL AS deleted, raw_hash FROM integ.record_links
    WHERE target_table = 'pull_test.countries'::regclass AND external_id = 'ZW';
SELECT count(*) AS seen FROM integ.sync_seen;
UPDATE integ.sync_tasks SET config = '{"q": "z"}' WHERE task_id = 'pull_countries';
SELECT status, fetched, created, updated, unchanged, skipped, deleted, failed, error
    FROM integ_sync_run('pull_countries', true);
SELECT count(*) FROM pull_test.countries;
SELECT level, message FROM integ.sync_logs l JOIN integ.sync_tasks t ON t.id = l.task
    WHERE t.task_id = 'pull_countries' AND level <> 'info' ORDER BY l.id;
UPDATE integ.sync_tasks SET config = '{"incrementalSync": true}' WHERE task_id = 'pull_countries';

-- A dry run shows the difference, and writes nothing.
UPDATE pull_test.countries SET name = 'Frankreich', official_name = NULL WHERE id = 'FR';
UPDATE integ.conversion_schemas SET name = 'Countries', field_mappings = field_mappings
    || '[{"targetField": "note", "mappingType": "default", "config": {"value": "theirs"}}]'
WHERE schema_id = 'pull_countries';
DELETE FROM pull_test.countries WHERE id = 'DE';
SELECT status, fetched, created, updated, unchanged, skipped, deleted, failed,
    jsonb_array_length(difference -> 'records') AS records, difference - 'records' AS sums
    FROM integ_sync_run('pull_countries', true, true);
SELECT r #- '{fields,updated_at}' AS difference FROM integ.sync_executions e,
    jsonb_array_elements(difference -> 'records') r WHERE e.dry_run AND r ->> 'external_id' IN ('FR', 'DE', 'ZM')
    ORDER BY r ->> 'external_id';
SELECT name, note FROM pull_test.countries WHERE id IN ('DE', 'FR');
-- The real one does it: a new version of the schema means everything.
SELECT status, fetched, created, updated, unchanged, skipped, deleted, failed, reason, error
    FROM integ_sync_run('pull_countries', true);
SELECT id, name, note FROM pull_test.countries WHERE id IN ('DE', 'FR') ORDER BY id;

-- Records that cannot be stored: the rest of their page is.
UPDATE integ.conversion_schemas SET field_mappings = field_mappings #- '{6}' WHERE schema_id = 'pull_countries';
DELETE FROM pull_test.countries WHERE name LIKE '%Island%';
ALTER TABLE pull_test.countries ADD CONSTRAINT no_islands CHECK (name NOT LIKE '%Island%');
SELECT status, fetched, created, updated, unchanged, skipped, deleted, failed, error
    FROM integ_sync_run('pull_countries', true);
SELECT phase, external_id, field, sqlstate, reason, details ->> 'constraint' AS constraint, recoverable,
    raw_record ->> 'name' AS name
FROM integ.sync_errors e JOIN integ.sync_tasks t ON t.id = e.task WHERE t.task_id = 'pull_countries'
    ORDER BY external_id LIMIT 3;
ALTER TABLE pull_test.countries DROP CONSTRAINT no_islands;
SELECT status, fetched, created, updated, unchanged, skipped, deleted, failed, error
    FROM integ_sync_run('pull_countries', true);
SELECT count(*) FROM pull_test.countries;

SELECT status FROM integ_request('pull_main', 'GET', '/reset');
SELECT integ_disconnect('pull_main') IS NOT NULL AS disconnected;
DROP SCHEMA pull_test CASCADE;
