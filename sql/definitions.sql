-- Definitions: a manifest is checked, kept by version, seen by those it is for.

CREATE SCHEMA defs_test;
CREATE FUNCTION defs_test.says(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement INTO result;
    RETURN 'ok: ' || coalesce(result, '');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, nullif(detail, ''), 'Hint: ' || nullif(hint, ''));
END
$$;
CREATE TABLE defs_test.example (manifest jsonb);

-- The design's example is valid as it stands.
INSERT INTO defs_test.example VALUES ($manifest$
{
  "integrationId": "erp",
  "name": "Internal ERP",
  "description": "Stock and purchase orders",
  "version": "1.0.0",
  "category": "custom",
  "baseUrl": "{config.base_url}",
  "authType": "bearer",
  "auth": {"in": "header", "name": "Authorization", "value": "Bearer {credentials.token}"},
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string", "format": "uri"}}},
  "credentialSchema": {"type": "object", "required": ["token"], "properties": {"token": {"type": "string", "x-label": "API token", "x-widget": "password"}}},
  "headers": {"Accept": "application/json"},
  "rateLimit": {"requestsPerMinute": 60, "requestsPerHour": 1000, "concurrent": 5, "windows": [{"limit": 5, "perMs": 2000, "key": "{channel}"}]},
  "circuitBreaker": {"failureThreshold": 5, "resetTimeoutMs": 30000, "halfOpenMax": 1},
  "healthCheck": "list_items",
  "methods": [
    {
      "id": "get_inventory", "name": "Get inventory", "description": "Stock of one SKU", "access": "read",
      "inputSchema": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}, "warehouse": {"type": "string"}}},
      "outputSchema": {"type": "object", "properties": {"quantity": {"type": "integer"}, "location": {"type": "string"}}},
      "request": {"method": "GET", "path": "/inventory/{sku}", "query": {"warehouse": "{warehouse}"}},
      "response": {"map": {"quantity": ".data.quantity_on_hand", "location": ".data.warehouse"},
                   "errors": [{"when": "$ ? (@.ok == false)", "class": "IG422", "message": ".error"}]}
    },
    {
      "id": "create_po", "name": "Create purchase order", "access": "write", "approvalRequired": true,
      "inputSchema": {"type": "object", "required": ["vendor_id", "items"], "properties": {"vendor_id": {"type": "string"}, "items": {"type": "array", "items": {"type": "object"}}}}, "outputSchema": {},
      "request": {"method": "POST", "path": "/purchase-orders",
                  "body": {"vendor_id": "{vendor_id}", "lines": {"$each": "items", "as": "i", "do": {"Sku": "{i.sku}", "Qty": "{i.quantity}"}}}}
    },
    {
      "id": "list_items", "name": "List items", "access": "read", "outputSchema": {},
      "inputSchema": {"type": "object", "properties": {"modified_since": {"type": "string"}, "page_size": {"type": "integer", "default": 200}}},
      "request": {"method": "GET", "path": "/items", "query": {"updated_since": "{modified_since}", "limit": "{page_size}"}},
      "response": {"records": ".data"},
      "pagination": {"style": "cursor", "param": "cursor", "in": "query", "next": ".next_cursor", "from": "body"}
    }
  ],
  "entities": [
    {"id": "Item", "list": "list_items", "idField": "id", "modifiedField": "updated_at", "modifiedParam": "modified_since", "pageSizeParam": "page_size"}
  ],
  "triggers": [
    {"id": "item_updated", "name": "Item updated", "type": "updated", "event": "item.updated", "entity": "Item", "payloadSchema": {"type": "object"}},
    {"id": "low_stock", "name": "Low stock", "type": "custom", "poll": {"method": "list_items", "intervalSeconds": 300, "idField": "id", "modifiedField": "updated_at"}}
  ],
  "webhook": {
    "signature": {"scheme": "hmac-sha256", "header": "X-Erp-Signature", "encoding": "hex", "prefix": "sha256="},
    "event": ".event", "deliveryId": {"header": "X-Erp-Delivery"}, "account": ".account_id"
  }
}
$manifest$);
SELECT integ_define(manifest) FROM defs_test.example;
SELECT id, version, name, display_name, category, auth_type, status, visibility, connection_scope, supports_webhooks,
       builtin, client_id, jsonb_array_length(methods) AS methods, jsonb_array_length(entities) AS entities,
       jsonb_array_length(triggers) AS triggers, credential_schema -> 'required' AS credentials, created_by
