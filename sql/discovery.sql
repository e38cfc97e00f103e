-- What only one instance has: custom objects, read from the service.
\getenv provider_url INTEG_PROVIDER_URL

SELECT integ_define($$
{
  "integrationId": "discovery_crm", "name": "CRM", "version": "1.0.0", "category": "crm",
  "baseUrl": "{config.base_url}", "authType": "none",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"},
      "prefix": {"type": "string"}}},
  "methods": [
    {"id": "describe_all", "name": "Objects", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"count": {"type": "integer"}}},
     "request": {"method": "GET", "path": "/crm/sobjects", "query": {"count": "{count}"}}},
    {"id": "describe", "name": "Object", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["object"], "properties": {"object": {"type": "string"}}},
     "request": {"method": "GET", "path": "/crm/sobjects/{object}/describe"}},
    {"id": "query", "name": "Query", "access": "read", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["object", "fields"], "properties": {
         "object": {"type": "string"}, "fields": {"type": "string"}, "since": {"type": "string"}}},
     "request": {"method": "GET", "path": "/crm/query", "query": {"q":
         "SELECT {fields} FROM {object}[ WHERE SystemModstamp >= {since}]"}},
     "response": {"records": ".records"}},
    {"id": "create", "name": "Create", "access": "write", "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["object", "record"], "properties": {"object": {"type": "string"},
         "record": {"type": "object"}}},
     "request": {"method": "POST", "path": "/echo/{object}", "body": "{record}"},
         "response": {"map": {"path": ".path", "record": ".json"}}}
  ],
  "entities": [{"id": "Account", "name": "Plain account", "list": "query", "idField": "Id"}],
  "discovery": {
    "method": "describe_all", "items": ".sobjects", "when": "$.queryable == true",
    "describe": {"method": "describe", "input": {"object": "{item.name}"}},
    "fields": {"in": ".fields", "name": ".name", "type": ".type", "title": ".label", "nullable": ".nillable",
               "required": "$ ? (@.nillable == false && @.createable == true)",
                   "readOnly": "$ ? (@.createable == false)",
               "types": {"encryptedstring": {"type": "string", "x-secret": true}}},
    "entity": {"id": "{item.name}", "name": "{item.label}", "list": "list_{item.name}", "create": "create_{item.name}",
               "idField": "Id", "modifiedField": "SystemModstamp", "modifiedParam": "since"},
    "methods": [
      {"base": "query", "id": "list_{item.name}", "name": "List {item.label}", "input": {"object": "{item.name}",
          "fields": "{field_names}"}, "returns": "records"},
      {"base": "create", "id": "create_{item.name}", "name": "Create {item.label}",
          "input": {"object": "{item.name}"}, "record": "record", "recordRequired": true}],
    "limit": 50, "refreshSeconds": 3600}
}
$$::jsonb);
SELECT integ_connect('discovery_crm', 'crm_main', jsonb_build_object('base_url',
    :'provider_url')) IS NOT NULL AS connected;

-- Before: what the definition has.
SELECT id FROM integ_methods('crm_main') ORDER BY id;
SELECT integ_discover('crm_main');
SELECT id, name, access, input_schema -> 'properties' -> 'object' AS object FROM integ_methods('crm_main')
    ORDER BY id COLLATE "C";
