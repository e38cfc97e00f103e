/*
 * What a row must be when it is written. Only the row is looked at, so that a restore's COPY succeeds.
 */
#include "postgres.h"

#include "access/row_owner.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "convert/inverse.h"
#include "convert/plan.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(integ_tg_conversion_schema_check);
PG_FUNCTION_INFO_V1(integ_tg_record_type_check);
PG_FUNCTION_INFO_V1(integ_tg_instance_links);
PG_FUNCTION_INFO_V1(integ_tg_schema_deleted);

static Datum
column(const TriggerData *trigger, HeapTuple row, const char *name, bool *isnull)
{
	return SPI_getbinval(row, trigger->tg_relation->rd_att, SPI_fnumber(trigger->tg_relation->rd_att, name), isnull);
}

static const char *
text_column(const TriggerData *trigger, HeapTuple row, const char *name)
{
	bool isnull;
	Datum value = column(trigger, row, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* A NULL, which the constraint of the column refuses afterwards, counts as the fallback. */
static Jsonb *
json_column(const TriggerData *trigger, HeapTuple row, const char *name, const char *fallback)
{
	bool isnull;
	Datum value = column(trigger, row, name, &isnull);

	return DatumGetJsonbP(isnull ? DirectFunctionCall1(jsonb_in, CStringGetDatum(fallback)) : value);
}

/* Compiles both directions as far as the row alone says. */
static void
check_row(const TriggerData *trigger, HeapTuple row)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "integ conversion check", ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(scratch);
	IntegConversion conversion = {.client_id = ""};
	ConvertSource source = {
		.schema_id = text_column(trigger, row, "schema_id"),
		.filters = json_column(trigger, row, "source_filters", "[]"),
		.mappings = json_column(trigger, row, "field_mappings", "[]"),
		.relationships = json_column(trigger, row, "relationship_mappings", "[]"),
		.deduplication = json_column(trigger, row, "deduplication", "{}"),
		.target_type = text_column(trigger, row, "target_type"),
		.target_table = text_column(trigger, row, "target_table"),
		.client_id = "",
	};

	if (source.schema_id == NULL)
		source.schema_id = "";
	convert_compile(&conversion, &source, INTEG_PULL, false);
	source.mappings = convert_inverse(source.mappings, json_column(trigger, row, "inverse_mappings", "[]"),
									  source.target_table != NULL);
	conversion = (IntegConversion){.client_id = ""};
	convert_compile(&conversion, &source, INTEG_PUSH, false);
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(scratch);
}

/* SQL in a schema runs with the rights of its owner. */
static void
check_owner(const TriggerData *trigger, HeapTuple row)
{
	bool isnull;
	Oid owner = DatumGetObjectId(column(trigger, row, "owner", &isnull));

	if (!isnull)
		integ_row_owner_check(owner, psprintf("conversion schema \"%s\"", text_column(trigger, row, "schema_id")));
}

static bool
differs(const TriggerData *trigger, const char *name)
{
	TupleDesc columns = trigger->tg_relation->rd_att;
	int number = SPI_fnumber(columns, name);
	Form_pg_attribute attribute = TupleDescAttr(columns, number - 1);
	bool old_null, new_null;
	Datum old_value = SPI_getbinval(trigger->tg_trigtuple, columns, number, &old_null);
	Datum new_value = SPI_getbinval(trigger->tg_newtuple, columns, number, &new_null);

	if (old_null || new_null)
		return old_null != new_null;
	return !datum_image_eq(old_value, new_value, attribute->attbyval, attribute->attlen);
}

/* Whether what a record becomes may have changed. */
static bool
converts_anew(const TriggerData *trigger)
{
	static const char *const columns[] = {"source_entity", "source_filters", "target_type", "target_table",
										  "field_mappings", "relationship_mappings", "inverse_mappings",
										  "deduplication", "instance", "owner"};

	for (size_t i = 0; i < lengthof(columns); i++)
		if (differs(trigger, columns[i]))
			return true;
	return false;
}

/* BEFORE INSERT OR UPDATE on integ.conversion_schemas. */
Datum
integ_tg_conversion_schema_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Relation table;
	HeapTuple row;
	int numbers[2];
	Datum values[2];
	bool nulls[2] = {false, false}, isnull;
	int64 version;
	bool changed;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_conversion_schema_check must be called as a trigger");
	table = trigger->tg_relation;
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		check_row(trigger, trigger->tg_trigtuple);
		check_owner(trigger, trigger->tg_trigtuple);
		return PointerGetDatum(trigger->tg_trigtuple);
	}
	row = trigger->tg_newtuple;
	changed = converts_anew(trigger);
	if (changed)
	{
		check_row(trigger, row);
		/* Whoever changes what runs needs the rights that it runs with, whoever the owner stays. */
		check_owner(trigger, row);
	}
	numbers[0] = SPI_fnumber(table->rd_att, "updated_at");
	values[0] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	numbers[1] = SPI_fnumber(table->rd_att, "version");
	version = DatumGetInt64(column(trigger, trigger->tg_trigtuple, "version", &isnull));
	values[1] = Int64GetDatum(version + (changed ? 1 : 0));
	return PointerGetDatum(heap_modify_tuple_by_cols(row, table->rd_att, 2, numbers, values, nulls));
}

/* BEFORE INSERT OR UPDATE OF schema on integ.record_types. */
Datum
integ_tg_record_type_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple row;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_record_type_check must be called as a trigger");
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	(void) integ_schema_compile(json_column(trigger, row, "schema", "{}"),
								psprintf("record type \"%s\"", text_column(trigger, row, "id")));
	return PointerGetDatum(row);
}

/* AFTER DELETE: whoever deletes the row need not be allowed to delete what goes with it. */
static Datum
delete_with(FunctionCallInfo fcinfo, const char *name, IntegQuery *queries, int count)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	IntegOwnerScope scope;
	bool isnull;
	Datum id;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.%s must be called as a trigger", name);
	id = column(trigger, trigger->tg_trigtuple, "id", &isnull);
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	for (int i = 0; i < count; i++)
		(void) integ_query(&queries[i], &id, NULL);
	integ_owner_leave(&scope);
	return PointerGetDatum(NULL);
}

/* AFTER DELETE on integ.instances */
Datum
integ_tg_instance_links(PG_FUNCTION_ARGS)
{
	static IntegQuery queries[] = {{"DELETE FROM integ.record_links WHERE instance = $1", 1, {UUIDOID}}};

	return delete_with(fcinfo, "tg_instance_links", queries, lengthof(queries));
}

/*
 * AFTER DELETE on integ.conversion_schemas. A link that stayed would count as another source of its row, which would
 * then never be removed. Links begin with their instance: each one's are looked for.
 */
Datum
integ_tg_schema_deleted(PG_FUNCTION_ARGS)
{
	static IntegQuery queries[] = {
		{"DELETE FROM integ.record_links WHERE instance = ANY (ARRAY(SELECT id FROM integ.instances)) AND schema = $1",
		 1,
		 {UUIDOID}},
		{"DELETE FROM integ.record_relations WHERE from_table IS NOT NULL AND schema = $1", 1, {UUIDOID}}};

	return delete_with(fcinfo, "tg_schema_deleted", queries, lengthof(queries));
}
