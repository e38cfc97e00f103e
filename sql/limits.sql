-- Rate limits and circuit breakers, as a user meets them.
\getenv url INTEG_PROVIDER_URL
\getenv provider_token INTEG_PROVIDER_TOKEN
\pset null (null)
SET client_min_messages = warning;

CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM,
        nullif(regexp_replace(regexp_replace(detail, '\d{4}-\d\d-\d\d [0-9:.+-]+', 'TIME', 'g'), '127\.0\.0\.1:\d+',
            'HOST', 'g'), ''),
        nullif(hint, ''));
END
$$;

SELECT integ_define('{
  "integrationId": "limits", "name": "Limits", "version": "1.0.0", "category": "custom", "authType": "none",
  "baseUrl": "{config.base_url}",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "rateLimit": {"requestsPerHour": 5, "windows": [{"limit": 2, "perMs": 3600001, "key": "{channel}"}]},
  "circuitBreaker": {"failureThreshold": 2, "resetTimeoutMs": 3600000},
  "methods": [
    {"id": "read", "name": "Read", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/echo", "query": {"channel": "{channel}"}}},
    {"id": "search", "name": "Search", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "rateLimit": {"requestsPerDay": 1}, "request": {"method": "GET", "path": "/echo"}},
    {"id": "fault", "name": "Fault", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/fault/status", "query": {"code": "{code}", "retry_after": "{retry_after}"}}}
  ]}'::jsonb) IS NOT NULL AS defined;
SELECT integ_connect('limits', handle, jsonb_build_object('base_url', :'url')) IS NOT NULL AS connected
FROM unnest('{limits_a,limits_b,limits_c}'::text[]) handle;

-- A key has a window of its own, and all of them share the instance's.
SELECT channel, pg_temp.try(format($$SELECT integ_execute('limits_a', 'read', '{"channel": "%s"}')$$, channel))
FROM unnest('{C1,C1,C1,C2,C2}'::text[]) channel;
SELECT pg_temp.try($$SELECT integ_execute('limits_a', 'read')$$);
SELECT pg_temp.try($$SELECT integ_execute('limits_a', 'read')$$);
SELECT instance_id, method, key, "window", "limit", used, remaining, reset > now() + interval '59 minutes'
    AS resets_later,
       next_slot_at > now() + interval '59 minutes' AS next_later, source
FROM integ.rate_limits WHERE definition_id = 'limits' ORDER BY key NULLS FIRST;

-- Another instance has its own; a method's limit counts besides.
SELECT pg_temp.try($$SELECT integ_execute('limits_b', 'search')$$);
SELECT pg_temp.try($$SELECT integ_execute('limits_b', 'search')$$);
SELECT pg_temp.try($$SELECT integ_execute('limits_b', 'read')$$);
SELECT method, "window", "limit", used FROM integ.rate_limits WHERE instance_id = 'limits_b' ORDER BY 1 NULLS FIRST;

-- What does not leave takes no slot.
SELECT pg_temp.try($$SELECT integ_execute('limits_b', 'read', '{"channel": {"a": 1}}')$$) <> 'done' AS refused;
SELECT used FROM integ.rate_limits WHERE instance_id = 'limits_b' AND method IS NULL AND key IS NULL;

SELECT integ_define('{"integrationId": "limits_auth", "name": "Limits", "version": "1.0.0", "category": "custom",
  "authType": "apikey", "auth": {"in": "header", "name": "X-Key"}, "baseUrl": "{config.base_url}",
      "rateLimit": {"requestsPerHour": 1, "concurrent": 1},
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [{"id": "read", "name": "Read", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
               "request": {"method": "GET", "path": "/echo"}}]}'::jsonb) IS NOT NULL AS defined;
SELECT integ_connect('limits_auth', 'limits_keyless', jsonb_build_object('base_url', :'url')) IS NOT NULL AS connected;
SELECT left(pg_temp.try($$SELECT integ_execute('limits_keyless', 'read')$$), 5) FROM generate_series(1, 2);
SELECT "window", "limit", used FROM integ.rate_limits WHERE instance_id = 'limits_keyless' ORDER BY 1;

-- max_wait: no longer than that, and not at all where it would be in vain.
SELECT left(pg_temp.try($$SELECT integ_execute('limits_a', 'read', '{}', '{"max_wait": "1 hour"}')$$), 5);
SELECT pg_temp.try($$SELECT integ_execute('limits_a', 'read', '{}', '{"max_wait": -1}')$$);
SELECT pg_temp.try($$SELECT integ_execute('limits_a', 'read', '{}', '{"max_wait": "soon"}')$$);

-- A 429 closes the limit for everybody until the service's time.
SELECT pg_temp.try($$SELECT integ_execute('limits_c', 'fault', '{"code": 429, "retry_after": 3000}')$$);
SELECT pg_temp.try($$SELECT integ_execute('limits_c', 'read')$$);
SELECT remaining, reset > now() + interval '49 minutes' AS resets_later, source
FROM integ.rate_limits WHERE instance_id = 'limits_c' AND source = 'learned';

-- One that names no time closes it for as long as the definition says.
SELECT integ_define('{"integrationId": "limits_fixed", "name": "Limits", "version": "1.0.0", "category": "custom",
    "authType": "none",
  "baseUrl": "{config.base_url}", "rateLimit": {"retryAfterMs": 3000000},
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [{"id": "fault", "name": "Fault", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
               "request": {"method": "GET", "path": "/fault/status",
                   "query": {"code": "{code}"}}}]}'::jsonb) IS NOT NULL AS defined;
SELECT integ_connect('limits_fixed', 'limits_g', jsonb_build_object('base_url', :'url')) IS NOT NULL AS connected;
SELECT pg_temp.try($$SELECT integ_execute('limits_g', 'fault', '{"code": 429}')$$);
SELECT pg_temp.try($$SELECT integ_execute('limits_g', 'fault', '{"code": 200}')$$);
SELECT remaining, reset > now() + interval '49 minutes' AS resets_later, source FROM integ.rate_limits
    WHERE instance_id = 'limits_g';

-- The circuit breaker: two failures in a row open it; 4xx and 429 do not count.
SELECT integ_connect('limits', 'limits_d', jsonb_build_object('base_url', :'url')) IS NOT NULL AS connected;
SELECT code, split_part(pg_temp.try(format($$SELECT integ_execute('limits_d', 'fault', '{"code": %s}')$$, code)),
    E'\n', 1)
FROM unnest('{500,404,503,500}'::int[]) code;
SELECT pg_temp.try($$SELECT integ_execute('limits_d', 'read')$$);
SELECT instance_id, state, cause, failures, failure_threshold, half_open_at > now() + interval '59 minutes' AS later,
    last_error
FROM integ.circuit_breakers WHERE instance_id = 'limits_d';
BEGIN READ ONLY;
SELECT integ_breaker_reset('limits_d');
ROLLBACK;
SELECT integ_breaker_reset('limits_d'), integ_breaker_reset('limits_d');
SELECT state, cause, failures FROM integ.circuit_breakers WHERE instance_id = 'limits_d';
SELECT pg_temp.try($$SELECT integ_execute('limits_d', 'read')$$);
SELECT pg_temp.try($$SELECT integ_breaker_reset('nobody')$$);
-- It looks only at calls that may wait for the breaker, whatever else is open.
SELECT count(integ_enqueue('limits_d', 'read', '{}', '{"run_at": "2100-01-01"}')) FROM generate_series(1, 100);
BEGIN;
SELECT integ_breaker_reset('limits_d');
SELECT seq_tup_read + idx_tup_fetch AS calls_read FROM pg_stat_xact_user_tables
WHERE relid = 'integ.calls_open'::regclass;
COMMIT;
SELECT count(integ_call_cancel(id)) FROM integ.calls_open WHERE instance_id = 'limits_d';

-- A host that nobody can reach opens those that use it, and only those. Others share it: it opens by no definition's
-- word sooner, or for longer, than by default.
SELECT integ_connect('limits', handle, '{"base_url": "http://127.0.0.1:1"}') IS NOT NULL AS connected
FROM unnest('{limits_e,limits_f,limits_h,limits_i}'::text[]) handle;
SELECT handle, left(pg_temp.try(format($$SELECT integ_execute(%L, 'read')$$, handle)), 5)
FROM unnest('{limits_e,limits_e,limits_e,limits_f,limits_f,limits_h}'::text[]) handle;
SELECT instance_id, cause, failures, failure_threshold, half_open_at < now() + interval '2 minutes' AS soon
FROM integ.circuit_breakers WHERE instance_id = 'limits_i';
SELECT pg_temp.try($$SELECT integ_execute('limits_i', 'read')$$);
SELECT instance_id, state, cause FROM integ.circuit_breakers WHERE origin = 'http://127.0.0.1:1' ORDER BY 1;
SELECT pg_temp.try($$SELECT integ_execute('limits_b', 'read')$$);

-- Events are written by the recorder, also of calls that were rolled back.
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT count(*) >= 11 FROM integ.events
    WHERE payload ->> 'definition' = 'limits' AND kind ~ '^(rate_limit|breaker)'$$);
SELECT e.kind, i.instance_id, e.client_id, e.payload - 'until' - 'used' - 'error' - 'host' AS payload,
    e.payload ? 'until' AS until
FROM integ.events e LEFT JOIN integ.instances i ON i.id = e.instance
WHERE e.payload ->> 'definition' = 'limits' AND e.kind ~ '^(rate_limit|breaker)' ORDER BY e.created_at, e.id;

-- A durable call waits for its slot, which is no attempt.
SELECT integ_enqueue('limits_b', 'search') AS call \gset
CALL pg_temp.wait_for(format('SELECT state = ''waiting'' FROM integ.calls_open WHERE id = %L', :'call'));
SELECT state, attempt, next_attempt_at > now() + interval '23 hours' AS later, last_sqlstate, last_error, started_at
FROM integ.calls WHERE id = :'call';
SELECT integ_call_cancel(:'call');

-- Plans: the requests of a client, together.
INSERT INTO integ.plans (id, name, limits) VALUES ('limits_plan', 'Limits', '{"rateLimit": {"requestsPerHour": 2}}');
INSERT INTO integ.clients (id, name, plan) VALUES ('limits_client', 'Limits', 'limits_plan'), ('limits_other',
    'Limits', NULL);
CREATE ROLE limits_user IN ROLE integ_user;
CREATE ROLE limits_stranger IN ROLE integ_user;
INSERT INTO integ.members (role, client_id, user_id, level)
VALUES ('limits_user', 'limits_client', 'ann', 'admin'), ('limits_stranger', 'limits_other', 'bob', 'admin');
SET ROLE limits_user;
SELECT integ_connect('limits', handle, jsonb_build_object('base_url', :'url')) IS NOT NULL AS connected
FROM unnest('{limits_p,limits_q}'::text[]) handle;
SELECT pg_temp.try(format($$SELECT integ_execute('%s', 'read')$$, handle))
    FROM unnest('{limits_p,limits_q,limits_p}'::text[]) handle;
SELECT instance_id, client_id, key, "window", "limit", used, source FROM integ.rate_limits
WHERE definition_id = 'limits' OR client_id = 'limits_client' ORDER BY source, instance_id, "limit";
SELECT instance_id, state FROM integ.circuit_breakers WHERE instance_id LIKE 'limits%' ORDER BY 1;
SELECT pg_temp.try($$SELECT integ_breaker_reset('limits_d')$$);
SELECT pg_temp.try($$SELECT * FROM integ.rate_limit_blocks$$);
RESET ROLE;
SET ROLE limits_stranger;
SELECT instance_id, client_id FROM integ.rate_limits WHERE client_id <> '*';
SELECT instance_id FROM integ.circuit_breakers WHERE instance_id IN ('limits_p', 'limits_q');
RESET ROLE;
SELECT pg_temp.try(format($$UPDATE integ.plans SET limits = '%s' WHERE id = 'limits_plan'$$, limits))
FROM unnest(ARRAY['{"rateLimit": 5}', '{"rateLimit": {"requestsPerMonth": 5}}', '{"rateLimit": {"requestsPerHour": 0}}',
                  '{"rateLimit": {"requestsPerHour": "many"}}', '{"rateLimit": {"windows": [{"limit": 1}]}}',
                  '{"rateLimit": {"windows": 3}}', '{"rateLimit": {"windows": [{"limit": 1, "perMs": 5,
                      "key": "{a}"}]}}',
                  '{"rateLimit": {"windows": [{"limit": 1, "perMs": 5, "scope": "definition"}]}}']) limits;

