/*
 * The dispatcher's work, step by step: claim, prepare, send, settle.
 *
 * A dispatcher serves the instances whose hash falls to its number, so that
 * what must be exact for an instance (its limits, the order of a key) is
 * known to one process; calls that need none of that are shared by all of them.
 * No step waits for the network, and none has a transaction open while another runs.
 */
#ifndef INTEG_CALLS_DISPATCH_H
#define INTEG_CALLS_DISPATCH_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "calls/verdict.h"
#include "calls/wake.h"
#include "core/query.h"
#include "core/shmem.h"
#include "execute/call.h"
#include "http/transfer.h"
#include "lib/ilist.h"
#include "limits/table.h"
#include "utils/hsearch.h"
#include "utils/uuid.h"

/* A place in the order (next_attempt_at, id) of one priority: everything up to it was looked at. */
typedef struct IntegMark
{
	TimestampTz at;
	pg_uuid_t id;
} IntegMark;

/* A call that waits for a slot of a rate limit, and when it is to ask again. */
typedef struct IntegPromise
{
	dlist_node node;
	TimestampTz at;
	uint64 limit; /* which limit it waits for */
	pg_uuid_t call;
	TimestampTz told; /* the time in its row */
} IntegPromise;

/* So many calls of an instance know when they come; those behind them stay where they are. */
#define INTEG_PROMISES_MAX 128

/* Lanes whose requests go to one host. */
typedef struct IntegHost
{
	char origin[INTEG_LIMIT_NAME]; /* hash key, clipped */
	int lanes;
	int running; /* calls of all of them */
} IntegHost;

/* What an instance's last failure is told with. */
#define INTEG_FAILURE_TEXT 256

/*
 * What is known of an instance while calls of it run or wait. A lane with a
 * backlog is left out of the general claim and served by claims of its own as its
 * calls end, so that one slow host holds nobody.
 */
typedef struct IntegLane
{
	pg_uuid_t instance; /* hash key */
	int running;
	int limit;
	IntegHost *host; /* where its requests go; NULL: not known yet */
	uint32 backlog;	 /* bit a priority: due calls may have been passed over */
	TimestampTz paused_until;
	bool cautious; /* its circuit breaker was open: one at a time until an answer comes */
	int npromises;
	dlist_head promises;  /* by time */
	dlist_node promising; /* in promising, while there are any */
	IntegMark marks[INTEG_PRIORITIES];
	dlist_node node; /* in backlogged, while backlog is not 0 */

	/* calls that ended: see failing.c */
	int failures;	/* final ones in a row, not written yet */
	bool recovered; /* one has succeeded before them */
	dlist_node failing;
	char last_failure[INTEG_FAILURE_TEXT];
} IntegLane;

/* One claimed call on its way. */
typedef struct IntegFlight
{
	dlist_node node;
	MemoryContext context; /* everything of it */
	IntegLane *lane;

	/* of the row */
	ItemPointerData ctid; /* where it was claimed */
	pg_uuid_t id;
	pg_uuid_t instance;
	const char *instance_id;
	const char *method;
	const char *client_id;
	const char *user_id;
	Oid owner;
	const Jsonb *input;
	int timeout_ms; /* 0: the method's or the setting's */
	int attempt;
	int interrupted;
	int max_attempts;
	int priority;
	bool is_write;
	char *ordering_key;		/* NULL: none */
	uint64 waits_for;		/* the limit that it was refused by */
	bool promised;			/* it waited for a slot, and comes when it was told to */
	TimestampTz expires_at; /* 0: never */
	const Jsonb *progress;	/* of a method of several requests: what was done already; NULL: nothing */
	bool refused_before;	/* the attempt before ended with a 401 */
	bool has_callback;
	bool has_approval;
	pg_uuid_t approval;
	const struct IntegErrand *errand; /* what integ itself makes it for (errand.h); NULL: somebody enqueued it */
	pg_uuid_t subject;				  /* of an errand */
	bool repeatable;				  /* it looks at the service before it repeats a write */
	void *errand_state;				  /* the errand's own */
	bool closed;					  /* stopped by what is no call's: it is held, or nobody records it */
	bool later;						  /* prepared once it is claimed: an errand, which locks its row */

	/* on its way */
	IntegCall *call;
	bool goes_on;			/* it stands before another of its requests, with the call opened */
	bool cancelled;			/* between two of its requests */
	IntegQuestion question; /* asked of a function of the definition */
	IntegHandlerTicket *ticket;
	bool answered; /* answer is not taken yet */
	IntegHandlerAnswer answer;
	bool finished; /* the exchange is classified, mapped and recorded */
	bool may_repeat;
	IntegTransfer *transfer;
	IntegHttpResponse response;

	/* what came of it */
	bool judged;
	IntegOutcome outcome;
	IntegVerdict verdict;
	IntegOutcome judged_outcome; /* of an errand: before it made something else of them */
	IntegVerdict judged_verdict;
	bool settling; /* these two are set */
	bool settled;  /* in the transaction under way */
} IntegFlight;

