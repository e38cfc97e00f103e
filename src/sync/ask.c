/*
 * integ_sync_run, integ_sync_retry: an execution is asked of a worker, so that
 * it is there whatever becomes of the caller's transaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "handlers/handlers.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "pgstat.h"
#include "sync/lifecycle.h"
#include "sync/task.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_sync_run);
PG_FUNCTION_INFO_V1(integ_sync_retry);
PG_FUNCTION_INFO_V1(integ_sync_execution_store);

#define STORE "integ.sync_execution_store"

/* Longest wait for the worker that stores what is asked for. */
#define STORE_TIMEOUT_MS 10000

/* An end that nobody tells of is noticed this much later. */
#define POLL_MS 1000

/* What is asked for; records and options may be NULL. */
typedef struct Asked
{
	pg_uuid_t task;
	const char *trigger;
	bool dry_run;
	const Jsonb *options;
	const Jsonb *records;
	const pg_uuid_t *retry_of;
	int64 retry_count;
} Asked;

static const char *
who(const IntegActor *actor)
{
	return actor->user != NULL ? actor->user : GetUserNameFromId(actor->role, false);
}

static Jsonb *
describe(const Asked *asked, const IntegActor *actor)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "task", integ_uuid_text(&asked->task));
	integ_json_add_string(&builder, "trigger", asked->trigger);
	integ_json_add_string(&builder, "triggered_by", who(actor));
	integ_json_add_bool(&builder, "dry_run", asked->dry_run);
	if (asked->options != NULL)
		integ_json_add_jsonb(&builder, "options", asked->options);
	if (asked->records != NULL)
		integ_json_add_jsonb(&builder, "records", asked->records);
	if (asked->retry_of != NULL)
		integ_json_add_string(&builder, "retry_of", integ_uuid_text(asked->retry_of));
	integ_json_add_int(&builder, "retry_count", asked->retry_count);
	return integ_json_end(&builder);
}

/* Returns the execution's id, committed. */
static pg_uuid_t
ask(const Asked *asked, const IntegActor *actor)
{
	IntegHandlerSubject subject = {.owner = integ_owner_oid()};
	Jsonb *stored = integ_handler_run(&subject, STORE, describe(asked, actor), STORE_TIMEOUT_MS);
	char *id = integ_json_get_string(&stored->root, "id");

	return *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(id)));
}

/* The row as it is committed now, in CurrentMemoryContext; NULL where there is none, or only_ended and it has not. */
static HeapTupleHeader
look(const pg_uuid_t *execution, bool only_ended)
{
	static IntegQuery find = {
		"SELECT e FROM integ.sync_executions e WHERE id = $1 AND (NOT $2 OR completed_at IS NOT NULL)",
		2,
		{UUIDOID, BOOLOID}};
	Datum values[] = {UUIDPGetDatum(execution), BoolGetDatum(only_ended)};
	MemoryContext context = CurrentMemoryContext;
	HeapTupleHeader row = NULL;
	IntegOwnerScope scope;
	bool isnull;

	integ_owner_enter(&scope);
	if (integ_query_latest(&find, values, NULL) > 0)
	{
		Datum value = integ_result_datum(0, 1, &isnull);
		MemoryContext old = MemoryContextSwitchTo(context);

		row = DatumGetHeapTupleHeaderCopy(value);
		MemoryContextSwitchTo(old);
	}
	integ_owner_leave(&scope);
	return row;
}

pg_noreturn static void
raise_timeout(const pg_uuid_t *execution)
{
	ConditionVariableCancelSleep();
	ereport(ERROR, (errcode(ERRCODE_INTEG_UNREACHABLE),
					errmsg("execution %s has not ended in time", integ_uuid_text(execution)),
					errdetail("It goes on."),
					errhint("SELECT * FROM integ.sync_progress shows how far it is; a wait is never longer than "
							"integ.max_sync_wait.")));
}

/* Returns its row once it has ended. */
static HeapTupleHeader
wait_for_end(const pg_uuid_t *execution, int64 timeout_ms)
{
	TimestampTz deadline = GetCurrentTimestamp() + timeout_ms * 1000;
	IntegDatabase *database = integ_shmem_mine();
	HeapTupleHeader row;

	ConditionVariablePrepareToSleep(&database->sync.finished);
	while ((row = look(execution, true)) == NULL)
	{
		long left = (long) ((deadline - GetCurrentTimestamp() + 999) / 1000);

		if (left <= 0)
			raise_timeout(execution);
		(void) ConditionVariableTimedSleep(&database->sync.finished, Min(left, POLL_MS), PG_WAIT_EXTENSION);
		CHECK_FOR_INTERRUPTS();
	}
	ConditionVariableCancelSleep();
	return row;
}

