/*
 * Runs: rows of integ.handler_runs, claimed, carried out and recorded by a
 * worker that is their owner.
 *
 * A run is marked as begun before the function is called, so that one that
 * takes its worker down is not tried for ever. Its success is recorded in the
 * function's own transaction: what the function did in this database and the mark
 * are there together, or neither is.
 */
#include "handlers/worker.h"

#include "access/actor.h"
#include "access/xact.h"
#include "calls/verdict.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/pg_prng.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "ingress/ingress.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "webhooks/webhook.h"

PG_FUNCTION_INFO_V1(integ_tg_handler_runs_wake);
PG_FUNCTION_INFO_V1(integ_handler_retry);

/* Runs that have succeeded are deleted so many a transaction. */
#define EXPIRED_PER_BATCH "10000"

/* Microseconds to the second attempt of what an event leads to. */
#define EVENT_RETRY (100 * INT64CONST(1000))

typedef struct Run
{
	IntegHandlerWorker *worker;
	pg_uuid_t id;
	int attempt;
	int max_attempts;
	bool of_event; /* a service waits for nothing, but people see what is late */
	bool replies;  /* what the function returns is a reply */
	IntegHandlerCall call;
	bool gone; /* the row was deleted, or is somebody else's */
} Run;

static bool muted;
static int depth;

int
integ_handler_depth(void)
{
	return depth;
}

void
integ_handler_runs_mute(bool mute)
{
	muted = mute;
}

Datum
integ_tg_handler_runs_wake(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_handler_runs_wake must be called as a trigger");
	integ_identity_note_copy((const TriggerData *) fcinfo->context);
	if (!muted)
		integ_wake_at_commit(INTEG_WAKE_HANDLERS);
	return PointerGetDatum(NULL);
}

/* Columns of a run, in the order in which they are given. */
static const Oid run_types[] = {UUIDOID, TEXTOID, OIDOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID,
								UUIDOID, UUIDOID, UUIDOID, TIMESTAMPTZOID, INT2OID};

void
integ_handler_runs_begin(IntegHandlerRuns *runs)
{
	integ_rows_begin(&runs->rows, run_types, lengthof(run_types));
}

const pg_uuid_t *
integ_handler_runs_add(IntegHandlerRuns *runs, const IntegHandlerRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(runs->rows.context);
	const IntegHandlerSubject *subject = &run->subject;
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));
	Datum values[lengthof(run_types)] = {UUIDPGetDatum(id), CStringGetTextDatum(run->kind),
										 ObjectIdGetDatum(subject->owner), CStringGetTextDatum(run->function),
										 JsonbPGetDatum(run->argument)};
	bool nulls[lengthof(run_types)] = {false};

	integ_uuid_make(id);
	nulls[5] = subject->client_id == NULL;
	if (!nulls[5])
		values[5] = CStringGetTextDatum(subject->client_id);
	nulls[6] = subject->user_id == NULL;
	if (!nulls[6])
		values[6] = CStringGetTextDatum(subject->user_id);
	values[7] = UUIDPGetDatum(run->call);
	nulls[7] = run->call == NULL;
	values[8] = UUIDPGetDatum(run->instance);
	nulls[8] = run->instance == NULL;
	values[9] = UUIDPGetDatum(run->event);
	values[10] = TimestampTzGetDatum(run->event_at);
	nulls[9] = nulls[10] = run->event == NULL;
	values[11] = Int16GetDatum(run->depth);
	integ_rows_add(&runs->rows, values, nulls);
	MemoryContextSwitchTo(old);
	return id;
}

void
integ_handler_runs_store(IntegHandlerRuns *runs)
{
	static IntegQuery insert = {
		"INSERT INTO integ.handler_runs"
		" (id, kind, owner, function, argument, client_id, user_id, call, instance, event, event_at, depth)"
		" SELECT id, kind, owner::pg_catalog.regrole, function, argument, client_id, user_id, call, instance, event,"
		"  event_at, depth"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
		"  pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8),"
		"  pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11), pg_catalog.unnest($12))"
		" AS n (id, kind, owner, function, argument, client_id, user_id, call, instance, event, event_at, depth)",
		lengthof(run_types),
		{UUIDARRAYOID, TEXTARRAYOID, OIDARRAYOID, TEXTARRAYOID, JSONBARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		 UUIDARRAYOID, UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID, INT2ARRAYOID}};

	(void) integ_rows_query(&runs->rows, &insert);
}

