-- Calling methods of a connected service: the local provider of the tests.
\getenv provider_url INTEG_PROVIDER_URL
\getenv provider_token INTEG_PROVIDER_TOKEN

SELECT integ_define($$
{
  "integrationId": "execute_iso",
  "name": "ISO codes",
  "version": "1.0.0",
  "category": "custom",
  "baseUrl": "{config.base_url}",
  "authType": "bearer",
  "auth": {"in": "header", "name": "Authorization", "value": "Bearer {credentials.token}"},
  "configSchema": {"type": "object", "required": ["base_url"],
      "properties": {"base_url": {"type": "string", "format": "uri"}}},
  "credentialSchema": {"type": "object", "required": ["token"], "properties": {"token": {"type": "string"}}},
  "headers": {"X-Definition": "iso"},
  "healthCheck": "list_languages",
  "methods": [
    {"id": "get_country", "name": "Get a country", "access": "read",
     "inputSchema": {"type": "object", "required": ["code"], "additionalProperties": false,
                     "properties": {"code": {"type": "string", "pattern": "^[A-Z]{2}$"}}},
     "outputSchema": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
     "request": {"method": "GET", "path": "/v1/countries/{code}"},
     "response": {"map": {"name": ".data.name", "numeric": ".data.numeric"}}},
    {"id": "list_languages", "name": "List languages", "access": "read",
     "inputSchema": {"type": "object", "properties": {"limit": {"type": "integer", "default": 2, "maximum": 100}}},
     "outputSchema": {},
     "request": {"method": "GET", "path": "/v1/languages", "query": {"limit": "{limit}"}},
     "response": {"records": ".data"}},
    {"id": "echo", "name": "Echo", "access": "read", "outputSchema": {"type": "object", "required": ["nowhere"]},
     "inputSchema": {"type": "object", "properties": {
        "segment": {"type": "string", "default": "x"}, "tags": {"type": "array"}, "header": {"type": "string"},
            "note": {"type": "string"}}},
     "request": {"method": "GET", "path": "/echo/{segment}", "query": {"tags": "{tags}", "note": "{note}"},
                 "headers": {"X-Header": "{header}"}}},
    {"id": "post", "name": "Post", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"title": {"type": "string"}, "lines": {"type": "array"}}},
     "request": {"method": "POST", "path": "/echo",
                 "body": {"title": "{title}", "lines": {"$each": "lines", "as": "l", "do": {"Sku": "{l.sku}"}}}}},
    {"id": "denied", "name": "Denied", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {}},
     "request": {"method": "GET", "path": "/echo/denied"},
     "response": {"errors": [{"when": "$ ? (@.method == \"GET\")", "class": "IG422", "message": ".path"}]}},
    {"id": "approve_me", "name": "Needs an approval", "access": "write", "approvalRequired": true, "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {}},
     "request": {"method": "POST", "path": "/echo"}}
  ]
}
$$::jsonb);

