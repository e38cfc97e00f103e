-- Sync tasks as rows, their schedules, policies and executions. What a run does is in sync.sql; here nothing is sent.
\pset null '(null)'
\set VERBOSITY default

INSERT INTO integ.clients (id, name) VALUES ('synct_acme', 'Acme'), ('synct_beta', 'Beta');
CREATE ROLE synct_ann LOGIN;
CREATE ROLE synct_boss LOGIN;
CREATE ROLE synct_other LOGIN;
CREATE ROLE synct_group NOLOGIN;
GRANT integ_user TO synct_ann;
GRANT integ_admin TO synct_boss, synct_other;
INSERT INTO integ.members (role, client_id, user_id, level) VALUES
    ('synct_ann', 'synct_acme', 'ann', 'user'), ('synct_boss', 'synct_acme', 'boss', 'admin'),
    ('synct_other', 'synct_beta', 'other', 'admin');

-- The specification's examples, as its tables have them.
SET ROLE synct_boss;
INSERT INTO integ.sync_tasks (task_id, name, schedule, config, retry_config, notifications) VALUES
('sf-opp-hourly', 'Salesforce Opportunities - Hourly',
 '{"type": "interval", "config": {"type": "interval", "interval": 1, "unit": "hours"}}',
 '{"incrementalSync": true, "modifiedSinceField": "LastModifiedDate"}',
 '{"maxRetries": 3, "retryDelaySeconds": 300, "exponentialBackoff": true}',
 '{"onSuccess": false, "onFailure": true, "onPartial": true, "recipients": ["admin@tenant.com"]}');
INSERT INTO integ.sync_tasks (task_id, name, schedule) VALUES
('sf-contact-daily', 'Salesforce Contacts - Daily',
 '{"type": "cron", "config": {"type": "cron", "expression": "0 2 * * *", "timezone": "America/New_York"}}');
SELECT task_id, client_id, context_type, context_id, direction, status, owner, overlap_policy, catchup_policy,
       next_run_at BETWEEN now() AND now() + interval '25 hours' AS is_scheduled
FROM integ.sync_tasks WHERE client_id = 'synct_acme' ORDER BY task_id;
SELECT next_run_at AT TIME ZONE 'America/New_York' = date_trunc('day', next_run_at AT TIME ZONE 'America/New_York') + interval '2 hours'
       AS at_two FROM integ.sync_tasks WHERE task_id = 'sf-contact-daily';

-- What a row must be.
INSERT INTO integ.sync_tasks (task_id, schedule) VALUES ('bad', '{"cron": "61 * * * *"}');
INSERT INTO integ.sync_tasks (task_id, schedule) VALUES ('bad', '{"every": "0 minutes"}');
INSERT INTO integ.sync_tasks (task_id, retry_config) VALUES ('bad', '{"maxRetry": 3}');
INSERT INTO integ.sync_tasks (task_id, retry_config) VALUES ('bad', '{"maxRetries": -1}');
INSERT INTO integ.sync_tasks (task_id, retry_config) VALUES ('bad', '[]');
INSERT INTO integ.sync_tasks (task_id, notifications) VALUES ('bad', '{"recipients": [1]}');
INSERT INTO integ.sync_tasks (task_id, notifications) VALUES ('bad', '{"onSucces": true}');
INSERT INTO integ.sync_tasks (task_id, overlap_policy) VALUES ('bad', 'wait');
INSERT INTO integ.sync_tasks (task_id, jitter) VALUES ('bad', '-1 second');
INSERT INTO integ.sync_tasks (task_id, next_run_at) VALUES ('bad', 'infinity');
INSERT INTO integ.sync_tasks (task_id) VALUES ('sf-opp-hourly');
INSERT INTO integ.sync_tasks (task_id, owner) VALUES ('bad', 'synct_other');
INSERT INTO integ.sync_tasks (task_id, instance) VALUES ('bad', integ.uuid_generate());
INSERT INTO integ.sync_tasks (task_id, stats) VALUES ('bad', '{}');
UPDATE integ.sync_tasks SET owner = 'synct_ann' WHERE task_id = 'sf-opp-hourly';
RESET ROLE;
GRANT synct_group TO synct_boss;
SET ROLE synct_boss;
-- Before PostgreSQL 17, no worker runs as a role that may not log in.
DO $$
BEGIN
    INSERT INTO integ.sync_tasks (task_id, owner) VALUES ('bad', 'synct_group');
    IF current_setting('server_version_num')::int >= 170000 THEN
        RAISE EXCEPTION 'it may' USING ERRCODE = 'IG403';
    END IF;
