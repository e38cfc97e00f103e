-- Realtime tasks of a service that is polled, or does not take what it is given; polls that begin at a time.
\getenv provider_url INTEG_PROVIDER_URL
SET client_min_messages = warning;
ALTER SYSTEM SET integ.retry_delay = '10ms';
SELECT pg_reload_conf();
CREATE SCHEMA tsk_code;
CREATE FUNCTION tsk_code.list(id text, since jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('id', id, 'name', id, 'outputSchema', '{}'::jsonb, 'inputSchema', jsonb_build_object(
        'type', 'object', 'required', '["feed"]'::jsonb, 'properties', jsonb_build_object('feed', '{"type": "string"}'
        ::jsonb, 'fail', '{}'::jsonb, 'since', since)), 'request', '{"method": "GET", "path": "/feed/{feed}",
        "query": {"from": "{since}", "fail": "{fail}"}}'::jsonb, 'response', '{"records": ".items"}'::jsonb)
$$;
SELECT integ_define(jsonb_build_object('integrationId', 'tsk_svc', 'name', 'Tasks', 'version', '1.0.0', 'authType',
    'none', 'baseUrl', '{config.base_url}', 'circuitBreaker', '{"failureThreshold": 1000}'::jsonb,
    'configSchema', '{"type": "object", "properties": {"base_url": {"type": "string"}}}'::jsonb,
    'methods', jsonb_build_array(tsk_code.list('list', '{"type": "string", "format": "date-time"}'),
        tsk_code.list('seconds', '{"type": "integer"}'), tsk_code.list('date', '{"type": "string", "format": "date"}'))
    || '[{"id": "put", "name": "Put", "access": "write", "outputSchema": {}, "inputSchema": {"type": "object",
          "properties": {"feed": {}, "items": {}}}, "request": {"method": "POST", "path": "/feed/{feed}", "body":
          "{items}"}},
         {"id": "log", "name": "Log", "outputSchema": {}, "inputSchema": {"type": "object"},
          "request": {"method": "GET", "path": "/log"}},
         {"id": "subscribe", "name": "Subscribe", "access": "write", "outputSchema": {}, "inputSchema": {"type":
          "object", "required": ["shop"], "properties": {"shop": {"type": "string"}, "url": {}, "events": {}}},
          "request": {"method": "POST", "path": "/hooks/{shop}", "body": {"url": "{url}", "events": "{events}"}}}]'
        ::jsonb,
    'entities', '[{"id": "Item", "list": "list", "idField": "id", "modifiedField": "changed"},
        {"id": "Note", "list": "list", "idField": "id"}]'::jsonb,
    'triggers', '[{"id": "item_new", "name": "Item", "type": "updated", "entity": "Item", "record": ".",
          "poll": {"method": "list", "intervalSeconds": 3600, "idField": "id", "modifiedField": "changed"}},
        {"id": "noted", "name": "Noted", "type": "updated", "entity": "Note", "event": ["note.new", "note.changed"]},
        {"id": "note_gone", "name": "Gone", "type": "deleted", "entity": "Note", "event": "note.gone"},
        {"id": "by_time", "name": "By time", "type": "created", "poll": {"method": "list", "intervalSeconds": 3600,
          "modifiedParam": "since", "input": {"feed": "by_time"}}},
        {"id": "by_seconds", "name": "By seconds", "type": "created", "poll": {"method": "seconds",
          "intervalSeconds": 3600, "modifiedParam": "since", "input": {"feed": "by_seconds"}}},
        {"id": "by_date", "name": "By date", "type": "created", "poll": {"method": "date", "intervalSeconds": 3600,
          "modifiedParam": "since", "input": {"feed": "by_date"}}}]'::jsonb,
    'webhook', '{"signature": {"scheme": "equal", "header": "X-Token"}, "event": ".type", "register": "subscribe",
        "externalId": ".id"}'::jsonb)) IS NOT NULL AS defined;
