/*
 * last_used_at and last_succeeded_at of instances, written in batches.
 */
#include "record/recorder.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/array.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define TOUCH_INTERVAL (10 * USECS_PER_SEC)

#define FORGET_AFTER (10 * USECS_PER_MINUTE)

typedef struct Touched
{
	pg_uuid_t instance; /* hash key */
	TimestampTz at;
	TimestampTz succeeded_at; /* 0: not since it was last written */
} Touched;

static HTAB *touched;
static TimestampTz touched_last;

void
integ_touch_note(const IntegUsed *used, TimestampTz at)
{
	Touched *entry;
	bool found;

	if (touched == NULL)
	{
		HASHCTL control = {
			.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(Touched), .hcxt = TopMemoryContext};

		touched = hash_create("integ touched instances", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(touched, &used->instance, HASH_ENTER, &found);
	entry->at = at;
	if (!found || used->succeeded)
		entry->succeeded_at = used->succeeded ? at : 0;
}

/* In an owner scope: the notes as arrays of ids, times of use and times of success (-infinity: none). */
static void
collect(Datum *arguments)
{
	long count = hash_get_num_entries(touched);
	Datum *ids = palloc(sizeof(Datum) * count);
	Datum *times = palloc(sizeof(Datum) * count);
	Datum *successes = palloc(sizeof(Datum) * count);
	HASH_SEQ_STATUS scan;
	Touched *entry;
	int i = 0;

	hash_seq_init(&scan, touched);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		ids[i] = UUIDPGetDatum(&entry->instance);
		times[i] = TimestampTzGetDatum(entry->at);
		successes[i++] = TimestampTzGetDatum(entry->succeeded_at != 0 ? entry->succeeded_at : DT_NOBEGIN);
	}
	arguments[0] = PointerGetDatum(construct_array(ids, i, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	arguments[1] = PointerGetDatum(
		construct_array(times, i, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	arguments[2] = PointerGetDatum(
		construct_array(successes, i, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Rows that somebody else holds are left for the next time: a lock of a user's must not hold up the recorder. */
static void
write_touched(void)
{
	static IntegQuery touch = {
		"UPDATE integ.instances i SET last_used_at = greatest(i.last_used_at, u.at),"
		" last_succeeded_at = nullif(greatest(i.last_succeeded_at, u.succeeded_at), '-infinity')"
		" FROM (SELECT l.id, t.at, t.succeeded_at FROM integ.instances l"
		"       JOIN ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))"
		"       AS t (id, at, succeeded_at) ON t.id = l.id"
		"       FOR NO KEY UPDATE OF l SKIP LOCKED) u"
		" WHERE i.id = u.id RETURNING i.id",
		3,
		{UUIDARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID}};
	Datum arguments[3];
	IntegOwnerScope scope;
	uint64 count;
	bool isnull;

	integ_owner_enter(&scope);
	collect(arguments);
	count = integ_query(&touch, arguments, NULL);
	for (uint64 i = 0; i < count; i++)
		(void) hash_search(touched, DatumGetUUIDP(integ_result_datum(i, 1, &isnull)), HASH_REMOVE, NULL);
	integ_owner_leave(&scope);
}

/* What could not be written for so long belongs to an instance that is gone. */
static void
forget_old(TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	Touched *entry;

	hash_seq_init(&scan, touched);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (entry->at < now - FORGET_AFTER)
			(void) hash_search(touched, &entry->instance, HASH_REMOVE, NULL);
}

TimestampTz
integ_recorder_touch(IntegDatabase *database)
{
	TimestampTz now = GetCurrentTimestamp();

	if (touched == NULL || hash_get_num_entries(touched) == 0)
		return DT_NOEND;
	if (now < touched_last + TOUCH_INTERVAL)
		return touched_last + TOUCH_INTERVAL;
	touched_last = now;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	write_touched();
	PopActiveSnapshot();
	CommitTransactionCommand();
	forget_old(now);
	return hash_get_num_entries(touched) == 0 ? DT_NOEND : now + TOUCH_INTERVAL;
}
