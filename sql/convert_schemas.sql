-- Conversion schemas: what is refused, who may what, targets, lookups, relations, both directions, suggestions.
\set VERBOSITY default
\pset null '(null)'

CREATE FUNCTION pg_temp.refused(mappings jsonb, target_type text DEFAULT 'c_contact', target_table text DEFAULT NULL,
    relations jsonb DEFAULT '[]', filters jsonb DEFAULT '[]', deduplication jsonb DEFAULT '{"strategy": "external_id", "externalIdField": "Id"}',
    inverse jsonb DEFAULT '[]') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    problem text; detail text;
BEGIN
    BEGIN
        INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, target_table, field_mappings,
                                              relationship_mappings, source_filters, deduplication, inverse_mappings)
        VALUES ('refused', 'x', target_type, target_table, mappings, relations, filters, deduplication, inverse);
        PERFORM integ_convert_test('refused', '[]');
        RAISE EXCEPTION USING MESSAGE = 'accepted';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        RETURN concat_ws(': ', SQLSTATE, problem, CASE WHEN SQLSTATE LIKE 'IG%' THEN detail END);
    END;
END
$$;
CREATE FUNCTION pg_temp.mapping(type text, config jsonb, extra jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_array(jsonb_build_object('targetField', 'name', 'mappingType', type, 'config', config) || extra)
$$;
CREATE FUNCTION pg_temp.step(type text, config jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.mapping('transform', jsonb_build_object('sourceField', 'x', 'transformations',
        jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('type', type, 'config', config)))))
$$;

