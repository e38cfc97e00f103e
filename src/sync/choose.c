/*
 * Which executions may begin: the oldest of every client and instance. An
 * index finds the head of each queue, whatever else waits behind it.
 */
#include "sync/lifecycle.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/query.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define NO_INSTANCE "'00000000-0000-0000-0000-000000000000'::uuid"
#define INSTANCE "COALESCE(instance, " NO_INSTANCE ")"

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

/* One whose task runs, or has an older one waiting, is none. */
IntegSyncCandidate *
integ_sync_candidates(TimestampTz now, int most, int *count, TimestampTz *next)
{
	static IntegQuery find = {
		"WITH RECURSIVE q (client_id, instance, number) AS ("
		" (SELECT client_id, " INSTANCE ", 1 FROM integ.sync_executions_open WHERE status = 'queued'"
		"  AND (client_id, " INSTANCE ") > ($3, $4) ORDER BY client_id, " INSTANCE " LIMIT 1)"
		" UNION ALL SELECT n.client_id, n.instance, q.number + 1 FROM q, LATERAL ("
		"  SELECT client_id, " INSTANCE " AS instance FROM integ.sync_executions_open WHERE status = 'queued'"
		"  AND (client_id, " INSTANCE ") > (q.client_id, q.instance) ORDER BY client_id, " INSTANCE " LIMIT 1) n"
		" WHERE q.number < $5)"
		" SELECT e.id, e.task, q.instance, q.client_id, e.owner::oid::bigint, e.run_at, q.number::bigint"
		" FROM q LEFT JOIN LATERAL ("
		"  SELECT id, task, owner, run_at FROM integ.sync_executions_open e WHERE status = 'queued'"
		"  AND client_id = q.client_id AND " INSTANCE " = q.instance AND run_at <= $1 AND NOT cancel_requested"
		"  AND NOT EXISTS (SELECT FROM integ.sync_executions_open r WHERE r.task = e.task AND r.status = 'running')"
		"  AND NOT EXISTS (SELECT FROM integ.sync_executions_open o WHERE o.task = e.task AND o.status = 'queued'"
		"   AND (o.run_at, o.id) < (e.run_at, e.id))"
		"  ORDER BY run_at, id LIMIT $2) e ON true ORDER BY e.run_at, e.id",
		5,
		{TIMESTAMPTZOID, INT8OID, TEXTOID, UUIDOID, INT8OID}};
	pg_uuid_t zeros = {0};
	Datum values[] = {TimestampTzGetDatum(now), Int64GetDatum(most),
					  CStringGetTextDatum(last_client == NULL ? "" : last_client),
					  UUIDPGetDatum(last_client == NULL ? &zeros : &last_instance), Int64GetDatum(QUEUES_MAX)};
	uint64 rows = integ_query(&find, values, NULL);
	IntegSyncCandidate *candidates = palloc(Max(rows, 1) * sizeof(IntegSyncCandidate));
	bool isnull;

	*count = 0;
	remember(NULL, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		(void) integ_result_datum(i, 1, &isnull);
		if (!isnull)
			read_candidate(&candidates[(*count)++], i);
		if (integ_result_int8(i, 7) == QUEUES_MAX)
			remember(integ_result_text(i, 4, CurrentMemoryContext), DatumGetUUIDP(integ_result_datum(i, 3, &isnull)));
	}
	*next = last_client != NULL ? now : next_begin(now);
	return candidates;
}
