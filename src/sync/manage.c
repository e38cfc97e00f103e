/*
 * integ_sync_cancel, integ_sync_pause, integ_sync_resume: as the rows say that
 * can be updated as well, in the caller's transaction.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "sync/task.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(integ_sync_cancel);
PG_FUNCTION_INFO_V1(integ_sync_pause);
PG_FUNCTION_INFO_V1(integ_sync_resume);

/* integ_sync_cancel(execution) */
Datum
integ_sync_cancel(PG_FUNCTION_ARGS)
{
	static IntegQuery find = {
		"SELECT client_id, context_id, status FROM integ.sync_executions_open WHERE id = $1 FOR UPDATE", 1, {UUIDOID}};
	static IntegQuery cancel = {
		"UPDATE integ.sync_executions_open SET cancel_requested = true, reason = 'cancelled by ' || $2 WHERE id = $1",
		2,
		{UUIDOID, TEXTOID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "cancel executions");
	const char *who = actor->user != NULL ? actor->user : GetUserNameFromId(actor->role, false);
	MemoryContext context = CurrentMemoryContext;
	Datum values[] = {PG_GETARG_DATUM(0), CStringGetTextDatum(who)};
	IntegOwnerScope scope;
	char *status = NULL;

	integ_owner_enter(&scope);
	if (integ_query(&find, values, NULL) > 0 &&
		integ_sync_may_manage(actor, integ_result_text(0, 1, context), integ_result_text(0, 2, context)))
	{
		status = integ_result_text(0, 3, context);
		(void) integ_query(&cancel, values, NULL);
	}
	integ_owner_leave(&scope);
	if (status == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("there is no execution %s that waits or runs", integ_uuid_text(PG_GETARG_UUID_P(0))),
						errhint("SELECT execution, task_id, status FROM integ.sync_progress shows those that you see.")));
	PG_RETURN_TEXT_P(cstring_to_text(status));
}

/* Returns next_run_at as the row then has it. */
static Datum
set_status(FunctionCallInfo fcinfo, const char *status, const char *action, bool *isnull)
{
	static IntegQuery update = {
		"UPDATE integ.sync_tasks SET status = $2, updated_at = pg_catalog.now(),"
		" last_error = CASE WHEN $2 = 'active' AND status = 'error' THEN NULL ELSE last_error END"
		" WHERE id = $1 RETURNING next_run_at",
		2,
		{UUIDOID, TEXTOID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "manage sync tasks");
	pg_uuid_t task = integ_sync_task_require(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), action, false);
	Datum values[] = {UUIDPGetDatum(&task), CStringGetTextDatum(status)};
	IntegOwnerScope scope;
	Datum next;

	integ_owner_enter(&scope);
	if (integ_query(&update, values, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("the sync task is not there any more")));
	next = integ_result_datum(0, 1, isnull);
	integ_owner_leave(&scope);
	return next;
}

/* integ_sync_pause(task) */
Datum
integ_sync_pause(PG_FUNCTION_ARGS)
{
	bool isnull;

	(void) set_status(fcinfo, "paused", "pause", &isnull);
	PG_RETURN_VOID();
}

/* integ_sync_resume(task) */
Datum
integ_sync_resume(PG_FUNCTION_ARGS)
{
	bool isnull;
	Datum next = set_status(fcinfo, "active", "resume", &isnull);

	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(next);
}
