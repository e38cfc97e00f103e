/*
 * Collecting a card: what each source of a task gives, in one run, written as one record.
 */
#include "cards/collect.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "cards/card.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "miscadmin.h"
#include "sync/fetch.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* What one source is asked, and gave. */
typedef struct CardSource
{
	const char *name;
	const char *instance; /* its id */
	const char *method;
	const Jsonb *input;
	int64 max_records;
	bool single;		  /* the method gives one result, no list */
	const Jsonb *records; /* an array; NULL: it has failed */
	const char *error;
} CardSource;

struct SyncCard
{
	Jsonb *plan; /* "card" of the task's config */
	List *sources;
	Size bytes;
};

SyncCard *
card_begin(const IntegSyncRun *run)
{
	JsonbValue plan;
	SyncCard *card;

	if (!integ_json_get(&run->config->root, "card", &plan) || plan.type == jbvNull)
		return NULL;
	if (!integ_json_is_object(&plan))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("\"card\" of the sync task \"%s\" is no object", run->task_id),
						errhint("It holds the templates: {\"title\": …, \"content\": …, \"tags\": […]}.")));
	card = palloc0(sizeof(SyncCard));
	card->plan = integ_json_value_jsonb(&plan);
	return card;
}

/* --- a source --- */

static bool
is_taken(const SyncCard *card, const char *name)
{
	ListCell *cell;

	foreach (cell, card->sources)
		if (strcmp(((const CardSource *) lfirst(cell))->name, name) == 0)
			return true;
	return false;
}

/* In a transaction, in the context of the engine. */
static CardSource *
open_source(SyncEngine *engine)
{
	SyncSource *source = engine->source;
	const IntegMethod *method = sync_source_method(engine, source, source->method);
	const JsonbContainer *response = integ_json_get_object(method->manifest, "response");
	CardSource *asked = palloc0(sizeof(CardSource));
	JsonbValue records;

	asked->name = is_taken(engine->card, source->name) ? psprintf("%s_%d", source->name, source->position) : source->name;
	asked->instance = source->instance_text;
	asked->method = source->method;
	asked->input = sync_source_input(source, method, NULL, NULL, NULL);
	asked->max_records = source->options.max_results > 0 ? source->options.max_results : INTEG_CARD_MAX_RECORDS;
	asked->single = method->pagination == NULL && (response == NULL || !integ_json_get(response, "records", &records));
	engine->card->sources = lappend(engine->card->sources, asked);
	engine->fetch = sync_fetch_open(engine, source->method, asked->input, NULL, NULL);
	return asked;
}

/* Adds what a page has to what came before; whether more is wanted. */
static bool
take_page(SyncEngine *engine, CardSource *asked, const Jsonb *page, JsonbParseState **state, int64 *count)
{
	IntegJsonWalk walk;
	JsonbValue record;

	engine->card->bytes += VARSIZE(page);
	if (engine->card->bytes > INTEG_CARD_MAX_BYTES)
		ereport(ERROR, (errcode(ERRCODE_INTEG_BAD_ANSWER), errmsg("the sources of a card give more than %d MB", INTEG_CARD_MAX_BYTES / (1024 * 1024)),
						errhint("\"maxResults\" of the source's config says how many records it gives at most.")));
	integ_json_walk_begin(&walk, &page->root);
	while (*count < asked->max_records && integ_json_walk_element(&walk, &record))
	{
		(void) pushJsonbValue(state, WJB_ELEM, &record);
		(*count)++;
	}
	return *count < asked->max_records;
}

