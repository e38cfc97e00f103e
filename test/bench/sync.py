#!/usr/bin/env python3
"""A sync task over pages of 1,000 records beside a hand-written pair of statements, one upserting the rows and one
their link rows, over the same pages in memory; the same again, unchanged; every record changed; a fifth of them gone; a
service that takes 100 ms a page.

Rounds take turns, since the machine is shared, and the median of each is taken.
"""
import http.server
import json
import os
import re
import statistics
import subprocess
import threading
import time

LONG = bool(os.environ.get("INTEG_LONG"))
ROUNDS = 5 if LONG else 3
RECORDS = 1000
PAGES = 200 if LONG else int(os.environ.get("BENCH_SYNC_PAGES", "200"))
LATENCY = 0.1
SLOW_RECORDS = 5000
SLOW_PAGES = 10
URL = os.environ["BENCH_URL"]
FILES = os.environ["BENCH_FILES"]
PREFIX = "sync"

FIELDS = [("id", "id"), ("name", "name"), ("email", "email"), ("status", "status"), ("amount", "amount"),
          ("owner", "owner.name"), ("updated_at", "updated_at")]
COLUMNS = ("id text PRIMARY KEY, name text, email text, status text, amount numeric, owner text,"
           " updated_at timestamptz, note text")

MANIFEST = {
    "integrationId": "bench_sync", "name": "Lists", "version": "1.0.0", "category": "custom",
    "baseUrl": "{config.base_url}", "authType": "none",
    "configSchema": {"type": "object", "required": ["base_url"], "properties": {"base_url": {"type": "string"}}},
    "methods": [
        {"id": "pages", "name": "Pages", "access": "read", "inputSchema": {}, "outputSchema": {},
         "request": {"method": "GET", "path": "/pages"}, "response": {"records": ".data"},
         "pagination": {"style": "page", "param": "page", "totalPages": ".pages"}}],
    "entities": [{"id": "Record", "list": "pages", "idField": "id", "modifiedField": "updated_at"}]}

HAND = """
CREATE TABLE hand ({columns});
CREATE TABLE hand_links (LIKE integ.record_links INCLUDING ALL);
CREATE PROCEDURE hand_pair() LANGUAGE plpgsql AS $$
DECLARE
    p bench_sync_pages;
BEGIN
    FOR p IN SELECT * FROM bench_sync_pages ORDER BY page LOOP
        INSERT INTO hand (id, name, email, status, amount, owner, updated_at)
        SELECT r ->> 'id', r ->> 'name', r ->> 'email', r ->> 'status', (r ->> 'amount')::numeric,
               r -> 'owner' ->> 'name',
               (r ->> 'updated_at')::timestamptz FROM jsonb_array_elements(p.body -> 'data') r
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email, status = excluded.status,
            amount = excluded.amount, owner = excluded.owner, updated_at = excluded.updated_at;
        INSERT INTO hand_links (instance, schema, external_type, external_id, client_id, target_table, target_key,
            raw_hash, external_modified_at, seen_by)
        SELECT '00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002', 'Record', r ->> 'id',
            '*', 'public.hand', jsonb_build_object('id', r ->> 'id'), decode(md5(r::text), 'hex'),
            (r ->> 'updated_at')::timestamptz,
            '00000000-0000-7000-8000-000000000003' FROM jsonb_array_elements(p.body -> 'data') r
        ON CONFLICT (instance, schema, external_type, external_id) DO UPDATE SET target_key = excluded.target_key,
            raw_hash = excluded.raw_hash, external_modified_at = excluded.external_modified_at,
            seen_by = excluded.seen_by, last_synced_at = now();
        COMMIT;
    END LOOP;
END $$;
"""


def record(number, label="Record"):
    """About 300 bytes, as services send them."""
    return {"id": f"{number:08d}-7c1e-4f3a-9b2d-5a6b7c8d9e0f", "name": f"{label} number {number}",
            "email": f"user{number}@example.com",
            "status": "active" if number % 3 else "archived", "amount": number * 1.25, "currency": "EUR",
            "tags": ["one", "two", f"tag{number % 17}"], "created_at": "2026-01-02T03:04:05Z",
            "updated_at": "2026-05-06T07:08:09Z",
            "owner": {"id": number % 97, "name": f"Owner {number % 97}"}}


