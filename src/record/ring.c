/*
 * The ring of one database: callers append, the recorder takes and settles.
 */
#include "record/ring.h"

#include "core/guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/timestamp.h"

/* With interrupts held off, a pending one is noticed this many milliseconds later at most. */
#define WAIT_SLICE 50

static uint64
ring_size(void)
{
	return (uint64) integ_log_buffer * 1024;
}

static uint64
ring_room(const IntegRing *ring)
{
	return ring_size() - (ring->head - ring->tail) - ring->reserved;
}

static void
copy_in(IntegDatabase *database, uint64 position, const char *from, uint32 length)
{
	uint64 offset = position % ring_size();
	uint32 first = Min(length, ring_size() - offset);

	memcpy(database->data + offset, from, first);
	memcpy(database->data, from + first, length - first);
}

static void
copy_out(const IntegDatabase *database, uint64 position, char *to, uint64 length)
{
	uint64 offset = position % ring_size();
	uint64 first = Min(length, ring_size() - offset);

	memcpy(to, database->data + offset, first);
	memcpy(to + first, database->data, length - first);
}

/*
 * Writes the entry at head. The caller holds the lock and has made sure of the room. Returns the keeper's latch
 * if it must look earlier than by itself, to be set once the lock is released: a keeper that wakes under it would
 * only wait for it. A keeper that has left meanwhile leaves a latch that may be set all the same.
 */
static Latch *
push(IntegDatabase *database, IntegEntry *entry, bool urgent)
{
	IntegRing *ring = &database->ring;
	TimestampTz due;

	entry->queued_at = GetCurrentTimestamp();
	copy_in(database, ring->head, (const char *) entry, entry->length);
	if (ring->head == ring->tail)
		ring->oldest = entry->queued_at;
	ring->head += entry->length;
	ring->queued++;

	if (urgent)
		ring->urgent = ring->head;
	due = ring->oldest + integ_log_flush * INT64CONST(1000);
	if (database->keeper_latch != NULL && ring->wake_at != 0 &&
		(urgent || ring->wake_at > due || ring->head - ring->tail >= ring_size() / 2))
	{
		/* Awake from here on, for those that append before it is. */
		ring->wake_at = 0;
		return database->keeper_latch;
	}
	return NULL;
}

static void
wake(Latch *keeper)
{
	if (keeper != NULL)
		SetLatch(keeper);
}

/* So many slots wait for their outcomes to be written that the next writes might wait for one. */
static bool
slots_are_scarce(const IntegDatabase *database)
{
	return database->in_flight > integ_shmem_outcomes() / 2;
}

static bool
try_append(IntegDatabase *database, IntegEntry *entry, bool urgent)
{
	IntegRing *ring = &database->ring;
	Latch *keeper = NULL;
	bool done;

	LWLockAcquire(database->lock, LW_EXCLUSIVE);
	/* The extension was dropped, and the slot may be another database's: the entry has no place any more. */
	if (database->database != MyDatabaseId)
		done = true;
	else if ((done = ring_room(ring) >= entry->length))
		keeper = push(database, entry, urgent);
	LWLockRelease(database->lock);
	wake(keeper);
	return done;
}

bool
integ_ring_append_urgent(IntegDatabase *database, IntegEntry *entry)
{
	return try_append(database, entry, true);
}

static IntegAppend
try_append_intent(IntegDatabase *database, IntegEntry *entry, uint32 reserve, bool urgent, uint64 *position)
{
	IntegRing *ring = &database->ring;
	IntegAppend result = INTEG_APPEND_DONE;
	Latch *keeper = NULL;

	LWLockAcquire(database->lock, LW_EXCLUSIVE);
	if (database->database != MyDatabaseId)
		result = INTEG_APPEND_GONE;
	else if (database->free_outcome < 0)
		result = INTEG_APPEND_NO_SLOT;
	else if (ring_room(ring) < (uint64) entry->length + reserve)
		result = INTEG_APPEND_FULL;
	else
	{
		IntegOutcomeSlot *slot = &database->outcomes[database->free_outcome];

		TimestampTz since = GetCurrentTimestamp();

		/* Under the lock, so that no watermark made before is younger than the intent. */
		integ_entry_set_time(entry, since);
		entry->slot = database->free_outcome;
		database->free_outcome = slot->next_free;
		database->in_flight++;
		*slot = (IntegOutcomeSlot){
			.state = INTEG_OUTCOME_QUEUED, .reserved = reserve, .since = since, .next_free = -1};
		ring->reserved += reserve;
		keeper = push(database, entry, urgent || slots_are_scarce(database));
		*position = ring->intents = ring->head;
	}
	LWLockRelease(database->lock);
	wake(keeper);
	return result;
}

