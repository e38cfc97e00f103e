/*
 * The one shared-memory segment of integ: a fixed number of database slots,
 * each with its keeper, its ring of log entries and its outcome slots.
 *
 * Locks, taken in this order:
 *   integ_shared->lock   which database has which slot, and the state of its workers
 *   journal.lock         where the journal of intents is written (record/journal.h); held while its page is changed
 *   database->lock       the ring, the outcome slots and the keeper's latch
 * The limits have a lock of their own (limits/table.h), under which none of these is taken.
 * But for the journal's none is held across a wait or anything that can raise an error.
 */
#ifndef INTEG_CORE_SHMEM_H
#define INTEG_CORE_SHMEM_H

#include "postgres.h"

#include "calls/wake.h"
#include "datatype/timestamp.h"
#include "handlers/slots.h"
#include "ingress/slots.h"
#include "oauth/desk.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "sync/slots.h"
#include "utils/uuid.h"

#define INTEG_ERROR_MAX 512 /* bytes kept of a last error */

typedef enum IntegDatabaseState
{
	INTEG_DATABASE_FREE,	 /* nobody's slot */
	INTEG_DATABASE_WAITING,	 /* its keeper is to be started at retry_at */
	INTEG_DATABASE_STARTING, /* asked of the postmaster, or recovering */
	INTEG_DATABASE_RUNNING,
	INTEG_DATABASE_STOPPING, /* told to stop */
	INTEG_DATABASE_STOPPED	 /* a command on the database is under way */
} IntegDatabaseState;

typedef enum IntegHeld
{
	INTEG_HELD_UNKNOWN, /* not looked at yet, or integ.identity has changed since */
	INTEG_HELD_NO,
	INTEG_HELD_YES
} IntegHeld;

/* Of one write between its intent and its outcome on disk. */
typedef enum IntegOutcomeState
{
	INTEG_OUTCOME_FREE,
	INTEG_OUTCOME_QUEUED,  /* the intent is in the ring */
	INTEG_OUTCOME_DURABLE, /* the intent is on disk: the request may leave */
	INTEG_OUTCOME_REFUSED, /* the intent could not be written */
	INTEG_OUTCOME_SETTLED  /* the outcome is in the ring */
} IntegOutcomeState;

typedef struct IntegOutcomeSlot
{
	IntegOutcomeState state;
	uint32 reserved;   /* bytes of the ring that its outcome may use */
	TimestampTz since; /* created_at of the intent */
	int next_free;	   /* -1 ends the list */
} IntegOutcomeSlot;

/*
 * A ring of entries between callers and the recorder. Positions are bytes ever
 * written; an entry lies at its position modulo the size. Entries between tail
 * and head belong to the recorder until it moves tail.
 */
typedef struct IntegRing
{
	uint64 head;
	uint64 tail;	 /* everything before it is settled: written or refused */
	uint64 reserved; /* bytes promised to outcomes */
	uint64 urgent;	 /* somebody waits for everything before this position */
	uint64 intents;	 /* behind the last intent */
	uint64 queued;	 /* entries ever queued and settled */
	uint64 settled;
	TimestampTz oldest;	  /* when the entry at tail was queued; 0 when empty */
	TimestampTz wake_at;  /* when the keeper will look by itself; 0 while it is awake */
	bool stalled;		  /* somebody waited in vain: others do not until tail moves */
	uint64 lost_requests; /* refused entries that no gap row tells of yet */
	uint64 lost_audit;
	TimestampTz lost_since;
	char lost_reason[INTEG_ERROR_MAX];
} IntegRing;

/* As many rows as record.sql makes. */
#define INTEG_JOURNAL_PAGES 256

/* Where the journal of intents is written. */
typedef struct IntegJournal
{
	LWLock *lock;
	int page;							/* of the table, the last that was begun */
	uint64 sequence;					/* that it was begun with; 0: none was */
	uint64 behind[INTEG_JOURNAL_PAGES]; /* positions of the ring: a page is free once tail is there */
} IntegJournal;

