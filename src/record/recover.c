/*
 * What a crash leaves: intents and outcomes that only the journal has, intents without
 * an outcome, and reads that were still in shared memory.
 *
 * Every backend settles its own intents, however it ends; only a crash keeps it
 * from that. A crash makes new shared memory with another boot id, so that the
 * recorder looks once, and before it writes anything of this boot.
 */
#include "record/recorder.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "miscadmin.h"
#include "record/journal.h"
#include "record/ring.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define WATERMARK_INTERVAL USECS_PER_MINUTE

static void
begin(IntegOwnerScope *scope)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(scope);
}

static void
end(IntegOwnerScope *scope)
{
	integ_owner_leave(scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* What the table last knew. */
typedef struct Known
{
	bool exists;
	bool same_boot;
	pg_uuid_t boot;
	bool clean;
	TimestampTz settled_before;
	TimestampTz updated_at;
} Known;

static Known
read_known(void)
{
	static IntegQuery query = {
		"SELECT boot = $1 AND database = $2, is_clean, settled_before, updated_at, boot FROM integ.recorder",
		2,
		{UUIDOID, OIDOID}};
	Datum arguments[2] = {UUIDPGetDatum(&integ_shared->boot), ObjectIdGetDatum(MyDatabaseId)};
	Known known = {.settled_before = DT_NOBEGIN};
	bool isnull;

	if (integ_query(&query, arguments, NULL) > 0)
	{
		known.exists = true;
		known.same_boot = integ_result_bool(0, 1);
		known.clean = integ_result_bool(0, 2);
		known.settled_before = (TimestampTz) integ_result_int8(0, 3);
		known.updated_at = (TimestampTz) integ_result_int8(0, 4);
		known.boot = *DatumGetUUIDP(integ_result_datum(0, 5, &isnull));
	}
	return known;
}

static void
write_known(TimestampTz settled_before, bool clean)
{
	static IntegQuery write = {
		"INSERT INTO integ.recorder AS r (boot, database, settled_before, is_clean, updated_at)"
		" VALUES ($1, $2, $3, $4, pg_catalog.clock_timestamp())"
		" ON CONFLICT (is_only) DO UPDATE SET boot = excluded.boot, database = excluded.database,"
		" settled_before = excluded.settled_before, is_clean = excluded.is_clean, updated_at = excluded.updated_at",
		4,
		{UUIDOID, OIDOID, TIMESTAMPTZOID, BOOLOID}};
	Datum arguments[4] = {UUIDPGetDatum(&integ_shared->boot), ObjectIdGetDatum(MyDatabaseId),
						  TimestampTzGetDatum(settled_before), BoolGetDatum(clean)};

	integ_query(&write, arguments, NULL);
}

/* Whether the audit has the line; no two are of the same call, action, outcome and time. */
static bool
is_recorded(const IntegEntry *entry)
{
	static IntegQuery query = {
		"SELECT FROM integ.audit_log WHERE call_id = $1 AND created_at = $2 AND action = $3 AND outcome = $4",
		4,
		{UUIDOID, TIMESTAMPTZOID, TEXTOID, TEXTOID}};
	const char *fields[4];
	uint32 lengths[4];
	const int places[4] = {INTEG_AUDIT_CALL, 0, INTEG_AUDIT_ACTION, INTEG_AUDIT_OUTCOME};
	Datum arguments[4];

	for (int i = 0; i < 4; i++)
		fields[i] = integ_entry_field(entry, places[i], &lengths[i]);
	arguments[0] = PointerGetDatum(fields[0]);
	arguments[1] = TimestampTzGetDatum(integ_entry_time(entry));
	arguments[2] = PointerGetDatum(cstring_to_text_with_len(fields[2], lengths[2]));
	arguments[3] = PointerGetDatum(cstring_to_text_with_len(fields[3], lengths[3]));
	return integ_query(&query, arguments, NULL) > 0;
}

/* What the journal has and the audit has not. */
static List *
read_journal(const Known *known)
{
	List *entries = integ_journal_read(&known->boot, known->settled_before);
	ListCell *cell;

	foreach (cell, entries)
		if (is_recorded(lfirst(cell)))
			entries = foreach_delete_current(entries, cell);
	return entries;
}

/* In transactions of their own: they are in the audit before the boot that wrote them is forgotten. */
static void
move_journal(IntegDatabase *database, List *journal)
{
	int count = list_length(journal);
	IntegEntry **entries;

	if (count == 0)
		return;
	entries = palloc(count * sizeof(*entries));
	for (int i = 0; i < count; i++)
		entries[i] = list_nth(journal, i);
	integ_recorder_write(database, entries, count);
	ereport(LOG, (errmsg("integ: %d lines of the audit were moved from the journal of intents", count)));
}

/*
 * Intents and outcomes of a call and action are matched in their order: an
 * intent is open when fewer outcomes follow than it has predecessors.
 */
static uint64
settle_open_intents(TimestampTz settled_before)
{
	static IntegQuery settle = {
		"INSERT INTO integ.audit_log (created_at, retention, client_id, call_id, user_id, role, instance,"
		" instance_id, definition_id, method, action, outcome, detail)"
		" SELECT pg_catalog.clock_timestamp(), retention, client_id, call_id, user_id, role, instance,"
		" instance_id, definition_id, method, action, 'unknown',"
		" '{\"reason\": \"the server stopped before the outcome was recorded\"}'"
		" FROM (SELECT l.*, pg_catalog.count(*) FILTER (WHERE outcome <> 'pending')"
		"         OVER (PARTITION BY call_id, action) AS outcomes,"
		"        pg_catalog.row_number() OVER (PARTITION BY call_id, action, outcome = 'pending' ORDER BY id) AS place"
		"       FROM integ.audit_log l WHERE created_at >= $1 AND call_id IS NOT NULL) AS line"
		" WHERE outcome = 'pending' AND place > outcomes ORDER BY id",
		1,
		{TIMESTAMPTZOID}};
	Datum argument = TimestampTzGetDatum(settled_before);

	return integ_query(&settle, &argument, NULL);
}

static void
write_crash_gap(TimestampTz since)
{
	static IntegQuery gap = {
		"INSERT INTO integ.requests (created_at, client_id, kind, error)"
		" VALUES (pg_catalog.clock_timestamp(), '*', 'gap', pg_catalog.format("
		" 'the server stopped without writing what was queued; since %s at most integ.log_flush (%s ms) of"
		" reads are missing', $1, $2))",
		2,
		{TIMESTAMPTZOID, INT4OID}};
	Datum arguments[2] = {TimestampTzGetDatum(since), Int32GetDatum(integ_log_flush)};

	integ_query(&gap, arguments, NULL);
}

static void
recover(const Known *known)
{
	uint64 unknown = known->exists ? settle_open_intents(known->settled_before) : 0;

	if (known->exists && !known->clean)
		write_crash_gap(known->updated_at);
	write_known(GetCurrentTimestamp(), false);
	if (unknown > 0)
		ereport(LOG, (errmsg("integ: " UINT64_FORMAT " writes were under way when the server stopped; their outcome is unknown",
							 unknown)));
}

void
integ_recorder_recover(IntegDatabase *database)
{
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	List *journal = NIL;
	Known known;

	begin(&scope);
	known = read_known();
	MemoryContextSwitchTo(context);
	if (known.exists && !known.same_boot)
		journal = read_journal(&known);
	end(&scope);
	MemoryContextSwitchTo(context);
	move_journal(database, journal);

	begin(&scope);
	if (!known.same_boot)
		recover(&known);
	else if (known.clean)
		write_known(known.settled_before, false);
	end(&scope);
}

void
integ_recorder_watermark(IntegDatabase *database, bool clean)
{
	static uint64 written_at; /* the ring's position then: nothing has happened since */
	static TimestampTz written_last;
	TimestampTz now = GetCurrentTimestamp();
	uint64 position = database->ring.intents;
	IntegOwnerScope scope;

	if (!clean && (position == written_at || now < written_last + WATERMARK_INTERVAL))
		return;
	begin(&scope);
	/* An hour earlier than it need be, for clocks that are set back. */
	write_known(integ_ring_settled_before(database) - USECS_PER_HOUR, clean);
	end(&scope);
	written_at = position;
	written_last = now;
}
