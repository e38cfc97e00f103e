-- The main job on real input, as a person would type it. test/demo.sh runs it in
-- the checkout, with the address of the service in url, its token in the
-- environment as DEMO_TOKEN (here a secret to be sealed), and a private folder as DEMO_HOME.

\set ON_ERROR_STOP on
\set ECHO queries

\echo
\echo '--- The extension'
CREATE EXTENSION integ;

\set ECHO none
-- What happens in the background is waited for.
CREATE PROCEDURE pg_temp.wait_until(condition text) LANGUAGE plpgsql AS $$
DECLARE
    holds boolean;
BEGIN
    FOR try IN 1 .. 600 LOOP
        EXECUTE 'SELECT ' || condition INTO holds;
        COMMIT;
        EXIT WHEN holds;
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;
\set ECHO queries

\echo
\echo '--- A definition is data: one JSON document says what the service can do'
\set ECHO none
\set manifest `cat test/provider/iso_codes.json`
\echo '\\set manifest `cat test/provider/iso_codes.json`'
\echo 'SELECT integ_define(:''manifest'' … with "authType": "oauth2", and where to authorize and get tokens …);'
SELECT integ_define((:'manifest'::jsonb - 'auth' - 'credentialSchema') || jsonb_build_object('authType', 'oauth2', 'oauth2Config', jsonb_build_object(
    'authorizationUrl', :'url' || '/authorize', 'tokenUrl', :'url' || '/oauth/demo/token', 'redirectUri', 'https://app.example.com/callback')));
\set ECHO queries
SELECT m ->> 'id' AS method, m ->> 'access' AS access, m -> 'request' ->> 'method' AS http,
       m -> 'request' ->> 'path' AS path
FROM integ.definitions, jsonb_array_elements(manifest -> 'methods') AS m
WHERE id = 'iso_codes';

\echo
\echo '--- Connect it by OAuth: the application''s secret, sealed to integ_public_key(): no statement has it in the clear'
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
\echo '$ printf %s "$SECRET" | openssl cms -encrypt -binary -aes-256-cbc -outform PEM integ.pem'
\echo 'SELECT integ_credential_set(''definition:iso_codes'', ''client_secret'', :''sealed'');'
SELECT integ_credential_set('definition:iso_codes', 'client_secret', :'sealed');
\set ECHO queries
SELECT integ_credential_set('definition:iso_codes', 'client_id', 'demo');
SELECT integ_connect('iso_codes', 'iso', jsonb_build_object('base_url', :'url'), '{}');
SELECT state, split_part(authorization_url, '&', 1) AS page FROM integ_oauth_start('iso') \gset
\echo :page
\echo '--- the person agrees, and comes back with a code; the tokens go into the vault'
SELECT * FROM integ_oauth_callback(:'state', 'good-demo-code');
SELECT instance_id, status, is_active FROM integ.instances;

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

\echo
\echo '--- Keep it here: one statement makes the table, the mapping and the task, and starts the first run'
SELECT jsonb_pretty(integ_sync_into('iso', 'Language', 'public.languages', '{"config": {"pageSize": 250}}'));
\set ECHO none
-- What integ.sync_progress shows until the run has ended.
DO $$
DECLARE
    seen record;
    last bigint := 0;
BEGIN
    FOR try IN 1 .. 600 LOOP
        COMMIT;
        EXIT WHEN EXISTS (SELECT FROM integ.sync_executions WHERE task_id = 'iso.Language' AND completed_at IS NOT NULL);
        SELECT p.* INTO seen FROM integ.sync_progress p WHERE p.task_id = 'iso.Language';
        IF seen.processed_records > last + 1000 THEN
            RAISE INFO 'integ.sync_progress: %, page %, % records, % a second', seen.phase, seen.pages, seen.processed_records, seen.rate;
            last := seen.processed_records;
        END IF;
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;
\set ECHO queries
SELECT task_id, status, fetched, created, failed, duration FROM integ.sync_executions;
SELECT * FROM languages ORDER BY id LIMIT 3;
SELECT source_entity, target_table, jsonb_array_length(field_mappings) AS mappings, deduplication FROM integ.conversion_schemas;

\echo '--- Changes: a run asks for what is new; a full one also sees what is gone; what is unchanged is not written'
SELECT integ_sync_into('iso', 'Country', 'public.countries', '{"start": false, "config": {"incrementalSync": true}}') ->> 'task' AS task;
SELECT status, fetched, created, updated, unchanged, deleted FROM integ_sync_run('iso.Country', wait => true);
SELECT integ_execute('iso', 'create_country', '{"id": "XK", "name": "Kosovo"}') ->> 'id' AS made_there;
SELECT integ_execute('iso', 'delete_country', '{"code": "AQ"}') IS NULL AS deleted_there;
SELECT status, fetched, created, updated, unchanged, deleted FROM integ_sync_run('iso.Country', wait => true);
SELECT status, fetched, created, updated, unchanged, deleted FROM integ_sync_run('iso.Country', wait => true, options => '{"full": true}');

\echo '--- One bad record: the rest is stored, and it says what is wrong with it'
ALTER TABLE countries ADD CONSTRAINT name_is_a_name CHECK (length(name) > 2);
SELECT integ_execute('iso', 'create_country', '{"id": "XX", "name": "?"}') ->> 'id' AS made_there;
SELECT status, fetched, created, failed, error ->> 'message' AS message FROM integ_sync_run('iso.Country', wait => true);
SELECT external_id, phase, sqlstate, reason, recoverable FROM integ.sync_errors;

