-- Pages that a request names itself ("in": "template"), and what travels from one page to the next ("carry").
\getenv provider_url INTEG_PROVIDER_URL
CREATE SCHEMA pagination_test;
SET search_path = pagination_test, public;

SELECT integ_define($${
  "integrationId": "pagination_test", "name": "Lists", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}/lists", "authType": "none",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "session", "name": "A session beside the page", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/session", "query": {"session_id": "{pagination.session_id}"},
                 "headers": {"X-Session": "{pagination.opened}"}},
     "response": {"records": ".results"},
     "pagination": {"style": "page", "param": "page", "start": 0, "pageSize": 10, "shortPage": true,
                    "carry": {"session_id": ".session_id", "opened": {"header": "X-Session-Id"}}}},
    {"id": "sql", "name": "An offset in a text", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/sql", "query": {"n": "{n}"}, "encoding": "text",
                 "body": "SELECT * FROM Item STARTPOSITION {pagination.offset} MAXRESULTS {pagination.size}"},
     "response": {"records": ".QueryResponse.Item", "recordsOptional": true},
     "pagination": {"style": "offset", "in": "template", "start": 1, "pageSize": 10, "maxPageSize": 1000,
                    "shortPage": true}},
    {"id": "keyset", "name": "The last id in a text", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/keyset", "query": {"q": [
       "SELECT Id FROM Item[ WHERE Id > '{pagination.cursor}'] ORDER BY Id LIMIT {pagination.size}"]}},
     "response": {"records": "."},
     "pagination": {"style": "last_id", "in": "template", "next": "id", "pageSize": 7}},
    {"id": "condition", "name": "A condition on the page", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/session",
                 "query": {"page": "{pagination.page}",
                           "session_id": {"$if": "$.pagination.page > 0", "then": "{pagination.session_id}"}},
                 "headers": {"X-Session": "{pagination.opened}"}},
     "response": {"records": ".results"},
     "pagination": {"style": "page", "in": "template", "start": 0, "pageSize": 10, "shortPage": true,
                    "carry": {"session_id": ".session_id", "opened": {"header": "X-Session-Id"}}}},
    {"id": "needy", "name": "Without a fragment", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/keyset", "query": {"q": "after {pagination.cursor}"}},
     "response": {"records": "."}, "pagination": {"style": "last_id", "in": "template", "next": "id"}},
    {"id": "own", "name": "An input of that name", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"pagination": {"type": "object"}}},
     "request": {"method": "GET", "path": "/ignores", "query": {"page": "{pagination.page}"}},
     "response": {"records": ".data"}, "pagination": {"style": "link"}}
  ]}$$::jsonb);
