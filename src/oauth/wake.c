/*
 * Who tells the dispatchers that a token or an authorization has changed: at commit, and only then.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "core/shmem.h"
#include "fmgr.h"
#include "oauth/desk.h"
#include "oauth/oauth.h"

PG_FUNCTION_INFO_V1(integ_tg_oauth_wake);

static bool changed; /* by this transaction */

uint64
integ_oauth_changes(IntegOauthDesk *desk)
{
	uint64 changes;

	SpinLockAcquire(&desk->mutex);
	changes = desk->changes;
	SpinLockRelease(&desk->mutex);
	return changes;
}

/* Statement trigger of the tables, for direct DML, COPY and logical apply too. */
Datum
integ_tg_oauth_wake(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_oauth_wake must be called as a trigger");
	changed = true;
	return PointerGetDatum(NULL);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	IntegDatabase *database;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT && changed && (database = integ_shmem_mine()) != NULL)
	{
		SpinLockAcquire(&database->oauth.mutex);
		database->oauth.changes++;
		SpinLockRelease(&database->oauth.mutex);
		integ_wake_dispatchers(&database->dispatch);
	}
	changed = false;
}

void
integ_oauth_wake_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
}
