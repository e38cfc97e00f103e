/*
 * Single records: given as they are, or by id and then asked for, one by one.
 */
#include "sync/named.h"

#include "access/xact.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "sync/fetch.h"
#include "sync/list.h"
#include "sync/store.h"
#include "utils/memutils.h"

static void
store_step(SyncEngine *engine, void *arg)
{
	engine->run->phase = INTEG_SYNC_SAVING;
	sync_page_store(engine, arg);
}

static void
forget_step(SyncEngine *engine, void *arg)
{
	sync_page_forget(engine, arg);
}

static void
open_source(SyncEngine *engine)
{
	engine->stage = SYNC_STAGE_PLANNING;
	sync_begin();
	MemoryContextSwitchTo(engine->context);
	if (engine->target == NULL)
		engine->target = sync_target_open(&engine->source->schema);
	sync_commit();
	MemoryContextSwitchTo(engine->context);
	engine->stage = SYNC_STAGE_FETCHING;
}

/* An array of those of the wanted type: records are objects, ids texts. */
static Jsonb *
select_type(const Jsonb *list, enum jbvType type)
{
	JsonbParseState *state = NULL;
	IntegJsonWalk walk;
	JsonbValue item;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	integ_json_walk_begin(&walk, &list->root);
	while (integ_json_walk_element(&walk, &item))
		if (item.type == type)
			pushJsonbValue(&state, WJB_ELEM, &item);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static void
open_get(SyncEngine *engine, const char *id)
{
	SyncSource *source = engine->source;
	const Jsonb *input;

	engine->stage = SYNC_STAGE_PLANNING;
	sync_begin();
	MemoryContextSwitchTo(engine->context);
	if (source->get_method == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("single records of \"%s\" cannot be asked for", source->entity),
						errdetail("The entity of \"%s\" names no method \"get\".", source->name),
						errhint("Run the task for all records, or complete the entity in the definition.")));
	input = sync_source_input(source, sync_source_method(engine, source, source->get_method), NULL, NULL, id);
	engine->fetch = sync_fetch_open(engine, source->get_method, input, NULL, NULL);
	sync_commit();
	MemoryContextSwitchTo(engine->context);
	engine->stage = SYNC_STAGE_FETCHING;
}

/* The record as a list of one; NULL where the service has none of that id. */
static const Jsonb *
get(SyncEngine *engine, SyncFetched *fetched)
{
	MemoryContext context = CurrentMemoryContext;
	const Jsonb *volatile list = NULL;

	PG_TRY();
	{
		if (sync_fetch_next(engine->fetch, fetched))
			list = fetched->records;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (engine->http_status != 404 && engine->http_status != 410)
			PG_RE_THROW();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
	}
	PG_END_TRY();
	return list;
}

/* False where the run is to stop. */
static bool
read_one(SyncEngine *engine, const JsonbValue *id)
{
	SyncFetched fetched;
	const Jsonb *list;
	bool going;

	open_get(engine, pnstrdup(id->val.string.val, id->val.string.len));
	engine->http_status = 0;
	list = get(engine, &fetched);
	if (integ_sync_should_stop(engine->run))
		return false;
	if (list != NULL)
		going = sync_store(engine, store_step, unconstify(Jsonb *, list));
	else
	{
		JsonbParseState *state = NULL;

		pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		pushJsonbValue(&state, WJB_ELEM, unconstify(JsonbValue *, id));
		going = sync_store(engine, forget_step, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)));
	}
	sync_list_close_fetch(engine);
	return going;
}

void
sync_named_read(SyncEngine *engine)
{
	Jsonb *ids = select_type(engine->run->records, jbvString), *records = select_type(engine->run->records, jbvBinary);
	IntegJsonWalk walk;
	JsonbValue id;

	open_source(engine);
	if (JB_ROOT_COUNT(records) > 0 && !sync_store(engine, store_step, records))
		return;
	integ_json_walk_begin(&walk, &ids->root);
	while (integ_json_walk_element(&walk, &id))
		if (!read_one(engine, &id))
			return;
	engine->run->phase = INTEG_SYNC_COMPLETE;
}