-- The plan's limit can be raised while it is in use.
UPDATE integ.plans SET limits = '{"rateLimit": {"requestsPerHour": 3}, "seats": 5}' WHERE id = 'limits_plan';
SET ROLE limits_user;
SELECT pg_temp.try($$SELECT integ_execute('limits_p', 'read')$$) FROM generate_series(1, 2);
RESET ROLE;

-- An instance whose account is allowed something else than the definition says of each.
SELECT integ_define('{
  "integrationId": "limits_own", "name": "Limits", "version": "1.0.0", "category": "custom", "authType": "none",
  "baseUrl": "{config.base_url}",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "rateLimit": {"requestsPerHour": 1, "concurrent": 3, "windows": [{"limit": 9, "perMs": 86400000,
      "scope": "definition"}]},
  "methods": [
    {"id": "read", "name": "Read", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/echo"}},
    {"id": "search", "name": "Search", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "rateLimit": {"requestsPerDay": 1}, "request": {"method": "GET", "path": "/echo"}}]}'::jsonb) IS NOT NULL
         AS defined;
SELECT integ_connect('limits_own', handle, jsonb_build_object('base_url', :'url'),
    '{"grants": ["limits_client"]}') IS NOT NULL AS connected
FROM unnest('{limits_own_a,limits_own_b}'::text[]) handle;
UPDATE integ.instances SET rate_limit = '{"requestsPerHour": 2, "windows": [{"limit": 1, "perMs": 7200000,
    "key": "{channel}"}]}'
