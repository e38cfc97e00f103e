#!/usr/bin/env python3
"""The scheduler of sync tasks: what choosing the due ones costs beside 1,000 and beside 100,000 active tasks, how late
a single due task begins, also where an old snapshot keeps 100,000 slots that have passed, whether many that are due in
one second begin in their order, and what an idle keeper costs.
The tasks fail at once (they have no instance): what counts here is when they begin.
"""
import os
import statistics
import subprocess
import time

from calls_common import LONG, psql, show

FEW, MANY = 1000, 100000
SAMPLES = 200 if LONG else 60
BURST = 1000
IDLE_SECONDS = 10


def fill(tasks):
    psql(f"""INSERT INTO integ.sync_tasks (task_id, schedule, next_run_at)
             SELECT 'bench-idle-' || g, '{{"every": "1 hour"}}', '2100-01-01'::timestamptz + g * interval '1 second'
             FROM generate_series((SELECT count(*) FROM integ.sync_tasks WHERE task_id ~ '^bench-idle-') + 1,
                                  {tasks}) g;
             VACUUM ANALYZE integ.sync_tasks""")


def choice():
    """Microseconds of one round: one task is due, and the next is looked for. Commits are left out: the disk's."""
    return float(psql("""CREATE TEMPORARY TABLE rounds (taken interval);
        DO $$
        DECLARE
            since timestamptz;
        BEGIN
            FOR i IN 1..100 LOOP
                UPDATE integ.sync_tasks SET next_run_at = '2099-01-01' WHERE task_id = 'bench-one';
                since := clock_timestamp();
                PERFORM integ.sync_schedule('2099-01-01 00:00:30');
                INSERT INTO rounds VALUES (clock_timestamp() - since);
                DELETE FROM integ.sync_executions_open WHERE task_id = 'bench-one';
                COMMIT;
            END LOOP;
        END $$;
        SELECT extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY taken)) * 1e6 FROM rounds"""))


def choices():
    """Medians beside few and beside many; the many are made between, so that both are of this run."""
    psql("""INSERT INTO integ.sync_tasks (task_id, schedule, next_run_at)
            VALUES ('bench-one', '{"every": "1 hour"}', '2100-01-01')""")
    fill(FEW)
    few = statistics.median(choice() for _ in range(5))
    fill(MANY)
    many = statistics.median(choice() for _ in range(5))
    psql("DELETE FROM integ.sync_tasks WHERE task_id = 'bench-one'")
    return few, many


def wait_until(sql):
    while psql(sql) != "t":
        time.sleep(0.02)


def lateness(name):
    """Milliseconds from the time that a single task is due to its beginning, with the many beside it."""
    late = []
    for sample in range(SAMPLES):
        psql(f"""INSERT INTO integ.sync_tasks (task_id, schedule, next_run_at)
                 VALUES ('bench-{name}-{sample}', '"manual"', clock_timestamp() + interval '150 milliseconds')""")
        wait_until(f"SELECT EXISTS (SELECT FROM integ.sync_executions_done WHERE task_id = 'bench-{name}-{sample}')")
        late.append(float(psql(f"""SELECT 1000 * extract(epoch FROM started_at - scheduled_for)
                                   FROM integ.sync_executions_done WHERE task_id = 'bench-{name}-{sample}'""")))
    return sorted(late)


def lateness_behind_snapshot():
    """The same while somebody's snapshot keeps a slot that has passed of every task."""
    holder = subprocess.Popen(["psql", "-X", "-q"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    holder.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;\n")
    holder.stdin.flush()
    wait_until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'idle in transaction')")
    psql("""BEGIN;
            UPDATE integ.sync_tasks SET next_run_at = '2020-01-01' WHERE task_id ~ '^bench-idle-';
            UPDATE integ.sync_tasks SET next_run_at = '2100-01-01' WHERE task_id ~ '^bench-idle-';
            COMMIT""")
    late = lateness("behind")
    holder.communicate("ROLLBACK;\n")
    return late


def burst():
    """How many began before one that was due earlier, and seconds from the first beginning to the last."""
    psql(f"""INSERT INTO integ.sync_tasks (task_id, schedule, next_run_at)
             SELECT 'bench-burst-' || g, '"manual"', date_trunc('second', clock_timestamp()) + interval '3 seconds'
                 + (g * 7919 % {BURST}) * interval '1 millisecond' FROM generate_series(1, {BURST}) g""")
    wait_until(f"SELECT count(*) = {BURST} FROM integ.sync_executions_done WHERE task_id ~ '^bench-burst-'")
    overtaken, seconds, workers = psql("""
        SELECT count(*) FILTER (WHERE number - due >= current_setting('integ.max_sync_workers')::int
                                   OR due - number >= current_setting('integ.max_sync_workers')::int) || ' '
               || extract(epoch FROM max(started_at) - min(started_at)) || ' '
               || current_setting('integ.max_sync_workers')
        FROM (SELECT started_at, row_number() OVER (ORDER BY started_at) AS number,
                     row_number() OVER (ORDER BY scheduled_for) AS due
              FROM integ.sync_executions_done WHERE task_id ~ '^bench-burst-') begun""").split()
    return int(overtaken), float(seconds), int(workers)


def idle_cpu():
    """Clock ticks of the keeper while nothing is due."""
    pid = psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'integ keeper' AND datname = current_database()")

    def ticks():
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    time.sleep(2)
    before = ticks()
    time.sleep(IDLE_SECONDS)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / IDLE_SECONDS * 100


def remove():
    psql("DELETE FROM integ.sync_tasks WHERE task_id ~ '^bench-'")


remove()
beside_few, beside_many = choices()
show("sync_choose_us_beside_1000_tasks", beside_few, 0)
show("sync_choose_us_beside_100000_tasks", beside_many, 0)
show("sync_choose_ratio_100000_to_1000_tasks", beside_many / beside_few)
late_ms = lateness("late")
show("sync_lateness_ms_p50", statistics.median(late_ms), 1)
show("sync_lateness_ms_p99", late_ms[min(len(late_ms) - 1, int(len(late_ms) * 0.99))], 1)
show("sync_lateness_ms_p50_behind_snapshot", statistics.median(lateness_behind_snapshot()), 1)
out_of_order, took, parallel = burst()
show("sync_burst_of_1000_out_of_order", out_of_order, 0)
show("sync_burst_of_1000_seconds", took, 1)
show("sync_burst_workers", parallel, 0)
show("sync_idle_keeper_cpu_percent", idle_cpu(), 2)
remove()
