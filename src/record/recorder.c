/*
 * The recorder: drains the ring, one transaction a batch; large ones through COPY, small ones by inserts of its own.
 *
 * A batch that fails because of a row is halved until the row stands alone; it
 * costs itself only, and a gap row says so. Any other error leaves the ring as
 * it is, to be tried again.
 */
#include "record/recorder.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/dependency.h"
#include "commands/copy.h"
#include "commands/sequence.h"
#include "core/compat.h"
#include "core/json.h"
#include "limits/limits.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "operate/operate.h"
#include "parser/parse_relation.h"
#include "pgstat.h"
#include "port/pg_bswap.h"
#include "record/entry.h"
#include "record/insert.h"
#include "record/publish.h"
#include "record/ring.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Two partitions in a row may be attached in between; more is another problem. */
#define ROUTING_ATTEMPTS 3

typedef struct Batch
{
	IntegDatabase *database;
	IntegEntry **entries;
	uint64 *ends; /* ring position behind each entry; NULL for entries that are not from the ring */
	int count;
} Batch;

/* What the data-source callback of COPY reads from: it is given no argument. */
static struct
{
	const char *data;
	Size length;
} source;

static int
read_source(void *outbuf, int minread, int maxread)
{
	Size length = Min(source.length, (Size) maxread);

	memcpy(outbuf, source.data, length);
	source.data += length;
	source.length -= length;
	return (int) length;
}

/* A table of the recorder. */
typedef struct Target
{
	IntegEntryKind kind;
	const char *table;
	Oid sequence; /* of its identity: looking it up for every batch costs more than the row */
} Target;

static void
append_field(StringInfo stream, const void *value, uint32 length)
{
	uint32 prefix = pg_hton32(length);

	appendBinaryStringInfo(stream, (char *) &prefix, sizeof(prefix));
	appendBinaryStringInfo(stream, value, length);
}

/* The entry's fields between the id, and for the audit the retention class. */
static void
append_row(StringInfo stream, IntegEntry *entry, Oid sequence)
{
	bool is_audit = entry->kind == INTEG_ENTRY_AUDIT;
	uint16 fields = pg_hton16((uint16) (entry->fields + (is_audit ? 2 : 1)));
	uint64 id = pg_hton64((uint64) nextval_internal(sequence, false));
	const char *body = INTEG_ENTRY_BODY(entry);

	appendBinaryStringInfo(stream, (char *) &fields, sizeof(fields));
	append_field(stream, &id, sizeof(id));
	appendBinaryStringInfo(stream, body, entry->body);
	if (is_audit)
	{
		uint32 length;
		const char *class;

		memcpy(&length, body + INTEG_ENTRY_CLIENT, sizeof(length));
		class = integ_retention_class(body + INTEG_ENTRY_CLIENT + sizeof(length), pg_ntoh32(length));
		append_field(stream, class, strlen(class));
	}
}

/* The batch's rows of one table as COPY's binary stream; length 0 where there are none. */
static void
build_stream(StringInfo stream, const Batch *batch, int from, int to, const Target *target)
{
	static const char header[19] = "PGCOPY\n\377\r\n\0";
	static const char trailer[2] = {'\377', '\377'};

	initStringInfo(stream);
	for (int i = from; i < to; i++)
	{
		if (batch->entries[i]->kind != target->kind)
			continue;
		if (stream->len == 0)
			appendBinaryStringInfo(stream, header, sizeof(header));
		append_row(stream, batch->entries[i], target->sequence);
	}
	if (stream->len > 0)
		appendBinaryStringInfo(stream, trailer, sizeof(trailer));
}

/* The first entries of one kind, at most INTEG_INSERT_MAX; returns how many there are in all. */
static int
entries_of(const Batch *batch, int from, int to, IntegEntryKind kind, IntegEntry **first)
{
	int count = 0;

	for (int i = from; i < to; i++)
	{
		if (batch->entries[i]->kind != kind)
			continue;
		if (count < INTEG_INSERT_MAX)
			first[count] = batch->entries[i];
		count++;
	}
	return count;
}

/* The sequence of a table's column id; the table may be another one after DROP and CREATE EXTENSION. */
static Oid
identity_sequence(Relation relation)
{
	static struct
	{
		Oid table;
		Oid sequence;
	} known[2];
	static int next;

	for (size_t i = 0; i < lengthof(known); i++)
		if (known[i].table == RelationGetRelid(relation))
			return known[i].sequence;
	next = (next + 1) % lengthof(known);
	known[next].sequence = getIdentitySequence(integ_relation_identity(relation), 1, false);
	known[next].table = RelationGetRelid(relation);
	return known[next].sequence;
}

