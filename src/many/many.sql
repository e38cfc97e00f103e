-- Many calls at once.

CREATE FUNCTION integ_execute_many(instance text, method text, inputs jsonb[], options jsonb DEFAULT '{}',
    OUT ordinal integer, OUT ok boolean, OUT result jsonb, OUT sqlstate text, OUT message text, OUT detail text,
    OUT hint text, OUT retry_at timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000 ROWS 100 AS 'MODULE_PATHNAME', 'integ_execute_many';
COMMENT ON FUNCTION integ_execute_many(text, text, jsonb[], jsonb) IS
    'Calls a method once for each input, several at a time, and returns what became of each, in the order of the inputs; options: concurrency (10), timeout, validate_output';
GRANT EXECUTE ON FUNCTION integ_execute_many(text, text, jsonb[], jsonb) TO integ_user, integ_impersonate;
