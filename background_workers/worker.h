/*
 * What the loops of the background workers have in common.
 */
#ifndef INTEG_WORKER_H
#define INTEG_WORKER_H

#include "postgres.h"

#include "core/shmem.h"
#include "postmaster/bgworker.h"

/* Entry points, by the names the postmaster looks up. */
extern PGDLLEXPORT void integ_launcher_main(Datum arg);
extern PGDLLEXPORT void integ_keeper_main(Datum arg);
extern PGDLLEXPORT void integ_maintenance_main(Datum arg);
extern PGDLLEXPORT void integ_probe_main(Datum arg);
extern PGDLLEXPORT void integ_dispatcher_main(Datum arg);
extern PGDLLEXPORT void integ_handler_main(Datum arg);
extern PGDLLEXPORT void integ_sync_main(Datum arg);

/* Registers the launcher; while shared libraries are preloaded. */
extern void integ_launcher_register(void);

/* What a worker of a database is started with, in bgw_extra. */
typedef struct IntegWorkerExtra
{
	Oid database;
	Oid owner;		   /* as whom it connects: integ_owner, or the owner of what it runs */
	int slot;		   /* in integ_shared->databases, -1 for a probe */
	uint64 generation; /* of the slot: another one means that it changed hands */
	int number;		   /* of a dispatcher, and among how many; of a handler's or sync worker's slot, and its ticket */
	int total;
} IntegWorkerExtra;

/*
 * Starts a dynamic worker; title completes "integ …". False where
 * max_worker_processes are all in use.
 */
extern bool integ_worker_start(const char *function, const char *title, const IntegWorkerExtra *extra,
							   BackgroundWorkerHandle **handle);

/* The same of another module than integ itself. */
extern bool integ_worker_start_module(const char *module, const char *function, const char *title,
									  const IntegWorkerExtra *extra, BackgroundWorkerHandle **handle);

/*
 * For steps of the keeper: starts the worker of a slot, which connects as owner and names the slot's number and ticket.
 * *handle, of the slot's last worker or NULL, becomes the new one's, in TopMemoryContext; NULL, and false, where
 * max_worker_processes are all in use. The second tells whether the worker of a handle (or NULL) has ended.
 */
extern bool integ_worker_start_for(const char *function, const char *title, Oid owner, int number, int ticket,
								   BackgroundWorkerHandle **handle);
extern bool integ_worker_has_stopped(BackgroundWorkerHandle *handle);

/*
 * Keeps integ.dispatchers of them running in the keeper's database: starts what is missing and stops all
 * where their number has changed. Returns when it is next to be called; a dispatcher that ends wakes the keeper.
 */
extern TimestampTz integ_dispatchers_keep(IntegDatabase *database);

/* What this worker was started with. */
extern const IntegWorkerExtra *integ_worker_extra(void);

/*
 * Connects a worker that works on our tables to its database as integ_owner,
 * with settings of its own: search_path, no timeouts, synchronous_commit on.
 */
extern void integ_worker_connect(void);

/*
 * Connects a worker as the owner of what it runs, whose settings and those of the database hold as in a session of its;
 * but for these, which would keep our own statements from their work: isolation, read only, timeouts.
 */
extern void integ_worker_connect_as_owner(void);

/*
 * What runs next begins as the first did: role, settings, prepared statements, advisory locks and temporary tables
 * are as DISCARD ALL leaves them. Plans stay: they know by themselves when they are no longer right. Outside a
 * transaction.
 */
extern void integ_worker_forget_session(void);

/*
 * Runs one step: an error ends its transaction, is logged and kept in error
 * (size bytes) and gives false; the worker goes on. Memory of the step is in
 * CurrentMemoryContext, which the caller resets.
 */
typedef void (*IntegStep)(void *arg);
extern bool integ_worker_guard(IntegStep step, void *arg, char *error, Size size);

/* How long to wait before a worker that failed this often in a row is started again, in microseconds. */
extern int64 integ_worker_backoff(int failures);

/* Milliseconds until a time for WaitLatch, at least 0 and at most limit. */
extern long integ_worker_timeout(TimestampTz until, long limit);

#endif /* INTEG_WORKER_H */
