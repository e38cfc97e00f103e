/*
 * Launcher: one a cluster, connected to no database. It learns which databases
 * have the extension and keeps a keeper running in each.
 */
#include "worker.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "core/guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define REREAD_INTERVAL USECS_PER_MINUTE
#define NO_SLOT_RETRY (10 * USECS_PER_SEC)
#define PROBE_RETRY USECS_PER_MINUTE
#define RESTART_SECONDS 5
#define SLEEP_MAX_MS 60000

/* A database that has no slot: looked at, or still to be. */
typedef struct Unslotted
{
	Oid database;		  /* hash key */
	bool listed;		  /* in the last list */
	TimestampTz probe_at; /* DT_NOEND: it does not have the extension */
} Unslotted;

static HTAB *unslotted;
static MemoryContext scratch;
static Oid owner; /* integ_owner, invalid while no database has ever had the extension */
static TimestampTz next_reread;
static BackgroundWorkerHandle *probe;
static BackgroundWorkerHandle **keepers; /* by slot */

void
integ_launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	/* On a standby this is after its promotion. */
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "integ", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "integ_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "integ launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "integ launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

static void
keep_error(const char *message)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	strlcpy(integ_shared->launcher_error, message, sizeof(integ_shared->launcher_error));
	integ_shared->launcher_error_at = GetCurrentTimestamp();
	LWLockRelease(integ_shared->lock);
}

/* Databases that admit connections, as a list of Oids in context. */
static List *
read_databases(MemoryContext context)
{
	Relation relation = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(relation, 0, NULL);
	HeapTuple tuple;
	List *databases = NIL;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		/* -2 marks the rest of a DROP DATABASE that was interrupted. */
		if (!database->datallowconn || database->datconnlimit == -2)
			continue;
		old = MemoryContextSwitchTo(context);
		databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	return databases;
}

/* Gives back the slots of databases that are gone. */
static void
release_gone(List *databases)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < integ_max_databases; i++)
	{
		IntegDatabase *slot = &integ_shared->databases[i];

		if (OidIsValid(slot->database) && slot->suspended == 0 && slot->keeper_pid == 0 &&
			slot->maintenance_pid == 0 && !list_member_oid(databases, slot->database) &&
			integ_shmem_stop_workers(slot))
			integ_shmem_release(slot);
	}
	LWLockRelease(integ_shared->lock);
}

static void
note_unslotted(List *databases)
{
	HASH_SEQ_STATUS scan;
	Unslotted *entry;
	ListCell *cell;

	hash_seq_init(&scan, unslotted);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->listed = false;
	foreach (cell, databases)
	{
		Oid database = lfirst_oid(cell);
		bool found;

		if (integ_shmem_find(database) != NULL)
			continue;
		entry = hash_search(unslotted, &database, HASH_ENTER, &found);
		entry->listed = true;
		if (!found)
			entry->probe_at = 0;
	}
	hash_seq_init(&scan, unslotted);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (!entry->listed)
			(void) hash_search(unslotted, &entry->database, HASH_REMOVE, NULL);
}

/* Step: the list of databases, each minute or when a command on one asks for it. */
static void
reread(void *arg)
{
	List *databases;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	owner = get_role_oid("integ_owner", true);
	databases = read_databases(scratch);
	CommitTransactionCommand();
	MemoryContextSwitchTo(scratch);
	release_gone(databases);
	note_unslotted(databases);
}

static void
start_probe(Unslotted *entry)
{
	IntegWorkerExtra extra = {.database = entry->database, .slot = -1};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	integ_shared->probing = entry->database;
	integ_shared->probe_settled = false;
	LWLockRelease(integ_shared->lock);
	if (!integ_worker_start("integ_probe_main", "probe", &extra, &probe))
	{
		probe = NULL;
		entry->probe_at = GetCurrentTimestamp() + NO_SLOT_RETRY;
		keep_error("no free background worker slot");
	}
	MemoryContextSwitchTo(old);
}

/* What the probe found; a database it could not look into is tried again. */
static void
finish_probe(void)
{
	Oid database;
	bool settled;
	Unslotted *entry;

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	database = integ_shared->probing;
	settled = integ_shared->probe_settled;
	integ_shared->probing = InvalidOid;
	LWLockRelease(integ_shared->lock);
	entry = hash_search(unslotted, &database, HASH_FIND, NULL);
	if (entry != NULL)
		entry->probe_at = settled ? DT_NOEND : GetCurrentTimestamp() + PROBE_RETRY;
	pfree(probe);
	probe = NULL;
}

