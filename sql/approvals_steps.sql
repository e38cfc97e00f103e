-- Approvals of methods with several requests: all of them are shown, and nothing goes round the decision.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY terse

CREATE FUNCTION apc_define(note text) RETURNS text LANGUAGE sql AS $f$
SELECT integ_define(replace($$
{
  "integrationId": "apc_svc", "name": "Approvals of steps", "version": "1.0.NOTE", "baseUrl": "{config.base_url}",
  "authType": "bearer", "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "rateLimit": {"retryAfterMs": 50},
  "methods": [
    {"id": "order", "name": "Order", "access": "write", "approvalRequired": true, "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"sku": {"type": "string"}, "mail": {"type": "boolean"},
         "key": {"type": "string"}}},
     "steps": [
       {"id": "create", "request": {"method": "POST", "path": "/echo/orders",
           "headers": {"X-Token": "{credentials.token}"}, "body": {"sku": "{sku}", "lines": ["a", "b"]}},
        "response": {"map": {"path": ".path", "lines": ".json.lines"}}},
       {"id": "pay", "request": {"method": "POST", "path": "/fault/once", "query": {"key": "{key}", "code": 429},
                                 "body": {"order": "{steps.create.path}", "text": "for {steps.create.path} of {sku}",
                                          "lines": {"$each": "steps.create.lines", "as": "l", "do": {"line": "{l}",
                                              "name": "{l.name}"}}, "note": "NOTE"}},
        "response": {"map": {"ok": "."}}},
       {"id": "mail", "when": "{mail}", "request": {"method": "POST", "path": "/echo/mail/{steps.create.path}"},
           "response": {"map": {"path": ".path"}}}
     ],
     "response": {"map": {"created": ".steps.create.path", "mailed": ".steps.mail.path"}}},
    {"id": "load", "name": "Load", "access": "write", "approvalRequired": true, "outputSchema": {},
     "inputSchema": {"type": "object", "properties": {"key": {"type": "string"}}},
     "job": {
       "submit": {"request": {"method": "POST", "path": "/jobs", "body": {"key": "{key}", "polls": 2}}},
       "id": ".job.id",
       "poll": {"request": {"method": "GET", "path": "/jobs/{job.id}"}, "intervalMs": 20,
           "done": "$.job ? (@.state == \"JobComplete\")",
                "response": {"map": {"state": ".job.state"}}}},
     "response": {"map": {"state": ".job.status.state"}}}
  ]
}
$$, 'NOTE', note)::jsonb)
$f$;
SELECT apc_define('1');
SELECT integ_connect('apc_svc', 'apc_main', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
SELECT integ_credential_set('apc_main', 'token', 'very-secret-token') IS NOT NULL AS set;
CREATE FUNCTION apc_pending() RETURNS integ.approvals LANGUAGE sql AS $$
SELECT a FROM integ.approvals a WHERE a.definition_id = 'apc_svc' AND a.state = 'pending' ORDER BY a.id DESC LIMIT 1 $$;

-- All requests are shown: what earlier ones bring, and credentials, by their names.
SELECT integ_enqueue('apc_main', 'order', '{"sku": "A-1", "key": "apc-1"}') AS call \gset
SELECT r.number, r.request ->> 'step' AS step, r.request ->> 'method' AS method, replace(r.request ->> 'url',
    :'provider_url', 'URL') AS url,
       r.request ->> 'body' AS body, r.request -> 'headers' ->> 'X-Token' AS token,
           r.request -> 'conditional' AS conditional
FROM jsonb_array_elements((apc_pending()).request -> 'requests') WITH ORDINALITY AS r (request, number);
SELECT integ_approve((apc_pending()).id) = :'call' AS approved;
-- one of the later requests is refused once, so that the call goes on where it stopped
SELECT integ_await(:'call', '30 s') - 'call' AS outcome;

-- What has changed between two of its requests does not leave.
SELECT integ_enqueue('apc_main', 'order', '{"sku": "A-2", "key": "apc-2", "mail": true}') AS call \gset
CREATE FUNCTION apc_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'waiting' AND OLD.state = 'running' AND NEW.progress IS NOT NULL THEN
        NEW.next_attempt_at := now() + interval '1 hour';
    END IF;
    RETURN NEW;
END
$$;
GRANT EXECUTE ON FUNCTION apc_hold() TO integ_owner;
CREATE TRIGGER apc_hold BEFORE UPDATE ON integ.calls_open FOR EACH ROW EXECUTE FUNCTION apc_hold();
SELECT integ_approve((apc_pending()).id) = :'call' AS approved;
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for(format('SELECT next_attempt_at > now() + interval
    ''50 minutes'' FROM integ.calls WHERE id = %L', :'call'));
SELECT state, last_sqlstate FROM integ.calls WHERE id = :'call';
DROP TRIGGER apc_hold ON integ.calls_open;
SELECT apc_define('2');
UPDATE integ.calls_open SET next_attempt_at = now() WHERE id = :'call';
SELECT o ->> 'state' AS state, o #>> '{error,sqlstate}' AS sqlstate, o #>> '{error,message}' AS message,
       o #>> '{error,detail}' LIKE '%create gave HTTP 200%' AS says_what_ran FROM integ_await(:'call', '30 s') o;

-- A job: what starts it is approved, what asks for it needs no more.
SELECT integ_enqueue('apc_main', 'load', '{"key": "apc-job"}') AS call \gset
SELECT r.request ->> 'step' AS step, r.request ->> 'method' AS method, replace(r.request ->> 'url', :'provider_url',
    'URL') AS url
FROM jsonb_array_elements((apc_pending()).request -> 'requests') AS r (request);
SELECT integ_approve((apc_pending()).id) = :'call' AS approved;
SELECT integ_await(:'call', '30 s') - 'call' AS outcome;

-- Nothing goes round it: a synchronous call, many at once, the pages of a list, another try.
\set VERBOSITY sqlstate
SELECT integ_execute('apc_main', 'order', '{"sku": "A-3", "key": "apc-3"}');
SELECT integ_execute('apc_main', 'load', '{"key": "apc-4"}');
SELECT * FROM integ_fetch('apc_main', 'order', '{"sku": "A-3", "key": "apc-3"}');
\set VERBOSITY terse
SELECT ordinal, ok, sqlstate FROM integ_execute_many('apc_main', 'order', ARRAY['{"key": "apc-5"}',
    '{"key": "apc-6"}']::jsonb[]) ORDER BY ordinal;
SELECT ordinal, ok, sqlstate FROM integ_execute_many('apc_main', 'load', ARRAY['{"key": "apc-7"}']::jsonb[])
    ORDER BY ordinal;
SELECT id AS failed FROM integ.calls WHERE input ->> 'key' = 'apc-2' \gset
SELECT integ_call_retry(:'failed') = :'failed' AS again;
SELECT o ->> 'state' AS state, o #>> '{error,sqlstate}' AS sqlstate FROM integ_await(:'failed', '30 s') o;
SELECT method, input ->> 'key' AS key, state FROM integ.approvals WHERE definition_id = 'apc_svc' ORDER BY 1, 2;
SELECT count(*) AS secrets FROM integ.approvals WHERE approvals::text LIKE '%very-secret%';

-- Decided about long ago: forgotten.
UPDATE integ.approvals SET decided_at = now() - interval '366 days' WHERE definition_id = 'apc_svc'
    AND state = 'approved';
UPDATE integ.approvals SET decided_at = now() - interval '364 days' WHERE definition_id = 'apc_svc'
    AND input ->> 'key' = 'apc-job';
UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'approvals';
CALL pg_temp.wait_for($$SELECT count(*) = 0 FROM integ.approvals WHERE definition_id = 'apc_svc'
    AND decided_at < now() - interval '365 days'$$);
SELECT input ->> 'key' AS kept FROM integ.approvals WHERE definition_id = 'apc_svc' AND state = 'approved';

DELETE FROM integ.approvals WHERE definition_id = 'apc_svc';
DELETE FROM integ.instances WHERE definition = 'apc_svc';
SELECT integ_undefine('apc_svc');
DROP FUNCTION apc_define, apc_pending, apc_hold;
