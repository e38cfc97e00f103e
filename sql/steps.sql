-- Several requests as one method.
\getenv provider_url INTEG_PROVIDER_URL

SELECT integ_define($$
{
  "integrationId": "steps_svc", "name": "Steps", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "onboard", "name": "Find or create, then invite", "access": "write",
     "inputSchema": {"type": "object", "required": ["email"], "properties": {
         "email": {"type": "string"}, "known": {"type": "string"}, "fail": {"type": "integer", "default": 200},
             "note": {"type": "string"}}},
     "outputSchema": {"type": "object", "required": ["id"]},
     "steps": [
       {"id": "find", "request": {"method": "GET", "path": "/echo/find", "query": {"email": "{email}",
           "known": "{known}"}},
        "response": {"map": {"id": ".args.known"}}},
       {"id": "create", "when": "$ ? (!exists(@.steps.find.id))",
        "request": {"method": "POST", "path": "/echo/create", "body": {"email": "{email}", "id": "new-1"}},
        "response": {"map": {"id": ".json.id", "email": ".json.email"}}},
       {"id": "invite", "request": {"method": "POST", "path": "/fault/status",
                                    "query": {"code": "{fail}", "new": "{steps.create.id}", "old": "{steps.find.id}"},
                                    "body": {"contact": {"$if": "steps.create.id", "then": "{steps.create.id}",
                                        "else": "{steps.find.id}"}}},
        "response": {"errors": [{"status": 409, "class": "IG409", "message": "already invited"}]}},
       {"id": "note", "when": "{note}", "request": {"method": "PUT", "path": "/echo/note", "body": {"text": "{note}"}},
        "response": {"map": ".json.text"}}
     ],
     "response": {"map": {"id": "$.steps.*.id", "note": ".steps.note"}, "errors": [{"status": 410, "class": "IG404",
         "message": "gone"}]}},
    {"id": "last", "name": "The last one's answer", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"go": {"type": "boolean"}}},
     "steps": [
       {"id": "one", "when": "{go}", "request": {"method": "GET", "path": "/echo/one"},
           "response": {"map": {"path": ".path", "items": {"$literal": [{"id": 7}]}}}},
       {"id": "two", "when": "{steps.one.items[0].id}", "request": {"method": "POST",
           "path": "/echo/two/{steps.one.items[0].id}", "body": "{steps.one}"},
        "response": {"map": {"path": ".path", "body": ".json"}}},
       {"id": "three", "when": "$.input.go == \"never\"", "request": {"method": "GET", "path": "/echo/three"}}]},
    {"id": "keyed", "name": "Keys", "access": "write", "outputSchema": {}, "inputSchema": {"type": "object",
        "properties": {}},
     "idempotency": {"header": "Idempotency-Key"},
     "steps": [
       {"id": "a", "request": {"method": "POST", "path": "/echo/a"},
           "response": {"map": {"key": ".headers.\"idempotency-key\""}}},
       {"id": "b", "request": {"method": "POST", "path": "/echo/b"},
           "response": {"map": {"key": ".headers.\"idempotency-key\""}}},
       {"id": "c", "request": {"method": "GET", "path": "/echo/c"},
           "response": {"map": {"key": ".headers.\"idempotency-key\""}}}],
     "response": {"map": ".steps"}},
    {"id": "broken", "name": "Needs what nobody gives", "access": "write", "outputSchema": {},
        "inputSchema": {"type": "object", "properties": {}},
     "steps": [
       {"id": "a", "request": {"method": "POST", "path": "/echo/a"}},
       {"id": "b", "request": {"method": "POST", "path": "/echo/{steps.a.nothing}/b"}},
       {"id": "c", "request": {"method": "POST", "path": "/echo/c"}}]}
  ]
}
$$::jsonb);
SELECT integ_connect('steps_svc', 'steps_main', jsonb_build_object('base_url',
    :'provider_url')) IS NOT NULL AS connected;

SELECT integ_execute('steps_main', 'onboard', '{"email": "a@example.com", "note": "hello"}');
SELECT integ_execute('steps_main', 'onboard', '{"email": "a@example.com", "known": "old-7"}',
    '{"validate_output": "error"}');
SELECT integ_execute('steps_main', 'last', '{"go": true}');
SELECT integ_execute('steps_main', 'last', '{}') IS NULL AS nothing_ran;
SELECT bool_and(length(value ->> 'key') = 36) AS keys, count(DISTINCT value ->> 'key') AS different, count(*) AS steps
FROM jsonb_each(integ_execute('steps_main', 'keyed'));

-- A failure says what ran before it, and what did not.
CREATE FUNCTION steps_error(method text, input jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text;
BEGIN
    RETURN integ_execute('steps_main', method, input)::text;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN format(E'%s %s\n%s\n%s', state, message, regexp_replace(detail, 'http://[0-9.:]+', 'ORIGIN', 'g'), hint);
END $$;
\pset format unaligned
SELECT steps_error('onboard', '{"email": "a@example.com", "fail": 500}');
SELECT steps_error('onboard', '{"email": "a@example.com", "fail": 409, "note": "x"}');
SELECT steps_error('onboard', '{"email": "a@example.com", "fail": 410}');
SELECT steps_error('broken', '{}');
\pset format aligned

-- Each request is in the log with its step; each write in the audit, its intent before it left.
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT (SELECT count(*) FROM integ.requests WHERE instance_id = 'steps_main') >= 21$$);
SELECT method, step, http_method, is_write, status, sqlstate, count(*) FROM integ.requests
WHERE instance_id = 'steps_main' GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 5, 6;
SELECT method, detail ->> 'step' AS step, outcome, count(*) FROM integ.audit_log
WHERE instance_id = 'steps_main' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT count(DISTINCT call_id) AS calls FROM integ.requests WHERE instance_id = 'steps_main' AND method = 'onboard';