FROM integ.definitions WHERE id = 'erp' \gx
SELECT id, name, access, approval_required, paginated, input_schema -> 'required' AS required FROM integ_methods('erp');
SELECT integ_permissions('erp');

-- Every descriptive key has its column.
SELECT integ_define('{
  "integrationId": "described", "name": "described", "displayName": "Described", "description": "All keys", "version": "0.3.0-beta.1+build.5",
  "category": "crm", "icon": "🔍", "color": "#aabbcc", "logoUrl": "https://example.com/l.png", "docsUrl": "https://example.com/d",
  "roles": ["source", "output"], "visibility": "private", "isPremium": true, "requiredPlan": "gold",
  "capabilities": ["read", "search"], "supportedSyncDirections": ["pull"], "supportsRealtime": true, "supportsWebhooks": false,
  "supportsScheduling": true, "supportsRefresh": true, "connectionScope": "tenant", "status": "beta",
  "permissions": {"hosts": ["api.example.com"], "scopes": ["a"], "data": ["contacts"]},
  "baseUrl": "https://{config.region}.example.com/v1", "authType": "oauth2",
  "oauth2Config": {"authorizationUrl": "https://example.com/authorize", "tokenUrl": "https://example.com/token", "scopes": ["a", "b"]},
  "configSchema": {"type": "object", "properties": {"region": {"type": "string", "default": "eu"}}},
  "methods": [{"id": "list", "name": "List", "requiredScopes": ["c"], "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET", "path": "/x"}},
              {"id": "search", "name": "Search", "inputSchema": {}, "outputSchema": {}, "request": {"method": "POST", "path": "/s"}}],
  "x-anything": {"goes": 1}}');
SELECT name, display_name, description, version, category, icon, color, logo_url, docs_url, roles, visibility, is_premium,
       required_plan, capabilities, supported_sync_directions, supports_realtime, supports_webhooks,
       supports_scheduling, supports_refresh, connection_scope, status, auth_type, oauth2_config ->> 'tokenUrl' AS token_url
FROM integ.definitions WHERE id = 'described' \gx
SELECT integ_permissions('described');
-- Without "access", only what is fetched by GET or HEAD reads.
SELECT id, access FROM integ_methods('described');
SELECT integ_undefine('described');
SELECT count(*) FROM integ.definition_versions WHERE id = 'described';

