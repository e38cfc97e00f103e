/*
 * Handler worker: calls users' functions, as their owner. Started by the
 * keeper when something is due; it serves one owner, and leaves after a while
 * with nothing to do, or to make room for another owner.
 */
#include "worker.h"

#include "core/guc.h"
#include "handlers/worker.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* With nothing to do. */
#define IDLE_MS 10000

/* An owner has its worker for so long while another owner waits for one. */
#define TURN (500 * INT64CONST(1000))

#define ERROR_PAUSE_MS 1000

static IntegHandlerWorker worker;
static bool connected;
static TimestampTz began;

/* Runs after this process has left its database. */
static void
detach(int code, Datum arg)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	integ_handler_serve_abandon(worker.database, worker.number);
	worker.slot->pid = 0;
	worker.slot->latch = NULL;
	worker.slot->state = connected ? INTEG_HANDLER_FREE : INTEG_HANDLER_FAILED;
	ConditionVariableBroadcast(&worker.database->changed);
	LWLockRelease(integ_shared->lock);
	integ_shmem_wake_keeper(worker.database, INTEG_WAKE_HANDLERS);
}

/* False where the slot changed hands, or a command on the database is under way. */
static bool
attach(void)
{
	const IntegWorkerExtra *extra = integ_worker_extra();
	bool taken = false;

	worker.database = &integ_shared->databases[extra->slot];
	worker.number = extra->number;
	worker.slot = &worker.database->handlers.slots[extra->number];
	worker.owner = extra->owner;
	if (!pg_strong_random(&worker.lease, sizeof(worker.lease)))
		ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (worker.database->generation == extra->generation && worker.slot->state == INTEG_HANDLER_STARTING &&
		worker.slot->ticket == extra->total)
	{
		taken = worker.database->suspended == 0;
		worker.slot->state = taken ? INTEG_HANDLER_BUSY : INTEG_HANDLER_FREE;
	}
	if (taken)
	{
		worker.slot->pid = MyProcPid;
		worker.slot->lease = worker.lease;
		worker.slot->latch = MyLatch;
		worker.slot->since = began = GetCurrentTimestamp();
		on_shmem_exit(detach, (Datum) 0);
	}
	LWLockRelease(integ_shared->lock);
	return taken;
}

static void
connect_worker(void)
{
	integ_worker_connect_as_owner();
	integ_handler_call_init();
	worker.scratch = AllocSetContextCreate(TopMemoryContext, "integ handler", ALLOCSET_DEFAULT_SIZES);
	connected = true;
}

static void
step_serve(void *arg)
{
	*(bool *) arg = integ_handler_serve(&worker);
}

static void
step_run(void *arg)
{
	*(bool *) arg = integ_handler_run_next(&worker);
}

/* Whether there was anything to do. After an error of our own there is a pause, so that it does not fill the log. */
static bool
work(IntegStep step)
{
	char error[INTEG_ERROR_MAX];
	bool did = false;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	worker.slot->since = GetCurrentTimestamp();
	LWLockRelease(integ_shared->lock);
	if (integ_worker_guard(step, &did, error, sizeof(error)))
		return did;
	integ_shmem_error(worker.database, psprintf("handler: %s", error));
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ERROR_PAUSE_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	return false;
}

static bool
may_run(void)
{
	return !integ_hold && worker.database->held == INTEG_HELD_NO &&
		   worker.database->state == INTEG_DATABASE_RUNNING;
}

static bool
has_request(void)
{
	for (int i = 0; i < INTEG_MAX_HANDLER_REQUESTS; i++)
		if (worker.database->handlers.requests[i].state == INTEG_REQUEST_WAITING &&
			worker.database->handlers.requests[i].owner == worker.owner)
			return true;
	return false;
}

/* Another owner waits, and this one has had its turn. */
static bool
should_make_room(void)
{
	return worker.database->handlers.crowded && GetCurrentTimestamp() - began > TURN;
}

/* Idle, or leaving where others wait. False where a request came meanwhile. */
static bool
rest(void)
{
	bool resting = true;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (has_request())
		resting = false;
	else
		worker.slot->state = worker.database->handlers.crowded ? INTEG_HANDLER_LEAVING : INTEG_HANDLER_IDLE;
	LWLockRelease(integ_shared->lock);
	return resting;
}

/* Somebody who has work for it makes an idle worker busy, and wakes it. */
static bool
wait_for_work(void)
{
	TimestampTz until = GetCurrentTimestamp() + IDLE_MS * INT64CONST(1000);
	IntegHandlerState state = INTEG_HANDLER_IDLE;

	(void) pgstat_report_stat(true);
	while (state == INTEG_HANDLER_IDLE)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 integ_worker_timeout(until, IDLE_MS), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
		if (worker.slot->state == INTEG_HANDLER_IDLE && GetCurrentTimestamp() >= until)
			worker.slot->state = INTEG_HANDLER_LEAVING;
		state = worker.slot->state;
		LWLockRelease(integ_shared->lock);
	}
	return state == INTEG_HANDLER_BUSY;
}

void
integ_handler_main(Datum arg)
{
	bool staying = true;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!attach())
		proc_exit(0);
	connect_worker();

	while (staying && worker.database->generation == integ_worker_extra()->generation)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextReset(worker.scratch);
		MemoryContextSwitchTo(worker.scratch);
		if (work(step_serve))
			continue;
		if (should_make_room())
			break;
		if (may_run() && work(step_run))
			continue;
		staying = !rest() || wait_for_work();
	}
	proc_exit(0);
}
