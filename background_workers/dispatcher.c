/*
 * Dispatcher: carries out durable calls, and delivers events. One loop over libcurl's multi handles on
 * the process's latch; the steps are in src/calls, src/oauth and src/endpoints. No step waits for the
 * network, and an error in one is logged and does not end the process.
 */
#include "worker.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/xact.h"
#include "calls/dispatch.h"
#include "commands/extension.h"
#include "core/compat.h"
#include "core/guc.h"
#include "core/workers.h"
#include "endpoints/work.h"
#include "miscadmin.h"
#include "oauth/work.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define SLEEP_MAX_MS 60000
#define RESCAN_INTERVAL USECS_PER_MINUTE
#define ERROR_PAUSE USECS_PER_SEC
#define HELD_PAUSE (5 * USECS_PER_SEC)
#define KEEPER_PAUSE (100 * INT64CONST(1000))
#define RECOVERY_RETRY (2 * USECS_PER_SEC)

/*
 * Answers are stored together: when there are so many, after so long, or, where nothing more can be claimed meanwhile,
 * a little sooner. Each time costs a wait for the disk.
 */
#define SETTLE_COUNT 256
#define SETTLE_DELAY_MAX (10 * INT64CONST(1000))
#define SETTLE_DELAY (2 * INT64CONST(1000))

/* What is under way when the dispatcher is told to stop may still be answered. */
#define STOP_GRACE (500 * INT64CONST(1000))
/* An answer of a token endpoint holds what cannot be had twice. Who stops us waits twice as long (commands.c). */
#define STOP_GRACE_TOKENS (5 * USECS_PER_SEC)

/* Of the heap: bytes that stay free at its end, by which it grows, and of blocks that are mapped by themselves. */
#define MEMORY_KEPT (16 * 1024 * 1024)
#define MEMORY_STEP (1024 * 1024)
#define MEMORY_MAPPED (4 * 1024 * 1024)

/* A clock that is adjusted is not one that was set. */
#define CLOCK_TOLERANCE USECS_PER_SEC

#define START_RETRY (10 * USECS_PER_SEC)
#define STABLE_AFTER USECS_PER_MINUTE

static IntegDispatcher dispatcher;
static IntegDispatcherSlot *slot;
static WaitEventSet *events;
static bool extension_gone;
static TimestampTz paused_until;
static TimestampTz next_rescan;
static TimestampTz next_recovery;
static bool restored; /* rows may have come whose leases are not noted */

/* Runs after this process has left its database. */
static void
detach(int code, Datum arg)
{
	bool failed = !ShutdownRequestPending && !extension_gone;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	slot->pid = 0;
	slot->failures = !failed ? 0 : GetCurrentTimestamp() - slot->since > STABLE_AFTER ? 1
																					  : slot->failures + 1;
	slot->retry_at = failed ? GetCurrentTimestamp() + integ_worker_backoff(slot->failures) : 0;
	ConditionVariableBroadcast(&dispatcher.database->changed);
	LWLockRelease(integ_shared->lock);
	integ_shmem_wake_keeper(dispatcher.database, INTEG_WAKE_DISPATCHERS);
}

static void
withdraw(int code, Datum arg)
{
	integ_wake_detach(&dispatcher.database->dispatch, dispatcher.number);
}

/* False where another one runs, the slot changed hands, or a command on the database is under way. */
static bool
attach(void)
{
	const IntegWorkerExtra *extra = integ_worker_extra();
	bool taken = false;

	dispatcher.database = &integ_shared->databases[extra->slot];
	dispatcher.number = extra->number;
	dispatcher.total = extra->total;
	slot = &dispatcher.database->dispatch.slots[extra->number];
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (dispatcher.database->generation == extra->generation && dispatcher.database->suspended == 0 && slot->pid == 0)
	{
		taken = true;
		slot->pid = MyProcPid;
		slot->total = extra->total;
		slot->since = GetCurrentTimestamp();
		on_shmem_exit(detach, (Datum) 0);
	}
	LWLockRelease(integ_shared->lock);
	return taken;
}

