-- Conversion: the specification's three schemas, every transformation, conditions, awkward records.
\set VERBOSITY default
\pset null '(null)'

INSERT INTO integ.conversion_schemas (schema_id, name, source_entity, source_filters, target_type,
    field_mappings, deduplication) VALUES
('sf-contact-to-contact', 'Salesforce Contact to Contact', 'Contact',
 '[{"field": "IsDeleted", "operator": "eq", "value": false}]', 'c_contact',
 '[{"targetField": "email", "mappingType": "direct", "config": {"type": "direct", "sourceField": "Email"}, "required": true},
   {"targetField": "name", "mappingType": "composite",
    "config": {"type": "composite", "sourceFields": ["FirstName", "LastName"], "template": "${FirstName} ${LastName}"}},
   {"targetField": "phone", "mappingType": "transform",
    "config": {"type": "transform", "sourceField": "Phone",
               "transformations": [{"type": "replace", "config": {"search": " ", "replace": ""}}]}},
   {"targetField": "street", "mappingType": "flatten",
    "config": {"type": "flatten", "sourceField": "MailingAddress", "path": "street"}},
   {"targetField": "source", "mappingType": "default", "config": {"type": "default", "value": "salesforce"}}]',
 '{"strategy": "external_id", "externalIdField": "Id"}');

INSERT INTO integ.conversion_schemas (schema_id, name, source_entity, target_type, field_mappings,
    relationship_mappings, deduplication) VALUES
('sf-opportunity', 'Salesforce Opportunity', 'Opportunity', 'c_opportunity',
 '[{"targetField": "name", "mappingType": "direct", "config": {"type": "direct", "sourceField": "Name"}},
   {"targetField": "value", "mappingType": "direct", "config": {"type": "direct", "sourceField": "Amount"}},
   {"targetField": "stage", "mappingType": "conditional", "config": {"type": "conditional", "conditions": [
     {"condition": {"field": "StageName", "operator": "eq", "value": "Prospecting"}, "then": {"type": "value", "value": "lead"}},
     {"condition": {"field": "StageName", "operator": "eq", "value": "Qualification"}, "then": {"type": "value", "value": "qualified"}},
     {"condition": {"field": "StageName", "operator": "eq", "value": "Proposal"}, "then": {"type": "value", "value": "proposal"}},
     {"condition": {"field": "StageName", "operator": "in", "value": ["Negotiation", "Review"]}, "then": {"type": "value", "value": "negotiation"}},
     {"condition": {"field": "StageName", "operator": "eq", "value": "Closed Won"}, "then": {"type": "value", "value": "won"}},
     {"condition": {"field": "StageName", "operator": "eq", "value": "Closed Lost"}, "then": {"type": "value", "value": "lost"}}],
     "default": "lead"}},
   {"targetField": "expectedCloseDate", "mappingType": "transform",
    "config": {"type": "transform", "sourceField": "CloseDate", "transformations": [{"type": "to_date"}]}}]',
 '[{"relationshipType": "belongs_to", "targetField": "companyId", "sourceField": "AccountId",
    "lookupShardType": "c_company", "lookupByExternalId": true}]',
 '{"strategy": "external_id", "externalIdField": "Id"}');

INSERT INTO integ.conversion_schemas (schema_id, name, source_entity, target_type, update_if_exists,
    field_mappings, deduplication) VALUES
('google-news-to-news', 'Google News Articles', 'article', 'c_news', false,
 '[{"targetField": "name", "mappingType": "direct", "config": {"type": "direct", "sourceField": "title"}},
   {"targetField": "summary", "mappingType": "direct", "config": {"type": "direct", "sourceField": "description"}},
   {"targetField": "url", "mappingType": "direct", "config": {"type": "direct", "sourceField": "link"}},
   {"targetField": "source", "mappingType": "flatten", "config": {"type": "flatten", "sourceField": "source", "path": "name"}},
   {"targetField": "publishedAt", "mappingType": "transform",
    "config": {"type": "transform", "sourceField": "publishedAt", "transformations": [{"type": "to_date"}]}},
   {"targetField": "industry", "mappingType": "default", "config": {"type": "default", "value": "{{task.industry}}"}}]',
 '{"strategy": "external_id", "externalIdField": "link"}');