/* Step: looks into databases nobody has looked into, one at a time. Returns when the next is due. */
static void
probe_next(void *arg)
{
	TimestampTz *due = arg;
	HASH_SEQ_STATUS scan;
	Unslotted *entry, *next = NULL;
	pid_t pid;

	*due = DT_NOEND;
	if (probe != NULL && GetBackgroundWorkerPid(probe, &pid) == BGWH_STOPPED)
		finish_probe();
	/* Without the role no database has the extension. */
	if (probe != NULL || !OidIsValid(owner))
		return;
	hash_seq_init(&scan, unslotted);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (integ_shmem_find(entry->database) == NULL && (next == NULL || entry->probe_at < next->probe_at))
			next = entry;
	if (next == NULL)
		return;
	if (next->probe_at <= GetCurrentTimestamp())
		start_probe(next);
	if (probe == NULL)
		*due = next->probe_at;
}

/* A keeper that ended before it could take its slot. */
static bool
ended_early(IntegDatabase *slot, BackgroundWorkerHandle *handle)
{
	pid_t pid;

	return slot->state == INTEG_DATABASE_STARTING && slot->keeper_pid == 0 &&
		   (handle == NULL || GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED);
}

static void
start_keeper(IntegDatabase *slot, int i)
{
	IntegWorkerExtra extra = {
		.database = slot->database, .owner = owner, .slot = i, .generation = slot->generation};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool started;

	if (keepers[i] != NULL)
		pfree(keepers[i]);
	keepers[i] = NULL;
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	integ_shmem_state(slot, INTEG_DATABASE_STARTING);
	LWLockRelease(integ_shared->lock);
	started = integ_worker_start("integ_keeper_main", "keeper", &extra, &keepers[i]);
	if (!started)
	{
		keepers[i] = NULL;
		LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
		slot->retry_at = GetCurrentTimestamp() + NO_SLOT_RETRY;
		integ_shmem_state(slot, INTEG_DATABASE_WAITING);
		LWLockRelease(integ_shared->lock);
		integ_shmem_error(slot, "no free background worker slot");
	}
	MemoryContextSwitchTo(old);
}

/* Step: a keeper for every slot that is due one. Returns when the next is due. */
static void
start_keepers(void *arg)
{
	TimestampTz *due = arg;

	*due = DT_NOEND;
	if (!OidIsValid(owner))
		return;
	for (int i = 0; i < integ_max_databases; i++)
	{
		IntegDatabase *slot = &integ_shared->databases[i];

		LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
		if (OidIsValid(slot->database) && ended_early(slot, keepers[i]))
		{
			slot->failures++;
			slot->retry_at = GetCurrentTimestamp() + integ_worker_backoff(slot->failures);
			integ_shmem_state(slot, INTEG_DATABASE_WAITING);
		}
		LWLockRelease(integ_shared->lock);
		if (!OidIsValid(slot->database) || slot->state != INTEG_DATABASE_WAITING || slot->suspended > 0)
			continue;
		if (slot->retry_at <= GetCurrentTimestamp())
			start_keeper(slot, i);
		if (slot->state == INTEG_DATABASE_WAITING)
			*due = Min(*due, slot->retry_at);
	}
}

static void
run(IntegStep step, void *arg)
{
	char error[INTEG_ERROR_MAX];

	if (!integ_worker_guard(step, arg, error, sizeof(error)))
		keep_error(error);
}

/* One round; returns when the next is due. */
static TimestampTz
round_of_steps(void)
{
	TimestampTz probe_due = DT_NOEND, keeper_due = DT_NOEND;

	if (pg_atomic_exchange_u32(&integ_shared->reread, 0) != 0 || GetCurrentTimestamp() >= next_reread)
	{
		run(reread, NULL);
		next_reread = GetCurrentTimestamp() + REREAD_INTERVAL;
	}
	/* A slot may have been announced that the last list did not have a role for. */
	if (!OidIsValid(owner))
		run(reread, NULL);
	run(probe_next, &probe_due);
	run(start_keepers, &keeper_due);
	return Min(next_reread, Min(probe_due, keeper_due));
}

static void
detach(int code, Datum arg)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	integ_shared->launcher_pid = 0;
	integ_shared->launcher_latch = NULL;
	integ_shared->launcher_since = GetCurrentTimestamp();
	LWLockRelease(integ_shared->lock);
}

static void
attach(void)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(Unslotted)};

	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	integ_shared->launcher_pid = MyProcPid;
	integ_shared->launcher_latch = MyLatch;
	integ_shared->launcher_since = GetCurrentTimestamp();
	LWLockRelease(integ_shared->lock);
	before_shmem_exit(detach, (Datum) 0);
	pg_atomic_write_u32(&integ_shared->reread, 1);

	unslotted = hash_create("integ databases", 64, &control, HASH_ELEM | HASH_BLOBS);
	keepers = MemoryContextAllocZero(TopMemoryContext, sizeof(*keepers) * integ_max_databases);
	scratch = AllocSetContextCreate(TopMemoryContext, "integ launcher", ALLOCSET_DEFAULT_SIZES);
}

void
integ_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	attach();

	for (;;)
	{
		TimestampTz due;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		due = round_of_steps();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 integ_worker_timeout(due, SLEEP_MAX_MS), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
