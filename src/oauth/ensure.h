/*
 * Tokens in the path of a call.
 */
#ifndef INTEG_OAUTH_ENSURE_H
#define INTEG_OAUTH_ENSURE_H

#include "execute/call.h"

/*
 * Before credentials are injected: the instance's access token is there and has not expired, or is refreshed now. A
 * backend
 * waits for that, at most as long as the call may take; an asynchronous call sets token_pending and raises IG401,
 * to come again. Raises
 * IG401 where a person is needed, and what the refresh comes to. A backend also learns the base URL where a method of
 * the definition tells it. Nothing for other ways to authenticate.
 */
extern void integ_oauth_ensure(IntegCall *call);

/*
 * After an exchange: whether the service refused a token thought valid, and it was refreshed, so that the exchange
 * may be
 * repeated, once. Raises what the refresh comes to. An asynchronous call only asks.
 */
extern bool integ_oauth_repeat(IntegCall *call);

/* The repeated exchange was refused too: the instance needs a person, which is committed by a worker. */
extern void integ_oauth_give_up(IntegCall *call);

#endif /* INTEG_OAUTH_ENSURE_H */