typedef struct IntegDispatcher
{
	IntegDatabase *database;
	int number;
	int total;
	int64 lease;
	MemoryContext context; /* as long as the process */
	MemoryContext scratch; /* reset every round */
	IntegTransferPool *pool;

	IntegMark marks[INTEG_PRIORITIES];
	TimestampTz due[INTEG_PRIORITIES]; /* when a claim of that priority may find something */
	HTAB *lanes;
	HTAB *hosts;
	dlist_head backlogged;
	dlist_head promising; /* lanes with calls that wait for a slot */
	TimestampTz promises_checked;
	HTAB *ordered;		 /* (instance, client, ordering key) of calls under way */
	dlist_head unlocked; /* ordering keys whose next call may run */
	dlist_head failing;	 /* lanes with failures that are not written */
	TimestampTz failing_since;

	dlist_head claimed; /* to be prepared, again */
	dlist_head ready;	/* prepared, to be sent */
	dlist_head flying;
	dlist_head asking;	 /* a function of their definition is asked: before they are built, or after their answer */
	dlist_head answered; /* to be settled */
	int nflights;
	int nflying;
	bool has_marked;		 /* in the transaction under way */
	XLogRecPtr marked_until; /* what marks the writes that are ready as sent; flushed before any of them leaves */
	int nwrites;			 /* of flights whose intent is recorded and whose outcome is not */
	int nanswered;
	TimestampTz answered_since;
	bool out_of_memory;		   /* a flight could not be started */
	TimestampTz delivery_news; /* deliveries are to be looked for from here on; DT_NOEND: nothing new */
	bool stopping;			   /* what is broken off does not count as an attempt */
} IntegDispatcher;

/* How many calls a dispatcher has on their way at most. */
#define INTEG_FLIGHTS_MAX 512

/* Of a batch, so that no transaction is long. */
#define INTEG_BATCH_MAX 256

/* Whether an instance falls to the dispatcher, as a condition in SQL; arguments: total and number. */
#define INTEG_MINE(instance, total, number) \
	"(" total " = 1 OR (pg_catalog.uuid_hash(" instance ") & 2147483647) % " total " = " number ")"

/*
 * The same of a call o. What must be exact for an instance (limits, the order of a key) is known to one dispatcher;
 * calls that keep none of it are shared out one by one.
 */
#define INTEG_MY_CALL(total, number) \
	"(" total " = 1 OR COALESCE(o.share, pg_catalog.uuid_hash(o.instance) & 2147483647) % " total " = " number ")"

/*
 * lane.c: the lane of an instance, made if there is none; how many more calls may run in it now, and how many of
 * these may be calls that no slot was promised to. Whether a request may leave is for the
 * limits to say: a lane only keeps from claiming what could not.
 */
extern IntegLane *integ_lane_get(IntegDispatcher *dispatcher, const pg_uuid_t *instance);
extern int integ_lane_free(const IntegLane *lane, TimestampTz now);
extern int integ_lane_room(const IntegLane *lane, TimestampTz now);

/* A call is claimed for the lane; it is not, after all, or has ended. */
extern void integ_lane_take(IntegLane *lane);
extern void integ_lane_give(IntegLane *lane);

/* A dispatcher's part of what all of them together may have under way; never none, so that nothing waits for ever. */
extern int integ_lane_part(const IntegDispatcher *dispatcher, int most);

/* So many calls of the lane may run at once, and its requests go to that origin (NULL: not known). */
extern void integ_lane_learn(IntegDispatcher *dispatcher, IntegLane *lane, int limit, const char *origin);

/*
 * A call of the lane is to be claimed at that time, before others of it. Where the time of one has come, takes it:
 * of those that wait for the same limit the oldest call. False where none has.
 */
extern void integ_lane_promise(IntegDispatcher *dispatcher, const IntegFlight *flight, TimestampTz at);
extern bool integ_lane_promised(IntegDispatcher *dispatcher, IntegLane *lane, TimestampTz now, IntegPromise *promise);

/* A promise of the lane is void, and freed. */
extern void integ_lane_take_back(IntegLane *lane, IntegPromise *promise);

/* All lanes are to be looked at again. */
extern void integ_lane_resume_all(IntegDispatcher *dispatcher);

/* Due calls of that priority (an index from 0) behind the mark were passed over; all of them are claimed now. */
extern void integ_lane_backlog(IntegDispatcher *dispatcher, IntegLane *lane, int priority, const IntegMark *from);
extern void integ_lane_drained(IntegDispatcher *dispatcher, IntegLane *lane, int priority);

/* The flight takes room in its lane again, as it did when it was claimed; it no longer does. */
extern void integ_lane_enter(IntegDispatcher *dispatcher, IntegFlight *flight);
extern void integ_lane_leave(IntegDispatcher *dispatcher, IntegFlight *flight);

/* Forgets lanes that nothing runs or waits in. */
extern void integ_lane_sweep(IntegDispatcher *dispatcher);

/*
 * The ordering keys under way: each client has its own, so that no tenant can hold up another's calls. take: false
 * where a call of the key is under way already. unlock: the next call of the key may run, and integ_claim looks for it
 * by next, whose client and key are in the scratch context. Deliveries, whose endpoint is one client's, say "" for it.
 */
