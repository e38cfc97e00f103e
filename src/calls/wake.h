/*
 * Who tells the dispatchers that there is work: at commit, and only then.
 *
 * A dispatcher remembers for each priority up to where (next_attempt_at, id) it
 * has looked, and never looks behind that again by itself. So whoever commits a
 * row says from which next_attempt_at on there may be something new.
 */
#ifndef INTEG_CALLS_WAKE_H
#define INTEG_CALLS_WAKE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/spin.h"

#define INTEG_MAX_DISPATCHERS 16

#define INTEG_PRIORITY_MIN (-10)
#define INTEG_PRIORITY_MAX 10
#define INTEG_PRIORITIES (INTEG_PRIORITY_MAX - INTEG_PRIORITY_MIN + 1)

/* What there may be news of: calls of each priority, and deliveries. */
#define INTEG_NEWS_DELIVERIES INTEG_PRIORITIES
#define INTEG_NEWS (INTEG_PRIORITIES + 1)

typedef struct IntegDispatcherSlot
{
	/* guarded by integ_shared->lock */
	pid_t pid;	  /* 0: none runs */
	int total;	  /* among how many it shares the instances */
	int failures; /* in a row */
	TimestampTz since;
	TimestampTz retry_at; /* not started again before */

	/* guarded by the mutex */
	Latch *latch; /* NULL until it works */
	bool asleep;
	TimestampTz news[INTEG_NEWS]; /* look again from here on; DT_NOEND: nothing new */
} IntegDispatcherSlot;

/* The part of a database's shared memory that is about calls. */
typedef struct IntegDispatch
{
	slock_t mutex;
	IntegDispatcherSlot slots[INTEG_MAX_DISPATCHERS];
	ConditionVariable finished; /* calls have ended */
} IntegDispatch;

/* Prepares the shared memory of one database. */
extern void integ_wake_shmem_init(IntegDispatch *dispatch);

/* Registers what happens at commit; called once from _PG_init. */
extern void integ_wake_init(void);

/*
 * The caller is about to insert or update one row of integ.calls_open of this priority, due at that
 * time: the table's trigger then need not assume the worst. The dispatchers are woken when the
 * transaction commits.
 */
extern void integ_wake_note(int priority, TimestampTz next_attempt_at);

/* The same of rows of integ.deliveries_open. */
extern void integ_wake_note_deliveries(TimestampTz next_attempt_at);

/* Anything may have become due: the dispatchers look at everything once the transaction commits. */
extern void integ_wake_note_all(void);

/*
 * Wakes them now: COMMIT PREPARED makes rows visible that another transaction, perhaps before a
 * restart, has written. Never raises.
 */
extern void integ_wake_everything(void);

/* Wakes every dispatcher of the database: there is something besides calls to look at. Never raises. */
extern void integ_wake_dispatchers(IntegDispatch *dispatch);

/* In a dispatcher, which knows what it writes: the trigger does nothing here. */
extern void integ_wake_mute(void);

/* From here on, and until no more, this process is told as the dispatcher of that number. */
extern void integ_wake_attach(IntegDispatch *dispatch, int number);
extern void integ_wake_detach(IntegDispatch *dispatch, int number);

/* Takes the news of a dispatcher: fills from (INTEG_NEWS long) and returns whether there were any. */
extern bool integ_wake_take(IntegDispatch *dispatch, int number, TimestampTz *from);

/* Before a dispatcher waits: false where there is news, and it must not. */
extern bool integ_wake_sleep(IntegDispatch *dispatch, int number);
extern void integ_wake_awake(IntegDispatch *dispatch, int number);

#endif /* INTEG_CALLS_WAKE_H */
