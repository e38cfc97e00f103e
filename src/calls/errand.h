/*
 * Errands: calls that integ itself makes for a row of another table, such as the registration of a webhook.
 *
 * They are durable calls as any other: claimed, prepared, sent and settled by the dispatcher, within the instance's
 * limits, retried and recovered as others are. What differs is where the request comes from and what its answer
 * means; that, and the outcome of the call, are one transaction. The answer itself is not stored: it may hold secrets.
 */
#ifndef INTEG_CALLS_ERRAND_H
#define INTEG_CALLS_ERRAND_H

#include "postgres.h"

#include "calls/dispatch.h"

typedef struct IntegErrand
{
	const char *purpose; /* in integ.calls_open */

	/*
	 * The call of a claimed flight, in CurrentMemoryContext (the flight's). Raises what stops it, IG404 where the row
	 * that
	 * it is for is gone. In a transaction, outside an owner scope.
	 */
	IntegCall *(*begin)(IntegFlight *flight, const IntegActor *actor);

	/* Builds the next request of the opened call. */
	void (*build)(IntegFlight *flight);

	/* Takes what the finished exchange brought, once, into the flight's memory. NULL: nothing to take. */
	void (*receive)(IntegFlight *flight);

	/*
	 * Writes what came of it. flight->outcome and flight->verdict are the call's, and may be made something else
	 * here: INTEG_VERDICT_NEXT for another request, INTEG_VERDICT_RETRY with a time for another attempt. In the
	 * transaction that stores them; once more, with the same flight, where that fails. In an owner scope.
	 */
	void (*settle)(IntegFlight *flight);

	/* Once that transaction has committed, before the next request is built. NULL: nothing to do. Raises nothing. */
	void (*settled)(IntegFlight *flight);

	bool perpetual; /* it never ends by itself: where settling fails it comes again */
} IntegErrand;

/* That of a purpose; NULL for NULL, or one that this version does not have. */
extern const IntegErrand *integ_errand_find(const char *purpose);

/* A call to be. */
typedef struct IntegErrandCall
{
	const char *purpose;
	const pg_uuid_t *subject;
	const pg_uuid_t *instance;
	const char *method; /* for people; the errand says which one it is when it runs */
	const Jsonb *input; /* the same; NULL: none */
	bool is_write;
	bool repeatable;
	Oid owner;
	const char *client_id;
	const char *user_id; /* or NULL */
	TimestampTz run_at;
	int max_attempts;
} IntegErrandCall;

/*
 * Makes the call a row of the current transaction and sets *id to its own; false where the instance is gone. In an
 * owner scope.
 */
extern bool integ_errand_enqueue(const IntegErrandCall *call, pg_uuid_t *id);

/* Takes back an errand's call that does not run; one that runs finds its row gone or changed. In an owner scope. */
extern void integ_errand_take_back(const pg_uuid_t *call);

/* For the dispatcher: the errand's steps, guarded. What they raise becomes the flight's outcome. */
extern void integ_errand_receive(IntegFlight *flight);
extern void integ_errand_settle(IntegFlight *flight);

#endif /* INTEG_CALLS_ERRAND_H */
