/*
 * Sending and receiving, with no transaction open: all requests of the desk are one libcurl multi handle's, and a slow
 * one holds back nobody.
 */
#include "endpoints/deliver.h"

#include "core/errors.h"
#include "execute/call.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* So much of an answer is kept, in bytes. */
#define EXCERPT_BYTES 1000

void
integ_delivery_answered(IntegDeliveryDesk *desk, IntegDelivery *delivery)
{
	if (desk->nanswered++ == 0)
		desk->answered_since = GetCurrentTimestamp();
	integ_delivery_leave(desk, delivery->lane, delivery->sent);
	delivery->lane = NULL;
	dlist_push_tail(&desk->answered, &delivery->node);
}

/* The beginning of the answer as a text of the database; without what is no UTF-8 any more. */
static void
keep_excerpt(IntegDelivery *delivery)
{
	const IntegHttpResponse *response = &delivery->response;
	int len = response->body == NULL ? 0 : (int) Min(response->body_len, EXCERPT_BYTES);
	int valid = pg_encoding_verifymbstr(PG_UTF8, response->body == NULL ? "" : response->body, len);

	if (valid > 0)
		delivery->excerpt = MemoryContextStrdup(delivery->context, pnstrdup(response->body, valid));
	else if (len > 0)
		delivery->excerpt = MemoryContextStrdup(delivery->context, "(no text)");
}

static void
land(IntegDeliveryDesk *desk, IntegDelivery *delivery)
{
	IntegHttpResponse *response = &delivery->response;

	integ_transfer_finish(delivery->transfer, response);
	delivery->transfer = NULL;
	delivery->sent = true;
	if (response->body != NULL)
		integ_secrets_mask(delivery->secrets, response->body, response->body_len);
	integ_secrets_mask(delivery->secrets, response->error, strlen(response->error));
	keep_excerpt(delivery);
	dlist_delete(&delivery->node);
	desk->nflying--;
	integ_delivery_answered(desk, delivery);
}

static void
land_done(IntegDeliveryDesk *desk)
{
	IntegTransfer *transfer;

	while ((transfer = integ_transfer_next_done(desk->pool)) != NULL)
		land(desk, integ_transfer_owner(transfer));
}

void
integ_deliveries_send(IntegDeliveryDesk *desk)
{
	bool any = !dlist_is_empty(&desk->ready);

	while (!dlist_is_empty(&desk->ready))
	{
		IntegDelivery *delivery = dlist_container(IntegDelivery, node, dlist_pop_head_node(&desk->ready));

		delivery->started_at = GetCurrentTimestamp();
		delivery->transfer = integ_transfer_start(desk->pool, &delivery->request, delivery);
		dlist_push_tail(&desk->flying, &delivery->node);
		desk->nflying++;
		/* Out of memory: nothing left. */
		if (delivery->transfer == NULL)
			land(desk, delivery);
	}
	/* What is answered, or has failed, while others are sent gives no event to wait for. */
	if (any)
		land_done(desk);
}

void
integ_deliveries_receive(IntegDeliveryDesk *desk)
{
	/* Also with none under way: the other end may have closed a kept connection, which is news until it is taken. */
	integ_transfer_drive(desk->pool);
	land_done(desk);
}

/* One that has not left goes back as it was. */
static void
turn_back(IntegDeliveryDesk *desk, dlist_head *list)
{
	while (!dlist_is_empty(list))
	{
		IntegDelivery *delivery = dlist_container(IntegDelivery, node, dlist_pop_head_node(list));

		delivery->sqlerrcode = ERRCODE_ADMIN_SHUTDOWN;
		delivery->error = "the dispatcher stopped before it was sent";
		integ_delivery_answered(desk, delivery);
	}
}

void
integ_deliveries_give_up(IntegDeliveryDesk *desk)
{
	turn_back(desk, &desk->claimed);
	turn_back(desk, &desk->ready);
	while (!dlist_is_empty(&desk->flying))
		land(desk, dlist_container(IntegDelivery, node, dlist_head_node(&desk->flying)));
}