TimestampTz
integ_dispatchers_keep(IntegDatabase *database)
{
	IntegDispatch *dispatch = &database->dispatch;
	IntegWorkerExtra extra = *integ_worker_extra();
	TimestampTz now = GetCurrentTimestamp(), due = now + RESCAN_INTERVAL;
	bool other_number = false;

	extra.total = integ_dispatchers;
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < INTEG_MAX_DISPATCHERS; i++)
		other_number |= dispatch->slots[i].pid != 0 && dispatch->slots[i].total != integ_dispatchers;
	if (other_number)
		(void) INTEG_WORKERS_STOP(dispatch->slots);
	LWLockRelease(integ_shared->lock);
	/* They share the instances in another way: none starts before all have left. */
	if (other_number)
		return due;
	for (int i = 0; i < integ_dispatchers; i++)
	{
		BackgroundWorkerHandle *handle;

		extra.number = i;
		if (dispatch->slots[i].pid != 0)
			continue;
		if (dispatch->slots[i].retry_at <= now)
		{
			dispatch->slots[i].retry_at = now + START_RETRY;
			if (!integ_worker_start("integ_dispatcher_main", "dispatcher", &extra, &handle))
				integ_shmem_error(database, "no free background worker slot for the dispatcher");
		}
		due = Min(due, dispatch->slots[i].retry_at);
	}
	return due;
}

