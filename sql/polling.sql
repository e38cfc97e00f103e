-- Triggers that are polled: what is new becomes events.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY terse

SELECT integ_define($$
{
  "integrationId": "poll_svc", "name": "Feed", "version": "1.0.0", "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "list_items", "name": "List", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"feed": {"type": "string"}, "since": {"type": "string"},
         "order": {"type": "string"}, "fail": {"type": "integer"}, "size": {"type": "integer", "default": 2}}},
     "request": {"method": "GET", "path": "/feed/{feed}", "query": {"since": "{since}", "order": "{order}", "fail":
         "{fail}", "size": "{size}", "repeat": "1"}},
     "response": {"records": ".items"}, "pagination": {"style": "page", "param": "page", "more": ".more"}},
    {"id": "list_changes", "name": "Changes", "outputSchema": {}, "inputSchema": {"type": "object", "properties":
        {"feed": {"type": "string"}}},
     "request": {"method": "GET", "path": "/feed/{feed}/delta"}, "response": {"records": ".items"},
     "pagination": {"style": "none", "delta": {"next": ".token", "param": "token"}}},
    {"id": "note", "name": "Note", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object",
        "properties": {"text": {"type": "string"}}},
     "request": {"method": "GET", "path": "/echo/note", "query": {"text": "{text}"}}, "response": {"map": {"query":
         ".query"}}},
    {"id": "put", "name": "Put", "access": "write", "outputSchema": {}, "inputSchema": {"type": "object",
        "properties": {"feed": {"type": "string"}, "items": {"type": "array"}}},
     "request": {"method": "POST", "path": "/feed/{feed}", "body": "{items}"}}
  ],
  "triggers": [
    {"id": "item_changed", "name": "Item changed", "type": "updated", "payloadSchema": {"type": "object", "required":
        ["n"]},
     "poll": {"method": "list_items", "intervalSeconds": 3600, "idField": "id", "modifiedField": "changed", "input":
         {"feed": "a"}}},
    {"id": "item_made", "name": "Item made", "type": "created", "when": "$.n > 0",
     "poll": {"method": "list_items", "idField": "id", "modifiedField": "changed", "modifiedParam": "since", "input":
         {"feed": "b"}}},
    {"id": "item_any", "name": "Any", "type": "custom", "poll": {"method": "list_changes", "intervalSeconds": 3600,
        "input": {"feed": "c"}}}
  ]
}
$$::jsonb);
SELECT integ_connect('poll_svc', 'poll_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
CREATE SCHEMA poll_code;
CREATE TABLE poll_code.seen (id bigint GENERATED ALWAYS AS IDENTITY, event jsonb);
CREATE FUNCTION poll_code.take(event jsonb) RETURNS void LANGUAGE sql AS
    'INSERT INTO poll_code.seen (event) SELECT jsonb_build_object(''event'', event -> ''event'', ''payload'', event '
        '-> ''payload'')';
CREATE FUNCTION poll_code.put(feed text, items jsonb) RETURNS void LANGUAGE sql AS
    $$ SELECT integ_execute('poll_main', 'put', jsonb_build_object('feed', feed, 'items', items)) $$;
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
-- A poll now, and until it is over.
CREATE PROCEDURE poll_code.poll(which text, failing boolean DEFAULT false) LANGUAGE plpgsql AS $$
DECLARE
    before record;
BEGIN
    SELECT p.polls, p.failures, p.call INTO before FROM integ.polls p WHERE p.trigger = which;
    UPDATE integ.calls_open SET run_at = now() WHERE id = before.call;
    COMMIT;
    CALL pg_temp.wait_for(format('SELECT %s > %s FROM integ.polls WHERE trigger = %L',
        CASE WHEN failing THEN 'failures' ELSE 'polls' END, CASE WHEN failing THEN before.failures ELSE before.polls
            END, which));
END
$$;

SELECT poll_code.put('a', '[{"id": 1, "changed": "2024-01-01T00:00:01Z", "n": 1}, {"id": 2, "changed": '
    '"2024-01-01T00:00:02Z", "n": 1}, {"id": 3, "changed": "2024-01-01T00:00:03Z", "n": 1}]');

-- From now on: what is there at first is no news.
SELECT integ_webhook_register('poll_main', 'item_changed', '{"schedule": {"every": "never"}}');
SELECT integ_webhook_register('poll_main', 'item_changed', '{"schedule": "manual"}');
SELECT integ_webhook_register('poll_main', 'item_changed', '{"start": "yesterday"}');
SELECT url, status, call IS NOT NULL AS call FROM integ_webhook_register('poll_main', 'item_changed',
    '{"handler": "poll_code.take"}');
CALL pg_temp.wait_for('SELECT polls = 1 FROM integ.polls WHERE trigger = ''item_changed''');
SELECT primed, high_water_mark, records, events, failures, last_error, next_poll_at > now() + interval '50 minutes'
    AS next FROM integ.polls WHERE trigger = 'item_changed';
SELECT state, next_attempt_at > now() + interval '50 minutes' AS later, attempt, interrupted, purpose FROM
    integ.calls_open WHERE instance_id = 'poll_main';
SELECT count(*) FROM integ.webhook_events WHERE definition = 'poll_svc';

-- What changes, and what is new; each once, however often it comes, and on whichever page.
SELECT poll_code.put('a', '[{"id": 2, "changed": "2024-01-01T00:00:09Z", "n": 2}, {"id": 4, "changed": '
    '"2024-01-01T00:00:04Z", "n": 1}, {"id": 5, "changed": "2024-01-01T00:00:05Z"}]');
CALL poll_code.poll('item_changed');
CALL poll_code.poll('item_changed');
CALL pg_temp.wait_for('SELECT count(*) = 2 FROM integ.webhook_events WHERE definition = ''poll_svc'''
    ' AND state = ''handled''');
SELECT event, triggers, delivery_id, occurred_at AT TIME ZONE 'UTC' AS occurred_at, source, payload, webhook, state,
    last_error FROM integ.webhook_events WHERE definition = 'poll_svc' ORDER BY id;
CALL pg_temp.wait_for('SELECT count(*) = 2 FROM poll_code.seen');
SELECT event FROM poll_code.seen ORDER BY event::text;
SELECT high_water_mark, polls, events, failures FROM integ.polls WHERE trigger = 'item_changed';

-- From the beginning; each id counts once; a filter, and a rule.
SELECT poll_code.put('b', '[{"id": "x", "changed": "2024-02-01T00:00:01Z", "n": 1}, {"id": "y", "changed": '
    '"2024-02-01T00:00:01Z", "n": 0}, {"id": "z", "changed": "2024-02-01T00:00:02Z", "n": 7}]');
INSERT INTO integ.rules (rule_id, trigger_definition, trigger, instance, method, input)
VALUES ('poll_rule', 'poll_svc', 'item_made', 'poll_main', 'note', '{"text": "{payload.id}"}');
SELECT status FROM integ_webhook_register('poll_main', 'item_made', '{"start": "beginning", "filter": "$.n < 5"}');
CALL pg_temp.wait_for('SELECT polls = 1 FROM integ.polls WHERE trigger = ''item_made''');
SELECT poll_code.put('b', '[{"id": "x", "changed": "2024-02-01T00:00:03Z", "n": 1}]');
CALL poll_code.poll('item_made');
SELECT event, delivery_id, payload FROM integ.webhook_events WHERE event = 'item_made' ORDER BY id;
CALL pg_temp.wait_for('SELECT count(*) = 1 FROM integ.calls_done WHERE method = ''note''');
SELECT input, result FROM integ.calls_done WHERE method = 'note';
SELECT high_water_mark FROM integ.polls WHERE trigger = 'item_made';

-- By a token from which the service tells what has changed; one that has expired means everything once more, which
-- is known.
SELECT poll_code.put('c', '["one", "two"]');
SELECT status FROM integ_webhook_register('poll_main', 'item_any', '{"schedule": {"every": "1 hour"}}');
CALL pg_temp.wait_for('SELECT polls = 1 FROM integ.polls WHERE trigger = ''item_any''');
SELECT poll_code.put('c', '["three", "one"]');
CALL poll_code.poll('item_any');
SELECT payload FROM integ.webhook_events WHERE event = 'item_any' ORDER BY id;
UPDATE integ.polls SET delta_token = 'old' WHERE trigger = 'item_any';
CALL poll_code.poll('item_any');
SELECT delta_token, events, failures FROM integ.polls WHERE trigger = 'item_any';

-- A poll that fails comes later each time, and says why.
UPDATE integ.polls SET input = '{"fail": 2}' WHERE trigger = 'item_changed';
CALL poll_code.poll('item_changed', true);
CALL poll_code.poll('item_changed', true);
SELECT failures, last_error, next_poll_at > now() + interval '50 minutes' AS later FROM integ.polls WHERE trigger =
    'item_changed';
SELECT state, last_error, hint IS NOT NULL AS hint FROM integ_status() WHERE component = 'polls';
CALL poll_code.poll('item_changed');
SELECT failures, last_error FROM integ.polls WHERE trigger = 'item_changed';

-- Switched off and on; a call that somebody cancels comes back.
UPDATE integ.polls SET is_active = false WHERE trigger = 'item_changed' RETURNING call;
SELECT count(*) FROM integ.calls_open WHERE purpose = 'poll' AND subject = (SELECT id FROM integ.polls WHERE trigger
    = 'item_changed');
UPDATE integ.polls SET schedule = '{"every": "2 hours"}', is_active = true WHERE trigger = 'item_changed' RETURNING
    call IS NOT NULL AS call;
UPDATE integ.polls SET schedule = '{"cron": "nonsense"}' WHERE trigger = 'item_changed';
CALL pg_temp.wait_for('SELECT next_poll_at > now() + interval ''100 minutes'' FROM integ.polls WHERE trigger = '
    '''item_changed''');
SELECT integ_call_cancel(call) FROM integ.polls WHERE trigger = 'item_changed';
SELECT call FROM integ.polls WHERE trigger = 'item_changed';
UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'webhooks';
CALL pg_temp.wait_for('SELECT call IS NOT NULL FROM integ.polls WHERE trigger = ''item_changed''');

-- Who may.
CREATE ROLE poll_app LOGIN;
GRANT integ_user TO poll_app;
INSERT INTO integ.clients (id, name) VALUES ('poll_acme', 'Acme');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('poll_app', 'poll_acme', 'ann', 'user');
SET ROLE poll_app;
SELECT integ_webhook_register('poll_main', 'item_changed');
SELECT count(*) FROM integ.polls;
UPDATE integ.polls SET is_active = false;
RESET ROLE;

-- It ends.
SELECT integ_webhook_unregister(id::text) IS NULL AS gone FROM integ.polls WHERE trigger = 'item_any';
DELETE FROM integ.polls WHERE definition = 'poll_svc';
DELETE FROM integ.webhook_events WHERE definition = 'poll_svc';
CALL pg_temp.wait_for('SELECT count(*) = 0 FROM integ.calls_open WHERE instance_id = ''poll_main''');
DELETE FROM integ.rules WHERE rule_id = 'poll_rule';
SELECT integ_disconnect('poll_main');
DELETE FROM integ.instances WHERE instance_id = 'poll_main';
SELECT integ_undefine('poll_svc');
DELETE FROM integ.members WHERE client_id = 'poll_acme';
DELETE FROM integ.clients WHERE id = 'poll_acme';
DROP ROLE poll_app;
SET client_min_messages = warning;
DROP SCHEMA poll_code CASCADE;
