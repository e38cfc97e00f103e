/*
 * Sync worker: runs executions of one owner's tasks, one after the other, as
 * that owner. Started by the keeper with its first execution; it leaves after a
 * while with nothing to do, or to make room for another owner.
 */
#include "worker.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "sync/lifecycle.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* With nothing to do. */
#define IDLE_MS 10000

static IntegDatabase *mine;
static IntegSyncSlot *slot;
static int64 lease;
static bool connected;
static MemoryContext scratch;

/* Runs after this process has left its database. */
static void
detach(int code, Datum arg)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	slot->pid = 0;
	slot->latch = NULL;
	if (slot->state == INTEG_SYNC_BUSY)
		mine->sync.lost++;
	slot->state = connected ? INTEG_SYNC_FREE : INTEG_SYNC_BROKEN;
	ConditionVariableBroadcast(&mine->changed);
	LWLockRelease(integ_shared->lock);
	integ_shmem_wake_keeper(mine, INTEG_WAKE_SYNC);
}

/* False where the slot changed hands, or a command on the database is under way. */
static bool
attach(void)
{
	const IntegWorkerExtra *extra = integ_worker_extra();
	bool taken = false;

	mine = &integ_shared->databases[extra->slot];
	slot = &mine->sync.slots[extra->number];
	if (!pg_strong_random(&lease, sizeof(lease)))
		ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (mine->generation == extra->generation && slot->state == INTEG_SYNC_STARTING && slot->ticket == extra->total)
	{
		taken = mine->suspended == 0;
		slot->state = taken ? INTEG_SYNC_BUSY : INTEG_SYNC_FREE;
	}
	if (taken)
	{
		slot->pid = MyProcPid;
		slot->lease = lease;
		slot->latch = MyLatch;
		on_shmem_exit(detach, (Datum) 0);
	}
	LWLockRelease(integ_shared->lock);
	return taken;
}

static void
step_run(void *arg)
{
	IntegSyncRun **run = arg;
	IntegSyncOutcome outcome;

	*run = integ_sync_begin(&slot->execution, lease);
	if (*run == NULL)
		return;
	pgstat_report_activity(STATE_RUNNING, psprintf("sync task %s", (*run)->task_id));
	outcome = integ_sync_execute(*run);
	if (outcome.status == INTEG_SYNC_STOPPED && (*run)->stop == INTEG_SYNC_YIELD)
	{
		integ_sync_release(&(*run)->id, lease, NULL);
		MemoryContextDelete((*run)->context);
	}
	else
		integ_sync_finish(*run, &outcome);
	*run = NULL;
}

static void
step_release(void *arg)
{
	integ_sync_release(&slot->execution, lease, arg);
}

static void
step_forget(void *arg)
{
	integ_worker_forget_session();
}

/* What cannot be written now is found by the keeper once this process has ended. */
static void
must(IntegStep step, void *arg)
{
	char error[INTEG_ERROR_MAX];

	if (integ_worker_guard(step, arg, error, sizeof(error)))
		return;
	integ_shmem_error(mine, psprintf("sync: %s", error));
	proc_exit(1);
}

static void
run_execution(void)
{
	IntegSyncRun *run = NULL;
	char error[INTEG_ERROR_MAX];

	if (!integ_worker_guard(step_run, &run, error, sizeof(error)))
	{
		integ_shmem_error(mine, psprintf("sync: %s", error));
		if (run != NULL)
			MemoryContextDelete(run->context);
		must(step_release, error);
	}
	must(step_forget, NULL);
	pgstat_report_activity(STATE_IDLE, NULL);
}

static void
rest(void)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (slot->state == INTEG_SYNC_BUSY)
		slot->state = INTEG_SYNC_IDLE;
	slot->cancel = false;
	LWLockRelease(integ_shared->lock);
	integ_shmem_wake_keeper(mine, INTEG_WAKE_SYNC);
}

/* The keeper makes an idle worker busy, and wakes it. */
static bool
wait_for_work(void)
{
	TimestampTz until = GetCurrentTimestamp() + IDLE_MS * INT64CONST(1000);
	IntegSyncSlotState state = INTEG_SYNC_IDLE;

	(void) pgstat_report_stat(true);
	while (state == INTEG_SYNC_IDLE)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 integ_worker_timeout(until, IDLE_MS), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
		if (slot->state == INTEG_SYNC_IDLE && GetCurrentTimestamp() >= until)
			slot->state = INTEG_SYNC_LEAVING;
		state = slot->state;
		LWLockRelease(integ_shared->lock);
	}
	return state == INTEG_SYNC_BUSY;
}

void
integ_sync_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!attach())
		proc_exit(0);
	integ_worker_connect_as_owner();
	/* To compile the statements of a run takes seconds, where tables are new and nobody knows how small they are. */
	SetConfigOption("jit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	connected = true;
	integ_sync_attach_slot(mine, slot);
	scratch = AllocSetContextCreate(TopMemoryContext, "integ sync", ALLOCSET_DEFAULT_SIZES);

	do
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		run_execution();
		rest();
	} while (wait_for_work() && mine->generation == integ_worker_extra()->generation);
	proc_exit(0);
}