SELECT id, name, discovered, entity ->> 'list' AS list FROM integ_entities('crm_main') ORDER BY id COLLATE "C";
SELECT key, value FROM integ_entities('crm_main') e, jsonb_each(e.entity #> '{schema,properties}')
    WHERE e.id = 'Vehicle__c' ORDER BY key COLLATE "C";
SELECT input_schema #> '{properties,record,required}' AS required, output_schema FROM integ_methods('crm_main')
    WHERE id = 'create_Vehicle__c';
SELECT output_schema ->> 'type' AS type, output_schema #> '{items,properties,Plate__c}' AS plate
    FROM integ_methods('crm_main') WHERE id = 'list_Vehicle__c';

-- They are methods like others.
SELECT integ_execute('crm_main', 'list_Invoice__c', '{}');
SELECT integ_execute('crm_main', 'create_Invoice__c', '{"record": {"Name": "A", "Paid__c": true}}',
    '{"validate_output": "error"}');
\set VERBOSITY terse
SELECT integ_execute('crm_main', 'create_Invoice__c', '{"record": {"Name": "A"}}');
SELECT integ_execute('crm_main', 'create_Invoice__c', '{"record": {"Name": "A", "Paid__c": true, "Id": "9"}}');
SELECT integ_execute('crm_main', 'list_Invoice__c', '{"object": "Account"}');
SELECT integ_execute('crm_main', 'list_Secret__Share', '{}');
SELECT integ_execute('crm_main', 'list_Plane__c', '{}');
\set VERBOSITY default

-- Another instance has its own; some names only; what is gone is gone; what has not changed is not written.
SELECT integ_connect('discovery_crm', 'crm_other', jsonb_build_object('base_url',
    :'provider_url')) IS NOT NULL AS connected;
SELECT id FROM integ_methods('crm_other') ORDER BY id;
SELECT integ_discover('crm_other', '{"only": ["Account"]}');
CREATE TEMP TABLE before AS SELECT m.id, m.instance, m.xmin::text AS version FROM integ.instance_methods m;
SELECT integ_discover('crm_main', '{"only": ["Vehicle__c", "Account"]}');
SELECT i.instance_id, m.id, b.version = m.xmin::text AS untouched
FROM integ.instance_methods m JOIN integ.instances i ON i.id = m.instance JOIN before b ON b.id = m.id
    AND b.instance = m.instance
WHERE i.definition = 'discovery_crm' ORDER BY 1, 2;
SELECT i.instance_id, d."only", d.found - 'skipped' AS found, d.next_run_at - d.discovered_at AS next
    FROM integ.instance_discoveries d
JOIN integ.instances i ON i.id = d.instance ORDER BY 1;
SELECT count(*) FROM integ.events WHERE kind = 'instance.discovered' AND instance = (SELECT id FROM integ.instances
    WHERE instance_id = 'crm_main');

-- Too much, nothing, and what is not valid.
\set VERBOSITY terse
UPDATE integ.instances SET config = config || '{"defaults": {"describe_all": {"count": 10000}}}'
    WHERE instance_id = 'crm_other';
SELECT integ_discover('crm_other', '{}');
SELECT count(*) FROM integ_entities('crm_other') WHERE discovered;
UPDATE integ.instances SET config = config || '{"defaults": {"describe_all": {"count": 3}}}'
    WHERE instance_id = 'crm_other';
SELECT integ_discover('crm_other', '{"only": []}');
SELECT integ_discover('crm_other', '{"only": [1]}');
SELECT integ_discover('crm_other', '{"only": "Account"}');
SELECT integ_discover('crm_other', '{"all": true}');
SELECT integ_discover('nowhere');
SELECT integ_discover(NULL);
BEGIN READ ONLY;
SELECT integ_discover('crm_other');
ROLLBACK;
SELECT integ_define($$
{
  "integrationId": "discovery_odd", "name": "Odd", "version": "1.0.0", "category": "crm",
  "baseUrl": "{config.base_url}", "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "methods": [{"id": "all", "name": "Objects", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object",
      "properties": {"text": {"type": "string"}}},
     "request": {"method": "GET", "path": "/echo", "query": {"text": "{text}"}},
     "response": {"map": {"$literal": [{"name": "9 lives", "props": {}}, {"name": "good",
         "props": {"Name": {"type": "title"}, "Done": {"type": "checkbox"}}}, "nothing", null]}}}],
  "discovery": {"method": "all",
    "fields": {"in": ".props", "type": ".type", "types": {"checkbox": {"type": "boolean"}}},
    "methods": [{"base": "all", "id": "all_{item.name}", "input": {"text": "{field_names}"}}]}
}
$$::jsonb);
SELECT integ_discover('nowhere');
SELECT integ_connect('discovery_odd', 'odd', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
SELECT jsonb_pretty(integ_discover('odd'));
SELECT id, input_schema #> '{properties,text}' AS text FROM integ_methods('odd') ORDER BY id;
\set VERBOSITY default

-- The maintenance job does it again when its time has come.
SELECT integ_discover('crm_main', '{"only": ["Account"]}') -> 'methods' AS methods;
DELETE FROM integ.instance_methods WHERE id = 'list_Account';
UPDATE integ.instance_discoveries SET next_run_at = now();
UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'discovery';
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT EXISTS (SELECT FROM integ.instance_methods m JOIN integ.instances i ON i.id = m.instance
    WHERE m.id = 'list_Account' AND i.instance_id = 'crm_main')$$);
