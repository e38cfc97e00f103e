-- Calling methods.

CREATE FUNCTION integ_execute(instance text, method text, input jsonb DEFAULT '{}', options jsonb DEFAULT '{}')
RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'integ_execute';
COMMENT ON FUNCTION integ_execute(text, text, jsonb, jsonb) IS
    'Calls a method of a connected service and returns its result; options: timeout, max_wait (for a rate limit), validate_output (off, warn, error), fallback (stale)';
GRANT EXECUTE ON FUNCTION integ_execute(text, text, jsonb, jsonb) TO integ_user, integ_impersonate;

CREATE FUNCTION integ_test(instance text) RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 STRICT AS 'MODULE_PATHNAME', 'integ_test';
COMMENT ON FUNCTION integ_test(text) IS
    'Calls the health check of an instance''s definition and stores the result in the instance''s health';
GRANT EXECUTE ON FUNCTION integ_test(text) TO integ_user, integ_impersonate;
