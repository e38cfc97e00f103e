/*
 * Ending deliveries before they are made.
 */
#include "endpoints/deliver.h"
#include "endpoints/done.h"
#include "endpoints/manage.h"

#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_delivery_cancel);

void
integ_deliveries_abandon(const pg_uuid_t *endpoint)
{
	static IntegQuery end = {
		"WITH ended AS (DELETE FROM integ.deliveries_open o WHERE o.endpoint = $1 RETURNING o.*,"
		" 'cancelled' AS end_state, o.last_status AS end_status,"
		" coalesce(o.last_error, 'the endpoint was deleted') AS end_error, 0 AS end_interrupted)" INTEG_DELIVERIES_DONE,
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(endpoint);

	(void) integ_query(&end, &value, NULL);
}

char *
integ_delivery_require(const IntegActor *actor, const pg_uuid_t *delivery)
{
	static IntegQuery find = {
		"SELECT state, client_id FROM integ.deliveries_open WHERE id = $1"
		" UNION ALL SELECT state, client_id FROM integ.deliveries_done WHERE id = $1",
		1,
		{UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum value = UUIDPGetDatum(delivery);
	char *state = NULL;

	if (integ_query_latest(&find, &value, NULL) > 0 &&
		(actor->level == INTEG_LEVEL_SUPERADMIN ||
		 strcmp(integ_result_text(0, 2, context), actor->client) == 0))
		state = integ_result_text(0, 1, context);
	MemoryContextSwitchTo(context);
	if (state == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no delivery %s", integ_uuid_text(delivery)),
						errdetail("It does not exist, is not yours, or its transaction has not committed."),
						errhint("SELECT id, state FROM integ.deliveries shows the deliveries you see.")));
	return state;
}

/* Moves one that is not being sent to history; false where it is sent, or not open. */
static bool
end_waiting(const pg_uuid_t *delivery)
{
	static IntegQuery end = {
		"WITH ended AS (DELETE FROM integ.deliveries_open o WHERE o.id = $1 AND o.state <> 'sending' RETURNING o.*,"
		" 'cancelled' AS end_state, o.last_status AS end_status, o.last_error AS end_error,"
		" 0 AS end_interrupted)" INTEG_DELIVERIES_DONE,
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(delivery);

	if (integ_query(&end, &value, NULL) == 0)
		return false;
	/* The next one of its key may be made now. */
	if (integ_result_bool(0, 2))
		integ_wake_note_deliveries(DT_NOBEGIN);
	return true;
}

Datum
integ_delivery_cancel(PG_FUNCTION_ARGS)
{
	static IntegQuery mark = {
		"UPDATE integ.deliveries_open SET cancel_requested = true WHERE id = $1 AND state = 'sending'", 1, {UUIDOID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_ADMIN, "cancel deliveries");
	pg_uuid_t *delivery = PG_GETARG_UUID_P(0);
	Datum value = UUIDPGetDatum(delivery);
	const char *result = NULL;
	IntegOwnerScope scope;
	char *state;

	integ_owner_enter(&scope);
	(void) integ_delivery_require(actor, delivery);
	/* It may begin to be sent, or go back to wait, between the two. */
	for (int i = 0; i < 3 && result == NULL; i++)
	{
		if (end_waiting(delivery))
			result = "cancelled";
		else if (integ_query(&mark, &value, NULL) > 0)
			result = "sending";
	}
	state = result == NULL ? integ_delivery_require(actor, delivery) : NULL;
	if (state != NULL && strcmp(state, "cancelled") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("delivery %s has ended", integ_uuid_text(delivery)),
						errdetail("Its state is \"%s\".", state)));
	integ_owner_leave(&scope);
	PG_RETURN_TEXT_P(cstring_to_text(result != NULL ? result : "cancelled"));
}
