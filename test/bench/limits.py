#!/usr/bin/env python3
"""A limit under 8 sessions and 2 dispatchers that all have more to send than it
allows, as the service counts it: most requests in any window, and how much of
what was allowed was used. 600 a minute for 3 minutes, or 60 in 6 s for 20 s.

Exits with an error where the limit was exceeded.
"""
import json
import os
import subprocess
import time
import urllib.request

LONG = bool(os.environ.get("INTEG_LONG"))
LIMIT, WINDOW, DURATION = (600, 60, 180) if LONG else (60, 6, 20)
SESSIONS = 8
URL = os.environ["INTEG_PROVIDER_URL"]

MANIFEST = f"""{{
  "integrationId": "bench_limits", "name": "Bench", "version": "1.0.0", "category": "custom", "authType": "none",
  "baseUrl": "{{config.base_url}}",
  "rateLimit": {{"windows": [{{"limit": {LIMIT}, "perMs": {WINDOW * 1000}, "scope": "definition"}}]}},
  "configSchema": {{"type": "object", "required": ["base_url"], "properties": {{"base_url": {{"type": "string"}}}}}},
  "methods": [{{"id": "get", "name": "Get", "access": "read", "inputSchema": {{"type": "object"}}, "outputSchema": {{}},
    "request": {{"method": "GET", "path": "/echo/limits"}}}}]
}}"""

SESSION = f"""
DO $$
DECLARE
    until timestamptz := clock_timestamp() + interval '{DURATION} seconds';
BEGIN
    WHILE clock_timestamp() < until LOOP
        BEGIN
            PERFORM integ_execute('bench_limits_' || (random() * 3)::int, 'get', '{{}}', '{{"max_wait": 1000}}');
        EXCEPTION WHEN SQLSTATE 'IG429' THEN
            NULL;
        END;
    END LOOP;
END $$;
"""


def psql(sql):
    run = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"], input=sql, text=True,
                         capture_output=True, check=False)
    if run.returncode != 0:
        raise SystemExit(run.stderr)
    return run.stdout.strip()


def wait_for(sql):
    while psql(sql) != "t":
        time.sleep(0.1)


def service(method, path):
    request = urllib.request.Request(URL + path, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def most_in_a_window(times):
    most, first = 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most


def main():
    psql(f"""
        SELECT integ_define($manifest${MANIFEST}$manifest$::jsonb);
        SELECT integ_connect('bench_limits', 'bench_limits_' || n, '{{"base_url": "{URL}"}}')
        FROM generate_series(0, 3) n;
        ALTER SYSTEM SET integ.dispatchers = 2;
        SELECT pg_reload_conf();
    """)
    wait_for("""SELECT count(*) = 2 FROM pg_stat_activity
                WHERE backend_type = 'integ dispatcher' AND datname = current_database()""")
    service("POST", "/reset")
    psql(f"""SELECT count(integ_enqueue('bench_limits_' || n % 4, 'get'))
             FROM generate_series(1, {LIMIT * (DURATION // WINDOW + 1)}) n""")
    sessions = [subprocess.Popen(["psql", "-X", "-q", "-c", SESSION]) for _ in range(SESSIONS)]
    if any(session.wait() != 0 for session in sessions):
        raise SystemExit("a session failed")
    times = sorted(entry["at"] for entry in service("GET", "/log") if entry["path"] == "/echo/limits")
    windows = DURATION // WINDOW
    used = sum(at - times[0] < windows * WINDOW for at in times)
    most = most_in_a_window(times)
    by_sessions = psql("""SELECT count(*) FROM integ.requests WHERE definition_id = 'bench_limits' AND attempt = 1
                          AND call_id NOT IN (SELECT id FROM integ.calls)""")
    # Those that end meanwhile cannot be cancelled.
    psql("""DELETE FROM integ.calls_open WHERE definition_id = 'bench_limits';
            ALTER SYSTEM RESET integ.dispatchers; SELECT pg_reload_conf()""")
    print(f"bench limit_per_window {LIMIT}")
    print(f"bench limit_most_in_any_window {most}")
    print(f"bench limit_used_percent {100 * used / (windows * LIMIT):.1f}")
    print(f"bench limit_requests_of_sessions {by_sessions}", flush=True)
    if most > LIMIT:
        raise SystemExit(f"the service got {most} requests in {WINDOW} s; {LIMIT} are allowed")


main()
