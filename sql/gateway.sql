-- Raw requests with the authentication of a definition.
\getenv provider_url INTEG_PROVIDER_URL
\getenv provider_token INTEG_PROVIDER_TOKEN

SELECT integ_define($$
{
  "integrationId": "gateway_svc", "name": "Gateway", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}, "key": {"type": "string"}}},
  "headers": {"X-Version": "2026-01-01", "X-Key": "{credentials.key}"},
  "query": {"app": "integ"},
  "errors": [{"when": "$.args.ok == \"false\"", "class": "IG422", "message": ".args.ok"}],
  "methods": []
}
$$::jsonb);
SELECT integ_connect('gateway_svc', 'gate', jsonb_build_object('base_url',
    :'provider_url' || '/echo')) IS NOT NULL AS connected;
SELECT integ_credential_set('gate', 'token', 'the-bearer-token');
SELECT integ_credential_set('gate', 'key', 'the-other-key');

-- The definition's authentication, headers and query; the caller's beside them.
SELECT status, body ->> 'method' AS method, body ->> 'path' AS path, body -> 'args' AS args,
       body #>> '{headers,authorization}' AS token, body #>> '{headers,x-key}' AS key,
       body #>> '{headers,x-version}' AS version, body #>> '{headers,x-mine}' AS mine,
       headers ->> 'content-type' AS type, duration_ms > 0 AS took, rate_limit_remaining
FROM integ_request('gate', 'get', '/a/b%2Fc', '{"q": "x y", "n": [1, 2], "none": null}',
    '{"X-Mine": "{credentials.token}"}');
-- What is not a credential is the caller's to change.
SELECT body #>> '{headers,x-version}' AS version FROM integ_request('gate', 'GET', '/v', NULL,
    '{"x-version": "2020-01-01"}');

-- Bodies.
SELECT body -> 'json' AS json, body #>> '{headers,content-type}' AS type
FROM integ_request('gate', 'POST', '/post', body => '{"a": {"b": "{not_a_placeholder}"}}');
SELECT body ->> 'body' AS body, body #>> '{headers,content-type}' AS type
FROM integ_request('gate', 'PUT', '/form', body => '{"a": "x y", "b": [1, 2]}', options => '{"encoding": "form"}');
SELECT body ->> 'body' AS body, body #>> '{headers,content-type}' AS type
FROM integ_request('gate', 'PATCH', '/text', headers => '{"Content-Type": "text/csv"}', body => '"a,b"',
    options => '{"encoding": "text"}');
SELECT status, body FROM integ_request('gate', 'HEAD', '/head');
-- Parts: an object has one by each member, a list keeps its order; the boundary is a new one each time.
CREATE FUNCTION gateway_parts(body jsonb) RETURNS jsonb LANGUAGE sql RETURN
    to_jsonb(string_to_array(body ->> 'body', '--' || substring(body #>> '{headers,content-type}'
        FROM 'boundary=(.+)$')));
SELECT jsonb_array_elements_text(gateway_parts(body)) AS part
FROM integ_request('gate', 'POST', '/parts', body => '{"title": "{not_a_placeholder}", "meta": {"a": 1},
    "file": {"text": "x,y", "filename":
        "a\"b.csv", "contentType": "text/csv"}}', options => '{"encoding": "multipart"}');
