/*
 * What becomes of a call after an attempt. Decides only; free of state, clock
 * and randomness, which are arguments.
 */
#ifndef INTEG_CALLS_VERDICT_H
#define INTEG_CALLS_VERDICT_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef enum IntegVerdictKind
{
	INTEG_VERDICT_SUCCEEDED,
	INTEG_VERDICT_FAILED,  /* the answer is no */
	INTEG_VERDICT_DEAD,	   /* attempts or time are used up */
	INTEG_VERDICT_UNKNOWN, /* sent, outcome not known, not to be repeated */
	INTEG_VERDICT_RETRY,   /* at retry_at */
	INTEG_VERDICT_NEXT	   /* the call has another request, which is to be sent now */
} IntegVerdictKind;

typedef struct IntegAttempt
{
	int sqlerrcode;		/* 0: success */
	bool token_pending; /* a token is being refreshed */
	bool held;			/* nothing may leave the database at present */
	bool waits;			/* for a slot or a circuit breaker, until retry_after: the attempt was not begun */
	bool interrupted;	/* the dispatcher stopped: the attempt does not count */
	bool answered;		/* a whole answer arrived */
	bool server_error;	/* … with a status of 500 or more */
	bool maybe_sent;	/* false: certain that nothing reached the service */
	bool repeatable;	/* a read, or a write with an idempotency key that the service honours */
	int counted;		/* attempts so far that count, this one included */
	int max_attempts;
	TimestampTz now;
	TimestampTz retry_after; /* said by the service; 0: nothing */
	TimestampTz expires_at;	 /* 0: never */
	int64 delay_ms;			 /* first delay; doubles with each attempt */
	int64 max_delay_ms;
	double random; /* from 0 up to 1, for the full jitter */
} IntegAttempt;

typedef struct IntegVerdict
{
	IntegVerdictKind kind;
	TimestampTz retry_at;
	bool counts;		/* whether a retry counts against max_attempts */
	bool waits;			/* this was no attempt: the same one goes on at retry_at */
	const char *reason; /* of DEAD and UNKNOWN: a sentence for a person */
} IntegVerdict;

/* Applies docs/errors.md's table ("retried by workers"). */
extern IntegVerdict integ_call_verdict(const IntegAttempt *attempt);

/* Conditions of this server that pass: no memory or disk, a conflict, a connection limit, a shutdown. */
extern bool integ_passes_by_itself(int sqlerrcode);

/*
 * When what has failed counted times is tried again. Full jitter: anywhere between now and a delay that doubles
 * each time, so that what failed together parts. random is from 0 up to 1.
 */
extern TimestampTz integ_retry_backoff(TimestampTz now, int counted, int64 delay_ms, int64 max_delay_ms,
									   double random);

/* The word for integ.calls.state; NULL for RETRY and NEXT. */
extern const char *integ_verdict_state(IntegVerdictKind kind);

#endif /* INTEG_CALLS_VERDICT_H */
