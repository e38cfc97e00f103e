/*
 * Durable calls by their id, as people and applications manage them.
 */
#ifndef INTEG_CALLS_MANAGE_H
#define INTEG_CALLS_MANAGE_H

#include "postgres.h"

#include "access/actor.h"
#include "utils/uuid.h"

/*
 * The state of a call that the actor may see, as committed now, in
 * CurrentMemoryContext. Raises IG404 for one that is not there or not visible.
 */
extern const char *integ_call_require(const IntegActor *actor, const pg_uuid_t *call);

/*
 * Where this database goes on instead of another: open writes that may have been sent by that one, and that the
 * service would not know again, become unknown, with why as their error. In an owner scope.
 */
extern void integ_calls_abandon(const char *why);

#endif /* INTEG_CALLS_MANAGE_H */
