/*
 * integ_status(): every part of integ, how it is, and what to do about it.
 *
 * It answers without the preload too: what is missing is what it is for.
 */
#include "operate/operate.h"
#include "operate/status.h"

#include "access/actor.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/workers.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "oauth/state.h"
#include "postmaster/bgworker_internals.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "vault/state.h"

PG_FUNCTION_INFO_V1(integ_status);
PG_FUNCTION_INFO_V1(integ_version);

#define STATUS_COLUMNS 8

/* A refresh has the last fifth of a token's life to succeed in; one that waits longer than this is worth a look. */
#define LATE_REFRESH USECS_PER_MINUTE

void
integ_status_put(ReturnSetInfo *result, const IntegStatusLine *line)
{
	Datum values[STATUS_COLUMNS] = {0};
	bool nulls[STATUS_COLUMNS] = {false};
	char *database = OidIsValid(line->database) ? get_database_name(line->database) : NULL;
	NameData name;

	values[0] = CStringGetTextDatum(line->component);
	nulls[1] = database == NULL;
	if (database != NULL)
		namestrcpy(&name, database);
	values[1] = NameGetDatum(&name);
	values[2] = CStringGetTextDatum(line->state);
	nulls[3] = line->since == 0;
	values[3] = TimestampTzGetDatum(line->since);
	nulls[4] = line->last_error == NULL || line->last_error[0] == '\0';
	values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(line->last_error);
	nulls[5] = line->depth < 0;
	values[5] = Int64GetDatum(line->depth);
	nulls[6] = line->oldest == 0;
	values[6] = nulls[6] ? (Datum) 0
						 : DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(GetCurrentTimestamp()),
											   TimestampTzGetDatum(line->oldest));
	nulls[7] = line->hint == NULL;
	values[7] = nulls[7] ? (Datum) 0 : CStringGetTextDatum(line->hint);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_preload(ReturnSetInfo *result)
{
	IntegStatusLine line = {.component = "preload", .state = "preloaded", .depth = -1};

	if (integ_shared == NULL)
	{
		line.state = "missing";
		line.hint = "Add integ to shared_preload_libraries and restart the server.";
	}
	integ_status_put(result, &line);
}

static void
put_launcher(ReturnSetInfo *result)
{
	IntegStatusLine line = {.component = "launcher", .depth = -1};

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	line.state = integ_shared->launcher_pid != 0 ? "running" : "stopped";
	line.since = integ_shared->launcher_since;
	line.last_error = pstrdup(integ_shared->launcher_error);
	LWLockRelease(integ_shared->lock);
	if (RecoveryInProgress())
	{
		line.state = "standby";
		line.hint = "On a standby nothing runs; it starts after promotion.";
	}
	else if (strcmp(line.state, "stopped") == 0)
		line.hint = "The server starts it again within seconds; if not, look for free background worker slots.";
	integ_status_put(result, &line);
}

static void
put_database_slots(ReturnSetInfo *result)
{
	IntegStatusLine line = {.component = "database slots", .depth = -1};
	int used = 0, refused;

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	for (int i = 0; i < integ_max_databases; i++)
		used += OidIsValid(integ_shared->databases[i].database) ? 1 : 0;
	refused = integ_shared->refused;
	LWLockRelease(integ_shared->lock);
	line.state = psprintf("%d of %d used", used, integ_max_databases);
	if (refused > 0)
		line.hint = "A database with integ found no slot: raise integ.max_databases and restart the server.";
	integ_status_put(result, &line);
}

static bool
lacks_worker_slot(const char *error)
{
	return strstr(error, "no free background worker slot") != NULL;
}

static void
put_worker_slots(ReturnSetInfo *result)
{
	IntegStatusLine line = {.component = "worker slots", .depth = -1};
	int wanted = 1;
	bool lacking;

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	lacking = lacks_worker_slot(integ_shared->launcher_error);
	for (int i = 0; i < integ_max_databases; i++)
	{
		IntegDatabase *slot = &integ_shared->databases[i];

		if (!OidIsValid(slot->database))
			continue;
		wanted += 2 + integ_dispatchers;
		lacking |= slot->state == INTEG_DATABASE_WAITING && lacks_worker_slot(slot->last_error);
	}
	LWLockRelease(integ_shared->lock);
	line.state = psprintf("%d wanted, max_worker_processes is %d", wanted, max_worker_processes);
	if (lacking || wanted > max_worker_processes)
		line.hint = "Raise max_worker_processes and restart the server; until then integ tries again every ten seconds.";
	integ_status_put(result, &line);
}