/* The records of all pages: each page is gone with the next one, and is copied before. */
static const Jsonb *
read_pages(SyncEngine *engine, CardSource *asked)
{
	JsonbParseState *state = NULL;
	SyncFetched fetched;
	int64 count = 0;
	bool more = true;

	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	while (more)
	{
		Jsonb *page;

		engine->run->phase = INTEG_SYNC_FETCHING;
		if (!sync_fetch_next(engine->fetch, &fetched))
			break;
		MemoryContextSwitchTo(engine->context);
		page = palloc(VARSIZE(fetched.records));
		memcpy(page, fetched.records, VARSIZE(fetched.records));
		more = take_page(engine, asked, page, &state, &count) && fetched.state != NULL && !fetched.cut_short;
	}
	engine->run->counters.fetched += count;
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

void
card_read(SyncEngine *engine)
{
	CardSource *asked;

	engine->stage = SYNC_STAGE_PLANNING;
	sync_begin();
	MemoryContextSwitchTo(engine->context);
	asked = open_source(engine);
	sync_commit();
	MemoryContextSwitchTo(engine->context);
	engine->stage = SYNC_STAGE_FETCHING;
	asked->records = read_pages(engine, asked);
}

void
card_note_failure(SyncEngine *engine, const char *message)
{
	CardSource *asked = engine->card->sources == NIL ? NULL : llast(engine->card->sources);

	/* It may have failed before it was asked anything. */
	if (asked == NULL || asked->records != NULL || asked->error != NULL)
	{
		asked = palloc0(sizeof(CardSource));
		asked->name = engine->source->name;
		asked->instance = engine->source->instance_text;
		asked->method = engine->source->method;
		asked->max_records = INTEG_CARD_MAX_RECORDS;
		engine->card->sources = lappend(engine->card->sources, asked);
	}
	asked->records = NULL;
	asked->error = message;
}

/* --- the card --- */

static Jsonb *
make_request(const SyncEngine *engine)
{
	const IntegSyncRun *run = engine->run;
	Jsonb *task = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(run->config), CStringGetTextDatum("card")));
	IntegJsonBuilder builder;
	ListCell *cell;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "source_id", run->task_id);
	integ_json_add_jsonb(&builder, "task", task);
	integ_json_add_jsonb(&builder, "card", engine->card->plan);
	integ_json_open_array(&builder, "sources");
	foreach (cell, engine->card->sources)
	{
		const CardSource *asked = lfirst(cell);

		integ_json_open_object(&builder, NULL);
		integ_json_add_string(&builder, "name", asked->name);
		integ_json_add_string(&builder, "instance", asked->instance);
		integ_json_add_string(&builder, "method", asked->method);
		if (asked->input != NULL)
			integ_json_add_jsonb(&builder, "input", asked->input);
		integ_json_add_int(&builder, "max_records", asked->max_records);
		integ_json_add_bool(&builder, "single", asked->single);
		integ_json_close(&builder);
	}
	integ_json_close(&builder);
	return integ_json_end(&builder);
}

static Jsonb *
make_results(const SyncCard *card)
{
	IntegJsonBuilder builder;
	ListCell *cell;

	integ_json_begin_object(&builder);
	foreach (cell, card->sources)
	{
		const CardSource *asked = lfirst(cell);
		const Jsonb *records = asked->records;

		if (records == NULL)
			continue;
		if (asked->single && JB_ROOT_COUNT(records) == 1)
			integ_json_add(&builder, asked->name, getIthJsonbValueFromContainer((JsonbContainer *) &records->root, 0));
		else
			integ_json_add_jsonb(&builder, asked->name, records);
	}
	return integ_json_end(&builder);
}

static Jsonb *
make_failed(const SyncCard *card)
{
	IntegJsonBuilder builder;
	ListCell *cell;
	JsonbValue failed;

	integ_json_begin_object(&builder);
	integ_json_open_array(&builder, "failed");
	foreach (cell, card->sources)
	{
		const CardSource *asked = lfirst(cell);

		if (asked->records != NULL)
			continue;
		integ_json_open_object(&builder, NULL);
		integ_json_add_string(&builder, "source", asked->name);
		integ_json_add_string(&builder, "error", asked->error);
		integ_json_close(&builder);
	}
	integ_json_close(&builder);
	(void) integ_json_get(&integ_json_end(&builder)->root, "failed", &failed);
	return integ_json_value_jsonb(&failed);
}

