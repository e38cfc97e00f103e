/*
 * Approvals: a call that needs one leaves only as the request that a person
 * has seen.
 *
 * What is approved is the rendered request, stored with its hash. When the
 * call runs, it is rendered again from the stored input, and leaves only where
 * that gives the very same bytes. Of a method of several requests all of them
 * are rendered, and again where it goes on after an interruption with a write.
 */
#ifndef INTEG_APPROVALS_APPROVAL_H
#define INTEG_APPROVALS_APPROVAL_H

#include "postgres.h"

#include "execute/call.h"

/* What was approved for a call. */
typedef struct IntegApproval
{
	pg_uuid_t id;
	const char *request_hash;
	const Jsonb *input;
	bool is_raw; /* the input is that of integ_request, not of a method */
} IntegApproval;

/* Whether the call's method, as it is opened, is one that a person decides about. */
extern bool integ_approval_needed(const IntegCall *call);

/* What a person is shown, and the SHA-256 of its bytes in hexadecimal. */
typedef struct IntegRendered
{
	const Jsonb *request;
	char *hash;
} IntegRendered;

/*
 * Renders all requests of an opened call, whichever is under way: of a method of several those that can be, with the
 * names of what earlier answers bring. In the call's context. Raises what rendering the first one raises; calls
 * integ_call_rewind.
 */
extern IntegRendered integ_approval_render(IntegCall *call);

/*
 * In integ_call_build, before anything is rendered with its secrets: returns where the call needs no approval, or has
 * one for exactly this request. Otherwise raises IG409 (the request has changed since), or IG428, after it has had a
 * pending approval stored by a worker, which stays although the statement fails. Calls integ_call_rewind.
 */
extern void integ_approval_require(IntegCall *call);

/*
 * For integ_enqueue: stores the pending approval of an opened call in the current transaction. expires_at 0: as the
 * setting says.
 */
extern void integ_approval_enqueue(IntegCall *call, TimestampTz expires_at);

/*
 * In the dispatcher: the approval that a call's row names, in CurrentMemoryContext. Raises IG428 where it is not
 * approved for this call.
 */
extern const IntegApproval *integ_approval_load(const pg_uuid_t *approval, const pg_uuid_t *call);

/*
 * The pending approval of a call that the actor cancels ends, as one that was rejected: nobody is to decide about it
 * any more. Takes the approval's lock before the call's, as a decision does. Outside owner scopes.
 */
extern void integ_approval_withdraw(const IntegActor *actor, const pg_uuid_t *call);

/*
 * The maintenance job: pending approvals whose time is over expire, and those decided about before
 * integ.approval_retention are deleted, unless their call still runs by them. Opens transactions.
 */
extern void integ_approvals_run(void);
extern void integ_approvals_expire(void);

#endif /* INTEG_APPROVALS_APPROVAL_H */
