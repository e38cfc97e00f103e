-- Whatever the planner thinks of the audit, it finds the lines of a write by its call: walking the primary key
-- for the last of them takes all that came later, for each write.
SET enable_seqscan = off;
SET enable_sort = off;
DO $$
DECLARE
    line text;
    by_call boolean := false;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT count(outcome) FROM integ.writes WHERE client_id = ''many''' LOOP
        IF line ~ ' l(_[0-9]+)?$' AND line ~ '_pkey' THEN
            RAISE EXCEPTION 'the outcome of a write is looked for in the order of the primary key';
        END IF;
        by_call := by_call OR (line ~ ' l(_[0-9]+)?$' AND line ~ '_call_id_idx');
    END LOOP;
    ASSERT by_call, 'the outcome of a write is not looked for by its call';
END $$;
RESET enable_seqscan;
RESET enable_sort;

-- Partitions of days long before a write are not looked into for its outcome.
BEGIN;
DO $$
DECLARE
    old date := current_date - 30;
    line text;
    looks integer := 0;
    passed_over integer := 0;
BEGIN
    EXECUTE format('CREATE TABLE integ.audit_log_standard_old PARTITION OF integ.audit_log_standard
        FOR VALUES FROM (%L) TO (%L)', old::timestamp AT TIME ZONE 'UTC', (old + 1)::timestamp AT TIME ZONE 'UTC');
    INSERT INTO integ.audit_log (created_at, retention, client_id, call_id, action, outcome)
    SELECT now(), 'standard', 'many', '018f0000-0000-7000-8000-000000000001', 'call.write', outcome
    FROM unnest('{pending,succeeded}'::text[]) outcome;
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT outcome FROM integ.writes
        WHERE call_id = ''018f0000-0000-7000-8000-000000000001''' LOOP
        IF line ~ 'audit_log_standard_old l(_[0-9]+)? ' THEN
            looks := looks + 1;
            passed_over := passed_over + (line ~ 'never executed')::int;
        END IF;
    END LOOP;
    ASSERT passed_over = looks, format('%s of %s looks were needless', looks - passed_over, looks);
    ASSERT (SELECT count(*) FROM integ.writes WHERE outcome = 'succeeded'
        AND call_id = '018f0000-0000-7000-8000-000000000001') = 1, 'the outcome is found';
END $$;
ROLLBACK;
