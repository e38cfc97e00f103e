-- The request log and the audit: who reads what, and that nobody changes it.
\set VERBOSITY terse
SET client_min_messages = warning;
INSERT INTO integ.plans (id, name, limits) VALUES
    ('rec_core', 'Core', '{"audit": false}'), ('rec_enterprise', 'Enterprise', '{"audit": "long"}');
INSERT INTO integ.clients (id, name, plan) VALUES
    ('rec_acme', 'Acme', 'rec_enterprise'), ('rec_small', 'Small', 'rec_core');
CREATE ROLE rec_ada LOGIN IN ROLE integ_user;
CREATE ROLE rec_bob LOGIN IN ROLE integ_user;
CREATE ROLE rec_boss LOGIN IN ROLE integ_admin;
CREATE ROLE rec_small LOGIN IN ROLE integ_admin;
CREATE ROLE rec_stranger LOGIN IN ROLE integ_user;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('rec_ada', 'rec_acme', 'ada', 'user'), ('rec_bob', 'rec_acme', 'bob', 'user'),
    ('rec_boss', 'rec_acme', 'boss', 'admin'), ('rec_small', 'rec_small', 'sam', 'admin');

-- Lines as the recorder writes them.
INSERT INTO integ.requests (created_at, client_id, user_id, method, status)
VALUES (now(), 'rec_acme', 'ada', 'list', 200), (now(), 'rec_acme', 'bob', 'get', 404),
       (now(), 'rec_small', 'sam', 'list', 200);
INSERT INTO integ.audit_log (created_at, retention, client_id, user_id, call_id, action, outcome)
SELECT now(), r, c, u, i::uuid, a, o FROM (VALUES
    ('long', 'rec_acme', 'ada', '00000000-0000-7000-8000-000000000001', 'call.write', 'pending'),
    ('long', 'rec_acme', 'ada', '00000000-0000-7000-8000-000000000001', 'call.write', 'succeeded'),
    ('long', 'rec_acme', 'bob', '00000000-0000-7000-8000-000000000002', 'call.write', 'pending'),
    ('long', 'rec_acme', 'bob', '00000000-0000-7000-8000-000000000003', 'credential.set', 'succeeded'),
    ('short', 'rec_small', 'sam', '00000000-0000-7000-8000-000000000004', 'call.write', 'pending')) AS l (r, c, u, i, a, o);

-- A user reads its own lines, an administrator those of its client, a superadmin all.
SET ROLE rec_ada;
SELECT client_id, user_id, method, status FROM integ.requests ORDER BY method;
SELECT user_id, action, outcome FROM integ.writes;
SET ROLE rec_boss;
SELECT client_id, user_id, method, status FROM integ.requests ORDER BY method;
SELECT user_id, action, outcome, settled_at IS NOT NULL AS settled FROM integ.writes ORDER BY user_id;
SELECT action, outcome FROM integ.audit_log ORDER BY id;
-- A plan without audit: kept, not readable.
SET ROLE rec_small;
SELECT method FROM integ.requests;
SELECT count(*) FROM integ.audit_log;
SELECT count(*) FROM integ.writes;
SET ROLE rec_stranger;
SELECT count(*) FROM integ.requests;
-- The policies work in a parallel query too.
SELECT set_config(CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'force_parallel_mode' ELSE 'debug_parallel_query' END, 'on', false);
SELECT count(*) FROM integ.requests;
SELECT set_config(CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'force_parallel_mode' ELSE 'debug_parallel_query' END, 'off', false);
SELECT count(*) FROM integ.audit_log;
RESET ROLE;
SELECT client_id, count(*) FROM integ.audit_log WHERE client_id LIKE 'rec%' GROUP BY 1 ORDER BY 1;
SELECT tableoid::regclass::text ~ '^integ.audit_log_(short|long)_(20\d{6}|default)$' AS partition_of_its_class, count(*)
FROM integ.audit_log WHERE client_id LIKE 'rec%' GROUP BY 1;

-- Append-only: neither users nor the owner of the tables may change a line.
SET ROLE rec_boss;
UPDATE integ.audit_log SET outcome = 'failed';
DELETE FROM integ.requests;
INSERT INTO integ.audit_log (created_at, retention, client_id, action, outcome) VALUES (now(), 'short', 'rec_acme', 'x', 'failed');
SELECT * FROM integ.requests_default;
RESET ROLE;
SET ROLE integ_owner;
UPDATE integ.audit_log SET outcome = 'failed';
DELETE FROM integ.audit_log;
TRUNCATE integ.requests;
RESET ROLE;

-- What is no line is refused.
\set VERBOSITY sqlstate
INSERT INTO integ.audit_log (created_at, retention, client_id, action, outcome) VALUES (now(), 'forever', 'c', 'x', 'failed');
INSERT INTO integ.audit_log (created_at, retention, client_id, action, outcome) VALUES (now(), 'short', 'c', 'x', 'perhaps');
INSERT INTO integ.requests (created_at, client_id, kind) VALUES (now(), 'c', 'other');
\set VERBOSITY terse

-- The latest intent of a call counts, with the outcome after it.
INSERT INTO integ.audit_log (created_at, retention, client_id, call_id, action, outcome, detail)
VALUES (now(), 'short', 'rec_again', '00000000-0000-7000-8000-000000000005', 'call.write', 'pending', '{"attempt": 1}'),
       (now(), 'short', 'rec_again', '00000000-0000-7000-8000-000000000005', 'call.write', 'unknown', NULL),
       (now(), 'short', 'rec_again', '00000000-0000-7000-8000-000000000005', 'call.write', 'pending', '{"attempt": 2}');
SELECT outcome, intent FROM integ.writes WHERE client_id = 'rec_again';
INSERT INTO integ.audit_log (created_at, retention, client_id, call_id, action, outcome, detail)
VALUES (now(), 'short', 'rec_again', '00000000-0000-7000-8000-000000000005', 'call.write', 'succeeded', '{"status": 200}');
SELECT outcome, intent, detail FROM integ.writes WHERE client_id = 'rec_again';

DELETE FROM integ.members WHERE client_id LIKE 'rec%';
DELETE FROM integ.clients WHERE id LIKE 'rec%';
DELETE FROM integ.plans WHERE id LIKE 'rec%';
DELETE FROM integ.audit_log WHERE client_id LIKE 'rec%';
DELETE FROM integ.requests WHERE client_id LIKE 'rec%';
DROP ROLE rec_ada, rec_bob, rec_boss, rec_small, rec_stranger;
