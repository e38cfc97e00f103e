/*
 * Counters and gates in shared memory: internal to limits.
 *
 * All of them are guarded by one lock, held for well under a microsecond a
 * request. A gate's serial and attention are read without it: a request that no
 * limit and no breaker concerns takes no lock.
 */
#ifndef INTEG_LIMITS_TABLE_H
#define INTEG_LIMITS_TABLE_H

#include "postgres.h"

#include "lib/ilist.h"
#include "limits/limits.h"
#include "limits/window.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#define INTEG_LIMIT_TEXT 64
#define INTEG_LIMIT_NAME 128

typedef enum IntegCounterKind
{
	INTEG_COUNTER_WINDOW,
	INTEG_COUNTER_LEARNED
} IntegCounterKind;

/* Zeroed before it is filled: a hash key. */
typedef struct IntegCounterKey
{
	Oid database;
	uint32 kind;
	uint64 hash[2];
} IntegCounterKey;

/* What a counter counts, for people; texts are clipped. */
typedef struct IntegCounterLabel
{
	IntegLimitScope scope;
	IntegLimitSource source;
	uint64 owner;		/* a hash of the client whose room in shared memory it takes; 0: nobody's in particular */
	pg_uuid_t instance; /* zero where it is not of one */
	char definition[INTEG_LIMIT_TEXT];
	char method[INTEG_LIMIT_TEXT];
	char client[INTEG_LIMIT_TEXT];
	char key[INTEG_LIMIT_TEXT];
} IntegCounterLabel;

/* Permission to grant, as it is on disk. */
typedef struct IntegBlock
{
	uint32 left;
	int64 until;		 /* not to be used after */
	int64 pending_since; /* asked for at this time; 0: none is */
	bool failed;		 /* the last one could not be written */
} IntegBlock;

typedef struct IntegCounter
{
	IntegCounterKey key;
	IntegCounterLabel label;
	IntegWindow window; /* of a learned one: in_flight only */
	IntegBlock block;
	int64 booked_until; /* places in the order of those that wait are given up to here */
	int64 returned_until;
	bool approaching; /* told of, until it falls below */
	int64 told_approaching;
	int64 told_hit;

	/* learned */
	int64 learned_limit; /* -1: not said */
	int64 remaining;	 /* -1: not known */
	int64 reset_at;
	int64 closed_until; /* by a 429 */
} IntegCounter;

typedef struct IntegGateKey
{
	Oid database;
	pg_uuid_t id; /* an instance's, or made of a host's origin */
} IntegGateKey;

/* The breaker of an instance or a host, and whether anything was learned of the instance. */
typedef struct IntegGate
{
	IntegGateKey key;
	bool is_host;
	char name[INTEG_LIMIT_NAME];
	pg_atomic_uint64 serial;	/* of this use of the memory */
	pg_atomic_uint32 attention; /* 0: breaker closed without failures, nothing learned */
	IntegBreaker breaker;
	IntegBreakerPolicy policy; /* of the last request */
	uint32 learned;			   /* learned counters of the instance */
	int64 used_at;
	int64 failed_at;
	char error[INTEG_LIMIT_NAME];
} IntegGate;

typedef struct IntegLimitTable
{
	LWLock *lock;
	int64 started; /* on the clock below: when this shared memory was made */
	uint64 next_serial;
	int64 next_evict;
	ConditionVariable changed; /* slots were freed, or a block was written */
	pg_atomic_uint32 waiting;  /* how many wait for that */
} IntegLimitTable;

extern IntegLimitTable *integ_limit_table; /* NULL where integ is not preloaded */

/* Microseconds of a clock that nobody sets, so that a jump of the time changes no window. */
extern int64 integ_limits_clock(void);

/* The same as a time that people read, and back. */
extern TimestampTz integ_limits_to_time(int64 clock);
extern int64 integ_limits_from_time(TimestampTz time);

/* All of these: the caller holds the lock, exclusively where something is made. */
extern IntegCounter *integ_counter_find(const IntegCounterKey *key);
extern IntegCounter *integ_counter_make(const IntegCounterKey *key, const IntegCounterLabel *label, bool *made);
extern IntegGate *integ_gate_find(const IntegGateKey *key);
extern IntegGate *integ_gate_make(const IntegGateKey *key, bool is_host, const char *name);
extern void integ_gate_settle(IntegGate *gate); /* sets attention */

/* Removes a learned counter, of which its gate knows. */
extern void integ_counter_forget(IntegCounter *counter);

/* How many counters there are, of all databases. */
extern long integ_counter_count(void);

/* Calls visit for everything of this database; shared lock. */
extern void integ_counter_visit(void (*visit)(IntegCounter *counter, void *arg), void *arg);
extern void integ_gate_visit(void (*visit)(IntegGate *gate, void *arg), void *arg);

extern IntegGateKey integ_gate_key_of_instance(const pg_uuid_t *instance);
extern IntegGateKey integ_gate_key_of_host(const char *origin);

/* The counter key of something named by these parts, each of which may be NULL. */
extern IntegCounterKey integ_counter_key(IntegCounterKind kind, int64 number, const pg_uuid_t *instance,
										 const char *first, const char *second, const char *third);

extern void integ_limit_clip(char *to, const char *from, Size size);

/* Wakes those that wait, if any do. */
extern void integ_limits_broadcast(void);

/* block.c */
extern bool integ_block_needed(const IntegCounter *counter, int64 now);
extern bool integ_block_soon_needed(const IntegCounter *counter, int64 now);

/* Marks that a block is asked for, and fills row (IntegBlockRow) with what is to be written; under the lock. */
typedef struct IntegBlockRow
{
	IntegCounterKey key;
	IntegCounterLabel label;
	uint32 limit;
	uint32 carried; /* granted and not answered, or to be granted: may all have been used */
	uint32 block;	/* of these, what becomes free to grant once this is on disk */
	int64 per_us;
	int64 lease_us;
	TimestampTz newest_at; /* end of the newest part */
	int64 asked_at;		   /* pending_since */
	uint32 parts[INTEG_WINDOW_RING];
} IntegBlockRow;

extern void integ_block_ask(IntegCounter *counter, int64 now, IntegBlockRow *row);

/* Queues it for the recorder; no lock is held. */
extern void integ_block_queue(const IntegBlockRow *row);

/* What an earlier server has left of the counter; false where nothing counts any more. SPI. */
extern bool integ_block_load(const IntegCounterKey *key, IntegWindow *window);

/* event.c: an event, written by the recorder. Never raises; no lock is held. */
typedef struct IntegLimitEvent
{
	const char *kind;
	const char *source; /* of a limit; else NULL */
	IntegCounterLabel label;
	char name[INTEG_LIMIT_NAME]; /* of a host */
	char error[INTEG_LIMIT_NAME];
	uint32 limit;
	uint32 used;
	int64 per_us;
	int64 at; /* when the next slot is, or when it half-opens; 0: not known */
} IntegLimitEvent;

/* "manifest", "plan", "setting", "learned" */
extern const char *integ_counter_source(const IntegCounter *counter);

extern void integ_limits_tell(const IntegLimitEvent *event);

#endif /* INTEG_LIMITS_TABLE_H */
