/*
 * The one shared-memory segment of integ.
 */
#include "core/shmem.h"

#include "core/workers.h"

#include <sys/stat.h>

#include "access/xlog.h"
#include "core/guc.h"
#include "core/uuid.h"
#include "limits/limits.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#define TRANCHE "integ"

IntegShared *integ_shared;

static shmem_request_hook_type previous_request_hook;
static shmem_startup_hook_type previous_startup_hook;

/* A backend has one write under way; a batch of calls has several. */
int
integ_shmem_outcomes(void)
{
	return 2 * MaxBackends + 64;
}

static Size
registry_size(void)
{
	return MAXALIGN(offsetof(IntegShared, databases) + mul_size(integ_max_databases, sizeof(IntegDatabase)));
}

static Size
outcomes_size(void)
{
	return MAXALIGN(mul_size(integ_shmem_outcomes(), sizeof(IntegOutcomeSlot)));
}

static Size
segment_size(void)
{
	Size each = add_size(outcomes_size(), mul_size(integ_log_buffer, 1024));

	return add_size(registry_size(), mul_size(integ_max_databases, each));
}

static void
request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(add_size(segment_size(), integ_limits_shmem_size()));
	RequestNamedLWLockTranche(TRANCHE, 2 + 2 * integ_max_databases);
}

/* Empties ring and outcome slots; positions of the ring begin anew, and with them the journal. */
static void
clear_ring(IntegDatabase *database)
{
	int count = integ_shmem_outcomes();

	memset(&database->ring, 0, sizeof(database->ring));
	database->journal.page = 0;
	database->journal.sequence = 0;
	memset(database->journal.behind, 0, sizeof(database->journal.behind));
	for (int i = 0; i < count; i++)
		database->outcomes[i] = (IntegOutcomeSlot){.next_free = i + 1 < count ? i + 1 : -1};
	database->free_outcome = 0;
	database->in_flight = 0;
}

static void
prepare_database(IntegDatabase *database, LWLock *lock, LWLock *journal_lock, char *memory)
{
	database->lock = lock;
	database->journal.lock = journal_lock;
	database->outcomes = (IntegOutcomeSlot *) memory;
	database->data = memory + outcomes_size();
	pg_atomic_init_u32(&database->wake, 0);
	pg_atomic_init_u64(&database->wakeups, 0);
	ConditionVariableInit(&database->changed);
	ConditionVariableInit(&database->room);
	ConditionVariableInit(&database->settled);
	integ_wake_shmem_init(&database->dispatch);
	integ_oauth_shmem_init(&database->oauth);
	ConditionVariableInit(&database->sync.finished);
	clear_ring(database);
}

static void
startup(void)
{
	bool found;
	struct stat st;
	Size each = outcomes_size() + (Size) integ_log_buffer * 1024;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	integ_shared = ShmemInitStruct("integ", segment_size(), &found);
	if (!found)
	{
		LWLockPadded *locks = GetNamedLWLockTranche(TRANCHE);
		char *memory = (char *) integ_shared + registry_size();

		memset(integ_shared, 0, registry_size());
		integ_shared->lock = &locks[0].lock;
		integ_uuid_make(&integ_shared->boot);
		pg_atomic_init_u32(&integ_shared->reread, 1);
		/* The file is gone once the server is promoted and the launcher runs. */
		integ_shared->standby_seen = stat(STANDBY_SIGNAL_FILE, &st) == 0;
		for (int i = 0; i < integ_max_databases; i++)
			prepare_database(&integ_shared->databases[i], &locks[1 + i].lock, &locks[2 + integ_max_databases + i].lock,
							 memory + i * each);
	}
	integ_limits_shmem_init(&GetNamedLWLockTranche(TRANCHE)[1 + integ_max_databases].lock);
	LWLockRelease(AddinShmemInitLock);
}

void
integ_shmem_init(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
}

