/*
 * integ.action.executed: that a method was carried out, for the endpoints that want to know.
 */
#ifndef INTEG_EXECUTE_TELL_H
#define INTEG_EXECUTE_TELL_H

#include "postgres.h"

#include "execute/call.h"

/* Its kind, and what is said of it. */
#define INTEG_ACTION_EXECUTED "action.executed"

typedef struct IntegAction
{
	const IntegRecordSubject *subject; /* texts that are not known are NULL */
	bool is_write;
	const char *state;	 /* as of a durable call: succeeded, failed, dead, cancelled, unknown */
	int attempts;		 /* how often it was begun */
	int64 duration_us;	 /* of the last attempt; -1: not known */
	int sqlerrcode;		 /* 0: none */
	const char *message; /* or NULL */
} IntegAction;

/* The event's payload, in CurrentMemoryContext. */
extern Jsonb *integ_action_describe(const IntegAction *action);

/*
 * Tells of a call that was carried out in the session that asked for it, and ended with the outcome: by way of the
 * recorder, so that a ROLLBACK does not unsay it. Nothing is told of a call of which no request left. In a
 * transaction.
 */
extern void integ_call_tell(const IntegCall *call, const IntegOutcome *outcome);

/*
 * Carries an opened call out, which returns its result or raises what stopped it, and tells how it ended, once; an
 * error is raised on. Where nobody listens this is carry_out alone.
 */
extern const Jsonb *integ_call_carry_out_telling(IntegCall *call, const Jsonb *(*carry_out)(IntegCall *call));

#endif /* INTEG_EXECUTE_TELL_H */
