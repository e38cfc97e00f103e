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

/* Of this dispatcher. */
#define MINE INTEG_MY_CALL("$2", "$3")

static LOCKTAG
lease_tag(int64 lease)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (lease >> 32), (uint32) lease, LEASE_LOCK_CLASS);
	return tag;
}

int64
integ_lease_take(void)
{
	LOCKTAG tag;
	int64 lease;

	if (!pg_strong_random(&lease, sizeof(lease)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	tag = lease_tag(lease);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
	return lease;
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

static void
give_back(const IntegDispatcher *dispatcher, int64 lease)
{
	static IntegQuery end = {
		"WITH ended AS (DELETE FROM integ.calls_open o WHERE o.state = 'running' AND o.lease = $1"
		" AND " MINE " AND (o.sent_at IS NOT NULL AND NOT o.repeatable OR o.cancel_requested"
		"  OR o.interrupted >= " MAX_INTERRUPTIONS ")"
		" RETURNING o.*, CASE WHEN o.sent_at IS NOT NULL AND NOT o.repeatable THEN 'unknown'"
		"  WHEN o.cancel_requested THEN 'cancelled'"
		"  ELSE 'dead' END AS end_state,"
		" 'IG504' AS end_sqlstate, 'the dispatcher ended while it ran the call' AS end_error,"
		" CASE WHEN o.sent_at IS NOT NULL THEN 'The request may have been received, and its answer is lost.'"
		"  WHEN o.cancel_requested THEN 'It was cancelled meanwhile.' ELSE 'This happened too often.' END AS end_detail,"
		" CASE WHEN o.sent_at IS NOT NULL THEN 'Look at the service whether it was carried out; integ_call_retry with"
		" {\"confirm\": true} repeats it.' END AS end_hint,"
		" NULL::jsonb AS end_result, 1 AS end_interrupted)" INTEG_CALLS_DONE,
		3,
		{INT8OID, INT4OID, INT4OID}};
	static IntegQuery again = {
		"UPDATE integ.calls_open o SET state = 'queued', lease = NULL, interrupted = o.interrupted + 1,"
		" next_attempt_at = $4"
		" WHERE o.state = 'running' AND o.lease = $1 AND " MINE,
		4,
		{INT8OID, INT4OID, INT4OID, TIMESTAMPTZOID}};
	Datum values[] = {Int64GetDatum(lease), Int32GetDatum(dispatcher->total), Int32GetDatum(dispatcher->number),
					  TimestampTzGetDatum(GetCurrentTimestamp())};

	(void) integ_query(&end, values, NULL);
	(void) integ_query(&again, values, NULL);
}

bool
integ_leases_recover(const IntegDispatcher *dispatcher, IntegQuery *leases, IntegLeaseGiveBack give_back_lease)
{
	Datum values[] = {Int64GetDatum(dispatcher->lease), Int32GetDatum(dispatcher->total),
					  Int32GetDatum(dispatcher->number)};
	bool all = true;
	int64 *found;
	uint64 count;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	count = integ_query(leases, values, NULL);
	found = palloc(Max(count, 1) * sizeof(int64));
	for (uint64 i = 0; i < count; i++)
		found[i] = integ_result_int8(i, 1);
	for (uint64 i = 0; i < count; i++)
	{
		if (lease_is_orphaned(found[i]))
			give_back_lease(dispatcher, found[i]);
		else
			all = false;
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (count > 0)
		ConditionVariableBroadcast(&dispatcher->database->dispatch.finished);
	return all;
}

bool
integ_recover(IntegDispatcher *dispatcher)
{
	static IntegQuery leases = {
		"SELECT DISTINCT o.lease FROM integ.calls_open o WHERE o.state = 'running' AND o.lease <> $1"
		" AND " MINE,
		3,
		{INT8OID, INT4OID, INT4OID}};

	return integ_leases_recover(dispatcher, &leases, give_back);
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
