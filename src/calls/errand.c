/*
 * Errands: which there are, how they become calls, and how their steps are guarded.
 */
#include "calls/errand.h"

#include "access/xact.h"
#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "webhooks/poll.h"
#include "webhooks/registration.h"

/* One that never ends, and whose outcome the tables did not take, comes again after this. */
#define RETRY_DELAY USECS_PER_MINUTE

/* A capability adds its errands here. */
static const IntegErrand *const errands[] = {
	&integ_registration_errand, &integ_abandoned_errand, &integ_poll_errand};

const IntegErrand *
integ_errand_find(const char *purpose)
{
	for (size_t i = 0; purpose != NULL && i < lengthof(errands); i++)
		if (strcmp(errands[i]->purpose, purpose) == 0)
			return errands[i];
	return NULL;
}

bool
integ_errand_enqueue(const IntegErrandCall *call, pg_uuid_t *id)
{
	static IntegQuery insert = {
		"INSERT INTO integ.calls_open (id, instance, run_at, next_attempt_at, owner, max_attempts, is_write, client_id,"
		" user_id, instance_id, definition_id, method, input, purpose, subject, repeatable)"
		" SELECT $1, i.id, $3, $3, $4::pg_catalog.regrole, $5, $6, $7, $8, i.instance_id, i.definition, $9, $10, $11, $12,"
		" $13 FROM integ.instances i WHERE i.id = $2",
		13,
		{UUIDOID, UUIDOID, TIMESTAMPTZOID, OIDOID, INT4OID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID,
		 UUIDOID, BOOLOID}};
	char nulls[] = "             ";
	Datum values[13];

	integ_uuid_make(id);
	values[0] = UUIDPGetDatum(id);
	values[1] = UUIDPGetDatum(call->instance);
	values[2] = TimestampTzGetDatum(call->run_at);
	values[3] = ObjectIdGetDatum(call->owner);
	values[4] = Int32GetDatum(call->max_attempts);
	values[5] = BoolGetDatum(call->is_write);
	values[6] = CStringGetTextDatum(call->client_id);
	values[7] = integ_value_text(call->user_id, &nulls[7]);
	values[8] = CStringGetTextDatum(call->method);
	values[9] = JsonbPGetDatum(call->input == NULL ? integ_json_empty_object() : call->input);
	values[10] = CStringGetTextDatum(call->purpose);
	values[11] = UUIDPGetDatum(call->subject);
	values[12] = BoolGetDatum(call->repeatable);
	integ_wake_note(0, call->run_at);
	return integ_query(&insert, values, nulls) > 0;
}

/* Whoever takes it back knows: the trigger that tells of calls which ended otherwise is not to. */
void
integ_errand_take_back(const pg_uuid_t *call)
{
	static IntegQuery disown = {
		"UPDATE integ.calls_open SET purpose = NULL WHERE id = $1 AND state <> 'running' AND purpose IS NOT NULL",
		1,
		{UUIDOID}};
	static IntegQuery end = {"DELETE FROM integ.calls_open WHERE id = $1", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(call);

	if (integ_query(&disown, &value, NULL) > 0)
		(void) integ_query(&end, &value, NULL);
}

/* Runs a step in a subtransaction; false where it raised, with that as the flight's outcome. */
static bool
run_guarded(IntegFlight *flight, void (*step)(IntegFlight *flight))
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old = CurrentMemoryContext;
	volatile bool done = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(flight->context);
	PG_TRY();
	{
		step(flight);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(flight->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		/* As where a row is locked: the dispatcher stores it later. */
		if (integ_passes_by_itself(error->sqlerrcode))
			ReThrowError(error);
		flight->outcome = (IntegOutcome){.sqlerrcode = error->sqlerrcode,
										 .message = error->message,
										 .detail = error->detail,
										 .hint = error->hint};
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return done;
}

void
integ_errand_receive(IntegFlight *flight)
{
	if (flight->errand->receive != NULL)
		(void) run_guarded(flight, flight->errand->receive);
}

static void
settle_as_owner(IntegFlight *flight)
{
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	flight->errand->settle(flight);
	integ_owner_leave(&scope);
}

void
integ_errand_settle(IntegFlight *flight)
{
	/* The transaction of the last time failed: from the beginning. */
	if (flight->settling)
	{
		flight->outcome = flight->judged_outcome;
		flight->verdict = flight->judged_verdict;
	}
	flight->settling = true;
	flight->judged_outcome = flight->outcome;
	flight->judged_verdict = flight->verdict;
	if (run_guarded(flight, settle_as_owner))
		return;
	flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_FAILED};
	if (flight->errand->perpetual)
		flight->verdict = (IntegVerdict){
			.kind = INTEG_VERDICT_RETRY, .retry_at = GetCurrentTimestamp() + RETRY_DELAY, .waits = true};
}
