/*
 * What the keeper puts right: executions whose worker is no more, and those
 * that are to be cancelled.
 */
#include "sync/lifecycle.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/query.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* A worker that ends so often in a row, with nothing stored, would do so for ever. */
#define STALLED_MAX 5

static bool
is_alive(const IntegDatabase *database, int64 lease)
{
	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
		if (database->sync.slots[i].pid != 0 && database->sync.slots[i].lease == lease)
			return true;
	return false;
}

typedef struct Orphan
{
	pg_uuid_t id;
	int64 lease;
	bool cancelled;
	bool stalled;
} Orphan;

/* First the rows, then who is alive: a worker has its slot before it takes an execution. */
static int
find_orphans(const IntegDatabase *database, Orphan **orphans)
{
	static IntegQuery running = {
		"SELECT id, lease, cancel_requested, stalled::bigint FROM integ.sync_executions_open WHERE status = 'running'", 0};
	uint64 count = integ_query(&running, NULL, NULL);
	int found = 0;
	bool isnull;

	*orphans = palloc(Max(count, 1) * sizeof(Orphan));
	LWLockAcquire(integ_shared->lock, LW_SHARED);
	for (uint64 i = 0; i < count; i++)
	{
		int64 lease = integ_result_int8(i, 2);

		if (is_alive(database, lease))
			continue;
		(*orphans)[found++] = (Orphan){.id = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull)),
									   .lease = lease,
									   .cancelled = integ_result_bool(i, 3),
									   .stalled = integ_result_int8(i, 4) + 1 >= STALLED_MAX};
	}
	LWLockRelease(integ_shared->lock);
	return found;
}

static void
give_back(const Orphan *orphan)
{
	static IntegQuery back = {
		"UPDATE integ.sync_executions_open SET status = 'queued', lease = NULL, resumed = resumed + 1, stalled = stalled + 1,"
		" reason = 'its worker has ended; it goes on from the last page that was stored'"
		" WHERE id = $1 AND lease = $2",
		2,
		{UUIDOID, INT8OID}};
	Datum values[] = {UUIDPGetDatum(&orphan->id), Int64GetDatum(orphan->lease)};

	(void) integ_query(&back, values, NULL);
}

bool
integ_sync_recover_orphans(IntegDatabase *database)
{
	static const IntegSyncOutcome cancelled = {.status = INTEG_SYNC_STOPPED, .message = "cancelled"};
	static const IntegSyncOutcome stalled = {
		.status = INTEG_SYNC_FAILED,
		.sqlerrcode = ERRCODE_INTEG_INSTALLATION,
		.message = "its worker ended over and over before it had stored anything",
		.hint = "The server log says why the worker ended. Once that is mended, integ_sync_run runs the task again."};
	Orphan *orphans;
	int count = find_orphans(database, &orphans);
	bool done = true;

	for (int i = 0; i < count; i++)
	{
		if (!integ_sync_try_lock(&orphans[i].id))
			done = false;
		else if (orphans[i].cancelled)
			(void) integ_sync_end(&orphans[i].id, &cancelled);
		else if (orphans[i].stalled)
			(void) integ_sync_end(&orphans[i].id, &stalled);
		else
			give_back(&orphans[i]);
	}
	if (count > 0)
		ConditionVariableBroadcast(&database->sync.finished);
	return done;
}

static void
tell_worker(IntegDatabase *database, const pg_uuid_t *execution)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < INTEG_MAX_SYNC_WORKERS; i++)
	{
		IntegSyncSlot *slot = &database->sync.slots[i];

		if (slot->state != INTEG_SYNC_BUSY || slot->latch == NULL ||
			memcmp(&slot->execution, execution, sizeof(*execution)) != 0)
			continue;
		slot->cancel = true;
		SetLatch(slot->latch);
	}
	LWLockRelease(integ_shared->lock);
}

bool
integ_sync_recover_cancelled(IntegDatabase *database)
{
	static IntegQuery asked = {
		"SELECT id, status, COALESCE(reason, 'cancelled') FROM integ.sync_executions_open WHERE cancel_requested", 0};
	uint64 count = integ_query(&asked, NULL, NULL);
	SPITupleTable *rows = SPI_tuptable;
	bool done = true;

	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;
		pg_uuid_t id = *DatumGetUUIDP(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		IntegSyncOutcome outcome = {.status = INTEG_SYNC_STOPPED,
									.message = SPI_getvalue(rows->vals[i], rows->tupdesc, 3)};

		if (strcmp(SPI_getvalue(rows->vals[i], rows->tupdesc, 2), "running") == 0)
			tell_worker(database, &id);
		else if (!integ_sync_try_lock(&id))
			done = false;
		else if (integ_sync_end(&id, &outcome))
			ConditionVariableBroadcast(&database->sync.finished);
	}
	return done;
}
