/*
 * Columns of users' rows that take what their relations lead to, once that has come.
 *
 * What the relation's row says is not trusted with more than its schema says itself: the table and the columns are the
 * schema's, and the schema is the current user's.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "convert/relation_rows.h"
#include "convert/relations.h"
#include "core/attempt.h"
#include "core/owner.h"
#include "core/query.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#define BATCH 1000 /* relations that are read at once */

/* A batch of completed relations of a schema. */
typedef struct Batch
{
	int count;
	Datum *ids;
	char **fields;
	Jsonb **keys;
	Jsonb **values;
} Batch;

/* A part of a batch: of one column, with keys of the same columns. */
typedef struct Part
{
	const Batch *batch;
	int from;
	int count;
} Part;

static int
schemas_to_fill(const char *client, pg_uuid_t **schemas)
{
	static IntegQuery query = {
		"SELECT w.schema FROM integ.record_relations w JOIN integ.conversion_schemas s ON s.id = w.schema "
		"WHERE w.client_id = $1 AND (s.client_id IN (w.client_id, '*') OR w.client_id = '*') AND s.owner = $2 "
		"AND w.from_table IS NOT NULL AND w.field IS NOT NULL "
		"AND w.error IS NULL AND w.linked_at IS NULL AND (w.to_record IS NOT NULL OR w.value IS NOT NULL) "
		"GROUP BY w.schema ORDER BY w.schema",
		2,
		{TEXTOID, OIDOID}};
	Datum values[2] = {CStringGetTextDatum(client), ObjectIdGetDatum(GetUserId())};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	int count;

	integ_owner_enter(&scope);
	count = (int) integ_query(&query, values, NULL);
	*schemas = MemoryContextAlloc(context, Max(count, 1) * sizeof(pg_uuid_t));
	for (int i = 0; i < count; i++)
	{
		bool isnull;

		(*schemas)[i] = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
	}
	integ_owner_leave(&scope);
	return count;
}

/* The next relations of a schema to fill, locked: by column, and in one order wherever they are. */
static void
read_batch(const char *client, const pg_uuid_t *schema, Batch *batch)
{
	static IntegQuery query = {
		"SELECT w.id, w.field, w.from_key, coalesce(w.value, pg_catalog.to_jsonb(w.to_record)) "
		"FROM integ.record_relations w WHERE w.client_id = $1 AND w.schema = $2 AND w.from_table IS NOT NULL "
		"AND w.field IS NOT NULL AND w.error IS NULL AND w.linked_at IS NULL "
		"AND (w.to_record IS NOT NULL OR w.value IS NOT NULL) ORDER BY w.field, w.id LIMIT $3 FOR UPDATE",
		3,
		{TEXTOID, UUIDOID, INT4OID}};
	Datum values[3] = {CStringGetTextDatum(client), UUIDPGetDatum(schema), Int32GetDatum(BATCH)};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	bool isnull;

	integ_owner_enter(&scope);
	batch->count = (int) integ_query(&query, values, NULL);
	MemoryContextSwitchTo(context);
	batch->ids = palloc(Max(batch->count, 1) * sizeof(Datum));
	batch->fields = palloc(Max(batch->count, 1) * sizeof(char *));
	batch->keys = palloc(Max(batch->count, 1) * sizeof(Jsonb *));
	batch->values = palloc(Max(batch->count, 1) * sizeof(Jsonb *));
	for (int i = 0; i < batch->count; i++)
	{
		batch->ids[i] = datumCopy(integ_result_datum(i, 1, &isnull), false, UUID_LEN);
		batch->fields[i] = integ_result_text(i, 2, context);
		batch->keys[i] = (Jsonb *) integ_result_varlena(i, 3, context);
		batch->values[i] = (Jsonb *) integ_result_varlena(i, 4, context);
	}
	integ_owner_leave(&scope);
}

