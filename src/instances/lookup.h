/*
 * Finding the row that a name means: internal to instances.
 */
#ifndef INTEG_INSTANCES_LOOKUP_H
#define INTEG_INSTANCES_LOOKUP_H

#include "postgres.h"

#include "instances/instance.h"

typedef enum IntegLookup
{
	INTEG_LOOKUP_CALL,		/* handle, id or definition: what the actor may call */
	INTEG_LOOKUP_MANAGE,	/* the same, and what administrators see of their users' */
	INTEG_LOOKUP_HANDLE,	/* handle or id only; NULL where nothing matches */
	INTEG_LOOKUP_DEFINITION /* the definition's id only */
} IntegLookup;

/*
 * Reads the instance that name means, not cached and in a context of its own below
 * CurrentMemoryContext. Raises IG404 and IG409.
 */
extern IntegInstance *integ_instance_lookup(const IntegActor *actor, const char *name, IntegLookup how);

#endif /* INTEG_INSTANCES_LOOKUP_H */