SELECT integ_connect('execute_iso', 'iso_main',
    jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;

-- Without its credential a call is refused before anything is sent.
SELECT integ_execute('iso_main', 'get_country', '{"code": "FR"}');
SELECT integ_credential_set('iso_main', 'token', :'provider_token');

-- The mapped result, the records of a list, defaults of the schema.
SELECT integ_execute('iso_main', 'get_country', '{"code": "FR"}');
SELECT jsonb_array_length(integ_execute('iso_main', 'list_languages'));
SELECT jsonb_array_length(integ_execute('iso_main', 'list_languages', '{"limit": 5}'));

-- A definition's id means the caller's instance of it.
SELECT integ_execute('execute_iso', 'get_country', '{"code": "DE"}') ->> 'name' AS name;

-- What is sent: encoded path, repeated keys, headers; the token is masked where the service echoes it.
SELECT r ->> 'path' AS path, r ->> 'query' AS query,
       r -> 'headers' ->> 'x-definition' AS definition, r -> 'headers' ->> 'x-header' AS header,
       r -> 'headers' ->> 'authorization' AS auth, r -> 'headers' ->> 'accept' AS accept
FROM (SELECT integ_execute('iso_main', 'echo',
    '{"segment": "a b/c?d", "tags": ["x", 1], "header": "h", "note": "é&="}') AS r) AS e;
SELECT r ->> 'body' AS sent, r ->> 'method' AS method
FROM (SELECT integ_execute('iso_main', 'post',
    '{"title": "T", "lines": [{"sku": "a"}, {"sku": 12345678901234567890.10}]}') AS r) AS e;

-- Input that does not match.
SELECT integ_execute('iso_main', 'get_country', '{"code": "fr"}');
SELECT integ_execute('iso_main', 'get_country');
SELECT integ_execute('iso_main', 'get_country', '{"code": "FR", "more": 1}');
SELECT integ_execute('iso_main', 'get_country', '[]');
SELECT integ_execute('iso_main', 'echo', '{"segment": ".."}');
SELECT integ_execute('iso_main', 'echo', '{"header": "a\r\nX-Evil: 1"}');
SELECT integ_execute('iso_main', 'no_such');
SELECT integ_execute('no_such', 'get_country');
SELECT integ_execute(NULL, 'x');
SELECT integ_execute('iso_main', 'get_country', '{"code": "FR"}', '{"tiemout": 1}');
SELECT integ_execute('iso_main', 'get_country', '{"code": "FR"}', '{"timeout": -5}');
SELECT integ_execute('iso_main', 'get_country', '{"code": "FR"}', '{"validate_output": "maybe"}');

-- What the service says.
\set VERBOSITY terse
SELECT integ_execute('iso_main', 'get_country', '{"code": "ZZ"}');
SELECT integ_execute('iso_main', 'denied');
SELECT integ_execute('iso_main', 'approve_me');
\set VERBOSITY default

-- The result is checked against the outputSchema where asked for.
SELECT integ_execute('iso_main', 'echo', '{}', '{"validate_output": "warn"}') IS NOT NULL AS warned;
SELECT integ_execute('iso_main', 'echo', '{}', '{"validate_output": "error"}');

-- A write is refused in a READ ONLY transaction, a read is not.
BEGIN READ ONLY;
SELECT integ_execute('iso_main', 'get_country', '{"code": "IT"}') ->> 'name' AS name;
SELECT integ_execute('iso_main', 'post', '{"title": "T"}');
ROLLBACK;

-- The audit of a write stays although its transaction is rolled back.
BEGIN;
SELECT integ_execute('iso_main', 'post', '{"title": "rolled back"}') IS NOT NULL AS sent;
ROLLBACK;

-- A call in an error handler leaves the session usable.
DO $$
BEGIN
    PERFORM integ_execute('iso_main', 'get_country', '{"code": "ZZ"}');
EXCEPTION WHEN SQLSTATE 'IG422' THEN
    RAISE NOTICE 'caught %', SQLSTATE;
END $$;

-- Health.
SELECT h ->> 'state' AS state, h ? 'latency' AS latency, h ? 'last_checked' AS checked FROM integ_test('iso_main') AS h;
SELECT status, health ->> 'state' AS health FROM integ.instances WHERE instance_id = 'iso_main';
SELECT integ_credential_set('iso_main', 'token', 'wrong');
SELECT h ->> 'state' AS state, h #>> '{details,sqlstate}' AS sqlstate FROM integ_test('iso_main') AS h;
SELECT status FROM integ.instances WHERE instance_id = 'iso_main';
SELECT integ_credential_set('iso_main', 'token', :'provider_token');
SELECT integ_test('iso_main') ->> 'state' AS state;

-- What the definition's status says: beta and deprecated warn once a session each, disabled is refused and leaves
-- nothing.
UPDATE integ.definitions SET status = 'beta' WHERE id = 'execute_iso';
SELECT integ_execute('iso_main', 'get_country', '{"code": "FI"}') ->> 'name' AS name;
SELECT integ_execute('iso_main', 'get_country', '{"code": "FI"}') ->> 'name' AS name;
UPDATE integ.definitions SET status = 'deprecated' WHERE id = 'execute_iso';
SELECT integ_execute('iso_main', 'get_country', '{"code": "FI"}') ->> 'name' AS name;
SELECT integ_execute('iso_main', 'get_country', '{"code": "FI"}') ->> 'name' AS name;
UPDATE integ.definitions SET status = 'disabled' WHERE id = 'execute_iso';
SELECT integ_execute('iso_main', 'get_country', '{"code": "FI"}');
\echo :LAST_ERROR_SQLSTATE
SELECT integ_enqueue('iso_main', 'get_country', '{"code": "FI"}');
SELECT * FROM integ_request('iso_main', 'GET', '/v1/countries/FI');
SELECT h ->> 'state' AS state, h ->> 'error' AS error FROM integ_test('iso_main') AS h;
UPDATE integ.definitions SET status = 'active' WHERE id = 'execute_iso';
SELECT integ_execute('iso_main', 'get_country', '{"code": "FI"}') ->> 'name' AS name;

-- Everything is on record: wait for the recorder, which lags by integ.log_flush at most.
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT (SELECT count(*) >= 2 FROM integ.audit_log
    WHERE instance_id = 'iso_main' AND action = 'call.write' AND outcome = 'succeeded')
    AND (SELECT count(*) >= 21 FROM integ.requests WHERE instance_id = 'iso_main')$$);