WHERE instance_id = 'limits_own_a';
SELECT pg_temp.try(format($$SELECT integ_execute('%s', 'read', '%s')$$, handle, input))
FROM (VALUES ('limits_own_b', '{}'), ('limits_own_b', '{}'), ('limits_own_a', '{"channel": "C1"}'), ('limits_own_a',
    '{"channel": "C1"}'),
             ('limits_own_a', '{}'), ('limits_own_a', '{}')) calls (handle, input);
SELECT instance_id, method, key, "window", "limit", used, source FROM integ.rate_limits
WHERE definition_id = 'limits_own' ORDER BY instance_id, "window", key;
-- Who borrows it has its limit; a method keeps its own.
SET ROLE limits_user;
SELECT integ_connect('limits_own', 'limits_own_c', NULL, '{"borrow": "limits_own_a"}') IS NOT NULL AS connected;
SELECT left(pg_temp.try($$SELECT integ_execute('limits_own_c', 'read')$$), 40);
-- It may change its own, and nobody else's.
UPDATE integ.instances SET rate_limit = '{"concurrent": 1}' WHERE instance_id = 'limits_own_a';
RESET ROLE;
SELECT rate_limit FROM integ.instances WHERE instance_id = 'limits_own_a';
UPDATE integ.instances SET rate_limit = '{"requestsPerHour": 4}' WHERE instance_id = 'limits_own_a';
SELECT left(pg_temp.try(format($$SELECT integ_execute('limits_own_a', '%s')$$, method)), 40)
    FROM unnest('{search,search,read}'::text[]) method;
