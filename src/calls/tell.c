/*
 * integ.action.executed of durable calls, in the transaction that writes down how they ended.
 */
#include "calls/dispatch.h"
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

void
integ_flights_tell(IntegFlight *const *flights, int count)
{
	IntegOwnEvents events;
	IntegOwnerScope scope;

	integ_own_events_begin(&events);
	for (int i = 0; i < count; i++)
	{
		const IntegFlight *flight = flights[i];
		const char *state = integ_verdict_state(flight->verdict.kind);

		/* What is integ's own errand is no action of anybody's; what was cancelled was not executed. */
		if (flight->settled || flight->errand != NULL || state == NULL ||
			!integ_own_event_asked_for(flight->client_id, INTEG_ACTION_EXECUTED))
			continue;
		integ_own_events_add(&events, flight->client_id, INTEG_ACTION_EXECUTED, &flight->instance,
							 describe(flight, state));
	}
	if (events.count == 0)
		return;
	integ_owner_enter(&scope);
	integ_own_events_publish(&events);
	integ_owner_leave(&scope);
}
