-- Writes that a person decides about before they are sent.
\getenv provider_url INTEG_PROVIDER_URL
\set VERBOSITY terse

INSERT INTO integ.clients (id, name) VALUES ('ap_acme', 'Acme'), ('ap_bolt', 'Bolt');
CREATE ROLE ap_user LOGIN;
CREATE ROLE ap_admin LOGIN;
CREATE ROLE ap_second LOGIN;
CREATE ROLE ap_other LOGIN;
GRANT integ_user TO ap_user;
GRANT integ_admin TO ap_admin, ap_second, ap_other;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('ap_user', 'ap_acme', 'ann', 'user'), ('ap_admin', 'ap_acme', 'adam', 'admin'),
    ('ap_second', 'ap_acme', NULL, 'admin'), ('ap_other', 'ap_bolt', NULL, 'admin');
CREATE SCHEMA ap;
GRANT USAGE ON SCHEMA ap TO ap_user, ap_admin, ap_second;
CREATE TABLE ap.seen (id bigint GENERATED ALWAYS AS IDENTITY, what text, argument jsonb);
GRANT INSERT ON ap.seen TO ap_user, ap_admin;
CREATE FUNCTION ap.before(call jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ap.seen (what) VALUES ('before');
    RETURN jsonb_set(call -> 'input', '{stamp}', to_jsonb(clock_timestamp()));
END
$$;
CREATE FUNCTION ap.told(call jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO ap.seen (what,
    argument) VALUES (call ->> 'state', call -> 'error') $$;
SELECT integ_define($$
{
  "integrationId": "ap_svc", "name": "Approvals", "version": "1.0.0", "baseUrl": "{config.base_url}",
  "authType": "bearer", "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"},
      "key": {"type": "string"}}},
  "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}, "note": {"type": "string"}}},
  "methods": [
    {"id": "pay", "name": "Pay", "access": "write", "approvalRequired": true, "outputSchema": {},
     "inputSchema": {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "integer"},
         "currency": {"type": "string", "default": "EUR"}}},
     "request": {"method": "POST", "path": "/echo/pay/{amount}", "query": {"note": "{config.note}"},
         "body": {"amount": "{amount}", "currency": "{currency}"}},
     "response": {"map": {"path": ".path", "body": ".body"}}},
    {"id": "pay_key", "name": "Pay with a key", "access": "write", "approvalRequired": true, "outputSchema": {},
        "inputSchema": {"type": "object"},
     "idempotency": {"header": "Idempotency-Key"},
     "request": {"method": "POST", "path": "/echo/key/{credentials.key}", "headers": {"X-Key": "{credentials.key}"},
         "body": {"key": "{credentials.key}"}},
     "response": {"map": {"body": ".body"}}},
    {"id": "stamp", "name": "With a handler", "access": "write", "approvalRequired": true, "outputSchema": {},
        "inputSchema": {"type": "object"},
     "handler": {"before": "ap.before"},
     "request": {"method": "POST", "path": "/echo/stamp", "body": {"stamp": "{stamp}"}},
         "response": {"map": {"body": ".body"}}},
    {"id": "get", "name": "Get", "access": "read", "outputSchema": {}, "inputSchema": {"type": "object"},
     "request": {"method": "GET", "path": "/echo/get"}, "response": {"map": {"path": ".path"}}}
  ]
}
$$::jsonb);
SET ROLE ap_admin;
SELECT integ_connect('ap_svc', 'ap_main', jsonb_build_object('base_url', :'provider_url', 'note',
    'first')) IS NOT NULL AS connected;
SELECT integ_credential_set('ap_main', 'token', 'very-secret-token') IS NOT NULL AS set;
SELECT integ_credential_set('ap_main', 'key', 'very/secret key') IS NOT NULL AS set;
RESET ROLE;
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CREATE FUNCTION ap.pending() RETURNS uuid LANGUAGE sql AS $$ SELECT id FROM integ.approvals WHERE state = 'pending'
    AND client_id = 'ap_acme' ORDER BY id DESC LIMIT 1 $$;

-- A read is not gated; a write is refused, and what was asked for stays, although the statement failed.
SET ROLE ap_user;
SELECT integ_execute('ap_main', 'get');
BEGIN;
SELECT integ_execute('ap_main', 'pay', '{"amount": 5}');
ROLLBACK;
SELECT integ_execute('ap_main', 'pay', '{"amount": "all"}');
\set VERBOSITY sqlstate
SELECT integ_execute('ap_main', 'pay', '{"amount": 5}');
\set VERBOSITY terse
RESET ROLE;
SELECT instance_id, method, client_id, user_id, requested_by, state, input, request || '{"url": "-"}' AS request,
       replace(request ->> 'url', :'provider_url', 'URL') AS url, length(request_hash) AS hash, is_enqueued,
       expires_at - requested_at BETWEEN interval '6 days 23 hours' AND interval '7 days' AS expires
