-- What answers become: CSV, XML, lists of which some failed, files into large objects.
\getenv provider_url INTEG_PROVIDER_URL
SELECT integ_define($${
  "integrationId": "answers_test", "name": "Answers", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [
    {"id": "csv", "name": "CSV", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/csv", "query": {"what": "{what}"}}, "response": {"type": "csv"}},
    {"id": "semicolon", "name": "CSV with semicolons", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/csv", "query": {"what": "semicolon"}}, "response": {"type": "csv",
         "csv": {"delimiter": ";"}}},
    {"id": "keep", "name": "Uneven CSV", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/csv", "query": {"what": "{what}"}},
     "response": {"type": "csv", "csv": {"uneven": "keep", "columns": ["a", "b"]}}},
    {"id": "text", "name": "Text", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/{kind}", "query": {"what": "plain"}}},
    {"id": "xml", "name": "XML", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/xml", "query": {"what": "{what}"}}, "response": {"type": "xml"}},
    {"id": "items", "name": "Items of XML", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/xml"}, "response": {"type": "xml", "records": "$.r.i[*]"}},
    {"id": "lists", "name": "Lists of XML", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/xml"}, "response": {"type": "xml", "xml": {"lists": ["n", "x:e"]}}},
    {"id": "xml_json", "name": "JSON instead of XML", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "{code}"}}, "response": {"type": "xml"}},
    {"id": "batch", "name": "Batch", "access": "write", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/echo", "body": {"items": "{items}"}},
     "response": {"partial": {"items": ".json.items", "failed": "$ ? (@.status >= 400)", "message": ".error"}}},
    {"id": "statuses", "name": "Errors in a list", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "{code}", "body": "{body}"}},
     "response": {"errors": [{"when": "$ ? (@.status == \"error\" || @[*].status == \"rejected\")", "class": "IG422",
         "message": "$.reject_reason"},
                             {"when": "$.data[*] ? (@.code != \"SUCCESS\")", "class": "IG409",
                                 "message": "$.data.message"}]}},
    {"id": "file", "name": "File", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/file", "query": {"bytes": "{bytes}", "secret": "{secret}"}}},
    {"id": "missing", "name": "No file", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "404"}}},
    {"id": "cut", "name": "Half a file", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/streams/cut"}}
  ]}$$::jsonb);
SELECT integ_connect('answers_test', 'answers', jsonb_build_object('base_url',
    :'provider_url')) IS NOT NULL AS connected;
SELECT integ_credential_set('answers', 'token', 'provider-token');

-- CSV: objects by the first row's names; an empty value is null, as in COPY.
SELECT * FROM integ_fetch('answers', 'csv');
SELECT integ_execute('answers', 'csv', '{"what": "bom"}');
SELECT integ_execute('answers', 'csv', '{"what": "empty"}');
SELECT integ_execute('answers', 'csv', '{"what": "header"}');
SELECT integ_execute('answers', 'semicolon');
SELECT integ_execute('answers', 'text', '{"kind": "csv"}');
-- Rows that are not even: an error, or kept.
SELECT integ_execute('answers', 'csv', '{"what": "short"}');
SELECT integ_execute('answers', 'csv', '{"what": "long"}');
SELECT * FROM integ_fetch('answers', 'keep', '{"what": "short"}');
SELECT * FROM integ_fetch('answers', 'keep', '{"what": "long"}');
SELECT integ_execute('answers', 'csv', '{"what": "twice"}');
SELECT integ_execute('answers', 'csv', '{"what": "open"}');

-- XML.
SELECT integ_execute('answers', 'xml');
SELECT * FROM integ_fetch('answers', 'items');
SELECT integ_execute('answers', 'lists') -> 'r' -> 'n' AS n, integ_execute('answers', 'lists') -> 'r' -> 'x:e' AS e;
SELECT integ_execute('answers', 'xml', '{"what": "doctype"}');
SELECT integ_execute('answers', 'text', '{"kind": "xml"}') IS NOT NULL AS text;
SELECT integ_execute('answers', 'xml', '{"what": "bomb"}');
SELECT integ_execute('answers', 'xml', '{"what": "external"}');
SELECT integ_execute('answers', 'xml', '{"what": "deep"}');
SELECT integ_execute('answers', 'xml', '{"what": "none"}');
\set VERBOSITY terse
SELECT integ_execute('answers', 'xml', '{"what": "open"}');
SELECT integ_execute('answers', 'xml', '{"what": "text"}');
-- An error that is JSON, where XML was promised.
SELECT integ_execute('answers', 'xml_json', '{"code": "422"}');
\set VERBOSITY default

