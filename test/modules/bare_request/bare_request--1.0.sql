-- Sends a request and forgets the answer; raises an error where there is none.
CREATE FUNCTION bare_request(method text, url text, body text, headers text[]) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME';