/* The task's card of before, locked; false: there is none, or each run makes one of its own. In an owner scope. */
static bool
find_card(const SyncEngine *engine, pg_uuid_t *id)
{
	static IntegQuery query = {
		"SELECT r.id FROM integ.records r WHERE r.type = 'card' AND r.client_id = $1 AND r.context_type = $2"
		" AND r.context_id IS NOT DISTINCT FROM $3 AND r.deleted_at IS NULL"
		" AND r.data @> pg_catalog.jsonb_build_object('source_id', $4) ORDER BY r.created_at DESC LIMIT 1 FOR UPDATE",
		4,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	const IntegSyncRun *run = engine->run;
	const char *keep = integ_json_get_string(&engine->card->plan->root, "keep");
	char nulls[] = "    ";
	bool isnull;
	Datum values[4] = {CStringGetTextDatum(run->client_id), CStringGetTextDatum(run->context_type),
					   integ_value_text(run->context_id, &nulls[2]), CStringGetTextDatum(run->task_id)};

	if ((keep != NULL && strcmp(keep, "all") == 0) || integ_query(&query, values, nulls) == 0)
		return false;
	*id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	return true;
}

static bool
update_card(const pg_uuid_t *id, const Jsonb *data)
{
	static IntegQuery query = {"UPDATE integ.records r SET data = r.data || $2, updated_at = pg_catalog.now()"
							   " WHERE r.id = $1 AND r.data || $2 IS DISTINCT FROM r.data",
							   2,
							   {UUIDOID, JSONBOID}};
	Datum values[2] = {UUIDPGetDatum(id), JsonbPGetDatum(data)};

	return integ_query(&query, values, NULL) > 0;
}

static void
insert_card(const SyncEngine *engine, const Jsonb *data)
{
	static IntegQuery query = {
		"INSERT INTO integ.records (type, data, client_id, context_type, context_id, created_by)"
		" VALUES ('card', $1, $2, $3, $4, $5)",
		5,
		{JSONBOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	const IntegSyncRun *run = engine->run;
	char nulls[] = "     ";
	Datum values[5] = {JsonbPGetDatum(data), CStringGetTextDatum(run->client_id),
					   CStringGetTextDatum(run->context_type), integ_value_text(run->context_id, &nulls[3]),
					   CStringGetTextDatum(engine->owner_name)};

	(void) integ_query(&query, values, nulls);
}

static void
write_card(SyncEngine *engine, const Jsonb *data)
{
	IntegSyncCounters *counters = &engine->run->counters;
	IntegOwnerScope scope;
	pg_uuid_t id;

	integ_owner_enter(&scope);
	if (!find_card(engine, &id))
	{
		counters->created++;
		if (!engine->run->dry_run)
			insert_card(engine, data);
	}
	else if (engine->run->dry_run || update_card(&id, data))
		counters->updated++;
	else
		counters->unchanged++;
	integ_owner_leave(&scope);
}

void
card_store(SyncEngine *engine)
{
	IntegSyncCounters kept = engine->run->counters;
	Jsonb *data;

	engine->stage = SYNC_STAGE_STORING;
	engine->run->phase = INTEG_SYNC_SAVING;
	sync_begin();
	MemoryContextSwitchTo(engine->context);
	data = integ_card_make(make_request(engine), make_results(engine->card), make_failed(engine->card));
	if (engine->run->dry_run)
		engine->run->difference = data;
	write_card(engine, data);
	engine->run->counters.pages++;
	engine->run->counters.processed++;
	if (integ_sync_save(engine->run))
		sync_commit();
	else
	{
		AbortOutOfAnyTransaction();
		engine->run->counters = kept;
	}
	MemoryContextSwitchTo(engine->context);
}
