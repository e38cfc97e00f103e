-- What a manifest can say wrong about authentication, requests, pages, templates and tasks: each with its place.
CREATE SCHEMA manifest_errors;
-- A small manifest with these keys over it; what integ_define says of it.
CREATE FUNCTION manifest_errors.says(keys jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM integ_define('{"integrationId": "manifest_errors", "name": "Bad", "version": "1.0.0", "methods": [],
                           "baseUrl": "https://api.example.com"}'::jsonb || keys);
    RETURN 'accepted';
EXCEPTION WHEN SQLSTATE 'IG400' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLERRM || E'\n' || detail;
END $$;
CREATE FUNCTION manifest_errors.method(request jsonb, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    SELECT manifest_errors.says(jsonb_build_object('methods', jsonb_build_array(
        '{"id": "m", "name": "M", "access": "read", "inputSchema": {}, "outputSchema": {},
          "response": {"records": "."}}'::jsonb
        || jsonb_build_object('request', '{"method": "POST", "path": "/m"}'::jsonb || request) || more)))
$$;
\pset format unaligned
\pset tuples_only on
-- Authentication.
SELECT manifest_errors.says('{"authType": "apikey", "auth": {"in": "path", "value": "k/{credentials.key}"}}');
SELECT manifest_errors.says('{"authType": "apikey", "auth": {"in": "path", "value": "/{credentials.key}?x"}}');
SELECT manifest_errors.says('{"authType": "apikey", "auth": {"in": "path", "value": "/bot{credentials.key}"}}');
SELECT manifest_errors.says('{"authType": "apikey", "auth": {"in": "query"}}');
-- What the type takes where nobody says otherwise has to be among the credentials.
SELECT manifest_errors.says(auth || '{"credentialSchema": {"type": "object", "properties": {"api_key": {}}}}')
FROM unnest(ARRAY['{"authType": "apikey", "auth": {"in": "header", "name": "X-Key"}}',
    '{"authType": "bearer", "auth": {"in": "query", "name": "t"}}',
    '{"authType": "basic", "auth": {"username": "{credentials.api_key}"}}',
    '{"authType": "basic", "auth": {"username": "{credentials.api_key}", "password": "x"}}',
    '{"authMethods": [{"id": "a", "name": "A", "authType": "bearer"}]}',
    '{"authType": "apikey", "auth": {"in": "header", "name": "X-Key", "value": "{credentials.api_key}"}}']::jsonb[])
    auth;
SELECT manifest_errors.says('{"authType": "bearer", "auth": {"function": "pg_catalog.now"}}');
SELECT manifest_errors.says('{"authType": "custom", "auth": {"function": "x.y", "value": "z", "in": "query"}}');
SELECT manifest_errors.says('{"authType": "apikey",
    "auth": {"in": "query", "name": "k", "parts": [{"in": "header", "name": "K", "value": "{credentials.key}"}]}}');
SELECT manifest_errors.says('{"auth": {"in": "query", "name": "k"}}');
SELECT manifest_errors.says('{"authType": "jwt"}');
SELECT manifest_errors.says('{"authType": "oauth2"}');
SELECT manifest_errors.says('{"authType": "oauth2", "oauth2Config": {"tokenUrl": "https://a.example/t"}}');
SELECT manifest_errors.says('{"authType": "bearer", "auth": {"value": "x"},
    "authMethods": [{"id": "a", "authType": "none"}]}');
-- Requests.
SELECT manifest_errors.method('{"body": {"a": 1}, "multipartType": "related"}');
SELECT manifest_errors.method('{"compress": true}');
SELECT manifest_errors.method('{"body": 7, "encoding": "xml"}');
SELECT manifest_errors.method('{"method": "GET", "body": {"a": 1}}');
SELECT manifest_errors.method('{"path": "/a/../b"}');
SELECT manifest_errors.method('{"path": "/a?b=c"}');
SELECT manifest_errors.says('{"sourceSchema": {"type": "object", "properties": {"a": {}}}, "methods": [
    {"id": "m", "name": "M", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/m", "query": {"a": "{task.a}", "b": "{task.b}"}}}]}');
-- Pages.
SELECT manifest_errors.method('{"body": {}}',
    '{"pagination": {"style": "offset", "param": "at", "in": "body", "shortPage": true,
                     "pageSizeParam": "n", "pageSize": 9}}');
SELECT manifest_errors.method('{}',
    '{"pagination": {"style": "offset", "param": "at", "pageSizeParam": "n", "pageSize": 9, "maxPageSize": 8}}');
SELECT manifest_errors.method('{}', '{"pagination": {"style": "page", "param": "at", "in": "url"}}');
SELECT manifest_errors.method('{}', '{"pagination": {"style": "cursor", "next": ".next", "in": "url"}}');
SELECT manifest_errors.method('{"encoding": "xml", "body": "<a/>"}',
    '{"pagination": {"style": "page", "param": "at", "in": "body"}}');
-- Templates.
SELECT manifest_errors.method('{"body": {"$each": "a b", "as": "x", "do": 1}}');
SELECT manifest_errors.method('{"body": {"$each": 7, "as": "x", "do": 1}}');
SELECT manifest_errors.method('{"body": {"$each": "credentials.list", "as": "x", "do": 1}}');
SELECT manifest_errors.method('{"body": {"$each": "list", "as": "x"}}');
SELECT manifest_errors.method('{"body": {"$if": 7, "then": 1}}');
SELECT manifest_errors.method('{"body": {"$literal": 7, "then": 1}}');
SELECT manifest_errors.method('{}', '{"response": {"map": {"$literal": 7, "a": ".a"}}}');
\pset tuples_only off
\pset format aligned
SELECT id FROM integ.definitions WHERE id = 'manifest_errors';
SELECT integ_undefine('manifest_errors');
DROP SCHEMA manifest_errors CASCADE;