SELECT integ_connect('tsk_svc', 'tsk_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
CREATE FUNCTION tsk_code.put(feed text, items jsonb) RETURNS boolean LANGUAGE sql AS
    $$ SELECT integ_execute('tsk_main', 'put', jsonb_build_object('feed', feed, 'items', items)) IS NOT NULL $$;
CREATE FUNCTION tsk_code.job() RETURNS void LANGUAGE sql AS
    $$ UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'webhooks' $$;
CREATE VIEW tsk_code.polls AS
SELECT trigger, input, primed, polls, failures, is_active, task IS NOT NULL AS is_for_task FROM integ.polls
WHERE definition = 'tsk_svc';
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
-- A poll now, and until it is over.
CREATE PROCEDURE tsk_code.poll(which text, what text DEFAULT 'polls') LANGUAGE plpgsql AS $$
DECLARE
    known record;
BEGIN
    SELECT p.polls, p.failures, p.call INTO known FROM integ.polls p WHERE p.trigger = which;
    UPDATE integ.calls_open SET run_at = now() WHERE id = known.call;
    COMMIT;
    CALL pg_temp.wait_for(format('SELECT %I > %s FROM integ.polls WHERE trigger = %L', what,
        CASE what WHEN 'polls' THEN known.polls ELSE known.failures END, which));
END
$$;

-- A realtime task of an entity whose trigger is polled has it polled, from now on.
SELECT tsk_code.put('t', '[{"id": "old", "changed": "2024-01-01T00:00:00Z", "name": "before"}]');
SELECT count(integ_sync_into('tsk_main', 'Item', 'public.tsk_items', '{"start": false, "key": "id", "schedule":
    {"type": "realtime"}, "config": {"input": {"feed": "t"}}, "samples": [{"id": "a", "changed":
    "2024-01-01T00:00:00Z", "name": "n"}]}'));
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM tsk_code.polls WHERE primed');
SELECT * FROM tsk_code.polls;
SELECT tsk_code.put('t', '[{"id": "new", "changed": "2024-01-02T00:00:00Z", "name": "since"}]');
CALL tsk_code.poll('item_new');
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM public.tsk_items');
SELECT id, name FROM public.tsk_items;
-- The poll is for both of two tasks; the one that somebody has begun is left as it is.
SELECT count(integ_sync_into('tsk_main', 'Item', 'public.tsk_more', '{"start": false, "key": "id", "schedule":
    {"type": "realtime"}, "task_id": "more", "config": {"input": {"feed": "another"}},
    "samples": [{"id": "a", "name": "n"}]}'));
SELECT tsk_code.put('t', '[{"id": "both", "changed": "2024-01-03T00:00:00Z", "name": "for both"}]');
CALL tsk_code.poll('item_new');
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM public.tsk_more');
SELECT id, name FROM public.tsk_more;
-- It goes with the last of them.
CREATE PROCEDURE tsk_code.upkeep() LANGUAGE plpgsql AS $$
DECLARE
    before timestamptz := clock_timestamp();
BEGIN
    PERFORM tsk_code.job();
    COMMIT;
    CALL pg_temp.wait_for(format('SELECT last_run_at > %L FROM integ.maintenance_jobs WHERE name = ''webhooks''',
        before));
END
$$;
DELETE FROM integ.sync_tasks WHERE task_id = 'tsk_main.Item';
CALL tsk_code.upkeep();
SELECT trigger, polls FROM tsk_code.polls;
UPDATE integ.sync_tasks SET schedule = '{"every": "1 day"}' WHERE instance = (SELECT id FROM integ.instances WHERE
    instance_id = 'tsk_main');
CALL pg_temp.wait_for('SELECT count(*) = 0 FROM tsk_code.polls');
CALL pg_temp.wait_for($$SELECT count(*) = 0 FROM integ.calls_open WHERE purpose = 'poll'$$);
-- One that a person has asked for stays.
SELECT status FROM integ_webhook_register('tsk_main', 'item_new', '{"input": {"feed": "t"}}');
UPDATE integ.sync_tasks SET schedule = '"realtime"' WHERE instance = (SELECT id FROM integ.instances WHERE
    instance_id = 'tsk_main');
CALL tsk_code.upkeep();
DELETE FROM integ.sync_tasks WHERE instance = (SELECT id FROM integ.instances WHERE instance_id = 'tsk_main');
CALL tsk_code.upkeep();
SELECT trigger, is_for_task FROM tsk_code.polls;

-- What keeps a task from its webhook is in its last_error: where services reach us is not known, or the service's
-- method does not take what it would get. Mended, it has its webhook.
SELECT count(integ_sync_into('tsk_main', 'Note', 'public.tsk_notes', '{"start": false, "key": "id", "schedule":
    {"type": "realtime"}, "samples": [{"id": "a", "name": "n"}]}'));
CALL pg_temp.wait_for('SELECT last_error IS NOT NULL FROM integ.sync_tasks WHERE task_id = ''tsk_main.Note''');
CREATE VIEW tsk_code.problem AS
SELECT last_error ->> 'message' AS message, last_error #>> '{details,detail}' AS detail, last_error #>>
    '{details,hint}' AS hint FROM integ.sync_tasks WHERE task_id = 'tsk_main.Note';
SELECT * FROM tsk_code.problem;
CREATE FUNCTION tsk_code.reach(url text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET integ.public_url = %L', current_database(), url);
END
$$;
SELECT tsk_code.reach('https://hooks.example.com');
-- The worker that looks after webhooks may have connected before that; it ends when it has nothing to do.
CALL pg_temp.wait_for($$WITH again AS (UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'webhooks'
    AND next_run_at > now() RETURNING true) SELECT message ~ 'schema' FROM tsk_code.problem$$);
SELECT * FROM tsk_code.problem;
UPDATE integ.sync_tasks SET config = '{"input": {"shop": "n"}}' WHERE task_id = 'tsk_main.Note';
CALL tsk_code.upkeep();
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM integ.webhook_status WHERE task IS NOT NULL AND status = ''active''');
SELECT * FROM tsk_code.problem;
SELECT w.events, r.events AS asked, r.reregister FROM integ.webhook_registrations r JOIN integ.webhooks w ON w.id =
    r.webhook WHERE r.task IS NOT NULL;

-- Polls from now on begin at a time, written as the method takes it: a minute back, since clocks differ.
SELECT count(status) FROM unnest('{by_time,by_seconds,by_date}'::text[]) t, integ_webhook_register('tsk_main', t);
CALL pg_temp.wait_for('SELECT count(*) = 3 FROM tsk_code.polls WHERE trigger ~ ''^by'' AND primed');
CREATE VIEW tsk_code.asked AS
SELECT entry ->> 'path' AS path, replace(substring(entry ->> 'query' FROM 'from=([^&]*)'), '%3A', ':') AS since
FROM jsonb_array_elements(integ_execute('tsk_main', 'log')) entry WHERE entry ->> 'path' ~ '^/feed/by' AND entry ->>
    'method' = 'GET';
SELECT path, CASE path WHEN '/feed/by_seconds' THEN to_timestamp(since::bigint) ELSE since::timestamptz END BETWEEN
    now() - CASE path WHEN '/feed/by_date' THEN interval '49 hours' ELSE '5 minutes' END AND now() - interval
    '59 seconds' AS ago, since ~ CASE path WHEN '/feed/by_date' THEN '^\d{4}-\d\d-\d\d$' WHEN '/feed/by_seconds' THEN
    '^\d+$' ELSE '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$' END AS as_taken FROM tsk_code.asked ORDER BY path;

-- One that fails for long is told of, once.
UPDATE integ.polls SET input = '{"feed": "by_time", "fail": 1000}' WHERE trigger = 'by_time';
CALL tsk_code.poll('by_time', 'failures');
CALL tsk_code.poll('by_time', 'failures');
CALL tsk_code.poll('by_time', 'failures');
CALL tsk_code.poll('by_time', 'failures');
SELECT count(*) FROM integ.events WHERE kind = 'poll.failing' AND payload ->> 'trigger' = 'by_time';
CALL tsk_code.poll('by_time', 'failures');
CALL tsk_code.poll('by_time', 'failures');
SELECT failures, last_error, next_poll_at > now() + interval '59 minutes' AS an_hour FROM integ.polls WHERE trigger =
    'by_time';
SELECT payload - 'poll' AS payload FROM integ.events WHERE kind = 'poll.failing' AND payload ->> 'trigger' = 'by_time';
SELECT text, hint FROM integ.notifications WHERE kind = 'poll.failing' AND text ~ 'by_time';
-- One whose trigger the definition has no more says so.
SELECT integ_define(jsonb_set(jsonb_set(d.manifest, '{triggers}', (SELECT jsonb_agg(t) FROM jsonb_array_elements(
    d.manifest -> 'triggers') t WHERE t ->> 'id' <> 'by_date')), '{version}', '"1.1.0"')) IS NOT NULL AS defined
FROM integ.definitions d WHERE d.id = 'tsk_svc';
CALL tsk_code.poll('by_date', 'failures');
SELECT last_error, hint FROM integ.polls WHERE trigger = 'by_date';

DELETE FROM integ.sync_tasks WHERE instance = (SELECT id FROM integ.instances WHERE instance_id = 'tsk_main');
DELETE FROM integ.polls WHERE definition = 'tsk_svc';
DELETE FROM integ.webhooks WHERE definition = 'tsk_svc';
DELETE FROM integ.webhook_events WHERE definition = 'tsk_svc';
SELECT integ_disconnect('tsk_main');
CALL pg_temp.wait_for($$SELECT count(*) = 0 FROM integ.calls_open WHERE instance_id = 'tsk_main'$$);
DELETE FROM integ.conversion_schemas WHERE instance = (SELECT id FROM integ.instances WHERE instance_id = 'tsk_main');
DELETE FROM integ.instances WHERE instance_id = 'tsk_main';
SELECT integ_undefine('tsk_svc');
DELETE FROM integ.notifications WHERE kind LIKE 'poll.%';
ALTER SYSTEM RESET integ.retry_delay;
SELECT pg_reload_conf();
SELECT tsk_code.reach('');
DROP TABLE public.tsk_items, public.tsk_more, public.tsk_notes;
DROP SCHEMA tsk_code CASCADE;
