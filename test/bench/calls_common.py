"""What the benches of durable calls share. Not a bench: it is not executable."""
import os
import statistics
import subprocess
import time

LONG = bool(os.environ.get("INTEG_LONG"))
URL = os.environ["BENCH_URL"]

MANIFEST = """{
  "integrationId": "bench_calls", "name": "Bench", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [
    {"id": "get", "name": "Get", "access": "read",
     "inputSchema": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
     "outputSchema": {},
     "request": {"method": "GET", "path": "/json", "query": {"sku": "{sku}"}},
     "response": {"map": {"quantity": ".data.quantity_on_hand", "location": ".data.warehouse"}}},
    {"id": "put", "name": "Put", "access": "write",
     "inputSchema": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
     "outputSchema": {},
     "request": {"method": "POST", "path": "/write", "body": {"sku": "{sku}"}}}
  ]
}"""

# The shape of our tables, and rows as integ_enqueue makes them.
LOOP = """
CREATE TABLE bench_open (LIKE integ.calls_open INCLUDING ALL);
ALTER TABLE bench_open SET (fillfactor = 50);
CREATE TABLE bench_done (LIKE integ.calls_done INCLUDING ALL);
CREATE TABLE bench_rows AS SELECT * FROM integ.calls_open WITH NO DATA;
CREATE PROCEDURE bench_loop(batch integer) LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[];
BEGIN
    LOOP
        WITH claimed AS (
            UPDATE bench_open SET state = 'running', lease = 1, attempt = attempt + 1, started_at = clock_timestamp()
            WHERE ctid = ANY (ARRAY(SELECT ctid FROM bench_open
                                    WHERE priority = 0 AND next_attempt_at <= now() AND state = 'queued'
                                    ORDER BY next_attempt_at, id LIMIT batch FOR UPDATE SKIP LOCKED))
            RETURNING id)
        SELECT array_agg(id) INTO ids FROM claimed;
        EXIT WHEN ids IS NULL;
        COMMIT;
        WITH ended AS (DELETE FROM bench_open WHERE id = ANY (ids) RETURNING *)
        INSERT INTO bench_done (id, instance, created_at, run_at, started_at, finished_at, owner, attempt,
            max_attempts, interrupted,
            priority, is_write, state, client_id, instance_id, definition_id, method, input, result)
        SELECT id, instance, created_at, run_at, started_at, clock_timestamp(), owner, attempt,
            max_attempts, interrupted, priority, is_write, 'succeeded', client_id, instance_id, definition_id, method,
            input, '{"quantity": 17, "location": "north"}' FROM ended;
        COMMIT;
    END LOOP;
END $$;
"""


def psql(sql):
    run = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"], input=sql, text=True,
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


def prepare():
    """The loop's tables, and the instance that the calls go to."""
    psql(f"""
        DROP PROCEDURE IF EXISTS bench_loop;
        DROP TABLE IF EXISTS bench_open, bench_done, bench_rows;
        {LOOP}
        SELECT integ_define($manifest${MANIFEST}$manifest$::jsonb) WHERE NOT EXISTS
            (SELECT FROM integ.definitions WHERE id = 'bench_calls');
        SELECT integ_connect('bench_calls', 'bench_calls_main', '{{"base_url": "{URL}"}}') WHERE NOT EXISTS
            (SELECT FROM integ.instances WHERE instance_id = 'bench_calls_main');
        SELECT integ_credential_set('bench_calls_main', 'token', 'a-token-of-usual-length-1234567890');
    """)


def wait_until(condition):
    """
    Until the condition holds. One session asks: a psql and a backend for each question would take a fifth of two cores
    from what is measured.
    """
    with subprocess.Popen(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, bufsize=1) as session:
        while True:
            session.stdin.write(f"SELECT {condition};\n")
            answer = session.stdout.readline().strip()
            if answer == "t":
                return
            if answer != "f":
                raise SystemExit(f"psql could not say whether {condition}")
            time.sleep(0.02)


def wait_for_due():
    """Until nothing of the usual priority is open any more but what is due tomorrow."""
    wait_until("NOT EXISTS (SELECT FROM integ.calls_open"
               " WHERE priority = 0 AND next_attempt_at < now() + interval '1 hour')")


def held(value):
    """While integ.hold is on, the dispatcher claims nothing."""
    psql(f"ALTER SYSTEM SET integ.hold = {value}; SELECT pg_reload_conf();")
    time.sleep(0.3)


def enqueue_sql(method, calls, options="NULL"):
    return (f"SELECT count(integ_enqueue('bench_calls_main', '{method}', jsonb_build_object('sku', 'A-' || g), {options}))"
            f" FROM generate_series(1, {calls}) g")


def outcomes(method, calls, due_in=None):
    """
    Calls a second from the release of a full queue to the last recorded outcome. With due_in the calls are due all at
    once, so many seconds from now, and nothing is held: the release of a hold has every open row looked at for what a
    restore may have brought, which is no part of a call.
    """
    options = "NULL"
    if due_in is None:
        held("on")
    else:
        options = f"jsonb_build_object('run_at', now() + interval '{due_in} s')"
    psql(enqueue_sql(method, calls, options))
    psql("VACUUM ANALYZE integ.calls_open")
    if method == "get":
        psql("""TRUNCATE bench_rows; INSERT INTO bench_rows SELECT * FROM integ.calls_open
                WHERE priority = 0 AND next_attempt_at < now() + interval '1 hour'""")
    last = psql("SELECT clock_timestamp()")
    if due_in is None:
        held("off")
    elif psql("SELECT min(next_attempt_at) > now() FROM integ.calls_open WHERE priority = 0") != "t":
        raise SystemExit(f"{calls} calls were not enqueued within {due_in} s: they were due before all of them waited")
    wait_for_due()
    return calls / float(psql(f"""
        SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM integ.calls_done
        WHERE finished_at > '{last}'"""))


def loop(calls, batch=32):
    """The bare loop over the same rows as the last outcomes("get")."""
    psql("TRUNCATE bench_open, bench_done; INSERT INTO bench_open SELECT * FROM bench_rows; VACUUM ANALYZE bench_open")
    return calls / timed(f"CALL bench_loop({batch})")


def ratio(ours, others):
    """The median of the rounds' ratios: what was measured next to each other saw the same machine."""
    return statistics.median(our / other for our, other in zip(ours, others))


def show(name, value, digits=2):
    print(f"bench {name} {value:.{digits}f}", flush=True)