static List *
column_list(const char *const *names, int count)
{
	List *columns = NIL;

	for (int i = 0; i < count; i++)
		columns = lappend(columns, makeString(pstrdup(names[i])));
	return columns;
}

/* Besides id. */
static List *
columns_of(const Target *target)
{
	if (target->kind == INTEG_ENTRY_REQUEST)
		return column_list(integ_request_columns, integ_request_columns_count);
	return lappend(column_list(integ_audit_columns, integ_audit_columns_count), makeString("retention"));
}

static void
copy_rows(Relation relation, const Batch *batch, int from, int to, const Target *target)
{
	StringInfoData stream;
	ParseState *pstate;
	CopyFromState copy;

	build_stream(&stream, batch, from, to, target);
	source.data = stream.data;
	source.length = stream.len;

	pstate = make_parsestate(NULL);
	(void) addRangeTableEntryForRelation(pstate, relation, RowExclusiveLock, NULL, false, false);
	copy = BeginCopyFrom(pstate, relation, NULL, NULL, false, read_source, lcons(makeString("id"), columns_of(target)),
						 list_make1(makeDefElem("format", (Node *) makeString("binary"), -1)));
	(void) CopyFrom(copy);
	EndCopyFrom(copy);
	free_parsestate(pstate);
}

static void
write_rows(const Batch *batch, int from, int to, Target target)
{
	IntegEntry *first[INTEG_INSERT_MAX];
	int count = entries_of(batch, from, to, target.kind, first);
	Relation relation;

	if (count == 0)
		return;
	relation = table_openrv(makeRangeVar("integ", pstrdup(target.table), -1), RowExclusiveLock);
	target.sequence = identity_sequence(relation);
	if (count > INTEG_INSERT_MAX || !integ_log_insert(relation, target.sequence, first, count))
		copy_rows(relation, batch, from, to, &target);
	table_close(relation, NoLock);
}

static void
note_used(const Batch *batch, int from, int to)
{
	for (int i = from; i < to; i++)
		if (batch->entries[i]->kind == INTEG_ENTRY_USED)
			integ_touch_note((IntegUsed *) INTEG_ENTRY_BODY(batch->entries[i]), batch->entries[i]->queued_at);
}

/* Rows that are not copied: events, and blocks of rate limits. */
static void
write_others(const Batch *batch, int from, int to)
{
	for (int i = from; i < to; i++)
	{
		const IntegEntry *entry = batch->entries[i];
		const IntegEventEntry *event = (const IntegEventEntry *) INTEG_ENTRY_BODY(entry);

		if (entry->kind == INTEG_ENTRY_LIMIT)
			integ_limits_write_block(entry);
		else if (entry->kind == INTEG_ENTRY_EVENT && event->is_kept)
			integ_event_emit(event->kind, event->client, event->has_instance ? &event->instance : NULL,
							 integ_json_parse((const char *) (event + 1)));
	}
}

static void
settle(const Batch *batch, int from, int to, bool written)
{
	for (int i = from; i < to; i++)
		if (batch->entries[i]->kind == INTEG_ENTRY_LIMIT)
			integ_limits_block_settled(batch->entries[i], written);
	integ_ring_settle(batch->database, batch->ends == NULL ? 0 : batch->ends[to - 1], batch->entries + from,
					  to - from, written);
}

static void
write_transaction(const Batch *batch, int from, int to)
{
	Target audit = {INTEG_ENTRY_AUDIT, "audit_log"};
	Target requests = {INTEG_ENTRY_REQUEST, "requests"};

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_retention_load();
	write_rows(batch, from, to, audit);
	write_rows(batch, from, to, requests);
	write_others(batch, from, to);
	integ_recorder_publish(batch->entries + from, to - from);
	PopActiveSnapshot();

	/* Nothing may come between the commit and tail: the rows would be written twice. */
	HOLD_INTERRUPTS();
	CommitTransactionCommand();
	note_used(batch, from, to);
	settle(batch, from, to, true);
	RESUME_INTERRUPTS();
}

/* Errors that come from what a row holds, rather than from the state of the database. */
static bool
is_fault_of_row(int sqlstate)
{
	int class = ERRCODE_TO_CATEGORY(sqlstate);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		   class == ERRCODE_TO_CATEGORY(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION) ||
		   class == ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED);
}

/*
 * A partition was attached between routing and locking: the row is told that it
 * does not belong where it was sent. Routed again it finds its place.
 */
