-- What must not break a call: values that look like templates, answers that lack what was promised, lists without end.
\getenv provider_url INTEG_PROVIDER_URL

SELECT integ_define($${
  "integrationId": "bad_input", "name": "Bad input", "version": "1.0.0", "baseUrl": "{config.base_url}",
  "authType": "apikey", "auth": {"in": "header", "name": "X-Key"},
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}, "note": {"type": "string"}}},
  "headers": {"X-Note": "{config.note}"},
  "methods": [
    {"id": "loop", "name": "Loop", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}},
     "steps": [
       {"id": "one", "request": {"method": "POST", "path": "/echo/{a}", "query": {"q": "{a} {b}"},
                                 "body": {"a": "{a}", "b": ["{b}", "[{a}]"]}},
        "response": {"map": {"a": ".json.a", "path": ".path", "query": ".query.q", "body": ".json",
                             "note": ".headers.\"x-note\""}}},
       {"id": "two", "request": {"method": "POST", "path": "/echo", "body": {"again": "{steps.one.a}"}},
        "response": {"map": {"again": ".json.again"}}}],
     "response": {"map": {"first": ".steps.one", "second": ".steps.two"}}},
    {"id": "value", "name": "A value as it is", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/echo", "body": {"b": "{b}"}}, "response": {"map": ".json"}},
    {"id": "map", "name": "Map", "inputSchema": {}, "request": {"method": "GET", "path": "/echo"},
     "outputSchema": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
     "response": {"map": {"id": ".data.items[7].id", "method": ".method", "deep": {"deeper": "$.nothing[*].here"}}}},
    {"id": "map_all", "name": "Map all", "inputSchema": {}, "request": {"method": "GET", "path": "/echo"},
     "outputSchema": {"type": "object"}, "response": {"map": ".data.items"}},
    {"id": "records", "name": "Records", "inputSchema": {}, "request": {"method": "GET", "path": "/echo"},
     "outputSchema": {}, "response": {"records": ".data.items"}},
    {"id": "null_records", "name": "Null for records", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "200", "body": "{body}"}},
     "response": {"records": ".data"}},
    {"id": "optional_records", "name": "The same", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "200", "body": "{body}"}},
     "response": {"records": ".data", "recordsOptional": true}},
    {"id": "found_records", "name": "By a jsonpath", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "200", "body": "{body}"}},
     "response": {"records": "$.data[*]"}},
    {"id": "not_records", "name": "No records", "inputSchema": {}, "request": {"method": "GET", "path": "/echo"},
     "outputSchema": {}, "response": {"records": ".method"}},
    {"id": "unchanged", "name": "Changes", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "304"},
                 "headers": {"If-Modified-Since": "Sat, 21 Nov 2026 00:00:00 GMT"}},
     "response": {"records": ".data"}, "pagination": {"style": "page", "param": "page"}},
    {"id": "many", "name": "Many", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/lists/done", "query": {"n": "{n}", "limit": "100"}},
     "response": {"records": ".records"}, "pagination": {"style": "next_url", "next": ".nextRecordsUrl"}},
    {"id": "shrinks", "name": "Pages that shrink to nothing", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/lists/shrinks", "query": {"by": "{by}"}}, "response": {"records": ".data"},
     "pagination": {"style": "cursor", "param": "cursor", "next": ".next"}},
    {"id": "shrinks_counted", "name": "The same, counted", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/lists/shrinks"}, "response": {"records": ".data"},
     "pagination": {"style": "offset", "param": "cursor", "total": ".total"}}
  ]
}$$::jsonb);
SELECT integ_connect('bad_input', 'bad_main',
    jsonb_build_object('base_url', :'provider_url', 'note', '{config.note} {credentials.key} {a}')) IS NOT NULL AS ok;
SELECT integ_credential_set('bad_main', 'key', 'bad-input-secret') IS NOT NULL AS ok;

-- What a value holds is never read as a template: of the input, the config, an answer.
SELECT jsonb_pretty(integ_execute('bad_main', 'loop', '{"a": "{b}", "b": "{a} {credentials.key} [{gone}]"}'));
SELECT integ_execute('bad_main', 'value', '{"b": {"$each": "b", "as": "x", "do": "{credentials.key}"}}');
SELECT integ_execute('bad_main', 'value', '{"b": {"$if": "b", "then": {"$literal": "{b}"}}}');

-- A map onto a missing path leaves the key out; what must be there is asked of outputSchema.
SELECT integ_execute('bad_main', 'map');
SELECT integ_execute('bad_main', 'map', '{}', '{"validate_output": "warn"}');
SELECT integ_execute('bad_main', 'map', '{}', '{"validate_output": "error"}');
SELECT integ_execute('bad_main', 'map_all') IS NULL AS nothing;
SELECT integ_execute('bad_main', 'map_all', '{}', '{"validate_output": "error"}');
-- A list that is not where it should be is an error: an empty one would be taken for the truth.
\set VERBOSITY terse
SELECT integ_execute('bad_main', 'records');
\echo :LAST_ERROR_SQLSTATE
SELECT integ_execute('bad_main', 'not_records');
SELECT * FROM integ_fetch('bad_main', 'null_records', '{"body": "{\"data\": null}"}');
SELECT * FROM integ_fetch('bad_main', 'optional_records', '{"body": "{\"data\": 7}"}');
\set VERBOSITY default
SELECT count(*) FROM integ_fetch('bad_main', 'optional_records', '{"body": "{\"data\": null}"}');
SELECT * FROM integ_fetch('bad_main', 'found_records', '{"body": "{\"data\": [7]}"}') AS r;
SELECT * FROM integ_fetch('bad_main', 'null_records', '{"body": "{\"data\": {\"id\": 1}}"}') AS r;
-- HTTP 304 is an empty list.
SELECT count(*) FROM integ_fetch('bad_main', 'unchanged') AS r;

-- Pages that shrink to nothing while the service goes on naming a next one.
SELECT count(*) FROM integ_fetch('bad_main', 'shrinks') AS r;
SELECT count(*) FROM integ_fetch('bad_main', 'shrinks', '{}', '{"max_pages": 20}') AS r;
SELECT count(*) FROM integ_fetch('bad_main', 'shrinks_counted') AS r;

-- Memory stays that of one page: after 1,000 pages it is what it was after 30.
DO $$
DECLARE
    r jsonb;
    n int := 0;
    early bigint;
    late bigint;
BEGIN
    FOR r IN SELECT f FROM integ_fetch('bad_main', 'many', '{"n": 100000}', '{"records": false}') AS f LOOP
        n := n + 1;
        IF n = 30 THEN
            SELECT sum(total_bytes) INTO early FROM pg_backend_memory_contexts;
        END IF;
    END LOOP;
    SELECT sum(total_bytes) INTO late FROM pg_backend_memory_contexts;
    RAISE NOTICE '% pages, memory %', n,
        CASE WHEN late <= early + 262144 THEN 'flat' ELSE format('%s -> %s', early, late) END;
END $$;

DELETE FROM integ.instances WHERE instance_id = 'bad_main';
SELECT integ_undefine('bad_input');