-- Salesforce contact, field by field.
SELECT integ_convert('sf-contact-to-contact', '{"Id": "003A", "IsDeleted": false, "Email": "Ann@Example.com", "FirstName": "Ann",
  "LastName": "Smith", "Phone": "+1 555 12 34", "MailingAddress": {"street": "1 Main St", "city": "Springfield"}}');
SELECT number, status, external_id, result, errors FROM integ_convert_test('sf-contact-to-contact', '[
  {"Id": "1", "IsDeleted": true, "Email": "deleted@example.com"},
  {"Id": "2", "Email": "no IsDeleted"},
  {"Id": "3", "IsDeleted": false, "Email": null, "LastName": "Null"},
  {"Id": "4", "IsDeleted": false, "Email": "", "LastName": "Empty"},
  {"Id": "5", "IsDeleted": false, "Email": "e", "FirstName": null, "LastName": "Only", "Phone": null, "MailingAddress": null},
  {"Id": "6", "IsDeleted": false, "Email": "e", "FirstName": "Only", "LastName": ""},
  {"Id": "7", "IsDeleted": false, "Email": "e", "FirstName": null, "LastName": null, "Phone": ""},
  {"Id": "8", "IsDeleted": false, "Email": "e", "MailingAddress": ["an", "array"]},
  {"Id": "9", "IsDeleted": false, "Email": "e", "MailingAddress": "a text"},
  {"Id": "10", "IsDeleted": false, "Email": "e", "MailingAddress": {}},
  {"Id": "11", "IsDeleted": false, "Email": "e", "FirstName": ["a"], "LastName": {"b": 1}, "Phone": {"c": [1]}},
  {"Id": "12", "IsDeleted": false, "Email": ["not a text"]},
  {"Id": null, "IsDeleted": false, "Email": "no id"},
  {"Id": 13, "IsDeleted": false, "Email": "a number as id", "Phone": 5551234},
  {"Id": "14", "IsDeleted": false, "Email": "\ud83d\ude00@example.com", "FirstName": "\u0645\u062d\u0645\u062f", "LastName": "\ud83d\udc68\u200d\ud83d\udc69"},
  {}, [], "text", 5, null, true]');
SELECT integ_convert('sf-contact-to-contact', '{"IsDeleted": false, "Id": "x"}');
SELECT integ_convert('sf-contact-to-contact', NULL);

-- Salesforce opportunity.
SELECT s.stage, integ_convert('sf-opportunity', jsonb_build_object('Id', '1', 'StageName', s.stage)) ->> 'stage'
FROM unnest(ARRAY['Prospecting', 'Qualification', 'Proposal', 'Negotiation', 'Review', 'Closed Won', 'Closed Lost', 'closed won', '', NULL]) s (stage);
SELECT integ_convert('sf-opportunity', '{"Id": "1", "Name": "Big", "Amount": 1234567890123456789012345678901234567890.123456789, "CloseDate": "2024-03-31"}');
SELECT integ_convert('sf-opportunity', '{"Id": "1", "Amount": 1e-30, "CloseDate": null}');
SELECT number, result, errors FROM integ_convert_test('sf-opportunity', '[
  {"Id": "1", "CloseDate": "31.03.2024"}, {"Id": "2", "CloseDate": "2023-02-29"}, {"Id": "3", "CloseDate": ""},
  {"Id": "4", "CloseDate": {"y": 2024}}, {"Id": "5", "Amount": "12"}, {"Id": "6", "CloseDate": "2024-03-31T23:30:00-02:00"}]');

-- Google News.
SELECT integ_convert('google-news-to-news', '{"title": "T", "description": "D", "link": "https://example.com/1",
  "source": {"name": "BBC", "url": "https://bbc.example"}, "publishedAt": "2024-03-01T10:00:00.5+01:00"}', '{"industry": "banking"}');
SELECT integ_convert('google-news-to-news', '{"title": "T", "link": "https://example.com/1",
  "source": {"name": "BBC"}, "publishedAt": "Fri, 01 Mar 2024 10:00:00 GMT"}', '{"query": "no industry"}');
SELECT number, status, errors FROM integ_convert_test('google-news-to-news', '[
  {"title": "no source", "link": "https://example.com/1", "publishedAt": "2024-03-01"},
  {"title": "a text as source", "link": "https://example.com/1", "source": "BBC", "publishedAt": "2024-03-01"},
  {"link": "https://example.com/1", "source": {"name": 7}, "publishedAt": "2024-03-01"},
  {"title": "no link", "source": {"name": "BBC"}, "publishedAt": "2024-03-01"}]', '{"industry": "banking"}');