SELECT method, http_method, path_template, status, sqlstate, is_write, count(*)
FROM integ.requests WHERE instance_id = 'iso_main'
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6;
SELECT method, action, outcome, count(*)
FROM integ.audit_log WHERE instance_id = 'iso_main' AND action LIKE 'call.%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

DELETE FROM integ.instances WHERE instance_id = 'iso_main';

-- What would make two requests of one, or send it elsewhere, is refused before anything is recorded; options that
-- are none.
SELECT integ_define($$
{
  "integrationId": "execute_echo", "name": "Echo", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"secret": {"type": "string"}}},
  "methods": [
    {"id": "elsewhere", "name": "Elsewhere", "access": "write", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "POST", "path": "/echo", "headers": {"Host": "{host}"}, "body": {"a": 1}}},
    {"id": "secret", "name": "Secret", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/echo", "query": {"secret": "{credentials.secret}"}}},
    {"id": "refused", "name": "Refused", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/echo", "query": {"secret": "{credentials.secret}"}},
     "response": {"errors": [{"when": "$ ? (@.method == \"GET\")", "class": "IG422", "message": ".args.secret"}]}}
  ]
}
$$::jsonb);
SELECT integ_connect('execute_echo', 'echo_main',
    jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
SELECT integ_execute('echo_main', 'elsewhere', '{"host": "evil.example"}');
SELECT count(*) FROM integ.audit_log WHERE instance_id = 'echo_main' AND action LIKE 'call.%';
SELECT integ_execute('echo_main', 'secret', '{}', '{"timeout": "soon"}');
SELECT integ_execute('echo_main', 'secret', '{}', '{"timeout": "99999999999 years"}');
SELECT integ_execute('echo_main', 'secret', '{}', '{"timeout": 9223372036854775807}') IS NOT NULL AS clamped;

-- A secret is masked where the service echoes it, however it spells it: JSON's escapes, percent-encoding.
SELECT integ_credential_set('echo_main', 'secret', E's"cr\\et/p\u00e4ss word%');
SELECT r ->> 'query' AS query, r -> 'args' ->> 'secret' AS arg, r::text ~ 'cr.{1,3}et' AS leaked
FROM integ_execute('echo_main', 'secret') AS r;
\set VERBOSITY terse
SELECT integ_execute('echo_main', 'refused');
\set VERBOSITY default

-- Who borrows a connection calls it, and checks its health, while its client is granted it.
INSERT INTO integ.clients (id, name) VALUES ('execute_acme', 'Acme');
SELECT integ_connect('execute_iso', 'iso_lender', jsonb_build_object('base_url', :'provider_url'),
                     '{"grants": ["execute_acme"]}') IS NOT NULL AS connected;
SELECT integ_credential_set('iso_lender', 'token', :'provider_token');
CREATE ROLE execute_ann;
GRANT integ_admin TO execute_ann;
INSERT INTO integ.members (role, client_id, level) VALUES ('execute_ann', 'execute_acme', 'admin');
SET ROLE execute_ann;
SELECT integ_connect('execute_iso', 'iso_borrower', '{}', '{"borrow": "iso_lender"}') IS NOT NULL AS connected;
SELECT integ_execute('iso_borrower', 'get_country', '{"code": "FR"}') ->> 'name' AS name;
RESET ROLE;
DELETE FROM integ.instance_grants WHERE client_id = 'execute_acme';
SET ROLE execute_ann;
SELECT integ_execute('iso_borrower', 'get_country', '{"code": "FR"}');
SELECT h ->> 'state' AS state, h ->> 'error' AS error FROM integ_test('iso_borrower') AS h;

-- A connection that a person switched off is not tested either.
UPDATE integ.instances SET is_active = false WHERE instance_id = 'iso_borrower';
SELECT h ->> 'state' AS state, h ->> 'error' AS error FROM integ_test('iso_borrower') AS h;
RESET ROLE;
DELETE FROM integ.instances WHERE instance_id IN ('iso_borrower', 'echo_main');
DELETE FROM integ.instances WHERE instance_id = 'iso_lender';
DELETE FROM integ.members WHERE client_id = 'execute_acme';
DELETE FROM integ.clients WHERE id = 'execute_acme';
DROP ROLE execute_ann;
SELECT integ_undefine('execute_echo');
SELECT integ_undefine('execute_iso');
