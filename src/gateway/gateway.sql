-- Raw requests: what no method of the definition says.

CREATE FUNCTION integ_request(instance text, http_method text, path text, query jsonb DEFAULT NULL,
                              headers jsonb DEFAULT NULL, body jsonb DEFAULT NULL, options jsonb DEFAULT '{}',
                              OUT status integer, OUT headers jsonb, OUT body jsonb, OUT duration_ms numeric,
                              OUT rate_limit_remaining bigint)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'integ_request';
COMMENT ON FUNCTION integ_request(text, text, text, jsonb, jsonb, jsonb, jsonb) IS
    'Sends any request to a connected service, with the authentication and the headers of its definition; options: encoding (json, form, text), timeout, raise';
GRANT EXECUTE ON FUNCTION integ_request(text, text, text, jsonb, jsonb, jsonb, jsonb) TO integ_user, integ_impersonate;
