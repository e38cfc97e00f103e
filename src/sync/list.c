/*
 * Reading a list: from where, page by page, and what follows its end.
 */
#include "sync/list.h"

#include "access/xact.h"
#include "convert/relations.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/uuid.h"
#include "miscadmin.h"
#include "sync/fetch.h"
#include "sync/named.h"
#include "sync/store.h"
#include "utils/memutils.h"

/* --- where it begins --- */

/* Columns of rows whose foreign keys came with another owner's records. */
static void
fill_relations(SyncEngine *engine, void *arg)
{
	(void) integ_relations_fill(engine->run->client_id);
}

typedef struct Beginning
{
	bool resumes;
	const char *since; /* or NULL */
	const char *delta; /* or NULL */
} Beginning;

static bool
same_execution(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a, b, UUID_LEN) == 0;
}

/* A run goes on where it was interrupted, a retry where the one that it repeats failed. */
static bool
goes_on(const SyncEngine *engine)
{
	const SyncCursor *cursor = &engine->cursor;
	const IntegSyncRun *run = engine->run;

	if (cursor->page == NULL || !cursor->current || !cursor->has_execution || run->dry_run)
		return false;
	if (cursor->cut && engine->source->options.incremental)
		return true;
	return same_execution(&cursor->execution, &run->id) ||
		   (run->has_retry_of && same_execution(&cursor->execution, &run->retry_of));
}

static void
begin_anew(SyncEngine *engine, Beginning *beginning)
{
	SyncCursor *cursor = &engine->cursor;
	const SyncSource *source = engine->source;
	bool incremental = source->options.incremental && cursor->current &&
					   !integ_json_get_bool(&engine->run->options->root, "full", false);

	memset(&engine->newest, 0, sizeof(engine->newest));
	memset(&engine->held, 0, sizeof(engine->held));
	cursor->page = NULL;
	cursor->ended = cursor->parts = false;
	beginning->delta = incremental && source->has_delta && !engine->delta_expired ? cursor->delta : NULL;
	if (incremental && source->modified_param != NULL && beginning->delta == NULL)
		beginning->since = sync_cursor_since(engine);
	cursor->full = beginning->delta == NULL && beginning->since == NULL;
	cursor->execution = engine->run->id;
}

static void
choose_beginning(SyncEngine *engine, Beginning *beginning)
{
	pg_uuid_t before;

	beginning->resumes = goes_on(engine) && !engine->page_expired;
	/* In a clone, for one, what was seen is gone: it must not seem to have disappeared at the service. */
	if (beginning->resumes && engine->cursor.full && engine->source->removes && !engine->cursor.parts &&
		!sync_seen_is_whole(engine))
		beginning->resumes = false;
	if (!beginning->resumes)
		begin_anew(engine, beginning);
	engine->sweeps = engine->cursor.full && engine->source->removes && !engine->cursor.parts;
	if (!beginning->resumes)
	{
		if (engine->sweeps)
			sync_seen_begin(engine);
		return;
	}
	before = engine->cursor.execution;
	engine->cursor.execution = engine->run->id;
	if (engine->sweeps && !same_execution(&before, &engine->run->id))
		sync_seen_adopt(engine, &before);
}

static void
log_beginning(const SyncEngine *engine, const Beginning *beginning)
{
	const char *what = "everything is read";

	if (beginning->resumes)
		what = "it goes on behind the page that was stored last";
	else if (beginning->delta != NULL)
		what = "what has changed since the service's token is read";
	else if (beginning->since != NULL)
		what = psprintf("what was modified since %s is read", beginning->since);
	integ_sync_log(engine->run, "info", psprintf("%s: %s", engine->source->name, what), NULL);
}

static void
open_list(SyncEngine *engine, const Beginning *beginning)
{
	SyncSource *source = engine->source;
	const IntegMethod *method = sync_source_method(engine, source, source->method);
	bool in_input = source->delta_param != NULL;
	const Jsonb *input = sync_source_input(source, method, beginning->since, beginning->delta, NULL);

	engine->fetch = sync_fetch_open(engine, source->method, input, beginning->resumes ? engine->cursor.page : NULL,
									in_input ? NULL : beginning->delta);
}

/* False where there is nothing to read: this execution is through with the source already. */
static bool
open_source(SyncEngine *engine, Beginning *beginning)
{
	memset(beginning, 0, sizeof(*beginning));
	engine->stage = SYNC_STAGE_PLANNING;
	engine->taken = 0;
	sync_begin();
	MemoryContextSwitchTo(engine->context);
	if (engine->target == NULL)
		engine->target = sync_target_open(&engine->source->schema);
	sync_cursor_read(engine);
	if (engine->run->resumed && engine->cursor.done)
	{
		sync_commit();
		return false;
	}
	choose_beginning(engine, beginning);
	log_beginning(engine, beginning);
	if (!engine->cursor.ended)
		open_list(engine, beginning);
	sync_commit();
	MemoryContextSwitchTo(engine->context);
	engine->stage = SYNC_STAGE_FETCHING;
	return true;
}

