/*
 * What has disappeared at the service: a full run that was read to its end has not seen it.
 *
 * The ids of each page are stored with it, an array a page, so that they survive whatever the page survives and cost
 * nothing for records that are unchanged. The cursor says how many pages there are: a run that goes on in the middle
 * of a list finds all of them, or begins anew. What a run that failed has seen is kept for the one that repeats it.
 */
#include "sync/engine.h"

#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "operate/operate.h"
#include "sync/lifecycle.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

/* What a transaction removes. */
#define REMOVED_AT_ONCE 1000

static void
set_key(const SyncEngine *engine, Datum *values)
{
	values[0] = UUIDPGetDatum(&engine->cursor.execution);
	values[1] = Int32GetDatum(engine->source->position);
}

/* A dry run leaves alone what a run that failed may go on from. */
void
sync_seen_begin(SyncEngine *engine)
{
	static IntegQuery all = {"DELETE FROM integ.sync_seen WHERE task = $1 AND source = $2", 2, {UUIDOID, INT4OID}};
	IntegOwnerScope scope;
	Datum values[2] = {UUIDPGetDatum(&engine->run->task), Int32GetDatum(engine->source->position)};

	engine->cursor.seen = 0;
	if (engine->run->dry_run)
	{
		integ_owner_enter(&scope);
		integ_sync_seen_forget(&engine->run->id);
		integ_owner_leave(&scope);
		return;
	}
	integ_owner_enter(&scope);
	(void) integ_query(&all, values, NULL);
	integ_owner_leave(&scope);
}

bool
sync_seen_is_whole(const SyncEngine *engine)
{
	static IntegQuery query = {
		"SELECT pg_catalog.count(*) FROM integ.sync_seen WHERE execution = $1 AND source = $2 AND NOT gone",
		2,
		{UUIDOID, INT4OID}};
	IntegOwnerScope scope;
	Datum values[2];
	bool whole;

	set_key(engine, values);
	integ_owner_enter(&scope);
	(void) integ_query(&query, values, NULL);
	whole = integ_result_int8(0, 1) == engine->cursor.seen;
	integ_owner_leave(&scope);
	return whole;
}