-- Without it, what the definition says holds again.
UPDATE integ.instances SET rate_limit = NULL WHERE instance_id = 'limits_own_a';
SELECT split_part(pg_temp.try($$SELECT integ_execute('limits_own_a', 'read')$$), E'\n', 2);
SELECT pg_temp.try(format($$UPDATE integ.instances SET rate_limit = '%s' WHERE instance_id = 'limits_own_a'$$, bad))
FROM unnest(ARRAY['5', '[]', '{"requestsPerMonth": 5}', '{"concurrent": -1}', '{"windows": [3]}',
    '{"windows": [{"limit": 1}]}',
                  '{"windows": [{"limit": 1, "perMs": 9, "scope": "definition"}]}', '{"headers": {"reset": "X-Reset"}}',
                  '{"windows": [{"limit": 1, "perMs": 10, "key": "{credentials.key}"}]}']) bad;

-- No more than the burst at once, in its share of the time, although the hour has room.
SELECT integ_define('{"integrationId": "limits_burst", "name": "Limits", "version": "1.0.0", "category": "custom",
    "authType": "bearer", "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "baseUrl": "{config.base_url}", "rateLimit": {"requestsPerHour": 100, "burst": 3},
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "read", "name": "Read", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/echo"}},
    {"id": "list", "name": "List", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/v1/currencies",
         "query": {"take": 170, "paging": "page", "limit": "{limit}"}},
     "pagination": {"style": "page", "param": "page", "pageSizeParam": "limit"},
     "response": {"records": ".data"}}]}'::jsonb) IS NOT NULL AS defined;
