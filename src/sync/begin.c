/*
 * A worker takes an execution: it is running from then on, and everything that
 * the engine needs to know of the task is read at the same moment.
 */
#include "sync/lifecycle.h"

#include "access/actor.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static pg_uuid_t
uuid_result(uint64 row, int column, bool *found)
{
	pg_uuid_t id = {0};
	bool isnull;
	Datum value = integ_result_datum(row, column, &isnull);

	*found = !isnull;
	if (!isnull)
		id = *DatumGetUUIDP(value);
	return id;
}

/* False where it is not to run now: cancelled, taken, or another execution of its task runs. */
static bool
claim(IntegSyncRun *run)
{
	static IntegQuery take = {
		"UPDATE integ.sync_executions_open e SET status = 'running', lease = $2, reason = NULL,"
		" started_at = COALESCE(started_at, pg_catalog.clock_timestamp()), phase = COALESCE(phase, 'fetching')"
		" WHERE id = $1 AND status = 'queued' AND NOT cancel_requested"
		" AND NOT EXISTS (SELECT FROM integ.sync_executions_open r WHERE r.task = e.task AND r.status = 'running')"
		" RETURNING created_at, task, trigger, dry_run, resumed > 0, retry_of, options, records,"
		" pages, COALESCE(total_records, -1), processed_records, fetched, created, updated, unchanged, skipped,"
		" deleted, failed, difference",
		2,
		{UUIDOID, INT8OID}};
	Datum values[] = {UUIDPGetDatum(&run->id), Int64GetDatum(run->lease)};
	bool isnull;

	if (integ_query(&take, values, NULL) == 0)
		return false;
	run->created_at = integ_result_time(0, 1);
	run->task = uuid_result(0, 2, &isnull);
	run->trigger = integ_result_text(0, 3, run->context);
	run->dry_run = integ_result_bool(0, 4);
	run->resumed = integ_result_bool(0, 5);
	run->retry_of = uuid_result(0, 6, &run->has_retry_of);
	run->options = (Jsonb *) integ_result_varlena(0, 7, run->context);
	run->records = (Jsonb *) integ_result_varlena(0, 8, run->context);
	run->counters = (IntegSyncCounters){.pages = integ_result_int8(0, 9),
										.total = integ_result_int8(0, 10),
										.processed = integ_result_int8(0, 11),
										.fetched = integ_result_int8(0, 12),
										.created = integ_result_int8(0, 13),
										.updated = integ_result_int8(0, 14),
										.unchanged = integ_result_int8(0, 15),
										.skipped = integ_result_int8(0, 16),
										.deleted = integ_result_int8(0, 17),
										.failed = integ_result_int8(0, 18)};
	run->difference = (Jsonb *) integ_result_varlena(0, 19, run->context);
	return true;
}

static IntegSyncDirection
direction_of(const char *name)
{
	if (strcmp(name, "push") == 0)
		return INTEG_SYNC_PUSH;
	return strcmp(name, "bidirectional") == 0 ? INTEG_SYNC_BIDIRECTIONAL : INTEG_SYNC_PULL;
}

static void
read_source(IntegSyncRun *run, IntegSyncSource *source, uint64 row)
{
	source->position = (int) integ_result_int8(row, 1);
	source->name = integ_result_text(row, 2, run->context);
	source->instance = uuid_result(row, 3, &source->has_instance);
	source->schema = uuid_result(row, 4, &source->has_schema);
	source->entity = integ_result_text(row, 5, run->context);
	source->method = integ_result_text(row, 6, run->context);
	source->config = (Jsonb *) integ_result_varlena(row, 7, run->context);
}

/* The task itself where it has no row of integ.sync_task_sources. */
static void
load_sources(IntegSyncRun *run)
{
	static IntegQuery find = {
		"SELECT s.position::bigint, s.name, s.instance, COALESCE(s.schema, t.schema), s.entity, s.method,"
		" t.config || s.config FROM integ.sync_tasks t JOIN integ.sync_task_sources s ON s.task = t.id"
		" WHERE t.id = $1"
		" UNION ALL SELECT 0, NULL, t.instance, t.schema, t.entity, t.method, t.config FROM integ.sync_tasks t"
		" WHERE t.id = $1 AND NOT EXISTS (SELECT FROM integ.sync_task_sources s WHERE s.task = t.id) ORDER BY 1",
		1,
		{UUIDOID}};
	Datum task = UUIDPGetDatum(&run->task);
	uint64 count = integ_query(&find, &task, NULL);
	IntegSyncSource *sources = MemoryContextAllocZero(run->context, Max(count, 1) * sizeof(IntegSyncSource));

	for (uint64 i = 0; i < count; i++)
		read_source(run, &sources[i], i);
	run->sources = sources;
	run->nsources = (int) count;
}