/* Our statements find single rows by index; the planner must not think otherwise of an empty table. */
static void
pin_plans(void)
{
	static const char *const off[] = {"enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin"};

	for (size_t i = 0; i < lengthof(off); i++)
		SetConfigOption(off[i], "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("plan_cache_mode", "force_generic_plan", PGC_SUSET, PGC_S_OVERRIDE);
	/* A row that somebody has locked is settled later. */
	SetConfigOption("lock_timeout", "1s", PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * What one round gives back the next one takes: kept between them, instead of returned to the kernel, which fills each
 * page with zeros that it hands out anew.
 */
static void
keep_memory(void)
{
#ifdef __GLIBC__
	(void) mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT);
	(void) mallopt(M_TOP_PAD, MEMORY_STEP);
	(void) mallopt(M_MMAP_THRESHOLD, MEMORY_MAPPED);
#endif
}

static void
prepare_process(void)
{
	char problem[256];

	keep_memory();

	dispatcher.context = AllocSetContextCreate(TopMemoryContext, "integ dispatcher", ALLOCSET_DEFAULT_SIZES);
	dispatcher.scratch = AllocSetContextCreate(TopMemoryContext, "integ dispatcher round", ALLOCSET_DEFAULT_SIZES);
	dlist_init(&dispatcher.backlogged);
	dlist_init(&dispatcher.promising);
	dlist_init(&dispatcher.unlocked);
	dlist_init(&dispatcher.failing);
	dlist_init(&dispatcher.claimed);
	dlist_init(&dispatcher.ready);
	dlist_init(&dispatcher.flying);
	dlist_init(&dispatcher.asking);
	dlist_init(&dispatcher.answered);
	dispatcher.lease = integ_lease_take();
	dispatcher.pool = integ_transfer_pool_create(INTEG_FLIGHTS_MAX, problem, sizeof(problem));
	if (dispatcher.pool == NULL)
		ereport(FATAL, (errmsg("the dispatcher cannot start"), errdetail_internal("%s", problem)));
	integ_wake_mute();
	integ_claim_rescan(&dispatcher);

	integ_oauth_work_init(&dispatcher.database->oauth, dispatcher.number, dispatcher.total);
	dispatcher.delivery_news = DT_NOBEGIN;
	integ_deliveries_work_init(&dispatcher);
	events = integ_create_wait_event_set(5);
	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, integ_transfer_pool_descriptor(dispatcher.pool), NULL, NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, integ_oauth_work_descriptor(), NULL, NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, integ_deliveries_work_descriptor(), NULL, NULL);
	integ_wake_attach(&dispatcher.database->dispatch, dispatcher.number);
	before_shmem_exit(withdraw, (Datum) 0);
}

static void
look_for_extension(void *arg)
{
	StartTransactionCommand();
	extension_gone = !OidIsValid(get_extension_oid("integ", true));
	CommitTransactionCommand();
}

/* Runs a step; after an error the dispatcher pauses, and looks whether the extension is still there. */
static bool
run(IntegStep step, void *arg)
{
	char error[INTEG_ERROR_MAX];

	if (integ_worker_guard(step, arg, error, sizeof(error)))
		return true;
	integ_shmem_error(dispatcher.database, psprintf("dispatcher: %s", error));
	paused_until = GetCurrentTimestamp() + ERROR_PAUSE;
	if (step != look_for_extension)
		(void) run(look_for_extension, NULL);
	return false;
}

static void
step_recover(void *arg)
{
	bool done = integ_recover(&dispatcher, restored);

	restored = false;
	next_recovery = done ? DT_NOEND : GetCurrentTimestamp() + RECOVERY_RETRY;
	integ_claim_rescan(&dispatcher);
}

static void
step_return_lease(void *arg)
{
	integ_lease_return(dispatcher.lease);
}

static void
step_rescan(void *arg)
{
	integ_claim_rescan(&dispatcher);
	integ_lane_sweep(&dispatcher);
	integ_sweep_keys();
	look_for_extension(NULL);
}

static void
step_settle(void *arg)
{
	if (!integ_settle(&dispatcher))
		paused_until = GetCurrentTimestamp() + ERROR_PAUSE;
}

static void
step_failing(void *arg)
{
	integ_failing_write(&dispatcher);
}

static void
step_claim(void *arg)
{
	integ_claim(&dispatcher);
}

static void
step_tokens(void *arg)
{
	integ_oauth_work(arg != NULL);
}

static void
step_prepare(void *arg)
{
	integ_prepare(&dispatcher);
}

static void
step_send(void *arg)
{
	integ_send(&dispatcher);
}

/*
 * A clock that is set back would put off everything that waits for a time of its own until it is reached again: the
 * dispatcher looks at everything anew. What stands in the tables keeps its time.
 */
static void
notice_clock(TimestampTz now)
{
	static TimestampTz last_seen;

	if (now < last_seen - CLOCK_TOLERANCE)
	{
		ereport(LOG, (errmsg("the clock was set back by " INT64_FORMAT " s", (last_seen - now) / USECS_PER_SEC)));
		paused_until = 0;
		next_rescan = now;
		next_recovery = Min(next_recovery, now);
		dispatcher.answered_since = Min(dispatcher.answered_since, now);
		dispatcher.failing_since = Min(dispatcher.failing_since, now);
		integ_lane_resume_all(&dispatcher);
		integ_deliveries_work_reset();
	}
	last_seen = now;
}

/* Why nothing may leave now: looks again after this time; 0 where it may. */
static int64
closed_for(void)
{
	if (dispatcher.database->state != INTEG_DATABASE_RUNNING)
		return KEEPER_PAUSE;
	return integ_hold || dispatcher.database->held != INTEG_HELD_NO ? HELD_PAUSE : 0;
}

static bool
may_claim(int64 closed, TimestampTz now)
{
	return closed == 0 && dispatcher.nflights < INTEG_FLIGHTS_MAX && integ_claim_due(&dispatcher) <= now;
}

/* When what has been answered is stored at the latest, where more may or may not be claimed meanwhile. */
static TimestampTz
settle_due(bool more)
{
	if (dispatcher.nanswered == 0)
		return DT_NOEND;
	if (dispatcher.nanswered >= SETTLE_COUNT || (dispatcher.nflying == 0 && !more))
		return DT_NOBEGIN;
	return dispatcher.answered_since + (more ? SETTLE_DELAY_MAX : SETTLE_DELAY);
}

/* One round; returns when the next is due unless something happens before. */
static TimestampTz
work(void)
{
	TimestampTz now = GetCurrentTimestamp(), due = DT_NOEND;
	static bool was_closed;
	int64 closed = closed_for();

	notice_clock(now);
	/* Rows of a restore may have come since: running ones in them are nobody's. */
	if (was_closed && closed == 0)
	{
		restored = true;
		next_recovery = Min(next_recovery, now);
	}
	was_closed = closed != 0;
	integ_receive(&dispatcher);
	integ_asking_poll(&dispatcher);
	integ_claim_news(&dispatcher);
	/* Tokens before everything that needs them, and also while calls pause after an error. */
	(void) run(step_tokens, closed == 0 ? NULL : &dispatcher);
	if (paused_until > now)
		return paused_until;
	if (next_recovery <= now && !run(step_recover, NULL))
		return paused_until;
	if (next_rescan <= now)
	{
		next_rescan = now + RESCAN_INTERVAL;
		(void) run(step_rescan, NULL);
	}
	if (settle_due(may_claim(closed, now)) <= now)
		(void) run(step_settle, NULL);
	if (integ_failing_due(&dispatcher) <= now)
		(void) run(step_failing, NULL);
	if (may_claim(closed, now))
		(void) run(step_claim, NULL);
	if (!dlist_is_empty(&dispatcher.claimed))
		(void) run(step_prepare, NULL);
	if (!dlist_is_empty(&dispatcher.ready))
		(void) run(step_send, NULL);

	now = GetCurrentTimestamp();
	due = Min(Min(next_rescan, next_recovery), integ_asking_due(&dispatcher));
	due = Min(due, integ_failing_due(&dispatcher));
	due = Min(due, closed == 0 ? integ_oauth_work_next() : now + closed);
	if (closed != 0)
		due = Min(due, now + closed);
	else if (dispatcher.nflights < INTEG_FLIGHTS_MAX)
		due = Min(due, integ_claim_due(&dispatcher));
	due = Min(due, settle_due(false));
	return paused_until > now ? Max(due, paused_until) : due;
}

static void
wait_until(TimestampTz due)
{
	WaitEvent occurred[5];
	long timeout = integ_worker_timeout(due, SLEEP_MAX_MS);
	int pool_timeout = dispatcher.nflying > 0 ? integ_transfer_pool_timeout(dispatcher.pool) : -1;

	if (pool_timeout >= 0)
		timeout = Min(timeout, pool_timeout);
	pool_timeout = integ_oauth_work_timeout();
	if (pool_timeout >= 0)
		timeout = Min(timeout, pool_timeout);
	pool_timeout = integ_deliveries_work_timeout();
	if (pool_timeout >= 0)
		timeout = Min(timeout, pool_timeout);
	if (timeout > 0 && !integ_wake_sleep(&dispatcher.database->dispatch, dispatcher.number))
		timeout = 0;
	if (timeout > 0 && dispatcher.nflights == 0)
		(void) pgstat_report_stat(timeout > 1000);
	(void) WaitEventSetWait(events, timeout, occurred, lengthof(occurred), PG_WAIT_EXTENSION);
	integ_wake_awake(&dispatcher.database->dispatch, dispatcher.number);
	ResetLatch(MyLatch);
}

static void
end_round(void)
{
	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(dispatcher.scratch);
	MemoryContextSwitchTo(dispatcher.scratch);
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
}

/* Calls that have not left are given back; those under way have a moment to be answered. */
static void
stop(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz deadline = now + STOP_GRACE, last = now + STOP_GRACE_TOKENS;

	dispatcher.stopping = true;
	while (((dispatcher.nflying > 0 || integ_deliveries_work_open()) && now < deadline) ||
		   (integ_oauth_work_open() && now < last))
	{
		wait_until(now < deadline ? deadline : last);
		(void) run(step_tokens, &dispatcher);
		integ_receive(&dispatcher);
		integ_deliveries_work_receive();
		end_round();
		now = GetCurrentTimestamp();
	}
	integ_give_up(&dispatcher);
	(void) run(step_settle, NULL);
	/* What was answered just now, and was to be asked about. */
	integ_asking_give_up(&dispatcher);
	(void) run(step_settle, NULL);
	integ_oauth_work_stop();
	integ_deliveries_work_stop();
	integ_transfer_pool_destroy(dispatcher.pool);
	/* What could not be stored is given back by another one. */
	if (dispatcher.nflights == 0 && integ_deliveries_work_idle())
		(void) run(step_return_lease, NULL);
}

void
integ_dispatcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	if (!attach())
		proc_exit(0);
	integ_worker_connect();
	pin_plans();
	prepare_process();
	pgstat_report_activity(STATE_IDLE, NULL);

	while (!ShutdownRequestPending && !extension_gone &&
		   dispatcher.database->generation == integ_worker_extra()->generation)
	{
		TimestampTz due;

		end_round();
		due = work();
		due = Min(due, integ_deliveries_work(closed_for() != 0));
		if (!ShutdownRequestPending)
			wait_until(due);
	}
	if (!extension_gone)
		stop();
	proc_exit(0);
}
