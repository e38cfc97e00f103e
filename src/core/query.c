/*
 * SQL from C: one way to run a statement on our own tables.
 */
#include "core/query.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

static void
prepare(IntegQuery *query)
{
	SPIPlanPtr plan;

	if (query->plan != NULL)
		return;
	/* Planning a lookup anew for each set of values costs many times its execution. */
	plan = SPI_prepare_cursor(query->sql, query->nargs, query->types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", query->sql, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	query->plan = plan;
}

uint64
integ_query(IntegQuery *query, const Datum *values, const char *nulls)
{
	int rc;

	prepare(query);
	rc = SPI_execute_plan(query->plan, (Datum *) values, nulls, false, 0);
	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", query->sql, SPI_result_code_string(rc));
	return SPI_processed;
}

uint64
integ_query_latest(IntegQuery *query, const Datum *values, const char *nulls)
{
	int rc;

	prepare(query);
	/* Of the snapshots that see the latest state, this is the one that a parallel query may take. */
	PushActiveSnapshot(GetCatalogSnapshot(InvalidOid));
	rc = SPI_execute_plan(query->plan, (Datum *) values, nulls, true, 0);
	PopActiveSnapshot();
	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", query->sql, SPI_result_code_string(rc));
	return SPI_processed;
}

void
integ_query_by_indexes(void)
{
	/* What cannot be avoided counts as very dear, which would have it compiled. */
	static const char *const others[] = {"enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin",
										 "enable_mergejoin", "jit"};

	for (size_t i = 0; i < lengthof(others); i++)
		(void) set_config_option(others[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

Datum
integ_result_datum(uint64 row, int column, bool *isnull)
{
	Assert(row < SPI_processed);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

Datum
integ_value_text(const char *value, char *null)
{
	*null = value == NULL ? 'n' : ' ';
	return value == NULL ? (Datum) 0 : CStringGetTextDatum(value);
}

Datum
integ_value_texts(const char *const *texts, int count)
{
	Datum *values = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = CStringGetTextDatum(texts[i]);
	return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

struct varlena *
integ_result_varlena(uint64 row, int column, MemoryContext context)
{
	bool isnull;
	Datum value = integ_result_datum(row, column, &isnull);
	MemoryContext old;
	struct varlena *copy;

	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(context);
	copy = PG_DETOAST_DATUM_COPY(value);
	MemoryContextSwitchTo(old);
	return copy;
}

char *
integ_result_text(uint64 row, int column, MemoryContext context)
{
	char *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return value == NULL ? NULL : MemoryContextStrdup(context, value);
}

bool
integ_result_bool(uint64 row, int column)
{
	bool isnull;
	Datum value = integ_result_datum(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

int64
integ_result_int8(uint64 row, int column)
{
	bool isnull;
	Datum value = integ_result_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}
