/*
 * Sending and receiving, with no transaction open: all exchanges of the
 * dispatcher are one libcurl multi handle's, and a slow one holds nobody.
 */
#include "calls/dispatch.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "core/errors.h"
#include "core/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

void
integ_flight_answered(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	if (dispatcher->nanswered++ == 0)
		dispatcher->answered_since = GetCurrentTimestamp();
	if (flight->call == NULL || flight->call->course == NULL)
		integ_lane_leave(dispatcher, flight);
	dlist_push_tail(&dispatcher->answered, &flight->node);
}

bool
integ_dispatcher_is_closed(const IntegDispatcher *dispatcher)
{
	return integ_hold || dispatcher->database->held != INTEG_HELD_NO ||
		   dispatcher->database->state != INTEG_DATABASE_RUNNING;
}

/* Outcome slots are shared with the sessions of the database: half of them is theirs. */
static int
writes_allowed(void)
{
	return Min(integ_shmem_outcomes() / 2, INTEG_BATCH_MAX);
}

/* Ready writes, as many as there is room for, whose intents are on disk when this returns. */
static void
record_intents(IntegDispatcher *dispatcher)
{
	static IntegAuditEntry entries[INTEG_BATCH_MAX];
	static IntegIntent *intents[INTEG_BATCH_MAX];
	static IntegFlight *writes[INTEG_BATCH_MAX];
	MemoryContext old = CurrentMemoryContext;
	int count = 0;
	dlist_iter iter;

	dlist_foreach (iter, &dispatcher->ready)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		if (!flight->call->exchange->is_write || flight->call->intent != NULL)
			continue;
		if (dispatcher->nwrites + count >= writes_allowed())
			break;
		entries[count] = integ_call_intent(flight->call);
		writes[count++] = flight;
	}
	if (count == 0)
		return;
	/* In a transaction, which they outlive, they go into the journal, and nobody is waited for. */
	StartTransactionCommand();
	integ_record_intents(entries, count, true, intents);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	for (int i = 0; i < count; i++)
	{
		writes[i]->call->intent = intents[i];
		if (intents[i] != NULL)
			dispatcher->nwrites++;
		else
			writes[i]->outcome =
				(IntegOutcome){.sqlerrcode = ERRCODE_INTEG_INSTALLATION,
							   .message = "the write could not be recorded, so it was not sent",
							   .detail = "The recorder did not write its row of the audit.",
							   .hint = "SELECT * FROM integ_status() says what the recorder does."};
		writes[i]->closed = intents[i] == NULL;
	}
}

static void
take_off(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	integ_call_leaves(flight->call);
	flight->transfer = integ_transfer_start(dispatcher->pool, &flight->call->request, flight);
	if (flight->transfer == NULL)
		dispatcher->out_of_memory = true;
	dlist_push_tail(&dispatcher->flying, &flight->node);
	dispatcher->nflying++;
}

static void
land(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	integ_transfer_finish(flight->transfer, &flight->response);
	flight->transfer = NULL;
	flight->call->response = &flight->response;
	integ_call_mask(flight->call);
	integ_call_answered(flight->call);
	dlist_delete(&flight->node);
	dispatcher->nflying--;
	integ_flight_answered(dispatcher, flight);
}

static void
land_done(IntegDispatcher *dispatcher)
{
	IntegTransfer *transfer;

	while ((transfer = integ_transfer_next_done(dispatcher->pool)) != NULL)
		land(dispatcher, integ_transfer_owner(transfer));
}

void
integ_send(IntegDispatcher *dispatcher)
{
	dlist_mutable_iter iter;

	if (dlist_is_empty(&dispatcher->ready))
		return;
	record_intents(dispatcher);
	/* As a rule the intents have taken the marks with them. */
	XLogFlush(dispatcher->marked_until);
	dlist_foreach_modify(iter, &dispatcher->ready)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		if (flight->outcome.sqlerrcode != 0)
		{
			dlist_delete(&flight->node);
			integ_flight_answered(dispatcher, flight);
		}
		else if (!flight->call->exchange->is_write || flight->call->intent != NULL)
		{
			dlist_delete(&flight->node);
			take_off(dispatcher, flight);
		}
	}
	/* What is answered, or has failed, while others are sent gives no event to wait for. */
	land_done(dispatcher);
}

void
integ_receive(IntegDispatcher *dispatcher)
{
	dlist_mutable_iter iter;

	/* Also with none under way: the other end may have closed a kept connection, which is news until it is taken. */
	integ_transfer_drive(dispatcher->pool);
	land_done(dispatcher);
	if (!dispatcher->out_of_memory)
		return;
	/* What could not even be started. */
	dlist_foreach_modify(iter, &dispatcher->flying)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		if (flight->transfer == NULL)
			land(dispatcher, flight);
	}
	dispatcher->out_of_memory = false;
}

/* A call that has not left goes back as it was. */
static void
turn_back(IntegDispatcher *dispatcher, dlist_head *list)
{
	while (!dlist_is_empty(list))
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, dlist_pop_head_node(list));

		flight->outcome = (IntegOutcome){.sqlerrcode = ERRCODE_ADMIN_SHUTDOWN,
										 .message = "the dispatcher stopped before the call was sent"};
		integ_flight_answered(dispatcher, flight);
	}
}

void
integ_give_up(IntegDispatcher *dispatcher)
{
	integ_asking_give_up(dispatcher);
	turn_back(dispatcher, &dispatcher->claimed);
	turn_back(dispatcher, &dispatcher->ready);
	while (!dlist_is_empty(&dispatcher->flying))
		land(dispatcher, dlist_container(IntegFlight, node, dlist_head_node(&dispatcher->flying)));
}