SELECT integ_connect('pagination_test', 'pages', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS ok;

-- All records, once each, whatever names the page.
SELECT m AS method, count(*) AS records, count(DISTINCT r) AS different
FROM unnest('{session,sql,keyset,condition}'::text[]) AS m, LATERAL integ_fetch('pages', m) AS r GROUP BY 1 ORDER BY 1;
-- A list that ends with a full page; the size of the options, in the query text too.
SELECT count(*) AS records FROM integ_fetch('pages', 'sql', '{"n": "20"}');
SELECT r -> 'page' AS page, jsonb_array_length(r -> 'records') AS records, r -> 'state' -> 'number' AS next
FROM integ_fetch('pages', 'sql', '{}', '{"records": false, "page_size": 20}') AS r;
SELECT count(*) AS records FROM integ_fetch('pages', 'keyset', '{}', '{"page_size": 25}');
SELECT * FROM integ_fetch('pages', 'sql', '{}', '{"page_size": 1001}');
SELECT * FROM integ_fetch('pages', 'session', '{}', '{"page_size": 5}');
-- One call is the first page.
SELECT m AS method, jsonb_array_length(integ_execute('pages', m)) AS records
FROM unnest('{session,sql,keyset,condition}'::text[]) AS m;
SELECT integ_execute('pages', 'needy');
-- What travels is part of the state, so that another session goes on.
SELECT m AS method, r -> 'state' AS state
FROM unnest('{session,sql,keyset}'::text[]) AS m,
     LATERAL integ_fetch('pages', m, '{}', '{"records": false, "max_pages": 1}') AS r;
SELECT m AS method, count(*) AS pages, sum(jsonb_array_length(r -> 'records')) AS records
FROM unnest('{session,sql,keyset}'::text[]) AS m,
     LATERAL integ_fetch('pages', m, '{}', jsonb_build_object('records', false, 'state',
         (SELECT f -> 'state' FROM integ_fetch('pages', m, '{}', '{"records": false, "max_pages": 1}') AS f))) AS r
GROUP BY 1 ORDER BY 1;
-- One whose session was lost is the service's error, not a beginning in the middle.
\set VERBOSITY terse
SELECT * FROM integ_fetch('pages', 'session', '{}', '{"state": {"style": "page", "number": 1}}');
\set VERBOSITY default
-- Without either key an input may have that name.
SELECT count(*) AS records FROM integ_fetch('pages', 'own', '{"pagination": {"page": 1}}');

-- What a manifest can say wrong.
CREATE FUNCTION pagination_test.bad(pagination jsonb, request jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM integ_define(jsonb_build_object('integrationId', 'pagination_bad', 'name', 'Bad', 'version', '1.0.0',
        'baseUrl', 'https://api.example.com', 'methods', jsonb_build_array(jsonb_build_object(
            'id', 'list', 'name', 'List', 'inputSchema', '{"type": "object", "properties": {"x": {}}}'::jsonb,
            'outputSchema', '{}'::jsonb, 'pagination', pagination,
            'request', '{"method": "GET", "path": "/items"}'::jsonb || request,
            'response', '{"records": "."}'::jsonb))));
    RETURN 'accepted';
EXCEPTION WHEN SQLSTATE 'IG400' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN coalesce(nullif(detail, ''), SQLERRM);
END $$;
\pset format unaligned
\pset tuples_only on
SELECT pagination_test.bad('{"style": "link", "in": "template"}');
SELECT pagination_test.bad('{"style": "offset", "in": "template", "param": "at", "pageSizeParam": "limit"}');
SELECT pagination_test.bad('{"style": "cursor", "in": "template", "next": ".next", "path": "/next"}',
                           '{"query": {"after": "{pagination.cursor}"}}');
SELECT pagination_test.bad('{"style": "cursor", "in": "template"}', '{"query": {"after": "{pagination.cursor}"}}');
SELECT pagination_test.bad('{"style": "link", "carry": {}}');
SELECT pagination_test.bad('{"style": "link", "carry": {"a": "session_id", "b c": ".a", "d": {"head": "x"}}}');
SELECT pagination_test.bad('{"style": "link", "carry": {"at": ".a["}}');
SELECT pagination_test.bad('{"style": "link", "carry": {"session": ".session_id", "size": ".size"}}');
SELECT pagination_test.bad('{"style": "link"}', '{"query": {"x": "{pagination.offset}"}}');
SELECT pagination_test.bad('{"style": "offset", "in": "template", "carry": {"a": ".a"}}',
    '{"query": {"x": "{pagination.page} {pagination.size} {pagination.session}", "at": "{pagination.offset}"}}');
SELECT pagination_test.bad('{"style": "page", "param": "page", "carry": {"a": ".a"}}',
    '{"query": {"x": "{pagination.page}", "a": "{pagination.a.b[0]}"}}');
\pset tuples_only off
\pset format aligned
SELECT id FROM integ.definitions WHERE id = 'pagination_bad';

DELETE FROM integ.instances WHERE instance_id = 'pages';
SELECT integ_undefine('pagination_test');
DROP SCHEMA pagination_test CASCADE;
