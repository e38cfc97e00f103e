/*
 * The SQL functions of JSON Schema.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "schema/schema.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(integ_json_schema_problems);
PG_FUNCTION_INFO_V1(integ_json_schema_fill);

/* The schema of the previous row, which is mostly the schema of this one. */
typedef struct CachedSchema
{
	Jsonb *source;
	IntegSchema *compiled;
	MemoryContext context;
} CachedSchema;

static IntegSchema *
cached_schema(FunctionCallInfo fcinfo, const Jsonb *source)
{
	CachedSchema *cached = fcinfo->flinfo->fn_extra;
	MemoryContext outer;

	if (cached != NULL && VARSIZE(cached->source) == VARSIZE(source) &&
		memcmp(cached->source, source, VARSIZE(source)) == 0)
		return cached->compiled;
	fcinfo->flinfo->fn_extra = NULL;
	if (cached != NULL)
		MemoryContextDelete(cached->context);

	outer = MemoryContextSwitchTo(AllocSetContextCreate(CurrentMemoryContext, "integ schema", ALLOCSET_SMALL_SIZES));
	cached = palloc(sizeof(CachedSchema));
	cached->context = CurrentMemoryContext;
	cached->source = palloc(VARSIZE(source));
	memcpy(cached->source, source, VARSIZE(source));
	cached->compiled = integ_schema_compile(source, "the schema");
	MemoryContextSetParent(cached->context, fcinfo->flinfo->fn_mcxt);
	fcinfo->flinfo->fn_extra = cached;
	MemoryContextSwitchTo(outer);
	return cached->compiled;
}

/* integ.json_schema_problems(schema jsonb, document jsonb) → table (path text, message text) */
Datum
integ_json_schema_problems(PG_FUNCTION_ARGS)
{
	IntegSchema *schema = cached_schema(fcinfo, PG_GETARG_JSONB_P(0));
	const Jsonb *document = PG_GETARG_JSONB_P(1);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	IntegSchemaProblems problems;

	InitMaterializedSRF(fcinfo, 0);
	(void) integ_schema_validate(schema, document, &problems);
	for (int i = 0; i < problems.count; i++)
	{
		Datum values[2] = {CStringGetTextDatum(problems.items[i].path), CStringGetTextDatum(problems.items[i].message)};
		bool nulls[2] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* integ.json_schema_fill(schema jsonb, document jsonb) → jsonb */
Datum
integ_json_schema_fill(PG_FUNCTION_ARGS)
{
	IntegSchema *schema = cached_schema(fcinfo, PG_GETARG_JSONB_P(0));

	PG_RETURN_JSONB_P((Jsonb *) integ_schema_fill(schema, PG_GETARG_JSONB_P(1)));
}
