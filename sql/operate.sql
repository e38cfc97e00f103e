-- Running: identity, events, notifications, maintenance jobs, partitions, status.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT integ_version() ~ '^\d+\.\d+\.\d+$' AS version;

-- The keeper comes by itself.
\getenv abs_srcdir PG_ABS_SRCDIR
\set wait :abs_srcdir '/sql/include/wait.sql'
\i :wait
CALL pg_temp.wait_for($$SELECT state = 'running' FROM integ_status()
    WHERE component = 'keeper' AND database = current_database()$$);
SELECT component, state FROM integ_status()
WHERE component IN ('preload', 'launcher', 'keeper', 'held') AND coalesce(database = current_database(), true)
ORDER BY component;
SELECT count(DISTINCT component) >= 10 AS every_part,
       bool_and(state IS NOT NULL AND state <> '') AS has_a_state FROM integ_status();

-- Not held: there is nothing to resume.
SELECT system_identifier = (SELECT system_identifier::text FROM pg_control_system()) AS this_cluster,
       database_oid = (SELECT oid FROM pg_database WHERE datname = current_database()) AS this_database,
       database_name = current_database() AS name
FROM integ.identity;
SELECT integ_resume();

-- The row of another database is a restore: held until somebody says so.
INSERT INTO integ.identity (system_identifier, database_oid, database_name, timeline)
    VALUES ('42', 16384, 'elsewhere', 1);
CALL pg_temp.wait_for($$SELECT state = 'yes' FROM integ_status() WHERE component = 'held'$$);
SELECT last_error, hint FROM integ_status() WHERE component = 'held';
CREATE ROLE op_ada LOGIN IN ROLE integ_admin;
INSERT INTO integ.clients (id, name) VALUES ('op_acme', 'Acme');
INSERT INTO integ.members (role, client_id, user_id, level) VALUES ('op_ada', 'op_acme', 'ada', 'admin');
SET ROLE op_ada;
SELECT integ_resume();
RESET ROLE;
SELECT integ_resume();
CALL pg_temp.wait_for($$SELECT state = 'no' FROM integ_status() WHERE component = 'held'$$);
SELECT count(*) FROM integ.identity;
SELECT kind, payload FROM integ.events WHERE kind = 'database.resumed';

-- Partitions of four days, members of the extension, nobody's business.
UPDATE integ.maintenance_jobs SET next_run_at = now() WHERE name = 'partitions';
CALL pg_temp.wait_for($$SELECT count(*) >= 4 FROM pg_inherits WHERE inhparent = 'integ.requests'::regclass
                        AND inhrelid::regclass::text ~ '_20\d{6}$'$$);
CALL pg_temp.wait_for($$SELECT last_run_at IS NOT NULL AND last_duration IS NOT NULL AND next_run_at > now()
    FROM integ.maintenance_jobs WHERE name = 'partitions'$$);
SELECT name, schedule, is_active, last_error FROM integ.maintenance_jobs WHERE name IN ('partitions', 'retention')
    ORDER BY name;
-- Today and three more; a fifth where midnight (UTC) has passed meanwhile.
SELECT state ~ '^[45] days$' AS days FROM integ_status() WHERE component = 'partitions';
SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'integ'::regnamespace AND c.relispartition
  AND (c.relacl IS NOT NULL OR NOT c.relrowsecurity) AND c.relkind = 'r';
SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'integ'::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass);

-- Years pass: the clock is an argument.
BEGIN;
INSERT INTO integ.requests (created_at, client_id, method) VALUES ('2091-05-01 12:00+00', 'op_acme', 'early');
SELECT tableoid::regclass FROM integ.requests WHERE client_id = 'op_acme';
DO $$
BEGIN
    FOR attempt IN 1..200 LOOP
        BEGIN
            PERFORM integ.partitions_maintain('2091-05-01 23:59:59.9+00');
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            -- A worker is writing: the job gives way as well, and comes again.
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    RAISE EXCEPTION 'the locks were never free';
END $$;
SELECT tableoid::regclass FROM integ.requests WHERE client_id = 'op_acme';
SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'integ.requests'::regclass ORDER BY 1;
SELECT integ.partitions_maintain('2091-05-01 00:00+00');
INSERT INTO integ.audit_log (created_at, retention, client_id, action, outcome) VALUES
    ('2091-05-01 12:00+00', 'short', 'op_acme', 'x', 'failed'),
    ('2091-05-01 12:00+00', 'standard', 'op_acme', 'x', 'failed'),
    ('2091-05-01 12:00+00', 'long', 'op_acme', 'x', 'failed');
