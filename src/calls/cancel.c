/*
 * Who may manage a call, and integ_call_cancel.
 */
#include "calls/manage.h"

#include "approvals/approval.h"
#include "calls/done.h"
#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/shmem.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_call_cancel);

const char *
integ_call_require(const IntegActor *actor, const pg_uuid_t *call)
{
	static IntegQuery find = {
		"SELECT state, client_id, user_id FROM integ.calls_open WHERE id = $1"
		" UNION ALL SELECT state, client_id, user_id FROM integ.calls_done WHERE id = $1",
		1,
		{UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum value = UUIDPGetDatum(call);
	IntegOwnerScope scope;
	char *state = NULL;

	integ_owner_enter(&scope);
	if (integ_query_latest(&find, &value, NULL) > 0 &&
		integ_actor_manages(actor, integ_result_text(0, 2, CurrentMemoryContext),
							integ_result_text(0, 3, CurrentMemoryContext)))
		state = integ_result_text(0, 1, context);
	integ_owner_leave(&scope);
	if (state == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no call %s", integ_uuid_text(call)),
						errdetail("It does not exist, is not yours, or its transaction has not committed."),
						errhint("SELECT id, state FROM integ.calls shows the calls you see.")));
	return state;
}

/* Moves a call that does not run to history; false where it runs, or is not open. */
static bool
end_waiting(const pg_uuid_t *call)
{
	static IntegQuery end = {
		"WITH ended AS (DELETE FROM integ.calls_open o WHERE o.id = $1 AND o.state <> 'running' RETURNING o.*,"
		" 'cancelled' AS end_state, o.last_sqlstate AS end_sqlstate, o.last_error AS end_error, NULL AS end_detail,"
		" NULL AS end_hint, NULL::jsonb AS end_result, 0 AS end_interrupted)" INTEG_CALLS_TOLD,
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(call);

	if (integ_query(&end, &value, NULL) == 0)
		return false;
	/* The next call of its key may run now. */
	if (integ_result_bool(0, 1))
		integ_wake_note_all();
	integ_ended_tell(1);
	return true;
}

Datum
integ_call_cancel(PG_FUNCTION_ARGS)
{
	static IntegQuery mark = {
		"UPDATE integ.calls_open SET cancel_requested = true WHERE id = $1 AND state = 'running'", 1, {UUIDOID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "cancel calls");
	pg_uuid_t *call = PG_GETARG_UUID_P(0);
	Datum value = UUIDPGetDatum(call);
	const char *state = integ_call_require(actor, call);
	const char *result = NULL;
	IntegOwnerScope scope;

	if (strcmp(state, "approval") == 0)
		integ_approval_withdraw(actor, call);
	integ_owner_enter(&scope);
	/* It may begin to run, or go back to wait, between the two. */
	for (int i = 0; i < 3 && result == NULL; i++)
	{
		if (end_waiting(call))
			result = "cancelled";
		else if (integ_query(&mark, &value, NULL) > 0)
			result = "running";
	}
	integ_owner_leave(&scope);
	if (result == NULL)
	{
		state = integ_call_require(actor, call);
		if (strcmp(state, "cancelled") != 0)
			ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("call %s has ended", integ_uuid_text(call)),
							errdetail("Its state is \"%s\".", state)));
		result = "cancelled";
	}
	PG_RETURN_TEXT_P(cstring_to_text(result));
}