static void
require_running_workers(const char *function)
{
	if (integ_shmem_mine() == NULL || RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("there is no worker to run sync tasks"),
						errdetail(integ_shared == NULL ? "integ is not preloaded."
													   : "No workers of integ run in this database."),
						errhint("SELECT * FROM integ_status() says what is missing.")));
	if (integ_max_sync_workers == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("there is no worker to run sync tasks"),
						errdetail("integ.max_sync_workers is 0."), errhint("Raise it in postgresql.conf, and reload.")));
	if (IsolationIsSerializable())
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("%s cannot run in a SERIALIZABLE transaction", function),
						errdetail("It returns what was committed after the transaction's snapshot."),
						errhint("Call it in a transaction of another isolation level.")));
	integ_require_not_held();
}

static Datum
answer(const pg_uuid_t *execution, bool wait, int64 timeout_ms)
{
	HeapTupleHeader row = wait ? wait_for_end(execution, timeout_ms) : look(execution, false);

	if (row == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("execution %s is not there any more", integ_uuid_text(execution))));
	return HeapTupleHeaderGetDatum(row);
}

/* What the caller says, without what only its wait is about. */
static const Jsonb *
parse_options(const Jsonb *options, Asked *asked, int64 *timeout_ms)
{
	Jsonb *records = NULL;
	bool full = false;
	int64 max_delete_percent = -1;
	IntegOption known[] = {
		{"timeout", INTEG_OPTION_DURATION_MS, timeout_ms},
		{"records", INTEG_OPTION_ARRAY, &records},
		{"full", INTEG_OPTION_BOOL, &full},
		{"maxDeletePercent", INTEG_OPTION_INT, &max_delete_percent},
	};
	IntegJsonBuilder kept;

	*timeout_ms = integ_max_sync_wait;
	integ_options_parse(options, known, lengthof(known), "integ_sync_run");
	*timeout_ms = Min(*timeout_ms, integ_max_sync_wait);
	if (max_delete_percent < -1 || max_delete_percent > 100)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"maxDeletePercent\" of integ_sync_run must be from 0 to 100")));
	asked->records = records;
	integ_json_begin_object(&kept);
	if (full)
		integ_json_add_bool(&kept, "full", true);
	if (max_delete_percent >= 0)
		integ_json_add_int(&kept, "maxDeletePercent", max_delete_percent);
	return integ_json_end(&kept);
}

/* integ_sync_run(task, wait, dry_run, options) */
Datum
integ_sync_run(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "run sync tasks");
	Asked asked = {.trigger = "manual"};
	bool wait = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	int64 timeout_ms;
	pg_uuid_t execution;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PreventCommandIfReadOnly("integ_sync_run()");
	asked.dry_run = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	asked.options = parse_options(PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3), &asked, &timeout_ms);
	require_running_workers("integ_sync_run");
	asked.task = integ_sync_task_require(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), "run", true);
	execution = ask(&asked, actor);
	PG_RETURN_DATUM(answer(&execution, wait, timeout_ms));
}

/* The external ids of the records that an execution could not store, as an array; NULL: there are none. */
static Jsonb *
failed_records(const pg_uuid_t *execution, MemoryContext context)
{
	static IntegQuery find = {
		"SELECT pg_catalog.jsonb_agg(DISTINCT external_id) FROM integ.sync_errors"
		" WHERE execution = $1 AND external_id IS NOT NULL",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(execution);

	(void) integ_query_latest(&find, &value, NULL);
	return (Jsonb *) integ_result_varlena(0, 1, context);
}

/* What an execution that has ended is to be repeated with; raises where the actor may not, or there is nothing. */
static void
load_ended(const IntegActor *actor, const pg_uuid_t *execution, bool only_failed, Asked *asked)
{
	static IntegQuery find = {
		"SELECT task, client_id, context_id, retry_count::bigint, records, options"
		" FROM integ.sync_executions WHERE id = $1 AND completed_at IS NOT NULL",
		1,
		{UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum value = UUIDPGetDatum(execution);
	IntegOwnerScope scope;
	bool found, isnull;

	integ_owner_enter(&scope);
	found = integ_query_latest(&find, &value, NULL) > 0 &&
			integ_sync_may_manage(actor, integ_result_text(0, 2, context), integ_result_text(0, 3, context));
	if (found)
	{
		asked->task = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
		asked->retry_count = integ_result_int8(0, 4) + 1;
		asked->records = (Jsonb *) integ_result_varlena(0, 5, context);
		asked->options = (Jsonb *) integ_result_varlena(0, 6, context);
		if (only_failed)
			asked->records = failed_records(execution, context);
	}
	integ_owner_leave(&scope);
	if (!found)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("there is no execution %s that has ended", integ_uuid_text(execution)),
						errhint("SELECT id, task_id, status FROM integ.sync_executions shows those that you see.")));
	if (only_failed && asked->records == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("execution %s has no failed records to be repeated", integ_uuid_text(execution)),
						errhint("integ_sync_retry(…, 'all') repeats all of it.")));
}

