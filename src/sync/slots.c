/*
 * Sync workers in shared memory.
 */
#include "sync/slots.h"

#include <signal.h>

bool
integ_sync_workers_stop(IntegSyncWorkers *workers)
{
	bool any = false;

	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
	{
		if (workers->slots[i].pid == 0)
			continue;
		any = true;
		kill(workers->slots[i].pid, SIGTERM);
	}
	return !any;
}

int
integ_sync_workers_running(const IntegSyncWorkers *workers)
{
	int running = 0;

	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
		running += workers->slots[i].pid != 0 ? 1 : 0;
	return running;
}