-- An error names the mapping and says what is known.
SELECT pg_temp.refused(pg_temp.step('trim'));
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings) VALUES ('bad', 'x', 'c_contact', pg_temp.step('upcase'));
SELECT pg_temp.refused(m) FROM unnest(ARRAY[
    '{}', '[1]', '[{}]', '[{"targetField": ""}]', '[{"targetField": "name"}]',
    pg_temp.mapping('indirect', '{}'), pg_temp.mapping('direct', '"x"'), pg_temp.mapping('direct', '{}'), pg_temp.mapping('direct', '{"sourceField": 5}'),
    pg_temp.mapping('direct', '{"sourceField": "a..b"}'), pg_temp.mapping('direct', '{"sourceField": ""}'), pg_temp.mapping('direct', '{"sourceField": "$.a["}'), pg_temp.mapping('direct', '{"sourceField": "$.a ? (@ > $1)"}'),
    pg_temp.mapping('direct', '{"sourceField": "a", "type": "flatten"}'), pg_temp.mapping('direct', '{"sourceField": "a", "path": "b"}'),
    pg_temp.mapping('direct', '{"sourceField": "a"}', '{"requird": true}'), pg_temp.mapping('direct', '{"sourceField": "a"}', '{"required": "yes"}'),
    pg_temp.mapping('direct', '{"sourceField": "a"}') || pg_temp.mapping('direct', '{"sourceField": "b"}'),
    pg_temp.mapping('direct', '{"sourceField": "a"}', '{"targetField": "nickname"}'), pg_temp.mapping('direct', '{"sourceField": "a"}', '{"targetField": "a[0]"}'),
    pg_temp.mapping('default', '{}'), pg_temp.mapping('default', '{"value": "{{task.x"}'), pg_temp.mapping('default', '{"value": ["{{task.a..b}}"]}'),
    pg_temp.mapping('composite', '{}'), pg_temp.mapping('composite', '{"template": "${a"}'), pg_temp.mapping('composite', '{"template": "x", "separator": " "}'), pg_temp.mapping('composite', '{"sourceFields": [1]}'),
    pg_temp.mapping('flatten', '{"sourceField": "a"}'), pg_temp.mapping('flatten', '{"sourceField": "a", "path": ""}'),
    pg_temp.mapping('lookup', '{"sourceField": "a"}'), pg_temp.mapping('lookup', '{"sourceField": "a", "values": {}, "table": "public.t"}'), pg_temp.mapping('lookup', '{"sourceField": "a", "table": "t", "keyField": "k", "valueField": "v"}'),
    pg_temp.mapping('lookup', '{"sourceField": "a", "table": "public.nowhere", "keyField": "k", "valueField": "v"}'), pg_temp.mapping('lookup', '{"sourceField": "a", "table": "pg_catalog.pg_class", "keyField": "k", "valueField": "v"}'),
    pg_temp.mapping('lookup', '{"sourceField": "a", "recordType": "c_nothing", "keyField": "k"}'),
    pg_temp.mapping('conditional', '{}'), pg_temp.mapping('conditional', '{"conditions": [{}]}'), pg_temp.mapping('conditional', '{"conditions": [{"condition": {"field": "a", "operator": "like", "value": 1}, "then": {}}]}'),
    pg_temp.mapping('conditional', '{"conditions": [{"condition": {"field": "a", "operator": "eq"}, "then": {"type": "value", "value": 1}}]}'),
    pg_temp.mapping('conditional', '{"conditions": [{"condition": {"field": "a", "operator": "in", "value": 1}, "then": {"type": "value", "value": 1}}]}'),
    pg_temp.mapping('conditional', '{"conditions": [{"condition": {"field": "a", "operator": "exists"}, "then": {"type": "values", "value": 1}}]}'),
    pg_temp.mapping('direct', '{"sourceField": "a"}', '{"validation": [{"type": "phone"}]}'), pg_temp.mapping('direct', '{"sourceField": "a"}', '{"validation": [{"type": "min"}]}'),
    pg_temp.mapping('direct', '{"sourceField": "a"}', '{"validation": [{"type": "pattern", "value": "("}]}'), pg_temp.mapping('direct', '{"sourceField": "a"}', '{"validation": [{"type": "length", "min": 3, "max": 2}]}'),
    pg_temp.step('regex_replace', '{"pattern": "[", "replace": ""}'), pg_temp.step('regex_replace', '{"pattern": "a", "replace": "\\1"}'),
    pg_temp.step('replace', '{"search": "", "replace": ""}'), pg_temp.step('truncate'), pg_temp.step('truncate', '{"maxLength": 1.5}'), pg_temp.step('truncate', '{"max": 1}'),
    pg_temp.step('divide', '{"divisor": 0}'), pg_temp.step('divide', '{"divisor": "x"}'), pg_temp.step('split', '{"separator": ""}'), pg_temp.step('concat', '{}'), pg_temp.step('currency_convert', '{"to": "EUR"}'),
    pg_temp.step('currency_convert', '{"from": "usd", "to": "EUR"}'), pg_temp.step('to_date', '{"timezone": "Mars/Olympus"}'), pg_temp.step('parse_date', '{}'), pg_temp.step('parse_date', '{"format": "YYYY#MM"}'),
    pg_temp.step('to_timestamp', '{"unit": "h"}'), pg_temp.step('uppercase', '{"locale": "de"}'),
    pg_temp.step('custom', '{"expression": "1; DROP TABLE x"}'), pg_temp.step('custom', '{"expression": "1, 2"}'), pg_temp.step('custom', '{"expression": "1)) UNION SELECT ((2"}'), pg_temp.step('custom', '{"expression": "value FROM pg_authid"}')
    ]::jsonb[]) m;
-- What SQL says when it is prepared.
SELECT pg_temp.refused(pg_temp.step('custom', '{"expression": "no_such_function(value)"}'));
SELECT pg_temp.refused('[]', filters => f) FROM unnest(ARRAY['{}', '[{"field": "a", "operator": "is", "value": 1}]']::jsonb[]) f;
SELECT pg_temp.refused('[]', deduplication => d) FROM unnest(ARRAY['[]', '{}', '{"strategy": "guess"}', '{"strategy": "external_id"}', '{"strategy": "field_match"}', '{"strategy": "composite", "matchFields": ["email"]}']::jsonb[]) d;
SELECT pg_temp.refused('[]', relations => r) FROM unnest(ARRAY['[{}]', '[{"relationshipType": "r", "sourceField": "a"}]', '[{"relationshipType": "r", "sourceField": "a", "lookupShardType": "c_company"}]',
    '[{"relationshipType": "r", "sourceField": "a", "lookupShardType": "c_nothing", "lookupByExternalId": true}]', '[{"relationshipType": "r", "targetField": "bossId", "sourceField": "a", "lookupShardType": "c_contact", "lookupByExternalId": true}]']::jsonb[]) r;