static IntegDatabase *
find_locked(Oid database)
{
	for (int i = 0; i < integ_max_databases; i++)
		if (integ_shared->databases[i].database == database)
			return &integ_shared->databases[i];
	return NULL;
}

IntegDatabase *
integ_shmem_find(Oid database)
{
	IntegDatabase *found;

	if (integ_shared == NULL || !OidIsValid(database))
		return NULL;
	LWLockAcquire(integ_shared->lock, LW_SHARED);
	found = find_locked(database);
	LWLockRelease(integ_shared->lock);
	return found;
}

IntegDatabase *
integ_shmem_mine(void)
{
	static IntegDatabase *mine;

	if (mine == NULL || mine->database != MyDatabaseId)
		mine = integ_shmem_find(MyDatabaseId);
	return mine;
}

IntegDatabase *
integ_shmem_announce(Oid database)
{
	IntegDatabase *slot;

	if (integ_shared == NULL)
		return NULL;
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	slot = find_locked(database);
	if (slot == NULL && (slot = find_locked(InvalidOid)) != NULL)
	{
		LWLockAcquire(slot->journal.lock, LW_EXCLUSIVE);
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		clear_ring(slot);
		LWLockRelease(slot->lock);
		LWLockRelease(slot->journal.lock);
		slot->generation++;
		slot->suspended = 0;
		slot->failures = 0;
		slot->retry_at = 0;
		slot->keeper_pid = 0;
		slot->maintenance_pid = 0;
		slot->last_error[0] = '\0';
		slot->last_error_at = 0;
		slot->held_reason[0] = '\0';
		slot->held = INTEG_HELD_UNKNOWN;
		slot->sync.clock = 0;
		slot->database = database;
		integ_shmem_state(slot, INTEG_DATABASE_WAITING);
	}
	if (slot != NULL)
	{
		slot->announced++;
		slot->retry_at = 0;
	}
	else
		integ_shared->refused++;
	LWLockRelease(integ_shared->lock);
	return slot;
}

void
integ_shmem_release(IntegDatabase *database)
{
	database->database = InvalidOid;
	database->generation++;
	integ_shared->refused = 0;
	integ_shmem_state(database, INTEG_DATABASE_FREE);
}

bool
integ_shmem_stop_workers(IntegDatabase *database)
{
	return INTEG_WORKERS_STOP(database->dispatch.slots) + INTEG_WORKERS_STOP(database->handlers.slots) +
			   INTEG_WORKERS_STOP(database->sync.slots) + INTEG_WORKERS_STOP(database->listeners.slots) ==
		   0;
}

void
integ_shmem_state(IntegDatabase *database, IntegDatabaseState state)
{
	if (database->state != state)
	{
		database->state = state;
		database->since = GetCurrentTimestamp();
	}
	ConditionVariableBroadcast(&database->changed);
}

void
integ_shmem_error(IntegDatabase *database, const char *message)
{
	LWLockAcquire(integ_shared->lock, LW_EXCLUSIVE);
	strlcpy(database->last_error, message, sizeof(database->last_error));
	database->last_error_at = GetCurrentTimestamp();
	LWLockRelease(integ_shared->lock);
}

void
integ_shmem_wake_keeper(IntegDatabase *database, uint32 what)
{
	pg_atomic_fetch_or_u32(&database->wake, what);
	LWLockAcquire(database->lock, LW_SHARED);
	if (database->keeper_latch != NULL)
		SetLatch(database->keeper_latch);
	LWLockRelease(database->lock);
}

void
integ_shmem_wake_launcher(bool reread)
{
	if (integ_shared == NULL)
		return;
	if (reread)
		pg_atomic_write_u32(&integ_shared->reread, 1);
	LWLockAcquire(integ_shared->lock, LW_SHARED);
	if (integ_shared->launcher_latch != NULL)
		SetLatch(integ_shared->launcher_latch);
	LWLockRelease(integ_shared->lock);
}
