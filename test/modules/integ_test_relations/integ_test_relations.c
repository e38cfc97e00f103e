/*
 * Test only: relates pages of records from SQL, as a sync does.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/relations.h"
#include "core/json_walk.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(test_relate);
PG_FUNCTION_INFO_V1(test_fill);

/* A function of integ's library, whatever the visibility of its symbols. */
#define INTEG(name) ((__typeof__(&name)) load_external_function("$libdir/integ", #name, true, NULL))

Datum
test_relate(PG_FUNCTION_ARGS)
{
	const IntegConversion *conversion = INTEG(integ_conversion_get)(PG_GETARG_UUID_P(0), INTEG_PULL);
	const char *client = text_to_cstring(PG_GETARG_TEXT_PP(4));
	IntegConversionRun *run = INTEG(integ_conversion_begin)(conversion, NULL, client);
	IntegRelationPage *page = INTEG(integ_relations_begin)(conversion, client);
	bool rows = PG_ARGISNULL(2);
	Datum *records, *ends;
	bool *nulls;
	int count, nends;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), JSONBOID, -1, false, TYPALIGN_INT, &records, &nulls, &count);
	if (rows)
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(3), JSONBOID, -1, false, TYPALIGN_INT, &ends, &nulls, &nends);
	else
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &ends, &nulls, &nends);
	for (int i = 0; i < Min(count, nends); i++)
	{
		IntegConverted converted = {0};
		JsonbValue record;

		integ_json_root(DatumGetJsonbP(records[i]), &record);
		INTEG(integ_conversion_apply)
		(run, &record, &converted);
		if (converted.nerrors > 0)
			elog(ERROR, "%s: %s", converted.errors[0].field, converted.errors[0].reason);
		INTEG(integ_relations_add)
		(page, &converted, rows ? NULL : DatumGetUUIDP(ends[i]),
		 rows ? DatumGetJsonbP(ends[i]) : NULL);
	}
	PG_RETURN_INT64(INTEG(integ_relations_finish)(page));
}

Datum
test_fill(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(INTEG(integ_relations_fill)(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}