\echo '--- By the clock'
UPDATE integ.sync_tasks SET schedule = '{"every": "1 second"}' WHERE task_id = 'iso.Country';
\set ECHO none
CALL pg_temp.wait_until($$(SELECT count(*) >= 2 FROM integ.sync_executions WHERE task_id = 'iso.Country' AND trigger = 'schedule' AND completed_at IS NOT NULL)$$);
\set ECHO queries
UPDATE integ.sync_tasks SET schedule = '{"cron": "30 2 * * mon-fri", "timezone": "Europe/Paris"}' WHERE task_id = 'iso.Country';
SELECT trigger, scheduled_for::timestamptz(0), started_at - scheduled_for AS late, status FROM integ.sync_executions
WHERE task_id = 'iso.Country' AND trigger = 'schedule' ORDER BY scheduled_for LIMIT 2;
SELECT * FROM integ_next_runs('{"cron": "30 2 * * mon-fri", "timezone": "Europe/Paris"}', count => 2);

\echo '--- It is a table like any other'
CREATE TEMP TABLE offices AS SELECT * FROM (VALUES ('Lisbon', 'PT'), ('Oslo', 'NO'), ('Nairobi', 'KE')) AS o (city, country);
SELECT o.city, c.name, c.flag FROM offices o JOIN countries c ON c.id = o.country ORDER BY o.city;

\echo '--- Durable calls: what commits is done in the background, what rolls back is never sent'
BEGIN;
SELECT integ_enqueue('iso', 'create_country', '{"id": "XB", "name": "Never sent"}') IS NOT NULL AS enqueued;
ROLLBACK;
BEGIN;
SELECT integ_enqueue('iso', 'get_country', '{"code": "IS"}', '{"idempotency_key": "demo-1"}') AS call \gset
COMMIT;
SELECT jsonb_pretty(integ_await(:'call', '10 seconds'));
SELECT state, method, attempt, result FROM integ.calls;

\echo '--- Events come in: a rule makes a durable call of each, in the transaction that stores it'
INSERT INTO integ.webhooks (webhook_id, definition) VALUES ('changes', 'iso_codes');
\set ECHO none
\echo 'SELECT integ_credential_set(''webhook:'' || id, ''secret'', :''sealed'') FROM integ.webhooks;'
SELECT integ_credential_set('webhook:' || id, 'secret', :'sealed') FROM integ.webhooks WHERE webhook_id = 'changes';
\set body '{"event": "country.changed", "data": {"code": "PT"}}'
\set signature `printf %s '{"event": "country.changed", "data": {"code": "PT"}}' | openssl dgst -sha256 -hmac "$DEMO_TOKEN" -r | cut -d' ' -f1`
\set ECHO queries
INSERT INTO integ.rules (rule_id, trigger_definition, trigger, instance, method, input)
VALUES ('look_it_up', 'iso_codes', 'country_changed', 'iso', 'get_country', '{"code": "{payload.data.code}"}');
\set ECHO none
\echo 'SELECT status FROM integ_webhook_receive(''iso_codes/changes'', :''headers'', :''body'');  -- or POST /webhooks/iso_codes/changes'
SELECT status FROM integ_webhook_receive('iso_codes/changes',
    jsonb_build_object('Content-Type', 'application/json', 'X-Iso-Signature', 'sha256=' || :'signature'), convert_to(:'body', 'UTF8'));
CALL pg_temp.wait_until($$EXISTS (SELECT FROM integ.calls WHERE input = '{"code": "PT"}' AND state = 'succeeded')$$);
\set ECHO queries
SELECT event, triggers, payload FROM integ.webhook_events;
SELECT method, input, result ->> 'name' AS name FROM integ.calls WHERE input = '{"code": "PT"}';

\echo '--- And out: every change of a table, signed, once it is committed'
SELECT endpoint IS NOT NULL AS added, left(secret, 8) || '…' AS shown_once
FROM integ_endpoint_add(:'url' || '/echo/warehouse', '{country.*}');
SELECT integ_publish_changes('countries', '{"event": "country", "key": "id", "columns": ["id", "name"]}');
UPDATE countries SET name = 'Aotearoa' WHERE id = 'NZ';
\set ECHO none
CALL pg_temp.wait_until($$EXISTS (SELECT FROM integ.deliveries_done)$$);
\set ECHO queries
SELECT event_type, key, state, attempt, last_status, payload -> 'row' ->> 'name' AS name FROM integ.deliveries;

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
CALL pg_temp.wait_until($$(SELECT count(*) >= 9 FROM integ.requests)$$);
\set ECHO queries
SELECT instance_id, method, http_method, path_template, status, count(*), round(avg(duration_us) / 1000.0, 2) AS ms
FROM integ.requests GROUP BY 1, 2, 3, 4, 5 ORDER BY min(created_at);
SELECT action, instance_id, method, outcome, role FROM integ.audit_log ORDER BY created_at, id;
SELECT component, database, state, queue_depth AS queued, hint FROM integ_status();
SELECT instance_id, definition, status, is_active, health ->> 'state' AS health FROM integ.instances;