EXCEPTION WHEN SQLSTATE 'IG403' THEN
    RAISE NOTICE 'refused';
END
$$;
RESET ROLE;

-- Who sees and manages what.
SET ROLE synct_ann;
INSERT INTO integ.sync_tasks (task_id) VALUES ('mine') RETURNING client_id, context_type, context_id, owner;
SELECT task_id FROM integ.sync_tasks WHERE client_id <> '*' ORDER BY task_id;
UPDATE integ.sync_tasks SET status = 'paused' WHERE task_id = 'sf-opp-hourly';
SELECT integ_sync_run('sf-opp-hourly');
SELECT integ_sync_pause('sf-opp-hourly');
SET ROLE synct_other;
SELECT count(*) FROM integ.sync_tasks WHERE client_id <> '*';
SELECT integ_sync_run('mine');
RESET ROLE;

-- A change of the schedule moves next_run_at; setting that runs the task then.
UPDATE integ.sync_tasks SET schedule = '"manual"' WHERE task_id = 'sf-opp-hourly' RETURNING next_run_at;
UPDATE integ.sync_tasks SET schedule = '{"every": "2 hours"}' WHERE task_id = 'sf-opp-hourly'
RETURNING next_run_at BETWEEN now() + interval '119 minutes' AND now() + interval '121 minutes' AS in_two_hours;
UPDATE integ.sync_tasks SET start_at = '2100-01-01 00:00+00' WHERE task_id = 'sf-opp-hourly' RETURNING next_run_at;
\set VERBOSITY terse
UPDATE integ.sync_tasks SET end_at = '2099-01-01 00:00+00' WHERE task_id = 'sf-opp-hourly';
\set VERBOSITY default
UPDATE integ.sync_tasks SET end_at = '2100-01-01 03:00+00' WHERE task_id = 'sf-opp-hourly' RETURNING next_run_at;
UPDATE integ.sync_tasks SET name = 'Another' WHERE task_id = 'sf-opp-hourly' RETURNING next_run_at;

-- The scheduler, with a clock of ours: the future is not run yet.
CREATE VIEW synct_executions AS
SELECT task_id, status, trigger, scheduled_for AT TIME ZONE 'UTC' AS slot, (run_at - scheduled_for) AS later, slots,
       regexp_replace(reason, '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID') AS reason
FROM integ.sync_executions WHERE task_id ~ '^p-' ORDER BY task_id, scheduled_for, status;
-- start_at is the first slot, the one at end_at is none.
SELECT integ.sync_schedule('2099-12-31 23:59:59+00') > now() AS nothing;
SELECT status, scheduled_for AT TIME ZONE 'UTC' AS slot FROM integ.sync_executions WHERE task_id = 'sf-opp-hourly';
SELECT integ.sync_schedule('2100-01-01 00:00:00+00') IS NOT NULL AS done;
SELECT status, scheduled_for AT TIME ZONE 'UTC' AS slot FROM integ.sync_executions WHERE task_id = 'sf-opp-hourly';
SELECT next_run_at AT TIME ZONE 'UTC' AS next FROM integ.sync_tasks WHERE task_id = 'sf-opp-hourly';
SELECT integ.sync_schedule('2100-01-01 02:00:30+00') IS NOT NULL AS done;
SELECT status, scheduled_for AT TIME ZONE 'UTC' AS slot,
       regexp_replace(reason, '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID') AS reason
FROM integ.sync_executions WHERE task_id = 'sf-opp-hourly' ORDER BY slot;
SELECT next_run_at FROM integ.sync_tasks WHERE task_id = 'sf-opp-hourly';
DELETE FROM integ.sync_tasks WHERE task_id IN ('sf-opp-hourly', 'sf-contact-daily', 'mine');
SELECT status, regexp_replace(reason, '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID') AS reason
FROM integ.sync_executions WHERE task_id = 'sf-opp-hourly' ORDER BY scheduled_for;