/* --- pages --- */

/* No more records than the task takes. */
static const Jsonb *
first_of(const Jsonb *list, int64 count)
{
	JsonbParseState *state = NULL;
	IntegJsonWalk walk;
	JsonbValue item;

	if (JB_ROOT_COUNT(list) <= count)
		return list;
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	integ_json_walk_begin(&walk, &list->root);
	while (count-- > 0 && integ_json_walk_element(&walk, &item))
		pushJsonbValue(&state, WJB_ELEM, &item);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static void
require_few_errors(const SyncEngine *engine)
{
	if (engine->run->counters.failed > engine->source->options.max_errors)
		ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
						errmsg_plural("more than %lld record could not be stored", "more than %lld records could not be stored",
									  (unsigned long) engine->source->options.max_errors,
									  (long long) engine->source->options.max_errors),
						errdetail("The run was ended: what is wrong seems to be wrong with all of them."),
						errhint("SELECT * FROM integ.sync_errors tells what; \"maxErrors\" of the task's config is how many"
								" a run takes.")));
}

static void
store_page(SyncEngine *engine, void *arg)
{
	const SyncFetched *fetched = arg;

	engine->run->phase = INTEG_SYNC_SAVING;
	engine->run->counters.pages++;
	if (engine->run->nsources == 1 && fetched->total >= 0)
		engine->run->counters.total = fetched->total;
	sync_page_store(engine, fetched->records);
	if (!engine->run->dry_run)
		sync_cursor_save(engine, fetched->state, fetched->delta);
}

/* How a list came to its end. */
typedef struct Ending
{
	bool stopped;
	bool cut;		   /* by maxResults: at the end of a page, so that the next run may go on there */
	bool short_of_end; /* by anything else than the service */
	const char *delta;
} Ending;

/* Whether the task takes more after this page, which is cut to what it takes. */
static bool
limit_page(SyncEngine *engine, SyncFetched *fetched, Ending *ending)
{
	int64 max = engine->source->options.max_results;
	int64 count = JB_ROOT_COUNT(fetched->records);

	if (max == 0 || engine->taken + count < max)
	{
		engine->taken += count;
		return true;
	}
	ending->short_of_end = fetched->state != NULL || engine->taken + count > max;
	ending->cut = fetched->state != NULL && engine->taken + count == max;
	fetched->records = first_of(fetched->records, max - engine->taken);
	engine->taken = max;
	return false;
}

static void
read_pages(SyncEngine *engine, Ending *ending)
{
	SyncFetched fetched;
	bool more = true;

	while (more)
	{
		engine->run->phase = INTEG_SYNC_FETCHING;
		if (!sync_fetch_next(engine->fetch, &fetched))
		{
			ending->stopped = engine->run->lost || integ_sync_should_stop(engine->run);
			return;
		}
		more = limit_page(engine, &fetched, ending) && fetched.state != NULL && !fetched.cut_short;
		ending->short_of_end = ending->short_of_end || fetched.cut_short;
		ending->delta = fetched.delta == NULL ? NULL : MemoryContextStrdup(engine->context, fetched.delta);
		if (!sync_store(engine, store_page, &fetched))
		{
			ending->stopped = true;
			return;
		}
		engine->stored = true;
		require_few_errors(engine);
	}
}

/* --- after the end --- */

static void
forget_step(SyncEngine *engine, void *arg)
{
	const Jsonb *list = arg != NULL ? arg : sync_seen_next_gone(engine);

	engine->more_gone = list != NULL;
	if (list != NULL)
		sync_page_forget(engine, list);
}

/* What has gone is removed a page at a time. False where the run is to stop. */
static bool
remove_gone(SyncEngine *engine)
{
	do
	{
		if (!sync_store(engine, forget_step, NULL))
			return false;
	} while (engine->more_gone);
	return true;
}

static void
refuse_removal(SyncEngine *engine, int64 gone, int64 live)
{
	MemoryContext old = MemoryContextSwitchTo(engine->context);
	long long percent = engine->source->options.max_delete_percent;

	engine->warning = psprintf("%lld of %lld record%s %s disappeared at the service, which is more than %lld%%:"
							   " none was removed here",
							   (long long) gone, (long long) live, live == 1 ? "" : "s", gone == 1 ? "has" : "have", percent);
	engine->warning_hint = "If that is right, set \"maxDeletePercent\" in the task's config to 100 and run it again.";
	MemoryContextSwitchTo(old);
	integ_sync_log(engine->run, "warn", engine->warning, NULL);
	sync_seen_begin(engine);
}

