-- JSON Schema, as an author of a connector tries a schema.
\pset null '(null)'

-- A document that matches has no problems; one that does not says where and what.
CREATE TEMP TABLE order_schema AS SELECT '{
  "type": "object",
  "required": ["sku", "items"],
  "properties": {
    "sku": {"type": "string", "minLength": 2, "maxLength": 8, "pattern": "^[A-Z]+\\d*$"},
    "kind": {"enum": ["new", "used"]},
    "vendor": {"$ref": "#/$defs/vendor"},
    "items": {"type": "array", "minItems": 1, "uniqueItems": true,
              "items": {"type": "object", "required": ["quantity"],
                        "properties": {"quantity": {"type": "integer", "minimum": 1, "maximum": 100}}}},
    "price": {"type": "number", "multipleOf": 0.01, "exclusiveMinimum": 0},
    "due": {"type": "string", "format": "date", "x-label": "Due"}
  },
  "additionalProperties": false,
  "$defs": {"vendor": {"type": ["string", "null"], "format": "email"}}
}'::jsonb AS schema;
SELECT * FROM order_schema, integ.json_schema_problems(schema, '{"sku": "AB1", "items": [{"quantity": 1.0}], "price": 10.01, "due": "2024-02-29", "vendor": null}') AS p;
SELECT p.* FROM order_schema, integ.json_schema_problems(schema,
    '{"sku": "x", "kind": "old", "vendor": "nobody", "items": [{"quantity": 101}, {"quantity": 1.5}, {}, {}, 7], "price": 0.001, "due": "2023-02-29", "a/b~c": 1}') AS p;
SELECT p.* FROM order_schema, integ.json_schema_problems(schema, '[]') AS p;
SELECT p.* FROM order_schema, integ.json_schema_problems(schema, '{}') AS p;
-- Never more than 20.
SELECT count(*) FROM integ.json_schema_problems('{"items": {"type": "string"}}', (SELECT jsonb_agg(i) FROM generate_series(1, 100) AS i));
-- Messages hold what the schema says, never what the document holds.
SELECT * FROM integ.json_schema_problems('{"const": "expected", "type": "string", "maxLength": 1, "pattern": "^b"}', '"the secret"');

-- Numbers are compared exactly.
SELECT v, (SELECT count(*) FROM integ.json_schema_problems('{"maximum": 9007199254740993, "multipleOf": 0.1}', v)) AS problems
FROM (VALUES ('9007199254740993'::jsonb), ('9007199254740994'), ('0.3'), ('1e-1'), ('0.30000000000000000000001')) AS t (v);
SELECT count(*) FROM integ.json_schema_problems('{"uniqueItems": true}', '[1, 1.0]');
SELECT count(*) FROM integ.json_schema_problems('{"uniqueItems": true}', (SELECT jsonb_agg(jsonb_build_object('id', i)) FROM generate_series(1, 5000) AS i));
SELECT count(*) FROM integ.json_schema_problems('{"uniqueItems": true}', (SELECT jsonb_agg(jsonb_build_object('id', i % 4999)) FROM generate_series(1, 5000) AS i));

-- Alternatives: where the type leaves only one, its own problems are said.
SELECT * FROM integ.json_schema_problems('{"anyOf": [{"type": "string"}, {"type": "object", "required": ["id"]}]}', '{}');
SELECT * FROM integ.json_schema_problems('{"anyOf": [{"type": "string"}, {"type": "object", "required": ["id"]}]}', '1');
SELECT * FROM integ.json_schema_problems('{"oneOf": [{"minimum": 1}, {"maximum": 3}]}', '2');
SELECT * FROM integ.json_schema_problems('{"not": {"type": "null"}}', 'null');
SELECT * FROM integ.json_schema_problems('{"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}, "else": {"required": ["c"]}}', '{"a": 1}');
SELECT * FROM integ.json_schema_problems('{"dependentRequired": {"a": ["b"]}, "propertyNames": {"maxLength": 1}, "minProperties": 3}', '{"a": 1, "long": 2}');
SELECT * FROM integ.json_schema_problems('{"allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false}', '{"a": 1, "b": 2}');
SELECT * FROM integ.json_schema_problems('{"prefixItems": [{"type": "string"}], "items": false, "contains": {"type": "number"}}', '["a", "b"]');

