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
#include "sync/task.h"
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

typedef enum Kind
{
	NAMED,	/* by its id, to be asked for */
	GIVEN,	/* as it is */
	DELETED /* {"$deleted": id}: the source has it no more */
} Kind;

/* What an item is, and what stands for it: an id or a record. */
static Kind
kind_of(const JsonbValue *item, JsonbValue *value)
{
	*value = *item;
	if (item->type == jbvString)
		return NAMED;
	if (JsonContainerSize(item->val.binary.data) == 1 &&
		integ_json_get(item->val.binary.data, INTEG_SYNC_DELETED, value) && value->type == jbvString)
		return DELETED;
	*value = *item;
	return GIVEN;
}

/* Items of one kind in a row, which are stored together. */
typedef struct Stretch
{
	Kind kind;
	int count;
	JsonbParseState *state;
} Stretch;

/* False where the run is to stop. */
static bool
end_stretch(SyncEngine *engine, Stretch *stretch)
{
	bool deletes;
	Jsonb *list;

	if (stretch->count == 0)
		return true;
	list = JsonbValueToJsonb(pushJsonbValue(&stretch->state, WJB_END_ARRAY, NULL));
	deletes = stretch->kind == DELETED;
	*stretch = (Stretch){0};
	return sync_store(engine, deletes ? forget_step : store_step, list);
}

static void
add_to_stretch(Stretch *stretch, Kind kind, JsonbValue *value)
{
	if (stretch->count++ == 0)
		pushJsonbValue(&stretch->state, WJB_BEGIN_ARRAY, NULL);
	stretch->kind = kind;
	pushJsonbValue(&stretch->state, WJB_ELEM, value);
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

/* Whether the record is asked for again further on: once is enough, the last time. */
static bool
comes_again(IntegJsonWalk rest, const JsonbValue *id)
{
	JsonbValue item;

	while (integ_json_walk_element(&rest, &item))
		if (item.type == jbvString && item.val.string.len == id->val.string.len &&
			memcmp(item.val.string.val, id->val.string.val, id->val.string.len) == 0)
			return true;
	return false;
}

/* In the order in which they were told of: the last word about a record counts. */
void
sync_named_read(SyncEngine *engine)
{
	Stretch stretch = {0};
	IntegJsonWalk walk;
	JsonbValue item, value;

	open_source(engine);
	integ_json_walk_begin(&walk, &engine->run->records->root);
	while (integ_json_walk_element(&walk, &item))
	{
		Kind kind = kind_of(&item, &value);

		if (stretch.count > 0 && stretch.kind != kind && !end_stretch(engine, &stretch))
			return;
		if (kind != NAMED)
			add_to_stretch(&stretch, kind, &value);
		else if (!comes_again(walk, &value) && !read_one(engine, &value))
			return;
	}
	if (end_stretch(engine, &stretch))
		engine->run->phase = INTEG_SYNC_COMPLETE;
}