SELECT split_part(body #>> '{headers,content-type}', ';', 1) AS type,
    jsonb_array_length(gateway_parts(body)) - 2 AS parts,
       body ->> 'body' ~ 'name="z".*name="a"' AS ordered
FROM integ_request('gate', 'POST', '/parts', body => '[{"name": "z", "value": 1}, {"name": "a", "value": "x"}]',
    options => '{"encoding": "multipart"}');
DROP FUNCTION gateway_parts(jsonb);
-- Bytes: base64 as a string, or an object that says what they are; the caller's own type holds.
SELECT body ->> 'body_base64' AS bytes, body #>> '{headers,content-type}' AS type
FROM integ_request('gate', 'PUT', '/bytes', body => '"AAH+/w=="', options => '{"encoding": "binary"}');
SELECT body ->> 'body_base64' AS bytes, body #>> '{headers,content-type}' AS type
FROM integ_request('gate', 'PUT', '/bytes', body => jsonb_build_object('hex', '\x00ff'::bytea, 'contentType',
    'image/png'), options => '{"encoding": "binary"}');
SELECT body ->> 'body_base64' AS bytes, body #>> '{headers,content-type}' AS type
FROM integ_request('gate', 'PUT', '/bytes', headers => '{"Content-Type": "image/gif"}', body => '"AP8="',
    options => '{"encoding": "binary"}');

-- What the service refuses is a result, or an error where one wants it.
SELECT integ_connect('gateway_svc', 'gate_root', jsonb_build_object('base_url',
    :'provider_url')) IS NOT NULL AS connected;
SELECT status, body ->> 'path' AS path FROM integ_request('gate', 'GET', '/x', '{"ok": "false"}');
SELECT integ_credential_set('gate_root', 'token', 'the-bearer-token');
SELECT status, jsonb_typeof(body) AS body FROM integ_request('gate_root', 'GET', '/fault/status', '{"code": "404"}');
SELECT status, jsonb_typeof(body) AS body FROM integ_request('gate_root', 'GET', '/fault/empty');
SELECT body ->> 'soql' AS soql, rate_limit_remaining FROM integ_request('gate_root', 'GET', '/crm/query',
    '{"q": "SELECT Id FROM Account"}');
\set VERBOSITY terse
SELECT status FROM integ_request('gate', 'GET', '/x', '{"ok": "false"}', options => '{"raise": true}');
SELECT status, body FROM integ_request('gate_root', 'GET', '/fault/notjson');
\set VERBOSITY sqlstate
SELECT status FROM integ_request('gate_root', 'GET', '/fault/reset');
\set VERBOSITY terse

-- No other host, no other credential.
SELECT * FROM integ_request('gate', 'GET', 'https://evil.example/');
SELECT * FROM integ_request('gate', 'GET', '//evil.example/x');
SELECT * FROM integ_request('gate', 'GET', '@evil.example/');
SELECT * FROM integ_request('gate', 'GET', ':80@evil.example/');
SELECT * FROM integ_request('gate', 'GET', E'/\\evil.example');
SELECT * FROM integ_request('gate', 'GET', '/../v1/countries');
SELECT * FROM integ_request('gate', 'GET', '/%2e%2e/v1/countries');
SELECT * FROM integ_request('gate', 'GET', '/x?y=1');
SELECT * FROM integ_request('gate', 'GET', E'/x\r\nHost: evil');
SELECT * FROM integ_request('gate', 'GET', repeat('/x', 5000));
SELECT * FROM integ_request('gate', 'GET', '/x', headers => '{"authorization": "Bearer mine"}');
SELECT * FROM integ_request('gate', 'GET', '/x', headers => '{"Host": "evil.example"}');
SELECT * FROM integ_request('gate', 'GET', '/x', headers => '{"x-key": "mine"}');
SELECT * FROM integ_request('gate', 'GET', '/x', headers => '{"Content-length": "0"}');
SELECT * FROM integ_request('gate', 'GET', '/x', headers => '{"X-Mine": "a\r\nX-Key: b"}');
SELECT * FROM integ_request('gate', 'GET', '/x', headers => '{"X Mine": "a"}');

-- Mistakes.
SELECT * FROM integ_request('gate', 'TRACE', '/x');
SELECT * FROM integ_request('gate', 'GET', NULL);
SELECT * FROM integ_request('gate', 'GET', '/x', '[1]');
SELECT * FROM integ_request('gate', 'GET', '/x', '{"a": {"b": 1}}');
SELECT * FROM integ_request('gate', 'GET', '/x', body => '{}');
SELECT * FROM integ_request('gate', 'POST', '/x', body => '"a"', options => '{"encoding": "form"}');
SELECT * FROM integ_request('gate', 'POST', '/x', body => '{}', options => '{"encoding": "text"}');
SELECT * FROM integ_request('gate', 'POST', '/x', body => '{}', options => '{"encoding": "xml"}');
SELECT * FROM integ_request('gate', 'POST', '/x', body => '"a"', options => '{"encoding": "multipart"}');
SELECT * FROM integ_request('gate', 'POST', '/x', body => '[{"value": 1}]', options => '{"encoding": "multipart"}');
SELECT * FROM integ_request('gate', 'POST', '/x', body => '{"f": {"text": "x", "contentType": "a\r\nX-Evil: 1"}}',
    options => '{"encoding": "multipart"}');
SELECT * FROM integ_request('gate', 'POST', '/x', body => '"not*base64"', options => '{"encoding": "binary"}');
SELECT * FROM integ_request('gate', 'POST', '/x', body => '{"a": 1}', options => '{"encoding": "binary"}');
SELECT * FROM integ_request('gate', 'GET', '/x', options => '{"rise": true}');
SELECT * FROM integ_request('gate', 'GET', '/x', options => '{"timeout": -1}');
SELECT * FROM integ_request('nowhere', 'GET', '/x');
BEGIN READ ONLY;
SELECT status FROM integ_request('gate', 'GET', '/x');
SELECT status FROM integ_request('gate', 'POST', '/x');
ROLLBACK;
\set VERBOSITY default

-- A write of somebody who is no administrator needs an approval; all writes are in the audit, reads are not.
CREATE ROLE regress_gateway_user;
GRANT integ_user TO regress_gateway_user;
INSERT INTO integ.clients (id, name, plan) VALUES ('gateway_client', 'Gateway', NULL);
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('regress_gateway_user', 'gateway_client', 'u1',
    'user');
INSERT INTO integ.instance_grants (instance, client_id) SELECT id, 'gateway_client' FROM integ.instances
    WHERE instance_id = 'gate';
SET ROLE regress_gateway_user;
SELECT status FROM integ_request('gate', 'GET', '/as_user');
\set VERBOSITY sqlstate
SELECT status FROM integ_request('gate', 'DELETE', '/as_user');
\set VERBOSITY default
RESET ROLE;
SELECT method, is_raw, input, state FROM integ.approvals WHERE instance_id = 'gate';
SELECT integ_approve(id) AS call FROM integ.approvals WHERE instance_id = 'gate' \gset
SELECT integ_await(:'call', '20 s') ->> 'state' AS state;
SELECT method, owner, user_id, result ->> 'method' AS sent, result ->> 'path' AS path FROM integ.calls
    WHERE id = :'call';

\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT (SELECT count(*) FROM integ.audit_log WHERE instance_id = 'gate'
    AND action = 'call.write') >= 19$$);
SELECT outcome, detail, count(*) FROM integ.audit_log
WHERE instance_id = 'gate' AND action = 'call.write' GROUP BY 1, 2 ORDER BY detail ->> 'path', outcome;
SELECT method, http_method, path_template, is_write, status, step, count(*) FROM integ.requests
WHERE instance_id = 'gate' AND path_template IN ('/post', '/a/b%2Fc', '/as_user') GROUP BY 1, 2, 3, 4, 5, 6
    ORDER BY 3, 2;

DELETE FROM integ.members WHERE client_id = 'gateway_client';
DELETE FROM integ.instances WHERE definition = 'gateway_svc';
SELECT integ_undefine('gateway_svc');
DELETE FROM integ.clients WHERE id = 'gateway_client';
DROP ROLE regress_gateway_user;
