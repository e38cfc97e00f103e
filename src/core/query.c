/*
 * SQL from C: one way to run a statement on our own tables.
 */
#include "core/query.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "optimizer/plancat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/*
 * No table of ours is planned as smaller than this. Generic plans are kept: one that is made while a queue is empty
 * reads the whole table, or joins it row by row, and goes on so after a million rows were added, until somebody
 * analyzes the table. With these numbers every lookup has its index from the beginning, also where it is joined to a
 * thousand ids; and without statistics a lookup is thought to find a few rows (the planner knows 200 distinct values
 * then).
 */
#define LEAST_ROWS 1000
#define LEAST_PAGES 10000
#define ROWS_ON_INDEX_PAGE 100

static get_relation_info_hook_type previous_hook;

/* A statement of integ_query runs, and what is planned is its plan. */
static bool running;

static void
see_as_large(PlannerInfo *root, Oid relation, bool has_children, RelOptInfo *info)
{
	ListCell *cell;

	if (previous_hook != NULL)
		previous_hook(root, relation, has_children, info);
	if (!running || has_children || get_rel_namespace(relation) != get_namespace_oid("integ", true))
		return;
	info->pages = Max(info->pages, LEAST_PAGES);
	info->tuples = Max(info->tuples, LEAST_ROWS);
	/* A partial index may come to hold any row: an empty one must not look like the shortest way. */
	foreach (cell, info->indexlist)
	{
		IndexOptInfo *index = lfirst(cell);

		index->tuples = info->tuples;
		index->pages = Max(index->pages, info->tuples / ROWS_ON_INDEX_PAGE);
	}
}

static void
prepare(IntegQuery *query)
{
	static bool hooked = false;
	SPIPlanPtr plan;

	if (query->plan != NULL)
		return;
	if (!hooked)
	{
		previous_hook = get_relation_info_hook;
		get_relation_info_hook = see_as_large;
		hooked = true;
	}
	/* Planning a lookup anew for each set of values costs many times its execution. */
	plan = SPI_prepare_cursor(query->sql, query->nargs, query->types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", query->sql, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	query->plan = plan;
}

static uint64
run(IntegQuery *query, const Datum *values, const char *nulls, bool read_only)
{
	bool outer = running;
	volatile int rc = 0;

	prepare(query);
	/* It is planned now, or anew after its tables have changed. */
	PG_TRY();
	{
		running = true;
		rc = SPI_execute_plan(query->plan, (Datum *) values, nulls, read_only, 0);
	}
	PG_FINALLY();
	{
		running = outer;
	}
	PG_END_TRY();
	if (rc < 0)
		elog(ERROR, "could not run \"%s\": %s", query->sql, SPI_result_code_string(rc));
	return SPI_processed;
}

uint64
integ_query(IntegQuery *query, const Datum *values, const char *nulls)
{
	return run(query, values, nulls, false);
}

uint64
integ_query_latest(IntegQuery *query, const Datum *values, const char *nulls)
{
	uint64 count;

	/* Of the snapshots that see the latest state, this is the one that a parallel query may take. */
	PushActiveSnapshot(GetCatalogSnapshot(InvalidOid));
	count = run(query, values, nulls, true);
	PopActiveSnapshot();
	return count;
}

void
integ_query_by_indexes(void)
{
	/* What cannot be avoided counts as very dear, which would have it compiled. */
	static const char *const others[] = {"enable_seqscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "jit"};

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

TimestampTz
integ_result_time(uint64 row, int column)
{
	bool isnull;
	Datum value = integ_result_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}
