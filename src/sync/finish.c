/*
 * How an execution ended: its row becomes history, in the transaction that
 * counts it, tells of it, and has it repeated.
 */
#include "sync/lifecycle.h"

#include "access/xact.h"
#include "calls/verdict.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "endpoints/events.h"
#include "operate/operate.h"
#include "storage/condition_variable.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define CHANNEL "integ_sync"
#define RETRY_DELAY_MAX_MS (24 * 3600 * INT64CONST(1000))

/* What the rest needs to know of an execution that has become history. */
typedef struct Ended
{
	pg_uuid_t id;
	TimestampTz created_at;
	pg_uuid_t task;
	char *task_id;
	char *client_id;
	bool has_instance;
	pg_uuid_t instance;
	char *trigger;
	char *reason;
	char *counters; /* JSON text */
	const char *status;
	bool dry_run;
	int retry_count;
	int64 failed;
	int64 processed;
	const char *message; /* NULL: nothing went wrong */
	TimestampTz retry_at;
} Ended;

static const char *
status_name(IntegSyncStatus status)
{
	switch (status)
	{
		case INTEG_SYNC_SUCCESS:
			return "success";
		case INTEG_SYNC_PARTIAL:
			return "partial";
		case INTEG_SYNC_FAILED:
			return "failed";
		case INTEG_SYNC_STOPPED:
			break;
	}
	return "cancelled";
}

static Jsonb *
describe_error(const IntegSyncOutcome *outcome)
{
	IntegJsonBuilder builder;

	if (outcome->sqlerrcode == 0 && outcome->message == NULL)
		return NULL;
	integ_json_begin_object(&builder);
	if (outcome->sqlerrcode != 0)
		integ_json_add_string(&builder, "sqlstate", unpack_sql_state(outcome->sqlerrcode));
	integ_json_add_string(&builder, "message", outcome->message);
	integ_json_add_known(&builder, "detail", outcome->detail);
	integ_json_add_known(&builder, "hint", outcome->hint);
	return integ_json_end(&builder);
}

/* False where the row is gone. */
static bool
make_history(Ended *ended, const IntegSyncOutcome *outcome)
{
	static IntegQuery move = {
		"WITH gone AS (DELETE FROM integ.sync_executions_open WHERE id = $1 RETURNING *),"
		" kept AS (INSERT INTO integ.sync_executions_done (" INTEG_SYNC_COLUMNS
		", status, reason, error, phase, completed_at, duration) SELECT " INTEG_SYNC_COLUMNS
		", $2, CASE WHEN $2 <> 'cancelled' THEN NULL WHEN cancel_requested OR $4 IS NULL THEN reason ELSE $4 END, $3,"
		" CASE WHEN $2 IN ('success', 'partial') THEN 'complete' ELSE phase END,"
		" pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp() - started_at FROM gone RETURNING *)"
		" SELECT task, task_id, client_id, instance, trigger, reason, dry_run, retry_count::bigint, failed,"
		" processed_records, pg_catalog.jsonb_build_object('fetched', fetched, 'created', created, 'updated', updated,"
		"  'unchanged', unchanged, 'skipped', skipped, 'deleted', deleted, 'failed', failed)::text, created_at FROM kept",
		4,
		{UUIDOID, TEXTOID, JSONBOID, TEXTOID}};
	MemoryContext context = CurrentMemoryContext;
	Jsonb *error = describe_error(outcome);
	char nulls[] = "    ";
	Datum values[] = {UUIDPGetDatum(&ended->id), CStringGetTextDatum(ended->status), JsonbPGetDatum(error), (Datum) 0};
	bool isnull;
	Datum instance;

	nulls[2] = error == NULL ? 'n' : ' ';
	values[3] = integ_value_text(outcome->status == INTEG_SYNC_STOPPED ? outcome->message : NULL, &nulls[3]);
	if (integ_query(&move, values, nulls) == 0)
		return false;
	ended->task = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	ended->task_id = integ_result_text(0, 2, context);
	ended->client_id = integ_result_text(0, 3, context);
	instance = integ_result_datum(0, 4, &isnull);
	ended->has_instance = !isnull;
	if (!isnull)
		ended->instance = *DatumGetUUIDP(instance);
	ended->trigger = integ_result_text(0, 5, context);
	ended->reason = integ_result_text(0, 6, context);
	ended->dry_run = integ_result_bool(0, 7);
	ended->retry_count = (int) integ_result_int8(0, 8);
	ended->failed = integ_result_int8(0, 9);
	ended->processed = integ_result_int8(0, 10);
	ended->counters = integ_result_text(0, 11, context);
	ended->created_at = integ_result_time(0, 12);
	return true;
}

