\echo Use "CREATE EXTENSION http_probe" to load this file. \quit

CREATE FUNCTION http_send(
    url text,
    method text DEFAULT 'GET',
    body text DEFAULT NULL,
    timeout_ms int DEFAULT 30000,
    ca_file text DEFAULT NULL,
    allowed_addresses text DEFAULT '127.0.0.0/8, ::1',
    OUT failure int, OUT error text, OUT maybe_sent bool, OUT status int, OUT body_text text, OUT reused bool)
AS 'MODULE_PATHNAME', 'http_probe_send' LANGUAGE c VOLATILE;

CREATE FUNCTION http_send_many(url text, count int, OUT us float8, OUT cpu_us float8)
AS 'MODULE_PATHNAME', 'http_probe_send_many' LANGUAGE c STRICT VOLATILE;

CREATE FUNCTION http_decode(body bytea, content_type text, json bool, OUT status int, OUT decoded text, OUT replaced bool)
AS 'MODULE_PATHNAME', 'http_probe_decode' LANGUAGE c STRICT VOLATILE;