void
integ_ring_hurry(IntegDatabase *database, uint64 position)
{
	IntegRing *ring = &database->ring;
	Latch *keeper = NULL;

	LWLockAcquire(database->lock, LW_EXCLUSIVE);
	if (database->database == MyDatabaseId && position > ring->tail)
	{
		ring->urgent = Max(ring->urgent, position);
		ring->wake_at = 0;
		keeper = database->keeper_latch;
	}
	LWLockRelease(database->lock);
	wake(keeper);
}

bool
integ_ring_is_settled(IntegDatabase *database, uint64 position)
{
	bool settled;

	LWLockAcquire(database->lock, LW_SHARED);
	settled = database->ring.tail >= position;
	LWLockRelease(database->lock);
	return settled;
}

uint64
integ_ring_append_outcome(IntegDatabase *database, uint64 generation, IntegEntry *entry)
{
	IntegRing *ring = &database->ring;
	IntegOutcomeSlot *slot = &database->outcomes[entry->slot];
	Latch *keeper = NULL;
	uint64 position = 0;

	LWLockAcquire(database->lock, LW_EXCLUSIVE);
	if (database->generation == generation)
	{
		Assert(slot->state != INTEG_OUTCOME_FREE && slot->reserved >= entry->length);
		ring->reserved -= slot->reserved;
		slot->reserved = 0;
		slot->state = INTEG_OUTCOME_SETTLED;
		keeper = push(database, entry, slots_are_scarce(database));
		position = ring->head;
	}
	LWLockRelease(database->lock);
	wake(keeper);
	return position;
}

void
integ_ring_lose(IntegDatabase *database, IntegEntryKind kind, uint32 count, const char *reason)
{
	IntegRing *ring = &database->ring;

	/* No row is missing: the first comes again, and whoever needs the second sees that it did not come. */
	if (kind == INTEG_ENTRY_USED || kind == INTEG_ENTRY_LIMIT)
		return;
	LWLockAcquire(database->lock, LW_EXCLUSIVE);
	if (ring->lost_requests + ring->lost_audit == 0)
		ring->lost_since = GetCurrentTimestamp();
	strlcpy(ring->lost_reason, reason, sizeof(ring->lost_reason));
	if (kind == INTEG_ENTRY_AUDIT)
		ring->lost_audit += count;
	else
		ring->lost_requests += count;
	LWLockRelease(database->lock);
}

/* Marks that waiting is in vain until tail moves; true if somebody had marked it before. */
static bool
mark_stalled(IntegDatabase *database, bool stalled)
{
	bool before;

	LWLockAcquire(database->lock, LW_EXCLUSIVE);
	before = database->ring.stalled;
	database->ring.stalled = stalled || before;
	LWLockRelease(database->lock);
	return before;
}

static bool
statement_ends(void)
{
	return QueryCancelPending || ProcDiePending;
}

static long
milliseconds_until(TimestampTz deadline)
{
	TimestampTz now = GetCurrentTimestamp();

	return now >= deadline ? 0 : (long) ((deadline - now + 999) / 1000);
}

void
integ_ring_append(IntegDatabase *database, IntegEntry *entry, int wait_ms)
{
	TimestampTz deadline;
	bool done = try_append(database, entry, false);

	if (done)
		return;
	deadline = GetCurrentTimestamp() + wait_ms * INT64CONST(1000);
	if (wait_ms > 0 && !mark_stalled(database, false))
	{
		HOLD_INTERRUPTS();
		ConditionVariablePrepareToSleep(&database->room);
		while (!(done = try_append(database, entry, false)) && !statement_ends() && milliseconds_until(deadline) > 0)
			(void) ConditionVariableTimedSleep(&database->room, Min(milliseconds_until(deadline), WAIT_SLICE),
											   PG_WAIT_EXTENSION);
		ConditionVariableCancelSleep();
		RESUME_INTERRUPTS();
		if (!done)
			(void) mark_stalled(database, true);
	}
	if (!done)
		integ_ring_lose(database, entry->kind, 1, "the ring between callers and the recorder was full");
}

