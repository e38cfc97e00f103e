-- Arguments and options that do not go together, manifests that say what cannot be: each says which, and what to do.
SELECT integ_define($${
  "integrationId": "bad_args", "name": "Bad arguments", "version": "1.0.0", "baseUrl": "https://{config.host}",
  "configSchema": {"type": "object", "properties": {"host": {"type": "string"}}},
  "methods": [{"id": "get", "name": "Get", "inputSchema": {}, "outputSchema": {},
               "request": {"method": "GET", "path": "/"}}]}$$::jsonb);
SELECT integ_connect(NULL, 'x');
SELECT integ_connect('bad_args', NULL);
SELECT integ_connect('bad_args', 'bad_args_main', '{"host": "a.example"}', '{"user": "ann"}');
SELECT integ_connect('bad_args', 'bad_args_main', '{"host": "a.example"}', '{"context": "client", "user": "ann"}');
SELECT integ_connect('bad_args', 'bad_args_main', '{"host": "a.example"}', '{"context": "global", "client": "acme"}');
SELECT integ_connect('bad_args', 'bad_args_main', '{"host": "a.example"}', '{"context": "client", "grants": ["acme"]}');
SELECT integ_connect('bad_args', 'bad_args_main', '{"host": "a.example"}', '{"client": "nobody_has_this"}');
SELECT integ_connect('bad_args', 'bad_args_main', '{"defaults": 7, "host": "a.example"}');
SELECT integ_connect('bad_args', 'bad_args_main', '{}');
SELECT integ_connect('bad_args', 'bad_args_main', '{"host": "a.example:secret@evil.example"}');
SELECT integ_define('{}', '{"client": "nobody_has_this"}');
SELECT integ_define(manifest || '{"integrationId": "bad_args_2"}', '{"client": "nobody_has_this"}')
FROM integ.definitions WHERE id = 'bad_args';

SELECT integ_connect('bad_args', 'bad_args_main', '{"host": "127.0.0.1:1"}') IS NOT NULL AS connected;
SELECT integ_execute('bad_args_main', 'get', '{}', '{"fallback": "anything"}');
SELECT integ_execute('bad_args_main', 'get', '{}', '{"fallback": "stale", "into": "large_object"}');
SELECT integ_execute('bad_args_main', 'get', '{}', '{"into": "a_table"}');
SELECT integ_execute('bad_args_main', 'get', '{}', '[]');
SELECT integ.template_text('"{a}"', '{"a": 1}', encoding => 'rot13');

-- Manifests.
CREATE FUNCTION bad_args_says(change jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM integ_define((SELECT manifest FROM integ.definitions WHERE id = 'bad_args') || change);
    RETURN 'accepted';
EXCEPTION WHEN SQLSTATE 'IG400' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(': ', SQLERRM, detail);
END $$;
SELECT bad_args_says('{"methods": [{"id": "w", "name": "W", "access": "write", "conditional": true, "inputSchema": {},
    "outputSchema": {}, "request": {"method": "POST", "path": "/"}}]}');
SELECT bad_args_says('{"methods": [{"id": "w", "name": "W", "conditional": true, "inputSchema": {}, "outputSchema": {},
    "request": {"method": "POST", "path": "/"}}]}');
SELECT bad_args_says('{"webhook": {"signature": {"scheme": "none"}, "inputs": {"register": {"a": 1}}}}');
SELECT bad_args_says(jsonb_build_object('methods', jsonb_build_array(jsonb_build_object('id', 'm', 'name', 'M',
    'inputSchema', '{}'::jsonb, 'outputSchema', '{}'::jsonb, 'request', r))))
FROM unnest(ARRAY['{"method": "GET", "path": "/a[/{b}[/{c}]]"}', '{"method": "GET", "path": "/a[/{b}"}',
    '{"method": "GET", "path": "/a/{b"}', '{"method": "GET", "path": "/a/{}"}',
    '{"method": "GET", "path": "/{credentials.nothing}"}',
    '{"method": "POST", "path": "/", "body": {"$each": "a", "as": "config", "do": 1}}',
    '{"method": "POST", "path": "/", "body": {"$each": "a", "do": {"$each": "b"}}}']::jsonb[]) AS r;
-- A path of too many steps, a map, a template and a list that are nested too deeply.
SELECT left(bad_args_says(jsonb_build_object('methods', jsonb_build_array(jsonb_build_object('id', 'm', 'name', 'M',
    'inputSchema', '{}'::jsonb, 'outputSchema', '{}'::jsonb, 'request', '{"method": "GET", "path": "/"}'::jsonb,
    'response', jsonb_build_object('map', jsonb_build_object('a', repeat('.a', 200))))))), 160);
SELECT left(bad_args_says(jsonb_build_object('methods', jsonb_build_array(jsonb_build_object('id', 'm', 'name', 'M',
    'inputSchema', '{}'::jsonb, 'outputSchema', '{}'::jsonb, 'request', '{"method": "GET", "path": "/"}'::jsonb,
    'response', jsonb_build_object('map', (repeat('{"a": ', 200) || '".b"' || repeat('}', 200))::jsonb))))), 160);
SELECT left(bad_args_says(jsonb_build_object('methods', jsonb_build_array(jsonb_build_object('id', 'm', 'name', 'M',
    'inputSchema', '{}'::jsonb, 'outputSchema', '{}'::jsonb, 'request',
        jsonb_build_object('method', 'POST', 'path', '/',
    'body', (repeat('[', 200) || '"{b}"' || repeat(']', 200))::jsonb))))), 160);
SELECT left(bad_args_says(jsonb_build_object('methods', jsonb_build_array(jsonb_build_object('id', 'm', 'name', 'M',
    'inputSchema', '{}'::jsonb, 'outputSchema', '{}'::jsonb, 'request',
        jsonb_build_object('method', 'POST', 'path', '/',
    'body', (repeat('{"$each": "x", "as": "y", "do": ', 60) || '1' || repeat('}', 60))::jsonb))))), 160);

DELETE FROM integ.instances WHERE instance_id = 'bad_args_main';
SELECT integ_undefine('bad_args');
DROP FUNCTION bad_args_says(jsonb);
