-- All pages of a list.

CREATE FUNCTION integ.fetch_records(instance text, method text, input jsonb, options jsonb) RETURNS SETOF jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 ROWS 1000 AS 'MODULE_PATHNAME', 'integ_fetch_records';
COMMENT ON FUNCTION integ.fetch_records(text, text, jsonb, jsonb) IS
    'What integ_fetch is inlined to: gives a row each time it is asked for one, and asks for a page when the last one is used up';
GRANT EXECUTE ON FUNCTION integ.fetch_records(text, text, jsonb, jsonb) TO integ_user, integ_impersonate;

-- Not STRICT, not VOLATILE, without SET: else PostgreSQL does not inline it, and collects all pages before the first row.
CREATE FUNCTION integ_fetch(instance text, method text, input jsonb DEFAULT '{}', options jsonb DEFAULT '{}')
RETURNS SETOF jsonb
LANGUAGE sql STABLE PARALLEL UNSAFE COST 10000 ROWS 1000
BEGIN ATOMIC
    SELECT integ.fetch_records(instance, method, input, options);
END;
COMMENT ON FUNCTION integ_fetch(text, text, jsonb, jsonb) IS
    'The records of a list, page after page while they are read; options: page_size, max_pages, max_records, records, delta, state, timeout, validate_output';
GRANT EXECUTE ON FUNCTION integ_fetch(text, text, jsonb, jsonb) TO integ_user, integ_impersonate;
