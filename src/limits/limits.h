/*
 * Limits: whether a request may leave now, exact across all sessions and
 * workers of a database.
 *
 * Everything that sends takes a grant before it sends, says when it sends, and what
 * was answered. The grant holds a slot of every limit that applies (the
 * manifest's or the instance's own, the plan's, what the service's own answers have said) and the pass of
 * the circuit breakers of the instance and its host. docs/limits.md has the rules.
 */
#ifndef INTEG_LIMITS_LIMITS_H
#define INTEG_LIMITS_LIMITS_H

#include "postgres.h"

#include "limits/breaker.h"
#include "limits/headers.h"
#include "template/template.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Whose requests a limit counts together. */
typedef enum IntegLimitScope
{
	INTEG_LIMIT_OF_INSTANCE,
	INTEG_LIMIT_OF_METHOD, /* of an instance */
	INTEG_LIMIT_OF_DEFINITION,
	INTEG_LIMIT_OF_CLIENT,
	INTEG_LIMIT_OF_HOST /* of every instance that goes there: integ.host_concurrency */
} IntegLimitScope;

/* Who has set a limit. */
typedef enum IntegLimitSource
{
	INTEG_LIMIT_BY_MANIFEST,
	INTEG_LIMIT_BY_INSTANCE,
	INTEG_LIMIT_BY_PLAN
} IntegLimitSource;

typedef struct IntegLimit
{
	IntegLimitScope scope;
	uint32 limit;
	int64 per_us;			/* 0: at the same time */
	IntegTemplate *key;		/* or NULL: each value has a window of its own */
	const char *key_source; /* the template's text; windows of the same text are one */
} IntegLimit;

/* A rateLimit object, compiled. */
typedef struct IntegLimits
{
	int count;
	IntegLimit *items;
	int nheaders; /* 0: the standard names */
	IntegLimitHeaders *headers;
	int64 retry_after_us; /* after a 429 that does not say; 0: not told */
} IntegLimits;

/*
 * Compiles the rateLimit of a manifest, plan or instance into CurrentMemoryContext, which must hold object; NULL for
 * NULL.
 * where is its path, for messages. Raises IG400.
 */
extern IntegLimits *integ_limits_compile(const JsonbContainer *object, IntegLimitScope scope, const char *where);

/*
 * How many requests of an instance may be under way at the same time; 0: as many as the settings let. own: what the
 * instance says itself, or NULL.
 */
extern uint32 integ_limits_concurrent(const IntegLimits *own, const IntegLimits *of_definition);

/* The circuitBreaker of a manifest, with defaults for what it leaves out; object may be NULL. */
extern IntegBreakerPolicy integ_breaker_compile(const JsonbContainer *object);

/*
 * The limits of the plan that a client is on, NULL where it has none. No SPI once cached; valid until the transaction
 * ends.
 */
extern const IntegLimits *integ_limits_of_plan(const char *client);

/* A request that wants to leave. What it points to must last as long as the grant, but of_plan and values. */
typedef struct IntegLimitSubject
{
	const pg_uuid_t *instance; /* whose limits count: the lender's where it borrows */
	const char *instance_id;   /* for messages */
	const char *definition;
	const char *method;
	const char *client; /* who calls */
	const char *owner;	/* the client whose instance it is */
	const char *origin;
	const IntegLimits *of_definition; /* each may be NULL */
	const IntegLimits *of_instance;	  /* instead of what of_definition says of an instance */
	const IntegLimits *of_method;
	const IntegLimits *of_plan;
	const IntegBreakerPolicy *breaker;
	const IntegTemplateScope *values; /* of the keys */
	bool asynchronous;				  /* a refusal is given a place in the order of those that wait */
	bool returning;					  /* it has had such a place, and comes when it was told to */
} IntegLimitSubject;

typedef struct IntegGrant IntegGrant;

/* Why a request may not leave now. Texts are in the memory context of integ_limits_take. */
typedef struct IntegRefusal
{
	int sqlerrcode; /* IG429 or IG503; IG500 where a grant cannot be recorded */
	TimestampTz at; /* when to ask again; by what is known now it may then leave */
	uint64 limit;	/* tells the limit from others */
	char *message;
	char *detail;
	char *hint;
} IntegRefusal;

/*
 * A grant in CurrentMemoryContext, or NULL with the refusal filled in. Needs a transaction. Does not wait, but for
 * the record of a block of grants, milliseconds once in a while, interruptibly. A grant that ends with its context, or
 * the process, is given back where it was not sent, and counts as answered else. Raises IG400 for a key that
 * cannot be rendered, IG500 where shared memory has no room for another limit.
 */
extern IntegGrant *integ_limits_take(const IntegLimitSubject *subject, IntegRefusal *refusal);

/* Sleeps until something may have changed, at most until the time; interruptible. */
extern void integ_limits_wait(TimestampTz until);

/* The request leaves now. */
extern void integ_limits_sent(IntegGrant *grant);

/* What came of a request, as far as limits are concerned. */
typedef struct IntegLimitAnswer
{
	int status;		   /* 0: none arrived */
	bool failed;	   /* the service failed: 5xx, or no answer in time */
	bool unreachable;  /* no connection, no such host */
	bool inconclusive; /* broken off: says nothing about the service */
	const char *error; /* for people, of a failure */
	IntegHeaderGet header;
	void *header_arg;
} IntegLimitAnswer;

/*
 * The request was answered, or nobody will know: frees its slots, learns from the headers, tells the breakers. Ends the
 * grant. Never raises. Returns when the service accepts the next request where it has said that it takes none
 * now; else 0.
 */
extern TimestampTz integ_limits_answered(IntegGrant *grant, const IntegLimitAnswer *answer);

/* The request did not leave: its slots are free again. Ends the grant. Never raises. */
extern void integ_limits_give_back(IntegGrant *grant);

/*
 * The service has said elsewhere than in its headers that it takes no request of that instance and method until the
 * time; 0: for as long as the manifest's retryAfterMs says. Never raises.
 */
extern void integ_limits_close(const IntegLimitSubject *subject, TimestampTz until);

/* Shared memory: its size, its preparation with a lock of its own (under AddinShmemInitLock). */
struct LWLock;
extern Size integ_limits_shmem_size(void);
extern void integ_limits_shmem_init(struct LWLock *lock);

/* The recorder's side of what is durable; see block.c. */
struct IntegEntry;
extern void integ_limits_write_block(const struct IntegEntry *entry);
extern void integ_limits_block_settled(const struct IntegEntry *entry, bool written);

/*
 * For the keeper, in a transaction: an orderly stop gives back the unspent part of every block; records that are
 * over are deleted.
 */
extern void integ_limits_save(void);
extern void integ_limits_sweep(void);

#endif /* INTEG_LIMITS_LIMITS_H */
