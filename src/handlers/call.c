/*
 * Calling a function in a handler worker: one transaction, as the session's user.
 *
 * Its time is limited twice. The first limit cancels the function, which it
 * may catch; the second, a moment later, ends the process, which it may not.
 */
#include "handlers/worker.h"

#include <unistd.h>

#include "../background_workers/worker.h"
#include "access/xact.h"
#include "access/actor.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/errors.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

/* What a function has after its time is over, to end by itself. */
#define GRACE_MS 5000

static TimeoutId last_limit;

static void
end_process(void)
{
	kill(MyProcPid, SIGTERM);
}

void
integ_handler_call_init(void)
{
	last_limit = RegisterTimeout(USER_TIMEOUT, end_process);
}

static void
limit_time(int64 timeout_ms)
{
	enable_timeout_after(STATEMENT_TIMEOUT, (int) timeout_ms);
	enable_timeout_after(last_limit, (int) timeout_ms + GRACE_MS);
}

/* What came too late, or was meant for this call, does not interrupt the next. */
static void
end_time_limit(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	disable_timeout(last_limit, false);
	QueryCancelPending = false;
}

/* As when it was named: it may have been dropped or replaced since, and rights taken away. */
static Oid
look_up(const char *name)
{
	char *full = integ_handler_resolve(GetUserId(), name, "the handler");
	Oid argument = JSONBOID;

	return LookupFuncName(integ_qualified_names(full), 1, &argument, false);
}

static Jsonb *
invoke(Oid function, const Jsonb *argument, MemoryContext context)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo flinfo;
	Jsonb *result = NULL;
	Datum value;

	InvokeFunctionExecuteHook(function);
	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(argument);
	fcinfo->args[0].isnull = false;
	value = FunctionCallInvoke(fcinfo);
	if (!fcinfo->isnull && get_func_rettype(function) == JSONBOID)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		result = DatumGetJsonbPCopy(value);
		MemoryContextSwitchTo(old);
	}
	return result;
}

/* Returns with the transaction committed, or raises. */
static Jsonb *
call_in_transaction(const IntegHandlerCall *call, MemoryContext context)
{
	Jsonb *result;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	limit_time(call->timeout_ms);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (call->subject.client_id != NULL)
		integ_actor_assume(call->subject.client_id, call->subject.user_id);
	result = invoke(look_up(call->function), call->argument, context);
	if (call->finish != NULL)
		call->finish(call->arg, result);
	PopActiveSnapshot();
	/* Deferred triggers and constraints run here: as the session's user, and within the time. */
	CommitTransactionCommand();
	end_time_limit();
	return result;
}

static void
keep_error(IntegHandlerAnswer *answer, const ErrorData *error, int64 timeout_ms)
{
	answer->sqlerrcode = error->sqlerrcode;
	answer->message = error->message;
	answer->detail = error->detail;
	answer->hint = error->hint;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && answer->hint == NULL)
		answer->hint = psprintf("It has %lld ms: integ.handler_timeout, or the timeout given with it.",
								(long long) timeout_ms);
}

void
integ_handler_call(const IntegHandlerCall *call, IntegHandlerAnswer *answer)
{
	MemoryContext context = CurrentMemoryContext;
	char *activity = psprintf("SELECT %s(…)", call->function);

	memset(answer, 0, sizeof(*answer));
	debug_query_string = activity;
	pgstat_report_activity(STATE_RUNNING, activity);
	PG_TRY();
	{
		answer->result = call_in_transaction(call, context);
	}
	PG_CATCH();
	{
		ErrorData *error;

		end_time_limit();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		answer->result = NULL;
		keep_error(answer, error, call->timeout_ms);
	}
	PG_END_TRY();
	integ_worker_forget_session();
	MemoryContextSwitchTo(context);
	debug_query_string = NULL;
	pgstat_report_activity(STATE_IDLE, NULL);
}
