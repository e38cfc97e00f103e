/*
 * The work of the handler worker, and of the keeper for it.
 */
#ifndef INTEG_HANDLERS_WORKER_H
#define INTEG_HANDLERS_WORKER_H

#include "postgres.h"

#include "core/shmem.h"
#include "handlers/handlers.h"

typedef struct IntegHandlerWorker
{
	IntegDatabase *database;
	IntegHandlerSlot *slot;
	int number; /* of the slot */
	Oid owner;
	int64 lease;
	MemoryContext scratch; /* reset between two functions */
} IntegHandlerWorker;

/* What is called, and with what. */
typedef struct IntegHandlerCall
{
	IntegHandlerSubject subject;
	const char *function;
	const Jsonb *argument;
	int64 timeout_ms;
	/* After the function, in its transaction, with what it returned (NULL: nothing); or NULL. */
	void (*finish)(void *arg, const Jsonb *result);
	void *arg;
} IntegHandlerCall;

/* Declares the timeouts; once a worker, after it has connected. */
extern void integ_handler_call_init(void);

/*
 * Calls the function in a transaction of its own as the session's user, and commits. An error of it, or of its commit,
 * is the answer, never raised; a FATAL one ends the process. The result is in CurrentMemoryContext. Forgets
 * afterwards what the function has left in the session.
 */
extern void integ_handler_call(const IntegHandlerCall *call, IntegHandlerAnswer *answer);

/* run.c: claims one due run of the worker's owner and carries it out; false where none is due. */
extern bool integ_handler_run_next(IntegHandlerWorker *worker);

/* serve.c: answers one request to the worker's owner; false where there is none. */
extern bool integ_handler_serve(IntegHandlerWorker *worker);

/* Gives back what a worker that ends had taken. The caller holds integ_shared->lock. */
extern void integ_handler_serve_abandon(IntegDatabase *database, int slot);

/*
 * keep.c: in the keeper, outside a transaction: gives back the runs of workers that are no more, and sees to it that
 * whatever is due has a worker, within integ.max_handler_workers. Returns when it is next to be called.
 */
extern TimestampTz integ_handlers_keep(IntegDatabase *database);

/* run.c: forgets runs that have succeeded long ago. Opens transactions. */
extern void integ_handler_runs_expire(void);

/* While true, this process writes integ.handler_runs without waking the keeper. */
extern void integ_handler_runs_mute(bool mute);

#endif /* INTEG_HANDLERS_WORKER_H */
