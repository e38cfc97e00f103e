-- The main job on real input, as a person would type it. test/demo.sh runs it in
-- the checkout, with the address of the service in url, its token in the
-- environment as DEMO_TOKEN, and a private folder as DEMO_HOME.

\set ON_ERROR_STOP on
\set ECHO queries

\echo
\echo '--- The extension'
CREATE EXTENSION integ;

\echo
\echo '--- A definition is data: one JSON document says what the service can do'
\set ECHO none
\set manifest `cat test/provider/iso_codes.json`
\echo '\\set manifest `cat test/provider/iso_codes.json`'
\echo 'SELECT integ_define(:''manifest'');'
SELECT integ_define(:'manifest');
\set ECHO queries
SELECT m ->> 'id' AS method, m ->> 'access' AS access, m -> 'request' ->> 'method' AS http,
       m -> 'request' ->> 'path' AS path
FROM integ.definitions, jsonb_array_elements(manifest -> 'methods') AS m
WHERE id = 'iso_codes';

\echo
\echo '--- Connect it: an instance of the definition, its address and its credential'
SELECT integ_connect('iso_codes', 'iso', jsonb_build_object('base_url', :'url'), '{}');
\set ECHO none
\getenv home DEMO_HOME
\set certificate :home/integ.pem
\pset format unaligned
\pset tuples_only on
\o :certificate
SELECT integ_public_key();
\o
\pset format aligned
\pset tuples_only off
\set sealed `printf %s "$DEMO_TOKEN" | openssl cms -encrypt -binary -aes-256-cbc -outform PEM "$DEMO_HOME/integ.pem"`
\echo '--- its token, sealed to integ_public_key(): no statement has it in the clear'
\echo '$ printf %s "$DEMO_TOKEN" | openssl cms -encrypt -binary -aes-256-cbc -outform PEM integ.pem'
\echo 'SELECT integ_credential_set(''iso'', ''token'', :''sealed'');'
SELECT integ_credential_set('iso', 'token', :'sealed');
\set ECHO queries
SELECT jsonb_pretty(integ_test('iso'));

\echo
\echo '--- Call it'
SELECT jsonb_pretty(integ_execute('iso', 'get_country', '{"code": "NZ"}'));

SELECT region ->> 'id' AS id, region ->> 'name' AS name, region ->> 'type' AS type
FROM jsonb_array_elements(integ_execute('iso', 'list_subdivisions', '{"country": "NZ", "limit": 8}')) AS region;

\echo '--- From rows to requests and back: a join with a service'
SELECT code, integ_execute('iso', 'get_country', jsonb_build_object('code', code)) ->> 'name' AS name
FROM unnest(ARRAY['BR', 'JP', 'KE']) AS code;

\echo '--- All pages, as rows: what is not read is not asked for'
SELECT count(*) AS languages FROM integ_fetch('iso', 'list_languages', '{"limit": 200}');
SELECT language ->> 'id' AS id, language ->> 'name' AS name FROM integ_fetch('iso', 'list_languages') AS language LIMIT 3;

\echo '--- Their record to ours: the mapping is a row'
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings, deduplication)
VALUES ('iso-company', 'Country', 'c_company', '[
  {"targetField": "name", "mappingType": "transform", "config": {"sourceField": "name", "transformations": [{"type": "uppercase"}]}}]',
  '{"strategy": "external_id", "externalIdField": "code"}');
SELECT integ_convert('iso-company', integ_execute('iso', 'get_country', '{"code": "NZ"}'));

\echo '--- A write: its audit is on disk before the request leaves'
SELECT integ_execute('iso', 'create_country', '{"id": "XK", "name": "Kosovo"}');

\echo '--- Durable calls: what commits is done in the background, what rolls back is never sent'
BEGIN;
SELECT integ_enqueue('iso', 'create_country', '{"id": "XB", "name": "Never sent"}') IS NOT NULL AS enqueued;
ROLLBACK;
BEGIN;
SELECT integ_enqueue('iso', 'get_country', '{"code": "IS"}', '{"idempotency_key": "demo-1"}') AS call \gset
COMMIT;
SELECT jsonb_pretty(integ_await(:'call', '10 seconds'));
SELECT state, method, attempt, result FROM integ.calls;

\echo '--- Mistakes say what to do'
\set ON_ERROR_STOP off
SELECT integ_execute('iso', 'get_country', '{"code": "nz"}');
SELECT integ_execute('iso', 'get_country', '{"code": "QQ"}');
SELECT integ_execute('iso', 'find_country', '{}');
\set ON_ERROR_STOP on

\echo
\echo '--- Everything is a table'
\set ECHO none
-- The log of reads may lag behind by integ.log_flush.
DO $$
BEGIN
    FOR try IN 1 .. 200 LOOP
        EXIT WHEN (SELECT count(*) >= 9 FROM integ.requests);
        PERFORM pg_sleep(0.05);
        COMMIT;
    END LOOP;
END
$$;
\set ECHO queries
SELECT created_at::timestamptz(3), instance_id, method, http_method, path_template, status, sqlstate,
       round(duration_us / 1000.0, 2) AS ms
FROM integ.requests ORDER BY created_at;
SELECT action, instance_id, method, outcome, role FROM integ.audit_log ORDER BY created_at, id;
SELECT component, database, state, queue_depth AS queued, hint FROM integ_status();
SELECT instance_id, definition, status, is_active, health ->> 'state' AS health FROM integ.instances;