static const char *
state_name(IntegDatabaseState state)
{
	switch (state)
	{
		case INTEG_DATABASE_FREE:
			break;
		case INTEG_DATABASE_WAITING:
			return "waiting";
		case INTEG_DATABASE_STARTING:
			return "starting";
		case INTEG_DATABASE_RUNNING:
			return "running";
		case INTEG_DATABASE_STOPPING:
			return "stopping";
		case INTEG_DATABASE_STOPPED:
			return "stopped";
	}
	return "missing";
}

static const char *
keeper_hint(const IntegDatabase *slot)
{
	if (slot->state == INTEG_DATABASE_WAITING && lacks_worker_slot(slot->last_error))
		return "All max_worker_processes are in use: raise it and restart the server.";
	if (slot->state == INTEG_DATABASE_WAITING && slot->failures > 0)
		return "It failed and is started again after a pause; the server log has the reason.";
	if (slot->state == INTEG_DATABASE_STOPPED)
		return "A command on the database keeps it away until it ends.";
	return NULL;
}

static void
put_recorder(ReturnSetInfo *result, IntegDatabase *slot)
{
	IntegStatusLine line = {.component = "recorder", .database = slot->database};
	IntegRing ring;
	int in_flight;

	LWLockAcquire(slot->lock, LW_SHARED);
	ring = slot->ring;
	in_flight = slot->in_flight;
	LWLockRelease(slot->lock);
	line.state = ring.stalled ? "full" : ring.head > ring.tail ? "writing"
															   : "idle";
	line.depth = (int64) (ring.queued - ring.settled);
	line.oldest = ring.oldest;
	if (ring.stalled)
		line.hint = "Entries are being lost (a gap row will say how many): see the keeper's last error; "
					"raise integ.log_buffer if it only lags.";
	integ_status_put(result, &line);
	line = (IntegStatusLine){.component = "writes under way", .database = slot->database, .depth = in_flight};
	line.state = psprintf("%d of %d outcome slots used", in_flight, integ_shmem_outcomes());
	integ_status_put(result, &line);
}

static void
put_dispatchers(ReturnSetInfo *result, const IntegDatabase *copy)
{
	IntegStatusLine line = {.component = "dispatchers", .database = copy->database, .depth = -1};
	int running = 0, failures = 0;

	for (int i = 0; i < INTEG_MAX_DISPATCHERS; i++)
	{
		const IntegDispatcherSlot *slot = &copy->dispatch.slots[i];

		running += slot->pid != 0 ? 1 : 0;
		failures += slot->failures;
		if (slot->pid != 0)
			line.since = Max(line.since, slot->since);
	}
	line.state = psprintf("%d of %d running", running, integ_dispatchers);
	if (integ_dispatchers == 0)
		line.hint = "Durable calls wait: set integ.dispatchers in postgresql.conf and reload.";
	else if (running < integ_dispatchers && failures > 0)
		line.hint = "One failed and is started again after a pause; the server log has the reason.";
	integ_status_put(result, &line);
}

static void
put_handlers(ReturnSetInfo *result, const IntegDatabase *copy)
{
	IntegStatusLine line = {.component = "handler workers", .database = copy->database};

	for (int i = 0; i < INTEG_MAX_HANDLER_REQUESTS; i++)
		line.depth += copy->handlers.requests[i].state == INTEG_REQUEST_WAITING ? 1 : 0;
	line.state = psprintf("%d of %d running", INTEG_WORKERS_RUNNING(copy->handlers.slots), integ_max_handler_workers);
	if (integ_max_handler_workers == 0)
		line.hint = "Functions of users are not called: set integ.max_handler_workers in postgresql.conf and reload.";
	else if (copy->handlers.crowded)
		line.hint = "An owner waits for a worker: raise integ.max_handler_workers if it stays so.";
	integ_status_put(result, &line);
}