SELECT pg_temp.refused('[]', inverse => i) FROM unnest(ARRAY['{}', '[{"targetField": "X"}]']::jsonb[]) i;
SELECT pg_temp.refused('[]', target_type => t.type, target_table => t.name) FROM (VALUES (NULL, NULL), ('c_contact', 'public.t'), ('c_nothing', NULL), (NULL, 'contacts'), (NULL, 'public.nowhere'), (NULL, 'a.b.c'), (NULL, 'integ.instance_states')) t (type, name);

-- A table as target: columns, their types, what cannot be written.
CREATE TABLE public.convert_target (
    id bigint PRIMARY KEY, code varchar(3), amount numeric(6, 2), small smallint, day date, at timestamptz, flag boolean,
    ref uuid, notes text NOT NULL DEFAULT '', "Odd ""name" text, doubled int GENERATED ALWAYS AS (id * 2) STORED);
SELECT pg_temp.refused('[{"targetField": "nothing", "mappingType": "direct", "config": {"sourceField": "a"}}]', NULL, 'public.convert_target');
SELECT pg_temp.refused('[{"targetField": "doubled", "mappingType": "direct", "config": {"sourceField": "a"}}]', NULL, 'public.convert_target');
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_table, field_mappings, deduplication)
SELECT 'to-table', 'x', 'public.convert_target', jsonb_agg(jsonb_build_object('targetField', c, 'mappingType', 'direct', 'config', jsonb_build_object('sourceField', CASE WHEN c LIKE '% %' THEN to_json(c)::text ELSE c END))),
       '{"strategy": "field_match", "matchFields": ["id"]}'
FROM unnest(ARRAY['id', 'code', 'amount', 'small', 'day', 'at', 'flag', 'ref', 'notes', 'Odd "name']) c;
SELECT integ_convert('to-table', '{"id": 1, "code": "abc  ", "amount": 9999.994, "small": "12", "day": "2024-02-29", "at": "2024-02-29T10:00:00+02:00", "flag": "yes", "ref": "00000000-0000-7000-8000-000000000001", "notes": {"a": 1}, "Odd \"name": "q"}');
SELECT e ->> 'field' AS field, e ->> 'reason' AS reason FROM integ_convert_test('to-table', '[{"id": 9223372036854775808, "code": "abcd", "amount": 9999.995, "small": 1.5, "day": "2024-02-30", "at": 5, "flag": "maybe", "ref": "x", "notes": null}]'), jsonb_array_elements(errors) AS e;
-- The plan follows the table.
ALTER TABLE public.convert_target ALTER code TYPE varchar(4);
SELECT integ_convert('to-table', '{"id": 1, "code": "abcd"}');
ALTER TABLE public.convert_target DROP COLUMN small;
SELECT integ_convert('to-table', '{"id": 1, "code": "abcd"}');
SELECT * FROM integ_convert_inverse('to-table');
UPDATE integ.conversion_schemas SET field_mappings = field_mappings - 3 WHERE schema_id = 'to-table';
SELECT source_field, target_field, state FROM integ_convert_inverse('to-table');
SELECT integ_convert('to-table', '{"id": 1, "Odd \"name": 5}', '{}', 'push');
SELECT integ_convert('to-table', '{"id": 1}', '{}', 'sideways');

-- Clients, users, roles.
INSERT INTO integ.clients (id, name) VALUES ('convert-acme', 'Acme'), ('convert-other', 'Other');
CREATE ROLE convert_ann LOGIN; CREATE ROLE convert_boss LOGIN; CREATE ROLE convert_eve LOGIN;
GRANT integ_user TO convert_ann; GRANT integ_admin TO convert_boss, convert_eve;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('convert_ann', 'convert-acme', 'ann', 'user'), ('convert_boss', 'convert-acme', 'boss', 'admin'), ('convert_eve', 'convert-other', 'eve', 'admin');
SET ROLE convert_boss;
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings) VALUES
    ('shared', 'x', 'c_contact', '[{"targetField": "name", "mappingType": "default", "config": {"value": "client''s"}}]'),
    ('code', 'x', 'c_contact', '[{"targetField": "name", "mappingType": "transform", "config": {"sourceField": "n", "transformations": [{"type": "custom", "config": {"expression": "current_user::text"}}]}}]');
