/*
 * Leases: a running call belongs to the dispatcher whose number is in its row,
 * and which holds a lock of that number as long as it lives. A number whose
 * lock is free is nobody's: its calls are queued again where nothing can have
 * been sent or repeating is safe, and are unknown otherwise.
 */
#include "calls/dispatch.h"
#include "calls/done.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/query.h"
#include "endpoints/work.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Of advisory locks, SQL can name the classes 1 and 2 only. */
#define LEASE_LOCK_CLASS 0x4c53

/* A call that this many dispatchers did not survive is not tried again. */
#define MAX_INTERRUPTIONS "20"

#define KEYS_PER_SWEEP "10000"

static LOCKTAG
lease_tag(int64 lease)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (lease >> 32), (uint32) lease, LEASE_LOCK_CLASS);
	return tag;
}

static void
run_alone(IntegQuery *query, int64 lease)
{
	Datum value = Int64GetDatum(lease);

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	(void) integ_query(query, &value, NULL);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

int64
integ_lease_take(void)
{
	static IntegQuery insert = {"INSERT INTO integ.dispatcher_leases (lease) VALUES ($1)", 1, {INT8OID}};
	LOCKTAG tag;
	int64 lease;

	if (!pg_strong_random(&lease, sizeof(lease)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	tag = lease_tag(lease);
	/* The lock first: a row without one is what somebody has left. */
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
	run_alone(&insert, lease);
	return lease;
}

void
integ_lease_return(int64 lease)
{
	static IntegQuery end = {"DELETE FROM integ.dispatcher_leases WHERE lease = $1", 1, {INT8OID}};

	run_alone(&end, lease);
}

static bool
lease_is_orphaned(int64 lease)
{
	LOCKTAG tag = lease_tag(lease);

	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	(void) LockRelease(&tag, ExclusiveLock, false);
	return true;
}

/* The calls of a dispatcher that is no more: one pass over all that are open, and one more for those it had. */
static void
give_back_calls(int64 lease)
{
	static IntegQuery end = {
		"WITH ended AS (DELETE FROM integ.calls_open o WHERE o.state = 'running' AND o.lease = $1"
		" AND (o.sent_at IS NOT NULL AND NOT o.repeatable OR o.cancel_requested"
		"  OR o.interrupted >= " MAX_INTERRUPTIONS ")"
		" RETURNING o.*, CASE WHEN o.sent_at IS NOT NULL AND NOT o.repeatable THEN 'unknown'"
		"  WHEN o.cancel_requested THEN 'cancelled'"
		"  ELSE 'dead' END AS end_state,"
		" 'IG504' AS end_sqlstate, 'the dispatcher ended while it ran the call' AS end_error,"
		" CASE WHEN o.sent_at IS NOT NULL THEN 'The request may have been received, and its answer is lost.'"
		"  WHEN o.cancel_requested THEN 'It was cancelled meanwhile.' ELSE 'This happened too often.' END AS end_detail,"
		" CASE WHEN o.sent_at IS NOT NULL THEN 'Look at the service whether it was carried out; integ_call_retry with"
		" {\"confirm\": true} repeats it.' END AS end_hint,"
		" NULL::jsonb AS end_result, 1 AS end_interrupted)" INTEG_CALLS_TOLD,
		1,
		{INT8OID}};
	static IntegQuery again = {
		"UPDATE integ.calls_open o SET state = 'queued', lease = NULL, interrupted = o.interrupted + 1,"
		" next_attempt_at = $2"
		" WHERE o.state = 'running' AND o.lease = $1",
		2,
		{INT8OID, TIMESTAMPTZOID}};
	Datum values[] = {Int64GetDatum(lease), TimestampTzGetDatum(GetCurrentTimestamp())};

	integ_ended_tell(integ_query(&end, values, NULL));
	(void) integ_query(&again, values, NULL);
}

/* Leases of rows that came with a restore, after which nothing says whose they are. */
static void
find_strangers(void)
{
	static IntegQuery find = {
		"INSERT INTO integ.dispatcher_leases (lease)"
		" SELECT o.lease FROM integ.calls_open o WHERE o.state = 'running'"
		" UNION SELECT o.lease FROM integ.deliveries_open o WHERE o.state = 'sending'"
		" ON CONFLICT (lease) DO NOTHING",
		0};

	(void) integ_query(&find, NULL, NULL);
}

static int
others_running(const IntegDatabase *database)
{
	int running = 0;

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	for (int i = 0; i < INTEG_MAX_DISPATCHERS; i++)
		running += database->dispatch.slots[i].pid != 0 && database->dispatch.slots[i].pid != MyProcPid;
	LWLockRelease(integ_shared->lock);
	return running;
}

bool
integ_recover(IntegDispatcher *dispatcher, bool restored)
{
	static IntegQuery leases = {"SELECT lease FROM integ.dispatcher_leases WHERE lease <> $1", 1, {INT8OID}};
	static IntegQuery end = {"DELETE FROM integ.dispatcher_leases WHERE lease = $1", 1, {INT8OID}};
	Datum mine = Int64GetDatum(dispatcher->lease);
	int norphans = 0;
	int64 *orphans;
	uint64 count;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (restored)
		find_strangers();
	count = integ_query(&leases, &mine, NULL);
	orphans = palloc(Max(count, 1) * sizeof(int64));
	for (uint64 i = 0; i < count; i++)
	{
		int64 lease = integ_result_int8(i, 1);

		if (lease_is_orphaned(lease))
			orphans[norphans++] = lease;
	}
	for (int i = 0; i < norphans; i++)
	{
		Datum value = Int64GetDatum(orphans[i]);

		give_back_calls(orphans[i]);
		integ_deliveries_give_back(orphans[i]);
		(void) integ_query(&end, &value, NULL);
	}
	/* They may be any dispatcher's now. */
	if (norphans > 0)
		integ_wake_note_all();
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (norphans > 0)
		ConditionVariableBroadcast(&dispatcher->database->dispatch.finished);
	/* One that is about to end still holds its lock. */
	return count - norphans <= others_running(dispatcher->database);
}

void
integ_sweep(IntegQuery *sweep)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	(void) integ_query(sweep, NULL, NULL);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
integ_sweep_keys(void)
{
	static IntegQuery sweep = {
		"DELETE FROM integ.call_keys WHERE ctid = ANY (ARRAY("
		" SELECT ctid FROM integ.call_keys WHERE expires_at < pg_catalog.clock_timestamp()"
		" ORDER BY expires_at LIMIT " KEYS_PER_SWEEP " FOR UPDATE SKIP LOCKED))",
		0};

	integ_sweep(&sweep);
}
