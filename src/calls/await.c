/*
 * integ_await: waits for a durable call to end.
 */
#include "calls/manage.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/shmem.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_await);

/* An end that nobody tells of (a row deleted by hand, a cancel) is noticed this much later. */
#define POLL_MS 1000

static Jsonb *
describe_outcome(const pg_uuid_t *call)
{
	IntegJsonBuilder builder;
	struct varlena *result = integ_result_varlena(0, 6, CurrentMemoryContext);
	char *sqlstate = integ_result_text(0, 2, CurrentMemoryContext);

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "call", integ_uuid_text(call));
	integ_json_add_string(&builder, "state", integ_result_text(0, 1, CurrentMemoryContext));
	integ_json_add_int(&builder, "attempts", integ_result_int8(0, 7));
	if (sqlstate == NULL)
	{
		if (result != NULL)
			integ_json_add_jsonb(&builder, "result", (Jsonb *) result);
		else
			integ_json_add_null(&builder, "result");
		return integ_json_end(&builder);
	}
	integ_json_open_object(&builder, "error");
	integ_json_add_string(&builder, "sqlstate", sqlstate);
	integ_json_add_string(&builder, "message", integ_result_text(0, 3, CurrentMemoryContext));
	integ_json_add_string(&builder, "detail", integ_result_text(0, 4, CurrentMemoryContext));
	integ_json_add_string(&builder, "hint", integ_result_text(0, 5, CurrentMemoryContext));
	integ_json_close(&builder);
	return integ_json_end(&builder);
}

/* The outcome in context, NULL while there is none. Looks at what is committed now, whatever the caller's snapshot. */
static Jsonb *
look_for_outcome(const pg_uuid_t *call, MemoryContext context)
{
	static IntegQuery done = {
		"SELECT state, last_sqlstate, last_error, error_detail, error_hint, result, attempt::bigint"
		" FROM integ.calls_done WHERE id = $1",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(call);
	IntegOwnerScope scope;
	Jsonb *outcome = NULL;

	integ_owner_enter(&scope);
	if (integ_query_latest(&done, &value, NULL) > 0)
	{
		Jsonb *built = describe_outcome(call);

		outcome = MemoryContextAlloc(context, VARSIZE(built));
		memcpy(outcome, built, VARSIZE(built));
	}
	integ_owner_leave(&scope);
	return outcome;
}

/* Raises where the call is this transaction's own: nothing will happen before it commits. */
static void
refuse_own(const pg_uuid_t *call)
{
	static IntegQuery open = {"SELECT xmin FROM integ.calls_open WHERE id = $1", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(call);
	IntegOwnerScope scope;
	bool own = false, isnull;

	integ_owner_enter(&scope);
	if (integ_query_latest(&open, &value, NULL) > 0)
		own = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(integ_result_datum(0, 1, &isnull)));
	integ_owner_leave(&scope);
	if (own)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("call %s belongs to this transaction", integ_uuid_text(call)),
						errdetail("What has not committed does not leave."), errhint("COMMIT first, then wait.")));
}

/* Milliseconds; the wait holds back the caller's snapshot, so that integ.max_sync_wait bounds it. */
static int64
wait_ms(FunctionCallInfo fcinfo)
{
	Interval *timeout;
	double wanted;

	if (PG_ARGISNULL(1))
		return integ_max_sync_wait;
	timeout = PG_GETARG_INTERVAL_P(1);
	/* Any interval there is has a double, also one of which a part is negative. */
	wanted = ((double) timeout->month * DAYS_PER_MONTH + timeout->day) * SECS_PER_DAY * 1000.0 + timeout->time / 1000.0;
	if (wanted < 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the timeout of integ_await must not be negative")));
	return wanted < integ_max_sync_wait ? (int64) wanted : integ_max_sync_wait;
}

static void
refuse_to_wait(void)
{
	if (IsolationIsSerializable())
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("integ_await cannot run in a SERIALIZABLE transaction"),
						errdetail("It would see what was committed after the transaction's snapshot."),
						errhint("Wait in a transaction of another isolation level.")));
	if (integ_shared == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("integ is not preloaded"),
						errdetail("Durable calls need workers."),
						errhint("Add integ to shared_preload_libraries and restart the server.")));
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("integ does nothing on a standby"),
						errhint("Wait on the primary.")));
}

Datum
integ_await(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "wait for calls");
	MemoryContext context = CurrentMemoryContext;
	IntegDatabase *database;
	TimestampTz deadline;
	pg_uuid_t *call;
	Jsonb *outcome;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	call = PG_GETARG_UUID_P(0);
	deadline = GetCurrentTimestamp() + wait_ms(fcinfo) * 1000;
	refuse_to_wait();
	(void) integ_call_require(actor, call);
	refuse_own(call);
	database = integ_shmem_mine();
	if (database != NULL)
		ConditionVariablePrepareToSleep(&database->dispatch.finished);
	while ((outcome = look_for_outcome(call, context)) == NULL)
	{
		long left = (long) ((deadline - GetCurrentTimestamp() + 999) / 1000);
		const char *state;

		if (left <= 0)
		{
			ConditionVariableCancelSleep();
			state = integ_call_require(actor, call);
			ereport(ERROR, (errcode(ERRCODE_INTEG_UNREACHABLE),
							errmsg("call %s has not ended in time", integ_uuid_text(call)),
							errdetail("Its state is \"%s\"; it goes on.", state),
							errhint("Wait again, or read integ.calls; a wait is never longer than integ.max_sync_wait.")));
		}
		if (database != NULL)
			(void) ConditionVariableTimedSleep(&database->dispatch.finished, Min(left, POLL_MS), PG_WAIT_EXTENSION);
		else
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, Min(left, POLL_MS),
							 PG_WAIT_EXTENSION);
		if (database == NULL)
			ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		/* Also where somebody deletes it, so that nobody waits for what is no more. */
		(void) integ_call_require(actor, call);
	}
	ConditionVariableCancelSleep();
	PG_RETURN_JSONB_P(outcome);
}