-- Any transformation on any value.
CREATE FUNCTION pg_temp.steps(steps jsonb, record jsonb, task jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    fields record;
BEGIN
    DELETE FROM integ.conversion_schemas WHERE schema_id = 'steps';
    INSERT INTO integ.record_types (id, name) VALUES ('anything', 'Anything') ON CONFLICT DO NOTHING;
    INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings, deduplication)
    VALUES ('steps', 'x', 'anything', jsonb_build_array(jsonb_build_object('targetField', 'v', 'mappingType', 'transform',
            'config', jsonb_build_object('sourceField', 'v', 'transformations', steps))), '{"strategy": "external_id", "externalIdField": "id"}');
    SELECT * INTO fields FROM integ_convert_test('steps', record || '{"id": 1}', task);
    RETURN coalesce(fields.errors -> 0 ->> 'reason', CASE WHEN fields.result ? 'v' THEN (fields.result -> 'v')::text ELSE 'missing' END);
END
$$;
CREATE FUNCTION pg_temp.step(type text, value jsonb, config jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.steps(jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('type', type, 'config', config))),
        CASE WHEN value IS NULL THEN '{}' ELSE jsonb_build_object('v', value) END)
$$;

-- What is missing stays missing, null stays null, whatever is done to it.
SELECT t AS type, pg_temp.step(t, NULL, c) AS missing, pg_temp.step(t, 'null', c) AS "null", pg_temp.step(t, '""', c) AS empty,
       pg_temp.step(t, '[1]', c) AS list
FROM (VALUES ('uppercase', NULL::jsonb), ('lowercase', NULL), ('trim', NULL), ('truncate', '{"maxLength": 1}'),
    ('replace', '{"search": "a", "replace": "b"}'), ('regex_replace', '{"pattern": "a", "replace": "b"}'),
    ('split', '{"separator": ",", "index": 0}'), ('concat', '{"prefix": "<", "suffix": ">"}'), ('round', NULL),
    ('multiply', '{"factor": 2}'), ('divide', '{"divisor": 2}'), ('currency_convert', '{"from": "USD", "to": "EUR"}'),
    ('parse_date', '{"format": "YYYY-MM-DD"}'), ('format_date', '{"format": "YYYY-MM-DD"}'), ('add_days', '{"days": 1}'),
    ('to_timestamp', NULL), ('to_iso_string', NULL), ('to_string', NULL), ('to_number', NULL), ('to_boolean', NULL),
    ('to_array', NULL), ('to_date', NULL), ('custom', '{"expression": "value"}')) v (t, c);

SELECT pg_temp.step('uppercase', '"straße ÿ ǆ ﬁ é я"'), pg_temp.step('lowercase', '"ÀÉ ΣΊΣΥΦΟΣ İ ÇA"'), pg_temp.step('uppercase', '12.50'), pg_temp.step('uppercase', 'true');
SELECT pg_temp.step('trim', '" \t\n\u00a0\u3000x y\ufeff\u2003 "'), pg_temp.step('trim', '"\u200b"'), pg_temp.step('trim', '" "');
SELECT pg_temp.step('truncate', '"añ😀漢z"', '{"maxLength": 3}'), pg_temp.step('truncate', '"ab"', '{"maxLength": 0}'), pg_temp.step('truncate', '12345', '{"maxLength": 2}');
SELECT pg_temp.step('replace', '"a.b.c..d"', '{"search": ".", "replace": "--"}'), pg_temp.step('replace', '"aaa"', '{"search": "aa", "replace": "b"}'), pg_temp.step('replace', '"xyz"', '{"search": "y", "replace": ""}');
SELECT pg_temp.step('regex_replace', '"2024-03-31 and 2025-01-02"', '{"pattern": "(\\d+)-(\\d+)-(\\d+)", "replace": "\\3.\\2.\\1"}'),
       pg_temp.step('regex_replace', '"Ärger ärger"', '{"pattern": "(?i)ä(\\w)", "replace": "[\\&|\\1|\\\\]"}'),
       pg_temp.step('regex_replace', '"abc"', '{"pattern": "x*", "replace": "-"}'), pg_temp.step('regex_replace', '"😀b😀"', '{"pattern": ".(?=b)", "replace": "<\\&>"}'),
       pg_temp.step('regex_replace', '"ab"', '{"pattern": "(x)?b", "replace": "[\\1]"}');
