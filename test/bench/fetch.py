#!/usr/bin/env python3
"""integ_fetch over 200 pages of 500 records beside a bare libcurl loop over the same pages plus
jsonb_array_elements over their text; integ_execute_many against a service with a latency.

Rounds take turns, since the machine is shared, and the median of each is taken.
"""
import json
import os
import re
import statistics
import subprocess
import urllib.request

ROUNDS = 7 if os.environ.get("INTEG_LONG") else 3
PAGES = 200
RECORDS = 500
URL = os.environ["BENCH_URL"]
FILES = os.environ["BENCH_FILES"]
BIN = os.environ["BENCH_BIN"]
LATENCY_MS = 50

MANIFEST = {
    "integrationId": "bench_lists", "name": "Lists", "version": "1.0.0", "category": "custom",
    "baseUrl": "{config.base_url}", "authType": "none",
    "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
    "methods": [
        {"id": "pages", "name": "Pages", "access": "read", "inputSchema": {}, "outputSchema": {},
         "request": {"method": "GET", "path": "/pages"}, "response": {"records": ".data"},
         "pagination": {"style": "page", "param": "page", "totalPages": ".pages"}},
        {"id": "get", "name": "Get", "access": "read", "inputSchema": {}, "outputSchema": {},
         "request": {"method": "GET", "path": "/x"}},
        {"id": "put", "name": "Put", "access": "write", "inputSchema": {}, "outputSchema": {},
         "request": {"method": "POST", "path": "/x", "body": {"n": "{n}"}}}]}


def record(number):
    """About 300 bytes, as services send them."""
    return {"id": f"{number:08d}-7c1e-4f3a-9b2d-5a6b7c8d9e0f", "name": f"Record number {number}", "email": f"user{number}@example.com",
            "status": "active" if number % 3 else "archived", "amount": number * 1.25, "currency": "EUR",
            "tags": ["one", "two", f"tag{number % 17}"], "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-05-06T07:08:09Z",
            "owner": {"id": number % 97, "name": f"Owner {number % 97}"}}


def write_pages():
    for page in range(PAGES):
        rows = [record(page * RECORDS + i) for i in range(RECORDS)]
        with open(f"{FILES}/page_{page + 1}.json", "w", encoding="ascii") as out:
            json.dump({"data": rows, "page": page + 1, "pages": PAGES}, out)


def psql(*statements):
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    run = subprocess.run(command, input="\n".join(statements), text=True, capture_output=True, check=False)
    if run.returncode != 0:
        raise SystemExit(run.stderr)
    return run.stdout.strip()


def timed(*statements, before=()):
    """Milliseconds of the last statement in a session of its own, in which the others ran before."""
    out = psql(*before, *statements[:-1], "\\timing on", statements[-1])
    return float(re.findall(r"Time: ([0-9.]+) ms", out)[-1])


def bare():
    out = subprocess.run([BIN + "/bench_bare_curl", "-H", "Accept: application/json", URL + "/pages?page=7", str(PAGES)],
                         text=True, capture_output=True, check=True).stdout
    return float(re.search(r"bare_curl_us ([0-9.]+)", out).group(1)) * PAGES / 1000


def show(name, value, digits=2):
    print(f"bench {name} {value:.{digits}f}", flush=True)


def fetch():
    write_pages()
    psql("CREATE TABLE bench_pages (page int, body text)", ";", "ALTER TABLE bench_pages ALTER body SET STORAGE EXTERNAL;")
    for page in range(1, PAGES + 1):
        text = urllib.request.urlopen(f"{URL}/pages?page={page}").read().decode()
        psql(f"INSERT INTO bench_pages VALUES ({page}, $page${text}$page$);")
    psql(f"SELECT integ_define($m${json.dumps(MANIFEST)}$m$::jsonb);",
         f"SELECT integ_connect('bench_lists', 'bench_pages', '{{\"base_url\": \"{URL}\"}}');")
    elements = "SELECT count(*) FROM bench_pages, LATERAL jsonb_array_elements(body::jsonb -> 'data');"
    fetched = "SELECT count(*) FROM integ_fetch('bench_pages', 'pages');"
    curl, parse, whole = [], [], []
    for _ in range(ROUNDS):
        curl.append(bare())
        parse.append(timed(elements, elements))
        whole.append(timed("SELECT count(*) FROM integ_fetch('bench_pages', 'pages', '{}', '{\"max_pages\": 3}');", fetched))
    base = statistics.median(c + p for c, p in zip(curl, parse))
    show("fetch_bare_curl_ms", statistics.median(curl))
    show("fetch_array_elements_ms", statistics.median(parse))
    show("fetch_100000_ms", statistics.median(whole))
    show("fetch_ratio", statistics.median(whole) / base)
    resident = "SELECT (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status'), 'VmRSS:\\s+(\\d+)'))[1];"
    after_few, after_all = psql("SELECT NULL FROM integ_fetch('bench_pages', 'pages', '{}', '{\"max_pages\": 20}') OFFSET 10000;", resident,
                                "SELECT NULL FROM integ_fetch('bench_pages', 'pages') OFFSET 100000;", resident).split()
    show("fetch_memory_growth_kb", int(after_all) - int(after_few), 0)


def many():
    with subprocess.Popen([BIN + "/bench_slow_server", str(LATENCY_MS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as server:
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        psql(f"SELECT integ_connect('bench_lists', 'bench_slow', '{{\"base_url\": \"{url}\"}}');")
        call = ("SELECT 1 / (bool_and(ok) AND count(*) = 1000)::int FROM integ_execute_many('bench_slow', '{}',"
                " (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 1000) AS i), '{{\"concurrency\": 50}}');")
        for method in ("get", "put"):
            times = [timed(call.format(method)) for _ in range(ROUNDS)]
            show(f"execute_many_1000_{method}_ms", statistics.median(times), 0)
        server.stdin.close()


fetch()
many()
