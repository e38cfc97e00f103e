/*
 * Endpoints that fail: how often and since when is in their rows; one that is gone, or has failed for too long, is
 * disabled, so that nobody goes on knocking at a door that a person has to mend.
 *
 * What attempts came to is noted in the lane once it is stored, and written a moment later, in a transaction of its
 * own: a row that somebody has locked delays no delivery, and thousands of failures write one row.
 */
#include "endpoints/deliver.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "mb/pg_wchar.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* What is noted is written this long after the first of it. */
#define WRITE_DELAY USECS_PER_SEC

#define STATUS_GONE 410

static void
note(IntegDeliveryDesk *desk, IntegDeliveryLane *lane)
{
	if (lane->noted)
		return;
	if (dlist_is_empty(&desk->failing))
		desk->failing_since = GetCurrentTimestamp();
	dlist_push_tail(&desk->failing, &lane->failing);
	lane->noted = true;
}

void
integ_delivery_note(IntegDeliveryDesk *desk, const IntegDelivery *delivery)
{
	IntegDeliveryLane *lane;
	bool found;

	if (!delivery->counts)
		return;
	lane = hash_search(desk->lanes, &delivery->endpoint, HASH_FIND, &found);
	if (!found || (delivery->fate == INTEG_DELIVERY_DELIVERED && lane->steady))
		return;
	if (delivery->fate == INTEG_DELIVERY_DELIVERED)
	{
		lane->recovered = true;
		lane->failures = 0;
		lane->steady = true;
	}
	else
	{
		lane->steady = false;
		lane->failures++;
		lane->last_error[0] = '\0';
		strncat(lane->last_error, delivery->error,
				pg_mbcliplen(delivery->error, (int) strlen(delivery->error), INTEG_DELIVERY_ERROR - 1));
		lane->gone = delivery->sent && delivery->response.failure == INTEG_HTTP_OK &&
					 delivery->response.status == STATUS_GONE;
	}
	note(desk, lane);
	/* Nothing more is to be sent there. */
	if (lane->gone)
		lane->is_active = false;
}

TimestampTz
integ_deliveries_failing_due(const IntegDeliveryDesk *desk)
{
	return dlist_is_empty((dlist_head *) &desk->failing) ? DT_NOEND : desk->failing_since + WRITE_DELAY;
}

/* Counts the lane's failures; true where the endpoint is to be disabled, with a sentence that says why. */
static bool
count_failures(const IntegDeliveryLane *lane, char **reason)
{
	static IntegQuery count = {
		"UPDATE integ.endpoints e SET failures = CASE WHEN $2 THEN 0 ELSE e.failures END + $3,"
		" failing_since = CASE WHEN $3 = 0 THEN NULL WHEN $2 OR e.failing_since IS NULL THEN pg_catalog.clock_timestamp()"
		"  ELSE e.failing_since END,"
		" last_error = CASE WHEN $3 > 0 THEN $4 ELSE e.last_error END"
		" WHERE e.id = (SELECT id FROM integ.endpoints WHERE id = $1 AND ($3 > 0 OR failures > 0)"
		"  FOR NO KEY UPDATE SKIP LOCKED)"
		" RETURNING e.status <> 'disabled' AND ($6 OR ($5 > 0"
		"  AND e.failing_since <= pg_catalog.clock_timestamp() - $5 * interval '1 second')),"
		" CASE WHEN $6 THEN $4 ELSE pg_catalog.format('All %s attempts have failed since %s: %s', e.failures,"
		"  pg_catalog.to_char(e.failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC'), $4) END",
		6,
		{UUIDOID, BOOLOID, INT4OID, TEXTOID, INT4OID, BOOLOID}};
	Datum values[] = {UUIDPGetDatum(&lane->endpoint),
					  BoolGetDatum(lane->recovered),
					  Int32GetDatum(lane->failures),
					  CStringGetTextDatum(lane->last_error),
					  Int32GetDatum(integ_endpoint_disable_after),
					  BoolGetDatum(lane->gone)};

	if (integ_query(&count, values, NULL) == 0 || !integ_result_bool(0, 1))
		return false;
	*reason = integ_result_text(0, 2, CurrentMemoryContext);
	return true;
}

static void
disable(const pg_uuid_t *id, const char *reason)
{
	static IntegQuery update = {
		"UPDATE integ.endpoints SET status = 'disabled', status_reason = $2 WHERE id = $1"
		" RETURNING endpoint_id, client_id",
		2,
		{UUIDOID, TEXTOID}};
	Datum values[] = {UUIDPGetDatum(id), CStringGetTextDatum(reason)};
	IntegJsonBuilder payload;
	char *handle, *client;

	if (integ_query(&update, values, NULL) == 0)
		return;
	handle = integ_result_text(0, 1, CurrentMemoryContext);
	client = integ_result_text(0, 2, CurrentMemoryContext);
	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "endpoint_id", handle);
	integ_json_add_string(&payload, "reason", reason);
	integ_event_emit("endpoint.disabled", client, NULL, integ_json_end(&payload));
	integ_notify(NULL, client, "endpoint.disabled", psprintf("Endpoint \"%s\" was disabled: %s", handle, reason),
				 psprintf("Mend what is wrong, then switch it on: UPDATE integ.endpoints SET status = 'active' WHERE"
						  " endpoint_id = '%s'; integ_deliveries_replay('{\"endpoint\": \"%s\", \"since\": …}') repeats what was lost.",
						  handle, handle),
				 NULL);
}

void
integ_deliveries_failing_write(IntegDeliveryDesk *desk)
{
	IntegOwnerScope scope;
	dlist_iter iter;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	dlist_foreach (iter, &desk->failing)
	{
		const IntegDeliveryLane *lane = dlist_container(IntegDeliveryLane, failing, iter.cur);
		char *reason;

		if (count_failures(lane, &reason))
			disable(&lane->endpoint, reason);
	}
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	while (!dlist_is_empty(&desk->failing))
	{
		IntegDeliveryLane *lane = dlist_container(IntegDeliveryLane, failing, dlist_pop_head_node(&desk->failing));

		lane->noted = lane->recovered = lane->gone = false;
		lane->failures = 0;
	}
}
