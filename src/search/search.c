/*
 * integ_search: full-text search over records.
 *
 * Row-level security would keep the planner from the index, since the operator of full-text search is not leakproof:
 * the records are read as integ_owner, under the condition of the policy records_read.
 */
#include "search/search.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_search);

#define COLUMNS 7
#define MAX_RESULTS 10000

/* What the index can look for: a query of nothing but words to be left out finds nothing there. */
static char *
indexable(Datum query)
{
	static IntegQuery plan = {
		"SELECT pg_catalog.querytree(pg_catalog.websearch_to_tsquery('pg_catalog.simple', $1))", 1, {TEXTOID}};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	char *tree;

	integ_owner_enter(&scope);
	(void) integ_query(&plan, &query, NULL);
	tree = integ_result_text(0, 1, context);
	integ_owner_leave(&scope);
	if (tree == NULL || tree[0] == '\0' || strcmp(tree, "T") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the search needs a word to look for"),
						errhint("As in a search engine: words, \"a phrase\", or, and -word for what is left out.")));
	return tree;
}

static void
put_rows(ReturnSetInfo *result, uint64 count)
{
	for (uint64 row = 0; row < count; row++)
	{
		Datum values[COLUMNS];
		bool nulls[COLUMNS];

		for (int i = 0; i < COLUMNS; i++)
			values[i] = integ_result_datum(row, i + 1, &nulls[i]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* integ_search(query text, types text[], max_results integer) → table */
Datum
integ_search(PG_FUNCTION_ARGS)
{
	static IntegQuery plan = {
		"SELECT f.id, f.type, f.data ->> f.title_field, f.rank,"
		" pg_catalog.ts_headline('pg_catalog.simple', integ.search_text(f.data, f.search_fields),"
		"  pg_catalog.websearch_to_tsquery('pg_catalog.simple', $1), 'StartSel=**, StopSel=**, MaxFragments=2'),"
		" f.data, f.updated_at "
		"FROM (SELECT r.id, r.type, r.data, r.updated_at, t.title_field, t.search_fields,"
		"       pg_catalog.ts_rank(v.words, pg_catalog.websearch_to_tsquery('pg_catalog.simple', $1)) AS rank"
		"      FROM integ.records r"
		"      JOIN integ.record_types t ON t.id = r.type"
		"      CROSS JOIN LATERAL (SELECT"
		"       pg_catalog.setweight(integ.search_vector(r.data,"
		"        CASE WHEN t.title_field = ANY (t.search_fields) THEN ARRAY[t.title_field] ELSE '{}' END), 'A')"
		"       || integ.search_vector(r.data, pg_catalog.array_remove(t.search_fields, t.title_field)) AS words) v"
		"      WHERE r.deleted_at IS NULL AND integ.search_vector(r.data) @@ CAST($2 AS pg_catalog.tsquery)"
		"       AND v.words @@ pg_catalog.websearch_to_tsquery('pg_catalog.simple', $1)"
		"       AND ($3 IS NULL OR r.type = ANY ($3))"
		"       AND ($6 OR r.client_id = '*' OR r.client_id = $4"
		"            AND (r.context_type = 'client' OR r.context_id = $5 OR $7))"
		"      ORDER BY rank DESC, r.updated_at DESC, r.id LIMIT $8) f "
		"ORDER BY f.rank DESC, f.updated_at DESC, f.id",
		8,
		{TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID, BOOLOID, BOOLOID, INT4OID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "search records");
	int32 max = PG_ARGISNULL(2) ? 50 : PG_GETARG_INT32(2);
	char nulls[] = "        ", *query;
	Datum values[8];
	IntegOwnerScope scope;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (max < 1 || max > MAX_RESULTS)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_search gives 1 to %d records, not %d", MAX_RESULTS, max)));
	query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	values[0] = CStringGetTextDatum(integ_search_fold(query, strlen(query)));
	values[1] = CStringGetTextDatum(indexable(values[0]));
	nulls[2] = PG_ARGISNULL(1) ? 'n' : ' ';
	values[2] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	values[3] = integ_value_text(actor->client, &nulls[3]);
	values[4] = integ_value_text(actor->user, &nulls[4]);
	values[5] = BoolGetDatum(actor->level == INTEG_LEVEL_SUPERADMIN);
	values[6] = BoolGetDatum(actor->level == INTEG_LEVEL_ADMIN);
	values[7] = Int32GetDatum(max);
	InitMaterializedSRF(fcinfo, 0);
	integ_owner_enter(&scope);
	put_rows((ReturnSetInfo *) fcinfo->resultinfo, integ_query(&plan, values, nulls));
	integ_owner_leave(&scope);
	return (Datum) 0;
}