/* What went wrong, in a sentence; NULL: nothing. */
static const char *
message_of(const Ended *ended, const IntegSyncOutcome *outcome)
{
	if (outcome->status != INTEG_SYNC_FAILED && outcome->status != INTEG_SYNC_PARTIAL)
		return NULL;
	if (outcome->message != NULL)
		return outcome->message;
	if (ended->failed > 0)
		return psprintf(INT64_FORMAT " of " INT64_FORMAT " record%s could not be stored; integ.sync_errors says why",
						ended->failed, ended->processed, ended->processed == 1 ? "" : "s");
	return "a part of it failed";
}

/* The row of the task, as far as what follows needs it; a dry run leaves no trace in it. False where it is gone. */
static bool
count_in_task(const Ended *ended, const IntegSyncOutcome *outcome, Jsonb **retry_config, Jsonb **notifications,
			  bool *is_active)
{
	static IntegQuery count = {
		"UPDATE integ.sync_tasks t SET"
		" last_run_at = COALESCE(d.started_at, d.completed_at), last_run_status = d.status,"
		" status = CASE WHEN $4 AND t.status = 'active' THEN 'error'"
		"  WHEN t.status = 'error' AND d.status IN ('success', 'partial') THEN 'active' ELSE t.status END,"
		" last_error = CASE WHEN $2 IS NOT NULL THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object("
		"   'message', $2, 'timestamp', d.completed_at, 'details', COALESCE(d.error, '{}') || pg_catalog.jsonb_build_object("
		"    'execution', d.id))) WHEN d.status = 'success' THEN NULL ELSE t.last_error END,"
		" stats = t.stats || pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object("
		"  'totalRuns', COALESCE((t.stats ->> 'totalRuns')::bigint, 0) + 1,"
		"  'successfulRuns', COALESCE((t.stats ->> 'successfulRuns')::bigint, 0) + (d.status = 'success')::integer,"
		"  'failedRuns', COALESCE((t.stats ->> 'failedRuns')::bigint, 0) + (d.status = 'failed')::integer,"
		"  'lastSuccessAt', CASE d.status WHEN 'success' THEN pg_catalog.to_jsonb(d.completed_at)"
		"   ELSE t.stats -> 'lastSuccessAt' END,"
		"  'lastFailureAt', CASE d.status WHEN 'failed' THEN pg_catalog.to_jsonb(d.completed_at)"
		"   ELSE t.stats -> 'lastFailureAt' END,"
		"  'recordsProcessed', COALESCE((t.stats ->> 'recordsProcessed')::bigint, 0) + d.processed_records,"
		"  'recordsCreated', COALESCE((t.stats ->> 'recordsCreated')::bigint, 0) + d.created,"
		"  'recordsUpdated', COALESCE((t.stats ->> 'recordsUpdated')::bigint, 0) + d.updated,"
		"  'recordsSkipped', COALESCE((t.stats ->> 'recordsSkipped')::bigint, 0) + d.skipped + d.unchanged,"
		"  'recordsFailed', COALESCE((t.stats ->> 'recordsFailed')::bigint, 0) + d.failed))"
		" FROM integ.sync_executions_done d WHERE d.id = $1 AND d.created_at = $5 AND t.id = $3"
		" RETURNING t.retry_config, t.notifications, t.status = 'active'",
		5,
		{UUIDOID, TEXTOID, UUIDOID, BOOLOID, TIMESTAMPTZOID}};
	static IntegQuery look = {
		"SELECT retry_config, notifications, status = 'active' FROM integ.sync_tasks WHERE id = $1", 1, {UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	char nulls[] = "     ";
	Datum values[] = {UUIDPGetDatum(&ended->id), (Datum) 0, UUIDPGetDatum(&ended->task),
					  BoolGetDatum(outcome->is_definition), TimestampTzGetDatum(ended->created_at)};
	uint64 found;

	values[1] = integ_value_text(ended->message, &nulls[1]);
	found = ended->dry_run ? integ_query(&look, &values[2], NULL) : integ_query(&count, values, nulls);
	if (found == 0)
		return false;
	*retry_config = (Jsonb *) integ_result_varlena(0, 1, context);
	*notifications = (Jsonb *) integ_result_varlena(0, 2, context);
	*is_active = integ_result_bool(0, 3);
	return true;
}

static bool
may_pass(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_INTEG_RATE_LIMIT || sqlerrcode == ERRCODE_INTEG_BAD_ANSWER ||
		   sqlerrcode == ERRCODE_INTEG_CIRCUIT_OPEN || sqlerrcode == ERRCODE_INTEG_UNREACHABLE ||
		   integ_passes_by_itself(sqlerrcode);
}

/* What a person ran is repeated by the person. */
static bool
wants_retry(const Ended *ended, const IntegSyncOutcome *outcome, const Jsonb *config)
{
	return outcome->status == INTEG_SYNC_FAILED && !outcome->is_definition && may_pass(outcome->sqlerrcode) &&
		   !ended->dry_run && strcmp(ended->trigger, "manual") != 0 &&
		   ended->retry_count < integ_json_get_int(&config->root, "maxRetries", 3);
}

static void
stop_task(const Ended *ended)
{
	static IntegQuery stop = {
		"UPDATE integ.sync_tasks SET status = 'error' WHERE id = $1 AND status = 'active'", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(&ended->task);

	(void) integ_query(&stop, &value, NULL);
}

static void
make_retry(Ended *ended, const IntegSyncOutcome *outcome, const Jsonb *config)
{
	static IntegQuery insert = {
		"INSERT INTO integ.sync_executions_open (task, task_id, client_id, context_id, instance, owner, direction, trigger,"
		" run_at, retry_of, retry_count, options, records)"
		" SELECT t.id, t.task_id, t.client_id, t.context_id, t.instance, t.owner, t.direction, 'retry', $3, d.id,"
		" d.retry_count + 1, d.options, d.records FROM integ.sync_executions_done d, integ.sync_tasks t"
		" WHERE d.id = $1 AND d.created_at = $4 AND t.id = $2"
		" AND NOT EXISTS (SELECT FROM integ.sync_executions_open o WHERE o.task = t.id AND o.status = 'queued')",
		4,
		{UUIDOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID}};
	int64 delay_ms = integ_json_get_int(&config->root, "retryDelaySeconds", 300) * 1000;
	bool doubles = integ_json_get_bool(&config->root, "exponentialBackoff", true);
	TimestampTz at = integ_retry_backoff(GetCurrentTimestamp(), doubles ? ended->retry_count + 1 : 1, delay_ms,
										 Max(delay_ms, RETRY_DELAY_MAX_MS), 1.0);
	Datum values[] = {UUIDPGetDatum(&ended->id), UUIDPGetDatum(&ended->task), (Datum) 0,
					  TimestampTzGetDatum(ended->created_at)};

	at = Max(at, outcome->retry_at);
	values[2] = TimestampTzGetDatum(at);
	if (integ_query(&insert, values, NULL) > 0)
		ended->retry_at = at;
}

/* Which of the task's wishes, and the kind of the notification; NULL: it is never told. */
static const char *
wish_of(const Ended *ended, const char **kind)
{
	if (strcmp(ended->status, "success") == 0)
	{
		*kind = "sync.succeeded";
		return "onSuccess";
	}
	if (strcmp(ended->status, "partial") == 0)
	{
		*kind = "sync.partial";
		return "onPartial";
	}
	*kind = "sync.failed";
	/* A failure that is tried again is none yet. */
	return strcmp(ended->status, "failed") == 0 && ended->retry_at == 0 ? "onFailure" : NULL;
}

/* What is said of it in either way. */
static void
describe(const Ended *ended, IntegJsonBuilder *payload)
{
	integ_json_begin_object(payload);
	integ_json_add_string(payload, "execution", integ_uuid_text(&ended->id));
	integ_json_add_string(payload, "task", ended->task_id);
	integ_json_add_string(payload, "trigger", ended->trigger);
	integ_json_add_string(payload, "status", ended->status);
	integ_json_add_bool(payload, "dry_run", ended->dry_run);
	integ_json_add_jsonb(payload, "results", integ_json_parse(ended->counters));
	integ_json_add_known(payload, "message", ended->message);
	if (ended->retry_at != 0)
		integ_json_add_time(payload, "retry_at", ended->retry_at);
}

static const pg_uuid_t *
instance_of(const Ended *ended)
{
	return ended->has_instance ? &ended->instance : NULL;
}

static void
tell_endpoint(const Ended *ended, const char *endpoint, const char *kind, const char *text, const char *hint)
{
	IntegJsonBuilder payload;

	describe(ended, &payload);
	integ_json_add_string(&payload, "text", text);
	integ_json_add_known(&payload, "hint", hint);
	if (!integ_own_event_send(ended->client_id, endpoint, kind, instance_of(ended), integ_json_end(&payload)))
		integ_notify(NULL, ended->client_id, kind, text,
					 psprintf("It was to go to the endpoint \"%s\", which is disabled or not there: see notifications of"
							  " integ.sync_tasks.",
							  endpoint),
					 NULL);
}

static void
tell_people(const Ended *ended, const IntegSyncOutcome *outcome, const Jsonb *notifications)
{
	const JsonbContainer *recipients = integ_json_get_array(&notifications->root, "recipients");
	const char *kind;
	const char *wish = wish_of(ended, &kind);
	char *endpoint = integ_json_get_string(&notifications->root, "endpoint");
	const char *text;
	IntegJsonWalk walk;
	JsonbValue recipient;

	if (wish == NULL || ended->dry_run || !integ_json_get_bool(&notifications->root, wish, strcmp(wish, "onFailure") == 0))
		return;
	text = ended->message == NULL ? psprintf("Sync task \"%s\" succeeded: %s", ended->task_id, ended->counters)
								  : psprintf("Sync task \"%s\" %s: %s", ended->task_id,
											 strcmp(ended->status, "partial") == 0 ? "succeeded in part" : "failed",
											 ended->message);
	if (endpoint != NULL)
		tell_endpoint(ended, endpoint, kind, text, outcome->hint);
	if (recipients == NULL || JsonContainerSize(recipients) == 0)
	{
		if (endpoint == NULL)
			integ_notify(NULL, ended->client_id, kind, text, outcome->hint, NULL);
		return;
	}
	integ_json_walk_begin(&walk, recipients);
	while (integ_json_walk_element(&walk, &recipient))
		integ_notify(integ_json_value_text(&recipient), ended->client_id, kind, text, outcome->hint, NULL);
}

static void
tell_listeners(const Ended *ended)
{
	const pg_uuid_t *id = &ended->id;
	IntegJsonBuilder payload;

	describe(ended, &payload);
	integ_event_emit("sync.finished", ended->client_id, instance_of(ended), integ_json_end(&payload));
	integ_announce_ids(CHANNEL, &id, 1);
}

bool
integ_sync_end(const pg_uuid_t *execution, const IntegSyncOutcome *outcome)
{
	Ended ended = {.id = *execution, .status = status_name(outcome->status)};
	Jsonb *retry_config, *notifications;
	bool is_active;

	if (!make_history(&ended, outcome))
		return false;
	/* One that failed may be repeated from where it was. */
	if (ended.dry_run || outcome->status == INTEG_SYNC_STOPPED)
		integ_sync_seen_forget(execution);
	ended.message = message_of(&ended, outcome);
	if (count_in_task(&ended, outcome, &retry_config, &notifications, &is_active))
	{
		if (is_active && wants_retry(&ended, outcome, retry_config))
			make_retry(&ended, outcome, retry_config);
		else if (outcome->is_mismatch && !ended.dry_run)
			stop_task(&ended);
		tell_people(&ended, outcome, notifications);
	}
	tell_listeners(&ended);
	return true;
}

void
integ_sync_finish(IntegSyncRun *run, const IntegSyncOutcome *outcome)
{
	IntegDatabase *database = integ_shmem_mine();
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "integ sync finish", ALLOCSET_DEFAULT_SIZES);
	IntegOwnerScope scope;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(context);
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	integ_sync_limit_waits();
	integ_sync_lock(&run->id);
	integ_owner_leave(&scope);
	if (!run->lost && integ_sync_save(run))
	{
		integ_owner_enter(&scope);
		integ_query_by_indexes();
		(void) integ_sync_end(&run->id, outcome);
		integ_owner_leave(&scope);
	}
	integ_wake_at_commit(INTEG_WAKE_SYNC);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextDelete(context);
	MemoryContextDelete(run->context);
	if (database != NULL)
		ConditionVariableBroadcast(&database->sync.finished);
}