-- Lists of which some failed: the call did only where all did.
SELECT jsonb_pretty(integ_execute('answers', 'batch', '{"items": [{"status": 200, "id": 1}, {"status": 409,
    "error": "taken"}, {"status": 201}]}'));
SELECT integ_execute('answers', 'batch', '{"items": [{"status": 200}]}');
SELECT integ_execute('answers', 'batch', '{"items": []}');
\set VERBOSITY terse
SELECT integ_execute('answers', 'batch', '{"items": [{"status": 400, "error": "no name"}, {"status": 409}]}');
SELECT integ_execute('answers', 'batch');
\set VERBOSITY default

-- A success by its status that is an error by its body: a list of states, a code in each record.
\set VERBOSITY terse
SELECT integ_execute('answers', 'statuses', '{"code": 200, "body": "[{\"status\": \"sent\"}]"}');
SELECT integ_execute('answers', 'statuses', '{"code": 200, "body":
    "[{\"status\": \"rejected\", \"reject_reason\": \"hard-bounce\"}]"}');
SELECT integ_execute('answers', 'statuses', '{"code": 207, "body": "{\"data\": [{\"code\": \"SUCCESS\"}]}"}');
SELECT integ_execute('answers', 'statuses', '{"code": 207, "body":
    "{\"data\": [{\"code\": \"DUPLICATE_DATA\", \"message\": \"duplicate data\"}]}"}');
\set VERBOSITY default

-- Files.
BEGIN;
SELECT r -> 'bytes' AS bytes, r ->> 'contentType' AS type, (r ->> 'loid')::oid AS loid FROM integ_execute('answers',
    'file', '{"bytes": 3000000}', '{"into": "large_object"}') AS r \gset
SELECT :bytes AS bytes, :'type' AS type, length(lo_get(:loid)) AS length,
       lo_get(:loid) = (SELECT string_agg(decode(lpad(to_hex(i % 251), 2, '0'), 'hex'), '' ORDER BY i)
           FROM generate_series(0, 2999999) AS i) AS same;
SELECT lomowner::regrole = current_user::regrole AS mine FROM pg_largeobject_metadata WHERE oid = :loid;
ROLLBACK;
SELECT count(*) FROM pg_largeobject_metadata WHERE oid = :loid;
-- The token that the service echoes in the middle of it is masked, wherever the pieces were cut.
BEGIN;
SELECT (integ_execute('answers', 'file', '{"bytes": 300000, "secret": "1"}',
    '{"into": "large_object"}') ->> 'loid')::oid AS loid \gset
SELECT length(lo_get(:loid)) AS length, position('provider-token'::bytea IN lo_get(:loid)) AS token,
    position('******'::bytea IN lo_get(:loid)) > 0 AS masked;
ROLLBACK;
\set VERBOSITY terse
SELECT count(*) AS before FROM pg_largeobject_metadata \gset
SELECT integ_execute('answers', 'missing', '{}', '{"into": "large_object"}');
\set VERBOSITY sqlstate
SELECT integ_execute('answers', 'cut', '{}', '{"into": "large_object"}');
SET integ.max_download_size = '100kB';
SELECT integ_execute('answers', 'file', '{"bytes": 200000}', '{"into": "large_object"}');
RESET integ.max_download_size;
\set VERBOSITY terse
SELECT integ_execute('answers', 'file', '{}', '{"into": "file"}');
BEGIN READ ONLY;
SELECT integ_execute('answers', 'file', '{}', '{"into": "large_object"}');
ROLLBACK;
\set VERBOSITY default
SELECT count(*) - :before AS left FROM pg_largeobject_metadata;

-- What the audit says of the writes.
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT (SELECT count(*) >= 5 FROM integ.audit_log WHERE instance_id = 'answers'
    AND action = 'call.write' AND outcome <> 'pending')$$);
SELECT outcome, detail, count(*) FROM integ.audit_log WHERE instance_id = 'answers' AND action = 'call.write'
    AND outcome <> 'pending' GROUP BY 1, 2 ORDER BY 1, 2;

DELETE FROM integ.instances WHERE instance_id = 'answers';
SELECT integ_undefine('answers_test');