SELECT schema_id, context_type, context_id, client_id, owner FROM integ.conversion_schemas ORDER BY 1;
SELECT integ_convert('code', '{"id": 1}');
SET ROLE convert_ann;
SELECT integ_convert('shared', '{"id": 1}');
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings) VALUES
    ('shared', 'x', 'c_contact', '[{"targetField": "name", "mappingType": "default", "config": {"value": "her own"}}]');
SELECT integ_convert('shared', '{"id": 1}');
-- SQL of another runs nowhere but with its owner's rights.
SELECT integ_convert('code', '{"id": 1}');
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, owner) VALUES ('stolen', 'x', 'c_contact', 'postgres');
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, context_type, context_id) VALUES ('for-all', 'x', 'c_contact', 'client', 'convert-acme');
UPDATE integ.conversion_schemas SET is_active = false WHERE schema_id = 'code';
UPDATE integ.conversion_schemas SET owner = 'postgres' WHERE schema_id = 'shared';
SET ROLE convert_eve;
SELECT count(*) FROM integ.conversion_schemas;
SELECT integ_convert('shared', '{"id": 1}');
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, client_id) VALUES ('foreign', 'x', 'c_contact', 'convert-acme');
INSERT INTO integ.record_types (id, client_id, name) VALUES ('c_mine', '*', 'For all');
UPDATE integ.record_types SET name = 'Mine' WHERE id = 'c_contact';
INSERT INTO integ.record_types (id, name) VALUES ('c_contact', 'Mine');
INSERT INTO integ.record_types (id, name, schema) VALUES ('c_mine', 'Mine', '{"type": "objekt"}');
INSERT INTO integ.record_types (id, name) VALUES ('c_mine', 'Mine');
INSERT INTO integ.currency_rates (client_id, from_currency, to_currency, date, rate) VALUES ('*', 'USD', 'EUR', '2024-01-01', 1);
SET ROLE convert_ann;
SELECT id FROM integ.record_types WHERE NOT builtin;
RESET ROLE;
-- A superuser does not run it either; a deleted function is the owner's problem, said with the mapping's name.
SELECT integ_convert('code', '{"id": 1}');
-- Nothing in the expression may become another role, or write.
UPDATE integ.conversion_schemas SET field_mappings = '[{"targetField": "name", "mappingType": "transform", "config": {"sourceField": "n", "transformations": [{"type": "custom", "config": {"expression": "pg_catalog.set_config(''role'', ''none'', false)"}}]}}]' WHERE schema_id = 'code';
SET ROLE convert_boss;
SELECT status, errors FROM integ_convert_test('code', '{"id": 1}');
RESET ROLE;

-- Lookups in tables, by the types of keys, and in records.
CREATE TABLE public.convert_countries (code text PRIMARY KEY, number int UNIQUE, key uuid, name text);
INSERT INTO public.convert_countries VALUES ('NZ', 554, '00000000-0000-7000-8000-000000000554', 'New Zealand'), ('XX', 1, NULL, NULL), ('X1', 900, NULL, 'twice'), ('X2', 901, NULL, 'twice');
INSERT INTO integ.records (type, data) VALUES ('c_company', '{"name": "Acme", "phone": "1"}'), ('c_company', '{"name": "7", "phone": "2"}'), ('c_company', '{"name": "Twin"}'), ('c_company', '{"name": "Twin"}');
INSERT INTO integ.records (type, client_id, context_type, context_id, data) VALUES ('c_company', 'convert-other', 'client', 'convert-other', '{"name": "Hidden"}');
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings) VALUES ('lookups', 'x', 'c_contact', '[
  {"targetField": "country", "mappingType": "lookup", "config": {"sourceField": "c", "table": "public.convert_countries", "keyField": "code", "valueField": "name"}},
  {"targetField": "state", "mappingType": "lookup", "config": {"sourceField": "n", "table": "public.convert_countries", "keyField": "number", "valueField": "name", "default": "unknown"}},
  {"targetField": "city", "mappingType": "lookup", "config": {"sourceField": "k", "table": "public.convert_countries", "keyField": "key", "valueField": "code"}},
  {"targetField": "title", "mappingType": "lookup", "config": {"sourceField": "t", "table": "public.convert_countries", "keyField": "name", "valueField": "code"}},
  {"targetField": "phone", "mappingType": "lookup", "config": {"sourceField": "company", "recordType": "c_company", "keyField": "name", "valueField": "phone"}}]');