SELECT id FROM integ_methods('crm_main') WHERE id LIKE '%Account' ORDER BY id;

-- Who may.
CREATE ROLE regress_discovery_user;
GRANT integ_user TO regress_discovery_user;
INSERT INTO integ.clients (id, name) VALUES ('discovery_client', 'Discovery');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('regress_discovery_user', 'discovery_client',
    'u1', 'user');
INSERT INTO integ.instance_grants (instance, client_id) SELECT id, 'discovery_client' FROM integ.instances
    WHERE instance_id = 'crm_main';
SET ROLE regress_discovery_user;
SELECT integ_discover('crm_main');
SELECT count(*) FROM integ_entities('crm_main');
SELECT DISTINCT client_id FROM integ.instance_entities;
UPDATE integ.instance_discoveries SET next_run_at = now();
RESET ROLE;

-- Manifests that contradict themselves.
CREATE FUNCTION discovery_problem(discovery jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM integ_define(jsonb_build_object('integrationId', 'discovery_bad', 'name', 'Bad', 'version', '1.0.0',
        'category', 'custom',
        'baseUrl', 'https://x.example', 'methods', '[
          {"id": "all", "name": "All", "inputSchema": {"type": "object", "properties": {"x": {}}}, "outputSchema": {},
              "request": {"method": "GET"}},
          {"id": "put", "name": "Put", "inputSchema": {}, "outputSchema": {}, "request": {"method": "PUT"}},
          {"id": "steps", "name": "Steps", "access": "read", "inputSchema": {}, "outputSchema": {},
              "steps": [{"id": "a", "request": {"method": "GET"}}]}]'::jsonb,
        'discovery', discovery));
    RETURN 'none';
EXCEPTION WHEN SQLSTATE 'IG400' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN detail;
END $$;
\pset format unaligned
SELECT discovery_problem('{}');
SELECT discovery_problem('{"method": "none"}');
SELECT discovery_problem('{"method": "put"}');
SELECT discovery_problem('{"method": "steps"}');
SELECT discovery_problem('{"method": "all", "input": {"y": 1}, "describe": {"method": "put"}}');
SELECT discovery_problem('{"method": "all", "describe": {"method": "all", "input": {"x": "{name}"}}}');
SELECT discovery_problem('{"method": "all", "entity": {"id": "{item.name}", "list": "{credentials.x}"}}');
SELECT discovery_problem('{"method": "all", "methods": [{"base": "no", "id": "x"}, {"base": "all", "id": "y",
    "record": "z", "input": {"w": 1}}]}');
SELECT discovery_problem('{"method": "all", "limit": 100000}');
SELECT discovery_problem('{"method": "all", "fields": {"in": "fields"}}');
\pset format aligned

DROP FUNCTION discovery_problem(jsonb);
DELETE FROM integ.members WHERE client_id = 'discovery_client';
DELETE FROM integ.instances WHERE definition IN ('discovery_crm', 'discovery_odd');
SELECT integ_undefine('discovery_crm'), integ_undefine('discovery_odd');
DELETE FROM integ.clients WHERE id = 'discovery_client';
DROP ROLE regress_discovery_user;
