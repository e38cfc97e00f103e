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
