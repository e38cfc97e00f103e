-- Cards: from what several sources gave to one record that people read.
\getenv url INTEG_PROVIDER_URL
\getenv token INTEG_PROVIDER_TOKEN
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;

-- Templates: what a source gives cannot be markup.
SELECT jsonb_pretty(integ.card_make('{"source_id": "briefing", "task": {"city": "Oslo"}, "sources": [],
  "card": {"title": "Briefing for {task.city}", "tags": ["daily", "city"],
           "content": ["# {task.city}, {weather.degrees} degrees\n\n", {"$each": "news", "as": "n", "do": "- [[{n.title}]]({n.url})\n"}]}}',
  '{"weather": {"degrees": 4}, "news": [{"title": "*Harbour* [closed]", "url": "https://x.example/a_b?c=(d)"}, {"title": "<b>B</b>", "url": "u"}]}', '[]'));
SELECT integ.card_make('{"source_id": "x", "card": {}, "sources": []}', '{"a": 1}', '[]') - 'api_request';
-- Beside a failed source the rest is shown, and what is missing is said.
SELECT card ->> 'title' AS title, card ->> 'content' AS content, card ->> 'status' AS status, card -> 'sources_succeeded' AS succeeded, card -> 'sources_failed' AS failed
FROM (VALUES ('{"title": "{weather.city}", "content": ["Weather[: {weather.degrees}]\n", {"$each": "news", "as": "n", "do": "- {n}\n"}]}'::jsonb),
             ('{"content": "It is {weather.degrees} degrees"}')) AS plans (plan),
     integ.card_make(jsonb_build_object('source_id', 'briefing', 'card', plan), '{"news": ["a", "b"]}', '[{"source": "weather", "error": "timeout <b>"}]') AS card;
-- Without a failed one it is a mistake of the template.
SELECT integ.card_make('{"source_id": "x", "card": {"content": "It is {weather.degrees}"}}', '{"news": []}', '[]');
SELECT integ.card_make('{"source_id": "x", "card": {"content": "{"}}', '{"news": []}', '[]');
SELECT integ.card_make('{"source_id": "x", "card": {"tags": "daily"}}', '{"news": []}', '[]');
SELECT integ.template_text('"Say {x}"', '{"x": "a*b_c\\d\ne"}', '{}', '{}', 'markdown');

SELECT integ_define('{"integrationId": "cards_iso", "name": "ISO codes", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [
    {"id": "get_country", "name": "Get a country", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"code": {"type": "string"}}},
     "request": {"method": "GET", "path": "/v1/countries/{code}"}, "response": {"map": {"name": ".data.name", "code": ".data.id"}}},
    {"id": "list_languages", "name": "List languages", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"limit": {"type": "integer"}}},
     "request": {"method": "GET", "path": "/v1/languages", "query": {"paging": "link", "limit": "{limit}"}}, "response": {"records": ".data"}, "pagination": {"style": "link"}},
    {"id": "broken", "name": "Broken", "access": "read", "outputSchema": {}, "inputSchema": {},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "404"}}}]}');
SELECT integ_connect('cards_iso', 'cards_iso_main', jsonb_build_object('base_url', :'url'), '{}') IS NOT NULL AS connected;
SELECT integ_credential_set('cards_iso_main', 'token', :'token') IS NOT NULL AS has_token;

-- A refresh asks again, with the rights of the caller.
CREATE FUNCTION pg_temp.card(id uuid, sources jsonb, plan jsonb) RETURNS uuid LANGUAGE sql AS $$
    INSERT INTO integ.records (id, type, data) VALUES (id, 'card', jsonb_build_object('title', 'Old', 'mine', true, 'api_request', jsonb_build_object(
        'source_id', 'cards_test', 'task', '{"where": "Norway"}'::jsonb, 'card', plan, 'sources', sources)))
    RETURNING id
$$;
SELECT pg_temp.card('00000000-0000-7000-8000-00000000ca4d', '[{"name": "country", "instance": "cards_iso_main", "method": "get_country", "input": {"code": "NO"}, "max_records": 100, "single": true},
  {"name": "languages", "instance": "cards_iso_main", "method": "list_languages", "input": {"limit": 10}, "max_records": 2},
  {"name": "weather", "instance": "cards_iso_main", "method": "broken", "max_records": 1}]',
  '{"title": "{country.name}", "content": ["About {task.where}:\n", {"$each": "languages", "as": "l", "do": "- {l.name}\n"}]}') AS card \gset
SELECT integ_card_refresh(:'card') ->> 'status' AS status;
SELECT data ->> 'title' AS title, data ->> 'content' AS content, data -> 'data' -> 'country' AS country, data -> 'sources_succeeded' AS succeeded,
       data -> 'sources_failed' -> 0 ->> 'source' AS failed, data -> 'mine' AS kept, updated_at > created_at AS updated
FROM integ.records WHERE id = :'card';
SELECT xmin AS before FROM integ.records WHERE id = :'card' \gset
SELECT integ_card_refresh(:'card') ->> 'title' AS title;
SELECT xmin = :'before' AS not_written_again FROM integ.records WHERE id = :'card';
-- Nothing to be had: it stays as it was.
SELECT pg_temp.card('00000000-0000-7000-8000-00000000ca5d', '[{"name": "weather", "instance": "cards_iso_main", "method": "broken", "max_records": 1}]', '{}') AS broken \gset
SELECT integ_card_refresh(:'broken');
SELECT data ->> 'title' AS title FROM integ.records WHERE id = :'broken';
SELECT integ_card_refresh('00000000-0000-0000-0000-000000000000');
INSERT INTO integ.records (id, type, data) VALUES ('00000000-0000-7000-8000-00000000ca6d', 'card', '{"title": "By hand"}');
SELECT integ_card_refresh('00000000-0000-7000-8000-00000000ca6d');
-- A source that is there again is no longer noted as failed.
UPDATE integ.records SET data = jsonb_set(data, '{api_request,sources,2,method}', '"list_languages"') WHERE id = :'card';
SELECT r ->> 'status' AS status, r -> 'sources_failed' AS failed FROM integ_card_refresh(:'card') AS r;
SELECT data ->> 'status' AS status, data -> 'sources_failed' AS failed FROM integ.records WHERE id = :'card';