static bool
is_routing_race(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_CHECK_VIOLATION && error->constraint_name == NULL;
}

typedef enum Written
{
	WRITTEN,
	ROUTING_RACE,
	FAULT_OF_ROW
} Written;

/* problem gets the message of what is not WRITTEN. Raises any other error. */
static Written
try_write(const Batch *batch, int from, int to, char *problem, Size size)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Written result = WRITTEN;

	PG_TRY();
	{
		write_transaction(batch, from, to);
	}
	PG_CATCH();
	{
		ErrorData *error;

		if (!is_fault_of_row(geterrcode()))
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		strlcpy(problem, error->message, size);
		result = is_routing_race(error) ? ROUTING_RACE : FAULT_OF_ROW;
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return result;
}

/* A detail that PostgreSQL cannot store must not cost the line of the audit. */
static bool
drop_detail(IntegEntry *entry)
{
	uint32 null = pg_hton32((uint32) -1);

	if (entry->detail == 0 || entry->body == entry->detail + sizeof(null))
		return false;
	memcpy(INTEG_ENTRY_BODY(entry) + entry->detail, &null, sizeof(null));
	entry->body = entry->detail + sizeof(null);
	return true;
}

static void
refuse_entry(const Batch *batch, int i, const char *problem)
{
	char reason[INTEG_ERROR_MAX];

	snprintf(reason, sizeof(reason), "a row could not be written: %s", problem);
	ereport(LOG, (errmsg("integ: %s", reason)));
	integ_shmem_error(batch->database, reason);
	if (batch->entries[i]->lost == 0)
		integ_ring_lose(batch->database, batch->entries[i]->kind, 1, reason);
	settle(batch, i, i + 1, false);
}

/* Left half first: tail only ever moves over what is settled. */
static void
write_range(const Batch *batch, int from, int to)
{
	char problem[INTEG_ERROR_MAX];
	Written written;

	check_stack_depth();
	for (int attempt = 0; attempt < ROUTING_ATTEMPTS; attempt++)
		if ((written = try_write(batch, from, to, problem, sizeof(problem))) != ROUTING_RACE)
			break;
	if (written == WRITTEN)
		return;
	if (to - from > 1)
	{
		int middle = from + (to - from) / 2;

		write_range(batch, from, middle);
		write_range(batch, middle, to);
	}
	else if (drop_detail(batch->entries[from]))
		write_range(batch, from, to);
	else
		refuse_entry(batch, from, problem);
}

static void
write_ring(IntegDatabase *database)
{
	uint64 start, end;
	char *bytes = integ_ring_take(database, &start, &end);
	Batch batch = {.database = database};

	if (bytes == NULL)
		return;
	batch.entries = palloc((end - start) / sizeof(IntegEntry) * sizeof(IntegEntry *));
	batch.ends = palloc((end - start) / sizeof(IntegEntry) * sizeof(uint64));
	for (uint64 at = 0; at < end - start;)
	{
		IntegEntry *entry = (IntegEntry *) (bytes + at);

		at += entry->length;
		batch.entries[batch.count] = entry;
		batch.ends[batch.count++] = start + at;
	}
	write_range(&batch, 0, batch.count);
}

void
integ_recorder_write(IntegDatabase *database, IntegEntry **entries, int count)
{
	Batch batch = {.database = database, .entries = entries, .count = count};

	if (count > 0)
		write_range(&batch, 0, count);
}

/* One gap row for each log that lost entries. */
static void
write_gaps(IntegDatabase *database)
{
	IntegRing ring;
	IntegEntry *entries[2];
	int count = 0;

	LWLockAcquire(database->lock, LW_SHARED);
	ring = database->ring;
	LWLockRelease(database->lock);

	if (ring.lost_requests > 0)
		entries[count++] =
			integ_entry_request_gap(palloc(INTEG_ENTRY_MAX), Min(ring.lost_requests, PG_UINT32_MAX),
									ring.lost_since, ring.lost_reason);
	if (ring.lost_audit > 0)
		entries[count++] = integ_entry_audit_gap(palloc(INTEG_ENTRY_MAX), Min(ring.lost_audit, PG_UINT32_MAX),
												 ring.lost_since, ring.lost_reason);
	integ_recorder_write(database, entries, count);
}

TimestampTz
integ_recorder_run(IntegDatabase *database, bool all)
{
	TimestampTz due = integ_ring_due(database);

	if (!all && due > GetCurrentTimestamp())
		return due;
	write_ring(database);
	write_gaps(database);
	return integ_ring_due(database);
}
