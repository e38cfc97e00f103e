-- What definitions bring, in views and in integ_permissions: each reader sees
-- what it sees of the definitions.

SELECT integ_define($${
  "integrationId": "shown", "name": "Shown", "version": "1.0.0", "baseUrl": "https://{config.region}.shown.example/v1",
  "permissions": {"hosts": ["cdn.shown.example"], "data": ["orders"], "scopes": ["base"]},
  "authMethods": [
    {"id": "key", "authType": "apikey", "auth": {"in": "header", "name": "X-Key"},
     "credentialSchema": {"type": "object", "properties": {"key": {"type": "string"}}}},
    {"id": "login", "authType": "oauth2",
     "oauth2Config": {"authorizationUrl": "https://login.shown.example/authorize", "tokenUrl": "https://login.shown.example:8443/token",
                      "scopes": ["orders.read"]},
     "credentialSchema": {"type": "object", "properties": {"client_id": {"type": "string"}, "client_secret": {"type": "string"}}}}],
  "configSchema": {"type": "object", "properties": {
    "region": {"type": "string", "default": "eu"}, "baseUrl": {"type": "string", "default": "https://no.example"}}},
  "methods": [
    {"id": "list", "name": "List", "description": "All orders", "requiredScopes": [["orders.read", "orders.write"]],
     "inputSchema": {"type": "object", "properties": {"since": {"type": "string"}, "size": {"type": "integer", "minimum": 1}},
                     "examples": [{"since": "2024-01-01", "size": 10}]},
     "outputSchema": {"type": "array"},
     "request": {"method": "GET", "path": "/orders", "query": {"since": "{since}"}}, "response": {"records": ".orders"},
     "pagination": {"style": "link"}},
    {"id": "get", "name": "Get", "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}}, "outputSchema": {},
     "request": {"method": "GET", "path": "/orders/{id}"}},
    {"id": "save", "name": "Save", "approvalRequired": true, "requiredScopes": ["orders.write", "audit"],
     "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}, "kind": {"type": "string"}, "rows": {"type": "array"}}},
     "outputSchema": {}, "request": {"method": "PUT", "path": "/orders/{id}", "body": "{rows}"}}],
  "entities": [
    {"id": "Order", "displayName": "Order of a customer", "list": "list", "get": "get", "update": "save", "idField": "id",
     "modifiedField": "changed", "modifiedParam": "since", "supportedSyncDirections": ["pull"], "schema": {"type": "object"}},
    {"id": "Draft", "update": "save", "input": {"kind": "draft"}, "idField": "id"}],
  "supportedSyncDirections": ["push"],
  "triggers": [
    {"id": "ordered", "name": "Ordered", "type": "created", "event": ["order.created", "order.copied"], "entity": "Order", "when": ".id",
     "payloadSchema": {"type": "object"}},
    {"id": "paid", "name": "Paid", "type": "status_changed", "event": "order.paid"},
    {"id": "changed", "name": "Changed", "type": "updated", "poll": {"method": "list", "idField": "id", "input": {"size": 50}}}],
  "webhook": {"event": ".type"}}$$);

SELECT id, name, description, access, approval_required, required_scopes, paginated, examples, instance
FROM integ.methods WHERE definition = 'shown' ORDER BY id;
SELECT id, name, list_method, get_method, update_method, id_field, modified_field, modified_param,
       supported_sync_directions, input
FROM integ.entities WHERE definition = 'shown' ORDER BY id;
SELECT id, type, events, entity, condition, source, poll_method, poll_seconds
FROM integ.triggers WHERE definition = 'shown' ORDER BY id;
SELECT jsonb_pretty(integ_permissions('shown'));
SELECT id, required_scopes FROM integ_methods('shown') ORDER BY id;

-- The views agree with integ_methods for everything that is brought.
SELECT d.id, m.id, m.access, v.access FROM integ.definitions d
    CROSS JOIN LATERAL integ_methods(d.id) m
    FULL JOIN integ.methods v ON v.definition = d.id AND v.id = m.id
WHERE (m.name, m.access, m.approval_required, m.paginated, m.input_schema)
      IS DISTINCT FROM (v.name, v.access, v.approval_required, v.paginated, v.input_schema);

-- A method of one instance.
SELECT integ_connect('shown', 'shown_main') IS NOT NULL AS connected;
INSERT INTO integ.instance_methods (id, instance, client_id, method)
SELECT 'list_cars', id, client_id, '{"id": "list_cars", "name": "List cars", "inputSchema": {}, "outputSchema": {},
    "request": {"method": "GET", "path": "/cars"}}' FROM integ.instances WHERE instance_id = 'shown_main';
SELECT instance_id, id, access FROM integ.methods WHERE definition = 'shown' AND instance IS NOT NULL;

