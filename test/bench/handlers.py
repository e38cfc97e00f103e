#!/usr/bin/env python3
"""Functions that integ calls: how many callbacks a second one worker carries
out, and what a function before a request adds to a call, beside the same call without one.
"""
import os
import statistics
import subprocess
import time

LONG = bool(os.environ.get("INTEG_LONG"))
RUNS = 20000 if LONG else 2000
CALLS = 5000 if LONG else 500
URL = os.environ["BENCH_URL"]

SETUP = """
CREATE SCHEMA bench_code;
CREATE TABLE bench_code.seen (n bigint);
CREATE FUNCTION bench_code.note(argument jsonb) RETURNS void LANGUAGE sql AS
    'INSERT INTO bench_code.seen VALUES ((argument ->> ''n'')::bigint)';
CREATE FUNCTION bench_code.same(argument jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
SELECT integ_define($${"integrationId": "bench_handlers", "name": "Bench", "version": "1.0.0", "authType": "none",
  "baseUrl": "{config.base_url}", "configSchema": {"type": "object", "properties": {"base_url": {"type": "string"}}},
  "methods": [
    {"id": "plain", "name": "Plain", "access": "read", "inputSchema": {}, "outputSchema": {}, "request": {"method": "GET", "path": "/json"}},
    {"id": "with", "name": "With a function", "access": "read", "inputSchema": {}, "outputSchema": {},
     "handler": {"before": "bench_code.same"}, "request": {"method": "GET", "path": "/json"}}]}$$);
SELECT integ_connect('bench_handlers', 'bench_handlers_main', jsonb_build_object('base_url', '%s'));
""" % URL

TIMED = """
SELECT integ_execute('bench_handlers_main', '{0}');
DO $$
BEGIN
    FOR i IN 1 .. {1} LOOP PERFORM integ_execute('bench_handlers_main', '{0}'); END LOOP;
END $$;
"""


def psql(sql):
    done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1"], input=sql, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return done.stdout.strip()


def seconds(sql):
    start = time.monotonic()
    psql(sql)
    return time.monotonic() - start


psql(SETUP)
psql("INSERT INTO integ.handler_runs (kind, owner, function, argument) SELECT 'bench', current_user::regrole, 'bench_code.note',"
     f" jsonb_build_object('n', n) FROM generate_series(1, {RUNS}) n")
while psql("SELECT count(*) FROM integ.handler_runs WHERE kind = 'bench' AND state <> 'succeeded'") != "0":
    time.sleep(0.2)
took = psql("SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM integ.handler_runs WHERE kind = 'bench'")
workers = psql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'integ handler'")
print(f"bench handler_runs_per_second {RUNS / float(took):.0f}")
print(f"bench handler_workers_used {workers}")

plain, with_function = [], []
for _ in range(3):
    plain.append(seconds(TIMED.format("plain", CALLS)) / CALLS)
    with_function.append(seconds(TIMED.format("with", CALLS)) / CALLS)
print(f"bench call_us {statistics.median(plain) * 1e6:.0f}")
print(f"bench call_with_function_us {statistics.median(with_function) * 1e6:.0f}")
psql("DELETE FROM integ.handler_runs; DELETE FROM integ.instances WHERE definition = 'bench_handlers';"
     " SELECT integ_undefine('bench_handlers'); DROP SCHEMA bench_code CASCADE")