FROM integ.approvals WHERE client_id = 'ap_acme';
SELECT recipient, kind, text FROM integ.notifications WHERE client_id = 'ap_acme';
SELECT count(*) FROM integ.calls WHERE client_id = 'ap_acme';

-- Who decides: not the requester, not another client, not a user.
SELECT ap.pending() AS id \gset
SET ROLE ap_user;
SELECT count(*) FROM integ.approvals;
SELECT integ_approve(:'id');
UPDATE integ.approvals SET state = 'approved';
RESET ROLE;
SET ROLE ap_other;
SELECT count(*) FROM integ.approvals;
\set VERBOSITY sqlstate
SELECT integ_approve(:'id');
SELECT integ_reject(:'id');
\set VERBOSITY terse
RESET ROLE;
SET ROLE ap_admin;
-- undone with its transaction
BEGIN;
SELECT integ_approve(:'id') IS NOT NULL AS approved;
ROLLBACK;
SELECT integ_approve(:'id', 'go on') AS call \gset
\set VERBOSITY sqlstate
SELECT integ_approve(:'id');
SELECT integ_reject(:'id');
SELECT integ_approve(NULL);
\set VERBOSITY terse
SELECT integ_await(:'call', '20 s') - 'call' AS outcome;
RESET ROLE;
SELECT a.state, a.decided_by, a.note, c.state, c.owner, c.user_id, c.input
FROM integ.approvals a JOIN integ.calls c ON c.id = a.call_id;
SET ROLE ap_user;
SELECT recipient, kind, text FROM integ.notifications ORDER BY created_at;
SELECT integ_await(:'call') ->> 'state' AS seen_by_the_requester;
RESET ROLE;

-- A durable call waits, and is rolled back with its transaction.
SET ROLE ap_user;
BEGIN;
SELECT integ_enqueue('ap_main', 'pay', '{"amount": 6}') IS NOT NULL AS enqueued;
ROLLBACK;
SELECT integ_enqueue('ap_main', 'pay', '{"amount": 7}', '{"on_success": "ap.told", "on_failure": "ap.told",
    "idempotency_key": "seven"}') AS call \gset
SELECT integ_enqueue('ap_main', 'pay', '{"amount": 7}', '{"idempotency_key": "seven"}') = :'call' AS same;
SELECT state FROM integ.calls WHERE id = :'call';
SELECT count(*) FROM integ.approvals WHERE state = 'pending';
RESET ROLE;
SET ROLE ap_second;
SELECT integ_approve(ap.pending()) = :'call' AS approved;
SELECT integ_await(:'call', '20 s') - 'call' AS outcome;
RESET ROLE;

-- Rejected: nothing is sent, and the callback hears of it.
SET ROLE ap_user;
SELECT integ_enqueue('ap_main', 'pay', '{"amount": 8}', '{"on_failure": "ap.told"}') AS call \gset
RESET ROLE;
SET ROLE ap_admin;
SELECT integ_reject(ap.pending(), 'too much');
RESET ROLE;
SELECT state, last_sqlstate, last_error, error_detail FROM integ.calls WHERE id = :'call';
CALL pg_temp.wait_for('SELECT count(*) = 2 FROM ap.seen');
SELECT what, argument FROM ap.seen ORDER BY what;
-- tried again, it needs another one
SET ROLE ap_user;
SELECT integ_call_retry(:'call') = :'call' AS again;
SELECT integ_await(:'call', '20 s') - 'call' AS outcome;

-- Cancelled before anybody decided.
SELECT integ_enqueue('ap_main', 'pay', '{"amount": 9}') AS call \gset
SELECT integ_call_cancel(:'call');
RESET ROLE;
SELECT id, state, decided_by, note FROM integ.approvals WHERE call_id = :'call' \gset ap_
SELECT :'ap_state' AS state, :'ap_decided_by' AS decided_by, :'ap_note' AS note, ap.pending() AS pending;
SET ROLE ap_admin;
\set VERBOSITY sqlstate
SELECT integ_approve(:'ap_id');
SELECT integ_reject(:'ap_id');
\set VERBOSITY terse
-- undone with its transaction
SELECT integ_enqueue('ap_main', 'pay', '{"amount": 9}') AS call \gset
BEGIN;
SELECT integ_call_cancel(:'call');
ROLLBACK;
SELECT state FROM integ.approvals WHERE call_id = :'call';
SELECT integ_call_cancel(:'call');
-- An administrator does not approve its own call.
SELECT integ_enqueue('ap_main', 'pay', '{"amount": 10}') AS call \gset
SELECT integ_approve(ap.pending());
RESET ROLE;

