/*
 * Which executions may begin. Where few wait, all of them are looked at, from the first one that waited the last time
 * on: what has run since then costs nothing, though an old snapshot keep its rows. Where many wait, the oldest of every
 * client and instance are: an index finds the head of each queue, whatever else waits behind it.
 */
#include "sync/lifecycle.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/query.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define NO_INSTANCE "'00000000-0000-0000-0000-000000000000'::uuid"
#define INSTANCE "COALESCE(instance, " NO_INSTANCE ")"

/* More than this are many. */
#define FEW 200

/* One whose task runs, or has an older one waiting, may not begin. */
#define MAY_BEGIN                                                                                               \
	"NOT e.cancel_requested"                                                                                    \
	" AND NOT EXISTS (SELECT FROM integ.sync_executions_open r WHERE r.task = e.task AND r.status = 'running')" \
	" AND NOT EXISTS (SELECT FROM integ.sync_executions_open o WHERE o.task = e.task AND o.status = 'queued'"   \
	"  AND (o.run_at, o.id) < (e.run_at, e.id))"

/* Queues (of a client and an instance) looked at in one round; the next round goes on behind them. */
#define QUEUES_MAX 500

/* Where this round begins, behind the last one's end. */
static char *last_client;
static pg_uuid_t last_instance;

static void
remember(const char *client, const pg_uuid_t *instance)
{
	if (last_client != NULL)
		pfree(last_client);
	last_client = client == NULL ? NULL : MemoryContextStrdup(TopMemoryContext, client);
	if (client != NULL)
		last_instance = *instance;
}

static TimestampTz
next_begin(TimestampTz now)
{
	static IntegQuery first = {"SELECT pg_catalog.min(run_at) FROM integ.sync_executions_open"
							   " WHERE status = 'queued' AND run_at > $1",
							   1,
							   {TIMESTAMPTZOID}};
	Datum value = TimestampTzGetDatum(now);
	bool isnull;
	Datum at;

	(void) integ_query(&first, &value, NULL);
	at = integ_result_datum(0, 1, &isnull);
	return isnull ? DT_NOEND : DatumGetTimestampTz(at);
}

/* Columns: id, task, instance, client_id, owner, run_at, xmax. */
#define CANDIDATE "e.id, e.task, " INSTANCE ", e.client_id, e.owner::oid::bigint, e.run_at, e.xmax"

static void
read_candidate(IntegSyncCandidate *candidate, uint64 row)
{
	bool isnull;
	char *client = integ_result_text(row, 4, CurrentMemoryContext);

	*candidate = (IntegSyncCandidate){.id = *DatumGetUUIDP(integ_result_datum(row, 1, &isnull)),
									  .task = *DatumGetUUIDP(integ_result_datum(row, 2, &isnull)),
									  .instance = *DatumGetUUIDP(integ_result_datum(row, 3, &isnull)),
									  .client = hash_bytes((unsigned char *) client, (int) strlen(client)),
									  .owner = (Oid) integ_result_int8(row, 5),
									  .run_at = DatumGetTimestampTz(integ_result_datum(row, 6, &isnull))};
}

/*
 * Whether somebody has locked the row, or changes it: a worker would wait for them. Several who share a lock are not
 * seen so.
 */
static bool
is_locked(uint64 row)
{
	bool isnull;
	TransactionId locker = DatumGetTransactionId(integ_result_datum(row, 7, &isnull));

	return TransactionIdIsNormal(locker) && !TransactionIdIsCurrentTransactionId(locker) &&
		   TransactionIdIsInProgress(locker);
}

/* Those of the result that nobody has locked; false where some are left out. */
static bool
read_candidates(IntegSyncCandidate *candidates, uint64 rows, int flag_column, int *count)
{
	bool all = true, isnull;

	*count = 0;
	for (uint64 row = 0; row < rows; row++)
	{
		(void) integ_result_datum(row, 1, &isnull);
		if (isnull || !integ_result_bool(row, flag_column))
			continue;
		if (is_locked(row))
			all = false;
		else
			read_candidate(&candidates[(*count)++], row);
	}
	return all;
}

