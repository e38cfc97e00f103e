/*
 * Objects of a cache that callers hold while the cache moves on.
 *
 * A cached object lives in a memory context of its own. Whoever looks it up
 * pins it for as long as a memory context of theirs lives; an object that the
 * cache has dropped is freed with its last pin. Errors need no cleanup code:
 * the abort resets the context that holds the pin.
 */
#ifndef INTEG_CORE_PINNED_H
#define INTEG_CORE_PINNED_H

#include "postgres.h"

#include "utils/hsearch.h"

typedef struct IntegPinned
{
	MemoryContext context; /* holds the object, this struct included */
	int pins;
	bool retired; /* no longer in its cache */
} IntegPinned;

/*
 * Keeps the object until CurrentMemoryContext is reset or deleted. That must not be
 * the object's own context or an ancestor of it that is ever reset.
 */
extern void integ_pinned_hold(IntegPinned *object);

/* The cache lets go of the object: it is freed now or with its last pin. */
extern void integ_pinned_retire(IntegPinned *object);

/* A cache of such objects by name, each of which begins with its IntegPinned. Starts as {.name = "…"}. */
typedef struct IntegPinnedTable
{
	const char *name; /* of its memory */
	HTAB *entries;
	uint64 generation; /* under which they were read */
} IntegPinnedTable;

/* Longest key that is cached, with its terminating NUL. */
#define INTEG_PINNED_KEY 512

/*
 * The object of that key, held as by integ_pinned_hold, or NULL. Under another generation than at the last
 * call everything is let go first. A key that is too long is never found.
 */
extern void *integ_pinned_find(IntegPinnedTable *table, uint64 generation, const char *key);

/*
 * Takes an object that was read after integ_pinned_find did not find it, in a context below the caller's; it is held
 * as by integ_pinned_hold. generation is the present one: if it is not that of integ_pinned_find, what was read may be
 * older than a change, and the object stays the caller's alone, as with a key that is too long.
 */
extern void integ_pinned_keep(IntegPinnedTable *table, uint64 generation, const char *key, IntegPinned *object);

#endif /* INTEG_CORE_PINNED_H */