SELECT pg_temp.step('split', '"a;b;;d"', '{"separator": ";", "index": 1}'), pg_temp.step('split', '"a;b;;d"', '{"separator": ";", "index": 2}'),
       pg_temp.step('split', '"a;b;;d"', '{"separator": ";", "index": -1}'), pg_temp.step('split', '"a;b;;d"', '{"separator": ";", "index": 4}'),
       pg_temp.step('split', '"a;b;;d"', '{"separator": ";", "index": -4}'), pg_temp.step('split', '"a;b;;d"', '{"separator": ";", "index": -5}'),
       pg_temp.step('split', '"a;b;;d"', '{"separator": ";"}'), pg_temp.step('split', '"ab"', '{"separator": ";", "index": 0}');
SELECT pg_temp.step('concat', '"x"', '{"prefix": "<"}'), pg_temp.step('concat', '1.10', '{"suffix": " €"}');
SELECT pg_temp.step('round', '2.5'), pg_temp.step('round', '-2.5'), pg_temp.step('round', '1.005', '{"decimals": 2}'), pg_temp.step('round', '1234', '{"decimals": -2}'), pg_temp.step('round', '" 1.55 "', '{"decimals": 1}'), pg_temp.step('round', '"1,5"'), pg_temp.step('round', 'true');
SELECT pg_temp.step('multiply', '1234567890123456789012345678901234567890', '{"factor": 1.1}'), pg_temp.step('multiply', '0.1', '{"factor": "3"}'),
       pg_temp.step('multiply', '"1e3"', '{"factor": 2}'), pg_temp.step('multiply', '"1e9999"', '{"factor": 2}'), pg_temp.step('multiply', '"NaN"', '{"factor": 2}'), pg_temp.step('multiply', '"Infinity"', '{"factor": 2}');
SELECT pg_temp.step('divide', '10', '{"divisor": 4}'), pg_temp.step('divide', '1', '{"divisor": 3}'), pg_temp.step('divide', '"x"', '{"divisor": 3}');

-- Dates.
SET DateStyle = 'ISO, DMY';
SET TimeZone = 'Asia/Tokyo';
SELECT v, pg_temp.step('to_date', to_jsonb(v)) FROM unnest(ARRAY['2024-02-29', '2023-02-29', '2024-03-01T10:20:30Z', '2024-03-01 10:20', '2024-03-01T10:20:30.123456789+05:30',
  '2024-03-01T24:00:00Z', '2016-12-31T23:59:60Z', 'Fri, 01 Mar 2024 10:00:00 GMT', 'Fri, 01 Mar 2024 10:00:00 +0200', 'March 5, 2024', '5 Mar 2024 10:00 PM', '20240301', '20240301T101500Z',
  '01/02/2024', 'Jan 5', 'today', 'now', 'infinity', 'epoch', '10:00', '1709287200', '1709287200000', '-1', '0001-01-01', '9999-12-31', '10000-01-01', '2024-03-01T10:20:30 Europe/Paris', 'gibberish', ' 2024-03-01 ']) v;
SELECT pg_temp.step('to_date', '1709287200'), pg_temp.step('to_date', '1709287200123'), pg_temp.step('to_date', '1709287200.5'), pg_temp.step('to_date', '1e30'), pg_temp.step('to_date', 'true'), pg_temp.step('to_date', '0');
SELECT pg_temp.step('to_date', '"2024-03-01T10:20"', '{"timezone": "America/New_York"}'), pg_temp.step('to_date', '"2024-07-01T10:20"', '{"timezone": "America/New_York"}'), pg_temp.step('to_date', '"2024-07-01T10:20Z"', '{"timezone": "America/New_York"}');
SELECT pg_temp.step('parse_date', '"31.03.2024"', '{"format": "DD.MM.YYYY"}'), pg_temp.step('parse_date', '"03/31/2024 11:05 PM"', '{"format": "MM/DD/YYYY HH12:MI AM"}'),
       pg_temp.step('parse_date', '"31.03.2024 x"', '{"format": "DD.MM.YYYY"}'), pg_temp.step('parse_date', '"31.13.2024"', '{"format": "DD.MM.YYYY"}'), pg_temp.step('parse_date', '"31.02.2024"', '{"format": "DD.MM.YYYY"}'),
       pg_temp.step('parse_date', '"2024-07-01 10:00"', '{"format": "YYYY-MM-DD HH24:MI", "timezone": "Europe/Paris"}'), pg_temp.step('parse_date', '20240331', '{"format": "YYYYMMDD"}'), pg_temp.step('parse_date', '"10:00"', '{"format": "HH24:MI"}');
