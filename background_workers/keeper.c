/*
 * Keeper: one a database. It records, and sees to it that what is due runs. Its
 * loop runs named steps, each guarded: an error in one does not stop the others.
 */
#include "worker.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "core/json.h"
#include "limits/limits.h"
#include "handlers/worker.h"
#include "ingress/ingress.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "record/recorder.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/procsignal.h"
#include "sync/lifecycle.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define FALLBACK USECS_PER_MINUTE
#define SLEEP_MAX_MS 60000
#define WORKER_RETRY (10 * USECS_PER_SEC)
#define MAINTENANCE_PAUSE USECS_PER_SEC
/* A keeper that ran this long did not fail at its start. */
#define STABLE_AFTER USECS_PER_MINUTE
/* How long a stopping keeper waits for the outcomes of writes under way. */
#define LAST_OUTCOMES_MS 1000

#define ALWAYS 0x80000000 /* a step that looks in every round */

static IntegDatabase *mine;
static uint32 announced; /* the announcement this keeper serves */
static TimestampTz started;
static bool recovered;
static bool extension_gone;
static volatile sig_atomic_t stop_requested;
static uint32 woken; /* INTEG_WAKE_… bits of this round */
static MemoryContext scratch;

static TimestampTz step_extension(void);
static TimestampTz step_identity(void);
static TimestampTz step_recovery(void);
static TimestampTz step_recorder(void);
static TimestampTz step_instances(void);
static TimestampTz step_watermark(void);
static TimestampTz step_scheduler(void);
static TimestampTz step_dispatchers(void);
static TimestampTz step_handlers(void);
static TimestampTz step_sync(void);
static TimestampTz step_listeners(void);

typedef struct Step
{
	const char *name;
	TimestampTz (*run)(void); /* returns when it is due again */
	uint32 wake;			  /* INTEG_WAKE_… bits that make it due */
	bool after_recovery;
	int64 first_retry; /* microseconds; doubles with every failure in a row */
	TimestampTz due;
	int failures;
} Step;

static Step steps[] = {
	{"extension", step_extension, INTEG_WAKE_EXTENSION, false, USECS_PER_SEC},
	{"identity", step_identity, INTEG_WAKE_IDENTITY, false, USECS_PER_SEC},
	{"recovery", step_recovery, 0, false, USECS_PER_SEC},
	{"recorder", step_recorder, ALWAYS, true, 100000},
	{"instances", step_instances, ALWAYS, true, USECS_PER_SEC},
	{"watermark", step_watermark, 0, true, USECS_PER_SEC},
	{"scheduler", step_scheduler, INTEG_WAKE_JOBS, true, USECS_PER_SEC},
	{"dispatchers", step_dispatchers, INTEG_WAKE_DISPATCHERS, true, USECS_PER_SEC},
	{"handlers", step_handlers, INTEG_WAKE_HANDLERS, true, USECS_PER_SEC},
	{"sync", step_sync, INTEG_WAKE_SYNC, true, USECS_PER_SEC},
	{"listeners", step_listeners, INTEG_WAKE_LISTENERS, true, USECS_PER_SEC},
};

#define RETRY_MAX (30 * USECS_PER_SEC)

static void
begin_transaction(void)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
commit_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static TimestampTz
step_extension(void)
{
	begin_transaction();
	extension_gone = !OidIsValid(get_extension_oid("integ", true));
	commit_transaction();
	return GetCurrentTimestamp() + FALLBACK;
}

static TimestampTz
step_identity(void)
{
	begin_transaction();
	integ_identity_check(mine);
	commit_transaction();
	return GetCurrentTimestamp() + FALLBACK;
}

/* Once at the start; until it succeeds nothing is recorded. */
static TimestampTz
step_recovery(void)
{
	integ_recorder_recover(mine);
	begin_transaction();
	integ_jobs_seed();
	integ_job_request("partitions");
	commit_transaction();
	recovered = true;
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	integ_shmem_state(mine, INTEG_DATABASE_RUNNING);
	LWLockRelease(integ_shared->lock);
	return DT_NOEND;
}

static TimestampTz
step_recorder(void)
{
	return integ_recorder_run(mine, false);
}

static TimestampTz
step_instances(void)
{
	return integ_recorder_touch(mine);
}

static TimestampTz
step_watermark(void)
{
	integ_recorder_watermark(mine, false);
	return GetCurrentTimestamp() + FALLBACK;
}

