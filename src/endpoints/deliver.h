/*
 * The dispatcher's work on deliveries, step by step: claim, prepare, send, settle.
 *
 * A dispatcher serves the endpoints whose hash falls to its number, beside its calls and on connections of their own.
 * Room in a lane, and at a host, is shared with calls (calls/dispatch.h): a lane of that kind has an instance's key, or
 * an endpoint's. No step waits for the network, and none has a transaction open while a request is under way.
 */
#ifndef INTEG_ENDPOINTS_DELIVER_H
#define INTEG_ENDPOINTS_DELIVER_H

#include "postgres.h"

#include "calls/dispatch.h"
#include "endpoints/endpoint.h"
#include "http/transfer.h"
#include "limits/window.h"

/* How many deliveries a dispatcher has on their way at most, and of one transaction. */
#define INTEG_DELIVERIES_MAX 512
#define INTEG_DELIVERY_BATCH 256

/* What a failure is told with, in bytes. */
#define INTEG_DELIVERY_ERROR 256

/* What is known of an endpoint while deliveries to it are on their way or wait. */
typedef struct IntegDeliveryLane
{
	pg_uuid_t endpoint; /* hash key */
	uint64 generation;	/* of the cache that the following was read under; 0: never */
	bool is_active;
	int concurrency;
	char origin[INTEG_LIMIT_NAME];
	IntegWindow window; /* limit 0: the rate is not limited */
	TimestampTz paused_until;

	bool backlogged; /* due deliveries behind the mark may have been passed over */
	IntegMark mark;
	dlist_node node; /* in backlogged */

	/* attempts that ended, and are not counted in the row yet: see failing.c */
	bool steady; /* nothing failed since the row was last seen without failures */
	bool noted;
	bool gone; /* 410: to be disabled */
	bool recovered;
	int failures;
	dlist_node failing;
	char last_error[INTEG_DELIVERY_ERROR];
} IntegDeliveryLane;

/* One claimed delivery on its way. */
typedef struct IntegDelivery
{
	dlist_node node;
	MemoryContext context;	 /* everything of it */
	IntegDeliveryLane *lane; /* it has room in; NULL: no more */

	/* of the row */
	pg_uuid_t id;
	pg_uuid_t endpoint;
	pg_uuid_t message;
	bool has_instance;
	pg_uuid_t instance;
	TimestampTz created_at;
	TimestampTz started_at;
	int attempt;
	int interrupted;
	const char *client_id;	  /* of the endpoint */
	const char *event_client; /* of the event */
	const char *event_type;
	const char *key;		  /* or NULL */
	const char *ordering_key; /* or NULL */
	const Jsonb *payload;

	/* on its way */
	IntegHttpRequest request;
	IntegHttpHeader *headers;
	struct IntegCallSecret *secrets; /* in its headers: masked in the answer */
	IntegTransfer *transfer;
	IntegHttpResponse response;
	bool sent; /* there is a response */

	/* what came of it */
	int sqlerrcode; /* 0: delivered */
	char *error;	/* NULL: delivered */
	char *excerpt;	/* of the answer, or NULL */
	bool judged;
	bool counts; /* false: nobody is to blame for this attempt */
	IntegDeliveryFate fate;
	TimestampTz again_at;
	bool settled; /* in the transaction under way */
} IntegDelivery;

typedef struct IntegDeliveryDesk
{
	IntegDispatcher *dispatcher;
	IntegTransferPool *pool;
	MemoryContext context; /* as long as the process */
	MemoryContext scratch; /* reset every round */

	IntegMark mark;	 /* everything up to it was looked at */
	TimestampTz due; /* when there may be something behind it */
	HTAB *lanes;
	dlist_head backlogged;
	dlist_head unlocked; /* ordering keys whose next delivery may be made */
	dlist_head failing;	 /* lanes with something to write */
	TimestampTz failing_since;

	dlist_head claimed; /* to be prepared */
	dlist_head ready;	/* to be sent */
	dlist_head flying;
	dlist_head answered; /* to be settled */
	int count;			 /* of all of them */
	int nflying;
	int nanswered;
	TimestampTz answered_since;
	bool stopping; /* what is broken off does not count as an attempt */
} IntegDeliveryDesk;