/* integ_sync_retry(execution, records, wait) */
Datum
integ_sync_retry(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "run sync tasks");
	Asked asked = {.trigger = "retry"};
	const char *which;
	bool only_failed;
	pg_uuid_t execution;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PreventCommandIfReadOnly("integ_sync_retry()");
	which = text_to_cstring(PG_GETARG_TEXT_PP(1));
	only_failed = strcmp(which, "failed_records") == 0;
	if (!only_failed && strcmp(which, "all") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("what integ_sync_retry repeats cannot be \"%s\"", which),
						errhint("It is 'all' or 'failed_records'.")));
	require_running_workers("integ_sync_retry");
	asked.retry_of = PG_GETARG_UUID_P(0);
	load_ended(actor, asked.retry_of, only_failed, &asked);
	execution = ask(&asked, actor);
	PG_RETURN_DATUM(answer(&execution, !PG_ARGISNULL(2) && PG_GETARG_BOOL(2), integ_max_sync_wait));
}

/* Raises where the task cannot be run now; what waits to be tried again gives way to what is asked for now. */
static void
require_room(const pg_uuid_t *task)
{
	static IntegQuery locked = {
		"SELECT task_id, status FROM integ.sync_tasks WHERE id = $1 FOR NO KEY UPDATE", 1, {UUIDOID}};
	static IntegQuery open = {
		"SELECT id, status, trigger FROM integ.sync_executions_open"
		" WHERE task = $1 AND NOT cancel_requested AND trigger <> 'webhook'"
		" ORDER BY trigger = 'retry' AND status = 'queued', id",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(task);
	char *name;
	bool isnull;
	uint64 count;
	SPITupleTable *rows;

	if (integ_query(&locked, &value, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("the sync task is not there any more")));
	name = integ_result_text(0, 1, CurrentMemoryContext);
	if (strcmp(integ_result_text(0, 2, CurrentMemoryContext), "disabled") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("sync task \"%s\" is disabled", name),
						errhint("integ_sync_resume('%s') makes it active.", name)));
	count = integ_query(&open, &value, NULL);
	rows = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
	{
		pg_uuid_t id = *DatumGetUUIDP(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		const char *status = SPI_getvalue(rows->vals[i], rows->tupdesc, 2);
		const char *trigger = SPI_getvalue(rows->vals[i], rows->tupdesc, 3);

		if (strcmp(status, "running") == 0 || strcmp(trigger, "retry") != 0)
			ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("sync task \"%s\" is already under way", name),
							errdetail("Execution %s is %s.", integ_uuid_text(&id), status),
							errhint("Wait for it, or end it: integ_sync_cancel('%s').", integ_uuid_text(&id))));
		integ_sync_close(&id, "cancelled", "another run took its place");
	}
}

/* integ.sync_execution_store(asked): in a worker that is integ_owner, whose transaction commits. */
Datum
integ_sync_execution_store(PG_FUNCTION_ARGS)
{
	static IntegQuery insert = {
		"INSERT INTO integ.sync_executions_open (task, task_id, client_id, context_id, instance, owner, direction, trigger,"
		" triggered_by, dry_run, options, records, retry_of, retry_count)"
		" SELECT t.id, t.task_id, t.client_id, t.context_id, t.instance, t.owner, t.direction, $2 ->> 'trigger',"
		" $2 ->> 'triggered_by', ($2 ->> 'dry_run')::boolean, COALESCE($2 -> 'options', '{}'), $2 -> 'records',"
		" ($2 ->> 'retry_of')::uuid, ($2 ->> 'retry_count')::integer FROM integ.sync_tasks t WHERE t.id = $1"
		" RETURNING pg_catalog.jsonb_build_object('id', id)",
		2,
		{UUIDOID, JSONBOID}};
	Jsonb *asked = PG_GETARG_JSONB_P(0);
	char *task_text = integ_json_get_string(&asked->root, "task");
	MemoryContext context = CurrentMemoryContext;
	Datum values[2];
	struct varlena *stored;
	IntegOwnerScope scope;

	if (task_text == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg(STORE " must be told which task")));
	values[0] = DirectFunctionCall1(uuid_in, CStringGetDatum(task_text));
	values[1] = JsonbPGetDatum(asked);
	integ_owner_enter(&scope);
	require_room(DatumGetUUIDP(values[0]));
	(void) integ_query(&insert, values, NULL);
	stored = integ_result_varlena(0, 1, context);
	integ_owner_leave(&scope);
	PG_RETURN_POINTER(stored);
}
