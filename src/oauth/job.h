/*
 * One request for a token on its way: internal to the dispatcher's part of oauth.
 */
#ifndef INTEG_OAUTH_JOB_H
#define INTEG_OAUTH_JOB_H

#include "postgres.h"

#include "http/transfer.h"
#include "lib/ilist.h"
#include "limits/limits.h"
#include "oauth/desk.h"
#include "oauth/oauth.h"

typedef struct IntegOauthJob
{
	dlist_node node;
	MemoryContext context; /* everything of it, wiped where it is secret */
	IntegOauthKind kind;
	int ticket; /* -1: nobody waits */
	pg_uuid_t instance;
	pg_uuid_t flow;
	int64 seen;		  /* of a refresh; INTEG_OAUTH_ANYWAY: whatever the version */
	bool device;	  /* an exchange that polls for a device code */
	const char *code; /* of an exchange: {"code", "params"} as text; or {token.x} that a method has told */

	/* prepared */
	IntegOauthConfig config;
	const char *action; /* for audit and log: oauth.refresh … */
	bool has_request;
	bool reissue;	 /* exchanges the access token for a long-lived one */
	bool anew;		 /* a new authorization that needs no person: bound to where the definition leads now */
	bool suspicious; /* an earlier refresh may have used up the refresh token unnoticed */
	IntegHttpRequest request;

	/* under way */
	IntegGrant *grant; /* until the answer */
	TimestampTz sent_at;
	IntegTransfer *transfer;
	IntegHttpResponse response;
	bool answered;
	int tries; /* to store the answer */

	/* what came of it */
	int sqlerrcode;
	const char *message;
	const char *detail;
	const char *hint;
} IntegOauthJob;

/* Of "seen": refresh whatever is there. */
#define INTEG_OAUTH_ANYWAY (-1)

/*
 * prepare.c: fills config and request, and marks on disk that it leaves. In a transaction; raises what stops it.
 * Without has_request the job is over.
 */
extern void integ_oauth_prepare(IntegOauthJob *job);

/*
 * admit.c: takes a slot of the limits for the prepared request, in a transaction; raises IG429 or IG503 where it may
 * not leave now. The response is here: the slot is free again. Never raises.
 */
extern void integ_oauth_admit(IntegOauthJob *job);
extern void integ_oauth_answered(IntegOauthJob *job);

/* settle.c: what the answer means, into the tables. In a transaction. */
extern void integ_oauth_settle(IntegOauthJob *job);

/*
 * What could not be prepared waits as what failed, so that it is not found due again at once, whatever is wrong with
 * it. In a transaction.
 */
extern void integ_oauth_postpone(IntegOauthJob *job);

/* The job ends with this error, which is not raised. */
extern void integ_oauth_fail(IntegOauthJob *job, int sqlerrcode, const char *message, const char *detail,
							 const char *hint);

#endif /* INTEG_OAUTH_JOB_H */