/* In the transaction under way, whatever its settings: our own rows, and no news for the keeper. */
static uint64
query_muted(IntegQuery *query, const Datum *values, const char *nulls)
{
	uint64 count;

	/* An error ends the statement that the mute is for, and the next one sets it again. */
	muted = true;
	count = integ_query(query, values, nulls);
	muted = false;
	return count;
}

static void
begin(IntegOwnerScope *scope)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(scope);
}

static void
commit(IntegOwnerScope *scope)
{
	integ_owner_leave(scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Takes the run that is due longest; its values are in CurrentMemoryContext. */
static bool
claim(Run *run)
{
	static IntegQuery take = {
		"UPDATE integ.handler_runs SET state = 'running', lease = $2, attempt = attempt + 1,"
		" started_at = pg_catalog.clock_timestamp()"
		" WHERE id = (SELECT id FROM integ.handler_runs WHERE owner = $1::pg_catalog.regrole"
		"  AND state IN ('queued', 'waiting') AND next_attempt_at <= pg_catalog.clock_timestamp()"
		"  ORDER BY next_attempt_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)"
		" RETURNING id, function, argument, client_id, user_id, attempt::bigint, max_attempts::bigint, timeout_ms::bigint,"
		" event IS NOT NULL, kind = '" INTEG_HANDLER_REPLY "', depth::bigint",
		2,
		{OIDOID, INT8OID}};
	MemoryContext context = CurrentMemoryContext;
	Datum values[] = {ObjectIdGetDatum(run->worker->owner), Int64GetDatum(run->worker->lease)};
	IntegOwnerScope scope;
	bool found, isnull;

	begin(&scope);
	found = query_muted(&take, values, NULL) > 0;
	if (found)
	{
		run->id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
		run->call.subject.owner = run->worker->owner;
		run->call.function = integ_result_text(0, 2, context);
		run->call.argument = (Jsonb *) integ_result_varlena(0, 3, context);
		run->call.subject.client_id = integ_result_text(0, 4, context);
		run->call.subject.user_id = integ_result_text(0, 5, context);
		run->attempt = (int) integ_result_int8(0, 6);
		run->max_attempts = (int) integ_result_int8(0, 7);
		run->call.timeout_ms = integ_result_int8(0, 8);
		run->of_event = integ_result_bool(0, 9);
		run->replies = integ_result_bool(0, 10);
		depth = (int) integ_result_int8(0, 11);
	}
	commit(&scope);
	MemoryContextSwitchTo(context);
	return found;
}

/* In the function's transaction: a reply that is none undoes what the function did. */
static void
record_success(void *arg, const Jsonb *result)
{
	static IntegQuery done = {
		"UPDATE integ.handler_runs SET state = 'succeeded', lease = NULL, finished_at = pg_catalog.clock_timestamp(),"
		" last_sqlstate = NULL, last_error = NULL, error_detail = NULL, error_hint = NULL, reply = $3"
		" WHERE id = $1 AND lease = $2",
		3,
		{UUIDOID, INT8OID, JSONBOID}};
	Run *run = arg;
	bool has_reply = run->replies && result != NULL;
	Datum values[] = {UUIDPGetDatum(&run->id), Int64GetDatum(run->worker->lease), JsonbPGetDatum(result)};
	char nulls[] = {' ', ' ', has_reply ? ' ' : 'n'};
	IntegOwnerScope scope;

	if (has_reply)
		integ_webhook_reply_check(result);
	integ_owner_enter(&scope);
	run->gone = query_muted(&done, values, nulls) == 0;
	integ_owner_leave(&scope);
}

/* What another attempt would find again: the function is not there, or not the owner's to call. */
static bool
is_final(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_INTEG_NOT_FOUND || sqlerrcode == ERRCODE_INTEG_FORBIDDEN ||
		   sqlerrcode == ERRCODE_INTEG_INVALID;
}

/* What an event leads to is tried again soon, once: what hindered it is mostly gone at once, such as a lock. */
static TimestampTz
retry_at(const Run *run)
{
	if (run->of_event && run->attempt == 1)
		return GetCurrentTimestamp() + EVENT_RETRY;
	return integ_retry_backoff(GetCurrentTimestamp(), run->attempt, integ_retry_delay, integ_max_retry_delay,
							   pg_prng_double(&pg_global_prng_state));
}

static void
record_failure(Run *run, const IntegHandlerAnswer *answer)
{
	static IntegQuery failed = {
		"UPDATE integ.handler_runs SET state = CASE WHEN $3 THEN 'dead' ELSE 'waiting' END, lease = NULL,"
		" next_attempt_at = $4, finished_at = CASE WHEN $3 THEN pg_catalog.clock_timestamp() END,"
		" last_sqlstate = $5, last_error = $6, error_detail = $7, error_hint = $8 WHERE id = $1 AND lease = $2",
		8,
		{UUIDOID, INT8OID, BOOLOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	bool dead = run->attempt >= run->max_attempts || is_final(answer->sqlerrcode);
	char nulls[] = "        ";
	IntegOwnerScope scope;
	Datum values[8] = {UUIDPGetDatum(&run->id), Int64GetDatum(run->worker->lease), BoolGetDatum(dead),
					   TimestampTzGetDatum(retry_at(run))};

	begin(&scope);
	values[4] = CStringGetTextDatum(unpack_sql_state(answer->sqlerrcode));
	values[5] = integ_value_text(answer->message, &nulls[5]);
	values[6] = integ_value_text(answer->detail, &nulls[6]);
	values[7] = integ_value_text(answer->hint, &nulls[7]);
	(void) query_muted(&failed, values, nulls);
	commit(&scope);
	if (!dead)
		integ_shmem_wake_keeper(run->worker->database, INTEG_WAKE_HANDLERS);
}

bool
integ_handler_run_next(IntegHandlerWorker *worker)
{
	Run run = {.worker = worker};
	IntegHandlerAnswer answer;

	if (!claim(&run))
		return false;
	if (run.call.timeout_ms == 0)
		run.call.timeout_ms = integ_handler_timeout;
	run.call.finish = record_success;
	run.call.arg = &run;
	integ_handler_call(&run.call, &answer);
	depth = 0;
	if (answer.sqlerrcode != 0)
		record_failure(&run, &answer);
	if (run.replies)
		integ_ingress_tell(worker->database);
	return true;
}

void
integ_handler_runs_expire(void)
{
	static IntegQuery expire = {
		"DELETE FROM integ.handler_runs WHERE ctid = ANY (ARRAY("
		" SELECT ctid FROM integ.handler_runs WHERE state = 'succeeded'"
		" AND finished_at < pg_catalog.now() - $1 * interval '1 day' LIMIT " EXPIRED_PER_BATCH "))",
		1,
		{INT4OID}};
	Datum days = Int32GetDatum(integ_log_retention);

	integ_job_delete(&expire, &days);
}

/* As the row-level security of the table: besides who manages what the run is for, whose function it is. */
static bool
may_manage(const IntegActor *actor, Oid owner, const char *client, const char *user)
{
	if (owner == actor->role && (client == NULL || strcmp(client, actor->client) == 0))
		return true;
	return integ_actor_manages(actor, client, user);
}

Datum
integ_handler_retry(PG_FUNCTION_ARGS)
{
	static IntegQuery find = {
		"SELECT owner::oid::bigint, client_id, user_id, state FROM integ.handler_runs WHERE id = $1 FOR UPDATE",
		1,
		{UUIDOID}};
	static IntegQuery again = {
		"UPDATE integ.handler_runs SET state = 'queued', finished_at = NULL, next_attempt_at = pg_catalog.clock_timestamp(),"
		" max_attempts = CASE WHEN state = 'dead' THEN least(attempt + max_attempts, 1000000) ELSE max_attempts END"
		" WHERE id = $1 AND state IN ('queued', 'waiting', 'dead')",
		1,
		{UUIDOID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "retry handlers");
	Datum id = PG_GETARG_DATUM(0);
	IntegOwnerScope scope;
	char *state = NULL;
	bool done = false;

	integ_owner_enter(&scope);
	if (integ_query(&find, &id, NULL) > 0 &&
		may_manage(actor, (Oid) integ_result_int8(0, 1), integ_result_text(0, 2, CurrentMemoryContext),
				   integ_result_text(0, 3, CurrentMemoryContext)))
	{
		state = integ_result_text(0, 4, TopTransactionContext);
		done = integ_query(&again, &id, NULL) > 0;
	}
	integ_owner_leave(&scope);
	if (state == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("there is no handler run %s", integ_uuid_text(DatumGetUUIDP(id))),
						errhint("SELECT id, state FROM integ.handler_runs shows those that you see.")));
	if (!done)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("handler run %s cannot be tried again", integ_uuid_text(DatumGetUUIDP(id))),
						errdetail("Its state is \"%s\"; those that are dead or wait can.", state)));
	PG_RETURN_DATUM(id);
}