/* Starts the maintenance worker when a job is due and none runs. */
static TimestampTz
step_scheduler(void)
{
	static TimestampTz last_start;
	const IntegWorkerExtra *extra = integ_worker_extra();
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due;
	BackgroundWorkerHandle *handle;

	begin_transaction();
	due = integ_jobs_due();
	commit_transaction();
	MemoryContextSwitchTo(scratch);
	if (due > now)
		return Min(due, now + FALLBACK);
	/* It wakes us when it ends. */
	if (mine->maintenance_pid != 0)
		return now + FALLBACK;
	if (now < last_start + MAINTENANCE_PAUSE)
		return last_start + MAINTENANCE_PAUSE;
	last_start = now;
	if (integ_worker_start("integ_maintenance_main", "maintenance worker", extra, &handle))
		return now + WORKER_RETRY;
	integ_shmem_error(mine, "no free background worker slot for the maintenance worker");
	return now + WORKER_RETRY;
}

static TimestampTz
step_dispatchers(void)
{
	return integ_dispatchers_keep(mine);
}

static TimestampTz
step_handlers(void)
{
	return integ_handlers_keep(mine);
}

static TimestampTz
step_listeners(void)
{
	return integ_ingress_keep(mine);
}

static TimestampTz
step_sync(void)
{
	return integ_sync_keep(mine, woken);
}

static void
run_guarded(void *arg)
{
	Step *step = arg;

	step->due = step->run();
}

typedef struct Failure
{
	const Step *step;
	const char *error;
} Failure;

static void
emit_failure(void *arg)
{
	Failure *failure = arg;
	IntegJsonBuilder payload;

	begin_transaction();
	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "step", failure->step->name);
	integ_json_add_string(&payload, "error", failure->error);
	integ_event_emit("keeper.failed", NULL, NULL, integ_json_end(&payload));
	commit_transaction();
}

/* The first failure of a row of them becomes an event; all of them the last error. */
static void
note_failure(Step *step, const char *error)
{
	Failure failure = {step, error};
	char ignored[INTEG_ERROR_MAX];

	integ_shmem_error(mine, psprintf("%s: %s", step->name, error));
	step->due = GetCurrentTimestamp() + Min(step->first_retry << Min(step->failures, 16), RETRY_MAX);
	if (step->failures++ == 0)
		(void) integ_worker_guard(emit_failure, &failure, ignored, sizeof(ignored));
	/* The reason may be that the extension is gone. */
	steps[0].due = 0;
}

static bool
is_due(const Step *step)
{
	if (step->after_recovery && !recovered)
		return false;
	if (step->failures > 0)
		return step->due <= GetCurrentTimestamp();
	return (step->wake & (woken | ALWAYS)) != 0 || step->due <= GetCurrentTimestamp();
}

/* One round; returns when the next is due. */
static TimestampTz
round_of_steps(void)
{
	TimestampTz due = DT_NOEND;

	woken = pg_atomic_exchange_u32(&mine->wake, 0);
	for (size_t i = 0; i < lengthof(steps) && !extension_gone && !stop_requested; i++)
	{
		char error[INTEG_ERROR_MAX];

		if (is_due(&steps[i]))
		{
			if (integ_worker_guard(run_guarded, &steps[i], error, sizeof(error)))
				steps[i].failures = 0;
			else
				note_failure(&steps[i], error);
		}
		if (recovered || !steps[i].after_recovery)
			due = Min(due, steps[i].due);
	}
	return due;
}

/* die() ends what cannot be waited for: a lock, a synchronous standby. */
static void
request_stop(SIGNAL_ARGS)
{
	stop_requested = true;
	die(postgres_signal_arg);
}

/* The tables of the recorder are locked by nobody, so that it will not wait for long. */
static bool
tables_are_free(void)
{
	static const char *const tables[] = {"requests", "audit_log"};
	bool are_free = true;

	begin_transaction();
	for (size_t i = 0; i < lengthof(tables) && are_free; i++)
	{
		Oid table = get_relname_relid(tables[i], get_namespace_oid("integ", true));

		are_free = OidIsValid(table) && ConditionalLockRelationOid(table, RowExclusiveLock);
	}
	commit_transaction();
	return are_free;
}

