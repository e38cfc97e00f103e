/*
 * A page's records as rows of integ.records.
 *
 * They are ours: no code of users runs with them, so that they are written in an owner scope.
 */
#include "sync/engine.h"

#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* Ids and documents of records as arrays. */
static void
make_arrays(SyncRecord **records, int count, Datum *ids, Datum *documents)
{
	Datum *id = palloc(count * sizeof(Datum)), *document = palloc(count * sizeof(Datum));

	for (int i = 0; i < count; i++)
	{
		id[i] = UUIDPGetDatum(&records[i]->record);
		document[i] = JsonbPGetDatum(records[i]->document);
	}
	*ids = PointerGetDatum(construct_array(id, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	*documents = PointerGetDatum(construct_array(document, count, JSONBOID, -1, false, TYPALIGN_INT));
}

/* What a record says nothing of stays; a nested object is replaced as a whole. */
static void
update(SyncRecord **records, int count)
{
	static IntegQuery query = {
		"UPDATE integ.records r SET data = r.data || u.data, updated_at = pg_catalog.now(), deleted_at = NULL"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS u (id, data, n)"
		" WHERE r.id = u.id RETURNING u.n",
		2,
		{UUIDARRAYOID, JSONBARRAYOID}};
	Datum values[2];
	uint64 rows;

	if (count == 0)
		return;
	make_arrays(records, count, &values[0], &values[1]);
	rows = integ_query(&query, values, NULL);
	for (uint64 row = 0; row < rows; row++)
	{
		SyncRecord *record = records[integ_result_int8(row, 1) - 1];

		record->done = record->stored = true;
		record->outcome = SYNC_UPDATED;
	}
}

static void
insert(const SyncEngine *engine, SyncRecord **records, int count)
{
	static IntegQuery query = {
		"INSERT INTO integ.records (id, data, type, client_id, context_type, context_id, created_by)"
		" SELECT u.id, u.data, $3, $4, $5, $6, $7"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u (id, data)",
		7,
		{UUIDARRAYOID, JSONBARRAYOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	const IntegSyncRun *run = engine->run;
	char nulls[] = "       ";
	Datum values[7];

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		integ_uuid_make(&records[i]->record);
		records[i]->has_record = records[i]->stored = records[i]->done = true;
		records[i]->outcome = SYNC_CREATED;
	}
	make_arrays(records, count, &values[0], &values[1]);
	values[2] = CStringGetTextDatum(engine->target->conversion->target_type);
	values[3] = CStringGetTextDatum(run->client_id);
	values[4] = CStringGetTextDatum(run->context_type);
	values[5] = integ_value_text(run->context_id, &nulls[5]);
	values[6] = CStringGetTextDatum(engine->owner_name);
	(void) integ_query(&query, values, nulls);
}

static int
select_records(SyncRecord **records, int count, bool known, SyncRecord **selected)
{
	int nselected = 0;

	for (int i = 0; i < count; i++)
		if (!records[i]->done && records[i]->has_record == known)
			selected[nselected++] = records[i];
	return nselected;
}

/* A record that has gone here is made anew; two records of the page that are one are written one after the other. */
static void
write_step(SyncPage *page, SyncRecord **records, int count)
{
	const IntegConversion *conversion = page->engine->target->conversion;
	SyncRecord **selected = palloc(count * sizeof(SyncRecord *));
	IntegOwnerScope scope;
	int nselected;

	for (int i = 0; i < count; i++)
	{
		records[i]->done = records[i]->stored = false;
		records[i]->outcome = SYNC_NOTHING;
	}
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	nselected = select_records(records, count, true, selected);
	update(selected, nselected);
	/* Of several that are the same record one was written: the others are, too, as far as they add something. */
	for (int i = 0; i < nselected; i++)
		if (!selected[i]->done)
			update(&selected[i], 1);
	for (int i = 0; i < count; i++)
		if (!records[i]->done)
			records[i]->has_record = false;
	if (conversion->create_if_missing)
		insert(page->engine, selected, select_records(records, count, false, selected));
	integ_owner_leave(&scope);
}

void
sync_records_write(SyncPage *page, SyncRecord **records, int count)
{
	sync_isolate(page, records, count, write_step);
}

/* --- finding records by the fields of the deduplication --- */

/* {"email": "…"}: what the data of the same record contains; NULL where a field has no value. */
static Jsonb *
match_document(const IntegConversion *conversion, const SyncRecord *record)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	for (int i = 0; i < conversion->nmatch_fields; i++)
	{
		JsonbValue value;

		if (!integ_json_get(&record->document->root, conversion->match_fields[i], &value) || value.type == jbvNull)
			return NULL;
		integ_json_add(&builder, conversion->match_fields[i], &value);
	}
	return integ_json_end(&builder);
}

static uint64
find_matches(const SyncEngine *engine, Datum *documents, int count)
{
	static IntegQuery query = {
		"SELECT u.n, r.id FROM pg_catalog.unnest($1) WITH ORDINALITY AS u (data, n)"
		" JOIN integ.records r ON r.data @> u.data AND r.type = $2 AND r.client_id = $3 AND r.context_type = $4"
		" AND r.context_id IS NOT DISTINCT FROM $5 AND r.deleted_at IS NULL ORDER BY u.n",
		5,
		{JSONBARRAYOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	char nulls[] = "     ";
	Datum values[5];

	values[0] = PointerGetDatum(construct_array(documents, count, JSONBOID, -1, false, TYPALIGN_INT));
	values[1] = CStringGetTextDatum(engine->target->conversion->target_type);
	values[2] = CStringGetTextDatum(engine->run->client_id);
	values[3] = CStringGetTextDatum(engine->run->context_type);
	values[4] = integ_value_text(engine->run->context_id, &nulls[4]);
	return integ_query(&query, values, nulls);
}

void
sync_records_match(SyncPage *page, SyncRecord **records, int count)
{
	static const SyncProblem several = {
		.phase = INTEG_SYNC_TRANSFORMING,
		.reason = "several records have the values of the match fields, so that it is not known which one it is"};
	SyncRecord **ready = palloc(Max(count, 1) * sizeof(SyncRecord *));
	Datum *documents = palloc(Max(count, 1) * sizeof(Datum));
	IntegOwnerScope scope;
	int nready = 0;
	uint64 rows;

	for (int i = 0; i < count; i++)
	{
		Jsonb *document = records[i]->has_record ? NULL : match_document(page->engine->target->conversion, records[i]);

		if (document == NULL)
			continue;
		documents[nready] = JsonbPGetDatum(document);
		ready[nready++] = records[i];
	}
	if (nready == 0)
		return;
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	rows = find_matches(page->engine, documents, nready);
	for (uint64 row = 0; row < rows; row++)
	{
		SyncRecord *record = ready[integ_result_int8(row, 1) - 1];
		bool isnull;

		if (record->matched && record->fate == SYNC_WRITE)
			sync_record_fail(page, record, &several);
		record->matched = record->has_record = true;
		record->record = *DatumGetUUIDP(integ_result_datum(row, 2, &isnull));
	}
	integ_owner_leave(&scope);
}

/* --- removal --- */

void
sync_records_remove(SyncPage *page, SyncRecord **records, int count)
{
	static IntegQuery delete = {"DELETE FROM integ.records r USING pg_catalog.unnest($1) WITH ORDINALITY AS u (id, n)"
								" WHERE r.id = u.id RETURNING u.n",
								1,
								{UUIDARRAYOID}};
	static IntegQuery hide = {"UPDATE integ.records r SET deleted_at = pg_catalog.now(), updated_at = pg_catalog.now()"
							  " FROM pg_catalog.unnest($1) WITH ORDINALITY AS u (id, n)"
							  " WHERE r.id = u.id AND r.deleted_at IS NULL RETURNING u.n",
							  1,
							  {UUIDARRAYOID}};
	bool deletes = strcmp(page->engine->target->conversion->removal, "delete") == 0;
	SyncRecord **ready = palloc(Max(count, 1) * sizeof(SyncRecord *));
	Datum *ids = palloc(Max(count, 1) * sizeof(Datum)), value;
	IntegOwnerScope scope;
	int nready = 0;
	uint64 rows;

	for (int i = 0; i < count; i++)
	{
		if (!records[i]->has_record || records[i]->shared)
			continue;
		ids[nready] = UUIDPGetDatum(&records[i]->record);
		ready[nready++] = records[i];
	}
	value = PointerGetDatum(construct_array(ids, nready, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	rows = integ_query(deletes ? &delete : &hide, &value, NULL);
	for (uint64 row = 0; row < rows; row++)
		ready[integ_result_int8(row, 1) - 1]->outcome = SYNC_DELETED;
	integ_owner_leave(&scope);
}
