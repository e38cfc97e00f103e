/*
 * Probe: looks once whether a database has the extension, and leaves.
 */
#include "worker.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/snapmgr.h"

static bool
has_extension(void)
{
	bool found;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	found = OidIsValid(get_extension_oid("integ", true));
	PopActiveSnapshot();
	CommitTransactionCommand();
	return found;
}

/* As the bootstrap superuser: integ_owner may not connect to a database without the extension. */
void
integ_probe_main(Datum arg)
{
	bool settled;

	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(integ_worker_extra()->database, InvalidOid, 0);
	settled = !has_extension() || integ_shmem_announce(MyDatabaseId) != NULL;
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	if (integ_shared->probing == MyDatabaseId)
		integ_shared->probe_settled = settled;
	LWLockRelease(integ_shared->lock);
	proc_exit(0);
}
