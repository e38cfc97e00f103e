/*
 * The ring of one database: callers append, the recorder takes and settles.
 */
#ifndef INTEG_RECORD_RING_H
#define INTEG_RECORD_RING_H

#include "postgres.h"

#include "core/shmem.h"
#include "record/entry.h"

typedef enum IntegAppend
{
	INTEG_APPEND_DONE,
	INTEG_APPEND_FULL,	  /* no room until the deadline */
	INTEG_APPEND_NO_SLOT, /* no outcome slot until the deadline */
	INTEG_APPEND_GONE	  /* the slot now belongs to another database */
} IntegAppend;

/*
 * Appends an entry that nobody waits for. When the ring is full it waits at most wait_ms, without serving
 * interrupts (but it gives up when one that ends the statement is pending), and then counts the entry as lost.
 * Never raises.
 */
extern void integ_ring_append(IntegDatabase *database, IntegEntry *entry, int wait_ms);

/* Appends an entry that the recorder is to write at once. Never waits; false where there is no room. Never raises. */
extern bool integ_ring_append_urgent(IntegDatabase *database, IntegEntry *entry);

/*
 * Takes an outcome slot, reserves reserve bytes for its outcome and appends the intent; entry->slot
 * and its created_at are set. urgent: the recorder is to write it at once. Waits interruptibly for room until the
 * deadline. *position is the place behind the entry.
 */
extern IntegAppend integ_ring_append_intent(IntegDatabase *database, IntegEntry *entry, uint32 reserve, bool urgent,
											TimestampTz deadline, uint64 *position);

/* Has the recorder write at once what is before the position. Never raises. */
extern void integ_ring_hurry(IntegDatabase *database, uint64 position);

/*
 * Appends the outcome in the room reserved for it. Never waits, never raises. Returns the place behind it,
 * 0 where the slot belongs to another database by now.
 */
extern uint64 integ_ring_append_outcome(IntegDatabase *database, uint64 generation, IntegEntry *entry);

/* Whether everything before the position is settled. */
extern bool integ_ring_is_settled(IntegDatabase *database, uint64 position);

/* Counts entries that were lost, for the next gap row. reason says why. */
extern void integ_ring_lose(IntegDatabase *database, IntegEntryKind kind, uint32 count, const char *reason);

/*
 * Copies what the ring holds into a chunk of memory (palloc'd), position of its end in *end. Returns its
 * bytes, 0 for none. Recorder only: the entries stay in the ring until settled.
 */
extern char *integ_ring_take(IntegDatabase *database, uint64 *start, uint64 *end);

/*
 * Moves tail to end: everything before it is written or refused. The slots of the entries
 * given change state: an intent to DURABLE (or REFUSED), an outcome frees its slot. Recorder only.
 */
extern void integ_ring_settle(IntegDatabase *database, uint64 end, IntegEntry **entries, int count, bool written);

/*
 * When the recorder is next to look: now (0) when somebody waits, the ring is half full or the oldest entry
 * is due; DT_NOEND when there is nothing. Publishes the time, so that callers
 * wake it only for something earlier.
 */
extern TimestampTz integ_ring_due(IntegDatabase *database);

/* The outcome of every intent made before this is on disk. */
extern TimestampTz integ_ring_settled_before(IntegDatabase *database);

#endif /* INTEG_RECORD_RING_H */
