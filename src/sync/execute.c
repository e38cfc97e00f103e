/*
 * One execution: its sources, one after the other.
 */
#include "sync/engine.h"

#include "access/xact.h"
#include "cards/collect.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "miscadmin.h"
#include "sync/list.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* --- transactions --- */

void
sync_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
sync_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* --- how it ended --- */

/* Errors that the task meets again as long as it, its schema or its target are as they are. */
static bool
is_definition(const SyncEngine *engine, int sqlerrcode)
{
	switch (sqlerrcode)
	{
		case ERRCODE_INTEG_INVALID:
			return true;
		case ERRCODE_INTEG_FORBIDDEN:
		case ERRCODE_INTEG_NOT_FOUND:
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_UNDEFINED_FUNCTION:
			return engine->stage != SYNC_STAGE_FETCHING;
		default:
			return false;
	}
}

/* In the context of the run. */
static IntegSyncOutcome
failure(const SyncEngine *engine, const ErrorData *error)
{
	return (IntegSyncOutcome){.status = INTEG_SYNC_FAILED,
							  .sqlerrcode = error->sqlerrcode,
							  .message = error->message,
							  .detail = error->detail,
							  .hint = error->hint,
							  .is_definition = is_definition(engine, error->sqlerrcode),
							  .is_mismatch = engine->mismatch,
							  .retry_at = engine->retry_at};
}

/* The error of a step, its transaction ended, in the context of the run. An interrupt that ends the process goes on. */
static ErrorData *
take_error(SyncEngine *engine)
{
	ErrorData *error;

	MemoryContextSwitchTo(engine->context);
	error = CopyErrorData();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(engine->context);
	if (error->sqlerrcode == ERRCODE_OUT_OF_MEMORY)
		ReThrowError(error);
	return error;
}

/* --- the sources --- */

static void
plan(SyncEngine *engine, SyncSource **sources)
{
	const IntegSyncRun *run = engine->run;

	engine->stage = SYNC_STAGE_PLANNING;
	sync_begin();
	MemoryContextSwitchTo(engine->context);
	engine->actor = integ_actor_rebuild(run->owner, run->client_id, run->user_id);
	engine->owner_name = GetUserNameFromId(run->owner, false);
	if (run->direction == INTEG_SYNC_PUSH)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the sync task \"%s\" pushes", run->task_id),
						errdetail("This version of integ synchronizes from the service to here."),
						errhint("UPDATE integ.sync_tasks SET direction = 'pull'.")));
	engine->keeps_values = run->direction == INTEG_SYNC_BIDIRECTIONAL;
	engine->card = card_begin(run);
	for (int i = 0; i < run->nsources; i++)
		sources[i] = sync_source_plan(engine, &run->sources[i]);
	sync_commit();
	MemoryContextSwitchTo(engine->context);
}

/* A source that failed beside others that did not is told, and the run goes on. */
static void
report_source(SyncEngine *engine, const SyncSource *source, const ErrorData *error)
{
	IntegSyncError row = {.phase = INTEG_SYNC_FETCHING,
						  .external_type = source->entity,
						  .sqlerrcode = error->sqlerrcode,
						  .reason = psprintf("%s: %s", source->name, error->message),
						  .recoverable = true,
						  .instance = &source->instance};

	sync_begin();
	integ_sync_error_add(engine->run, &row);
	integ_sync_log(engine->run, "error", psprintf("the source \"%s\" failed: %s", source->name, error->message), NULL);
	sync_commit();
	MemoryContextSwitchTo(engine->context);
}

/* NULL, or why the source was not read to its end. */
static ErrorData *
read_source(SyncEngine *engine, SyncSource *source)
{
	ErrorData *volatile error = NULL;

	engine->source = source;
	engine->mismatch = false;
	PG_TRY();
	{
		if (engine->card != NULL)
			card_read(engine);
		else
			sync_list_read(engine);
	}
	PG_CATCH();
	{
		error = take_error(engine);
	}
	PG_END_TRY();
	sync_list_close(engine);
	return error;
}

static bool
is_stopped(const SyncEngine *engine)
{
	return engine->run->lost || engine->run->stop != INTEG_SYNC_GO_ON;
}

/*
 * A page that is stored while its task is deleted fails with a foreign key, before the worker is told to stop: the run
 * was cancelled, and has not failed.
 */
