#!/usr/bin/env python3
"""Deliveries beside what they cannot be faster than.

Throughput: from a full queue to the last recorded outcome, deliveries to nginx on loopback, signed and with every
attempt logged, beside a bare SQL loop in one session that claims and completes the same rows in tables of the same
shape, 32 at a time, and sends nothing. Once more with a million deliveries in the history. Arrival: from the moment a
client sees its commit to the moment the request is read at the endpoint, on an idle system; and from before
integ_publish, which the commit's wait for the disk is part of.
Rounds are interleaved, a ratio is of what one round measured, and the median is taken, since the machine is shared.
"""
import http.server
import os
import socketserver
import statistics
import subprocess
import threading
import time

from calls_common import LONG, URL, held, psql, ratio, show, timed, wait_until

ROUNDS = 5 if LONG else 3
DELIVERIES = 20000 if LONG else 10000
ARRIVALS = 2000 if LONG else 300
HISTORY = 1000000 if LONG else 100000

LOOP = """
DROP PROCEDURE IF EXISTS bench_deliver;
DROP TABLE IF EXISTS bench_deliveries_open, bench_deliveries_done, bench_deliveries;
CREATE TABLE bench_deliveries_open (LIKE integ.deliveries_open INCLUDING ALL);
ALTER TABLE bench_deliveries_open SET (fillfactor = 50);
CREATE TABLE bench_deliveries_done (LIKE integ.deliveries_done INCLUDING ALL);
CREATE TABLE bench_deliveries AS SELECT * FROM integ.deliveries_open WITH NO DATA;
CREATE PROCEDURE bench_deliver(batch integer) LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[];
BEGIN
    LOOP
        WITH claimed AS (
            UPDATE bench_deliveries_open SET state = 'sending', lease = 1, attempt = attempt + 1,
                started_at = clock_timestamp()
            WHERE ctid = ANY (ARRAY(SELECT ctid FROM bench_deliveries_open
                                    WHERE next_attempt_at <= now() AND state = 'queued'
                                    ORDER BY next_attempt_at, id LIMIT batch FOR UPDATE SKIP LOCKED))
            RETURNING id)
        SELECT array_agg(id) INTO ids FROM claimed;
        EXIT WHEN ids IS NULL;
        COMMIT;
        WITH ended AS (DELETE FROM bench_deliveries_open WHERE id = ANY (ids) RETURNING *)
        INSERT INTO bench_deliveries_done (id, endpoint, message, created_at, started_at, finished_at, attempt,
            interrupted, last_status, state, client_id, event_client, event_type, payload)
        SELECT id, endpoint, message, created_at, started_at, clock_timestamp(), attempt, interrupted, 200,
            'delivered', client_id, event_client, event_type, payload FROM ended;
        COMMIT;
    END LOOP;
END $$;
"""


def deliveries():
    """Deliveries a second from the release of a full queue to the last recorded outcome."""
    held("on")
    psql(f"""SELECT count(integ_publish('bench.order', jsonb_build_object('id', g, 'sku', 'A-' || g, 'total', g * 1.5)))
             FROM generate_series(1, {DELIVERIES}) g""")
    psql("VACUUM ANALYZE integ.deliveries_open")
    psql("TRUNCATE bench_deliveries; INSERT INTO bench_deliveries SELECT * FROM integ.deliveries_open")
    last = psql("SELECT clock_timestamp()")
    held("off")
    wait_until("NOT EXISTS (SELECT FROM integ.deliveries_open)")
    return DELIVERIES / float(psql(
        f"""SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM integ.deliveries_done
            WHERE finished_at > '{last}'"""))


def loop():
    psql("""TRUNCATE bench_deliveries_open, bench_deliveries_done;
            INSERT INTO bench_deliveries_open SELECT * FROM bench_deliveries; VACUUM ANALYZE bench_deliveries_open""")
    return DELIVERIES / timed("CALL bench_deliver(32)")


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    arrived = {}

    def do_POST(self):
        self.arrived[self.headers["webhook-id"]] = time.monotonic()
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format, *args):
        pass


def arrivals():
    """Milliseconds to the arrival of each of some deliveries: from before it was published, and from its commit."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    psql(f"""SELECT integ_endpoint_add('http://127.0.0.1:{server.server_address[1]}/', '{{idle.*}}',
             '{{"endpoint_id": "bench_idle"}}')""")
    session = subprocess.Popen(["psql", "-X", "-q", "-A", "-t"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, bufsize=1)
    whole, after = [], []
    for i in range(ARRIVALS):
        begun = time.monotonic()
        session.stdin.write(f"SELECT integ_publish('idle.n', '{{\"n\": {i}}}');\n")
        session.stdin.flush()
        message = session.stdout.readline().strip()
        committed = time.monotonic()
        while message not in Receiver.arrived:
            time.sleep(0.0002)
        whole.append((Receiver.arrived[message] - begun) * 1000)
        after.append(max(0.0, Receiver.arrived[message] - committed) * 1000)
        time.sleep(0.01)
    session.stdin.close()
    session.wait()
    server.shutdown()
    psql("DELETE FROM integ.endpoints WHERE endpoint_id = 'bench_idle'")
    return whole, after


def fill_history():
    psql(f"""INSERT INTO integ.deliveries_done (id, endpoint, message, created_at, started_at, finished_at, attempt,
                 interrupted, last_status, state, client_id, event_client, event_type, payload)
             SELECT integ.uuid_generate(), e.id, integ.uuid_generate(), now(), now(), now(), 1, 0, 200,
                 'delivered', '*', '*', 'bench.order', '{{"id": 1}}'
             FROM integ.endpoints e, generate_series(1, {HISTORY}) WHERE e.endpoint_id = 'bench_hook'""")
    psql(f"""INSERT INTO integ.delivery_attempts (delivery, attempt, created_at, endpoint, message, duration_us, status,
                 client_id)
             SELECT integ.uuid_generate(), 1, now(), e.id, integ.uuid_generate(), 100, 200, '*'
             FROM integ.endpoints e, generate_series(1, {HISTORY}) WHERE e.endpoint_id = 'bench_hook'""")


def percentile(values, share):
    return sorted(values)[int(len(values) * share)]


def main():
    assert os.environ.get("BENCH_URL")
    psql(LOOP)
    psql("DELETE FROM integ.endpoints WHERE endpoint_id IN ('bench_hook', 'bench_idle')")
    psql(f"SELECT integ_endpoint_add('{URL}/json', '{{bench.*}}', '{{\"endpoint_id\": \"bench_hook\"}}')")
    psql("UPDATE integ.endpoints SET concurrency = 64")
    rates, loops = [], []
    for _ in range(ROUNDS):
        rates.append(deliveries())
        loops.append(loop())
    show("endpoints_loop_per_s", statistics.median(loops), 0)
    show("endpoints_delivered_per_s", statistics.median(rates), 0)
    show("endpoints_ratio", ratio(rates, loops))
    whole, after = arrivals()
    show("endpoints_publish_to_arrival_p50_ms", percentile(whole, 0.5))
    show("endpoints_publish_to_arrival_p99_ms", percentile(whole, 0.99))
    show("endpoints_commit_to_arrival_p99_ms", percentile(after, 0.99))
    fill_history()
    psql("VACUUM ANALYZE integ.deliveries_done; VACUUM ANALYZE integ.delivery_attempts")
    full = []
    for _ in range(ROUNDS):
        full.append(deliveries())
    show("endpoints_history_ratio", statistics.median(full) / statistics.median(rates))


main()