SELECT pg_temp.step('format_date', '"2024-03-31"', '{"format": "DD.MM.YYYY"}'), pg_temp.step('format_date', '"2024-03-31T22:30:00Z"', '{"format": "YYYY-MM-DD HH24:MI TZ", "timezone": "Europe/Paris"}'), pg_temp.step('format_date', '"2024-03-31"', '{"format": "Dy, DD Mon YYYY", "timezone": "America/New_York"}');
SELECT pg_temp.step('add_days', '"2024-02-28"', '{"days": 2}'), pg_temp.step('add_days', '"2024-03-01T10:00:00Z"', '{"days": -1}'), pg_temp.step('add_days', '"9999-12-31"', '{"days": 1}');
SELECT pg_temp.step('to_timestamp', '"2024-03-01T10:00:00Z"'), pg_temp.step('to_timestamp', '"2024-03-01T10:00:00.25Z"'), pg_temp.step('to_timestamp', '"1969-12-31"'), pg_temp.step('to_timestamp', '"2024-03-01T10:00:00.25Z"', '{"unit": "ms"}');
SELECT pg_temp.step('to_iso_string', '"2024-03-01"'), pg_temp.step('to_iso_string', '1709287200');
SELECT pg_temp.steps('[{"type": "parse_date", "config": {"format": "DD.MM.YYYY"}}, {"type": "add_days", "config": {"days": 1}}, {"type": "format_date", "config": {"format": "YYYY\"W\"IW"}}, {"type": "concat", "config": {"prefix": "week "}}, {"type": "to_array"}]', '{"v": "29.12.2024"}');
RESET DateStyle;
RESET TimeZone;

-- Types.
SELECT pg_temp.step('to_string', '{"a": [1, null]}'), pg_temp.step('to_string', '1.50'), pg_temp.step('to_string', 'false');
SELECT v, pg_temp.step('to_number', v) FROM unnest(ARRAY['"12"', '" -1.5e3 "', '"+7"', '".5"', '"5."', '"0x10"', '"1 2"', '"."', '"-"', '"1e"', 'true', '{}', '"١"']::jsonb[]) v;
SELECT v, pg_temp.step('to_boolean', v) FROM unnest(ARRAY['"Yes"', '" no "', '"T"', '"1"', '"off"', '0', '2.5', 'true', '"maybe"', '[]']::jsonb[]) v;
SELECT pg_temp.step('to_array', '"a"'), pg_temp.step('to_array', '[1, [2]]'), pg_temp.step('to_array', '{"a": 1}');

-- Rates: the newest on or before the day, the client's own first, directly before turned around.
INSERT INTO integ.currency_rates (from_currency, to_currency, date, rate) VALUES
    ('USD', 'EUR', '2000-01-01', 0.5), ('USD', 'EUR', '2024-01-01', 0.9), ('EUR', 'CHF', '2024-01-01', 0.8);
SELECT pg_temp.step('currency_convert', '10', '{"from": "USD", "to": "EUR"}'), pg_temp.step('currency_convert', '10', '{"from": "CHF", "to": "EUR"}'), pg_temp.step('currency_convert', '"10.50"', '{"from": "EUR", "to": "EUR"}'), pg_temp.step('currency_convert', '10', '{"from": "USD", "to": "JPY"}') LIKE 'integ.currency_rates has no rate from USD to JPY on or before %' AS none;
SELECT pg_temp.steps('[{"type": "currency_convert", "config": {"fromField": "cur", "to": "EUR", "dateField": "day"}}]', r)
FROM unnest(ARRAY['{"v": 10, "cur": "USD", "day": "2023-12-31"}', '{"v": 10, "cur": "USD", "day": "2024-06-01T10:00:00Z"}', '{"v": 10, "cur": "USD", "day": "1999-12-31"}', '{"v": 10, "cur": 5, "day": "2024-06-01"}', '{"v": 10, "cur": "USD"}']::jsonb[]) r;
DELETE FROM integ.currency_rates;