-- Catching up: nothing ran here from 00:00 to 03:10.
INSERT INTO integ.sync_tasks (task_id, schedule, catchup_policy, next_run_at)
SELECT 'p-' || policy, '{"every": "1 hour"}', policy, '2200-01-01 00:00+00' FROM unnest('{none,one,all}'::text[]) policy;
SELECT integ.sync_schedule('2200-01-01 03:10+00') IS NOT NULL AS done;
SELECT task_id, next_run_at AT TIME ZONE 'UTC' AS next FROM integ.sync_tasks WHERE task_id ~ '^p-' ORDER BY 1;
SELECT * FROM synct_executions;
-- One that is late by a moment was not missed.
DELETE FROM integ.sync_tasks WHERE task_id ~ '^p-';
INSERT INTO integ.sync_tasks (task_id, schedule, catchup_policy, next_run_at)
SELECT 'p-moment-' || policy, '{"every": "1 hour"}', policy, '2200-01-01 00:00+00' FROM unnest('{none,one,all}'::text[]) policy;
SELECT integ.sync_schedule('2200-01-01 02:00:59+00') IS NOT NULL AS done;
SELECT task_id, next_run_at AT TIME ZONE 'UTC' AS next FROM integ.sync_tasks WHERE task_id ~ '^p-' ORDER BY 1;
SELECT * FROM synct_executions WHERE task_id ~ 'moment';
DELETE FROM integ.sync_tasks WHERE task_id ~ '^p-';
-- A week of minutes: so many leave a row each, and one stands for the rest.
INSERT INTO integ.sync_tasks (task_id, schedule, catchup_policy, next_run_at)
VALUES ('p-week', '{"every": "1 minute"}', 'one', '2201-01-01 00:00+00');
SELECT integ.sync_schedule('2201-01-08 00:00+00') IS NOT NULL AS done;
SELECT task_id, next_run_at AT TIME ZONE 'UTC' AS next FROM integ.sync_tasks WHERE task_id ~ '^p-' ORDER BY 1;
SELECT status, count(*), sum(slots) AS slots, min(slot), max(slot) FROM synct_executions WHERE task_id = 'p-week' GROUP BY status;
DELETE FROM integ.sync_tasks WHERE task_id ~ '^p-';

-- Overlap: the execution of 00:00 has not begun when 01:00 comes.
INSERT INTO integ.sync_tasks (task_id, schedule, overlap_policy, next_run_at)
SELECT 'p-over-' || policy, '{"every": "1 hour"}', policy, '2202-01-01 00:00+00' FROM unnest('{skip,queue,cancel}'::text[]) policy;
SELECT integ.sync_schedule('2202-01-01 00:00+00') IS NOT NULL AS done;
SELECT integ.sync_schedule('2202-01-01 01:00+00') IS NOT NULL AS done;
SELECT * FROM synct_executions WHERE task_id ~ 'over';
-- A task is found at its slot once.
SELECT integ.sync_schedule('2202-01-01 01:00+00') IS NOT NULL AS done;
SELECT count(*) FROM synct_executions WHERE task_id ~ 'over';
DELETE FROM integ.sync_tasks WHERE task_id ~ '^p-';

-- Jitter: somewhere within it, each time the same.
INSERT INTO integ.sync_tasks (task_id, schedule, jitter, next_run_at)
VALUES ('p-jitter', '{"every": "1 hour"}', '10 minutes', '2203-01-01 00:00+00');
SELECT integ.sync_schedule('2203-01-01 00:00+00') IS NOT NULL AS done;
SELECT task_id, next_run_at AT TIME ZONE 'UTC' AS next FROM integ.sync_tasks WHERE task_id ~ '^p-' ORDER BY 1;
SELECT status, slot, later > interval '0' AND later < interval '10 minutes' AS within FROM synct_executions WHERE task_id = 'p-jitter';
DELETE FROM integ.sync_tasks WHERE task_id ~ '^p-';

