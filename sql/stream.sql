-- Answers that are streams: server-sent events and newline-delimited JSON.
\getenv provider_url INTEG_PROVIDER_URL
SELECT integ_define($${
  "integrationId": "stream_test", "name": "Streams", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [
    {"id": "sse", "name": "Events", "access": "read", "stream": "sse", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/sse", "query": {"n": "{n}", "ms": "{ms}"}}},
    {"id": "data", "name": "Data of events", "access": "read", "stream": "sse", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/sse", "query": {"n": "{n}"}}, "response": {"records": ".data.n"}},
    {"id": "mapped", "name": "Mapped", "access": "read", "stream": "ndjson", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/ndjson", "query": {"n": "{n}"}},
         "response": {"map": {"number": ".n"}}},
    {"id": "lists", "name": "Lists", "access": "read", "stream": "ndjson", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/ndjson", "query": {"n": "{n}"}},
         "response": {"records": ".more.list"}},
    {"id": "ndjson", "name": "Lines", "access": "read", "stream": "ndjson", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/{kind}", "query": {"n": "{n}", "ms": "{ms}", "last": "{last}",
         "bytes": "{bytes}", "remaining": "{remaining}"}}},
    {"id": "endless", "name": "Without end", "access": "read", "stream": "sse", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/{kind}", "query": {"ms": "{ms}"}}, "response": {"records": ".data"},
     "pagination": {"style": "none", "end": "$ ? (@.data.n == 7)"}},
    {"id": "refused", "name": "Refused", "access": "read", "stream": "sse", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/refused"},
     "response": {"errors": [{"when": "$ ? (@.event == \"error\")", "class": "IG422",
         "message": "$[*].data.message"}]}},
    {"id": "post", "name": "A write", "access": "write", "stream": "sse", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/streams/sse"}}
  ]}$$::jsonb);
SELECT integ_connect('stream_test', 'streams', jsonb_build_object('base_url',
    :'provider_url')) IS NOT NULL AS connected;
SELECT integ_credential_set('streams', 'token', 'provider-token');

SELECT * FROM integ_fetch('streams', 'sse', '{"n": 5, "ms": 1}');
SELECT * FROM integ_fetch('streams', 'data', '{"n": 5}');
SELECT * FROM integ_fetch('streams', 'ndjson', '{"kind": "ndjson", "n": 3, "last": "1"}');
SELECT * FROM integ_fetch('streams', 'mapped', '{"n": 2}');
SELECT * FROM integ_fetch('streams', 'lists', '{"n": 2}');
SELECT count(*), max((r ->> 'n')::int) FROM integ_fetch('streams', 'ndjson', '{"kind": "ndjson", "n": 5000}') AS r;
-- What its headers say of the service's limits counts, also where the stream is left before its end.
SELECT count(*) FROM integ_fetch('streams', 'ndjson', '{"kind": "ndjson", "n": 2, "remaining": 60}');
SELECT "limit", remaining, source FROM integ.rate_limits WHERE instance_id = 'streams';
SELECT r FROM integ_fetch('streams', 'ndjson', '{"kind": "ndjson", "n": 5000, "remaining": 50}') r LIMIT 1;
SELECT "limit", remaining, source FROM integ.rate_limits WHERE instance_id = 'streams';
-- integ_execute collects all of it; what is no event is none there either.
SELECT integ_execute('streams', 'ndjson', '{"kind": "ndjson", "n": 2}');
SELECT jsonb_array_length(integ_execute('streams', 'sse', '{"n": 5}'));
SELECT jsonb_array_length(integ_execute('streams', 'post'));
SELECT integ_execute('streams', 'mapped', '{"n": 0}');

-- A stream without end ends with its reader: a LIMIT, max_records, the definition's end.
SELECT count(*) FROM (SELECT * FROM integ_fetch('streams', 'endless', '{"kind": "endless"}') LIMIT 3) AS l;
SELECT * FROM integ_fetch('streams', 'endless', '{"kind": "endless"}', '{"max_records": 2}');
SELECT count(*) FROM integ_fetch('streams', 'endless', '{"kind": "endless"}');
-- Another call while one is read; two streams at a time.
SELECT r, integ_execute('streams', 'ndjson', '{"kind": "ndjson", "n": 1}') -> 0 -> 'n' AS other
FROM integ_fetch('streams', 'endless', '{"kind": "endless", "ms": 1}') AS r LIMIT 3;
SELECT count(*) FROM (SELECT a, b FROM integ_fetch('streams', 'ndjson', '{"kind": "ndjson", "n": 3}') AS a,
    LATERAL integ_fetch('streams', 'mapped', jsonb_build_object('n', a ->> 'n')) AS b) AS l;
-- And a silent one with the time that is given to it.
\set VERBOSITY terse
SELECT * FROM integ_fetch('streams', 'endless', '{"kind": "silent"}', '{"timeout": 200}');
\set VERBOSITY sqlstate
SELECT integ_execute('streams', 'endless', '{"kind": "silent"}', '{"timeout": 200}');
\set VERBOSITY terse
SET integ.max_sync_wait = '200ms';
SELECT * FROM integ_fetch('streams', 'endless', '{"kind": "silent"}');
RESET integ.max_sync_wait;
-- What is wrong with an event, a stream, the network.
SELECT count(*) FROM integ_fetch('streams', 'refused') AS r;
SELECT integ_execute('streams', 'refused');
SELECT count(*) FROM integ_fetch('streams', 'ndjson', '{"kind": "broken"}') AS r;
SELECT integ_execute('streams', 'ndjson', '{"kind": "broken"}');
SELECT count(*), max(length(r::text)) FROM integ_fetch('streams', 'ndjson', '{"kind": "long", "bytes": 1000000}') AS r;
SELECT count(*) FROM integ_fetch('streams', 'ndjson', '{"kind": "long", "bytes": 5000000}') AS r;
\set VERBOSITY sqlstate
SELECT count(*) FROM integ_fetch('streams', 'ndjson', '{"kind": "cut", "n": 3}') AS r;
SELECT count(*) FROM integ_fetch('streams', 'ndjson', '{"kind": "busy"}') AS r;
SET integ.max_download_size = '1MB';
SELECT count(*) FROM integ_fetch('streams', 'ndjson', '{"kind": "long", "bytes": 2000000}') AS r;
RESET integ.max_download_size;
\set VERBOSITY terse
SELECT * FROM integ_fetch('streams', 'sse', '{}', '{"page_size": 3}');
SELECT * FROM integ_fetch('streams', 'post');
\set VERBOSITY default
-- An error of the reader's own.
DO $$
BEGIN
    PERFORM 1 / (r::int - 2) FROM integ_fetch('streams', 'endless', '{"kind": "endless"}') AS e(r)
        WHERE r ? 'n' OR true;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE '%', SQLERRM;
END $$;

-- Each is in the request log, also those that their reader left.
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT (SELECT count(*) >= 8 FROM integ.requests WHERE instance_id = 'streams'
    AND method = 'endless')
    AND (SELECT count(*) >= 1 FROM integ.requests WHERE instance_id = 'streams' AND method = 'post')$$);
SELECT method, status, sqlstate, count(*), bool_and(response_bytes > 0) AS bytes FROM integ.requests
    WHERE instance_id = 'streams'
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT path_template, status, response_bytes FROM integ.requests WHERE instance_id = 'streams' AND method = 'mapped'
    ORDER BY 1, 2, 3;

DELETE FROM integ.instances WHERE instance_id = 'streams';
SELECT integ_undefine('stream_test');
