-- JSON Schema: what authors of connectors check their schemas with.

CREATE FUNCTION integ.json_schema_problems(schema jsonb, document jsonb)
RETURNS TABLE (path text, message text)
LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 1 COST 100 AS 'MODULE_PATHNAME', 'integ_json_schema_problems';
COMMENT ON FUNCTION integ.json_schema_problems(jsonb, jsonb) IS
    'What is wrong with a document by a JSON Schema: place (JSON Pointer) and sentence, at most 20; no row where it is valid';

CREATE FUNCTION integ.json_schema_valid(schema jsonb, document jsonb) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 50 AS 'MODULE_PATHNAME', 'integ_json_schema_valid';
COMMENT ON FUNCTION integ.json_schema_valid(jsonb, jsonb) IS
    'Whether a document matches a JSON Schema; for CHECK constraints too';

CREATE FUNCTION integ.json_schema_fill(schema jsonb, document jsonb) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'integ_json_schema_fill';
COMMENT ON FUNCTION integ.json_schema_fill(jsonb, jsonb) IS
    'The document with the defaults of a JSON Schema where properties are absent';

GRANT EXECUTE ON FUNCTION integ.json_schema_problems(jsonb, jsonb), integ.json_schema_valid(jsonb, jsonb),
    integ.json_schema_fill(jsonb, jsonb) TO integ_user;