-- OpenAPI 3.0: nullable, and bounds sharpened by a boolean.
SELECT count(*) FROM integ.json_schema_problems('{"type": "string", "nullable": true, "enum": ["a"]}', 'null');
SELECT * FROM integ.json_schema_problems('{"minimum": 5, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false}', '5');

-- Draft 7 where it differs: a $ref stands alone, items may be a tuple.
SELECT count(*) FROM integ.json_schema_problems('{"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": true}, "properties": {"x": {"$ref": "#/definitions/a", "type": "string"}}}', '{"x": 1}');
SELECT count(*) FROM integ.json_schema_problems('{"definitions": {"a": true}, "properties": {"x": {"$ref": "#/definitions/a", "type": "string"}}}', '{"x": 1}');
SELECT * FROM integ.json_schema_problems('{"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}], "additionalItems": {"type": "boolean"}}', '["a", 1]');

-- Patterns are ECMA-262: \d is ASCII, "." no newline, long repetitions, named groups.
SELECT pattern, left(value, 8) AS value, (SELECT count(*) = 0 FROM integ.json_schema_problems(jsonb_build_object('pattern', pattern), to_jsonb(value))) AS matches
FROM (VALUES ('^\d+$', '٣'), ('^\w$', 'é'), ('^\p{L}+$', 'é'), ('^.$', E'\n'), ('^[^]$', E'\n'), ('[]', 'a'), ('^.{0,300}$', repeat('x', 300)),
             ('^.{0,300}$', repeat('x', 301)), ('^(?<y>a)\k<y>$', 'aa'), ('^(?<y>a)\k<y>$', 'ab'), ('\bfoo\b', 'a foo b'), ('\bfoo\b', 'éfoo'),
             ('^\x41b$', 'Ab'), ('^[[:alpha:]]$', ':]'), ('^[\w-]+$', 'a-b'), ('^\u{1F600}$', '😀'), ('^a{3,}$', 'aaaa'), ('x{', 'x{'), ('^(?!no).*$', 'nobody'),
             ('^\S+$', E'a\u00a0b'), ('^(a|)$', '')) AS t (pattern, value);

-- Formats.
SELECT format, value, (SELECT count(*) = 0 FROM integ.json_schema_problems(jsonb_build_object('format', format), to_jsonb(value))) AS valid
FROM (VALUES ('date-time', '2024-02-29T23:59:60Z'), ('date-time', '2024-02-29 10:00:00'), ('time', '10:00:00+01:00'), ('duration', 'P1Y2M3DT4H'),
             ('duration', 'P1'), ('email', 'a.b+c@example.org'), ('email', '@example.org'), ('hostname', 'a-b.example'), ('hostname', 'a_b'),
             ('ipv4', '192.168.0.1'), ('ipv4', '192.168.0.256'), ('ipv6', '::ffff:1.2.3.4'), ('ipv6', '1::2::3'), ('uri', 'https://u@h:8/p?q#f'),
             ('uri', '/relative'), ('uri-reference', '/relative'), ('uuid', '018f2c3e-0000-7000-8000-000000000000'), ('uuid', 'nope'),
             ('regex', '^(a|b)+$'), ('regex', '(a'), ('json-pointer', '/a/~0'), ('byte', 'aGk='), ('byte', 'aGk'), ('int32', 'anything'), ('made-up', 'anything')) AS t (format, value);

-- Recursive schemas, and schemas deep in documents that are no schemas.
SELECT * FROM integ.json_schema_problems('{"properties": {"child": {"$ref": "#"}, "name": {"type": "string"}}, "required": ["name"]}', '{"name": "a", "child": {"name": "b", "child": {"name": 3}}}');
SELECT * FROM integ.json_schema_problems('{"$ref": "#/components/schemas/a~1b%20c", "components": {"schemas": {"a/b c": {"type": "string"}}}}', '1');
SELECT * FROM integ.json_schema_problems('{"$ref": "#here", "$defs": {"x": {"$anchor": "here", "type": "string"}}}', '1');

