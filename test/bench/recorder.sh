#!/bin/bash
# The recorder: rows a second through shared memory into the tables, and what a
# write waits for its intent, against a bare commit of the same session.
set -eu
[ -n "${INTEG_LONG:-}" ] && rows=2000000 writes=50000 || rows=200000 writes=2000

run() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

run <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS integ_test_record;
CREATE TABLE IF NOT EXISTS bench_commits (n integer);
-- Seconds until the recorder has written everything that the statement queues.
CREATE OR REPLACE FUNCTION bench_drain(statement text) RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    start timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement;
    WHILE (SELECT queue_depth > 0 FROM integ_status() WHERE component = 'recorder' AND database = current_database()) LOOP
        PERFORM pg_sleep(0.002);
    END LOOP;
    RETURN extract(epoch FROM clock_timestamp() - start);
END
$$;
-- Microseconds of one commit, and of one write: its intent on disk, then its outcome.
CREATE OR REPLACE PROCEDURE bench_commit(count integer, INOUT us numeric) LANGUAGE plpgsql AS $$
DECLARE
    start timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1 .. count LOOP
        INSERT INTO bench_commits VALUES (i);
        COMMIT;
    END LOOP;
    us := round(extract(epoch FROM clock_timestamp() - start) * 1e6 / count, 1);
END
$$;
CREATE OR REPLACE PROCEDURE bench_write(count integer, INOUT us numeric) LANGUAGE plpgsql AS $$
DECLARE
    start timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1 .. count LOOP
        PERFORM test_intent();
        PERFORM test_outcome();
    END LOOP;
    us := round(extract(epoch FROM clock_timestamp() - start) * 1e6 / count, 1);
END
$$;
DO $$ BEGIN PERFORM test_intent(); END $$;
SQL

# Partitions are made meanwhile; the measurement is not to wait for them.
until [ "$(run -c "SELECT count(*) >= 4 FROM pg_inherits WHERE inhparent = 'integ.requests'::regclass AND inhrelid::regclass::text ~ '\d{8}$'")" = t ]; do
    sleep 0.1
done

for log in requests audits; do
    echo "bench recorder_${log}_rows_per_s $(run -c "SELECT round($rows / bench_drain('SELECT test_$log($rows)')::numeric)")"
done
commit=$(run -c "CALL bench_commit($writes, NULL)")
write=$(run -c "CALL bench_write($writes, NULL)")
echo "bench recorder_commit_us $commit"
echo "bench recorder_intent_us $write"
awk "BEGIN { printf \"bench recorder_intent_per_commit %.2f\n\", $write / $commit }"
lost=$(run -c "SELECT coalesce(sum(lost), 0) FROM integ.requests")
echo "bench recorder_lost_rows $lost"