/*
 * Whether a delivery o is this dispatcher's to make, as a condition in SQL; arguments: total and number. Those that
 * keep a rate or an order are all one dispatcher's.
 */
#define INTEG_MY_DELIVERY(total, number) \
	"(" total " = 1 OR COALESCE(o.share, pg_catalog.uuid_hash(o.endpoint) & 2147483647) % " total " = " number ")"

/*
 * lanes.c: the lane of an endpoint, as the endpoint is now; it may run SPI. How many more of its deliveries may leave
 * now, and when that may be more where it is none. Room is taken by claiming, and given back.
 */
extern IntegDeliveryLane *integ_delivery_lane(IntegDeliveryDesk *desk, const pg_uuid_t *endpoint);
extern int integ_delivery_room(IntegDeliveryDesk *desk, IntegDeliveryLane *lane, TimestampTz now);
extern TimestampTz integ_delivery_room_at(IntegDeliveryDesk *desk, IntegDeliveryLane *lane, TimestampTz now);
extern void integ_delivery_enter(IntegDeliveryDesk *desk, IntegDeliveryLane *lane);
extern void integ_delivery_leave(IntegDeliveryDesk *desk, IntegDeliveryLane *lane, bool left);

/* Due deliveries of the lane from there on were passed over; all of them are claimed now. */
extern void integ_delivery_backlog(IntegDeliveryDesk *desk, IntegDeliveryLane *lane, const IntegMark *from);
extern void integ_delivery_drained(IntegDeliveryLane *lane);

/* Forgets lanes that nothing is on its way or waits in. */
extern void integ_delivery_sweep(IntegDeliveryDesk *desk);

/*
 * claim.c: look at everything again, in a transaction of its own; take the news of others; whether a claim may find
 * something, and when; claim what is due and has room, in a transaction of its own: after an error of it everything is
 * to be looked at again. A key may be claimed again.
 */
extern void integ_deliveries_rescan(IntegDeliveryDesk *desk);
extern void integ_deliveries_news(IntegDeliveryDesk *desk, TimestampTz from);
extern TimestampTz integ_deliveries_claim_due(IntegDeliveryDesk *desk);
extern void integ_deliveries_claim(IntegDeliveryDesk *desk);
extern void integ_deliveries_unlock(IntegDeliveryDesk *desk, const pg_uuid_t *endpoint, const char *key);

/* prepare.c: claimed deliveries become ready, or answered with what stopped them. One transaction. */
extern void integ_deliveries_prepare(IntegDeliveryDesk *desk);

/*
 * send.c: ready deliveries leave; what has an answer becomes answered; all that is under way is broken off, and what
 * has not left goes back. No transaction.
 */
extern void integ_deliveries_send(IntegDeliveryDesk *desk);
extern void integ_deliveries_receive(IntegDeliveryDesk *desk);
extern void integ_deliveries_give_up(IntegDeliveryDesk *desk);
extern void integ_delivery_answered(IntegDeliveryDesk *desk, IntegDelivery *delivery);

/* judge.c: what an attempt came to. Decides and notes; needs no transaction. */
extern void integ_delivery_judge(IntegDeliveryDesk *desk, IntegDelivery *delivery);

/*
 * settle.c: what came of answered deliveries goes into the tables, a batch a transaction; where that fails, one by one.
 * What cannot be stored now stays answered; false then.
 */
extern bool integ_deliveries_settle(IntegDeliveryDesk *desk);

/*
 * failing.c: notes how an attempt has ended, once that is stored; writes what was noted to the endpoints, in a
 * transaction, and disables those that are gone or have failed for too long; when that is due.
 */
extern void integ_delivery_note(IntegDeliveryDesk *desk, const IntegDelivery *delivery);
extern void integ_deliveries_failing_write(IntegDeliveryDesk *desk);
extern TimestampTz integ_deliveries_failing_due(const IntegDeliveryDesk *desk);

/* Forgets idempotency keys whose time is over, a batch at a time. Opens a transaction. */
extern void integ_message_keys_sweep(void);

/* cancel.c: what waits for the endpoint is cancelled, since the endpoint goes. Inside an owner scope. */
extern void integ_deliveries_abandon(const pg_uuid_t *endpoint);

#endif /* INTEG_ENDPOINTS_DELIVER_H */