-- Custom expressions see value, record and task; what they raise is an error of the field.
SELECT pg_temp.steps('[{"type": "custom", "config": {"expression": "(value #>> ''{}'') || (record ->> ''w'') || (task ->> ''t'')"}}]', '{"v": "a", "w": "b"}', '{"t": "c"}'),
       pg_temp.steps('[{"type": "custom", "config": {"expression": "coalesce(value, ''\"none\"'')"}}]', '{}'),
       pg_temp.steps('[{"type": "custom", "config": {"expression": "(value #>> ''{}'')::int / 0 -- comment"}}]', '{"v": 1}'),
       pg_temp.steps('[{"type": "custom", "config": {"expression": "NULL::text"}}]', '{"v": 1}'),
       pg_temp.steps('[{"type": "custom", "config": {"expression": "generate_series(1, 3)"}}]', '{"v": 1}');

-- Conditions.
CREATE FUNCTION pg_temp.holds(field jsonb, operator text, value jsonb, task jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM integ.conversion_schemas WHERE schema_id = 'holds';
    INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings, deduplication)
    VALUES ('holds', 'x', 'anything', jsonb_build_array(jsonb_build_object('targetField', 'v', 'mappingType', 'conditional', 'config',
        jsonb_build_object('conditions', jsonb_build_array(jsonb_build_object('condition', jsonb_build_object('field', 'f', 'operator', operator, 'value', value),
            'then', '{"type": "value", "value": true}'::jsonb)), 'default', false))), '{"strategy": "external_id", "externalIdField": "id"}');
    RETURN integ_convert('holds', jsonb_build_object('id', 1) || CASE WHEN field IS NULL THEN '{}' ELSE jsonb_build_object('f', field) END, task) ->> 'v';
END
$$;
SELECT f, v, pg_temp.holds(f, 'eq', v) AS eq, pg_temp.holds(f, 'neq', v) AS neq, pg_temp.holds(f, 'gt', v) AS gt, pg_temp.holds(f, 'gte', v) AS gte,
       pg_temp.holds(f, 'lt', v) AS lt, pg_temp.holds(f, 'lte', v) AS lte
FROM (VALUES ('10'::jsonb, '9'::jsonb), ('10', '10.0'), ('"10"', '9'), ('10', '"9"'), ('"10"', '"9"'), ('"007"', '7'), ('"007"', '"7"'),
    ('12345678901234567890123456789012345678901', '12345678901234567890123456789012345678900'),
    ('"2024-03-01"', '"2024-02-29"'), ('"2024-03-01T10:00:00Z"', '"2024-03-01T12:00:00+02:00"'), ('"2024-03-01"', '"2024-03-01T00:00:00Z"'),
    ('"b"', '"a"'), ('"B"', '"a"'), ('"é"', '"z"'), ('true', 'true'), ('true', '"true"'), ('null', 'null'), (NULL, 'null'), (NULL, '1'), ('null', '""'),
    ('[1, 2]', '[1, 2]'), ('{"a": 1}', '{"a": 1.0}'), ('[1]', '1')) t (f, v);
SELECT f, v, pg_temp.holds(f, 'contains', v) AS contains, pg_temp.holds(f, 'starts_with', v) AS starts, pg_temp.holds(f, 'ends_with', v) AS ends
FROM (VALUES ('"hello"'::jsonb, '"hel"'::jsonb), ('"hello"', '"lo"'), ('"hello"', '"ell"'), ('"hello"', '""'), ('"h"', '"hello"'), ('["a", "b"]', '"a"'), ('[1, 2]', '2.0'), ('12345', '"34"'), ('null', '""'), ('{"a": 1}', '"a"')) t (f, v);
SELECT f, v, pg_temp.holds(f, 'in', v) AS "in", pg_temp.holds(f, 'not_in', v) AS not_in
FROM (VALUES ('"a"'::jsonb, '["a", "b"]'::jsonb), ('1', '["1", 2]'), ('"x"', '["a"]'), ('null', '["a"]'), (NULL, '[null]'), ('"a"', '[]')) t (f, v);
SELECT f, pg_temp.holds(f, 'exists', NULL) AS "exists", pg_temp.holds(f, 'not_exists', NULL) AS not_exists FROM unnest(ARRAY['"a"', 'null', '""', 'false', NULL]::jsonb[]) f;
SELECT pg_temp.holds('"banking"', 'eq', '"{{task.industry}}"', '{"industry": "banking"}'), pg_temp.holds('5', 'gte', '"{{task.min}}"', '{"min": 5}'),
       pg_temp.holds('"b"', 'in', '"{{task.list}}"', '{"list": ["a", "b"]}'), pg_temp.holds('"a-b"', 'eq', '"{{task.x}}-{{task.y}}"', '{"x": "a", "y": "b"}'), pg_temp.holds('"b"', 'in', '["a", "{{task.x}}"]', '{"x": "b"}');

