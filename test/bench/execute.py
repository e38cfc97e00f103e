#!/usr/bin/env python3
"""integ_execute beside a bare libcurl loop: one session, keep-alive, nginx on
loopback, everything on (validation, vault, request log, audit).

Rounds are interleaved and the median of each is taken, since the machine is
shared. A write is compared with a bare request plus one commit of one row: with
a loop in a backend that does both in turn ("ratio"), and with the sum of two
loops that do one each ("ratio_of_sum"), which is less, since a service that is
asked without a pause never falls asleep.

On loopback the place decides: on one CPU a request costs 20 us, on two it waits
for the other one to wake and costs 80. So both are measured, each with what is
compared in the same place: a service of its own ("apart": nginx on the first
CPU, the database and the bare loop on the others), and everything on one CPU
("together", which counts the keeper's work as well).
"""
import os
import re
import statistics
import subprocess
import time

ROUNDS = 9 if os.environ.get("INTEG_LONG") else 5
CALLS = 5000 if os.environ.get("INTEG_LONG") else 2000
WRITES = 1000 if os.environ.get("INTEG_LONG") else 300
URL = os.environ["BENCH_URL"]
TOKEN = "a-token-of-usual-length-1234567890"

MANIFEST = """{
  "integrationId": "bench", "name": "Bench", "version": "1.0.0", "category": "custom",
  "baseUrl": "{config.base_url}", "authType": "bearer",
  "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
  "credentialSchema": {"type": "object", "properties": {"token": {"type": "string"}}},
  "methods": [
    {"id": "get", "name": "Get", "access": "read",
     "inputSchema": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
     "outputSchema": {"type": "object", "properties": {"quantity": {"type": "integer"}}},
     "request": {"method": "GET", "path": "/json", "query": {"sku": "{sku}"}},
     "response": {"map": {"quantity": ".data.quantity_on_hand", "location": ".data.warehouse"}}},
    {"id": "ping", "name": "Ping", "access": "read", "inputSchema": {}, "outputSchema": {},
     "request": {"method": "GET", "path": "/json"}},
    {"id": "put", "name": "Put", "access": "write",
     "inputSchema": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}},
     "outputSchema": {},
     "request": {"method": "POST", "path": "/write", "body": {"sku": "{sku}"}}}
  ],
  "healthCheck": "ping"
}"""

# Wall time and CPU time of a loop of calls in one backend, in microseconds a call.
LOOP = """
DO $$
DECLARE
    begun timestamptz;
BEGIN
    PERFORM integ_execute('bench_main', '{method}', '{{"sku": "A-1"}}') FROM generate_series(1, 50);
    PERFORM set_config('bench.cpu', pg_read_file('/proc/' || pg_backend_pid() || '/stat'), false);
    begun := clock_timestamp();
    FOR i IN 1..{calls} LOOP
        PERFORM integ_execute('bench_main', '{method}', '{{"sku": "A-1"}}');
    END LOOP;
    PERFORM set_config('bench.wall', (extract(epoch FROM clock_timestamp() - begun) * 1e6 / {calls})::text, false);
    PERFORM set_config('bench.cpu_after', pg_read_file('/proc/' || pg_backend_pid() || '/stat'), false);
END $$;
SELECT concat_ws('|', current_setting('bench.wall'), current_setting('bench.cpu'), current_setting('bench.cpu_after'));
"""

# Milliseconds a health check; the commit is the caller's. The time of its exchange is in the request log.
HEALTH = """
DO $$
DECLARE
    first timestamptz;
    begun timestamptz;
    took interval := '0';
BEGIN
    PERFORM integ_test('bench_main') FROM generate_series(1, 5);
    first := clock_timestamp();
    FOR i IN 1..{calls} LOOP
        begun := clock_timestamp();
        PERFORM integ_test('bench_main');
        took := took + (clock_timestamp() - begun);
        COMMIT;
    END LOOP;
    PERFORM set_config('bench.wall', (extract(epoch FROM took) * 1e3 / {calls})::text, false);
    PERFORM set_config('bench.begun', first::text, false);
END $$;
SELECT current_setting('bench.wall') || '|' || current_setting('bench.begun');
"""

EXCHANGES = """
SELECT CASE WHEN count(*) = {calls} THEN avg(duration_us) / 1e3 END FROM integ.requests
WHERE method = 'ping' AND created_at >= '{begun}';
"""

COMMITS = """
DO $$
DECLARE
    begun timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..{calls} LOOP
        INSERT INTO bench_commit (note) VALUES ('one row of an audit, about as long as ours are: ' || i);
        COMMIT;
    END LOOP;
    PERFORM set_config('bench.wall', (extract(epoch FROM clock_timestamp() - begun) * 1e6 / {calls})::text, false);
END $$;
SELECT current_setting('bench.wall');
"""


BOTH = """
DO $$
DECLARE
    begun timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..{calls} LOOP
        INSERT INTO bench_commit (note) VALUES ('one row of an audit, about as long as ours are: ' || i);
        COMMIT;
        PERFORM bare_request('POST', '{url}/write', '{{"sku": "A-1"}}',
            '{{Accept: application/json,Authorization: Bearer {token},Content-Type: application/json}}');
    END LOOP;
    PERFORM set_config('bench.wall', (extract(epoch FROM clock_timestamp() - begun) * 1e6 / {calls})::text, false);
END $$;
SELECT current_setting('bench.wall');
"""


