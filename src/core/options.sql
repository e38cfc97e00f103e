-- Options of functions that are written in SQL.

CREATE FUNCTION integ.options_check(options jsonb, known jsonb, function text) RETURNS void
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'integ_options_check';
COMMENT ON FUNCTION integ.options_check(jsonb, jsonb, text) IS
    'Raises IG400 where options has a key that known ({"name": "type"}) has not, or a value of another type';
GRANT EXECUTE ON FUNCTION integ.options_check(jsonb, jsonb, text) TO integ_user, integ_impersonate;