-- Mapping types: fields and transformations as the outcome, templates, lookups in a list, jsonpath, nested targets, validation.
INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_type, field_mappings, deduplication) VALUES ('mixed', 'x', 'anything', '[
  {"targetField": "then.field", "mappingType": "conditional", "config": {"conditions": [
     {"condition": {"field": "kind", "operator": "eq", "value": "a"}, "then": {"type": "field", "sourceField": "x.y[-1]"}},
     {"condition": {"field": "kind", "operator": "eq", "value": "b"}, "then": {"type": "transform", "sourceField": "name", "transformations": [{"type": "uppercase"}]}}]}},
  {"targetField": "then.template", "mappingType": "composite", "config": {"sourceFields": [], "template": "${name} (${x.n}) in {{task.region}} $${literal} {{other}}"}},
  {"targetField": "joined", "mappingType": "composite", "config": {"sourceFields": ["name", "middle", "x.n"], "separator": ", "}},
  {"targetField": "looked", "mappingType": "lookup", "config": {"sourceField": "kind", "values": {"a": {"deep": [1]}, "b": null, "7": "seven"}, "default": "{{task.region}}"}},
  {"targetField": "path", "mappingType": "flatten", "config": {"sourceField": "x", "path": "$.y[*] ? (@ > 1)"}},
  {"targetField": "odd", "mappingType": "direct", "config": {"sourceField": "\"odd key\".z"}},
  {"targetField": "constant", "mappingType": "default", "config": {"value": {"list": [1, "{{task.region}}", {"k": "{{task.none}}"}, "{{task.none}}"], "n": null, "last": [[]]}}},
  {"targetField": "checked", "mappingType": "direct", "config": {"sourceField": "checked"}, "validation": [
     {"type": "type", "value": "string"}, {"type": "length", "min": 2, "max": 10}, {"type": "pattern", "value": "^[^@]+@"}, {"type": "email", "message": "give an address"}]}]',
  '{"strategy": "external_id", "externalIdField": "id"}');
SELECT integ_convert('mixed', '{"id": 1, "kind": "a", "name": "Ann", "x": {"y": [1, 2, 3], "n": 5}, "odd key": {"z": [{}]}, "checked": "a@b.c"}', '{"region": "EU"}');
SELECT integ_convert('mixed', '{"id": 1, "kind": "b", "name": "Ann", "x": {"y": 2}}', '{"region": null}');
SELECT integ_convert('mixed', '{"id": 1, "kind": 7}');
SELECT number, errors FROM integ_convert_test('mixed', '[{"id": 1, "checked": 5}, {"id": 1, "checked": "a"}, {"id": 1, "checked": "longer@than.ten"}, {"id": 1, "checked": "none"}, {"id": 1, "checked": "a@ b"}, {"id": 1, "name": {}}]');
UPDATE integ.conversion_schemas SET field_mappings = '[
  {"targetField": "n", "mappingType": "direct", "config": {"sourceField": "n"}, "validation": [{"type": "min", "value": 1}, {"type": "max", "value": 10}]},
  {"targetField": "d", "mappingType": "direct", "config": {"sourceField": "d"}, "validation": [{"type": "type", "value": "date"}, {"type": "min", "value": "2024-01-01"}]},
  {"targetField": "e", "mappingType": "direct", "config": {"sourceField": "e"}, "validation": [{"type": "enum", "value": ["a", 1, null]}]},
  {"targetField": "u", "mappingType": "direct", "config": {"sourceField": "u"}, "validation": [{"type": "url"}]},
  {"targetField": "i", "mappingType": "direct", "config": {"sourceField": "i"}, "validation": [{"type": "type", "value": "integer"}]},
  {"targetField": "l", "mappingType": "direct", "config": {"sourceField": "l"}, "validation": [{"type": "length", "max": 1}]}]' WHERE schema_id = 'mixed';