void
integ_sync_seen_forget(const pg_uuid_t *execution)
{
	static IntegQuery query = {"DELETE FROM integ.sync_seen WHERE execution = $1", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(execution);

	(void) integ_query(&query, &value, NULL);
}

void
integ_sync_seen_expire(void)
{
	static IntegQuery query = {
		"DELETE FROM integ.sync_seen WHERE execution IN (SELECT s.execution FROM integ.sync_seen s"
		" WHERE NOT EXISTS (SELECT FROM integ.sync_executions_open o WHERE o.id = s.execution)"
		" AND NOT EXISTS (SELECT FROM integ.sync_executions_done d WHERE d.id = s.execution) LIMIT 1)",
		0};

	integ_job_delete(&query, NULL);
}

/* What another execution of the task has seen before it ended in the middle, this one goes on from. */
void
sync_seen_adopt(SyncEngine *engine, const pg_uuid_t *execution)
{
	static IntegQuery query = {"UPDATE integ.sync_seen SET execution = $1 WHERE execution = $3 AND source = $2",
							   3,
							   {UUIDOID, INT4OID, UUIDOID}};
	IntegOwnerScope scope;
	Datum values[3];

	set_key(engine, values);
	values[2] = UUIDPGetDatum(execution);
	integ_owner_enter(&scope);
	(void) integ_query(&query, values, NULL);
	integ_owner_leave(&scope);
}

void
sync_seen_end(SyncEngine *engine)
{
	if (engine->sweeps)
		sync_seen_begin(engine);
}

void
sync_seen_add(SyncPage *page)
{
	static IntegQuery query = {
		"INSERT INTO integ.sync_seen (execution, source, page, external_ids, task) SELECT $1, $2,"
		" coalesce((SELECT pg_catalog.max(page) FROM integ.sync_seen WHERE execution = $1 AND source = $2 AND NOT gone), 0)"
		" + 1, $3, $4 RETURNING page",
		4,
		{UUIDOID, INT4OID, TEXTARRAYOID, UUIDOID}};
	SyncEngine *engine = page->engine;
	Datum *ids = palloc(Max(page->nrecords, 1) * sizeof(Datum));
	IntegOwnerScope scope;
	Datum values[4];
	int count = 0;

	if (!engine->sweeps)
		return;
	for (int i = 0; i < page->nrecords; i++)
		if (page->records[i].external_id_len > 0)
			ids[count++] = PointerGetDatum(
				cstring_to_text_with_len(page->records[i].external_id, page->records[i].external_id_len));
	set_key(engine, values);
	values[2] = PointerGetDatum(construct_array(ids, count, TEXTOID, -1, false, TYPALIGN_INT));
	values[3] = UUIDPGetDatum(&engine->run->task);
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	(void) integ_query(&query, values, NULL);
	engine->cursor.seen = integ_result_int8(0, 1);
	integ_owner_leave(&scope);
}

/* Millions of ids are compared by hash, whatever the planner thinks of a table that was filled a moment ago. */
static void
avoid_nested_loops(void)
{
	(void) set_config_option("enable_nestloop", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static void
set_scope(const SyncSource *source, Datum *values)
{
	values[2] = UUIDPGetDatum(&source->instance);
	values[3] = UUIDPGetDatum(&source->schema);
	values[4] = CStringGetTextDatum(source->entity);
}

static int64
count_live(const SyncEngine *engine, const Datum *scope)
{
	static IntegQuery query = {"SELECT pg_catalog.count(*) FROM integ.record_links"
							   " WHERE instance = $1 AND schema = $2 AND external_type = $3 AND deleted_at IS NULL"
							   " AND target_table IS NOT DISTINCT FROM $4",
							   4,
							   {UUIDOID, UUIDOID, TEXTOID, REGCLASSOID}};
	char nulls[] = "    ";
	Datum values[4] = {scope[0], scope[1], scope[2]};

	values[3] = sync_target_datum(engine->target, &nulls[3]);
	(void) integ_query(&query, values, nulls);
	return integ_result_int8(0, 1);
}

bool
sync_seen_find_gone(SyncEngine *engine, int64 *gone, int64 *live)
{
	static IntegQuery known = {
		"SELECT coalesce(pg_catalog.sum(pg_catalog.cardinality(external_ids)), 0)::pg_catalog.int8"
		" FROM integ.sync_seen WHERE execution = $1 AND source = $2 AND gone",
		2,
		{UUIDOID, INT4OID}};
	static IntegQuery find = {
		"WITH g AS (SELECT l.external_id, (pg_catalog.row_number() OVER ()) / $6 AS page FROM integ.record_links l"
		" WHERE l.instance = $3 AND l.schema = $4 AND l.external_type = $5 AND l.deleted_at IS NULL"
		" AND l.target_table IS NOT DISTINCT FROM $9 AND NOT EXISTS ("
		"  SELECT FROM integ.sync_seen s, pg_catalog.unnest(s.external_ids) AS i (id)"
		"  WHERE s.execution = $1 AND s.source = $2 AND NOT s.gone AND i.id = l.external_id)"
		/* The task may be deleted this moment, and what was seen with it: then nothing has disappeared. */
		" AND (SELECT pg_catalog.count(*) FROM integ.sync_seen WHERE execution = $1 AND source = $2 AND NOT gone) = $8),"
		" stored AS (INSERT INTO integ.sync_seen (execution, source, task, gone, page, external_ids)"
		"  SELECT $1, $2, $7, true, g.page, pg_catalog.array_agg(g.external_id) FROM g GROUP BY g.page"
		"  RETURNING external_ids)"
		" SELECT coalesce(pg_catalog.sum(pg_catalog.cardinality(external_ids)), 0)::pg_catalog.int8 FROM stored",
		9,
		{UUIDOID, INT4OID, UUIDOID, UUIDOID, TEXTOID, INT8OID, UUIDOID, INT8OID, REGCLASSOID}};
	char nulls[] = "         ";
	IntegOwnerScope scope;
	Datum values[9];

	set_key(engine, values);
	set_scope(engine->source, values);
	values[5] = Int64GetDatum(REMOVED_AT_ONCE);
	values[6] = UUIDPGetDatum(&engine->run->task);
	values[7] = Int64GetDatum(engine->cursor.seen);
	values[8] = sync_target_datum(engine->target, &nulls[8]);
	integ_owner_enter(&scope);
	avoid_nested_loops();
	(void) integ_query(&known, values, NULL);
	*gone = integ_result_int8(0, 1);
	*live = count_live(engine, values + 2);
	/* What a run before a crash has found, it is still to remove. */
	if (*gone == 0)
	{
		(void) integ_query(&find, values, nulls);
		*gone = integ_result_int8(0, 1);
	}
	integ_owner_leave(&scope);
	return *gone > 0;
}

/* A list of ids that have gone, which it forgets; NULL: there are no more. */
const Jsonb *
sync_seen_next_gone(SyncEngine *engine)
{
	static IntegQuery query = {
		"DELETE FROM integ.sync_seen WHERE execution = $1 AND source = $2 AND gone AND page ="
		" (SELECT pg_catalog.min(page) FROM integ.sync_seen WHERE execution = $1 AND source = $2 AND gone)"
		" RETURNING pg_catalog.to_jsonb(external_ids)",
		2,
		{UUIDOID, INT4OID}};
	MemoryContext context = CurrentMemoryContext;
	const Jsonb *list = NULL;
	IntegOwnerScope scope;
	Datum values[2];

	set_key(engine, values);
	integ_owner_enter(&scope);
	if (integ_query(&query, values, NULL) > 0)
		list = (const Jsonb *) integ_result_varlena(0, 1, context);
	integ_owner_leave(&scope);
	return list;
}