-- Who may read it and not write it may not refresh it.
CREATE ROLE cards_bob LOGIN IN ROLE integ_user;
INSERT INTO integ.clients (id, name) VALUES ('cards_acme', 'Acme');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('cards_bob', 'cards_acme', 'bob', 'user');
UPDATE integ.records SET data = data || '{"title": "Old"}' WHERE id = :'card';
SET ROLE cards_bob;
SELECT data ->> 'title' AS title FROM integ.records WHERE id = :'card';
SELECT integ_card_refresh(:'card');
RESET ROLE;
DELETE FROM integ.members WHERE client_id = 'cards_acme';
DELETE FROM integ.clients WHERE id = 'cards_acme';
DROP ROLE cards_bob;
-- A task collects its sources into a card, in one run.
DELETE FROM integ.records WHERE type = 'card';
INSERT INTO integ.sync_tasks (task_id, config) VALUES ('cards_briefing', '{"where": "Norway", "code": "NO", "card": {
  "title": "{country.name}", "tags": ["daily"], "content": ["About {task.where}:\n", {"$each": "languages", "as": "l", "do": "- {l.name}\n"}]}}');
INSERT INTO integ.sync_task_sources (task, position, name, instance, method, config)
SELECT t.id, s.position, s.name, i.id, s.method, s.config::jsonb
FROM integ.sync_tasks t, integ.instances i, (VALUES
    (1, 'country', 'get_country', '{}'), (2, 'languages', 'list_languages', '{"limit": 5, "maxResults": 7}'), (3, 'weather', 'broken', '{}'))
    AS s (position, name, method, config)
WHERE t.task_id = 'cards_briefing' AND i.instance_id = 'cards_iso_main';
CREATE VIEW pg_temp.cards AS
SELECT data ->> 'title' AS title, data ->> 'content' AS content, data -> 'tags' AS tags, data ->> 'status' AS status, data -> 'sources_succeeded' AS succeeded,
       data -> 'sources_failed' -> 0 ->> 'source' AS failed, data ->> 'source_id' AS source_id, jsonb_array_length(data -> 'data' -> 'languages') AS languages,
       data #> '{api_request,sources,0,input}' AS input, data #> '{api_request,task,card}' IS NULL AS once, client_id, context_type
FROM integ.records WHERE type = 'card';
-- A dry run shows it.
SELECT status, created, difference ->> 'title' AS title, difference ->> 'status' AS card FROM integ_sync_run('cards_briefing', true, true);
SELECT count(*) FROM pg_temp.cards;
SELECT status, phase, fetched, processed_records, created, updated, unchanged, error ->> 'message' AS error FROM integ_sync_run('cards_briefing', true);
SELECT * FROM pg_temp.cards;
SELECT phase, reason, recoverable FROM integ.sync_errors e JOIN integ.sync_tasks t ON t.id = e.task WHERE t.task_id = 'cards_briefing' AND NOT EXISTS (
    SELECT FROM integ.sync_executions x WHERE x.id = e.execution AND x.dry_run);
-- Again: the same card, and not written where nothing differs.
SELECT status, created, updated, unchanged FROM integ_sync_run('cards_briefing', true);
UPDATE integ.sync_task_sources SET config = '{"limit": 5, "maxResults": 3}' WHERE name = 'languages';
DELETE FROM integ.sync_task_sources WHERE name = 'weather';
SELECT status, created, updated, unchanged FROM integ_sync_run('cards_briefing', true);
SELECT content, status, failed, languages FROM pg_temp.cards;
SELECT integ_card_refresh(id) ->> 'title' AS refreshed FROM integ.records WHERE type = 'card';
-- Each run a card of its own.
UPDATE integ.sync_tasks SET config = jsonb_set(config, '{card,keep}', '"all"') WHERE task_id = 'cards_briefing';
SELECT status, created, updated, unchanged FROM integ_sync_run('cards_briefing', true);
SELECT count(*) FROM pg_temp.cards;
-- No source, no card: what was there stays.
UPDATE integ.sync_task_sources SET method = 'broken';
SELECT status, created, error ->> 'message' AS error FROM integ_sync_run('cards_briefing', true);
SELECT count(*) FROM pg_temp.cards;
-- A task that cannot make one says so.
UPDATE integ.sync_task_sources SET method = CASE name WHEN 'country' THEN 'get_country' ELSE 'list_languages' END;
UPDATE integ.sync_tasks SET config = jsonb_set(config, '{card,title}', '"About {nothing.here}"') WHERE task_id = 'cards_briefing';
SELECT status, error ->> 'message' AS error FROM integ_sync_run('cards_briefing', true);
SELECT status, last_error ->> 'message' AS last_error FROM integ.sync_tasks WHERE task_id = 'cards_briefing';
DELETE FROM integ.sync_tasks WHERE task_id = 'cards_briefing';

DELETE FROM integ.records WHERE type = 'card';
SELECT integ_disconnect('cards_iso_main');
DELETE FROM integ.instances WHERE instance_id = 'cards_iso_main';
SELECT integ_undefine('cards_iso');
