-- Pages of lists whose requests carry more than the page: credentials in the query, a definition's query, bodies.
\getenv provider_url INTEG_PROVIDER_URL
\getenv provider_token INTEG_PROVIDER_TOKEN
SELECT integ_define($${
  "integrationId": "fetch_urls", "name": "URLs", "version": "1.0.0", "baseUrl": "{config.base_url}",
  "authType": "apikey", "auth": {"in": "query", "name": "api_key", "value": "{credentials.key}"},
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"key": {"type": "string"}, "account": {"type": "string"},
      "bearer": {"type": "string"}}},
  "query": {"app": "integ", "account": "{credentials.account}"},
  "methods": [
    {"id": "cursor", "name": "By a cursor", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/lists/circle"}, "response": {"records": ".data"},
     "pagination": {"style": "cursor", "param": "cursor", "next": ".next", "maxPages": 2}},
    {"id": "links", "name": "By links", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/lists/links"}, "pagination": {"style": "link"}},
    {"id": "next_url", "name": "By a URL", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/lists/done"}, "response": {"records": ".records"},
     "pagination": {"style": "next_url", "next": ".nextRecordsUrl", "end": ".done"}},
    {"id": "garbled", "name": "By a URL that is none", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/lists/garbled"}, "response": {"records": ".data"},
     "pagination": {"style": "next_url", "next": ".next"}},
    {"id": "body", "name": "By a body that holds a credential", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "POST", "path": "/v1/currencies/search",
                 "body": {"limit": 10, "take": 25, "filter": {}, "key": "{credentials.key}"},
                 "headers": {"Authorization": "Bearer {credentials.bearer}"}},
     "response": {"records": ".data"},
     "pagination": {"style": "cursor", "in": "body", "param": "cursor", "next": ".next_cursor"}}
  ]}$$::jsonb);
-- Another definition, without secrets, so that nothing is masked in what it shows.
SELECT integ_define($${
  "integrationId": "fetch_urls_log", "name": "Log", "version": "1.0.0", "baseUrl": "{config.base_url}",
  "authType": "none", "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "methods": [{"id": "log", "name": "What arrived", "inputSchema": {}, "outputSchema": {},
               "request": {"method": "GET", "path": "/log"}}]}$$::jsonb);
SELECT integ_connect('fetch_urls_log', 'urls_log', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS ok;
SELECT integ_connect('fetch_urls', 'urls_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS ok;
SELECT integ_credential_set('urls_main', 'key', 'a-key-of-a-query') IS NOT NULL AS set;
SELECT integ_credential_set('urls_main', 'bearer', :'provider_token') IS NOT NULL AS set;
SELECT integ_credential_set('urls_main', 'account', 'an-account-of-it') IS NOT NULL AS set;

-- The queries of a list's last requests, as the service saw them.
CREATE FUNCTION urls_seen(wanted text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT q FROM (
        SELECT n, r ->> 'query' AS q
        FROM jsonb_array_elements(integ_execute('urls_log', 'log')) WITH ORDINALITY AS l(r, n)
        WHERE r ->> 'path' = wanted ORDER BY n DESC LIMIT 3) AS last ORDER BY n $$;
-- The next URL holds what the service echoed, masked: each page has the credentials themselves, once.
SELECT count(*) FROM integ_fetch('urls_main', 'links');
SELECT count(*) FROM integ_fetch('urls_main', 'next_url');
SELECT urls_seen('/lists/links') AS query;
SELECT urls_seen('/lists/done') AS query;
SELECT count(*) FROM integ_fetch('urls_main', 'body');
SELECT count(*) FROM integ_fetch('urls_main', 'cursor');
SELECT count(*) FROM integ_fetch('urls_main', 'garbled');
\echo :LAST_ERROR_SQLSTATE

DELETE FROM integ.instances WHERE instance_id IN ('urls_main', 'urls_log');
SELECT integ_undefine('fetch_urls'), integ_undefine('fetch_urls_log');
DROP FUNCTION urls_seen(text);
