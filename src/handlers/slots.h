/*
 * Handler workers in shared memory: which run, as whom, and what backends wait
 * for an answer of theirs.
 *
 * Everything here is guarded by integ_shared->lock. A worker belongs to one
 * owner: its session user. The keeper alone starts workers; whoever leaves a
 * request wakes an idle worker of the owner, or else the keeper.
 */
#ifndef INTEG_HANDLERS_SLOTS_H
#define INTEG_HANDLERS_SLOTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/dsm.h"
#include "storage/latch.h"

/* Of one database; integ.max_handler_workers is at most this. */
#define INTEG_MAX_HANDLERS 32

/* Answers that may be waited for at once. */
#define INTEG_MAX_HANDLER_REQUESTS 64

#define INTEG_REFUSAL_MAX 200

typedef enum IntegHandlerState
{
	INTEG_HANDLER_FREE,
	INTEG_HANDLER_STARTING, /* asked of the postmaster */
	INTEG_HANDLER_BUSY,
	INTEG_HANDLER_IDLE,
	INTEG_HANDLER_LEAVING,
	INTEG_HANDLER_FAILED /* could not start; the keeper has not looked at it yet */
} IntegHandlerState;

typedef struct IntegHandlerSlot
{
	IntegHandlerState state;
	Oid owner;
	int ticket; /* of this start: a worker that comes with another one is too late */
	pid_t pid;
	int64 lease; /* in the rows that it runs; never used again */
	TimestampTz since;
	Latch *latch;
} IntegHandlerSlot;

typedef enum IntegHandlerRequestState
{
	INTEG_REQUEST_FREE,
	INTEG_REQUEST_WAITING,
	INTEG_REQUEST_TAKEN,  /* by a worker, which frees it */
	INTEG_REQUEST_REFUSED /* no worker can be had: whoever asked frees it */
} IntegHandlerRequestState;

typedef struct IntegHandlerRequest
{
	IntegHandlerRequestState state;
	uint64 id; /* never used again */
	Oid owner;
	dsm_handle segment;
	int slot;		/* of the worker that took it */
	bool cancelled; /* nobody waits any more; the worker was interrupted */
	Latch *latch;	/* of whoever waits */
	char refusal[INTEG_REFUSAL_MAX];
} IntegHandlerRequest;

typedef struct IntegHandlers
{
	IntegHandlerSlot slots[INTEG_MAX_HANDLERS];
	IntegHandlerRequest requests[INTEG_MAX_HANDLER_REQUESTS];
	uint64 last_request;
	int last_ticket;
	bool crowded; /* an owner waits for a worker of another one to leave */
} IntegHandlers;

#endif /* INTEG_HANDLERS_SLOTS_H */