SELECT number, result, errors FROM integ_convert_test('lookups', '[
  {"id": 1, "c": "NZ", "n": 554, "k": "00000000-0000-7000-8000-000000000554", "t": "New Zealand", "company": "Acme"},
  {"id": 2, "c": "NZ", "n": "554", "company": 7}, {"id": 3, "c": "XX", "n": "1; DROP TABLE x", "k": null}, {"id": 4, "c": "ZZ", "k": "no uuid", "n": 1.5}, {"id": 5, "t": "twice", "company": "Twin"},
  {"id": 6, "c": ["NZ"], "company": "Hidden"}, {"id": 7, "n": 99999999999999999999}, {"id": 8, "n": " 554"}]');
SET ROLE convert_boss;
SELECT integ_convert('lookups', '{"id": 1, "c": "NZ"}');
RESET ROLE;
DROP TABLE public.convert_countries;
SELECT integ_convert('lookups', '{"id": 1, "c": "NZ"}');

-- Relations: found by external id or by field, remembered where the target is not here yet, and linked when it arrives.
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings, relationship_mappings) VALUES ('related', 'x', 'c_opportunity',
  '[{"targetField": "name", "mappingType": "direct", "config": {"sourceField": "n"}}]',
  '[{"relationshipType": "belongs_to", "targetField": "companyId", "sourceField": "account", "lookupRecordType": "c_company", "lookupByExternalId": true},
    {"relationshipType": "contact", "targetField": "contactId", "sourceField": "email", "lookupRecordType": "c_contact", "lookupField": "email", "required": true}]');
INSERT INTO integ.records (id, type, data) VALUES ('00000000-0000-7000-8000-00000000000a', 'c_contact', '{"email": "a@b.c"}'), ('00000000-0000-7000-8000-00000000000b', 'c_company', '{"name": "Linked"}'),
    ('00000000-0000-7000-8000-00000000000c', 'c_opportunity', '{"name": "Waiting"}');
