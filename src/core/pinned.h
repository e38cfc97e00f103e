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

#endif /* INTEG_CORE_PINNED_H */
