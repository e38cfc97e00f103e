-- All pages of a list, in every style, from the local service of the tests. It has more currencies than are
-- taken, in every release of Debian.
\getenv provider_url INTEG_PROVIDER_URL
\getenv provider_token INTEG_PROVIDER_TOKEN
CREATE SCHEMA fetch_test;
SET search_path = fetch_test, public;

-- A definition whose methods are given shortly: id, request, response, pagination.
CREATE FUNCTION fetch_test.define(methods jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT integ_define(jsonb_build_object(
        'integrationId', 'fetch_test', 'name', 'Lists', 'version', '1.0.0', 'category', 'custom',
        'baseUrl', '{config.base_url}', 'authType', 'bearer',
        'configSchema', '{"type": "object", "properties": {"base_url": {"type": "string"}}}'::jsonb,
        'credentialSchema', '{"type": "object", "properties": {"token": {"type": "string"}}}'::jsonb,
        'methods', jsonb_agg('{"access": "read", "inputSchema": {}, "outputSchema": {}}'::jsonb || m ||
                             jsonb_build_object('name', m -> 'id'))))
    FROM jsonb_array_elements(methods) AS m
$$;

SELECT fetch_test.define($$[
  {"id": "cursor", "request": {"method": "GET", "path": "/v1/currencies", "query": {"take": 170, "limit": "{limit}"}},
   "response": {"records": ".data"},
   "pagination": {"style": "cursor", "param": "cursor", "next": ".next_cursor", "pageSizeParam": "limit",
       "delta": ".next_sync_token"}},
  {"id": "more", "request": {"method": "GET", "path": "/v1/currencies", "query": {"take": 170, "limit": "{limit}"}},
   "response": {"records": ".data"},
   "pagination": {"style": "cursor", "param": "cursor", "next": ".next_cursor", "more": ".has_more"}},
  {"id": "body", "request": {"method": "POST", "path": "/v1/currencies/search",
      "body": {"take": 170, "limit": "{limit}", "filter": {}}},
   "response": {"records": ".data"},
   "pagination": {"style": "cursor", "in": "body", "param": "cursor", "next": ".next_cursor",
       "pageSizeParam": "limit"}},
  {"id": "header", "request": {"method": "GET", "path": "/v1/currencies",
      "query": {"take": 170, "paging": "header", "limit": "{limit}"}},
   "response": {"records": ".data"},
   "pagination": {"style": "cursor", "in": "header", "from": "header", "param": "X-Cursor", "next": "X-Next-Cursor"}},
  {"id": "page", "request": {"method": "GET", "path": "/v1/currencies",
      "query": {"take": 170, "paging": "page", "limit": "{limit}", "page": "{page}"}},
   "response": {"records": ".data"}, "pagination": {"style": "page", "param": "page"}},
  {"id": "pages", "request": {"method": "GET", "path": "/v1/currencies",
      "query": {"take": 170, "paging": "page", "limit": "{limit}"}},
   "response": {"records": ".data"}, "pagination": {"style": "page", "param": "page", "totalPages": ".pages"}},
  {"id": "page_total", "request": {"method": "GET", "path": "/v1/currencies",
      "query": {"take": 170, "paging": "page", "limit": "{limit}"}},
   "response": {"records": ".data"}, "pagination": {"style": "page", "param": "page", "total": ".total"}},
  {"id": "offset", "request": {"method": "GET", "path": "/v1/currencies",
      "query": {"take": 170, "paging": "offset", "limit": "{limit}", "offset": "{offset}"}},
   "response": {"records": ".data"}, "pagination": {"style": "offset", "param": "offset", "total": ".total"}},
  {"id": "short", "request": {"method": "GET", "path": "/v1/currencies", "query": {"take": 170, "paging": "offset"}},
   "response": {"records": ".data"},
   "pagination": {"style": "offset", "param": "offset", "pageSizeParam": "limit", "pageSize": 100,
       "maxPageSize": 1000, "shortPage": true}},
  {"id": "link", "request": {"method": "GET", "path": "/v1/currencies",
      "query": {"take": 170, "paging": "link", "limit": "{limit}"}},
   "response": {"records": ".data"}, "pagination": {"style": "link"}},
  {"id": "next_url", "request": {"method": "GET", "path": "/v1/currencies",
      "query": {"take": 170, "paging": "next_url", "limit": "{limit}"}},
   "response": {"records": ".data"}, "pagination": {"style": "next_url", "next": ".next"}},
  {"id": "relative", "request": {"method": "GET", "path": "/v1/currencies",
      "query": {"take": 170, "paging": "next_url_relative", "limit": "{limit}"}},
   "response": {"records": ".data"}, "pagination": {"style": "next_url", "next": ".next"}},
  {"id": "last_id", "request": {"method": "GET", "path": "/v1/currencies",
      "query": {"take": 170, "paging": "last_id", "limit": "{limit}"}},
   "response": {"records": ".data"}, "pagination": {"style": "last_id", "param": "starting_after", "next": "id",
       "more": ".has_more"}},
  {"id": "none", "request": {"method": "GET", "path": "/v1/currencies", "query": {"take": 170, "paging": "none"}},
      "response": {"records": ".data"}},
  {"id": "one", "request": {"method": "GET", "path": "/v1/countries/{code}"},
      "response": {"map": {"name": ".data.name"}}},
  {"id": "write", "access": "write", "request": {"method": "POST", "path": "/echo"}},
  {"id": "refused", "request": {"method": "GET", "path": "/fault/status", "query": {"code": "422"}},
      "pagination": {"style": "link"}},
  {"id": "done", "request": {"method": "GET", "path": "/lists/done"}, "response": {"records": ".records"},
   "pagination": {"style": "next_url", "next": ".nextRecordsUrl", "end": ".done"}},
  {"id": "is_last", "request": {"method": "GET", "path": "/lists/is_last"}, "response": {"records": ".values"},
   "pagination": {"style": "offset", "param": "startAt", "end": ".isLast", "pageSizeParam": "maxResults",
       "maxPageSize": 50}},
  {"id": "continue", "request": {"method": "POST", "path": "/lists/continue", "body": {"limit": 10, "path": "/x"}},
   "response": {"records": ".entries"},
   "pagination": {"style": "cursor", "in": "body", "param": "cursor", "next": ".cursor", "more": ".has_more",
       "path": "/lists/continue/next"}},
  {"id": "odata", "request": {"method": "GET", "path": "/lists/odata"}, "response": {"records": ".value"},
   "pagination": {"style": "next_url", "next": ".\"@odata.nextLink\"",
       "delta": {"next": ".\"@odata.deltaLink\"", "in": "url"}}},
  {"id": "links", "request": {"method": "GET", "path": "/lists/links"}, "pagination": {"style": "link"}},
  {"id": "first", "request": {"method": "GET", "path": "/lists/links"},
      "pagination": {"style": "link", "rel": "first"}},
  {"id": "omitted", "request": {"method": "GET", "path": "/lists/omitted", "query": {"n": "{n}"}},
   "response": {"records": ".messages", "recordsOptional": true},
   "pagination": {"style": "cursor", "param": "pageToken", "next": ".nextPageToken"}},
  {"id": "not_omitted", "request": {"method": "GET", "path": "/lists/omitted", "query": {"n": "0"}},
   "response": {"records": ".messages"}, "pagination": {"style": "cursor", "param": "pageToken",
       "next": ".nextPageToken"}},
  {"id": "nocontent", "request": {"method": "GET", "path": "/lists/nocontent"}, "response": {"records": ".data"},
   "pagination": {"style": "page", "param": "page"}},
  {"id": "form", "request": {"method": "POST", "path": "/lists/form", "encoding": "form", "body": {"n": "25"}},
      "response": {"records": ".items"},
   "pagination": {"style": "page", "in": "body", "param": "page", "pageSizeParam": "per_page", "pageSize": 20,
       "total": ".total"}},
  {"id": "relay", "protocol": "graphql",
   "request": {"method": "POST", "path": "/lists/relay",
       "graphql": {"document": "query Q { items { nodes { id } } }", "variables": {"team": "{team}"}}},
   "response": {"records": ".data.items.nodes"},
   "pagination": {"style": "graphql", "param": "after", "next": ".data.items.pageInfo.endCursor",
       "pageSizeParam": "first"}},
  {"id": "ends", "request": {"method": "GET", "path": "/fault/status", "query": {"code": "200", "body": "{body}"}},
   "response": {"records": ".data"},
   "pagination": {"style": "cursor", "param": "cursor", "next": ".meta.next_cursor",
       "more": "$ ? (!(@.info.more_records == false))"}},
  {"id": "circle", "request": {"method": "GET", "path": "/lists/circle"}, "response": {"records": ".data"},
   "pagination": {"style": "cursor", "param": "cursor", "next": ".next"}},
  {"id": "stuck", "request": {"method": "GET", "path": "/lists/stuck"}, "response": {"records": ".data"},
   "pagination": {"style": "cursor", "param": "cursor", "next": ".next"}},
  {"id": "empty", "request": {"method": "GET", "path": "/lists/empty"}, "response": {"records": ".data"},
   "pagination": {"style": "cursor", "param": "cursor", "next": ".next"}},
  {"id": "ignores", "request": {"method": "GET", "path": "/lists/ignores"}, "response": {"records": ".data"},
   "pagination": {"style": "page", "param": "seite"}},
  {"id": "elsewhere", "request": {"method": "GET", "path": "/lists/elsewhere"}, "response": {"records": ".data"},
   "pagination": {"style": "next_url", "next": ".next"}},
  {"id": "garbled", "request": {"method": "GET", "path": "/lists/garbled"}, "response": {"records": ".data"},
   "pagination": {"style": "next_url", "next": ".next"}},
  {"id": "fails", "request": {"method": "GET", "path": "/lists/fails"}, "response": {"records": ".data"},
   "pagination": {"style": "cursor", "param": "cursor", "next": ".next"}},
  {"id": "at_most", "request": {"method": "GET", "path": "/lists/done"}, "response": {"records": ".records"},
   "pagination": {"style": "next_url", "next": ".nextRecordsUrl", "maxPages": 2}}
]$$);
SELECT integ_connect('fetch_test', 'lists', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
SELECT integ_credential_set('lists', 'token', :'provider_token');

-- What the service was asked, without what earlier tests asked.
SELECT integ_define($${"integrationId": "fetch_count", "name": "Count", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "methods": [{"id": "count", "name": "Count", "access": "read", "inputSchema": {}, "outputSchema": {},
               "request": {"method": "GET", "path": "/count", "query": {"path": "{path}"}}},
              {"id": "reset", "name": "Reset", "access": "read", "inputSchema": {}, "outputSchema": {},
               "request": {"method": "GET", "path": "/reset"}}]}$$::jsonb);
SELECT integ_connect('fetch_count', 'counter',
    jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
CREATE FUNCTION fetch_test.requests(path text) RETURNS int LANGUAGE sql VOLATILE AS
    $$ SELECT integ_execute('counter', 'count', jsonb_build_object('path', path))::int $$;
-- How many records, how many different ones, and how many requests it took.
CREATE FUNCTION fetch_test.fetched(method text, path text, input jsonb DEFAULT '{}', options jsonb DEFAULT '{}',
                                   OUT records bigint, OUT different bigint, OUT requests int)
LANGUAGE plpgsql AS $$
DECLARE
    before int := fetch_test.requests(path);
BEGIN
    SELECT count(*), count(DISTINCT r) INTO records, different FROM integ_fetch('lists', method, input, options) AS r;
    requests := fetch_test.requests(path) - before;
END $$;

SELECT jsonb_array_length(integ_execute('lists', 'none')) AS n \gset
\echo :n records
-- Every style gives all records, once each.
SELECT m AS method, f.records = :n AND f.different = :n AS "all", f.requests
FROM unnest('{cursor,more,body,header,page,pages,page_total,offset,link,next_url,relative,last_id,none}'::text[])
         WITH ORDINALITY AS m(m, i),
     LATERAL fetch_test.fetched(m, '/v1/currencies' || CASE m WHEN 'body' THEN '/search' ELSE '' END,
         '{"limit": 50}') AS f
ORDER BY i;
SELECT * FROM fetch_test.fetched('short', '/v1/currencies');

-- The ways of real services.
SELECT m AS method, f.* FROM unnest('{done,is_last,odata,links,nocontent,form,omitted,relay}'::text[])
         WITH ORDINALITY AS m(m, i),
     LATERAL fetch_test.fetched(m, '/lists/' || m) AS f
ORDER BY i;
SELECT * FROM fetch_test.fetched('continue', '/lists/continue/next');
-- The ways to say that there is no more: empty, null, absent, false; a cursor beside a flag that denies it.
SELECT body, f.* FROM unnest(ARRAY['{"data": [1], "meta": {"next_cursor": ""}}',
    '{"data": [1], "meta": {"next_cursor": null}}',
         '{"data": [1], "meta": {"next_cursor": false}}', '{"data": [1]}',
         '{"data": [1], "meta": {"next_cursor": "c"}, "info": {"more_records": false}}']) AS body,
     LATERAL fetch_test.fetched('ends', '/fault/status', jsonb_build_object('body', body)) AS f;
-- A list that is left out where it is empty; an answer that is no list; one without a body.
SELECT * FROM fetch_test.fetched('omitted', '/lists/omitted', '{"n": "0"}');
SELECT integ_execute('lists', 'omitted', '{"n": "0"}');
SELECT * FROM integ_fetch('lists', 'not_omitted');
SELECT * FROM integ_fetch('lists', 'one', '{"code": "FR"}');

-- What the input says about size and start holds; the option before it.
SELECT * FROM fetch_test.fetched('page', '/v1/currencies', '{"limit": 100, "page": 2}');
SELECT * FROM fetch_test.fetched('offset', '/v1/currencies', '{"limit": 100, "offset": 150}');
SELECT * FROM fetch_test.fetched('cursor', '/v1/currencies', '{"limit": 50}', '{"page_size": 100}');
SELECT * FROM fetch_test.fetched('body', '/v1/currencies/search', '{"limit": 50}', '{"page_size": 100}');
SELECT * FROM fetch_test.fetched('is_last', '/lists/is_last', '{}', '{"page_size": 5}');
SELECT * FROM fetch_test.fetched('relay', '/lists/relay', '{"team": "x"}', '{"page_size": 5}');
SELECT * FROM fetch_test.fetched('is_last', '/lists/is_last', '{}', '{"page_size": 51}');
SELECT * FROM fetch_test.fetched('link', '/v1/currencies', '{}', '{"page_size": 5}');

-- The pages that nobody reads are not asked for: in FROM, in the target list, in a lateral join, from a cursor.
EXPLAIN (COSTS OFF) SELECT r ->> 'id' FROM integ_fetch('lists', 'cursor', '{"limit": 20}') AS r LIMIT 10;
SELECT fetch_test.requests('/v1/currencies') AS before \gset
SELECT count(*) FROM (SELECT r ->> 'id' FROM integ_fetch('lists', 'cursor', '{"limit": 20}') AS r LIMIT 10) AS l;
SELECT fetch_test.requests('/v1/currencies') - :before AS requests;
SELECT count(*) FROM (SELECT r ->> 'id' FROM integ_fetch('lists', 'cursor', '{"limit": 20}') AS r LIMIT 20) AS l;
SELECT fetch_test.requests('/v1/currencies') - :before AS requests;
SELECT count(*) FROM (SELECT r ->> 'id' FROM integ_fetch('lists', 'cursor', '{"limit": 20}') AS r
    WHERE r ->> 'name' <> '' LIMIT 21) AS l;
SELECT fetch_test.requests('/v1/currencies') - :before AS requests;
SELECT count(*) FROM (SELECT integ_fetch('lists', 'cursor', '{"limit": 20}') LIMIT 10) AS l;
SELECT fetch_test.requests('/v1/currencies') - :before AS requests;
SELECT count(*) FROM (SELECT r FROM (VALUES ('cursor'), ('link')) AS m(m),
    LATERAL integ_fetch('lists', m, '{"limit": 20}') AS r LIMIT 10) AS l;
SELECT fetch_test.requests('/v1/currencies') - :before AS requests;
BEGIN;
DECLARE c CURSOR FOR SELECT r ->> 'id' IS NOT NULL AS ok FROM integ_fetch('lists', 'cursor', '{"limit": 20}') AS r;
MOVE 19 IN c;
FETCH 1 FROM c;
SELECT fetch_test.requests('/v1/currencies') - :before AS requests;
FETCH 1 FROM c;
SELECT fetch_test.requests('/v1/currencies') - :before AS requests;
COMMIT;
-- A volatile argument is not inlined: then all pages come before the first row. The docs say so.
EXPLAIN (COSTS OFF) SELECT r FROM integ_fetch('lists', 'cursor',
    jsonb_build_object('limit', (20 + random())::int)) AS r LIMIT 10;

-- Options.
SELECT * FROM fetch_test.fetched('cursor', '/v1/currencies', '{"limit": 20}', '{"max_records": 30}');
SELECT * FROM fetch_test.fetched('cursor', '/v1/currencies', '{"limit": 20}', '{"max_records": 20}');
SELECT * FROM fetch_test.fetched('cursor', '/v1/currencies', '{"limit": 20}', '{"max_pages": 2}');
SELECT r -> 'page' AS page, jsonb_array_length(r -> 'records') AS records, r -> 'state' -> 'pages' AS pages,
    r ? 'delta' AS delta
FROM integ_fetch('lists', 'cursor', '{"limit": 80}', '{"records": false}') AS r;
-- A page's state goes on where it was, in another session too.
SELECT r -> 'state' AS state FROM integ_fetch('lists', 'cursor', '{"limit": 80}',
    '{"records": false, "max_pages": 1}') AS r \gset
SELECT r -> 'page' AS page, jsonb_array_length(r -> 'records') AS records
FROM integ_fetch('lists', 'cursor', '{"limit": 80}',
    jsonb_build_object('records', false, 'state', :'state'::jsonb)) AS r;
SELECT * FROM integ_fetch('lists', 'page', '{}', jsonb_build_object('state', :'state'::jsonb));
\set VERBOSITY terse
SELECT * FROM integ_fetch('lists', 'elsewhere', '{}',
    '{"state": {"style": "next_url", "url": "http://elsewhere.example/"}}');
\set VERBOSITY default
-- What changed since: the token of the last page, where the definition says what takes it.
SELECT r ->> 'delta' AS delta FROM integ_fetch('lists', 'odata', '{}', '{"records": false}') AS r
    WHERE r ? 'delta' \gset
SELECT * FROM integ_fetch('lists', 'odata', '{}', jsonb_build_object('delta', :'delta'));
SELECT * FROM integ_fetch('lists', 'cursor', '{}', '{"delta": "x"}');
SELECT count(*) FROM integ_fetch('lists', 'at_most') AS r;
\set VERBOSITY terse
SELECT * FROM integ_fetch('lists', 'cursor', '{}', '{"max_page": 1}');
SELECT * FROM integ_fetch('lists', 'cursor', '{}', '{"max_pages": 0}');
SELECT * FROM integ_fetch('lists', 'cursor', '{}', '{"max_records": 1, "records": false}');
SELECT * FROM integ_fetch('lists', NULL);
SELECT * FROM integ_fetch('nobody', 'cursor');
\set VERBOSITY default

-- Lists that lie end with an error that says how.
SELECT count(*) FROM integ_fetch('lists', 'circle') AS r;
SELECT count(*) FROM integ_fetch('lists', 'stuck') AS r;
SELECT count(*) FROM integ_fetch('lists', 'empty') AS r;
SELECT count(*) FROM integ_fetch('lists', 'ignores') AS r;
SELECT count(*) FROM integ_fetch('lists', 'write') AS r;
\set VERBOSITY terse
SELECT count(*) FROM integ_fetch('lists', 'elsewhere') AS r;
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM (SELECT r FROM integ_fetch('lists', 'elsewhere') AS r LIMIT 2) AS l;
SELECT count(*) FROM integ_fetch('lists', 'garbled') AS r;
SELECT count(*) FROM integ_fetch('lists', 'refused') AS r;
\set VERBOSITY default
-- What came before an error was handed out, and the session goes on.
DO $$
DECLARE
    r jsonb;
    n int := 0;
BEGIN
    FOR r IN SELECT f FROM integ_fetch('lists', 'fails') AS f LOOP
        n := n + 1;
    END LOOP;
EXCEPTION WHEN SQLSTATE 'IG502' THEN
    RAISE NOTICE 'after %: %', n, SQLERRM;
END $$;

-- In a READ ONLY transaction a list may be read.
BEGIN READ ONLY;
SELECT count(*) FROM integ_fetch('lists', 'done') AS r;
COMMIT;

-- Every page is in the request log.
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT (SELECT count(*) >= 3 FROM integ.requests WHERE instance_id = 'lists'
    AND method = 'continue')$$);
SELECT path_template, status, is_write, count(*) FROM integ.requests
    WHERE instance_id = 'lists' AND method = 'continue' GROUP BY 1, 2, 3 ORDER BY 1;

DELETE FROM integ.instances WHERE instance_id IN ('lists', 'counter');
SELECT integ_undefine('fetch_test'), integ_undefine('fetch_count');
DROP SCHEMA fetch_test CASCADE;