extern bool integ_ordered_take(IntegDispatcher *dispatcher, const pg_uuid_t *instance, const char *client,
							   const char *key);
extern void integ_ordered_release(IntegDispatcher *dispatcher, const pg_uuid_t *instance, const char *client,
								  const char *key);
extern void integ_ordered_unlock(IntegDispatcher *dispatcher, const pg_uuid_t *instance, const char *client,
								 const char *key);
extern bool integ_ordered_next(IntegDispatcher *dispatcher, pg_uuid_t *instance, char **client, char **key);

/* send.c: nothing may leave now, for a reason that is no call's: it is held, or nobody records what leaves. */
extern bool integ_dispatcher_is_closed(const IntegDispatcher *dispatcher);

/*
 * claim.c: look at everything again; take the news of others; whether a claim may find something, and when;
 * claim what is due and has room and prepare it, in a transaction of its own.
 */
extern void integ_claim_rescan(IntegDispatcher *dispatcher);
extern void integ_claim_news(IntegDispatcher *dispatcher);
extern TimestampTz integ_claim_due(IntegDispatcher *dispatcher);
extern void integ_claim(IntegDispatcher *dispatcher);
extern void integ_claim_later(IntegDispatcher *dispatcher, const IntegFlight *flight, TimestampTz at);

/* claim.c: the commit of the transaction under way is not to wait for disk. */
extern void integ_commit_without_waiting(void);

/*
 * ask.c: asks what the definition's functions are to say to a flight, which is then asking; takes
 * the answers that are there, after which flights are claimed or answered again; when there is one to look for at the
 * latest; gives up waiting. No transaction.
 */
extern void integ_flight_ask(IntegDispatcher *dispatcher, IntegFlight *flight);
extern void integ_asking_poll(IntegDispatcher *dispatcher);
extern TimestampTz integ_asking_due(IntegDispatcher *dispatcher);
extern void integ_asking_give_up(IntegDispatcher *dispatcher);

/*
 * prepare.c: flights that go on, or have been answered what they asked, become ready, or answered with what stopped
 * them. One transaction.
 */
extern void integ_prepare(IntegDispatcher *dispatcher);

/*
 * Its parts, which claim.c shares. flights: in a transaction with a snapshot and no SPI connection; what stops a flight
 * is in its outcome. needs_mark: whether the flight, prepared, is to be marked in the same transaction. commit: of the
 * transaction, noting the marks in it. part: empties the list, each to where it goes on from.
 */
extern void integ_prepare_flights(IntegDispatcher *dispatcher, dlist_head *flights, TimestampTz now);
extern bool integ_flight_needs_mark(const IntegFlight *flight);
extern void integ_prepare_commit(IntegDispatcher *dispatcher);
extern void integ_prepare_part(IntegDispatcher *dispatcher, dlist_head *flights);

/*
 * send.c: ready flights leave; what has an answer becomes answered; all that is under way is broken off, and what has
 * not left goes back. None has a transaction open.
 */
extern void integ_send(IntegDispatcher *dispatcher);
extern void integ_receive(IntegDispatcher *dispatcher);
extern void integ_give_up(IntegDispatcher *dispatcher);

/*
 * settle.c: outcomes of answered flights into the tables, a batch a transaction; where
 * that fails, one by one. What cannot be stored now stays answered; false then.
 */
extern bool integ_settle(IntegDispatcher *dispatcher);

/*
 * tell.c: integ.action.executed of those among these that have ended and are being moved to history, for the endpoints
 * that want to know. In the transaction that moves them.
 */
extern void integ_flights_tell(IntegFlight *const *flights, int count);

/*
 * failing.c: notes how a call has ended, once that is stored; writes what was noted, in a transaction, and switches
 * off the instances that have failed for too long; when that is due.
 */
extern void integ_failing_note(IntegDispatcher *dispatcher, const IntegFlight *flight);
extern void integ_failing_write(IntegDispatcher *dispatcher);
extern TimestampTz integ_failing_due(IntegDispatcher *dispatcher);

/*
 * An exchange of the flight is over, by an answer or by what stopped it. Its lane has room again, unless it may be one
 * of several: then when the flight ends.
 */
extern void integ_flight_answered(IntegDispatcher *dispatcher, IntegFlight *flight);

/*
 * recover.c: takes this process's lease, and returns it when nothing is under way any more. Gives back what dispatchers
 * that are no more have left under way, calls and deliveries; true when nobody but those that run has a lease.
 * restored: rows may have come whose leases nobody has noted. Each opens a transaction.
 */
extern int64 integ_lease_take(void);
extern void integ_lease_return(int64 lease);
extern bool integ_recover(IntegDispatcher *dispatcher, bool restored);

/* Deletes idempotency keys whose time is over, a batch at a time. Opens a transaction. */
extern void integ_sweep_keys(void);

/* Runs a statement that deletes so many rows in a transaction of its own. */
extern void integ_sweep(IntegQuery *sweep);

#endif /* INTEG_CALLS_DISPATCH_H */
