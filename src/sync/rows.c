/*
 * A page's records as rows of a table.
 *
 * Each statement takes the records of the page that have the same columns. A step may run several times, with fewer
 * records each time (isolate.c), and begins from what the links say.
 */
#include "sync/engine.h"

#include "common/hashfn.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/query.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* --- keys --- */

/* The key that a record's values make, as to_jsonb would have it; NULL where one is missing. */
static const Jsonb *
make_key(const SyncTarget *target, const SyncRecord *record)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	for (int i = 0; i < target->nkeys; i++)
	{
		const SyncColumn *column = &target->keys[i];
		JsonbValue value;

		if (record->states[column->field] != INTEG_FIELD_VALUE)
			return NULL;
		integ_datum_value(column->param, record->values[column->field], &value);
		integ_json_add(&builder, column->name, &value);
	}
	return integ_json_end(&builder);
}

static bool
same_key(const Jsonb *a, const Jsonb *b)
{
	return compareJsonbContainers((JsonbContainer *) &a->root, (JsonbContainer *) &b->root) == 0;
}

/* What makes a new row of it. */
static SyncStatementKind
creates(const SyncTarget *target)
{
	return target->key_mapped ? SYNC_UPSERT : SYNC_INSERT;
}

static SyncStatementKind
first_kind(const SyncTarget *target, const SyncRecord *record)
{
	bool has_row = record->target_key != NULL;

	if (has_row && (!target->key_mapped || record->own_key == NULL || !same_key(record->target_key, record->own_key)))
		return SYNC_UPDATE;
	return target->conversion->create_if_missing ? creates(target) : SYNC_UPDATE;
}

/* False where nothing can be written: the key that the mappings should write is not there. */
static bool
prepare_key(SyncPage *page, SyncRecord *record)
{
	static const SyncProblem no_key = {.phase = INTEG_SYNC_TRANSFORMING, .reason = "the record has no value for the key of the table"};
	const SyncTarget *target = page->engine->target;

	record->own_key = target->key_mapped ? make_key(target, record) : NULL;
	if (target->key_mapped && record->own_key == NULL && record->target_key == NULL)
	{
		sync_record_fail(page, record, &no_key);
		return false;
	}
	return true;
}

/* --- groups --- */

/* Key of the row that a statement is about, which it must not meet twice; NULL: a new one. */
static const Jsonb *
row_of(const SyncRecord *record)
{
	return record->kind == SYNC_INSERT ? NULL : record->kind == SYNC_UPSERT ? record->own_key
																			: record->target_key;
}

