/*
 * Waking at commit: what a transaction asks for happens when it has committed,
 * and not at all when it has not.
 */
#include "operate/operate.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"

PG_FUNCTION_INFO_V1(integ_announce);
PG_FUNCTION_INFO_V1(integ_tg_wake);
PG_FUNCTION_INFO_V1(integ_tg_identity);

static uint32 wanted;	/* of the keeper */
static bool announcing; /* the extension was created */

static void
at_commit(void)
{
	IntegDatabase *database;

	if (announcing)
	{
		database = integ_shmem_announce(MyDatabaseId);
		integ_shmem_wake_launcher(false);
	}
	else
		database = integ_shmem_mine();
	if (database == NULL)
		return;
	if (wanted & INTEG_WAKE_IDENTITY)
	{
		LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
		database->identity_changes++;
		database->held = INTEG_HELD_UNKNOWN;
		LWLockRelease(integ_shared->lock);
	}
	integ_shmem_wake_keeper(database, wanted);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	/* After PREPARE it is COMMIT PREPARED that wakes, in whichever session it runs (commands.c). */
	if (event == XACT_EVENT_COMMIT && (wanted != 0 || announcing))
		at_commit();
	wanted = 0;
	announcing = false;
}

static void
register_callback(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
}

void
integ_wake_at_commit(uint32 what)
{
	if (integ_shared == NULL)
		return;
	register_callback();
	wanted |= what;
}

/* Called by the install script: the launcher starts a keeper here once CREATE EXTENSION commits. */
Datum
integ_announce(PG_FUNCTION_ARGS)
{
	if (integ_shared == NULL)
	{
		if (!IsBinaryUpgrade)
			ereport(WARNING,
					(errmsg("integ is not preloaded: its workers do not run"),
					 errhint("Add integ to shared_preload_libraries and restart the server; SELECT * FROM integ_status() shows"
							 " what is missing.")));
		PG_RETURN_VOID();
	}
	register_callback();
	announcing = true;
	wanted |= INTEG_WAKE_ALL;
	PG_RETURN_VOID();
}

/* Statement trigger of tables that the keeper acts on. */
Datum
integ_tg_wake(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_wake must be called as a trigger");
	/* Our own workers know what they changed. */
	if (MyBgworkerEntry == NULL || strcmp(MyBgworkerEntry->bgw_library_name, "integ") != 0)
		integ_wake_at_commit(INTEG_WAKE_JOBS);
	return PointerGetDatum(NULL);
}

/* Statement trigger of integ.identity: a restore brings the row of another database. */
Datum
integ_tg_identity(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_identity must be called as a trigger");
	integ_wake_at_commit(INTEG_WAKE_IDENTITY);
	return PointerGetDatum(NULL);
}
