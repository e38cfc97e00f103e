/*
 * How tokens are, for integ_status().
 */
#ifndef INTEG_OAUTH_STATE_H
#define INTEG_OAUTH_STATE_H

#include "postgres.h"

#include "access/actor.h"
#include "datatype/timestamp.h"

typedef struct IntegOauthState
{
	int64 tokens;
	int64 expiring; /* within ten minutes */
	int64 expired;
	int64 due;			   /* refreshes whose time has come */
	TimestampTz due_since; /* of the oldest of them; 0: none is */
	char *last_error;	   /* of the latest refresh that failed and was not made good, with its instance; or NULL */
	int64 persons;		   /* instances that need one */
	TimestampTz persons_since;
	char *person_error; /* of the latest of them, or NULL */
} IntegOauthState;

/* What concerns the actor: a superadmin everything, others their client. Texts are in CurrentMemoryContext. */
extern IntegOauthState integ_oauth_state(const IntegActor *actor);

#endif /* INTEG_OAUTH_STATE_H */