static Datum
part_ids(const Part *part)
{
	return PointerGetDatum(
		construct_array(part->batch->ids + part->from, part->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/* The column holds them now: nothing is left to be remembered. */
static void
forget(const Part *part)
{
	static IntegQuery query = {"DELETE FROM integ.record_relations WHERE id = ANY ($1)", 1, {UUIDARRAYOID}};
	Datum value = part_ids(part);
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&query, &value, NULL);
	integ_owner_leave(&scope);
}

static void
refuse(const Part *part, const char *reason)
{
	static IntegQuery query = {
		"UPDATE integ.record_relations SET error = $2 WHERE id = ANY ($1)", 2, {UUIDARRAYOID, TEXTOID}};
	Datum values[2] = {part_ids(part), CStringGetTextDatum(reason)};
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&query, values, NULL);
	integ_owner_leave(&scope);
}

typedef struct Setting
{
	const IntegConversion *conversion;
	const Part *part;
} Setting;

static void
set_column(void *arg)
{
	const Setting *setting = arg;
	const Part *part = setting->part;

	convert_rows_set(setting->conversion->target_relation, part->batch->fields[part->from],
					 part->batch->keys + part->from, part->batch->values + part->from, part->count);
}

/* One row that cannot take its value does not keep the others from theirs. */
static uint64
fill_part(const IntegConversion *conversion, const Part *part)
{
	Setting setting = {conversion, part};
	ErrorData *error = integ_attempt(set_column, &setting);

	if (error == NULL)
	{
		forget(part);
		return part->count;
	}
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK))
		ReThrowError(error);
	if (part->count > 1)
	{
		Part first = {part->batch, part->from, part->count / 2};
		Part rest = {part->batch, part->from + first.count, part->count - first.count};

		return fill_part(conversion, &first) + fill_part(conversion, &rest);
	}
	refuse(part, psprintf("%s: %s", unpack_sql_state(error->sqlerrcode), error->message));
	return 0;
}

static bool
is_column_of(const IntegConversion *conversion, const char *field)
{
	const ConvertPlan *plan = conversion->plan;

	for (int i = 0; i < plan->nrelations; i++)
		if (plan->relations[i].target != NULL && strcmp(plan->relations[i].target, field) == 0)
			return true;
	return false;
}

static uint64
fill_batch(const IntegConversion *conversion, const Batch *batch)
{
	uint64 filled = 0;

	for (int i = 0; i < batch->count;)
	{
		Part part = {batch, i, 1};

		while (i + part.count < batch->count && strcmp(batch->fields[i + part.count], batch->fields[i]) == 0 &&
			   convert_same_columns(batch->keys[i + part.count], batch->keys[i]))
			part.count++;
		if (conversion->target_table != NULL && is_column_of(conversion, batch->fields[i]))
			filled += fill_part(conversion, &part);
		else
			refuse(&part, "the conversion schema has no such relation any more");
		i += part.count;
	}
	return filled;
}

typedef struct Filling
{
	const char *client;
	const pg_uuid_t *schema;
	const IntegConversion *conversion;
} Filling;

static void
get_conversion(void *arg)
{
	Filling *filling = arg;

	filling->conversion = integ_conversion_get(filling->schema, INTEG_PULL);
}

static uint64
fill_schema(const char *client, const pg_uuid_t *schema)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "integ relations", ALLOCSET_SMALL_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(context);
	MemoryContext scratch = AllocSetContextCreate(context, "integ relations batch", ALLOCSET_DEFAULT_SIZES);
	Filling filling = {client, schema};
	uint64 filled = 0;
	Batch batch;

	/* A schema that is not valid any more says so to who runs it, not to whose records have just come. */
	if (integ_attempt(get_conversion, &filling) == NULL && filling.conversion != NULL)
		do
		{
			MemoryContextReset(scratch);
			MemoryContextSwitchTo(scratch);
			CHECK_FOR_INTERRUPTS();
			read_batch(client, schema, &batch);
			filled += fill_batch(filling.conversion, &batch);
		} while (batch.count > 0);
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
	return filled;
}

uint64
integ_relations_fill(const char *client)
{
	pg_uuid_t *schemas;
	int count = schemas_to_fill(client, &schemas);
	uint64 filled = 0;

	for (int i = 0; i < count; i++)
		filled += fill_schema(client, &schemas[i]);
	return filled;
}
