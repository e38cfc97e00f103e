/*
 * The order in which rows of sync are locked: the task, then its executions. A person's UPDATE or DELETE of a task does
 * so too, by its trigger. And how long a worker waits for rows that somebody else has locked.
 */
#include "sync/lifecycle.h"

#include "catalog/pg_type.h"
#include "core/query.h"
#include "core/uuid.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* Unless the owner's lock_timeout is shorter. */
#define LOCK_WAIT_MS 60000

void
integ_sync_limit_waits(void)
{
	if (LockTimeout == 0 || LockTimeout > LOCK_WAIT_MS)
		(void) set_config_option("lock_timeout", CppAsString2(LOCK_WAIT_MS), PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
								 true, 0, false);
}

void
integ_sync_raise_locked(const pg_uuid_t *execution)
{
	if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
		PG_RE_THROW();
	FlushErrorState();
	/* Not a lock of users' tables: the page is not to be stored anew at once. */
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("execution %s, or its task, has been locked by another transaction for too long",
					integ_uuid_text(execution)),
			 errdetail("Its worker writes its progress there, and serves others meanwhile; it goes on from the last page that"
					   " was stored once the lock is gone."),
			 errhint("End that transaction: SELECT pid, xact_start, query FROM pg_stat_activity WHERE state ="
					 " 'idle in transaction'.")));
}

void
integ_sync_lock(const pg_uuid_t *execution)
{
	static IntegQuery task = {"SELECT FROM integ.sync_tasks WHERE id ="
							  " (SELECT task FROM integ.sync_executions_open WHERE id = $1) FOR NO KEY UPDATE",
							  1,
							  {UUIDOID}};
	static IntegQuery row = {"SELECT FROM integ.sync_executions_open WHERE id = $1 FOR UPDATE", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(execution);

	PG_TRY();
	{
		(void) integ_query(&task, &value, NULL);
		(void) integ_query(&row, &value, NULL);
	}
	PG_CATCH();
	{
		integ_sync_raise_locked(execution);
	}
	PG_END_TRY();
}

bool
integ_sync_try_lock(const pg_uuid_t *execution)
{
	static IntegQuery task = {
		"WITH e AS MATERIALIZED (SELECT task FROM integ.sync_executions_open WHERE id = $1), l AS MATERIALIZED ("
		"  SELECT id FROM integ.sync_tasks WHERE id = (SELECT task FROM e) FOR NO KEY UPDATE SKIP LOCKED)"
		" SELECT EXISTS (SELECT FROM l) OR NOT EXISTS ("
		"  SELECT FROM integ.sync_tasks WHERE id = (SELECT task FROM e))",
		1,
		{UUIDOID}};
	static IntegQuery row = {
		"WITH l AS MATERIALIZED ("
		"  SELECT id FROM integ.sync_executions_open WHERE id = $1 FOR UPDATE SKIP LOCKED)"
		" SELECT EXISTS (SELECT FROM l) OR NOT EXISTS (SELECT FROM integ.sync_executions_open WHERE id = $1)",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(execution);

	(void) integ_query(&task, &value, NULL);
	if (!integ_result_bool(0, 1))
		return false;
	(void) integ_query(&row, &value, NULL);
	return integ_result_bool(0, 1);
}
