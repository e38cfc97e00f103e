/*
 * Sync workers in shared memory: which execution each has, and as whom.
 *
 * Everything here is guarded by integ_shared->lock, but for stop, which a
 * worker reads as it is. A worker belongs to one owner: its session user. The
 * keeper alone gives executions to workers.
 */
#ifndef INTEG_SYNC_SLOTS_H
#define INTEG_SYNC_SLOTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "utils/uuid.h"

/* Of one database; integ.max_sync_workers is at most this. */
#define INTEG_MAX_SYNC_WORKERS 64

typedef enum IntegSyncSlotState
{
	INTEG_SYNC_FREE,
	INTEG_SYNC_STARTING, /* asked of the postmaster */
	INTEG_SYNC_BUSY,	 /* it has an execution */
	INTEG_SYNC_IDLE,
	INTEG_SYNC_LEAVING,
	INTEG_SYNC_BROKEN /* could not start; the keeper has not looked at it yet */
} IntegSyncSlotState;

typedef struct IntegSyncSlot
{
	IntegSyncSlotState state;
	Oid owner;
	int ticket; /* of this start: a worker that comes with another one is too late */
	pid_t pid;
	int64 lease; /* in the row that it runs; never used again */
	TimestampTz since;
	Latch *latch;
	pg_uuid_t execution; /* this and the next three while STARTING or BUSY */
	pg_uuid_t task;
	pg_uuid_t instance; /* zeros: several */
	uint32 client;		/* hash of it */
	bool cancel;		/* the execution is to be cancelled: the row says so */
} IntegSyncSlot;

typedef struct IntegSyncWorkers
{
	IntegSyncSlot slots[INTEG_MAX_SYNC_WORKERS];
	int last_ticket;
	TimestampTz clock;			/* at the keeper's last look at the schedules; 0: it has not looked. Its own */
	uint32 lost;				/* workers that ended with an execution; counts up */
	bool lacking;				/* no background worker slot was free when one was to start */
	ConditionVariable finished; /* an execution has ended */
} IntegSyncWorkers;

#endif /* INTEG_SYNC_SLOTS_H */