/* Nothing where the database does not listen. */
static void
put_listeners(ReturnSetInfo *result, const IntegDatabase *copy)
{
	IntegStatusLine line = {.component = "listeners", .database = copy->database, .depth = -1};
	int running = 0, failures = 0, port = 0;

	for (int i = 0; i < INTEG_MAX_LISTENERS; i++)
	{
		const IntegListenerSlot *slot = &copy->listeners.slots[i];

		running += slot->pid != 0 ? 1 : 0;
		failures += slot->failures;
		port = Max(port, slot->port);
		if (slot->pid != 0)
			line.since = Max(line.since, slot->since);
	}
	if (running == 0 && failures == 0)
		return;
	line.state = psprintf("%d of %d running, port %d", running, integ_listeners, port);
	if (running < integ_listeners && failures > 0)
		line.hint = "One failed and is started again after a pause; the server log has the reason.";
	integ_status_put(result, &line);
}

static void
put_sync_workers(ReturnSetInfo *result, const IntegDatabase *copy)
{
	IntegStatusLine line = {.component = "sync workers", .database = copy->database, .depth = -1};

	line.state = psprintf("%d of %d running", INTEG_WORKERS_RUNNING(copy->sync.slots), integ_max_sync_workers);
	if (integ_max_sync_workers == 0)
		line.hint = "Sync tasks do not run: set integ.max_sync_workers in postgresql.conf and reload.";
	else if (copy->sync.lacking)
		line.hint = "All max_worker_processes are in use: raise it and restart the server; "
					"integ tries again every ten seconds.";
	integ_status_put(result, &line);
}

static void
put_database(ReturnSetInfo *result, IntegDatabase *slot)
{
	IntegDatabase copy;
	IntegStatusLine line;

	LWLockAcquire(integ_shared->lock, LW_SHARED);
	memcpy(&copy, slot, sizeof(copy));
	LWLockRelease(integ_shared->lock);
	if (!OidIsValid(copy.database))
		return;
	line = (IntegStatusLine){.component = "keeper", .database = copy.database, .depth = -1};
	line.state = state_name(copy.state);
	line.since = copy.since;
	line.last_error = copy.last_error;
	line.hint = keeper_hint(&copy);
	integ_status_put(result, &line);
	put_recorder(result, slot);
	line = (IntegStatusLine){.component = "maintenance worker", .database = copy.database, .depth = -1};
	line.state = copy.maintenance_pid != 0 ? "running" : "idle";
	line.since = copy.maintenance_since;
	integ_status_put(result, &line);
	put_dispatchers(result, &copy);
	put_handlers(result, &copy);
	put_listeners(result, &copy);
	put_sync_workers(result, &copy);
}

static void
put_this_keeper(ReturnSetInfo *result)
{
	IntegStatusLine line = {.component = "keeper", .database = MyDatabaseId, .state = "missing", .depth = -1};

	if (integ_shmem_mine() != NULL)
		return;
	if (RecoveryInProgress())
		line.state = "standby";
	else
		line.hint = "The launcher finds the database within a minute; see the database slots.";
	integ_status_put(result, &line);
}

static void
put_held(ReturnSetInfo *result)
{
	IntegStatusLine line = {.component = "held", .database = MyDatabaseId, .state = "no", .depth = -1};
	bool exists;

	if (RecoveryInProgress())
		return;
	line.last_error = integ_identity_problem(&exists);
	if (line.last_error[0] != '\0')
	{
		line.state = "yes";
		line.hint = "If this database is to act from now on, call integ_resume() as a superadmin.";
	}
	if (integ_hold)
	{
		line.state = "yes";
		line.last_error = "integ.hold is on";
		line.hint = "Set integ.hold = off in postgresql.conf and reload, once requests may leave.";
	}
	integ_status_put(result, &line);
}

static void
put_master_key(ReturnSetInfo *result)
{
	IntegVaultState vault = integ_vault_state();
	IntegStatusLine line = {.component = "master key",
							.state = vault.state,
							.last_error = vault.problem,
							.depth = -1,
							.hint = vault.hint};

	integ_status_put(result, &line);
}

