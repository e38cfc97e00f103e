/*
 * A page and the cursor behind it: one transaction, whatever happens.
 */
#include "sync/store.h"

#include "access/xact.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "sync/fetch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

/* How often a page is stored anew after a deadlock or a lock that was not had in time. */
#define MOST_ATTEMPTS 5

/* Before it is. */
#define PAUSE_MS 200

/*
 * The table stays as it is while the page is written; what changed since the last one is taken up. Locks and rights
 * are the owner's.
 */
static void
hold_target(SyncEngine *engine)
{
	MemoryContext old;

	if (OidIsValid(engine->target->relation))
		LockRelationOid(engine->target->relation, RowExclusiveLock);
	else
		AcceptInvalidationMessages();
	if (sync_target_is_current(engine->target, &engine->source->schema))
		return;
	sync_target_close(engine->target);
	engine->target = NULL;
	old = MemoryContextSwitchTo(engine->context);
	engine->target = sync_target_open(&engine->source->schema);
	MemoryContextSwitchTo(old);
	if (OidIsValid(engine->target->relation))
		LockRelationOid(engine->target->relation, RowExclusiveLock);
}

/* What a transaction that is rolled back must not leave changed. */
typedef struct Kept
{
	IntegSyncCounters counters;
	SyncMark newest, held;
	int differences;
} Kept;

static Kept
keep(const SyncEngine *engine)
{
	return (Kept){.counters = engine->run->counters,
				  .newest = engine->newest,
				  .held = engine->held,
				  .differences = list_length(engine->differences)};
}

static void
restore(SyncEngine *engine, const Kept *kept)
{
	engine->run->counters = kept->counters;
	engine->newest = kept->newest;
	engine->held = kept->held;
	engine->differences = list_truncate(engine->differences, kept->differences);
}

/*
 * What fails with the commit is a constraint or a trigger that waited for it, of another table perhaps: the next time
 * it is made to speak while it is known whose record it is about.
 */
static bool
learns_of_deferred(SyncEngine *engine)
{
	bool learns = engine->target != NULL && !engine->target->deferrable;

	if (learns)
		engine->target->deferrable = true;
	return learns;
}

/* NULL, or the error that may pass; any other is raised. */
static ErrorData *
try(SyncEngine *engine, SyncStoreStep step, void *arg)
{
	Kept kept = keep(engine);
	ErrorData *volatile error = NULL;
	volatile bool commits = false;

	PG_TRY();
	{
		sync_begin();
		MemoryContextSwitchTo(engine->page_context);
		hold_target(engine);
		step(engine, arg);
		if (!integ_sync_save(engine->run))
			AbortOutOfAnyTransaction();
		else
		{
			commits = true;
			sync_commit();
		}
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(engine->context);
		restore(engine, &kept);
		error = CopyErrorData();
		if (!sync_error_passes(error->sqlerrcode) && !(commits && learns_of_deferred(engine)))
			PG_RE_THROW();
		FlushErrorState();
		AbortOutOfAnyTransaction();
	}
	PG_END_TRY();
	if (engine->run->lost)
		restore(engine, &kept);
	MemoryContextSwitchTo(engine->context);
	MemoryContextReset(engine->page_context);
	return error;
}

bool
sync_store(SyncEngine *engine, SyncStoreStep step, void *arg)
{
	ErrorData *error;
	int attempts = 0;

	engine->stage = SYNC_STAGE_STORING;
	while ((error = try(engine, step, arg)) != NULL)
	{
		if (++attempts == MOST_ATTEMPTS)
			ReThrowError(error);
		FreeErrorData(error);
		if (!sync_wait(engine, GetCurrentTimestamp() + PAUSE_MS * 1000 * attempts))
			return false;
	}
	engine->stage = SYNC_STAGE_FETCHING;
	return !engine->run->lost && !integ_sync_should_stop(engine->run);
}
