-- Templates and paths: what authors of connectors try theirs with.

CREATE FUNCTION integ.template_render(template jsonb, input jsonb, config jsonb DEFAULT '{}', task jsonb DEFAULT '{}')
RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'integ_template_render_sql';
COMMENT ON FUNCTION integ.template_render(jsonb, jsonb, jsonb, jsonb) IS
    'A template of a manifest, rendered to a document; credentials show as ***';

CREATE FUNCTION integ.template_text(template jsonb, input jsonb, config jsonb DEFAULT '{}', task jsonb DEFAULT '{}',
                                    encoding text DEFAULT 'raw')
RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'integ_template_text_sql';
COMMENT ON FUNCTION integ.template_text(jsonb, jsonb, jsonb, jsonb, text) IS
    'A text template, rendered as raw text, as a path (encoding percent), as a header, as XML or as Markdown; credentials show as ***';

CREATE FUNCTION integ.template_query(template jsonb, input jsonb, config jsonb DEFAULT '{}', task jsonb DEFAULT '{}',
                                     form boolean DEFAULT false, style jsonb DEFAULT '{}')
RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'integ_template_query_sql';
COMMENT ON FUNCTION integ.template_query(jsonb, jsonb, jsonb, jsonb, boolean, jsonb) IS
    'An object template, rendered as the query of a URL or, by form, as the body of a form; style is a parameterStyle; credentials show as ***';

CREATE FUNCTION integ.template_headers(template jsonb, input jsonb, config jsonb DEFAULT '{}', task jsonb DEFAULT '{}')
RETURNS TABLE (name text, value text)
LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 10 COST 10 AS 'MODULE_PATHNAME', 'integ_template_headers_sql';
COMMENT ON FUNCTION integ.template_headers(jsonb, jsonb, jsonb, jsonb) IS
    'An object template, rendered as headers; credentials show as ***';

CREATE FUNCTION integ.path_get(document jsonb, path text) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 5 AS 'MODULE_PATHNAME', 'integ_path_get_sql';
COMMENT ON FUNCTION integ.path_get(jsonb, text) IS
    'What a dot path or a jsonpath finds in a document; several findings as an array, NULL for none';

CREATE FUNCTION integ.path_exists(document jsonb, path text) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 5 AS 'MODULE_PATHNAME', 'integ_path_exists_sql';
COMMENT ON FUNCTION integ.path_exists(jsonb, text) IS
    'Whether a path finds something in a document, or a jsonpath predicate is true: as "when" of response.errors';

CREATE FUNCTION integ.path_map(document jsonb, map jsonb) RETURNS jsonb
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'integ_path_map_sql';
COMMENT ON FUNCTION integ.path_map(jsonb, jsonb) IS 'A document of paths, evaluated on a document: as response.map';

GRANT EXECUTE ON FUNCTION integ.template_render(jsonb, jsonb, jsonb, jsonb),
    integ.template_text(jsonb, jsonb, jsonb, jsonb, text), integ.template_query(jsonb, jsonb, jsonb, jsonb, boolean, jsonb),
    integ.template_headers(jsonb, jsonb, jsonb, jsonb),
    integ.path_get(jsonb, text), integ.path_exists(jsonb, text), integ.path_map(jsonb, jsonb) TO integ_user;
