#!/usr/bin/env python3
"""Durable calls beside what they cannot be faster than.

Outcomes: from enqueued to recorded, calls to nginx on loopback with everything
on, beside a bare SQL loop that claims and completes the same rows in tables of
the same shape, in batches of the same size. A ratio of 0.5 is half the loop's speed.
Enqueue: beside a prepared INSERT of the same row, both in one transaction.
Rounds are interleaved and the median of each is taken, since the machine is shared.
"""
import os
import statistics
import subprocess
import time

LONG = bool(os.environ.get("INTEG_LONG"))
ROUNDS = 5 if LONG else 3
CALLS = 20000 if LONG else 10000
MEMORY_CALLS = 1000000 if LONG else 60000
URL = os.environ["BENCH_URL"]

MANIFEST = """{
  "integrationId": "bench_calls", "name": "Bench", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [
    {"id": "get", "name": "Get", "access": "read",
     "inputSchema": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}, "outputSchema": {},
     "request": {"method": "GET", "path": "/json", "query": {"sku": "{sku}"}},
     "response": {"map": {"quantity": ".data.quantity_on_hand", "location": ".data.warehouse"}}},
    {"id": "put", "name": "Put", "access": "write",
     "inputSchema": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}, "outputSchema": {},
     "request": {"method": "POST", "path": "/write", "body": {"sku": "{sku}"}}}
  ]
}"""

# The shape of our tables, and rows as integ_enqueue makes them.
PREPARE = """
CREATE TABLE bench_open (LIKE integ.calls_open INCLUDING ALL);
ALTER TABLE bench_open SET (fillfactor = 50);
CREATE TABLE bench_done (LIKE integ.calls_done INCLUDING ALL);
CREATE TABLE bench_rows AS SELECT * FROM integ.calls_open WITH NO DATA;
CREATE PROCEDURE bench_loop() LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[];
BEGIN
    LOOP
        WITH claimed AS (
            UPDATE bench_open SET state = 'running', lease = 1, attempt = attempt + 1, started_at = clock_timestamp()
            WHERE ctid = ANY (ARRAY(SELECT ctid FROM bench_open WHERE priority = 0 AND next_attempt_at <= now() AND state = 'queued'
                                    ORDER BY next_attempt_at, id LIMIT 32 FOR UPDATE SKIP LOCKED))
            RETURNING id)
        SELECT array_agg(id) INTO ids FROM claimed;
        EXIT WHEN ids IS NULL;
        COMMIT;
        WITH ended AS (DELETE FROM bench_open WHERE id = ANY (ids) RETURNING *)
        INSERT INTO bench_done (id, instance, created_at, run_at, started_at, finished_at, owner, attempt,
            max_attempts, interrupted,
            priority, is_write, state, client_id, instance_id, definition_id, method, input, result)
        SELECT id, instance, created_at, run_at, started_at, clock_timestamp(), owner, attempt, max_attempts, interrupted,
            priority, is_write, 'succeeded', client_id, instance_id, definition_id, method, input,
            '{"quantity": 17, "location": "north"}' FROM ended;
        COMMIT;
    END LOOP;
END $$;
"""


def psql(sql, *arguments):
    run = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *arguments], input=sql, text=True,
                         capture_output=True, check=False)
    if run.returncode != 0:
        raise SystemExit(run.stderr)
    return run.stdout.strip()


def timed(sql):
    """Seconds that the server took for one statement."""
    return float(psql(f"""
        SELECT clock_timestamp() AS begun \\gset
        {sql};
        SELECT 'took ' || extract(epoch FROM clock_timestamp() - :'begun'::timestamptz);
    """).rsplit("took ", 1)[1])


def wait_for_all():
    while psql("SELECT EXISTS (SELECT FROM integ.calls_open)") == "t":
        time.sleep(0.02)


def held(value):
    """While integ.hold is on, the dispatcher claims nothing."""
    psql(f"ALTER SYSTEM SET integ.hold = {value}; SELECT pg_reload_conf();")
    time.sleep(0.3)


def enqueue_sql(method, calls):
    return (f"SELECT count(integ_enqueue('bench_calls_main', '{method}', jsonb_build_object('sku', 'A-' || g)))"
            f" FROM generate_series(1, {calls}) g")


def outcomes(method):
    """Calls a second from the release of a full queue to the last recorded outcome."""
    held("on")
    psql(enqueue_sql(method, CALLS))
    psql("VACUUM ANALYZE integ.calls_open")
    if method == "get":
        psql("TRUNCATE bench_rows; INSERT INTO bench_rows SELECT * FROM integ.calls_open")
    last = psql("SELECT clock_timestamp()")
    held("off")
    wait_for_all()
    return CALLS / float(psql(
        f"SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM integ.calls_done WHERE finished_at > '{last}'"))


def loop():
    """The bare loop over the same rows."""
    psql("TRUNCATE bench_open, bench_done; INSERT INTO bench_open SELECT * FROM bench_rows; VACUUM ANALYZE bench_open")
    return CALLS / timed("CALL bench_loop()")


def enqueue_ratio():
    held("on")
    calls = timed(enqueue_sql("get", CALLS))
    psql("SELECT count(integ_call_cancel(id)) FROM integ.calls_open")
    psql("TRUNCATE bench_open")
    inserts = timed(f"""DO $$
        BEGIN
            FOR g IN 1..{CALLS} LOOP
                INSERT INTO bench_open (id, instance, owner, is_write, client_id, instance_id, definition_id, method, input)
                VALUES (integ.uuid_generate(), '018f0000-0000-7000-8000-000000000000', 'postgres', false, '*', 'bench_calls_main',
                    'bench_calls', 'get', jsonb_build_object('sku', 'A-' || g));
            END LOOP;
        END $$""")
    held("off")
    return calls / CALLS * 1e6, inserts / CALLS * 1e6


def dispatcher_memory():
    pid = psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ dispatcher' AND datname = current_database()")
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def memory_growth():
    psql(enqueue_sql("get", 10000))
    wait_for_all()
    before = dispatcher_memory()
    for _ in range(MEMORY_CALLS // 10000):
        psql(enqueue_sql("get", 10000))
        wait_for_all()
    return dispatcher_memory() / before


def show(name, value, digits=2):
    print(f"bench {name} {value:.{digits}f}", flush=True)


def main():
    psql(PREPARE)
    psql(f"""
        SELECT integ_define($manifest${MANIFEST}$manifest$::jsonb);
        SELECT integ_connect('bench_calls', 'bench_calls_main', '{{"base_url": "{URL}"}}');
        SELECT integ_credential_set('bench_calls_main', 'token', 'a-token-of-usual-length-1234567890');
    """)
    reads, writes, loops, enqueues, inserts = [], [], [], [], []
    for _ in range(ROUNDS):
        reads.append(outcomes("get"))
        loops.append(loop())
        writes.append(outcomes("put"))
        enqueue, insert = enqueue_ratio()
        enqueues.append(enqueue)
        inserts.append(insert)
    bare = statistics.median(loops)
    show("calls_loop_per_s", bare, 0)
    show("calls_read_per_s", statistics.median(reads), 0)
    show("calls_read_ratio", statistics.median(reads) / bare)
    show("calls_write_per_s", statistics.median(writes), 0)
    show("calls_write_ratio", statistics.median(writes) / bare)
    show("calls_enqueue_us", statistics.median(enqueues))
    show("calls_enqueue_ratio", statistics.median(enqueues) / statistics.median(inserts))
    show("calls_memory_growth", memory_growth())


main()
