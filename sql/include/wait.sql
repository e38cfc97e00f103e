\set ECHO none
-- pg_temp.wait_for(query): waits until the query answers true, at most three minutes. A test takes it in by
--     \getenv abs_srcdir PG_ABS_SRCDIR
--     \set wait :abs_srcdir '/sql/include/wait.sql'
--     \i :wait
CREATE PROCEDURE pg_temp.wait_for(query text) LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := clock_timestamp() + interval '3 minutes';
    done boolean;
BEGIN
    LOOP
        EXECUTE query INTO done;
        -- What others commit meanwhile is seen.
        COMMIT;
        EXIT WHEN done;
        IF clock_timestamp() > until THEN
            RAISE EXCEPTION 'waited in vain for: %', query;
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$$;
\set ECHO all
