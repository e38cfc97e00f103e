-- Requests that cannot be made of what a caller or a definition gives: nothing leaves, and the error says why.
\getenv provider_url INTEG_PROVIDER_URL
SELECT integ_define($${
  "integrationId": "request_errors", "name": "Requests", "version": "1.0.0", "baseUrl": "{config.base_url}",
  "configSchema": {"type": "object",
                   "properties": {"base_url": {"type": "string"}, "user": {"type": "string"},
                                  "way": {"type": "string"}}},
  "authMethods": [
    {"id": "basic", "authType": "basic", "auth": {"username": "{config.user}"}},
    {"id": "empty", "authType": "apikey", "auth": {"in": "header", "name": "X-Key", "value": "[{config.way}]"}},
    {"id": "body", "authType": "apikey", "auth": {"in": "body", "name": "key"}},
    {"id": "path", "authType": "apikey", "auth": {"in": "path", "value": "/lists"}},
    {"id": "secret_path", "authType": "apikey", "auth": {"in": "path", "value": "/echo/{credentials.key}"}}],
  "methods": [
    {"id": "get", "name": "Get", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET", "path": "/echo"}},
    {"id": "list", "name": "A list as the body", "access": "write", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/echo", "body": "{list}"}},
    {"id": "text", "name": "A text as the body", "access": "write", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/echo", "encoding": "text", "body": "{text}"}},
    {"id": "file", "name": "A file", "access": "write", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/echo", "encoding": "binary", "body": "{file}"}},
    {"id": "parts", "name": "Parts", "access": "write", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/echo", "encoding": "multipart", "body": "{parts}"}},
    {"id": "pages", "name": "Pages of a list body", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/echo", "body": "{list}"}, "response": {"records": ".json"},
     "pagination": {"style": "page", "param": "page", "in": "body"}},
    {"id": "next", "name": "A next URL that is none", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "200", "body": "{body}"}},
     "response": {"records": ".data"}, "pagination": {"style": "next_url", "next": ".next"}},
    {"id": "relative", "name": "A relative next URL", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/x", "query": {"next": "?page=2"}}, "response": {"records": ".args"},
     "pagination": {"style": "next_url", "next": ".args.next"}}
  ]}$$::jsonb);
SELECT integ_connect('request_errors', 'errors_' || way,
           jsonb_build_object('base_url', :'provider_url', 'user', 'a:b'),
           jsonb_build_object('auth_method', way)) IS NOT NULL AS connected
FROM unnest('{basic,empty,body,path,secret_path}'::text[]) AS way;
SELECT integ_credential_set('errors_' || way, name, 'request-error-secret') IS NOT NULL AS set
FROM (VALUES ('basic', 'password'), ('body', 'key'), ('secret_path', 'key')) AS c(way, name);

-- Credentials that have no place.
SELECT integ_execute('errors_basic', 'get');
SELECT integ_execute('errors_empty', 'get');
SELECT integ_execute('errors_body', 'get');
SELECT integ_execute('errors_body', 'list', '{"list": [1]}');
SELECT integ_execute('errors_body', 'text', '{"text": "x"}');
SELECT integ_execute('errors_body', 'list', '{"list": {"a": 1}}') -> 'json' AS json;

-- Bytes that are none.
SELECT integ_execute('errors_path', 'file', '{"file": "not*base64"}');
SELECT integ_execute('errors_path', 'file', '{"file": {"hex": "abc"}}');
SELECT integ_execute('errors_path', 'file', '{"file": {"hex": "xy"}}');
SELECT integ_execute('errors_path', 'file', '{"file": {"loid": 0}}');
SELECT integ_execute('errors_path', 'file', '{"file": {"loid": "7"}}');
SELECT integ_execute('errors_path', 'file', '{"file": {"loid": 4294967295}}');
SELECT integ_execute('errors_path', 'file', '{"file": [1]}');
SELECT integ_execute('errors_path', 'parts', '{"parts": [7]}');
SELECT integ_execute('errors_path', 'parts', '{"parts": [{"name": "a"}]}');
SELECT integ_execute('errors_path', 'parts', '{"parts": [{"text": "a"}]}');

-- Options that make no sense here.
SELECT integ_execute('errors_path', 'list', '{"list": []}', '{"fallback": "stale"}');

-- Pages.
SELECT * FROM integ_fetch('errors_path', 'pages', '{"list": [1]}');
SELECT * FROM integ_fetch('errors_secret_path', 'relative');
SELECT integ_define((manifest || '{"version": "1.1.0", "authType": "none"}'::jsonb) - 'authMethods') IS NOT NULL AS ok
FROM integ.definitions WHERE id = 'request_errors';
SELECT integ_connect('request_errors', 'errors_none',
                     jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS ok;
SELECT * FROM integ_fetch('errors_none', 'next', '{"body": "{\"data\": [1], \"next\": 7}"}');

-- An instance whose way to authenticate the definition has no more.
SELECT integ_execute('errors_empty', 'get');
DELETE FROM integ.instances WHERE instance_id LIKE 'errors\_%';
SELECT integ_undefine('request_errors');
