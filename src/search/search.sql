-- Full-text search over records.

CREATE FUNCTION integ.search_vector(data jsonb) RETURNS tsvector
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 50 AS 'MODULE_PATHNAME', 'integ_search_vector';
COMMENT ON FUNCTION integ.search_vector(jsonb) IS 'The words of a record, of all its fields: what its index has';

CREATE FUNCTION integ.search_vector(data jsonb, fields text[]) RETURNS tsvector
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 50 AS 'MODULE_PATHNAME', 'integ_search_vector_fields';
COMMENT ON FUNCTION integ.search_vector(jsonb, text[]) IS 'The words of some fields of a record, to be looked for';

CREATE FUNCTION integ.search_text(data jsonb, fields text[]) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'integ_search_text';
COMMENT ON FUNCTION integ.search_text(jsonb, text[]) IS 'The words of some fields of a record, to be shown';

CREATE INDEX records_search_idx ON integ.records USING gin (integ.search_vector(data)) WHERE deleted_at IS NULL;

CREATE FUNCTION integ_search(query text, types text[] DEFAULT NULL, max_results integer DEFAULT 50)
RETURNS TABLE (id uuid, type text, title text, rank real, snippet text, data jsonb, updated_at timestamptz)
LANGUAGE c STABLE PARALLEL UNSAFE COST 1000 ROWS 50 AS 'MODULE_PATHNAME', 'integ_search';
COMMENT ON FUNCTION integ_search(text, text[], integer) IS
    'Records that the caller may read and whose search fields (integ.record_types) match, best first; query as in a search engine: words, "a phrase", or, -word';

-- Whoever writes records computes the index.
GRANT EXECUTE ON FUNCTION integ.search_vector(jsonb), integ.search_vector(jsonb, text[]), integ.search_text(jsonb, text[]),
    integ_search(text, text[], integer) TO integ_user, integ_impersonate;
