/*
 * The lifecycle of executions: internal to sync and its worker.
 */
#ifndef INTEG_SYNC_LIFECYCLE_H
#define INTEG_SYNC_LIFECYCLE_H

#include "postgres.h"

#include "core/compat.h"
#include "core/shmem.h"
#include "sync/sync.h"

/* Every column of an execution that goes with it into history, in one order. */
#define INTEG_SYNC_COLUMNS                                                                                      \
	"id, created_at, task, task_id, client_id, context_id, instance, owner, direction, trigger, triggered_by, " \
	"scheduled_for, slots, run_at, started_at, retry_of, retry_count, dry_run, options, records, "              \
	"pages, total_records, processed_records, fetched, created, updated, unchanged, skipped, deleted, failed, " \
	"difference, resumed"

/* What this process is to the execution it runs: the slot of its worker; NULL outside of a sync worker. */
extern void integ_sync_attach_slot(IntegDatabase *database, IntegSyncSlot *slot);

/*
 * keep.c: in the keeper, outside a transaction: gives back executions of workers that are no more, makes those that
 * are due, and gives them to workers, within integ.max_sync_workers. woken: INTEG_WAKE_… since the last call. Returns
 * when it is next to be called. It waits for no lock that users hold.
 */
extern TimestampTz integ_sync_keep(IntegDatabase *database, uint32 woken);

/* What somebody else has locked, the keeper looks at again after this. */
#define INTEG_SYNC_LOCKED_PAUSE USECS_PER_SEC

/*
 * recover.c: what has to be put right in the rows, in an owner scope. Executions whose worker is no more wait again, or
 * have failed where that happens over and over; those that are to be cancelled, and wait, are. False where something is
 * left to be done later, since somebody has locked it.
 */
extern bool integ_sync_recover_orphans(IntegDatabase *database);
extern bool integ_sync_recover_cancelled(IntegDatabase *database);

/*
 * lock.c: until the owner scope ends, a worker waits for a locked row of ours only so long: whoever holds it must not
 * keep the worker from others' tasks. integ_sync_raise_locked, in a PG_CATCH, raises an error that was the end of such
 * a wait as one that says so; any other as it is.
 */
extern void integ_sync_limit_waits(void);
pg_noreturn extern void integ_sync_raise_locked(const pg_uuid_t *execution);

/*
 * lock.c: locks the task of an execution, then the execution: the order in which everybody does who changes both. In an
 * owner scope. The first waits, as long as integ_sync_limit_waits lets it; the second returns false where somebody else
 * has locked one of them. What is gone is locked.
 */
extern void integ_sync_lock(const pg_uuid_t *execution);
extern bool integ_sync_try_lock(const pg_uuid_t *execution);

/* close.c: ends an execution that waits, in an owner scope: its row becomes history with this status and reason. */
extern void integ_sync_close(const pg_uuid_t *execution, const char *status, const char *reason);

/* As above for all executions of a task that wait; those that run are to be cancelled. */
extern void integ_sync_close_task(const pg_uuid_t *task, const char *reason);

/*
 * The worker gives the execution back, to be gone on with: it was told to end, or something broke (message). Raises
 * 55P03 where somebody has locked it: once the worker has ended, the keeper gives it back.
 */
extern void integ_sync_release(const pg_uuid_t *execution, int64 lease, const char *message);

/*
 * finish.c: how an execution ended, in an owner scope, with its rows locked (integ_sync_lock): its row, of whatever
 * status, becomes history; it is counted in
 * its task, who wanted to know is told, and a retry made where the task says so. False where the row is gone.
 */
extern bool integ_sync_end(const pg_uuid_t *execution, const IntegSyncOutcome *outcome);

/*
 * seen.c: forgets what an execution has seen of its lists, in an owner scope: nobody goes on from it. The second is a
 * maintenance job: the same of executions that are not even history any more.
 */
extern void integ_sync_seen_forget(const pg_uuid_t *execution);
extern void integ_sync_seen_expire(void);

/* dropped.c: a maintenance job: forgets links, cursors and waiting foreign keys of tables that were dropped. */
extern void integ_sync_dropped_forget(void);

/* What the scheduler knows from its last look. */
typedef struct IntegSyncHorizon
{
	TimestampTz clock; /* how late it was; 0: nobody knows, so that it may have been later */
	TimestampTz mark;  /* no active task is due before, but for those that were written since */
	TimestampTz queue; /* no execution waits that may begin before, but for those that were queued since */
} IntegSyncHorizon;

/*
 * due.c: makes the executions that are due at a time, in an owner scope by indexes. Begins at the mark, so that rows
 * that an old snapshot keeps behind it cost nothing. Waits for nobody: a task that somebody has locked is due again in
 * a moment. Returns when the next is, DT_NOEND for none; now where there may be more.
 */
extern TimestampTz integ_sync_make_due(TimestampTz now, IntegSyncHorizon *horizon);

/*
 * choose.c: the executions that may begin now, oldest first, in CurrentMemoryContext; in an owner scope. Begins at
 * *queue, and moves it on, so that rows that an old snapshot keeps behind it cost nothing. next is when another one
 * may.
 */
typedef struct IntegSyncCandidate
{
	pg_uuid_t id;
	pg_uuid_t task;
	pg_uuid_t instance; /* zeros: several */
	uint32 client;		/* hash of it */
	Oid owner;
	TimestampTz run_at;
	bool taken;
} IntegSyncCandidate;

extern IntegSyncCandidate *integ_sync_candidates(TimestampTz now, TimestampTz *queue, int most, int *count,
												 TimestampTz *next);

#endif /* INTEG_SYNC_LIFECYCLE_H */