static void
find_gone_step(SyncEngine *engine, void *arg)
{
	int64 gone, live;

	engine->more_gone = sync_seen_find_gone(engine, &gone, &live);
	if (!engine->more_gone || gone * 100 <= live * engine->source->options.max_delete_percent)
		return;
	engine->more_gone = false;
	refuse_removal(engine, gone, live);
}

static bool
sweep(SyncEngine *engine)
{
	if (!sync_store(engine, find_gone_step, NULL))
		return false;
	return !engine->more_gone || remove_gone(engine);
}

/* The service's own list of what was deleted since the mark. False where the run is to stop. */
static bool
read_deleted(SyncEngine *engine)
{
	SyncSource *source = engine->source;
	const IntegMethod *method;
	const Jsonb *input;
	SyncFetched fetched;
	bool more = true;

	if (source->deleted_method == NULL || engine->cursor.full || !source->removes)
		return true;
	sync_list_close_fetch(engine);
	sync_begin();
	MemoryContextSwitchTo(engine->context);
	method = sync_source_method(engine, source, source->deleted_method);
	input = sync_source_input(source, method, sync_cursor_since(engine), NULL, NULL);
	engine->fetch = sync_fetch_open(engine, source->deleted_method, input, NULL, NULL);
	sync_commit();
	MemoryContextSwitchTo(engine->context);
	while (more && sync_fetch_next(engine->fetch, &fetched))
	{
		more = fetched.state != NULL;
		if (!sync_store(engine, forget_step, unconstify(Jsonb *, fetched.records)))
			return false;
	}
	return !integ_sync_should_stop(engine->run);
}

static void
finish_step(SyncEngine *engine, void *arg)
{
	const Ending *ending = arg;
	bool cut = ending->cut && engine->source->options.incremental;

	engine->run->phase = INTEG_SYNC_COMPLETE;
	if (!engine->run->dry_run && ending->short_of_end && !cut)
		sync_cursor_drop_page(engine);
	else if (!engine->run->dry_run)
		sync_cursor_finish(engine, ending->delta, cut);
	sync_seen_end(engine);
}

/* --- the whole --- */

/* Whether the service has refused a token, or a place in a list, that it gave itself: then it is asked anew. */
static bool
is_expired(const SyncEngine *engine, const Beginning *beginning)
{
	return !engine->stored && (beginning->delta != NULL || beginning->resumes) &&
		   (engine->http_status == 400 || engine->http_status == 404 || engine->http_status == 410);
}

/* False where the list is to be read anew from the beginning. */
static bool
read_list(SyncEngine *engine, const Beginning *beginning, Ending *ending)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool expired = false;

	PG_TRY();
	{
		read_pages(engine, ending);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (engine->stage != SYNC_STAGE_FETCHING || !is_expired(engine, beginning))
			PG_RE_THROW();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
		expired = true;
	}
	PG_END_TRY();
	if (!expired)
		return true;
	engine->delta_expired = engine->delta_expired || beginning->delta != NULL;
	engine->page_expired = engine->page_expired || beginning->resumes;
	sync_begin();
	integ_sync_log(engine->run, "info",
				   beginning->delta != NULL ? "the service's token has expired: everything is read"
											: "the place in the list has expired: it is read from the beginning",
				   NULL);
	sync_commit();
	MemoryContextSwitchTo(context);
	sync_list_close_fetch(engine);
	return false;
}

/* The token that a list ended with before a crash. */
static void
recall_ending(const SyncEngine *engine, Ending *ending)
{
	ending->delta = integ_json_get_string(&engine->cursor.page->root, "delta");
}

void
sync_list_read(SyncEngine *engine)
{
	Ending ending = {0};
	Beginning beginning;

	engine->stored = engine->delta_expired = engine->page_expired = false;
	if (engine->run->records != NULL)
	{
		sync_named_read(engine);
		return;
	}
	if (!open_source(engine, &beginning))
		return;
	if (!engine->run->dry_run && !sync_store(engine, fill_relations, NULL))
		return;
	while (!engine->cursor.ended && !read_list(engine, &beginning, &ending))
		(void) open_source(engine, &beginning);
	if (engine->cursor.ended)
		recall_ending(engine, &ending);
	if (ending.stopped)
		return;
	if (engine->sweeps && !ending.short_of_end && !sweep(engine))
		return;
	if (!ending.short_of_end && !read_deleted(engine))
		return;
	(void) sync_store(engine, finish_step, &ending);
}

void
sync_list_close_fetch(SyncEngine *engine)
{
	if (engine->fetch != NULL)
		sync_fetch_close(engine->fetch);
	engine->fetch = NULL;
}

void
sync_list_close(SyncEngine *engine)
{
	sync_list_close_fetch(engine);
	if (engine->target != NULL)
		sync_target_close(engine->target);
	engine->target = NULL;
}