-- The dispatcher goes the same way.
SELECT integ_enqueue('steps_main', 'onboard', '{"email": "a@example.com", "note": "hello"}') AS id \gset
SELECT integ_await(:'id', '20 s') - 'call' AS outcome;
SELECT integ_enqueue('steps_main', 'last', '{}') AS id \gset
SELECT integ_await(:'id', '20 s') - 'call' AS outcome;
SELECT integ_enqueue('steps_main', 'broken', '{}') AS id \gset
SELECT integ_await(:'id', '20 s') #> '{error,detail}' AS detail;
SELECT state, last_sqlstate FROM integ.calls WHERE id = :'id';
-- A write that the service failed on: what came before it is known, what became of it is not.
SELECT integ_enqueue('steps_main', 'onboard', '{"email": "a@example.com", "fail": 500}') AS id \gset
SELECT integ_await(:'id', '20 s') ->> 'state' AS state;
SELECT state, regexp_replace(error_detail, 'http://[0-9.:]+', 'ORIGIN') AS error_detail FROM integ.calls
    WHERE id = :'id';

-- A rate limit in the middle: the call waits, and goes on with the step that was refused.
SELECT integ_enqueue('steps_main', 'onboard', '{"email": "b@example.com", "fail": 429}') AS id \gset
UPDATE integ.calls_open SET max_attempts = 1000 WHERE id = :'id';
CALL pg_temp.wait_for(format('SELECT EXISTS (SELECT FROM integ.calls_open WHERE id = %L AND state = %L)', :'id',
    'waiting'));
SELECT progress ->> 'next' AS next, progress -> 'earlier' AS earlier, progress ->> 'trace' AS trace
FROM integ.calls_open WHERE id = :'id';
UPDATE integ.calls_open SET input = input || '{"fail": 200}', next_attempt_at = now() WHERE id = :'id';
SELECT integ_await(:'id', '20 s') - 'call' - 'attempts' AS outcome;
CALL pg_temp.wait_for(format('SELECT EXISTS (SELECT FROM integ.requests WHERE call_id = %L AND step = %L
    AND status = %s)', :'id', 'invite', 200));
SELECT step, count(DISTINCT status) AS statuses, bool_and(n = 1 OR step = 'invite') AS once FROM (
    SELECT step, status, count(*) AS n FROM integ.requests WHERE call_id = :'id' GROUP BY 1, 2) s GROUP BY 1 ORDER BY 1;

-- Manifests that contradict themselves.
CREATE FUNCTION steps_problem(method jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text;
BEGIN
    PERFORM integ_define(jsonb_build_object('integrationId', 'steps_bad', 'name', 'Bad', 'version', '1.0.0',
        'category', 'custom',
        'baseUrl', 'https://x.example', 'methods', jsonb_build_array('{"id": "m", "name": "M", "access": "write",
        "inputSchema": {"type": "object", "properties": {"x": {}}}, "outputSchema": {}}'::jsonb || method)));
    RETURN 'none';
EXCEPTION WHEN SQLSTATE 'IG400' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, message = MESSAGE_TEXT;
    RETURN message || ': ' || detail;
END $$;
CREATE FUNCTION steps_of(VARIADIC steps text[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('steps', jsonb_agg(format('{"id": "%s", "request": {"method": "POST", "path": "/p",
        "body": {"v": "%s"}}}',
        split_part(s, ':', 1), split_part(s, ':', 2))::jsonb ORDER BY n)) FROM unnest(steps) WITH ORDINALITY AS u (s, n)
$$;
SELECT steps_problem(steps_of('a:{steps.b.id}', 'b:{steps.a.id}'));
SELECT steps_problem(steps_of('a:{steps.a.id}'));
SELECT steps_problem(steps_of('a:{x}', 'b:{steps.c.id}'));
SELECT steps_problem(steps_of('a:{x}', 'a:{x}'));
SELECT steps_problem(steps_of('a:{job.id}'));
SELECT steps_problem('{"steps": []}');
SELECT steps_problem('{"steps": [{"id": "a", "when": "x", "request": {"method": "GET"}}]}');
SELECT steps_problem('{"steps": [{"id": "a", "when": "{steps.a}", "request": {"method": "GET"}}]}');
SELECT steps_problem('{"steps": [{"id": "a", "when": "$.x ?", "request": {"method": "GET"}}]}');
SELECT steps_problem('{"access": "read", "steps": [{"id": "a", "request": {"method": "DELETE"}}]}');
SELECT steps_problem('{"access": "read", "steps": [{"id": "a", "access": "write", "request": {"method": "POST"}}]}');
SELECT steps_problem('{"response": {"type": "json"}, "steps": [{"id": "a", "request": {"method": "GET"}}]}');
SELECT steps_problem('{"request": {"method": "GET"}, "steps": [{"id": "a", "request": {"method": "GET"}}]}');
SELECT steps_problem('{"access": "read", "pagination": {"style": "link"}, "steps": [{"id": "a",
    "request": {"method": "GET"}}]}');

DROP FUNCTION steps_problem(jsonb), steps_of(text[]), steps_error(text, jsonb);
DELETE FROM integ.instances WHERE definition = 'steps_svc';
SELECT integ_undefine('steps_svc');