SELECT number, result, errors FROM integ_convert_test('related', '[{"id": 1, "n": "a", "account": "001", "email": "a@b.c"}, {"id": 2, "account": null, "email": "a@b.c"}, {"id": 3, "account": "001", "email": "unknown@b.c"}, {"id": 4, "email": ""}]');
SELECT integ_convert_explain('related', '{"id": 1, "account": "001", "email": "a@b.c"}') -> 'relations';
INSERT INTO integ.record_relations (client_id, relation_type, from_record, to_type, to_external_id, field) VALUES ('*', 'belongs_to', '00000000-0000-7000-8000-00000000000c', 'c_company', '001', 'companyId');
INSERT INTO integ.record_relations (client_id, relation_type, from_record, to_type, to_field, to_value, field) VALUES ('*', 'contact', '00000000-0000-7000-8000-00000000000c', 'c_contact', 'email', 'a@b.c', 'contactId');
INSERT INTO integ.record_relations (client_id, relation_type, from_record, to_type, to_external_id) VALUES ('*', 'other', '00000000-0000-7000-8000-00000000000c', 'c_contact', '001');
SELECT integ.link_relations(ARRAY['00000000-0000-7000-8000-00000000000b']::uuid[]);
INSERT INTO integ.record_links (instance, schema, external_type, external_id, client_id, record) SELECT integ.uuid_generate(), id, 'Account', '001', '*', '00000000-0000-7000-8000-00000000000b' FROM integ.conversion_schemas WHERE schema_id = 'related';
SELECT integ.link_relations(ARRAY['00000000-0000-7000-8000-00000000000a', '00000000-0000-7000-8000-00000000000b']::uuid[]);
SELECT relation_type, to_record, linked_at IS NOT NULL AS linked FROM integ.record_relations ORDER BY 1;
SELECT data FROM integ.records WHERE id = '00000000-0000-7000-8000-00000000000c';
SELECT integ_convert('related', '{"id": 1, "n": "a", "account": "001", "email": "a@b.c"}');
INSERT INTO integ.record_links (instance, schema, external_type, external_id, client_id, record) SELECT integ.uuid_generate(), s.id, 'Account', '001', '*', r.id FROM integ.conversion_schemas s, integ.records r WHERE schema_id = 'related' AND r.data ->> 'name' = 'Acme';
SELECT errors FROM integ_convert_test('related', '{"id": 1, "account": "001", "email": "a@b.c"}');
-- A foreign key of a table: the key of the linked row.
INSERT INTO integ.record_links (instance, schema, external_type, external_id, client_id, target_table, target_key) SELECT integ.uuid_generate(), id, 'Account', '002', '*', 'public.convert_target', '{"id": 42}' FROM integ.conversion_schemas WHERE schema_id = 'related';
UPDATE integ.conversion_schemas SET relationship_mappings = '[{"relationshipType": "parent", "targetField": "value", "sourceField": "account", "lookupTable": "public.convert_target", "lookupByExternalId": true},
    {"relationshipType": "row", "targetField": "contactId", "sourceField": "code", "lookupTable": "public.convert_target", "lookupField": "code", "valueField": "notes"}]' WHERE schema_id = 'related';
INSERT INTO public.convert_target (id, code, notes) VALUES (42, 'abc', 'the key');
SELECT integ_convert_explain('related', '{"id": 1, "account": "002", "code": "abc"}') - 'fields', integ_convert_explain('related', '{"id": 1, "account": "003", "code": "x"}') -> 'relations';

-- Both directions.
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings, inverse_mappings) VALUES ('both', 'x', 'c_contact', '[
  {"targetField": "email", "mappingType": "direct", "config": {"sourceField": ".Contact.Email"}},
  {"targetField": "name", "mappingType": "composite", "config": {"sourceFields": ["First", "Last"]}},
  {"targetField": "phone", "mappingType": "transform", "config": {"sourceField": "Contact.Phone", "transformations": [{"type": "concat", "config": {"prefix": "tel:", "suffix": ";"}}, {"type": "concat", "config": {"prefix": "<"}}]}},
  {"targetField": "title", "mappingType": "transform", "config": {"sourceField": "Cents", "transformations": [{"type": "divide", "config": {"divisor": 100}}, {"type": "multiply", "config": {"factor": "4"}}]}},
  {"targetField": "city", "mappingType": "transform", "config": {"sourceField": "Born", "transformations": [{"type": "parse_date", "config": {"format": "DD.MM.YYYY"}}, {"type": "add_days", "config": {"days": 1}}]}},
  {"targetField": "street", "mappingType": "transform", "config": {"sourceField": "Street", "transformations": [{"type": "trim"}]}},
  {"targetField": "country", "mappingType": "lookup", "config": {"sourceField": "Country", "values": {"NZ": "New Zealand", "DE": "Germany"}}},
  {"targetField": "state", "mappingType": "lookup", "config": {"sourceField": "State", "values": {"a": 1, "b": 1.0}}},
  {"targetField": "contactType", "mappingType": "conditional", "config": {"conditions": [{"condition": {"field": "Type", "operator": "eq", "value": 1}, "then": {"type": "value", "value": "one"}}, {"condition": {"field": "Type", "operator": "gt", "value": 1}, "then": {"type": "value", "value": "more"}}]}},
  {"targetField": "postalCode", "mappingType": "flatten", "config": {"sourceField": "Address", "path": "$.zip"}},
  {"targetField": "firstName", "mappingType": "direct", "config": {"sourceField": "Contact"}},
  {"targetField": "lastName", "mappingType": "direct", "config": {"sourceField": "Names[0]"}},
  {"targetField": "source", "mappingType": "default", "config": {"value": "x"}}]',
  '[{"targetField": "First", "mappingType": "transform", "config": {"sourceField": "name", "transformations": [{"type": "split", "config": {"separator": " ", "index": 0}}]}}]');