/* False where the task is gone. */
static bool
load_task(IntegSyncRun *run)
{
	static IntegQuery find = {
		"SELECT task_id, client_id, context_type, context_id, owner::oid::bigint, direction, config"
		" FROM integ.sync_tasks WHERE id = $1",
		1,
		{UUIDOID}};
	Datum task = UUIDPGetDatum(&run->task);

	if (integ_query(&find, &task, NULL) == 0)
		return false;
	run->task_id = integ_result_text(0, 1, run->context);
	run->client_id = integ_result_text(0, 2, run->context);
	run->context_type = integ_result_text(0, 3, run->context);
	run->context_id = integ_result_text(0, 4, run->context);
	run->owner = (Oid) integ_result_int8(0, 5);
	run->direction = direction_of(integ_result_text(0, 6, run->context));
	run->config = (Jsonb *) integ_result_varlena(0, 7, run->context);
	load_sources(run);
	return true;
}

/* It changed hands since it was queued: another worker's session is to run it. */
static void
pass_on(const IntegSyncRun *run)
{
	static IntegQuery back = {
		"UPDATE integ.sync_executions_open SET status = 'queued', lease = NULL, owner = $2::pg_catalog.regrole WHERE id = $1",
		2,
		{UUIDOID, OIDOID}};
	Datum values[] = {UUIDPGetDatum(&run->id), ObjectIdGetDatum(run->owner)};

	(void) integ_query(&back, values, NULL);
	/* It waits with the time that it had. */
	integ_wake_at_commit(INTEG_WAKE_SYNC | INTEG_WAKE_SYNC_MOVED);
}

/* In an owner scope. */
static bool
take(IntegSyncRun *run)
{
	if (!claim(run))
		return false;
	if (!load_task(run))
	{
		pass_on(run);
		integ_sync_close(&run->id, "cancelled", "the task was deleted");
		return false;
	}
	if (run->owner == GetSessionUserId())
		return true;
	pass_on(run);
	return false;
}

static void
tell_started(const IntegSyncRun *run)
{
	const IntegSyncSource *source = &run->sources[0];
	IntegJsonBuilder payload;

	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "execution", integ_uuid_text(&run->id));
	integ_json_add_string(&payload, "task", run->task_id);
	integ_json_add_string(&payload, "trigger", run->trigger);
	integ_json_add_bool(&payload, "dry_run", run->dry_run);
	integ_json_add_bool(&payload, "resumed", run->resumed);
	integ_event_emit("sync.started", run->client_id, source->has_instance ? &source->instance : NULL,
					 integ_json_end(&payload));
}

IntegSyncRun *
integ_sync_begin(const pg_uuid_t *execution, int64 lease)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "integ sync run", ALLOCSET_DEFAULT_SIZES);
	IntegSyncRun *run = MemoryContextAllocZero(context, sizeof(IntegSyncRun));
	const IntegActor *own;
	IntegOwnerScope scope;
	bool taken;

	run->context = context;
	run->id = *execution;
	run->lease = lease;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	own = integ_actor_current();
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	integ_sync_limit_waits();
	taken = take(run);
	if (taken)
		tell_started(run);
	integ_owner_leave(&scope);
	/* The owner acts as itself for its own client, whoever's the task is; else for the user whose it is. */
	if (taken && own->client != NULL && strcmp(own->client, run->client_id) == 0)
		run->user_id = own->user == NULL ? NULL : MemoryContextStrdup(context, own->user);
	else if (taken && strcmp(run->context_type, "user") == 0)
		run->user_id = run->context_id;
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (taken)
		return run;
	MemoryContextDelete(context);
	return NULL;
}