typedef struct IntegDatabase
{
	/* guarded by integ_shared->lock */
	Oid database; /* InvalidOid: free; a backend may read its own without the lock */
	IntegDatabaseState state;
	TimestampTz since;
	uint64 generation; /* grows when the slot changes hands */
	uint32 epoch;	   /* grows with every keeper */
	uint32 announced;  /* grows with every CREATE EXTENSION */
	int suspended;	   /* commands on the database that keep its workers away */
	int failures;	   /* of the keeper, in a row */
	TimestampTz retry_at;
	pid_t keeper_pid;
	pid_t maintenance_pid;
	TimestampTz maintenance_since;
	char last_error[INTEG_ERROR_MAX];
	TimestampTz last_error_at;
	char held_reason[INTEG_ERROR_MAX];
	uint32 identity_changes;   /* grows with every committed change of integ.identity */
	ConditionVariable changed; /* state or a pid changed */
	IntegHandlers handlers;
	IntegSyncWorkers sync;
	IntegListeners listeners;

	IntegDispatch dispatch; /* of durable calls; has a lock of its own */
	IntegOauthDesk oauth;	/* where tokens are asked for; likewise */

	/* read and written as they are */
	IntegHeld held;
	pg_atomic_uint32 wake;	  /* INTEG_WAKE_… asked of the keeper */
	pg_atomic_uint64 wakeups; /* how often the keeper woke */

	IntegJournal journal; /* has a lock of its own */

	/* guarded by lock */
	LWLock *lock;
	Latch *keeper_latch;
	IntegRing ring;
	ConditionVariable room;	   /* tail moved */
	ConditionVariable settled; /* an outcome slot changed */
	int free_outcome;
	int in_flight;
	IntegOutcomeSlot *outcomes;
	char *data; /* integ.log_buffer kilobytes */
} IntegDatabase;

/* What a wake asks the keeper to look at, besides the ring. */
#define INTEG_WAKE_EXTENSION 0x01
#define INTEG_WAKE_IDENTITY 0x02
#define INTEG_WAKE_JOBS 0x04
#define INTEG_WAKE_DISPATCHERS 0x08
#define INTEG_WAKE_HANDLERS 0x10
#define INTEG_WAKE_SYNC 0x20
#define INTEG_WAKE_LISTENERS 0x40
#define INTEG_WAKE_SYNC_TASKS 0x80	/* beside INTEG_WAKE_SYNC: tasks were written, which may be due */
#define INTEG_WAKE_SYNC_QUEUE 0x100 /* beside INTEG_WAKE_SYNC: executions were queued */
#define INTEG_WAKE_SYNC_MOVED 0x200 /* beside INTEG_WAKE_SYNC: some that wait were given any other time */
#define INTEG_WAKE_ALL 0x3ff

typedef struct IntegShared
{
	LWLock *lock;
	pg_uuid_t boot;	   /* made with this shared memory: a crash makes a new one */
	bool standby_seen; /* this server started as a standby */
	pid_t launcher_pid;
	Latch *launcher_latch;
	TimestampTz launcher_since;
	char launcher_error[INTEG_ERROR_MAX];
	TimestampTz launcher_error_at;
	pg_atomic_uint32 reread; /* the launcher is to read the list of databases again */
	int refused;			 /* databases that found no slot */
	Oid probing;			 /* the database a probe is in */
	bool probe_settled;		 /* it looked, and the database has a slot or needs none */
	IntegDatabase databases[FLEXIBLE_ARRAY_MEMBER];
} IntegShared;

/* NULL where integ is not preloaded. */
extern IntegShared *integ_shared;

/* Asks for the segment; called from integ_process_init. */
extern void integ_shmem_init(void);

/* How many outcome slots a database has. */
extern int integ_shmem_outcomes(void);

/* The slot of a database, NULL where it has none or integ is not preloaded. */
extern IntegDatabase *integ_shmem_find(Oid database);

/* The slot of this process's database, as above, without a lock once found. */
extern PGDLLEXPORT IntegDatabase *integ_shmem_mine(void);

/*
 * Finds or takes a slot for the database and counts an announcement. NULL where
 * all are taken, which integ_status() then says. Never raises.
 */
extern IntegDatabase *integ_shmem_announce(Oid database);

/* Gives the slot back; what is left in its ring is gone with the database. The caller holds integ_shared->lock. */
extern void integ_shmem_release(IntegDatabase *database);

/*
 * Tells everybody who works for the database to stop, but for the keeper and the maintenance worker; true when there is
 * nobody. The caller holds integ_shared->lock.
 */
extern bool integ_shmem_stop_workers(IntegDatabase *database);

/* Sets the state and since, and tells those who wait. The caller holds integ_shared->lock exclusively. */
extern void integ_shmem_state(IntegDatabase *database, IntegDatabaseState state);

/* Keeps the text of an error for integ_status(). Never raises. */
extern void integ_shmem_error(IntegDatabase *database, const char *message);

/* Wakes the keeper to look at what the INTEG_WAKE_… bits name. Never raises. */
extern void integ_shmem_wake_keeper(IntegDatabase *database, uint32 what);

/* Wakes the launcher; reread: to read the list of databases again. Never raises. */
extern void integ_shmem_wake_launcher(bool reread);

#endif /* INTEG_CORE_SHMEM_H */
