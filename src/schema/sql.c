/*
 * The SQL functions of JSON Schema.
 */
#include "postgres.h"

#include "core/memo.h"
#include "fmgr.h"
#include "funcapi.h"
#include "schema/schema.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_json_schema_problems);
PG_FUNCTION_INFO_V1(integ_json_schema_valid);
PG_FUNCTION_INFO_V1(integ_json_schema_fill);

static void *
compile(const struct varlena *source)
{
	return integ_schema_compile((const Jsonb *) source, "the schema");
}

static IntegSchema *
schema_argument(FunctionCallInfo fcinfo)
{
	return integ_memo(fcinfo, (const struct varlena *) PG_GETARG_JSONB_P(0), compile);
}

/* integ.json_schema_problems(schema jsonb, document jsonb) → table (path text, message text) */
Datum
integ_json_schema_problems(PG_FUNCTION_ARGS)
{
	IntegSchema *schema = schema_argument(fcinfo);
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

/* integ.json_schema_valid(schema jsonb, document jsonb) → boolean */
Datum
integ_json_schema_valid(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(integ_schema_validate(schema_argument(fcinfo), PG_GETARG_JSONB_P(1), NULL));
}

/* integ.json_schema_fill(schema jsonb, document jsonb) → jsonb */
Datum
integ_json_schema_fill(PG_FUNCTION_ARGS)
{
	IntegSchema *schema = schema_argument(fcinfo);

	PG_RETURN_JSONB_P((Jsonb *) integ_schema_fill(schema, PG_GETARG_JSONB_P(1)));
}