-- Bad manifests: each says where in the document.
CREATE FUNCTION defs_test.bad(path text, value jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT replace(defs_test.says(format('SELECT integ_define(%L)',
                       CASE WHEN value IS NULL THEN manifest #- path::text[]
                            ELSE jsonb_set(manifest, path::text[], value) END)),
                   E'\nHint: docs/manifest.md explains every key; SELECT integ_manifest_schema() is what it is checked against.', '')
    FROM defs_test.example
$$;
\pset format unaligned
\pset tuples_only on
SELECT defs_test.says($$SELECT integ_define('[]')$$);
SELECT defs_test.says($$SELECT integ_define('{}')$$);
SELECT defs_test.says($$SELECT integ_define('{"integrationId": "x", "name": "x", "version": "1.0.0", "methods": []}', '{"force": true}')$$);
-- a missing key, a wrong type, an unknown key
SELECT defs_test.bad('{methods,0,inputSchema}', NULL);
SELECT defs_test.bad('{methods,0,id}', NULL);
SELECT defs_test.bad('{methods,1,approvalRequired}', '"yes"');
SELECT defs_test.bad('{methods,0,request,pathh}', '"/x"');
SELECT defs_test.bad('{authTyp}', '"bearer"');
SELECT defs_test.bad('{category}', '"shop"');
SELECT defs_test.bad('{integrationId}', '"ERP main"');
SELECT defs_test.bad('{version}', '"1.0"');
SELECT defs_test.bad('{version}', '"1.0.0-01"');
SELECT defs_test.bad('{version}', '"99999999999999999999999.0.0"');
SELECT defs_test.bad('{methods,0,response,errors,0,class}', '"IG999"');
-- ids and names
SELECT defs_test.bad('{methods,1,id}', '"get_inventory"');
SELECT defs_test.bad('{triggers,1,id}', '"item_updated"');
SELECT defs_test.bad('{healthCheck}', '"ping"');
SELECT defs_test.bad('{healthCheck}', '"create_po"');
SELECT defs_test.bad('{healthCheck}', '"get_inventory"');
SELECT defs_test.bad('{healthCheck}', '{"method": "get_inventory", "input": {"sku": "a"}}') LIKE 'ok:%' AS accepted;
SELECT defs_test.bad('{entities,0,list}', '"list_orders"');
SELECT defs_test.bad('{entities,0,list}', '"create_po"');
SELECT defs_test.bad('{entities,0,create}', '"list_items"');
SELECT defs_test.bad('{entities,0,modifiedParam}', '"since"');
SELECT defs_test.bad('{entities,0,idField}', NULL);
SELECT defs_test.bad('{triggers,0,entity}', '"Order"');
SELECT defs_test.bad('{triggers,1,poll,method}', '"poll_items"');
SELECT defs_test.bad('{webhook}', NULL);
SELECT defs_test.bad('{webhook,register}', '"subscribe"');
SELECT defs_test.bad('{webhook,signature,header}', NULL);
-- methods
SELECT defs_test.bad('{methods,0,approvalRequired}', 'true');
SELECT defs_test.bad('{methods,0,request,method}', '"DELETE"');
SELECT defs_test.bad('{methods,0,request}', NULL);
SELECT defs_test.bad('{methods,0,steps}', '[{"id": "a", "request": {"method": "GET"}}]');
SELECT defs_test.bad('{methods,0,request,body}', '{"a": 1}');
SELECT defs_test.bad('{methods,0,request,path}', '"@evil.example/"');
SELECT defs_test.bad('{methods,0,request,path}', '"//evil.example/"');
SELECT defs_test.bad('{methods,0,request,path}', '"/a/../../b"');
SELECT defs_test.bad('{methods,0,request,path}', '"/a?b={sku}"');
SELECT defs_test.bad('{methods,0,request,graphql}', '{"document": "query { a }"}');
SELECT defs_test.bad('{methods,1,pagination}', '{"style": "none"}');
SELECT defs_test.bad('{methods,0,idempotency}', '{"header": "Idempotency-Key"}');
-- schemas, templates, paths compile
SELECT defs_test.bad('{methods,0,inputSchema}', '{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}');
SELECT defs_test.bad('{configSchema,properties,base_url,type}', '"url"');
SELECT defs_test.bad('{methods,0,outputSchema,properties,quantity}', '{"$ref": "other.json"}');
SELECT defs_test.bad('{methods,0,request,path}', '"/inventory/{sku"');
SELECT defs_test.bad('{methods,0,response,map,quantity}', '"data.quantity"');
SELECT defs_test.bad('{methods,0,response,map,quantity}', '"$.data[1 to"');
SELECT defs_test.bad('{methods,0,response,errors,0,when}', '"$ ? (@.ok =="');
SELECT defs_test.bad('{methods,0,response,errors,0}', '{"class": "IG422", "message": "any"}');
-- placeholders stand for something
SELECT defs_test.bad('{methods,0,request,path}', '"/inventory/{skuu}"');
SELECT defs_test.bad('{methods,0,request,query,warehouse}', '"{config.warehouse}"');
SELECT defs_test.bad('{methods,0,request,headers}', '{"X-Key": "{credentials.key}"}');
SELECT defs_test.bad('{methods,1,request,body,lines,$each}', '"itemz"');
SELECT defs_test.bad('{auth,value}', '"Bearer {credentials.tokn}"');
SELECT defs_test.bad('{auth,value}', '"Bearer {sku}"');
SELECT defs_test.bad('{headers,X-Sku}', '"{sku}"');
-- where requests go
SELECT defs_test.bad('{baseUrl}', '"https://{sku}.example.com"');
SELECT defs_test.bad('{baseUrl}', '"https://{credentials.token}.example.com"');
SELECT defs_test.bad('{baseUrl}', '"https://user:pw@example.com"');
SELECT defs_test.bad('{baseUrl}', '"ftp://example.com"');
SELECT defs_test.bad('{baseUrl}', '"https://example.com/?a=b"');
SELECT defs_test.bad('{baseUrl}', '"https://example.com:{config.base_url}/v1"') LIKE 'ok:%' AS accepted;
SELECT defs_test.bad('{baseUrl}', '"https://example.com{config.base_url}"');
SELECT defs_test.bad('{baseUrl}', '"https://example.com{config.base_url}/v1"');
SELECT defs_test.bad('{baseUrl}', '"https://example.com{config.base_url}:8443"');
SELECT defs_test.bad('{baseUrl}', '"https://api-{config.base_url}"');
SELECT url, defs_test.bad('{baseUrl}', to_jsonb(url)) LIKE 'ok:%' AS accepted
FROM (VALUES ('https://eu{config.base_url}.example.com'), ('https://api.{config.base_url}'), ('https://{config.base_url}:8443/a'),
             ('https://example.com/{config.base_url}'), ('https://example.com:8443/v1{config.base_url}')) u (url);
SELECT defs_test.bad('{baseUrl}', NULL);
-- how they authenticate
SELECT defs_test.bad('{authType}', '"oauth2"');
SELECT defs_test.bad('{authType}', '"jwt"');
SELECT defs_test.bad('{authType}', '"none"');
SELECT defs_test.bad('{auth}', NULL) LIKE 'ok:%' AS accepted;
SELECT defs_test.says(format('SELECT integ_define(%L)', jsonb_set(manifest - 'auth', '{credentialSchema,properties}', '{"key": {}}'))) FROM defs_test.example;
SELECT defs_test.says(format('SELECT integ_define(%L)', manifest - 'auth' || '{"authType": "apikey"}')) FROM defs_test.example;
SELECT defs_test.says(format('SELECT integ_define(%L)', manifest || '{"authMethods": [{"id": "a", "authType": "none"}, {"id": "a", "authType": "none"}]}')) FROM defs_test.example;
SELECT defs_test.bad('{oauth2Config}', '{"tokenUrl": "token"}');
-- pages
SELECT defs_test.bad('{methods,2,pagination,param}', NULL);
SELECT defs_test.bad('{methods,2,pagination,next}', NULL);
SELECT defs_test.bad('{methods,2,pagination,next}', '"next_cursor"');
SELECT defs_test.bad('{methods,2,pagination,in}', '"body"');
SELECT defs_test.bad('{methods,2,pagination}', '{"style": "page"}');
SELECT defs_test.bad('{methods,2,pagination}', '{"style": "graphql", "param": "after", "next": ".data.pageInfo.endCursor"}');
SELECT defs_test.bad('{methods,0,pagination}', '{"style": "offset", "param": "skip"}');
SELECT defs_test.bad('{methods,2,pagination}', '{"style": "spiral"}');
\pset tuples_only off
\pset format aligned

-- Nothing of the bad ones is left behind.
SELECT id, version FROM integ.definition_versions WHERE id = 'erp';
SELECT integ_define(manifest) FROM defs_test.example;
SELECT d.manifest = e.manifest AS as_it_stands FROM integ.definitions d, defs_test.example e WHERE d.id = 'erp';

-- Versions: the highest is the current one, and older ones may still be added.
SELECT integ_define(manifest || '{"version": "1.1.0", "name": "ERP 1.1"}') FROM defs_test.example;
SELECT integ_define(manifest || '{"version": "2.0.0-rc.1", "name": "ERP 2"}') FROM defs_test.example;
SELECT integ_define(manifest || '{"version": "1.2.0", "name": "ERP 1.2"}') FROM defs_test.example;
SELECT id, version, name FROM integ.definitions WHERE id = 'erp';
SELECT version, manifest ->> 'name' AS name FROM integ.definition_versions WHERE id = 'erp' ORDER BY version;

-- A version in use changes only when told so.
SELECT integ_connect('erp', 'defs_erp', '{"base_url": "https://erp.example.com"}', '{"version": "1"}') IS NOT NULL AS connected;
SELECT integ_define(manifest || '{"version": "1.2.0", "name": "ERP 1.2"}') FROM defs_test.example;
\pset format unaligned
\pset tuples_only on
SELECT defs_test.says(format('SELECT integ_define(%L)', manifest || '{"version": "1.2.0", "name": "Other"}')) FROM defs_test.example;
SELECT defs_test.says(format('SELECT integ_define(%L, ''{"replace": true}'')', manifest || '{"version": "1.2.0", "name": "Other"}')) FROM defs_test.example;
SELECT manifest ->> 'name' FROM integ.definition_versions WHERE id = 'erp' AND version = '1.2.0';
SELECT defs_test.says($$SELECT integ_undefine('erp')$$);
DELETE FROM integ.instances WHERE instance_id = 'defs_erp';

-- Who may define: superadmins for all, administrators for their client.
INSERT INTO integ.clients (id, name) VALUES ('defs_a', 'A'), ('defs_b', 'B');
CREATE ROLE defs_admin IN ROLE integ_admin;
CREATE ROLE defs_user IN ROLE integ_user;
CREATE ROLE defs_other IN ROLE integ_admin;
CREATE ROLE defs_nobody IN ROLE integ_admin;
CREATE ROLE defs_outside;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('defs_admin', 'defs_a', 'ann', 'admin'), ('defs_user', 'defs_a', 'uwe', 'user'), ('defs_other', 'defs_b', 'otto', 'admin');
GRANT USAGE ON SCHEMA defs_test TO PUBLIC;
GRANT SELECT ON defs_test.example TO PUBLIC;
SET ROLE defs_user;
SELECT defs_test.says(format('SELECT integ_define(%L)', manifest)) FROM defs_test.example;
RESET ROLE;
SET ROLE defs_nobody;
SELECT defs_test.says(format('SELECT integ_define(%L)', manifest)) FROM defs_test.example;
SELECT count(*) FROM integ.definitions;
RESET ROLE;
SET ROLE defs_outside;
SELECT defs_test.says('SELECT count(*) FROM integ.definitions');
RESET ROLE;
SET ROLE defs_admin;
SELECT defs_test.says(format('SELECT integ_define(%L)', manifest || '{"version": "3.0.0"}')) FROM defs_test.example;
SELECT defs_test.says(format('SELECT integ_define(%L, ''{"client": "defs_b"}'')', manifest || '{"integrationId": "defs_own"}')) FROM defs_test.example;
SELECT defs_test.says(format('SELECT integ_define(%L)', manifest || '{"integrationId": "defs_own", "visibility": "superadmin_only"}')) FROM defs_test.example;
SELECT integ_define(manifest || '{"integrationId": "defs_own"}') FROM defs_test.example;
SELECT integ_define(manifest || '{"integrationId": "defs_private", "visibility": "private"}') FROM defs_test.example;
SELECT defs_test.says($$UPDATE integ.definitions SET status = 'disabled'$$);
SELECT defs_test.says($$INSERT INTO integ.definitions (id, name, display_name, version, manifest) VALUES ('x', 'x', 'x', '1.0.0', '{}')$$);
SELECT defs_test.says($$SELECT integ_undefine('erp')$$);
SELECT defs_test.says($$SELECT integ.mirror_definition('{}')$$);
RESET ROLE;
SELECT integ_define(manifest || '{"integrationId": "defs_hidden", "visibility": "superadmin_only"}') FROM defs_test.example;

-- Who sees what: the table, its versions, methods and permissions agree.
SELECT id, client_id, visibility, created_by FROM integ.definitions WHERE id LIKE 'defs%' OR id = 'erp' ORDER BY id;
SET ROLE defs_admin;
SELECT 'admin', string_agg(id, ' ' ORDER BY id), (SELECT count(DISTINCT id) FROM integ.definition_versions WHERE id LIKE 'defs%' OR id = 'erp') FROM integ.definitions WHERE id LIKE 'defs%' OR id = 'erp';
SELECT count(*) FROM integ_methods('defs_private');
SELECT defs_test.says($$SELECT count(*) FROM integ_methods('defs_hidden')$$);
SET ROLE defs_user;
SELECT 'user', string_agg(id, ' ' ORDER BY id), (SELECT count(DISTINCT id) FROM integ.definition_versions WHERE id LIKE 'defs%' OR id = 'erp') FROM integ.definitions WHERE id LIKE 'defs%' OR id = 'erp';
SELECT defs_test.says($$SELECT integ_permissions('defs_private')$$);
SET ROLE defs_other;
SELECT 'other client', string_agg(id, ' ' ORDER BY id), (SELECT count(DISTINCT id) FROM integ.definition_versions WHERE id LIKE 'defs%' OR id = 'erp') FROM integ.definitions WHERE id LIKE 'defs%' OR id = 'erp';
SELECT defs_test.says($$SELECT integ_undefine('defs_own')$$);
SELECT defs_test.says(format('SELECT integ_define(%L)', manifest || '{"integrationId": "defs_own"}')) FROM defs_test.example;
RESET ROLE;

-- What a superadmin decides about a definition outlives its next version.
UPDATE integ.definitions SET status = 'disabled' WHERE id = 'defs_own';
SET ROLE defs_admin;
SELECT integ_define(manifest || '{"integrationId": "defs_own", "version": "1.0.1"}') FROM defs_test.example;
SELECT id, version, status, customized FROM integ.definitions WHERE id = 'defs_own';
SELECT defs_test.says($$SELECT integ_undefine('defs_own')$$);
SELECT integ_undefine('defs_private');
SELECT defs_test.says($$SELECT integ_undefine('defs_private')$$);
RESET ROLE;
SELECT integ_undefine('defs_hidden');
SELECT integ_undefine('erp');

-- What integ brings: mirrored by the install and upgrade scripts.
SELECT integ.mirror_definition(manifest || '{"integrationId": "defs_builtin"}') FROM defs_test.example;
SELECT integ.mirror_definition(manifest || '{"integrationId": "defs_builtin", "name": "Same version, repaired"}') FROM defs_test.example;
SELECT integ.mirror_definition(manifest || '{"integrationId": "defs_builtin", "version": "1.1.0", "name": "Next"}') FROM defs_test.example;
SELECT id, version, name, builtin, client_id FROM integ.definitions WHERE id = 'defs_builtin';
SELECT defs_test.says(format('SELECT integ_define(%L)', manifest || '{"integrationId": "defs_builtin", "version": "9.0.0"}')) FROM defs_test.example;
SELECT defs_test.says($$SELECT integ_undefine('defs_builtin')$$);
-- an upgrade never fails on what users made
SELECT integ_define(manifest || '{"integrationId": "defs_mine", "name": "Mine"}') FROM defs_test.example;
SELECT integ.mirror_definition(manifest || '{"integrationId": "defs_mine", "name": "Brought"}') FROM defs_test.example;
SELECT name, builtin FROM integ.definitions WHERE id = 'defs_mine';

-- YAML is another way to write the same.
SELECT integ_define_yaml($yaml$
integrationId: defs_yaml
name: Internal ERP
version: 1.0.0
baseUrl: https://erp.internal.company.com/api
authType: bearer
methods:
  - id: erp_get_inventory
    name: Get inventory
    inputSchema: {type: object, required: [sku], properties: {sku: {type: string}}}
    outputSchema: {}
    request: {method: GET, path: /inventory, query: {sku: "{sku}"}}
    response:
      map:
        quantity: .data.quantity_on_hand
        location: .data.warehouse
$yaml$);
SELECT id, access, input_schema FROM integ_methods('defs_yaml');
SELECT defs_test.says($$SELECT integ_define_yaml(E'integrationId: x\nname: [\n')$$);
SELECT defs_test.says($$SELECT integ_define_yaml(E'integrationId: x\nname: x\nversion: 1.0\nmethods: []\n')$$);
SELECT defs_test.says($$SELECT integ_define_yaml('a: 1', '{"b": 2}')$$);

-- The schema is what documents are checked against.
SELECT integ_manifest_schema() ->> 'title';

\pset tuples_only off
\pset format aligned
SET client_min_messages = warning;
DELETE FROM integ.definitions WHERE id LIKE 'defs%';
DELETE FROM integ.members WHERE client_id LIKE 'defs%';
DELETE FROM integ.clients WHERE id LIKE 'defs%';
DROP SCHEMA defs_test CASCADE;
DROP ROLE defs_admin, defs_user, defs_other, defs_nobody, defs_outside;
