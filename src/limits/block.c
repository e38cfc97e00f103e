/*
 * Durable blocks: what may be granted is on disk before it is granted, a block at a
 * time, so that a limit is kept over a crash too.
 *
 * A row of integ.rate_limit_blocks says what had been counted when it was written, and how many
 * requests may since have left at most. After a crash these count as sent at the
 * moment the new server started, whether they were or not. A block is a
 * 64th of the limit, or what may be sent in a second where that is more; it is
 * granted within its lease. For windows of a few seconds the row only says that the
 * limit is in use: they count as full when a server starts.
 */
#include "limits/table.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/shmem.h"
#include "miscadmin.h"
#include "record/entry.h"
#include "record/ring.h"
#include "utils/array.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* A window no longer than this has blocks without end within their lease. */
#define SHORT_WINDOW (5 * USECS_PER_SEC)
#define LEASE_MIN USECS_PER_MINUTE
#define BLOCKS_PER_WINDOW 64
#define UNLIMITED PG_INT32_MAX

/* A block that was asked for and did not come is asked for again after this. */
#define ASK_AGAIN (2 * USECS_PER_SEC)

/* What was granted has left the server for certain, one way or another, after the longest timeout. */
#define SENT_AFTER USECS_PER_HOUR

/* Smaller blocks are asked for when they are needed, so that few are left over. */
#define PREFETCH_MIN 4

/* Where entries are made before they are copied. */
static union
{
	char bytes[INTEG_ENTRY_MAX];
	double aligned;
} entry_buffer;

static uint32
block_size(const IntegWindow *window)
{
	int64 a_second = window->limit * USECS_PER_SEC / window->per_us;

	if (window->per_us <= SHORT_WINDOW)
		return UNLIMITED;
	return (uint32) Max(Max(a_second, window->limit / BLOCKS_PER_WINDOW), 1);
}

static bool
is_durable(const IntegCounter *counter)
{
	return counter->key.kind == INTEG_COUNTER_WINDOW && counter->window.per_us > 0;
}

static bool
is_pending(const IntegBlock *block, int64 now)
{
	return block->pending_since != 0 && now - block->pending_since < ASK_AGAIN;
}

bool
integ_block_needed(const IntegCounter *counter, int64 now)
{
	return is_durable(counter) && (counter->block.left == 0 || now >= counter->block.until);
}

bool
integ_block_soon_needed(const IntegCounter *counter, int64 now)
{
	const IntegBlock *block = &counter->block;

	if (!is_durable(counter) || is_pending(block, now))
		return false;
	if (integ_block_needed(counter, now))
		return true;
	return block_size(&counter->window) >= PREFETCH_MIN &&
		   (block->left <= block_size(&counter->window) / 2 || block->until - now < LEASE_MIN / 4);
}

static void
fill_row(const IntegCounter *counter, uint32 block, IntegBlockRow *row)
{
	const IntegWindow *window = &counter->window;
	int64 width = Max((window->per_us + INTEG_WINDOW_PARTS - 1) / INTEG_WINDOW_PARTS, 1);
	uint64 carried = (uint64) window->in_flight + counter->block.left + block;

	memset(row, 0, sizeof(*row));
	row->key = counter->key;
	row->label = counter->label;
	row->limit = window->limit;
	row->per_us = window->per_us;
	row->carried = (uint32) Min(carried, window->limit);
	row->block = block;
	row->lease_us = Max(window->per_us, LEASE_MIN);
	row->newest_at = integ_limits_to_time((window->newest + 1) * width);
	/* Oldest first. */
	for (int i = 0; i < INTEG_WINDOW_RING; i++)
		row->parts[i] = window->parts[(window->newest + 1 + i) % INTEG_WINDOW_RING];
}

void
integ_block_ask(IntegCounter *counter, int64 now, IntegBlockRow *row)
{
	(void) integ_window_room(&counter->window, now);
	if (now >= counter->block.until)
		counter->block.left = 0;
	counter->block.pending_since = now;
	counter->block.failed = false;
	fill_row(counter, block_size(&counter->window), row);
	row->asked_at = now;
}