def psql(sql):
    run = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"], input=sql, text=True,
                         capture_output=True, check=False)
    if run.returncode != 0:
        raise SystemExit(run.stderr)
    return run.stdout.strip()


def ticks(stat):
    fields = stat.rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def execute(method, calls):
    wall, before, after = psql(LOOP.format(method=method, calls=calls)).split("|")
    cpu = (ticks(after) - ticks(before)) * 1e6 / os.sysconf("SC_CLK_TCK") / calls
    return float(wall), cpu


def bare(method, calls):
    """The same request by libcurl alone: method, URL, headers and body as integ sends them."""
    command = [os.environ["BENCH_BIN"] + "/bench_bare_curl", "-H", "Accept: application/json",
               "-H", "Authorization: Bearer " + TOKEN]
    if method == "GET":
        command += [URL + "/json?sku=A-1", str(calls)]
    else:
        command += ["-H", "Content-Type: application/json", URL + "/write", str(calls), method, '{"sku": "A-1"}']
    out = subprocess.run(command, text=True, capture_output=True, check=True).stdout
    return tuple(float(re.search(name + r" ([0-9.]+)", out).group(1)) for name in ("bare_curl_us", "bare_curl_cpu_us"))


def commits(calls):
    return float(psql(COMMITS.format(calls=calls)))


def bare_and_commit(calls):
    return float(psql(BOTH.format(calls=calls, url=URL, token=TOKEN)))


def show(name, value, digits=2):
    print(f"bench {name} {value:.{digits}f}", flush=True)


def processes():
    """nginx, and the postmaster with its children."""
    with open(os.environ["BENCH_NGINX_PID"], encoding="ascii") as file:
        nginx = int(file.read())
    with open(os.environ["PGDATA"] + "/postmaster.pid", encoding="ascii") as file:
        postmaster = int(file.readline())
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8") as file:
                children.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return [nginx] + children.get(nginx, []), [postmaster] + children.get(postmaster, [])


def place(service_cpus, other_cpus):
    """nginx on the first set of CPUs; the database, this script and what it starts on the second."""
    service, database = processes()
    for pids, cpus in ((service, service_cpus), (database + [0], other_cpus)):
        for pid in pids:
            try:
                os.sched_setaffinity(pid, cpus)
            except ProcessLookupError:
                pass  # a worker that has ended since


def compare(where):
    reads, read_cpu, bare_reads, bare_cpu = [], [], [], []
    writes, bare_writes, one_commit, both = [], [], [], []
    for _ in range(ROUNDS):
        wall, cpu = bare("GET", CALLS)
        bare_reads.append(wall)
        bare_cpu.append(cpu)
        wall, cpu = execute("get", CALLS)
        reads.append(wall)
        read_cpu.append(cpu)
        bare_writes.append(bare("POST", WRITES)[0])
        one_commit.append(commits(WRITES))
        both.append(bare_and_commit(WRITES))
        writes.append(execute("put", WRITES)[0])
    read, bare_read = statistics.median(reads), statistics.median(bare_reads)
    write, limit = statistics.median(writes), statistics.median(both)
    total = statistics.median(bare_writes) + statistics.median(one_commit)
    show(f"bare_read_{where}_us", bare_read)
    show(f"execute_read_{where}_us", read)
    show(f"execute_read_{where}_ratio", read / bare_read)
    show(f"bare_read_{where}_cpu_us", statistics.median(bare_cpu))
    show(f"execute_read_{where}_cpu_us", statistics.median(read_cpu))
    show(f"bare_write_plus_commit_{where}_us", limit)
    show(f"execute_write_{where}_us", write)
    show(f"execute_write_{where}_ratio", write / limit)
    show(f"execute_write_{where}_ratio_of_sum", write / total)


def health():
    """What a health check takes besides its exchange."""
    calls = WRITES // 3
    wall, begun = psql(HEALTH.format(calls=calls)).split("|")
    for _ in range(600):
        exchanges = psql(EXCHANGES.format(calls=calls, begun=begun))
        if exchanges:
            show("health_check_own_ms", float(wall) - float(exchanges), 3)
            return
        time.sleep(0.1)
    raise SystemExit("the health checks are not in the request log")


def main():
    psql(f"""
        CREATE EXTENSION bare_request;
        CREATE TABLE bench_commit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
        SELECT integ_define($manifest${MANIFEST}$manifest$::jsonb);
        SELECT integ_connect('bench', 'bench_main', '{{"base_url": "{URL}"}}');
        SELECT integ_credential_set('bench_main', 'token', '{TOKEN}');
    """)
    cpus = sorted(os.sched_getaffinity(0))
    try:
        if len(cpus) > 1:
            place(set(cpus[:1]), set(cpus[1:]))
            compare("apart")
        place({cpus[-1]}, {cpus[-1]})
        compare("together")
    finally:
        place(set(cpus), set(cpus))
    health()


main()