static void
put_partitions(ReturnSetInfo *result)
{
	static IntegQuery count = {
		"SELECT pg_catalog.count(DISTINCT pg_catalog.right(c.relname::pg_catalog.text, 8))"
		"   FILTER (WHERE c.relname ~ '_[0-9]{8}$'),"
		" (SELECT pg_catalog.string_agg(name || ': ' || last_error, '; ' ORDER BY name) FROM integ.maintenance_jobs"
		"   WHERE last_error IS NOT NULL),"
		" EXISTS (SELECT FROM pg_catalog.pg_class t WHERE t.relnamespace = 'integ'::regnamespace AND t.relname ="
		"   'requests_' || pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYYMMDD'))"
		" FROM pg_catalog.pg_class c WHERE c.relnamespace = 'integ'::regnamespace AND c.relispartition"
		" AND c.relkind = 'r'",
		0};
	IntegStatusLine line = {.component = "partitions", .database = MyDatabaseId, .depth = -1};
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	bool today;

	integ_owner_enter(&scope);
	integ_query(&count, NULL, NULL);
	line.state = MemoryContextStrdup(context, psprintf(INT64_FORMAT " days", integ_result_int8(0, 1)));
	line.last_error = integ_result_text(0, 2, context);
	today = integ_result_bool(0, 3);
	integ_owner_leave(&scope);
	if (!today)
		line.hint = "Today has no partition: rows go to the default one until the job \"partitions\" in "
					"integ.maintenance_jobs has run.";
	else if (line.last_error != NULL)
		line.hint = "A maintenance job failed: see integ.maintenance_jobs; next_run_at = now() runs it again.";
	integ_status_put(result, &line);
}

static void
put_tokens(ReturnSetInfo *result, const IntegActor *actor)
{
	IntegOauthState oauth = integ_oauth_state(actor);
	IntegStatusLine line = {.component = "tokens",
							.database = MyDatabaseId,
							.last_error = oauth.last_error,
							.depth = oauth.due,
							.oldest = oauth.due_since};

	line.state = psprintf(INT64_FORMAT " kept, " INT64_FORMAT " expire within 10 minutes, " INT64_FORMAT " expired",
						  oauth.tokens, oauth.expiring, oauth.expired);
	if (oauth.due > 0 && GetCurrentTimestamp() - oauth.due_since > LATE_REFRESH)
		line.hint = "Refreshes are late: look at the dispatchers; if they run, raise integ.refresh_concurrency.";
	else if (oauth.last_error != NULL)
		line.hint = "integ.oauth_tokens has each failure, and when it is tried again (refresh_at).";
	integ_status_put(result, &line);

	line = (IntegStatusLine){.component = "authorizations",
							 .database = MyDatabaseId,
							 .last_error = oauth.person_error,
							 .depth = oauth.persons,
							 .oldest = oauth.persons_since};
	line.state = oauth.persons > 0 ? "a person is needed" : "complete";
	if (oauth.persons > 0)
		line.hint = "SELECT instance_id, last_error FROM integ.instances WHERE status = 'reauth_required'; "
					"integ_oauth_start authorizes again.";
	integ_status_put(result, &line);
}

Datum
integ_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "read the status");

	InitMaterializedSRF(fcinfo, 0);
	put_preload(result);
	if (integ_shared != NULL)
	{
		put_launcher(result);
		put_database_slots(result);
		put_worker_slots(result);
		put_this_keeper(result);
		for (int i = 0; i < integ_max_databases; i++)
		{
			IntegDatabase *slot = &integ_shared->databases[i];

			/* Other databases are the business of who manages the cluster. */
			if (actor->level == INTEG_LEVEL_SUPERADMIN || slot->database == MyDatabaseId)
				put_database(result, slot);
		}
	}
	put_held(result);
	put_master_key(result);
	put_partitions(result);
	integ_status_put_queues(result, actor);
	put_tokens(result, actor);
	return (Datum) 0;
}

Datum
integ_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(INTEG_VERSION));
}
