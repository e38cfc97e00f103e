/*
 * What keeps a database's integrations running and shows how they are: waking
 * at commit, the held state, events, maintenance jobs.
 */
#ifndef INTEG_OPERATE_OPERATE_H
#define INTEG_OPERATE_OPERATE_H

#include "postgres.h"

#include "commands/trigger.h"

#include "core/query.h"
#include "core/shmem.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Wakes the keeper of this database when, and only when, the transaction commits. what: INTEG_WAKE_… bits. */
extern void integ_wake_at_commit(uint32 what);

/*
 * Raises IG500 with the reason and what to do where nothing may leave this
 * database: integ.hold is on, or it is a copy that integ_resume() has not
 * released. No SPI once the keeper has looked.
 */
extern PGDLLEXPORT void integ_require_not_held(void);

/*
 * Looks at integ.identity: an empty string where this database is what the table says, else why not, in
 * CurrentMemoryContext. exists is false where the table is empty (a fresh installation). Needs a transaction.
 */
extern char *integ_identity_problem(bool *exists);

/*
 * As above, and writes the identity of a fresh installation or after a regular promotion;
 * the result goes to shared memory. Keeper only, inside a transaction.
 */
extern void integ_identity_check(IntegDatabase *database);

/*
 * For the triggers of queues. Only a restore copies (COPY) rows into them by name, perhaps before integ.identity has
 * the row that says whose they are, and what logical replication brings is another database's to do: integ.identity
 * then says that rows came from elsewhere, so that the database is held from this commit on. Inside a transaction.
 */
extern void integ_identity_note_copy(const TriggerData *trigger);

/*
 * Whether the statement of the client is a COPY into this very table. Rows that triggers or defaults add here while a
 * table of a user's is loaded by COPY are new ones.
 */
extern bool integ_is_copied_into(Oid table);

/*
 * Adds a row to integ.events in the current transaction. kind is a name such as
 * "instance.connected"; client NULL means global; instance and payload (an object) may be
 * NULL. Payloads hold no secrets.
 */
extern PGDLLEXPORT void integ_event_emit(const char *kind, const char *client, const pg_uuid_t *instance,
										 const Jsonb *payload);

/*
 * Adds a row to integ.notifications in the current transaction. recipient is a user id, NULL for the
 * administrators of the client; client NULL means global; hint and link may be
 * NULL.
 */
extern PGDLLEXPORT void integ_notify(const char *recipient, const char *client, const char *kind, const char *text,
									 const char *hint, const char *link);

/*
 * Tells who listens on the channel that these have ended: a hint that saves asking, which nothing may rely on. Left out
 * where integ.notify_calls is off or the queue of notifications fills up. Sent when the transaction commits. Workers
 * only.
 */
extern void integ_announce_ids(const char *channel, const pg_uuid_t *const *ids, int count);

/* One maintenance job. */
typedef struct IntegJob
{
	const char *name;
	const char *every;		 /* interval text: how often, unless integ.maintenance_jobs says otherwise */
	const char *description; /* COMMENT-like sentence shown in the table */
	/* Called in the maintenance worker outside a transaction; opens its own. An error is recorded. */
	void (*run)(void);
} IntegJob;

/* Adds rows for jobs that integ.maintenance_jobs does not know. Inside a transaction. */
extern void integ_jobs_seed(void);

/* When the next job is due, DT_NOEND for none. Inside a transaction. */
extern TimestampTz integ_jobs_due(void);

/* Makes a job due now. Inside a transaction. */
extern void integ_job_request(const char *name);

/*
 * For jobs: runs a DELETE of a batch of rows, in an owner scope and a transaction of its own each time, until it finds
 * none. values are by value. Called outside a transaction.
 */
extern void integ_job_delete(IntegQuery *query, const Datum *values);

/*
 * Claims one due job and runs it, with transactions of its own; an error of the
 * job goes to its row and to integ.events. False where none is due. Called outside a transaction.
 */
extern bool integ_jobs_run_next(void);

/* Days since 2000-01-01 of a time, in UTC: each has a partition of its own. */
extern int integ_day_of(TimestampTz time);

/* The name of a table's partition of a day, in CurrentMemoryContext; it may not exist (yet). */
extern char *integ_partition_name(const char *table, int day);

/* The jobs "partitions" and "retention" (see partition.c). */
extern void integ_partitions_run(void);
extern void integ_retention_run(void);

/* Installs the ProcessUtility hook; called from integ_process_init. */
extern void integ_commands_init(void);

#endif /* INTEG_OPERATE_OPERATE_H */
