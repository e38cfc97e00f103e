/*
 * Instances that fail for long: so many calls that ended in a final failure, one after the other, over so long a time
 * switch the instance off, so that nobody goes on knocking at a door that a person has to mend.
 *
 * Outcomes are noted in the lane as they are stored, and failures written to integ.instances a moment later, in a
 * transaction of their own: a row that somebody has locked delays no outcome. A success after them begins the count
 * anew; that of another process is known by last_succeeded_at.
 */
#include "calls/dispatch.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "mb/pg_wchar.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Failures are written together this long after the first of them. */
#define WRITE_DELAY USECS_PER_SEC

/* Whether the failure may be the instance's: the service was asked, or cannot be. What a caller did wrong is not. */
static bool
concerns_instance(const IntegFlight *flight)
{
	switch (flight->outcome.sqlerrcode)
	{
		case ERRCODE_INTEG_UNAUTHENTICATED:
		case ERRCODE_INTEG_CIRCUIT_OPEN:
			return true;
		case ERRCODE_INTEG_REFUSED:
		case ERRCODE_INTEG_BAD_ANSWER:
		case ERRCODE_INTEG_UNREACHABLE:
			return flight->finished;
		default:
			return false;
	}
}

/* The failure in few words, of INTEG_FAILURE_TEXT bytes at most. */
static void
describe(const IntegOutcome *outcome, char *text)
{
	char *whole = psprintf("%s%s%s", outcome->message, outcome->detail != NULL ? ": " : "",
						   outcome->detail != NULL ? outcome->detail : "");

	text[0] = '\0';
	strncat(text, whole, pg_mbcliplen(whole, (int) strlen(whole), INTEG_FAILURE_TEXT - 1));
	pfree(whole);
}

void
integ_failing_note(IntegDispatcher *dispatcher, const IntegFlight *flight)
{
	IntegLane *lane;

	if (flight->verdict.kind == INTEG_VERDICT_SUCCEEDED)
	{
		lane = integ_lane_get(dispatcher, &flight->instance);
		lane->recovered = true;
		if (lane->failures > 0)
			dlist_delete(&lane->failing);
		lane->failures = 0;
		return;
	}
	if (flight->verdict.kind == INTEG_VERDICT_RETRY || flight->verdict.kind == INTEG_VERDICT_NEXT ||
		!concerns_instance(flight))
		return;
	lane = integ_lane_get(dispatcher, &flight->instance);
	if (dlist_is_empty(&dispatcher->failing))
		dispatcher->failing_since = GetCurrentTimestamp();
	if (lane->failures++ == 0)
		dlist_push_tail(&dispatcher->failing, &lane->failing);
	describe(&flight->outcome, lane->last_failure);
}

TimestampTz
integ_failing_due(IntegDispatcher *dispatcher)
{
	return dlist_is_empty(&dispatcher->failing) ? DT_NOEND : dispatcher->failing_since + WRITE_DELAY;
}

/* Counts the lane's failures; true where the instance is to be switched off, with a sentence that says why. */
static bool
count_failures(const IntegLane *lane, char **reason)
{
	static IntegQuery count = {
		"UPDATE integ.instances i SET failures = CASE WHEN l.anew THEN 0 ELSE i.failures END + $2,"
		" failing_since = CASE WHEN l.anew THEN pg_catalog.clock_timestamp() ELSE i.failing_since END"
		" FROM (SELECT id, $3 OR failing_since IS NULL OR last_succeeded_at > failing_since AS anew"
		"       FROM integ.instances WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED) l"
		" WHERE i.id = l.id"
		" RETURNING i.is_active AND i.failures >= $4"
		" AND i.failing_since <= pg_catalog.clock_timestamp() - $5 * interval '1 second',"
		" pg_catalog.format('The last %s calls have failed, since %s: %s', i.failures,"
		" pg_catalog.to_char(i.failing_since, 'YYYY-MM-DD HH24:MI:SSOF'), $6)",
		6,
		{UUIDOID, INT4OID, BOOLOID, INT4OID, INT4OID, TEXTOID}};
	Datum values[] = {UUIDPGetDatum(&lane->instance), Int32GetDatum(lane->failures), BoolGetDatum(lane->recovered),
					  Int32GetDatum(integ_deactivate_after_failures), Int32GetDatum(integ_deactivate_after),
					  CStringGetTextDatum(lane->last_failure)};

	if (integ_query(&count, values, NULL) == 0 || !integ_result_bool(0, 1) || integ_deactivate_after_failures == 0)
		return false;
	*reason = integ_result_text(0, 2, CurrentMemoryContext);
	return true;
}

static void
switch_off(const pg_uuid_t *id, const char *reason)
{
	static IntegQuery find = {
		"SELECT instance_id, client_id, CASE WHEN context_type = 'user' THEN context_id END,"
		" CASE WHEN status IN ('initializing', 'active') THEN 'error' ELSE status END, definition"
		" FROM integ.instances WHERE id = $1",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(id);
	char *handle, *client, *recipient, *definition;
	IntegJsonBuilder payload;

	if (integ_query(&find, &value, NULL) == 0)
		return;
	handle = integ_result_text(0, 1, CurrentMemoryContext);
	client = integ_result_text(0, 2, CurrentMemoryContext);
	recipient = integ_result_text(0, 3, CurrentMemoryContext);
	definition = integ_result_text(0, 5, CurrentMemoryContext);
	integ_instance_set_status(id, integ_result_text(0, 4, CurrentMemoryContext), reason, true);
	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "instance_id", handle);
	integ_json_add_string(&payload, "definition", definition);
	integ_json_add_string(&payload, "reason", reason);
	integ_event_emit("instance.deactivated", client, id, integ_json_end(&payload));
	integ_notify(recipient, client, "instance.deactivated", psprintf("\"%s\" was switched off: %s", handle, reason),
				 psprintf("Mend what is wrong, then switch it on: UPDATE integ.instances SET is_active = true WHERE"
						  " instance_id = '%s'; integ_calls_retry('{\"instance\": \"%s\", \"since\": …}') repeats its calls.",
						  handle, handle),
				 NULL);
}

void
integ_failing_write(IntegDispatcher *dispatcher)
{
	IntegOwnerScope scope;
	dlist_iter iter;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	dlist_foreach (iter, &dispatcher->failing)
	{
		const IntegLane *lane = dlist_container(IntegLane, failing, iter.cur);
		char *reason;

		if (count_failures(lane, &reason))
			switch_off(&lane->instance, reason);
	}
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	while (!dlist_is_empty(&dispatcher->failing))
	{
		IntegLane *lane = dlist_container(IntegLane, failing, dlist_pop_head_node(&dispatcher->failing));

		lane->failures = 0;
		lane->recovered = false;
	}
}