def page_text(page, pages, size, label="Record", gone=0):
    """The page's records; of every so many the last one has gone."""
    numbers = [number for number in range((page - 1) * size, page * size) if not gone or number % gone != gone - 1]
    return json.dumps({"data": [record(number, label) for number in numbers], "page": page, "pages": pages})


def write_pages(pages, label="Record", gone=0):
    for page in range(1, pages + 1):
        with open(f"{FILES}/page_{page}.json", "w", encoding="ascii") as out:
            out.write(page_text(page, pages, RECORDS, label, gone))


def hold_pages(label):
    """The same pages in memory, for the pair."""
    psql("TRUNCATE bench_sync_pages;", *(
        f"INSERT INTO bench_sync_pages VALUES ({page}, $page${page_text(page, PAGES, RECORDS, label)}$page$);"
        for page in range(1, PAGES + 1)))


def psql(*statements):
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    run = subprocess.run(command, input="\n".join(statements), text=True, capture_output=True, check=False)
    if run.returncode != 0:
        raise SystemExit(run.stderr)
    return run.stdout.strip()


def timed(statement):
    """Milliseconds of a statement in a session of its own."""
    out = psql("\\timing on", statement)
    return float(re.findall(r"Time: ([0-9.]+) ms", out)[-1])


def show(name, value, digits=2):
    print(f"bench {PREFIX}_{name} {value:.{digits}f}", flush=True)


def make_task(name, table, url):
    mappings = [{"targetField": column, "mappingType": "direct", "config": {"sourceField": field}}
                for column, field in FIELDS]
    dedupe = {"strategy": "external_id", "externalIdField": "id"}
    psql(f"SELECT integ_connect('bench_sync', '{name}', '{{\"base_url\": \"{url}\"}}');",
         f"CREATE TABLE {table} ({COLUMNS});",
         "INSERT INTO integ.conversion_schemas (schema_id, source_entity, target_table, deduplication,"
         f" delete_if_removed, field_mappings) VALUES ('{name}', 'Record', 'public.{table}', '{json.dumps(dedupe)}',"
         f" true, '{json.dumps(mappings)}');",
         f"INSERT INTO integ.sync_tasks (task_id, instance, schema) SELECT '{name}', i.id, s.id FROM integ.instances i,"
         f" integ.conversion_schemas s WHERE i.instance_id = '{name}' AND s.schema_id = '{name}';")


def run_task(name, expected):
    """Milliseconds of an execution that has done so many of what is expected."""
    column, count = expected
    execution = psql(f"SELECT id FROM integ_sync_run('{name}');")
    row = (f"SELECT status, {column}, extract(epoch FROM completed_at - started_at) * 1000, error"
           f" FROM integ.sync_executions WHERE id = '{execution}';")
    while (out := psql(row)).split("|", 1)[0] in ("queued", "running", ""):
        time.sleep(0.2)
    status, done, duration, error = out.split("|", 3)
    if status != "success" or int(done) != count:
        raise SystemExit(f"{name}: {out} {error}")
    return float(duration)


def forget(name, table):
    psql(f"TRUNCATE {table};", f"DELETE FROM integ.record_links WHERE target_table = 'public.{table}'::regclass;",
         "VACUUM integ.record_links;")


def updated(table):
    """Row versions that the tables have come by, as the statistics know once a transaction has ended."""
    time.sleep(1.5)
    return int(psql(f"SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_all_tables WHERE relid IN"
                    f" ('{table}'::regclass, 'integ.record_links'::regclass);"))


