/*
 * What both sides of records look like: the fields that a record writes, and what is here.
 */
#include "sync/engine.h"

#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/array.h"

/* --- what is here --- */

/* Rows of the table by the number of the record; NULL where there is none. */
static void
read_rows(SyncPage *page, SyncRecord **records, int count, const Jsonb **rows)
{
	SyncTarget *target = page->engine->target;
	char *present = palloc0(target->ncolumns + 1);
	uint64 found;

	SPI_connect();
	found = sync_statement_run(target, SYNC_READ, present, records, count);
	for (uint64 row = 0; row < found; row++)
		rows[integ_result_int8(row, 1) - 1] = (const Jsonb *) integ_result_varlena(row, 2, page->engine->page_context);
	SPI_finish();
}

static void
read_records(SyncPage *page, SyncRecord **records, int count, const Jsonb **rows)
{
	static IntegQuery query = {"SELECT u.n, r.data FROM pg_catalog.unnest($1) WITH ORDINALITY AS u (id, n)"
							   " JOIN integ.records r ON r.id = u.id WHERE u.id IS NOT NULL",
							   1,
							   {UUIDARRAYOID}};
	Datum *ids = palloc(Max(count, 1) * sizeof(Datum)), value;
	IntegOwnerScope scope;
	uint64 found;

	for (int i = 0; i < count; i++)
		ids[i] = UUIDPGetDatum(&records[i]->record);
	value = PointerGetDatum(construct_array(ids, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	integ_owner_enter(&scope);
	found = integ_query(&query, &value, NULL);
	for (uint64 row = 0; row < found; row++)
		rows[integ_result_int8(row, 1) - 1] = (const Jsonb *) integ_result_varlena(row, 2, page->engine->page_context);
	integ_owner_leave(&scope);
}

void
sync_values_here(SyncPage *page, SyncRecord **records, int count, const Jsonb **rows)
{
	(OidIsValid(page->engine->target->relation) ? read_rows : read_records)(page, records, count, rows);
}

/* --- what a record writes --- */

const Jsonb *
sync_values_written(const SyncTarget *target, const SyncRecord *record)
{
	IntegJsonBuilder builder;

	if (!OidIsValid(target->relation))
		return record->document;
	integ_json_begin_object(&builder);
	for (int i = 0; i < target->ncolumns; i++)
	{
		JsonbValue value = {.type = jbvNull};

		if (!record->present[i])
			continue;
		if (record->states[i] == INTEG_FIELD_VALUE)
			integ_datum_value(target->columns[i].param, record->values[i], &value);
		integ_json_add(&builder, target->columns[i].name, &value);
	}
	return integ_json_end(&builder);
}

/* --- what links keep of both --- */

/* Of what is here, the fields that the record writes: triggers may have made something else of them. */
static const Jsonb *
select_written(const Jsonb *here, const Jsonb *written)
{
	IntegJsonBuilder builder;
	IntegJsonWalk walk;
	JsonbValue key, value;

	integ_json_begin_object(&builder);
	integ_json_walk_begin(&walk, &written->root);
	while (integ_json_walk_pair(&walk, &key, &value))
	{
		const char *name = pnstrdup(key.val.string.val, key.val.string.len);

		if (integ_json_get(&here->root, name, &value))
			integ_json_add(&builder, name, &value);
	}
	return integ_json_end(&builder);
}

void
sync_values_note(SyncPage *page, SyncRecord **records, int count)
{
	const Jsonb **rows = palloc0(Max(count, 1) * sizeof(Jsonb *));

	if (!page->engine->keeps_values || count == 0)
		return;
	sync_values_here(page, records, count, rows);
	for (int i = 0; i < count; i++)
	{
		records[i]->external_values = sync_values_written(page->engine->target, records[i]);
		records[i]->local_values = rows[i] == NULL ? NULL : select_written(rows[i], records[i]->external_values);
	}
}
