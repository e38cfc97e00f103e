/*
 * What the keeper does for listeners: they run where integ.listen_port is set, and begin anew when a setting of theirs
 * changes. A process that runs does not see ALTER DATABASE SET; one that connects does. So a listener reads its
 * settings as it starts, and the keeper notices that they have changed.
 */
#include "ingress/ingress.h"

#include "../background_workers/worker.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/workers.h"
#include "core/query.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define RESCAN USECS_PER_MINUTE
#define HELD_PAUSE (5 * USECS_PER_SEC)
#define START_RETRY (10 * USECS_PER_SEC)

/*
 * What the settings of listeners come from: of the file, and of the database. *listens: some of them has a port, be it
 * one that this process, which connected earlier, does not have.
 */
static uint64
settings_digest(Oid *role, bool *listens)
{
	static IntegQuery query = {
		"SELECT coalesce(pg_catalog.string_agg(u.setting, '|' ORDER BY u.setting), '')"
		" FROM pg_catalog.pg_db_role_setting s CROSS JOIN pg_catalog.unnest(s.setconfig) AS u (setting)"
		" WHERE s.setdatabase IN (0, $1) AND u.setting LIKE 'integ.%'",
		1,
		{OIDOID}};
	Datum database = ObjectIdGetDatum(MyDatabaseId);
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	char *settings;
	uint64 digest;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	(void) integ_query_latest(&query, &database, NULL);
	settings = integ_result_text(0, 1, context);
	integ_owner_leave(&scope);
	*role = get_role_oid("integ_ingress", true);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	*listens = integ_listen_port > 0 || strstr(settings, "integ.listen_port=") != NULL;
	settings = psprintf("%s|%d|%s|%d|%s|%s|%s", settings, integ_listen_port, integ_listen_addresses, integ_listeners,
						integ_public_url, integ_listen_cert_file, integ_listen_key_file);
	digest = DatumGetUInt64(hash_any_extended((const unsigned char *) settings, (int) strlen(settings), 0));
	pfree(settings);
	return digest;
}

static void
start(IntegDatabase *database, int number, Oid role)
{
	IntegWorkerExtra extra = *integ_worker_extra();
	BackgroundWorkerHandle *handle;

	extra.owner = role;
	extra.number = number;
	database->listeners.slots[number].retry_at = GetCurrentTimestamp() + START_RETRY;
	if (!integ_worker_start_module("integ_ingress", "integ_ingress_main", "listener", &extra, &handle))
		integ_shmem_error(database, "no free background worker slot for the listener");
}

TimestampTz
integ_ingress_keep(IntegDatabase *database)
{
	static uint64 served; /* settings that the listeners were started with */
	static bool wanted, first = true;
	TimestampTz now = GetCurrentTimestamp(), due = now + RESCAN;
	bool listens, is_open = !integ_hold && database->held == INTEG_HELD_NO, gone = true;
	uint64 digest;
	Oid role;

	digest = settings_digest(&role, &listens);
	if (first)
		wanted = listens;
	else if (digest != served)
		wanted = true;
	if (!is_open || (!first && digest != served))
	{
		LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
		gone = INTEG_WORKERS_STOP(database->listeners.slots) == 0;
		for (int i = 0; i < INTEG_MAX_LISTENERS; i++)
			database->listeners.slots[i].retry_at = 0;
		LWLockRelease(integ_shared->lock);
	}
	first = false;
	served = digest;
	if (!is_open)
		return wanted ? now + HELD_PAUSE : due;
	if (!wanted || !OidIsValid(role) || !gone)
		return due;
	for (int i = 0; i < integ_listeners; i++)
	{
		if (database->listeners.slots[i].pid != 0)
			continue;
		if (database->listeners.slots[i].retry_at <= now)
			start(database, i, role);
		due = Min(due, database->listeners.slots[i].retry_at);
	}
	return due;
}