-- What a manifest names is there, and takes what it is given.
CREATE FUNCTION pg_temp.bad(path text[], value jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM integ_define(jsonb_set(manifest, path, value) || '{"version": "2.0.0"}') FROM integ.definitions WHERE id = 'shown';
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || detail;
END
$$;
SELECT pg_temp.bad('{entities,1,input}', '{"kind": "x", "colour": "red"}');
SELECT pg_temp.bad('{entities,0,idParam}', '"order"');
SELECT pg_temp.bad('{triggers,2,poll,input}', '{"pages": 1}');
SELECT pg_temp.bad('{methods,0,inputSchema,examples}', '[{"size": 1}, {"size": 0, "since": 3}]');
SELECT pg_temp.bad('{methods,0,outputSchema}', '{"type": "array", "examples": [{}]}');
SELECT pg_temp.bad('{methods,0,requiredScopes}', '["a", []]');
SELECT pg_temp.bad('{methods,0,requiredScopes}', '[["a", 1]]');

CREATE FUNCTION pg_temp.state(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;

-- Neighbours: a client's own definition is its own, a private one its administrators'.
INSERT INTO integ.clients (id, name) VALUES ('views_acme', 'Acme'), ('views_bolt', 'Bolt');
CREATE ROLE views_acme_admin;
CREATE ROLE views_acme_user;
CREATE ROLE views_bolt_user;
CREATE ROLE views_nobody;
GRANT integ_admin TO views_acme_admin;
GRANT integ_user TO views_acme_user, views_bolt_user, views_nobody;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('views_acme_admin', 'views_acme', 'ada', 'admin'), ('views_acme_user', 'views_acme', 'uma', 'user'),
    ('views_bolt_user', 'views_bolt', 'bob', 'user');
SELECT integ_define('{"integrationId": "shown_acme", "name": "Acme''s", "version": "1.0.0", "baseUrl": "https://acme.example", "visibility": "private",
    "methods": [{"id": "list", "name": "List", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET"}}],
    "entities": [{"id": "Thing", "list": "list", "idField": "id"}],
    "triggers": [{"id": "new", "name": "New", "type": "created", "poll": {"method": "list"}}]}', '{"client": "views_acme"}');
CREATE FUNCTION pg_temp.sees(role name) RETURNS TABLE (methods bigint, entities bigint, triggers bigint, discovered bigint)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    RETURN QUERY SELECT (SELECT count(*) FROM integ.methods WHERE definition = 'shown_acme'),
                        (SELECT count(*) FROM integ.entities WHERE definition = 'shown_acme'),
                        (SELECT count(*) FROM integ.triggers WHERE definition = 'shown_acme'),
                        (SELECT count(*) FROM integ.methods WHERE instance IS NOT NULL AND definition LIKE 'shown%');
    RESET ROLE;
END
$$;
SELECT * FROM pg_temp.sees('views_acme_admin');
SELECT * FROM pg_temp.sees('views_acme_user');
SELECT * FROM pg_temp.sees('views_bolt_user');
SELECT * FROM pg_temp.sees('views_nobody');
SET ROLE views_bolt_user;
SELECT integ_permissions('shown_acme');
RESET ROLE;

-- A call without a scope that it needs, where the service said what it granted.
\getenv url INTEG_PROVIDER_URL
SELECT integ_define(replace($${
  "integrationId": "scoped", "name": "Scoped", "version": "1.0.0", "baseUrl": "URL", "authType": "oauth2",
  "oauth2Config": {"authorizationUrl": "https://login.example/authorize", "tokenUrl": "https://login.example/token", "scopes": ["read"]},
  "methods": [
    {"id": "free", "name": "Free", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET", "path": "/echo/free"}, "response": {"map": ".path"}},
    {"id": "get", "name": "Get", "requiredScopes": [["read", "all"]], "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/echo/get"}, "response": {"map": ".path"}},
    {"id": "save", "name": "Save", "requiredScopes": ["read", ["write", "all"], "audit"], "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/echo/save"}, "response": {"map": ".path"}}]}$$, 'URL', :'url')::jsonb);
SELECT integ_connect('scoped', 'scoped_main') IS NOT NULL AS connected;
SELECT integ_credential_set('scoped_main', 'access_token', 'token-of-scoped');
-- Nobody knows what a token that a person brings may do: the service says.
SELECT integ_execute('scoped_main', 'save');
INSERT INTO integ.oauth_tokens (instance, client_id, grant_type, strategy, scopes, requested_scopes, token_origin)
SELECT id, client_id, 'authorization_code', 'manual', '{read}', '{read}', 'https://login.example' FROM integ.instances WHERE instance_id = 'scoped_main';
UPDATE integ.instances SET status = 'active' WHERE instance_id = 'scoped_main';
SELECT integ_execute('scoped_main', 'free');
SELECT integ_execute('scoped_main', 'get');
SELECT integ_execute('scoped_main', 'save');
SELECT state FROM (SELECT pg_temp.state($$SELECT integ_execute('scoped_main', 'save')$$)) s (state);

DROP OWNED BY views_acme_admin, views_acme_user, views_bolt_user, views_nobody;
DELETE FROM integ.instances WHERE definition IN ('shown', 'scoped');
SELECT integ_undefine('shown'), integ_undefine('shown_acme'), integ_undefine('scoped');
DELETE FROM integ.members WHERE client_id LIKE 'views\_%';
DELETE FROM integ.clients WHERE id LIKE 'views\_%';
DROP ROLE views_acme_admin, views_acme_user, views_bolt_user, views_nobody;