/* Backends that end together with the keeper still settle their writes. */
static void
write_last_outcomes(void)
{
	TimestampTz deadline = GetCurrentTimestamp() + LAST_OUTCOMES_MS * INT64CONST(1000);

	while (mine->in_flight > 0 && GetCurrentTimestamp() < deadline)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 20, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		(void) integ_recorder_run(mine, true);
	}
}

static void
flush_all(void *arg)
{
	if (!tables_are_free())
		return;
	(void) integ_recorder_run(mine, true);
	write_last_outcomes();
	integ_limits_save();
	integ_recorder_watermark(mine, mine->in_flight == 0);
}

/*
 * Runs when the keeper ends, before it leaves its database: one that was told to
 * stop, even in the middle of a step, writes what is in the ring, so that a
 * shutdown loses nothing. Nothing here can be interrupted any more: it does not
 * wait for locks or for a standby.
 */
static void
flush_at_exit(int code, Datum arg)
{
	char error[INTEG_ERROR_MAX];

	if (!stop_requested || !recovered || extension_gone)
		return;
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(scratch);
	if (synchronous_commit > SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
		SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
	if (!integ_worker_guard(flush_all, NULL, error, sizeof(error)))
		integ_shmem_error(mine, error);
}

/*
 * Runs after this process has left its database, so that whoever waits for that
 * may go on.
 */
static void
detach(int code, Datum arg)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	LWLockAcquire(mine->lock, LW_EXCLUSIVE);
	mine->keeper_latch = NULL;
	LWLockRelease(mine->lock);
	mine->keeper_pid = 0;
	if (extension_gone)
		(void) integ_shmem_stop_workers(mine);
	if (extension_gone && mine->announced == announced)
		integ_shmem_release(mine);
	else
	{
		if (stop_requested || extension_gone)
			mine->failures = 0;
		else if (GetCurrentTimestamp() - started > STABLE_AFTER)
			mine->failures = 1;
		else
			mine->failures++;
		mine->retry_at = extension_gone ? 0 : GetCurrentTimestamp() + integ_worker_backoff(mine->failures);
		integ_shmem_state(mine, mine->suspended > 0 ? INTEG_DATABASE_STOPPED : INTEG_DATABASE_WAITING);
	}
	LWLockRelease(integ_shared->lock);
	integ_shmem_wake_launcher(false);
}

/* Takes the slot; false where it changed hands or a command on the database is under way. */
static bool
attach(void)
{
	const IntegWorkerExtra *extra = integ_worker_extra();
	bool taken = false;

	mine = &integ_shared->databases[extra->slot];
	started = GetCurrentTimestamp();
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (mine->generation == extra->generation && mine->database == extra->database && mine->suspended == 0 &&
		mine->keeper_pid == 0)
	{
		taken = true;
		mine->keeper_pid = MyProcPid;
		mine->epoch++;
		announced = mine->announced;
		integ_shmem_state(mine, INTEG_DATABASE_STARTING);
		LWLockAcquire(mine->lock, LW_EXCLUSIVE);
		mine->keeper_latch = MyLatch;
		mine->ring.wake_at = 0;
		LWLockRelease(mine->lock);
		on_shmem_exit(detach, (Datum) 0);
	}
	LWLockRelease(integ_shared->lock);
	return taken;
}

void
integ_keeper_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, request_stop);
	BackgroundWorkerUnblockSignals();
	if (!attach())
		proc_exit(0);
	integ_worker_connect();
	scratch = AllocSetContextCreate(TopMemoryContext, "integ keeper", ALLOCSET_DEFAULT_SIZES);
	before_shmem_exit(flush_at_exit, (Datum) 0);
	pgstat_report_activity(STATE_IDLE, NULL);

	while (!stop_requested && !extension_gone)
	{
		TimestampTz due;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			pg_atomic_fetch_or_u32(&mine->wake, INTEG_WAKE_DISPATCHERS | INTEG_WAKE_HANDLERS | INTEG_WAKE_SYNC |
													INTEG_WAKE_LISTENERS);
		}
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		pg_atomic_fetch_add_u64(&mine->wakeups, 1);
		due = round_of_steps();
		if (stop_requested || extension_gone || due <= GetCurrentTimestamp())
			continue;
		(void) pgstat_report_stat(due - GetCurrentTimestamp() > USECS_PER_SEC);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 integ_worker_timeout(due, SLEEP_MAX_MS), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	proc_exit(0);
}