-- 30 days after the day is over the short class goes, a year later the standard one.
SELECT integ.partitions_maintain('2091-05-31 23:00+00') > 0 AS worked;
SELECT retention FROM integ.audit_log WHERE client_id = 'op_acme' ORDER BY 1;
SELECT integ.partitions_maintain('2091-06-01 00:00+00') > 0 AS worked;
SELECT retention FROM integ.audit_log WHERE client_id = 'op_acme' ORDER BY 1;
SELECT count(*) FROM integ.requests WHERE client_id = 'op_acme';
SELECT integ.partitions_maintain('2092-05-02 00:00+00') > 0 AS worked;
SELECT retention FROM integ.audit_log WHERE client_id = 'op_acme' ORDER BY 1;
SELECT integ.partitions_maintain('2098-05-02 00:00+00') > 0 AS worked;
SELECT retention FROM integ.audit_log WHERE client_id = 'op_acme' ORDER BY 1;
SELECT integ.partitions_maintain('infinity');
ROLLBACK;
SET ROLE op_ada;
SELECT integ.partitions_maintain();
RESET ROLE;

-- Jobs are steered with UPDATE; a job nobody knows says so; a restore merges.
SET ROLE op_ada;
UPDATE integ.maintenance_jobs SET is_active = false;
RESET ROLE;
INSERT INTO integ.maintenance_jobs (name, schedule) VALUES ('op_nobody', '1 hour');
CALL pg_temp.wait_for($$SELECT last_error IS NOT NULL FROM integ.maintenance_jobs WHERE name = 'op_nobody'$$);
SELECT last_error, next_run_at < now() + interval '6 minutes' AS soon_again FROM integ.maintenance_jobs
    WHERE name = 'op_nobody';
SELECT payload FROM integ.events WHERE kind = 'maintenance.failed' AND payload ->> 'job' = 'op_nobody' LIMIT 1;
SELECT last_error ~ 'op_nobody: this version' AS told FROM integ_status() WHERE component = 'partitions';
INSERT INTO integ.maintenance_jobs (name, schedule, is_active) VALUES ('op_nobody', '2 hours', false);
SELECT schedule, is_active, last_error IS NOT NULL AS kept FROM integ.maintenance_jobs WHERE name = 'op_nobody';
INSERT INTO integ.maintenance_jobs (name, schedule) VALUES ('op_hasty', '0 seconds');
DELETE FROM integ.maintenance_jobs WHERE name = 'op_nobody';

-- Events and notifications: who reads them, and who may mark what.
INSERT INTO integ.events (client_id, kind) VALUES ('op_acme', 'instance.connected'), ('op_other', 'instance.connected');
\set VERBOSITY sqlstate
INSERT INTO integ.events (client_id, kind) VALUES ('op_acme', 'Not a kind');
\set VERBOSITY terse
INSERT INTO integ.notifications (recipient, client_id, kind, text) VALUES
    ('ada', 'op_acme', 'test.one', 'for Ada'), ('bob', 'op_acme', 'test.two', 'for Bob'),
    (NULL, 'op_acme', 'test.three', 'for administrators'), (NULL, 'op_other', 'test.four', 'for others');
SET ROLE op_ada;
SELECT client_id, kind FROM integ.events WHERE kind = 'instance.connected';
UPDATE integ.notifications SET read_at = now();
SELECT text, read_at IS NOT NULL AS read FROM integ.notifications ORDER BY kind;
UPDATE integ.notifications SET text = 'other';
DELETE FROM integ.events;
SELECT count(*) FROM integ.identity;
RESET ROLE;
UPDATE integ.members SET level = 'user' WHERE role = 'op_ada'::regrole;
SET ROLE op_ada;
SELECT text FROM integ.notifications;
SELECT count(*) FROM integ.events;
SELECT count(*) FROM integ_status();
RESET ROLE;

DELETE FROM integ.notifications WHERE client_id LIKE 'op%';
DELETE FROM integ.members WHERE client_id LIKE 'op%';
DELETE FROM integ.clients WHERE id LIKE 'op%';
DELETE FROM integ.events WHERE client_id LIKE 'op%';
DROP ROLE op_ada;
