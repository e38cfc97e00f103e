-- Schedules: what is one, and when it is due, whatever the clocks do.
\set VERBOSITY default
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE FUNCTION pg_temp.refused(schedule jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    hint text;
BEGIN
    PERFORM integ_next_runs(schedule, '2026-01-01Z', 1);
    RETURN 'taken';
EXCEPTION WHEN SQLSTATE 'IG400' THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN message || coalesce(' | ' || nullif(detail, ''), '') || coalesce(' | ' || nullif(hint, ''), '');
END
$$;

-- The forms.
SELECT count(*) FROM integ_next_runs('"manual"');
SELECT count(*) FROM integ_next_runs(NULL);
SELECT count(*) FROM integ_next_runs('{"type": "manual"}');
SELECT count(*) FROM integ_next_runs('{"type": "realtime", "config": {"type": "realtime", "webhookUrl": "https://x.example"}}');
SELECT * FROM integ_next_runs('{"every": "15 minutes"}', '2026-01-01 10:07:30Z', 3);
SELECT * FROM integ_next_runs('{"type": "interval", "config": {"type": "interval", "interval": 2, "unit": "weeks"}}', '2026-01-01Z', 2);
SELECT * FROM integ_next_runs('{"cron": "0 2 * * *", "timezone": "America/New_York"}', '2026-03-06Z', 4);
SELECT * FROM integ_next_runs('{"type": "cron", "config": {"type": "cron", "expression": "@daily", "timezone": "europe/paris"}}', '2026-01-01Z', 2);
SELECT * FROM integ_next_runs('{"cron": "*/20 * * * * *"}', '2026-01-01 00:00:20.5Z', 3);
SELECT count(*), min(integ_next_runs) > now() AS from_now FROM integ_next_runs('{"cron": "@hourly"}');
-- Never the time it is asked for: the next one.
SELECT * FROM integ_next_runs('{"cron": "0 0 1 1 *"}', '2026-01-01Z', 2);
SELECT * FROM integ_next_runs('{"cron": "0 0 1 1 *"}', '1999-12-31 23:59:59.999999Z', 1);
SELECT * FROM integ_next_runs('{"cron": "0 0 29 2 */7", "timezone": "Asia/Tokyo"}', '2026-01-01Z', 2);

-- Where time ends.
SELECT count(*) FROM integ_next_runs('{"cron": "0 0 1 1 *"}', 'infinity') AS a, integ_next_runs('{"cron": "0 0 1 1 *"}', '-infinity') AS b;
SELECT * FROM integ_next_runs('{"cron": "0 0 1 1 *", "timezone": "Europe/London"}', '294274-06-01Z', 5);
SELECT * FROM integ_next_runs('{"cron": "30 * 31 12 *", "timezone": "Europe/London"}', '294276-12-31 22:00Z', 5);
SELECT * FROM integ_next_runs('{"every": "366 days"}', '294275-06-01Z', 5);
SELECT * FROM integ_next_runs('{"cron": "0 0 1 1 *"}', '4714-11-24 00:00:00Z BC', 1);

-- What is not one.
SELECT pg_temp.refused(schedule) FROM unnest(ARRAY[
    '{"cron": "61 * * * *"}', '{"cron": "0 0 30 2 *"}', '{"cron": "0 2 * * *", "timezone": "Mars/Olympus"}',
    '{"cron": "0 2 * * *", "timezone": "Mars/Olympus1"}', '{"cron": "0 2 * * *", "timezone": "CEST"}',
    '{"cron": "0 2 * * *", "timezone": ""}', '{"cron": "0 2 * * *", "zone": "UTC"}', '{"cron": null}', '{"cron": 5}',
    '{"cron": "*/90 * * * *"}', '{"cron": "@reboot"}', '{"cron": "0 0 * * L"}',
    '{"every": "0 minutes"}', '{"every": "-1 hour"}', '{"every": "1.5 seconds"}', '{"every": "1 month"}', '{"every": "soon"}',
    '{"every": 15}', '{"every": "400 days"}', '{"every": "2000000000 days"}', '{"every": "1 day", "at": "2:00"}',
    '{"type": "interval"}', '{"type": "interval", "config": {"interval": 0, "unit": "minutes"}}',
    '{"type": "interval", "config": {"interval": 1, "unit": "months"}}',
    '{"type": "interval", "config": {"interval": 9000000000000000000, "unit": "weeks"}}',
    '{"type": "interval", "config": {"type": "cron", "interval": 1, "unit": "hours"}}',
    '{"type": "cron"}', '{"type": "hourly"}', '{"type": 5}', '{"type": "manual", "config": {"expression": "* * * * *"}}',
    '{"type": "realtime", "config": {"verificationToken": "secret"}}',
    '{}', '[]', '"hourly"', '"cron"', '5', 'true']::jsonb[]) AS schedule;
SELECT pg_temp.refused(to_jsonb('x'::text)), pg_temp.refused(jsonb_build_object('cron', repeat('1,', 600) || '1 * * * *'));
SELECT integ_next_runs('"manual"', now(), 100001);
SELECT integ_next_runs('"manual"', now(), -1);
-- Zones with a digit in their name are zones.
SELECT * FROM integ_next_runs('{"cron": "0 2 * * *", "timezone": "Etc/GMT+5"}', '2026-01-01Z', 1);

-- New York puts the clock forward at 2:00 on 8 March 2026, and back at 2:00 on 1 November.
CREATE FUNCTION pg_temp.local(cron text, after text, zone text, count int) RETURNS TABLE (utc timestamptz, local timestamp)
LANGUAGE sql AS $$
    SELECT run, run AT TIME ZONE zone
    FROM integ_next_runs(jsonb_build_object('cron', cron, 'timezone', zone), (after || ' ' || zone)::timestamptz, count) AS run
$$;
-- A time of the day in the gap: at the moment of the change. What is due then anyway is one run with it.
SELECT * FROM pg_temp.local('30 2 * * *', '2026-03-07 12:00', 'America/New_York', 2);
SELECT * FROM pg_temp.local('*/10 2,3 * * *', '2026-03-08 00:00', 'America/New_York', 3);
-- A time of the day that is shown twice: the first one.
SELECT * FROM pg_temp.local('30 1 * * *', '2026-10-31 12:00', 'America/New_York', 2);
-- Hours with *: real time.
SELECT * FROM pg_temp.local('30 * * * *', '2026-03-08 00:45', 'America/New_York', 3);
SELECT * FROM pg_temp.local('30 * * * *', '2026-11-01 00:45', 'America/New_York', 4);
-- Lord Howe moves its clock by half an hour; Samoa left out a day, 30 December 2011.
SELECT * FROM pg_temp.local('15 2 * * *', '2026-10-03 12:00', 'Australia/Lord_Howe', 2);
SELECT * FROM pg_temp.local('45 1 * * *', '2026-04-04 12:00', 'Australia/Lord_Howe', 2);
SELECT * FROM pg_temp.local('0 9 * * *', '2011-12-29 00:00', 'Pacific/Apia', 3);

-- The same said slowly, by PostgreSQL's own arithmetic: every quarter of an hour of ten years in UTC with the time the
-- clock shows; of hours with *, each that matches; else the first that shows a time, and for times that are never shown
-- the first behind the gap.
CREATE TEMP TABLE zones AS
SELECT * FROM unnest(ARRAY['America/New_York', 'Europe/London', 'Australia/Lord_Howe']) AS zone;
CREATE TEMP TABLE shown AS
SELECT zone, utc, utc AT TIME ZONE zone AS local
FROM zones, generate_series('2020-01-01Z'::timestamptz, '2030-01-01Z', '15 minutes') AS utc
WHERE extract(month FROM utc) IN (3, 4, 9, 10, 11);
CREATE TEMP TABLE cases (cron text, each_hour boolean, hours int[], minutes int[]);
INSERT INTO cases VALUES
    ('0 2 * * *', false, '{2}', '{0}'),
    ('30 1 * * *', false, '{1}', '{30}'),
    ('15,45 1-3 * * *', false, '{1,2,3}', '{15,45}'),
    ('*/30 0/2 * * *', false, '{0,2,4,6,8,10,12,14,16,18,20,22}', '{0,30}'),
    ('30 * * * *', true, NULL, '{30}'),
    ('*/30 */2 * * *', true, '{0,2,4,6,8,10,12,14,16,18,20,22}', '{0,30}');
CREATE TEMP TABLE slow AS
-- each hour: everything shown that matches
SELECT cron, zone, utc FROM cases, shown
WHERE each_hour AND extract(minute FROM local)::int = ANY (minutes)
  AND (hours IS NULL OR extract(hour FROM local)::int = ANY (hours))
UNION
-- times of the day: the first that shows each
SELECT cron, zone, min(utc) FROM cases, shown
WHERE NOT each_hour AND extract(minute FROM local)::int = ANY (minutes) AND extract(hour FROM local)::int = ANY (hours)
GROUP BY cron, zone, local
UNION
-- times of the day that are not shown, by the gaps of the clock
SELECT cron, zone, utc
FROM cases, (
    SELECT zone, utc, local, lag(local) OVER w AS before FROM shown WINDOW w AS (PARTITION BY zone ORDER BY utc)) AS clock,
    generate_series(before + interval '15 minutes', local - interval '15 minutes', '15 minutes') AS missing
WHERE NOT each_hour AND local - before BETWEEN interval '16 minutes' AND interval '1 day'
  AND extract(minute FROM missing)::int = ANY (minutes) AND extract(hour FROM missing)::int = ANY (hours);
CREATE TEMP TABLE quick AS
SELECT cron, zone, utc
FROM cases, zones, integ_next_runs(jsonb_build_object('cron', cron, 'timezone', zone), '2019-12-31 23:59:59Z', 100000) AS utc
WHERE utc <= '2030-01-01Z' AND extract(month FROM utc) IN (3, 4, 9, 10, 11);
SELECT cron, zone, (SELECT count(*) FROM slow WHERE slow.cron = cases.cron AND slow.zone = zones.zone) > 1000 AS many,
       (SELECT count(*) FROM (TABLE slow EXCEPT TABLE quick) AS x WHERE x.cron = cases.cron AND x.zone = zones.zone) AS missing,
       (SELECT count(*) FROM (TABLE quick EXCEPT TABLE slow) AS x WHERE x.cron = cases.cron AND x.zone = zones.zone) AS too_many
FROM cases, zones ORDER BY cron COLLATE "C", zone;
-- The changes of the clock are among them.
SELECT zone, count(*) FROM (
    SELECT zone, utc AT TIME ZONE zone - (utc - interval '15 minutes') AT TIME ZONE zone AS step FROM shown) AS steps
WHERE step <> '15 minutes' GROUP BY zone ORDER BY zone;
-- One after the other or from anywhere: the same times.
SELECT count(*) AS wrong FROM (SELECT utc, lead(utc) OVER (PARTITION BY zone ORDER BY utc) AS next, zone FROM slow WHERE cron = '15,45 1-3 * * *') AS runs
WHERE extract(year FROM utc) IN (2024, 2026) AND extract(month FROM next) IN (3, 4, 10, 11) AND next - utc < '1 day' AND EXISTS (
    SELECT FROM generate_series(utc, next - interval '1 second', '173 seconds') AS moment
    WHERE (SELECT integ_next_runs(jsonb_build_object('cron', '15,45 1-3 * * *', 'timezone', zone), moment, 1)) <> next);