static void
look_for_cancel(const SyncEngine *engine)
{
	static IntegQuery query = {
		"SELECT FROM integ.sync_executions_open WHERE id = $1 AND cancel_requested", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(&engine->run->id);
	IntegOwnerScope scope;

	if (integ_sync_should_stop(engine->run))
		return;
	sync_begin();
	integ_owner_enter(&scope);
	if (integ_query(&query, &value, NULL) > 0)
		engine->run->stop = INTEG_SYNC_CANCELLED;
	integ_owner_leave(&scope);
	sync_commit();
	MemoryContextSwitchTo(engine->context);
}

static IntegSyncOutcome
read_sources(SyncEngine *engine, SyncSource **sources)
{
	int count = engine->run->nsources, failed = 0;
	IntegSyncOutcome outcome = {.status = INTEG_SYNC_SUCCESS};

	for (int i = 0; i < count && !is_stopped(engine); i++)
	{
		ErrorData *error = read_source(engine, sources[i]);

		if (error != NULL)
			look_for_cancel(engine);
		else
			(void) integ_sync_should_stop(engine->run);
		if (error == NULL || is_stopped(engine))
			continue;
		failed++;
		outcome = failure(engine, error);
		if (engine->card != NULL)
			card_note_failure(engine, error->message);
		if (count > 1)
			report_source(engine, sources[i], error);
	}
	if (is_stopped(engine))
		return (IntegSyncOutcome){.status = INTEG_SYNC_STOPPED};
	if (failed == 0 && engine->warning != NULL)
		outcome = (IntegSyncOutcome){
			.status = INTEG_SYNC_PARTIAL, .message = engine->warning, .hint = engine->warning_hint};
	else if (failed > 0 && failed < count)
		outcome.status = INTEG_SYNC_PARTIAL;
	else if (failed == 0 && engine->run->counters.failed > 0)
		outcome = (IntegSyncOutcome){
			.status = INTEG_SYNC_PARTIAL,
			.message = psprintf("%lld record%s could not be stored", (long long) engine->run->counters.failed,
								engine->run->counters.failed == 1 ? "" : "s"),
			.hint = "SELECT * FROM integ.sync_errors tells which, and why."};
	return outcome;
}

/* What the sources of a card gave becomes one, unless this execution has made it before it was interrupted. */
static IntegSyncOutcome
store_card(SyncEngine *engine, const IntegSyncOutcome *collected)
{
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		if (!engine->run->resumed || engine->run->counters.pages == 0)
			card_store(engine);
	}
	PG_CATCH();
	{
		error = take_error(engine);
	}
	PG_END_TRY();
	if (is_stopped(engine))
		return (IntegSyncOutcome){.status = INTEG_SYNC_STOPPED};
	return error == NULL ? *collected : failure(engine, error);
}

static SyncEngine *
make_engine(IntegSyncRun *run)
{
	MemoryContext context = AllocSetContextCreate(run->context, "integ sync", ALLOCSET_DEFAULT_SIZES);
	SyncEngine *engine;

	MemoryContextSwitchTo(context);
	engine = palloc0(sizeof(SyncEngine));
	engine->run = run;
	engine->context = context;
	engine->page_context = AllocSetContextCreate(context, "integ sync page", ALLOCSET_DEFAULT_SIZES);
	run->engine = engine;
	return engine;
}

IntegSyncOutcome
integ_sync_execute(IntegSyncRun *run)
{
	MemoryContext old = CurrentMemoryContext;
	SyncEngine *engine = make_engine(run);
	SyncSource **sources = palloc0(run->nsources * sizeof(SyncSource *));
	ErrorData *volatile error = NULL;
	IntegSyncOutcome outcome;

	PG_TRY();
	{
		plan(engine, sources);
	}
	PG_CATCH();
	{
		error = take_error(engine);
	}
	PG_END_TRY();
	outcome = error != NULL ? failure(engine, error) : read_sources(engine, sources);
	if (engine->card != NULL && (outcome.status == INTEG_SYNC_SUCCESS || outcome.status == INTEG_SYNC_PARTIAL))
		outcome = store_card(engine, &outcome);
	else if (run->dry_run && outcome.status != INTEG_SYNC_STOPPED)
		run->difference = sync_difference_document(engine);
	MemoryContextSwitchTo(old);
	return outcome;
}