SELECT number, status, errors FROM integ_convert_test('mixed', '[{"id": 1, "n": 1, "d": "2024-01-01", "e": "a", "u": "https://example.com/ü?x#y", "i": 1.0, "l": [1]},
  {"id": 1, "n": null, "d": null, "e": null, "u": null, "i": null}, {"id": 1, "n": 0, "d": "2023-12-31", "e": "b", "u": "ftp://example.com", "i": 1.5, "l": [1, 2]}, {"id": 1, "n": 11, "d": "x", "u": "https://", "l": 5}, {"id": 1, "n": "text"}]');

-- A jsonpath that raises is an error of its field, also in a filter.
UPDATE integ.conversion_schemas SET field_mappings = '[{"targetField": "a", "mappingType": "direct", "config": {"sourceField": "$.d[*] ? (@.datetime() < \"2024-03-01 10:00:00 +00\".datetime())"}}]' WHERE schema_id = 'mixed';
SELECT status, result, errors FROM integ_convert_test('mixed', '[{"id": 1, "d": ["2024-01-01"]}, {"id": 2, "d": "2024-01-01T10:00:00Z"}, {"id": 3}]');
UPDATE integ.conversion_schemas SET source_filters = '[{"field": "$.d[*] ? (@.datetime() < \"2024-03-01 10:00:00 +00\".datetime())", "operator": "exists"}]', field_mappings = '[{"targetField": "l", "mappingType": "direct", "config": {"sourceField": "l"}}]' WHERE schema_id = 'mixed';
SELECT status, result, errors FROM integ_convert_test('mixed', '[{"id": 1, "d": ["2024-01-01"]}, {"id": 2, "d": "2024-01-01T10:00:00Z"}, {"id": 3}]');
UPDATE integ.conversion_schemas SET source_filters = '[]' WHERE schema_id = 'mixed';

-- Large and deep values pass; the record is read in place.
SELECT length(integ_convert('sf-contact-to-contact', jsonb_build_object('Id', 1, 'IsDeleted', false, 'Email', 'e', 'Phone', repeat('1 2', 3500000))) ->> 'phone');
SELECT integ_convert('mixed', jsonb_build_object('id', 1, 'l', (repeat('[', 1000) || repeat(']', 1000))::jsonb)) -> 'l' = (repeat('[', 1000) || repeat(']', 1000))::jsonb AS same;
SELECT left(pg_temp.step('replace', to_jsonb(repeat('a', 10000)), jsonb_build_object('search', 'a', 'replace', repeat('b', 10000))), 60);

-- What jsonb cannot hold does not come here: answers of services have U+FFFD in its place.
SELECT integ_convert('mixed', '{"id": 1, "l": "\u0000"}');

-- A schema that changes is converted anew, also within a transaction.
BEGIN;
SELECT integ_convert('sf-contact-to-contact', '{"Id": "1", "IsDeleted": false, "Email": "e"}');
UPDATE integ.conversion_schemas SET field_mappings = jsonb_set(field_mappings, '{4,config,value}', '"changed"') WHERE schema_id = 'sf-contact-to-contact';
SELECT integ_convert('sf-contact-to-contact', '{"Id": "1", "IsDeleted": false, "Email": "e"}');
SELECT version FROM integ.conversion_schemas WHERE schema_id = 'sf-contact-to-contact';
ROLLBACK;
SELECT integ_convert('sf-contact-to-contact', '{"Id": "1", "IsDeleted": false, "Email": "e"}');

-- A pattern that never ends is cancelled.
\set VERBOSITY terse
SET statement_timeout = '300ms';
SELECT pg_temp.step('regex_replace', to_jsonb(repeat('a', 1001)), '{"pattern": "^(a+)(a+)(a+)(a+)(a+)\\1\\2\\3\\4\\5$", "replace": ""}');
RESET statement_timeout;
\set VERBOSITY default

-- Explained.
SELECT jsonb_pretty(integ_convert_explain('sf-contact-to-contact', '{"Id": "1", "IsDeleted": false, "FirstName": "Ann", "Phone": "1 2"}'));
SELECT integ_convert_explain('sf-contact-to-contact', '{"IsDeleted": true}');

DELETE FROM integ.conversion_schemas;
DELETE FROM integ.record_types WHERE NOT builtin;