void
integ_block_queue(const IntegBlockRow *row)
{
	IntegDatabase *database = integ_shmem_mine();

	if (database != NULL)
		(void) integ_ring_append_urgent(
			database, integ_entry_plain(entry_buffer.bytes, INTEG_ENTRY_LIMIT, row, sizeof(*row)));
}

static Datum
parts_array(const IntegBlockRow *row)
{
	Datum values[INTEG_WINDOW_RING];

	for (int i = 0; i < INTEG_WINDOW_RING; i++)
		values[i] = Int32GetDatum((int32) row->parts[i]);
	return PointerGetDatum(construct_array(values, INTEG_WINDOW_RING, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static Datum
text_or_null(const char *text, char *null)
{
	return integ_value_text(text[0] == '\0' ? NULL : text, null);
}

static void
write_row(const IntegBlockRow *row)
{
	static IntegQuery upsert = {
		"INSERT INTO integ.rate_limit_blocks AS b (id, client_id, instance, definition_id, method, key, max_requests,"
		" window_us, used, newest_at, carried, boot, taken_at, expires_at)"
		" VALUES ($1, coalesce($2, '*'), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, pg_catalog.clock_timestamp(), $13)"
		" ON CONFLICT (id) DO UPDATE SET max_requests = excluded.max_requests, used = excluded.used,"
		" newest_at = excluded.newest_at, carried = excluded.carried, boot = excluded.boot,"
		" taken_at = excluded.taken_at, expires_at = excluded.expires_at",
		13,
		{UUIDOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, INT8OID, INT4ARRAYOID, TIMESTAMPTZOID, INT4OID,
		 UUIDOID, TIMESTAMPTZOID}};
	static const pg_uuid_t none;
	pg_uuid_t id;
	char nulls[] = "             ";
	Datum values[13];
	IntegOwnerScope scope;

	memcpy(&id, row->key.hash, sizeof(id));
	values[0] = UUIDPGetDatum(&id);
	values[1] = text_or_null(row->label.client, &nulls[1]);
	values[2] = UUIDPGetDatum(&row->label.instance);
	nulls[2] = memcmp(&row->label.instance, &none, sizeof(none)) == 0 ? 'n' : ' ';
	values[3] = text_or_null(row->label.definition, &nulls[3]);
	values[4] = text_or_null(row->label.method, &nulls[4]);
	values[5] = text_or_null(row->label.key, &nulls[5]);
	values[6] = Int32GetDatum((int32) row->limit);
	values[7] = Int64GetDatum(row->per_us);
	values[9] = TimestampTzGetDatum(row->newest_at);
	values[10] = Int32GetDatum((int32) row->carried);
	values[11] = UUIDPGetDatum(&integ_shared->boot);
	values[12] = TimestampTzGetDatum(GetCurrentTimestamp() + row->lease_us + row->per_us + SENT_AFTER);
	integ_owner_enter(&scope);
	values[8] = parts_array(row);
	(void) integ_query(&upsert, values, nulls);
	integ_owner_leave(&scope);
}

void
integ_limits_write_block(const IntegEntry *entry)
{
	IntegBlockRow row;

	memcpy(&row, INTEG_ENTRY_BODY(entry), sizeof(row));
	write_row(&row);
}

void
integ_limits_block_settled(const IntegEntry *entry, bool written)
{
	IntegBlockRow row;
	IntegCounter *counter;

	memcpy(&row, INTEG_ENTRY_BODY(entry), sizeof(row));
	LWLockAcquire(integ_limit_table->lock, LW_EXCLUSIVE);
	counter = integ_counter_find(&row.key);
	if (counter != NULL && counter->block.pending_since == row.asked_at)
	{
		counter->block.pending_since = 0;
		counter->block.failed = !written;
	}
	/* One that came late, after it was asked for again, is on disk all the same: as part of what was carried then. */
	else
		written = false;
	if (counter != NULL && written)
	{
		uint64 left = (uint64) counter->block.left + row.block;

		counter->block.left = (uint32) Min(left, UNLIMITED);
		counter->block.until = row.asked_at + row.lease_us;
	}
	LWLockRelease(integ_limit_table->lock);
	integ_limits_broadcast();
}

/* What the row counted, on our clock: its parts at their times, what it carried when the server that wrote it ended. */
static void
count_row(IntegWindow *window, ArrayType *used, TimestampTz newest_at, uint32 carried, TimestampTz taken_at)
{
	int64 now = integ_limits_clock();
	int64 width = Max((window->per_us + INTEG_WINDOW_PARTS - 1) / INTEG_WINDOW_PARTS, 1);
	int64 newest = integ_limits_from_time(newest_at);
	bool taken_before = integ_limits_from_time(taken_at) < integ_limit_table->started;
	int count = ArrayGetNItems(ARR_NDIM(used), ARR_DIMS(used));
	const int32 *parts = (const int32 *) ARR_DATA_PTR(used);

	for (int i = 0; i < count; i++)
		if (parts[i] > 0)
			integ_window_count(window, (uint32) parts[i], Min(newest - (count - 1 - i) * width, now), now);
	/* A standby that was promoted started before the server it replaces ended. */
	integ_window_count(window, carried, taken_before ? Min(integ_limit_table->started, now) : now, now);
}

bool
integ_block_load(const IntegCounterKey *key, IntegWindow *window)
{
	static IntegQuery query = {
		"SELECT used, newest_at, carried, taken_at FROM integ.rate_limit_blocks"
		" WHERE id = $1 AND boot <> $2 AND window_us = $3 AND expires_at > pg_catalog.clock_timestamp()",
		3,
		{UUIDOID, UUIDOID, INT8OID}};
	pg_uuid_t id;
	Datum values[3] = {UUIDPGetDatum(&id), UUIDPGetDatum(&integ_shared->boot), Int64GetDatum(window->per_us)};
	IntegOwnerScope scope;
	bool found, isnull;

	memcpy(&id, key->hash, sizeof(id));
	integ_owner_enter(&scope);
	found = integ_query_latest(&query, values, NULL) > 0;
	if (found)
		count_row(window, (ArrayType *) integ_result_varlena(0, 1, CurrentMemoryContext),
				  DatumGetTimestampTz(integ_result_datum(0, 2, &isnull)),
				  (uint32) DatumGetInt32(integ_result_datum(0, 3, &isnull)),
				  DatumGetTimestampTz(integ_result_datum(0, 4, &isnull)));
	integ_owner_leave(&scope);
	return found;
}

/* Rows of all blocks that have an unspent part; no more is granted from these. */
typedef struct Saving
{
	IntegBlockRow *rows;
	int count;
	int max;
} Saving;

static void
take_unspent(IntegCounter *counter, void *arg)
{
	Saving *saving = arg;

	if (!is_durable(counter) || counter->block.left == 0 || saving->count == saving->max)
		return;
	(void) integ_window_room(&counter->window, integ_limits_clock());
	counter->block.left = 0;
	counter->block.pending_since = 0;
	fill_row(counter, 0, &saving->rows[saving->count++]);
}

/* Whoever ends does not wait for a lock. */
static bool
table_is_free(void)
{
	Oid table;
	bool is_free;

	StartTransactionCommand();
	table = get_relname_relid("rate_limit_blocks", get_namespace_oid("integ", true));
	is_free = OidIsValid(table) && ConditionalLockRelationOid(table, RowExclusiveLock);
	CommitTransactionCommand();
	return is_free;
}

void
integ_limits_save(void)
{
	Saving saving = {0};

	if (integ_limit_table == NULL)
		return;
	if (!table_is_free())
		return;
	/* What is new meanwhile keeps its block, which then counts as spent. */
	saving.max = (int) integ_counter_count();
	saving.rows = MemoryContextAllocHuge(CurrentMemoryContext, Max(saving.max, 1) * sizeof(IntegBlockRow));
	LWLockAcquire(integ_limit_table->lock, LW_EXCLUSIVE);
	integ_counter_visit(take_unspent, &saving);
	LWLockRelease(integ_limit_table->lock);
	if (saving.count == 0)
		return;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < saving.count; i++)
		write_row(&saving.rows[i]);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
integ_limits_sweep(void)
{
	static IntegQuery sweep = {"DELETE FROM integ.rate_limit_blocks WHERE expires_at < pg_catalog.clock_timestamp()", 0};
	IntegOwnerScope scope;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	(void) integ_query(&sweep, NULL, NULL);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}
