/*
 * A circuit breaker. Free of PostgreSQL; the clock is an argument.
 *
 *   closed     everything passes; so many failures in a row open it
 *   open       nothing passes until the time is over
 *   half open  a few probes pass: one that succeeds closes it, one that fails
 *              opens it again
 */
#ifndef INTEG_LIMITS_BREAKER_H
#define INTEG_LIMITS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

typedef enum IntegBreakerState
{
	INTEG_BREAKER_CLOSED,
	INTEG_BREAKER_OPEN,
	INTEG_BREAKER_HALF_OPEN
} IntegBreakerState;

typedef struct IntegBreakerPolicy
{
	uint32_t failure_threshold;
	uint32_t half_open_max;
	int64_t reset_us;
} IntegBreakerPolicy;

/* Requests that find all probes under way look again no later than this: microseconds. */
#define INTEG_PROBE_WAIT_MAX INT64_C(5000000)

/* What holds where nobody has said anything else. */
extern const IntegBreakerPolicy integ_breaker_default;

typedef struct IntegBreaker
{
	IntegBreakerState state;
	uint32_t failures; /* in a row */
	uint32_t probes;   /* under way */
	uint32_t epoch;	   /* grows with every change: what was sent before one says nothing after it */
	int64_t changed_at;
	int64_t half_open_at; /* of an open one */
	int64_t probed_at;	  /* when the last probe passed */
} IntegBreaker;

/* What a request that was let through brings back. */
typedef struct IntegBreakerPass
{
	uint32_t epoch;
	bool probe;
} IntegBreakerPass;

/*
 * Whether a request may pass now; at gets the time at which one may, where not. half_opened is set where the breaker
 * became half open by this. Probes that have no answer after the time that the breaker stays open keep back nobody any
 * more: another passes, once in that time. Times are microseconds.
 */
extern bool integ_breaker_pass(IntegBreaker *breaker, const IntegBreakerPolicy *policy, int64_t now,
							   IntegBreakerPass *pass, int64_t *at, bool *half_opened);

/* What came of the request. Each returns whether the state changed: to closed, or to open. */
extern bool integ_breaker_succeeded(IntegBreaker *breaker, IntegBreakerPass pass, int64_t now);
extern bool integ_breaker_failed(IntegBreaker *breaker, const IntegBreakerPolicy *policy, IntegBreakerPass pass,
								 int64_t now);

/* It was not sent, or what came of it says nothing about the service. */
extern void integ_breaker_give_back(IntegBreaker *breaker, IntegBreakerPass pass);

/* Closes it. */
extern void integ_breaker_close(IntegBreaker *breaker, int64_t now);

#endif /* INTEG_LIMITS_BREAKER_H */