SELECT integ_connect('limits_burst', handle, jsonb_build_object('base_url', :'url')) IS NOT NULL AS connected
FROM unnest('{limits_burst_a,limits_burst_b,limits_burst_c}'::text[]) handle;
SELECT integ_credential_set(handle, 'token', :'provider_token') IS NOT NULL AS set
FROM unnest('{limits_burst_a,limits_burst_b,limits_burst_c}'::text[]) handle;
SELECT left(pg_temp.try($$SELECT integ_execute('limits_burst_a', 'read')$$), 5) FROM generate_series(1, 5);
SELECT "window", "limit", used, remaining FROM integ.rate_limits WHERE instance_id = 'limits_burst_a' ORDER BY 1;
-- Many calls at once, and the pages of a list, take their slots like any other.
SELECT ok, sqlstate, count(*) FROM integ_execute_many('limits_burst_b', 'read', ARRAY['{}', '{}', '{}', '{}',
    '{}']::jsonb[]) GROUP BY 1, 2 ORDER BY 1;
SELECT pg_temp.try($$SELECT count(*) FROM integ_fetch('limits_burst_c', 'list', '{"limit": 10}')$$);
SELECT instance_id, used FROM integ.rate_limits WHERE instance_id IN ('limits_burst_b', 'limits_burst_c')
    AND "window" = interval '1 hour' ORDER BY 1;

-- Manifests that make no sense.
SELECT pg_temp.try(format($$SELECT integ_define('{"integrationId": "limits_bad", "name": "Bad", "version": "1.0.0",
    "category": "custom",
  "baseUrl": "https://x.example", "authType": "apikey", "methods": [], "rateLimit": %s}')$$, bad))
FROM unnest(ARRAY['{"windows": [{"limit": 0, "perMs": 10}]}', '{"windows": [{"limit": 1, "perMs": 10,
    "key": "{credentials.key}"}]}',
                  '{"headers": {"reset": "X-Reset", "resetUnit": "fortnights"}}', '{"headers": [{"limit": "a b"}]}',
                  '{"burst": -1}', '{"windows": [{"limit": 1, "perMs": 10, "scope": "planet"}]}']) bad;

-- What is kept over a crash: on disk before it is granted.
SELECT b.instance IS NOT NULL AS of_instance, b.client_id, b.key, b.max_requests, b.window_us, b.carried >= 1 AS carried
FROM integ.rate_limit_blocks b LEFT JOIN integ.instances i ON i.id = b.instance
WHERE i.instance_id IN ('limits_a', 'limits_p') OR b.instance IS NULL AND b.client_id = 'limits_client'
ORDER BY b.instance IS NULL, i.instance_id, b.window_us, b.key;

DELETE FROM integ.instances WHERE borrows IS NOT NULL AND definition = 'limits_own';
DELETE FROM integ.instances WHERE definition IN ('limits', 'limits_auth', 'limits_fixed', 'limits_own',
    'limits_burst');
SELECT count(integ_undefine(id)) FROM unnest('{limits,limits_auth,limits_fixed,limits_own,limits_burst}'::text[]) id;
DELETE FROM integ.members WHERE client_id IN ('limits_client', 'limits_other');
DELETE FROM integ.clients WHERE id IN ('limits_client', 'limits_other');
DELETE FROM integ.plans WHERE id = 'limits_plan';
DROP ROLE limits_user, limits_stranger;