static HTAB *
make_rows_seen(int count)
{
	HASHCTL control = {.keysize = sizeof(uint64), .entrysize = sizeof(uint64), .hcxt = CurrentMemoryContext};

	return hash_create("integ sync rows", count, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static bool
is_first_of_row(HTAB *seen, const SyncRecord *record)
{
	const Jsonb *key = row_of(record);
	uint64 hash;
	bool found;

	if (key == NULL)
		return true;
	hash = DatumGetUInt64(hash_any_extended((const unsigned char *) key, VARSIZE(key), 0));
	(void) hash_search(seen, &hash, HASH_ENTER, &found);
	return !found;
}

/* The records that are not done, and that one statement can take: of the same kind and columns, a row once. */
static int
gather(const SyncTarget *target, SyncRecord **records, int count, SyncRecord **group)
{
	HTAB *seen = make_rows_seen(count);
	int ngroup = 0;

	for (int i = 0; i < count; i++)
	{
		if (records[i]->done)
			continue;
		if (ngroup > 0 && (records[i]->kind != group[0]->kind ||
						   memcmp(records[i]->present, group[0]->present, target->ncolumns) != 0))
			continue;
		if (is_first_of_row(seen, records[i]))
			group[ngroup++] = records[i];
	}
	hash_destroy(seen);
	return ngroup;
}

/* --- what became of a group --- */

static int64
count_new(SyncRecord **group, int count)
{
	int64 result = 0;

	for (int i = 0; i < count; i++)
		result += group[i]->target_key == NULL;
	return result;
}

/* How many are new is known, not which: those that had no link count as such first. */
static void
note_upserted(SyncRecord **group, int count, bool partitioned)
{
	int64 written = integ_result_int8(0, 1), created = integ_result_int8(0, 2);

	if (partitioned)
		created = count_new(group, count);
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < count; i++)
		{
			bool is_new = group[i]->target_key == NULL;

			if ((pass == 0) != is_new)
				continue;
			group[i]->stored = group[i]->done = true;
			if (written-- <= 0)
				continue;
			group[i]->outcome = (created > 0) ? SYNC_CREATED : SYNC_UPDATED;
			created--;
		}
	for (int i = 0; i < count; i++)
		group[i]->target_key = group[i]->own_key;
}

static const Jsonb *
result_key(uint64 row, int column, MemoryContext context)
{
	return (const Jsonb *) integ_result_varlena(row, column, context);
}

static void
note_inserted(SyncRecord **group, int count, uint64 rows, MemoryContext context)
{
	if (rows != (uint64) count && count > 1)
		ereport(ERROR, (errcode(ERRCODE_CARDINALITY_VIOLATION), errmsg("a trigger has kept rows out")));
	for (int i = 0; i < count; i++)
	{
		group[i]->done = true;
		if (rows != (uint64) count)
			continue;
		group[i]->stored = true;
		group[i]->outcome = SYNC_CREATED;
		group[i]->target_key = result_key(i, 1, context);
	}
}

/* A row that has gone is made anew, where the schema says so. */
static void
note_updated(SyncTarget *target, SyncRecord **group, int count, uint64 rows, MemoryContext context)
{
	for (uint64 row = 0; row < rows; row++)
	{
		SyncRecord *record = group[integ_result_int8(row, 1) - 1];

		record->done = record->stored = true;
		record->outcome = SYNC_UPDATED;
		record->target_key = result_key(row, 2, context);
	}
	for (int i = 0; i < count; i++)
	{
		if (group[i]->done)
			continue;
		group[i]->done = !target->conversion->create_if_missing || (target->key_mapped && group[i]->own_key == NULL);
		group[i]->kind = creates(target);
	}
}

static void
write_group(SyncPage *page, SyncRecord **group, int count)
{
	SyncTarget *target = page->engine->target;
	MemoryContext context = page->engine->page_context;
	uint64 rows = sync_statement_run(target, group[0]->kind, group[0]->present, group, count);

	if (group[0]->kind == SYNC_UPSERT)
		note_upserted(group, count, target->partitioned);
	else if (group[0]->kind == SYNC_INSERT)
		note_inserted(group, count, rows, context);
	else
		note_updated(target, group, count, rows, context);
	SPI_freetuptable(SPI_tuptable);
}

static void
write_step(SyncPage *page, SyncRecord **records, int count)
{
	SyncTarget *target = page->engine->target;
	SyncRecord **group = palloc(count * sizeof(SyncRecord *));
	int ngroup;

	for (int i = 0; i < count; i++)
	{
		records[i]->kind = first_kind(target, records[i]);
		records[i]->done = records[i]->stored = false;
		records[i]->outcome = SYNC_NOTHING;
		if (records[i]->kind == SYNC_UPDATE && records[i]->target_key == NULL)
			records[i]->target_key = records[i]->own_key;
	}
	while ((ngroup = gather(target, records, count, group)) > 0)
		write_group(page, group, ngroup);
}

void
sync_rows_write(SyncPage *page, SyncRecord **records, int count)
{
	SyncRecord **ready = palloc(Max(count, 1) * sizeof(SyncRecord *));
	int nready = 0;

	for (int i = 0; i < count; i++)
		if (prepare_key(page, records[i]))
			ready[nready++] = records[i];
	sync_isolate(page, ready, nready, write_step);
}

/* --- finding rows by the fields of the deduplication --- */

static void
match_step(SyncPage *page, SyncRecord **records, int count)
{
	static const SyncProblem several = {
		.phase = INTEG_SYNC_TRANSFORMING,
		.reason = "several rows of the table have the values of the match fields, so that it is not known which one it is"};
	SyncTarget *target = page->engine->target;
	uint64 rows = sync_statement_run(target, SYNC_MATCH, records[0]->present, records, count);
	int64 last = 0;

	for (int i = 0; i < count; i++)
		records[i]->matched = false;
	for (uint64 row = 0; row < rows; row++)
	{
		int64 number = integ_result_int8(row, 1);
		SyncRecord *record = records[number - 1];

		if (number == last && record->fate == SYNC_WRITE)
			sync_record_fail(page, record, &several);
		last = number;
		record->matched = true;
		record->target_key = result_key(row, 2, page->engine->page_context);
	}
	SPI_freetuptable(SPI_tuptable);
}

static bool
has_match_fields(const SyncTarget *target, const SyncRecord *record)
{
	const IntegConversion *conversion = target->conversion;

	for (int i = 0; i < conversion->nmatch_fields; i++)
		for (int field = 0; field < conversion->nfields; field++)
			if (strcmp(conversion->fields[field], conversion->match_fields[i]) == 0 &&
				record->states[field] != INTEG_FIELD_VALUE)
				return false;
	return true;
}

void
sync_rows_match(SyncPage *page, SyncRecord **records, int count)
{
	SyncRecord **ready = palloc(Max(count, 1) * sizeof(SyncRecord *));
	int nready = 0;

	for (int i = 0; i < count; i++)
		if (records[i]->target_key == NULL && has_match_fields(page->engine->target, records[i]))
			ready[nready++] = records[i];
	sync_isolate(page, ready, nready, match_step);
}

/* The keys by which records that have no row yet would meet one. */
void
sync_rows_make_keys(SyncPage *page, SyncRecord **records, int count)
{
	for (int i = 0; i < count; i++)
		if (prepare_key(page, records[i]) && records[i]->target_key == NULL)
			records[i]->target_key = records[i]->own_key;
}

/* --- removal --- */

static void
remove_step(SyncPage *page, SyncRecord **records, int count)
{
	SyncTarget *target = page->engine->target;
	SyncStatementKind kind = strcmp(target->conversion->removal, "delete") == 0 ? SYNC_DELETE : SYNC_HIDE;
	char *present = palloc0(target->ncolumns + 1);
	uint64 rows = sync_statement_run(target, kind, present, records, count);

	for (uint64 row = 0; row < rows; row++)
		records[integ_result_int8(row, 1) - 1]->outcome = SYNC_DELETED;
	SPI_freetuptable(SPI_tuptable);
}

void
sync_rows_remove(SyncPage *page, SyncRecord **records, int count)
{
	SyncRecord **ready = palloc(Max(count, 1) * sizeof(SyncRecord *));
	int nready = 0;

	for (int i = 0; i < count; i++)
		if (records[i]->target_key != NULL && !records[i]->shared)
			ready[nready++] = records[i];
	sync_isolate(page, ready, nready, remove_step);
}
