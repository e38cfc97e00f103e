/*
 * Grants: internal to limits.
 */
#ifndef INTEG_LIMITS_GRANT_H
#define INTEG_LIMITS_GRANT_H

#include "limits/table.h"

/* Of one request. */
#define INTEG_WANTED_MAX 32
#define INTEG_LEARNED_MAX 8

/* The gates of a request. */
enum
{
	INTEG_GATE_HOST,
	INTEG_GATE_INSTANCE,
	INTEG_GATES
};

typedef struct IntegWanted
{
	IntegCounterKey key;
	IntegCounterLabel label;
	uint32 limit;
	int64 per_us;
} IntegWanted;

struct IntegGrant
{
	dlist_node node; /* among those this process holds, where it holds a slot or a probe */
	MemoryContextCallback release;
	IntegLimitSubject subject;
	bool held; /* node is in the list */
	bool sent;
	bool ended;
	IntegGate *gates[INTEG_GATES]; /* valid while its serial is the same */
	uint64 serials[INTEG_GATES];
	IntegBreakerPass passes[INTEG_GATES];
	int nwanted;   /* windows; the learned ones come behind them */
	int ncounters; /* held: none of them is dropped meanwhile */
	IntegWanted *wanted;
	IntegCounter **counters;
};

/* Has the process release it when it ends. */
extern void integ_grant_hold(IntegGrant *grant);

/* Ends a grant whose owner is gone. */
extern void integ_grant_release(IntegGrant *grant);

/* What a request wants of a limit; value is that of its key, or NULL. */
extern IntegWanted integ_wanted_window(const IntegLimitSubject *subject, const IntegLimit *limit, const char *value,
									   IntegLimitSource source);

/* What it wants of its host: one of so many requests at the same time. */
extern IntegWanted integ_wanted_of_host(const IntegLimitSubject *subject, uint32 limit);

/* One of the request's gates, made where there is none; NULL where there is no room. Under the exclusive lock. */
extern IntegGate *integ_gate_of_subject(const IntegLimitSubject *subject, int which);

/*
 * When that gate opens, and for how long. An instance's as its definition says; a host's, which all clients share,
 * opens by no definition's word sooner, or for longer, than by default.
 */
extern IntegBreakerPolicy integ_gate_policy(const IntegLimitSubject *subject, int which);

/* How many groups of headers an answer to the request has, and the counter of one of them. */
extern int integ_learned_count(const IntegLimitSubject *subject);
extern IntegWanted integ_wanted_learned(const IntegLimitSubject *subject, int number);
extern const IntegLimits *integ_learned_limits(const IntegLimitSubject *subject);

extern IntegLimitEvent integ_breaker_event(const char *kind, const IntegGate *gate, const IntegLimitSubject *subject);

/* Fill in code and texts. */
extern void integ_refusal_of_counter(IntegRefusal *refusal, const IntegLimitSubject *subject, const IntegWanted *wanted,
									 const IntegCounter *counter);
extern void integ_refusal_of_gate(IntegRefusal *refusal, const IntegLimitSubject *subject, const IntegGate *gate);

#endif /* INTEG_LIMITS_GRANT_H */