/* False where many wait. */
static bool
look_at_all(TimestampTz now, TimestampTz *queue, IntegSyncCandidate **candidates, int *count, bool *complete)
{
	static IntegQuery find = {
		"SELECT " CANDIDATE ", " MAY_BEGIN " FROM (SELECT id, task, instance, client_id, owner, run_at, cancel_requested,"
		" xmax FROM integ.sync_executions_open WHERE status = 'queued' AND run_at BETWEEN $1 AND $2"
		" ORDER BY run_at, id LIMIT $3) e ORDER BY e.run_at, e.id",
		3,
		{TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}};
	Datum values[] = {TimestampTzGetDatum(*queue), TimestampTzGetDatum(now), Int64GetDatum(FEW + 1)};
	uint64 rows = integ_query(&find, values, NULL);
	bool isnull;

	*queue = rows == 0 ? now : DatumGetTimestampTz(integ_result_datum(0, 6, &isnull));
	if (rows > FEW)
		return false;
	*candidates = palloc(Max(rows, 1) * sizeof(IntegSyncCandidate));
	*complete = read_candidates(*candidates, rows, 8, count);
	return true;
}

/* The oldest of each queue, up to most. False where some are left out, since somebody has locked them. */
static bool
look_at_heads(TimestampTz now, int most, IntegSyncCandidate **candidates, int *count)
{
	static IntegQuery find = {
		"WITH RECURSIVE q (client_id, instance, number) AS ("
		" (SELECT client_id, " INSTANCE ", 1 FROM integ.sync_executions_open WHERE status = 'queued'"
		"  AND (client_id, " INSTANCE ") > ($3, $4) ORDER BY client_id, " INSTANCE " LIMIT 1)"
		" UNION ALL SELECT n.client_id, n.instance, q.number + 1 FROM q, LATERAL ("
		"  SELECT client_id, " INSTANCE " AS instance FROM integ.sync_executions_open WHERE status = 'queued'"
		"  AND (client_id, " INSTANCE ") > (q.client_id, q.instance) ORDER BY client_id, " INSTANCE " LIMIT 1) n"
		" WHERE q.number < $5)"
		" SELECT e.id, e.task, q.instance, q.client_id, e.owner, e.run_at, e.xmax, true, q.number::bigint"
		" FROM q LEFT JOIN LATERAL ("
		"  SELECT e.id, e.task, e.owner::oid::bigint AS owner, e.run_at, e.xmax FROM integ.sync_executions_open e"
		"  WHERE status = 'queued' AND client_id = q.client_id AND " INSTANCE " = q.instance AND run_at <= $1"
		"  AND " MAY_BEGIN " ORDER BY run_at, id LIMIT $2) e ON true ORDER BY e.run_at, e.id",
		5,
		{TIMESTAMPTZOID, INT8OID, TEXTOID, UUIDOID, INT8OID}};
	pg_uuid_t zeros = {0};
	Datum values[] = {TimestampTzGetDatum(now), Int64GetDatum(most),
					  CStringGetTextDatum(last_client == NULL ? "" : last_client),
					  UUIDPGetDatum(last_client == NULL ? &zeros : &last_instance), Int64GetDatum(QUEUES_MAX)};
	uint64 rows = integ_query(&find, values, NULL);
	bool isnull;

	remember(NULL, NULL);
	*candidates = palloc(Max(rows, 1) * sizeof(IntegSyncCandidate));
	for (uint64 i = 0; i < rows; i++)
		if (integ_result_int8(i, 9) == QUEUES_MAX)
			remember(integ_result_text(i, 4, CurrentMemoryContext), DatumGetUUIDP(integ_result_datum(i, 3, &isnull)));
	return read_candidates(*candidates, rows, 8, count);
}

IntegSyncCandidate *
integ_sync_candidates(TimestampTz now, TimestampTz *queue, int most, int *count, TimestampTz *next)
{
	IntegSyncCandidate *candidates;
	bool complete;

	if (look_at_all(now, queue, &candidates, count, &complete))
		remember(NULL, NULL);
	else
		complete = look_at_heads(now, most, &candidates, count);
	*next = last_client != NULL ? now : next_begin(now);
	if (!complete)
		*next = Min(*next, now + INTEG_SYNC_LOCKED_PAUSE);
	return candidates;
}
