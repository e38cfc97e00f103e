/*
 * Sync: what one execution of a task does (the engine), and when it does it
 * (the lifecycle). docs/sync.md is the reference.
 *
 * The keeper chooses what runs and starts sync workers, whose session user is
 * the task's owner. A worker takes an execution, hands it to the engine, and
 * writes how it ended:
 *
 *		run = integ_sync_begin(&id, lease)      a transaction of its own; NULL: nothing to do any more
 *		outcome = integ_sync_execute(run)       outside a transaction; opens its own, a page each
 *		integ_sync_finish(run, &outcome)        a transaction of its own
 *
 * In the transaction of every page the engine calls integ_sync_save: page,
 * links, cursor and counters are there together, or none of them is.
 */
#ifndef INTEG_SYNC_SYNC_H
#define INTEG_SYNC_SYNC_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

typedef enum IntegSyncDirection
{
	INTEG_SYNC_PULL,
	INTEG_SYNC_PUSH,
	INTEG_SYNC_BIDIRECTIONAL
} IntegSyncDirection;

typedef enum IntegSyncPhase
{
	INTEG_SYNC_FETCHING,
	INTEG_SYNC_TRANSFORMING,
	INTEG_SYNC_SAVING,
	INTEG_SYNC_COMPLETE
} IntegSyncPhase;

/* Why a run is to end before it is through. */
typedef enum IntegSyncStop
{
	INTEG_SYNC_GO_ON,
	INTEG_SYNC_CANCELLED, /* by a person, by the overlap policy, or its task is gone or switched off */
	INTEG_SYNC_YIELD	  /* the worker is told to end: the execution goes on later, from its last page */
} IntegSyncStop;

/* What it has done so far; an execution that goes on after a crash begins with what is committed. */
typedef struct IntegSyncCounters
{
	int64 pages;
	int64 total; /* -1: the service does not tell */
	int64 processed;
	int64 fetched;
	int64 created;
	int64 updated;
	int64 unchanged;
	int64 skipped;
	int64 deleted;
	int64 failed;
} IntegSyncCounters;

/* One source: the task itself, or a row of integ.sync_task_sources. Texts may be NULL where the row says nothing. */
typedef struct IntegSyncSource
{
	int position; /* 0: the task itself */
	const char *name;
	bool has_instance;
	pg_uuid_t instance;
	bool has_schema;
	pg_uuid_t schema;
	const char *entity;
	const char *method;
	const Jsonb *config; /* the task's, and the source's own keys over it */
} IntegSyncSource;

typedef struct IntegSyncRun
{
	MemoryContext context; /* holds all of this; deleted by integ_sync_finish */
	pg_uuid_t id;		   /* of the execution */
	TimestampTz created_at;
	int64 lease;

	/* as the task was when the worker took it */
	pg_uuid_t task;
	const char *task_id;
	const char *client_id;	  /* '*' for global */
	const char *context_type; /* global, client, user */
	const char *context_id;	  /* NULL for global */
	const char *user_id;	  /* whom it acts for within the client: of a user's context; else NULL */
	Oid owner;				  /* the session user */
	IntegSyncDirection direction;
	const Jsonb *config;
	int nsources;
	const IntegSyncSource *sources; /* one or more */

	/* of the execution */
	const char *trigger; /* schedule, manual, webhook, retry */
	bool dry_run;
	bool resumed;	   /* it goes on after its worker had ended */
	bool has_retry_of; /* a retry of another execution */
	pg_uuid_t retry_of;
	const Jsonb *options; /* of integ_sync_run, never NULL */
	const Jsonb *records; /* an array of external ids (strings) or records (objects) that alone it is for; NULL: all */

	/* the engine's, written by integ_sync_save */
	IntegSyncPhase phase;
	IntegSyncCounters counters;
	const Jsonb *difference; /* of a dry run; NULL: none */
	const char *reason;		 /* what it waits for, or anything a person should know; NULL: nothing */
	void *engine;			 /* what the engine keeps */

	/* the lifecycle's */
	IntegSyncStop stop; /* as integ_sync_should_stop last said */
	bool lost;			/* the row is not ours any more: deleted, or given to another worker */
} IntegSyncRun;