-- A clock that was set back an hour: an interval goes on, what ran at a time of the clock does not run again.
INSERT INTO integ.sync_tasks (task_id, schedule, next_run_at) VALUES
('p-back-every', '{"every": "15 minutes"}', '2204-01-01 02:00+00'),
('p-back-cron', '{"cron": "0 2 * * *", "timezone": "UTC"}', '2204-01-01 02:00+00');
SELECT integ.sync_schedule('2204-01-01 02:00+00') IS NOT NULL AS done;
SELECT task_id, next_run_at AT TIME ZONE 'UTC' AS next FROM integ.sync_tasks WHERE task_id ~ '^p-' ORDER BY 1;
UPDATE integ.sync_tasks SET last_run_at = '2204-01-01 02:00+00' WHERE task_id ~ '^p-back';
SELECT integ.sync_schedule('2204-01-01 01:05+00') IS NOT NULL AS done;
SELECT task_id, next_run_at AT TIME ZONE 'UTC' AS next FROM integ.sync_tasks WHERE task_id ~ '^p-' ORDER BY 1;
SELECT task_id, next_run_at AT TIME ZONE 'UTC' AS next FROM integ.sync_tasks WHERE task_id ~ '^p-back' ORDER BY 1;
SELECT integ.sync_schedule('2204-01-01 02:05+00') IS NOT NULL AS done;
SELECT task_id, next_run_at AT TIME ZONE 'UTC' AS next FROM integ.sync_tasks WHERE task_id ~ '^p-' ORDER BY 1;
SELECT task_id, slot FROM synct_executions WHERE task_id = 'p-back-cron';
DELETE FROM integ.sync_tasks WHERE task_id ~ '^p-';

-- One task that cannot be scheduled does not stop the others.
INSERT INTO integ.sync_tasks (task_id, schedule, next_run_at) VALUES
('p-broken', '{"every": "1 hour"}', '2205-01-01 00:00+00'), ('p-whole', '{"every": "1 hour"}', '2205-01-01 00:00+00');
ALTER TABLE integ.sync_tasks DISABLE TRIGGER sync_tasks_check;
UPDATE integ.sync_tasks SET schedule = '{"cron": "0 0 30 2 *"}' WHERE task_id = 'p-broken';
ALTER TABLE integ.sync_tasks ENABLE TRIGGER sync_tasks_check;
SELECT integ.sync_schedule('2205-01-01 00:00+00') IS NOT NULL AS done;
SELECT task_id, status, last_error ->> 'message' AS message,
       last_error #>> '{details,detail}' AS detail FROM integ.sync_tasks WHERE task_id ~ '^p-' ORDER BY 1;
SELECT component, hint ~ 'in error' AS tells FROM integ_status() WHERE component = 'sync';
-- Mended, it is active again.
UPDATE integ.sync_tasks SET schedule = '{"every": "1 hour"}' WHERE task_id = 'p-broken' RETURNING status;
UPDATE integ.sync_tasks SET status = 'error' WHERE task_id = 'p-broken';
SELECT integ_sync_resume('p-broken') BETWEEN now() + interval '59 minutes' AND now() + interval '61 minutes' AS in_an_hour;
SELECT status, last_error FROM integ.sync_tasks WHERE task_id = 'p-broken';
-- Paused: what waits ends.
SELECT integ.sync_schedule('2205-01-01 01:00+00') IS NOT NULL AS done;
SELECT integ_sync_pause('p-whole');
SELECT status, reason FROM synct_executions WHERE task_id = 'p-whole';
SELECT integ_sync_resume('p-whole') > now() AS scheduled;
UPDATE integ.sync_tasks SET status = 'disabled' WHERE task_id = 'p-whole';
SELECT integ_sync_run('p-whole');
DELETE FROM integ.sync_tasks WHERE task_id ~ '^p-';

-- Functions say what is wrong.
SELECT integ_sync_run('nothing');
SELECT integ_sync_cancel('00000000-0000-0000-0000-000000000000');
SELECT integ_sync_retry('00000000-0000-0000-0000-000000000000');
SELECT integ_sync_retry('00000000-0000-0000-0000-000000000000', 'some');
SELECT integ_sync_run('nothing', options => '{"ful": true}');
BEGIN;
INSERT INTO integ.sync_tasks (task_id) VALUES ('p-own');
SELECT integ_sync_run('p-own');
ROLLBACK;
BEGIN READ ONLY;
SELECT integ_sync_run('p-own');
ROLLBACK;

DROP VIEW synct_executions;
DELETE FROM integ.members WHERE role::text ~ '^synct_';
DELETE FROM integ.clients WHERE id ~ '^synct_';
DROP ROLE synct_ann, synct_boss, synct_other, synct_group;