def pair_and_sync():
    """Nobody analyzes the tables but autovacuum, as on a server that somebody has just set up."""
    psql("CREATE TABLE bench_sync_pages (page int, body jsonb);", HAND.format(columns=COLUMNS))
    psql(f"SELECT integ_define($m${json.dumps(MANIFEST)}$m$::jsonb);")
    make_task("bench_sync_main", "synced", URL)
    taken = {name: [] for name in ("pair", "first", "unchanged", "pair_changed", "changed", "gone")}
    count = PAGES * RECORDS
    for _ in range(ROUNDS):
        write_pages(PAGES)
        hold_pages("Record")
        psql("TRUNCATE hand, hand_links;", "SELECT count(body) FROM bench_sync_pages;", "CHECKPOINT;")
        taken["pair"].append(timed("CALL hand_pair();"))
        forget("bench_sync_main", "synced")
        psql("CHECKPOINT;")
        taken["first"].append(run_task("bench_sync_main", ("created", count)))
        before = updated("synced")
        taken["unchanged"].append(run_task("bench_sync_main", ("unchanged", count)))
        versions = updated("synced") - before
        write_pages(PAGES, "Changed")
        hold_pages("Changed")
        psql("SELECT count(body) FROM bench_sync_pages;", "CHECKPOINT;")
        taken["pair_changed"].append(timed("CALL hand_pair();"))
        psql("CHECKPOINT;")
        taken["changed"].append(run_task("bench_sync_main", ("updated", count)))
        write_pages(PAGES, "Changed", gone=5)
        taken["gone"].append(run_task("bench_sync_main", ("deleted", count // 5)))
    median = {name: statistics.median(times) for name, times in taken.items()}
    for name, value in median.items():
        show(f"{name}_ms", value, 0)
    show("first_ratio", median["first"] / median["pair"])
    show("unchanged_times_faster", median["pair"] / median["unchanged"])
    show("unchanged_row_versions", versions, 0)
    show("changed_ratio", median["changed"] / median["pair_changed"])
    show("fifth_gone_to_first_ratio", median["gone"] / median["first"])


class Slow(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    latency = 0
    pages = {}

    def do_GET(self):
        page = int(re.search(r"page=(\d+)", self.path).group(1))
        time.sleep(Slow.latency)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(Slow.pages[page])))
        self.end_headers()
        self.wfile.write(Slow.pages[page])

    def log_message(self, *_):
        pass


def latency():
    Slow.pages = {page: page_text(page, SLOW_PAGES, SLOW_RECORDS).encode() for page in range(1, SLOW_PAGES + 1)}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    make_task("bench_sync_slow", "slowly", f"http://127.0.0.1:{server.server_port}")
    times = {0: [], LATENCY: []}
    for _ in range(ROUNDS):
        for delay, taken in times.items():
            Slow.latency = delay
            forget("bench_sync_slow", "slowly")
            taken.append(run_task("bench_sync_slow", ("created", SLOW_PAGES * SLOW_RECORDS)))
    server.shutdown()
    added = statistics.median(times[LATENCY]) - statistics.median(times[0])
    show("no_latency_ms", statistics.median(times[0]), 0)
    show("latency_100_ms", statistics.median(times[LATENCY]), 0)
    show("latency_shown_of_1", max(added, 0) / (SLOW_PAGES * LATENCY * 1000))


def resident():
    """Kilobytes of the worker's own, without the server's buffers, which it comes to share page by page."""
    return psql("SELECT max((regexp_match(pg_read_file('/proc/' || pid || '/status'), 'RssAnon:\\s+(\\d+)'))[1]::int)"
                " FROM pg_stat_activity WHERE backend_type = 'integ sync worker';")


def first_run(pages):
    write_pages(pages)
    forget("bench_sync_main", "synced")
    psql("CHECKPOINT;")
    return run_task("bench_sync_main", ("created", pages * RECORDS))


def million():
    """A million records: the worker's memory after a tenth and at the end, and the time beside five times 200,000,
    before and after."""
    pages = 1000
    before = first_run(PAGES)
    memory, stop = [], threading.Event()

    def watch():
        while not stop.wait(1):
            value = resident()
            if value:
                memory.append(int(value))

    watcher = threading.Thread(target=watch)
    watcher.start()
    taken = first_run(pages)
    stop.set()
    watcher.join()
    after = first_run(PAGES)
    show("million_ms", taken, 0)
    show("million_memory_kb", memory[-1], 0)
    show("million_memory_growth_kb", memory[-1] - memory[len(memory) // 10], 0)
    show("million_linear_ratio", taken / (pages / PAGES * (before + after) / 2))


pair_and_sync()
latency()
if LONG:
    million()