-- Schemas that are wrong.
SELECT integ.json_schema_problems('{"properties": {"a": {"type": "text"}}}', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT integ.json_schema_problems('"string"', '1');
SELECT integ.json_schema_problems('{"maxLength": -1}', '1');
SELECT integ.json_schema_problems('{"maxLength": 1.5}', '1');
SELECT integ.json_schema_problems('{"multipleOf": 0}', '1');
SELECT integ.json_schema_problems('{"required": "a"}', '1');
SELECT integ.json_schema_problems('{"required": [1]}', '1');
SELECT integ.json_schema_problems('{"properties": []}', '1');
SELECT integ.json_schema_problems('{"items": {"anyOf": [true, 3]}}', '1');
SELECT integ.json_schema_problems('{"anyOf": []}', '1');
SELECT integ.json_schema_problems('{"enum": 1}', '1');
SELECT integ.json_schema_problems('{"properties": {"a": {"pattern": "(a"}}}', '1');
SELECT integ.json_schema_problems('{"pattern": "a{6000}"}', '1');
SELECT integ.json_schema_problems('{"pattern": "\\p{Script=Greek}"}', '1');
SELECT integ.json_schema_problems('{"$ref": "#/$defs/none"}', '1');
SELECT integ.json_schema_problems('{"$ref": "#none"}', '1');
SELECT integ.json_schema_problems('{"$ref": "https://example.org/schema.json"}', '1');
SELECT integ.json_schema_problems('{"$ref": "#"}', '1');
SELECT integ.json_schema_problems('{"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"allOf": [{"$ref": "#/$defs/y"}]}, "y": {"$ref": "#/$defs/x"}}}', '1');

-- Depth ends in an error, not in a crash.
SELECT count(*) FROM integ.json_schema_problems('{"items": {"$ref": "#"}}', (repeat('[', 450) || repeat(']', 450))::jsonb);
SELECT count(*) FROM integ.json_schema_problems('{"items": {"$ref": "#"}}', (repeat('[', 550) || repeat(']', 550))::jsonb);
\set VERBOSITY terse
SELECT count(*) FROM integ.json_schema_problems((repeat('{"items":', 550) || 'true' || repeat('}', 550))::jsonb, '1');
\set VERBOSITY default

-- Schemas that apply each other 2^40 times end in an error, and compile at once.
CREATE TEMP TABLE doubling AS
SELECT jsonb_build_object('$ref', '#/$defs/s40', '$defs', jsonb_object_agg('s' || i,
    CASE i WHEN 0 THEN '{"properties": {"a": {"default": 1}, "b": {"$ref": "#/$defs/s40"}}, "default": 5}'::jsonb
    ELSE jsonb_build_object('allOf', jsonb_build_array(jsonb_build_object('$ref', '#/$defs/s' || i - 1),
                                                       jsonb_build_object('$ref', '#/$defs/s' || i - 1))) END)) AS schema
FROM generate_series(0, 40) AS i;
SELECT integ.json_schema_valid(schema, '{}') FROM doubling;
SELECT integ.json_schema_valid(schema, '1') FROM doubling;
SELECT integ.json_schema_fill(schema, '{}') FROM doubling;

-- As a constraint of a table.
CREATE TEMP TABLE orders (body jsonb CHECK (integ.json_schema_valid('{"required": ["id"], "properties": {"id": {"type": "integer"}}}', body)));
INSERT INTO orders VALUES ('{"id": 1}'), ('{"id": 2}');
INSERT INTO orders VALUES ('{"id": "three"}');

-- Defaults.
SELECT integ.json_schema_fill('{"properties": {"page_size": {"type": "integer", "default": 200}, "q": {"type": "string"},
                                "options": {"default": {}, "properties": {"deep": {"default": true}}},
                                "lines": {"items": {"properties": {"n": {"default": 1}}}},
                                "by_ref": {"$ref": "#/$defs/r"}, "nil": {"default": 1}},
                               "allOf": [{"properties": {"extra": {"default": "e"}}}],
                               "$defs": {"r": {"default": [1, 2]}}}',
                              '{"q": "x", "nil": null, "lines": [{}, {"n": 5}, 3]}');
SELECT integ.json_schema_fill('{"properties": {"a": {"default": 1}}}', '{"a": 2}'), integ.json_schema_fill('{"properties": {"a": {"default": 1}}}', '[]');
SELECT integ.json_schema_fill('{"additionalProperties": {"properties": {"a": {"default": 1}}}}', '{"x": {}, "y": {"a": 2}, "z": 1}');
SELECT integ.json_schema_fill('{"properties": {"a": {"$ref": "#", "default": {}}}}', '{}');
