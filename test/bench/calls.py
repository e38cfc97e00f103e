#!/usr/bin/env python3
"""Durable calls beside what they cannot be faster than.

Outcomes: from enqueued to recorded, calls to nginx on loopback with everything
on, beside a bare SQL loop in one session that claims and completes the same rows in tables of
the same shape, 32 at a time, and sends nothing. A ratio of 0.5 is half the loop's speed. (The
loop is shown with larger batches too: the dispatcher stores up to 256 outcomes at a time.)
Enqueue: beside a prepared INSERT of the same row, both in one transaction.
Rounds are interleaved, a ratio is of what one round measured, and the median is taken, since the machine is shared.
"""
import statistics

from calls_common import LONG, enqueue_sql, held, loop, outcomes, prepare, psql, ratio, show, timed, wait_for_due

ROUNDS = 5 if LONG else 3
CALLS = 20000 if LONG else 10000
MEMORY_CALLS = 1000000 if LONG else 60000


def enqueue_ratio():
    held("on")
    calls = timed(enqueue_sql("get", CALLS))
    psql("SELECT count(integ_call_cancel(id)) FROM integ.calls_open")
    psql("TRUNCATE bench_open")
    inserts = timed(f"""DO $$
        BEGIN
            FOR g IN 1..{CALLS} LOOP
                INSERT INTO bench_open (id, instance, owner, is_write, client_id, instance_id, definition_id, method,
                    input)
                VALUES (integ.uuid_generate(), '018f0000-0000-7000-8000-000000000000', 'postgres', false, '*',
                    'bench_calls_main', 'bench_calls', 'get', jsonb_build_object('sku', 'A-' || g));
            END LOOP;
        END $$""")
    held("off")
    return calls / CALLS * 1e6, inserts / CALLS * 1e6


def dispatcher_memory():
    """Of all dispatchers together."""
    total = 0
    for pid in psql("""SELECT pid FROM pg_stat_activity
                       WHERE backend_type = 'integ dispatcher' AND datname = current_database()""").split():
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            total += next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
    return total


def memory_growth():
    psql(enqueue_sql("get", 10000))
    wait_for_due()
    before = dispatcher_memory()
    for _ in range(MEMORY_CALLS // 10000):
        psql(enqueue_sql("get", 10000))
        wait_for_due()
    return dispatcher_memory() / before


def main():
    prepare()
    reads, writes, loops, large, enqueues, inserts = [], [], [], [], [], []
    for _ in range(ROUNDS):
        reads.append(outcomes("get", CALLS))
        loops.append(loop(CALLS))
        large.append(loop(CALLS, 128))
        writes.append(outcomes("put", CALLS))
        enqueue, insert = enqueue_ratio()
        enqueues.append(enqueue)
        inserts.append(insert)
    show("calls_loop_per_s", statistics.median(loops), 0)
    show("calls_loop_of_128_per_s", statistics.median(large), 0)
    show("calls_read_per_s", statistics.median(reads), 0)
    show("calls_read_ratio", ratio(reads, loops))
    show("calls_write_per_s", statistics.median(writes), 0)
    show("calls_write_ratio", ratio(writes, loops))
    show("calls_enqueue_us", statistics.median(enqueues))
    show("calls_enqueue_ratio", ratio(enqueues, inserts))
    show("calls_memory_growth", memory_growth())


main()
