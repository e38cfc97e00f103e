/*
 * Asking: a flight whose definition has functions around the requests waits
 * for their answers, while others go on.
 */
#include "calls/dispatch.h"

#include "core/errors.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Looks so soon again whether there is room to ask. */
#define ROOM_PAUSE (50 * INT64CONST(1000))

/* The answer of a service that a function is still asked about. */
static bool
has_response(const IntegFlight *flight)
{
	return flight->call->response != NULL;
}

/* Back to where it came from, with the answer. */
static void
take_back(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	if (flight->ticket != NULL)
		integ_handler_drop(flight->ticket);
	flight->ticket = NULL;
	flight->answered = true;
	dlist_delete(&flight->node);
	if (!has_response(flight))
	{
		dlist_push_tail(&dispatcher->claimed, &flight->node);
		return;
	}
	if (dispatcher->nanswered++ == 0)
		dispatcher->answered_since = GetCurrentTimestamp();
	dlist_push_tail(&dispatcher->answered, &flight->node);
}

/* Raised by what cannot even be asked: that is the answer then. */
static void
answer_error(IntegFlight *flight)
{
	ErrorData *error;

	MemoryContextSwitchTo(flight->context);
	error = CopyErrorData();
	FlushErrorState();
	flight->answer = (IntegHandlerAnswer){
		.sqlerrcode = error->sqlerrcode, .message = error->message, .detail = error->detail, .hint = error->hint};
}

/* Others wait for answers too: one that there is no room for is asked later. */
static void
try_to_ask(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool asked = true;

	if (!integ_handler_has_room())
		return;
	PG_TRY();
	{
		flight->ticket = integ_call_ask(flight->call, flight->question);
	}
	PG_CATCH();
	{
		answer_error(flight);
		asked = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	if (!asked)
		take_back(dispatcher, flight);
}

void
integ_flight_ask(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	flight->answered = false;
	flight->ticket = NULL;
	dlist_push_tail(&dispatcher->asking, &flight->node);
	try_to_ask(dispatcher, flight);
}

void
integ_asking_poll(IntegDispatcher *dispatcher)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &dispatcher->asking)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);
		MemoryContext old = MemoryContextSwitchTo(flight->call->context);

		if (flight->ticket == NULL)
			try_to_ask(dispatcher, flight);
		else if (integ_handler_poll(flight->ticket, &flight->answer))
			take_back(dispatcher, flight);
		MemoryContextSwitchTo(old);
	}
}

TimestampTz
integ_asking_due(IntegDispatcher *dispatcher)
{
	TimestampTz due = DT_NOEND;
	dlist_iter iter;

	dlist_foreach (iter, &dispatcher->asking)
	{
		const IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		due = Min(due, flight->ticket != NULL ? integ_handler_deadline(flight->ticket)
											  : GetCurrentTimestamp() + ROOM_PAUSE);
	}
	return due;
}

void
integ_asking_give_up(IntegDispatcher *dispatcher)
{
	while (!dlist_is_empty(&dispatcher->asking))
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, dlist_head_node(&dispatcher->asking));

		/* What was sent is not sent again for it. */
		flight->answer = (IntegHandlerAnswer){
			.sqlerrcode = has_response(flight) ? ERRCODE_INTEG_INSTALLATION : ERRCODE_ADMIN_SHUTDOWN,
			.message = "the dispatcher stopped while it waited for the definition's function"};
		take_back(dispatcher, flight);
	}
}
