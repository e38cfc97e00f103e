/*
 * Maintenance worker: started by the keeper when a job is due; runs what is due
 * and ends.
 */
#include "worker.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static IntegDatabase *mine;

/* Runs after this process has left its database. */
static void
detach(int code, Datum arg)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	mine->maintenance_pid = 0;
	ConditionVariableBroadcast(&mine->changed);
	LWLockRelease(integ_shared->lock);
	integ_shmem_wake_keeper(mine, INTEG_WAKE_JOBS);
}

/* False where another one runs, the slot changed hands, or a command on the database is under way. */
static bool
attach(void)
{
	const IntegWorkerExtra *extra = integ_worker_extra();
	bool taken = false;

	mine = &integ_shared->databases[extra->slot];
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (mine->generation == extra->generation && mine->suspended == 0 && mine->maintenance_pid == 0)
	{
		taken = true;
		mine->maintenance_pid = MyProcPid;
		mine->maintenance_since = GetCurrentTimestamp();
		on_shmem_exit(detach, (Datum) 0);
	}
	LWLockRelease(integ_shared->lock);
	return taken;
}

void
integ_maintenance_main(Datum arg)
{
	MemoryContext scratch;
	bool more = true;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!attach())
		proc_exit(0);
	integ_worker_connect();
	scratch = AllocSetContextCreate(TopMemoryContext, "integ maintenance", ALLOCSET_DEFAULT_SIZES);

	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		more = integ_jobs_run_next();
	}
	proc_exit(0);
}