SELECT source_field, target_field, state, note FROM integ_convert_inverse('both');
SELECT integ_convert('both', '{"email": "e", "name": "Ann Smith", "phone": "<tel:5;", "title": 6, "city": "1990-05-05", "country": "Germany"}', '{}', 'push');
SELECT result, errors FROM integ_convert_test('both', '[{"phone": "5"}, {"country": "Elsewhere"}, {"city": null}]', '{}', 'push');

-- Suggestions.
SELECT integ_define('{"integrationId": "convert_crm", "name": "CRM", "version": "1.0.0", "category": "custom", "baseUrl": "https://crm.example.com", "authType": "none",
  "methods": [{"id": "list", "name": "List", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {}, "request": {"method": "GET", "path": "/list"}}],
  "entities": [{"id": "Contact", "list": "list", "idField": "Id", "schema": {"type": "object", "properties": {"Id": {"type": "string"}, "FirstName": {"type": "string"}, "LastName": {"type": ["string", "null"]}, "Email": {"type": "string"},
     "Phone": {"type": "integer"}, "Address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}, "Tags__c": {"type": "string"}, "odd.key": {"type": "string"}}}},
   {"id": "Thing", "list": "list", "idField": "ID"}]}');
SELECT jsonb_pretty(integ_convert_suggest('convert_crm', 'Contact', 'c_contact'));
SELECT integ_convert_suggest('convert_crm', 'Thing', 'public.convert_target', '[{"ID": "5", "Day": "2024-01-01", "flag": null}, {"flag": true, "amount": "1.5", "at": 5, "ref": {"x": 1}, "Doubled": 4}]');
SELECT integ_convert_suggest('convert_crm', 'Thing', 'c_contact');
SELECT integ_convert_suggest('convert_crm', 'Nothing', 'c_contact');
SELECT integ_convert_suggest('convert_crm', 'Contact', 'c_nothing');
SELECT integ_convert_suggest('convert_nothing', 'Contact', 'c_contact');

-- A connection that goes takes its links, and leaves its schemas and what it brought.
SELECT integ_connect('convert_crm', 'convert_crm_main', '{}', '{}') IS NOT NULL AS connected;
UPDATE integ.conversion_schemas SET instance = (SELECT id FROM integ.instances WHERE instance_id = 'convert_crm_main') WHERE schema_id = 'shared' AND client_id = 'convert-acme';
INSERT INTO integ.record_links (instance, schema, external_type, external_id, client_id, record) SELECT i.id, integ.uuid_generate(), 'Contact', '1', '*', r.id FROM integ.instances i, integ.records r WHERE instance_id = 'convert_crm_main' AND r.data ->> 'name' = 'Acme';
DELETE FROM integ.instances WHERE instance_id = 'convert_crm_main';
SELECT count(*) FROM integ.record_links WHERE external_type = 'Contact';
SELECT instance, count(*) FROM integ.conversion_schemas WHERE schema_id = 'shared' GROUP BY 1;

DELETE FROM integ.conversion_schemas;
DELETE FROM integ.record_relations;
DELETE FROM integ.record_links;
DELETE FROM integ.records;
DELETE FROM integ.record_types WHERE NOT builtin;
SELECT integ_undefine('convert_crm');
DELETE FROM integ.members WHERE client_id LIKE 'convert-%';
DELETE FROM integ.clients WHERE id LIKE 'convert-%';
DROP TABLE public.convert_target;
DROP OWNED BY convert_ann, convert_boss, convert_eve;
DROP ROLE convert_ann, convert_boss, convert_eve;