-- Nobody decides.
UPDATE integ.approvals SET expires_at = now() WHERE call_id = :'call';
SET ROLE ap_second;
\set VERBOSITY sqlstate
SELECT integ_approve(ap.pending());
\set VERBOSITY terse
RESET ROLE;
UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'approvals';
CALL pg_temp.wait_for($$SELECT count(*) = 1 FROM integ.approvals WHERE state = 'expired'$$);
SELECT state, last_error FROM integ.calls WHERE id = :'call';

-- What has changed since does not leave.
SET ROLE ap_user;
SELECT integ_enqueue('ap_main', 'pay', '{"amount": 11}') AS call \gset
RESET ROLE;
SET ROLE ap_admin;
UPDATE integ.instances SET config = jsonb_set(config, '{note}', '"second"') WHERE instance_id = 'ap_main';
SELECT integ_approve(ap.pending()) = :'call' AS approved;
SELECT integ_await(:'call', '20 s') #- '{call}' #- '{error,detail}' AS outcome;
RESET ROLE;

-- Credentials that a definition names are shown by their names, and sent; a key stays the same.
SET ROLE ap_user;
SELECT integ_enqueue('ap_main', 'pay_key') AS call \gset
RESET ROLE;
SELECT request #- '{headers,Idempotency-Key}' #- '{url}' AS request,
    request -> 'headers' ->> 'Idempotency-Key' = call_id::text AS key,
       replace(request ->> 'url', :'provider_url', 'URL') AS url FROM integ.approvals WHERE call_id = :'call';
SET ROLE ap_admin;
SELECT integ_approve(ap.pending()) = :'call' AS approved;
SELECT integ_await(:'call', '20 s') - 'call' AS outcome;
RESET ROLE;
SELECT count(*) FROM integ.approvals WHERE approvals::text LIKE '%very%secret%';

-- The method's own function is asked once: what it made of the input is what is approved.
TRUNCATE ap.seen;
SET ROLE ap_user;
SELECT integ_enqueue('ap_main', 'stamp') AS call \gset
RESET ROLE;
SELECT request ->> 'body' AS body FROM integ.approvals WHERE call_id = :'call' \gset
SET ROLE ap_admin;
SELECT integ_approve(ap.pending()) = :'call' AS approved;
SELECT integ_await(:'call', '20 s') -> 'result' ->> 'body' = :'body' AS sent_as_approved;
RESET ROLE;
SELECT what FROM ap.seen;

-- Many at once do not go round it.
SET ROLE ap_user;
SELECT ordinal, ok, sqlstate FROM integ_execute_many('ap_main', 'pay', ARRAY['{"amount": 21}',
    '{"amount": 22}']::jsonb[]) ORDER BY ordinal;
SELECT input -> 'amount' AS amount, is_enqueued FROM integ.approvals WHERE state = 'pending' ORDER BY id;
RESET ROLE;

-- An instance of this very transaction is not there for the worker.
SET ROLE ap_admin;
BEGIN;
SELECT integ_connect('ap_svc', 'ap_new', jsonb_build_object('base_url', :'provider_url')) IS NOT NULL AS connected;
SELECT integ_execute('ap_new', 'pay', '{"amount": 1}');
ROLLBACK;
-- nothing writes in a transaction that reads
BEGIN READ ONLY;
SELECT integ_execute('ap_main', 'pay', '{"amount": 1}');
ROLLBACK;
RESET ROLE;

-- the audit has what a rolled back transaction did, too
CALL pg_temp.wait_for($$SELECT count(*) = 10 FROM integ.audit_log WHERE client_id = 'ap_acme'
    AND action LIKE 'approval.%'$$);
SELECT action, outcome, count(*) FROM integ.audit_log WHERE client_id = 'ap_acme'
    AND action LIKE 'approval.%' GROUP BY 1, 2 ORDER BY 1;
SELECT kind, count(*) FROM integ.events WHERE client_id = 'ap_acme' AND kind LIKE 'approval.%' GROUP BY 1 ORDER BY 1;

DELETE FROM integ.approvals;
DELETE FROM integ.handler_runs;
DELETE FROM integ.notifications WHERE client_id = 'ap_acme';
DELETE FROM integ.instances WHERE definition = 'ap_svc';
SELECT integ_undefine('ap_svc');
DELETE FROM integ.members WHERE client_id LIKE 'ap\_%';
DELETE FROM integ.clients WHERE id LIKE 'ap\_%';
DROP SCHEMA ap CASCADE;
DROP ROLE ap_user;
DROP ROLE ap_admin;
DROP ROLE ap_second;
DROP ROLE ap_other;