IntegAppend
integ_ring_append_intent(IntegDatabase *database, IntegEntry *entry, uint32 reserve, bool urgent,
						 TimestampTz deadline, uint64 *position)
{
	IntegAppend result = try_append_intent(database, entry, reserve, urgent, position);

	if (result == INTEG_APPEND_DONE || result == INTEG_APPEND_GONE)
		return result;
	ConditionVariablePrepareToSleep(&database->room);
	while ((result = try_append_intent(database, entry, reserve, urgent, position)) != INTEG_APPEND_DONE &&
		   result != INTEG_APPEND_GONE && milliseconds_until(deadline) > 0)
		(void) ConditionVariableTimedSleep(&database->room, milliseconds_until(deadline), PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	return result;
}

char *
integ_ring_take(IntegDatabase *database, uint64 *start, uint64 *end)
{
	IntegRing *ring = &database->ring;
	char *copy = NULL;

	LWLockAcquire(database->lock, LW_SHARED);
	*start = ring->tail;
	*end = ring->head;
	LWLockRelease(database->lock);

	/* Nobody writes between tail and head. */
	if (*end > *start)
	{
		copy = palloc(*end - *start);
		copy_out(database, *start, copy, *end - *start);
	}
	return copy;
}

/* What became of one entry: its slot, and the entries a gap row told of. */
static void
settle_entry(IntegDatabase *database, const IntegEntry *entry, bool written)
{
	IntegRing *ring = &database->ring;
	IntegOutcomeSlot *slot = entry->slot < 0 ? NULL : &database->outcomes[entry->slot];

	if (entry->lost > 0 && written)
	{
		uint64 *lost = entry->kind == INTEG_ENTRY_AUDIT ? &ring->lost_audit : &ring->lost_requests;

		*lost -= Min(*lost, entry->lost);
	}
	if (slot == NULL)
		return;
	if (entry->settles)
	{
		slot->state = INTEG_OUTCOME_FREE;
		slot->next_free = database->free_outcome;
		database->free_outcome = entry->slot;
		database->in_flight--;
	}
	else if (slot->state == INTEG_OUTCOME_QUEUED)
		slot->state = written ? INTEG_OUTCOME_DURABLE : INTEG_OUTCOME_REFUSED;
}

void
integ_ring_settle(IntegDatabase *database, uint64 end, IntegEntry **entries, int count, bool written)
{
	IntegRing *ring = &database->ring;
	bool slots_changed = false;

	LWLockAcquire(database->lock, LW_EXCLUSIVE);
	for (int i = 0; i < count; i++)
	{
		settle_entry(database, entries[i], written);
		slots_changed |= entries[i]->slot >= 0;
	}
	if (end > ring->tail)
	{
		ring->tail = end;
		ring->stalled = false;
		ring->settled += count;
	}
	ring->oldest = 0;
	if (ring->head > ring->tail)
	{
		IntegEntry next;

		copy_out(database, ring->tail, (char *) &next, sizeof(next));
		ring->oldest = next.queued_at;
	}
	LWLockRelease(database->lock);

	ConditionVariableBroadcast(&database->room);
	if (slots_changed)
		ConditionVariableBroadcast(&database->settled);
}

TimestampTz
integ_ring_settled_before(IntegDatabase *database)
{
	TimestampTz before;

	LWLockAcquire(database->lock, LW_EXCLUSIVE);
	before = GetCurrentTimestamp();
	for (int i = 0; i < integ_shmem_outcomes() && database->in_flight > 0; i++)
		if (database->outcomes[i].state != INTEG_OUTCOME_FREE)
			before = Min(before, database->outcomes[i].since);
	LWLockRelease(database->lock);
	return before;
}

TimestampTz
integ_ring_due(IntegDatabase *database)
{
	IntegRing *ring = &database->ring;
	TimestampTz due = DT_NOEND;

	LWLockAcquire(database->lock, LW_EXCLUSIVE);
	if (ring->tail < ring->urgent || ring->head - ring->tail >= ring_size() / 2)
		due = 0;
	else if (ring->head > ring->tail)
		due = ring->oldest + integ_log_flush * INT64CONST(1000);
	else if (ring->lost_requests + ring->lost_audit > 0)
		due = ring->lost_since + integ_log_flush * INT64CONST(1000);
	ring->wake_at = due;
	LWLockRelease(database->lock);
	return due;
}
