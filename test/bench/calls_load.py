#!/usr/bin/env python3
"""Durable calls with something in the way, beside the same without it.

Waiting rows: outcomes while many calls that may not run now are open, half of them due
tomorrow, half due now, before all others, but beyond a rate limit. Both sides are related to the bare loop run next to
them, since the rows are not put in and taken out for each round.
Old snapshot: outcomes while another session holds a snapshot from before, in turns with outcomes
without one.
Slow host: from due to stored, 99th percentile, of calls of many instances that are answered at
once, in turns with and without a host among them that answers late and has more calls due than may run.
"""
import os
import statistics
import subprocess

from calls_common import LONG, URL, loop, outcomes, prepare, psql, show, wait_for_due, wait_until

ROUNDS = 5 if LONG else 3
CALLS = 20000 if LONG else 5000
WAITING = 1000000 if LONG else 50000
HOSTS = 1000 if LONG else 200
EACH = 5
SLOW_MS = 10000 if LONG else 1000
SLOW_CALLS = 500
DUE_IN = 20 if LONG else 8

LIMITED = """{
  "integrationId": "bench_limited", "name": "Bench", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "none", "rateLimit": {"windows": [{"limit": 1, "perMs": 86400000}]},
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "methods": [{"id": "get", "name": "Get", "access": "read", "inputSchema": {"type": "object"}, "outputSchema": {},
    "request": {"method": "GET", "path": "/json"}}]
}"""


def relative():
    """Outcomes as a share of the bare loop run right after them."""
    return outcomes("get", CALLS, DUE_IN) / loop(CALLS)


def fill():
    """Open calls that may not run now, as integ_enqueue makes them."""
    psql(f"""
        SELECT integ_define($manifest${LIMITED}$manifest$::jsonb);
        SELECT integ_connect('bench_limited', 'bench_limited_main', '{{"base_url": "{URL}"}}');
        INSERT INTO integ.calls_open (id, instance, run_at, next_attempt_at, priority, owner, is_write, client_id,
            instance_id, definition_id, method, input)
        SELECT integ.uuid_generate(), i.id, at, at, priority, current_user::regrole, false, '*', i.instance_id,
            i.definition, 'get',
            '{{"sku": "A-1"}}'
        FROM generate_series(1, {WAITING // 2}) g,
            (VALUES ('bench_calls_main', now() + interval '1 day', 0), ('bench_limited_main', now(), 1))
                w (instance_id, at, priority)
            JOIN integ.instances i USING (instance_id);
        VACUUM ANALYZE integ.calls_open;
    """)
    # Its one slot is taken, and as many as may know when they come have been told.
    wait_until("EXISTS (SELECT FROM integ.calls_open WHERE instance_id = 'bench_limited_main' AND state = 'waiting')")


def empty():
    psql("""DELETE FROM integ.calls_open WHERE instance_id IN ('bench_limited_main', 'bench_calls_main');
            VACUUM ANALYZE integ.calls_open""")


def bench_waiting():
    without = [relative() for _ in range(ROUNDS)]
    fill()
    behind = [relative() for _ in range(ROUNDS)]
    empty()
    without += [relative() for _ in range(ROUNDS)]
    show("calls_waiting_rows", WAITING, 0)
    show("calls_waiting_slowdown", statistics.median(without) / statistics.median(behind))


def old_snapshot():
    """A session with a snapshot of now; closing its input ends it."""
    session = subprocess.Popen(["psql", "-X", "-q", "-A", "-t"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    session.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM integ.calls_open;\n")
    session.stdin.flush()
    session.stdout.readline()
    return session


def bench_snapshot():
    without, under = [], []
    for _ in range(ROUNDS):
        without.append(outcomes("get", CALLS))
        with old_snapshot() as session:
            # What the first leaves is in the way of the second.
            outcomes("get", CALLS)
            under.append(outcomes("get", CALLS))
            session.stdin.close()
    show("calls_old_snapshot_slowdown", statistics.median(without) / statistics.median(under))


def connect_hosts(slow_url):
    psql(f"""
        SELECT count(integ_connect('bench_calls', 'bench_host_' || g, '{{"base_url": "{URL}"}}'))
        FROM generate_series(1, {HOSTS}) g;
        SELECT count(integ_credential_set('bench_host_' || g, 'token', 'a-token-of-usual-length-1234567890'))
        FROM generate_series(1, {HOSTS}) g;
        SELECT integ_connect('bench_calls', 'bench_host_slow', '{{"base_url": "{slow_url}"}}');
        SELECT integ_credential_set('bench_host_slow', 'token', 'a-token-of-usual-length-1234567890');
    """)


def latency():
    """99th percentile, in milliseconds, of the calls of the hosts that answer at once."""
    begun = psql("SELECT clock_timestamp()")
    psql(f"""SELECT count(integ_enqueue('bench_host_' || g, 'get', '{{"sku": "A-1"}}'))
             FROM generate_series(1, {EACH}) n, generate_series(1, {HOSTS}) g""")
    wait_until("NOT EXISTS (SELECT FROM integ.calls_open WHERE instance_id <> 'bench_host_slow')")
    return 1000 * float(psql(f"""
        SELECT extract(epoch FROM percentile_cont(0.99) WITHIN GROUP (ORDER BY finished_at - created_at))
        FROM integ.calls_done WHERE created_at > '{begun}' AND instance_id <> 'bench_host_slow'"""))


def bench_slow_host():
    alone, beside = [], []
    with subprocess.Popen([os.environ["BENCH_BIN"] + "/bench_slow_server", str(SLOW_MS)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as server:
        connect_hosts(f"http://127.0.0.1:{server.stdout.readline().strip()}")
        latency()
        for _ in range(ROUNDS):
            alone.append(latency())
            psql(f"""SELECT count(integ_enqueue('bench_host_slow', 'get', '{{"sku": "A-1"}}'))
                     FROM generate_series(1, {SLOW_CALLS})""")
            wait_until("(SELECT count(*) >= 64 FROM integ.calls_open WHERE state = 'running')")
            beside.append(latency())
            psql("SELECT count(integ_call_cancel(id)) FROM integ.calls_open")
            wait_for_due()
        server.stdin.close()
    show("calls_p99_ms", statistics.median(alone))
    show("calls_p99_beside_slow_host_ms", statistics.median(beside))
    show("calls_p99_growth", statistics.median(beside) / statistics.median(alone))


def main():
    prepare()
    bench_waiting()
    bench_snapshot()
    bench_slow_host()


main()
