/*
 * integ.action.executed of durable calls, in the transaction that writes down how they ended.
 */
#include "calls/dispatch.h"
#include "calls/done.h"
#include "core/owner.h"
#include "endpoints/events.h"
#include "execute/tell.h"

static Jsonb *
describe(const IntegFlight *flight, const char *state)
{
	const IntegCall *call = flight->call;
	bool is_resolved = call != NULL && call->instance != NULL;
	IntegRecordSubject known = {.call_id = flight->id,
								.user_id = flight->user_id,
								.instance_id = flight->instance_id,
								.method = flight->method,
								.definition_id = is_resolved ? call->subject.definition_id : NULL};
	IntegAction action = {.subject = &known,
						  .is_write = flight->is_write,
						  .state = state,
						  .attempts = Max(flight->attempt - flight->interrupted, 1),
						  .duration_us = call != NULL && call->response != NULL ? GetCurrentTimestamp() - call->began_at
																				: -1,
						  .sqlerrcode = flight->outcome.sqlerrcode,
						  .message = flight->outcome.message};

	return integ_action_describe(&action);
}

/* How it ended; NULL: cancelled before anything of it was sent. */
static const char *
state_of(const IntegFlight *flight)
{
	const char *state = integ_verdict_state(flight->verdict.kind);
	bool was_sent = flight->call != NULL && flight->call->response != NULL;
	int earlier = flight->attempt - flight->interrupted - 1;

	if (state != NULL)
		return state;
	return was_sent || earlier > 0 ? "cancelled" : NULL;
}

static void
publish(const IntegOwnEvents *events)
{
	IntegOwnerScope scope;

	if (events->count == 0)
		return;
	integ_owner_enter(&scope);
	integ_own_events_publish(events);
	integ_owner_leave(&scope);
}

void
integ_flights_tell(IntegFlight *const *flights, int count)
{
	IntegOwnEvents events;

	integ_own_events_begin(&events);
	for (int i = 0; i < count; i++)
	{
		const IntegFlight *flight = flights[i];
		const char *state;

		/* What is integ's own errand is no action of anybody's. */
		if (flight->settled || flight->errand != NULL ||
			!integ_own_event_asked_for(flight->client_id, INTEG_ACTION_EXECUTED) || (state = state_of(flight)) == NULL)
			continue;
		integ_own_events_add(&events, flight->client_id, INTEG_ACTION_EXECUTED, &flight->instance,
							 describe(flight, state));
	}
	publish(&events);
}

/* --- without a flight --- */

typedef struct Ended
{
	const char *client_id;
	pg_uuid_t instance;
	IntegRecordSubject subject;
	IntegAction action;
	bool is_told;
} Ended;

static int
sqlstate_code(const char *text)
{
	return text == NULL ? 0 : MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
}

/* A row of INTEG_CALLS_TOLD, in CurrentMemoryContext. */
static void
read_ended(uint64 row, Ended *ended)
{
	MemoryContext context = CurrentMemoryContext;
	int attempts = (int) integ_result_int8(row, 11);
	bool isnull;

	ended->subject.call_id = *DatumGetUUIDP(integ_result_datum(row, 2, &isnull));
	ended->instance = *DatumGetUUIDP(integ_result_datum(row, 3, &isnull));
	ended->client_id = integ_result_text(row, 4, context);
	ended->subject.user_id = integ_result_text(row, 5, context);
	ended->subject.instance_id = integ_result_text(row, 6, context);
	ended->subject.definition_id = integ_result_text(row, 7, context);
	ended->subject.method = integ_result_text(row, 8, context);
	ended->action = (IntegAction){.subject = &ended->subject,
								  .is_write = integ_result_bool(row, 9),
								  .state = integ_result_text(row, 10, context),
								  .attempts = Max(attempts, 1),
								  .duration_us = -1,
								  .sqlerrcode = sqlstate_code(integ_result_text(row, 12, context)),
								  .message = integ_result_text(row, 13, context)};
	ended->is_told = (attempts > 0 || strcmp(ended->action.state, "unknown") == 0) && !integ_result_bool(row, 14);
}

void
integ_ended_tell(uint64 count)
{
	Ended *ended = palloc0(Max(count, 1) * sizeof(Ended));
	IntegOwnEvents events;

	/* All of them first: to ask who listens may run a statement. */
	for (uint64 i = 0; i < count; i++)
		read_ended(i, &ended[i]);
	integ_own_events_begin(&events);
	for (uint64 i = 0; i < count; i++)
		if (ended[i].is_told && integ_own_event_asked_for(ended[i].client_id, INTEG_ACTION_EXECUTED))
			integ_own_events_add(&events, ended[i].client_id, INTEG_ACTION_EXECUTED, &ended[i].instance,
								 integ_action_describe(&ended[i].action));
	publish(&events);
}