typedef enum IntegSyncStatus
{
	INTEG_SYNC_SUCCESS,
	INTEG_SYNC_PARTIAL, /* some records, or sources, failed */
	INTEG_SYNC_FAILED,	/* see the error */
	INTEG_SYNC_STOPPED	/* because integ_sync_should_stop said so */
} IntegSyncStatus;

/* How it ended; texts in the run's context. */
typedef struct IntegSyncOutcome
{
	IntegSyncStatus status;
	int sqlerrcode; /* of INTEG_SYNC_FAILED; may also be set for INTEG_SYNC_PARTIAL */
	const char *message;
	const char *detail;
	const char *hint;
	bool is_definition;	  /* the task cannot run as it is: it goes to status "error" and is not tried again by itself */
	bool is_mismatch;	  /* the service answers otherwise than its definition says: the same, after the retries */
	TimestampTz retry_at; /* when the service takes requests again; 0: nobody says */
} IntegSyncOutcome;

/*
 * The engine. Called outside a transaction, as the session's user; returns outside of one. Raises only what the worker
 * must treat as a crash of the step (out of memory, an interrupt that ends the process): the execution is then resumed.
 */
extern IntegSyncOutcome integ_sync_execute(IntegSyncRun *run);

/*
 * Whether the run is to end now, and in run->stop why. Cheap: to be asked between pages and while waiting for the
 * network (whoever asks a worker to stop sets its latch). With or without a transaction.
 */
extern bool integ_sync_should_stop(IntegSyncRun *run);

/*
 * Writes phase, counters, difference and reason to the execution's row, in the current transaction. Not in an owner
 * scope. False where the row is not this worker's any more (run->lost): the transaction must be rolled back then, and
 * the run ended with INTEG_SYNC_STOPPED. Raises what the database raises.
 */
extern bool integ_sync_save(IntegSyncRun *run);

/* Adds a line to integ.sync_logs in the current transaction; data may be NULL. Not in an owner scope. No secrets. */
extern void integ_sync_log(const IntegSyncRun *run, const char *level, const char *message, const Jsonb *data);

/* What integ_sync_error_add takes; everything but phase and reason may be NULL. */
typedef struct IntegSyncError
{
	IntegSyncPhase phase;
	const char *record_id; /* the local record, or the key of the local row */
	const char *external_type;
	const char *external_id;
	const char *field;
	int sqlerrcode; /* 0: no statement failed */
	const char *reason;
	const Jsonb *details;
	bool recoverable;
	const pg_uuid_t *instance;
	const Jsonb *raw_record; /* left out where it is longer than INTEG_SYNC_RAW_MAX */
} IntegSyncError;

#define INTEG_SYNC_RAW_MAX (64 * 1024)

/* Adds a row to integ.sync_errors in the current transaction. Not in an owner scope. */
extern void integ_sync_error_add(const IntegSyncRun *run, const IntegSyncError *error);

/*
 * A worker takes an execution: it is running from then on, with this lease. In a context below TopMemoryContext. NULL
 * where it is not to run any more (cancelled, the task gone: that is then recorded). Opens a transaction.
 */
extern IntegSyncRun *integ_sync_begin(const pg_uuid_t *execution, int64 lease);

/*
 * How it ended: moves its row to history, counts it in the task, tells who wanted to know, and has it repeated where
 * its task says so. Opens a transaction. Frees the run.
 */
extern void integ_sync_finish(IntegSyncRun *run, const IntegSyncOutcome *outcome);

extern const char *integ_sync_phase_name(IntegSyncPhase phase);

#endif /* INTEG_SYNC_SYNC_H */
