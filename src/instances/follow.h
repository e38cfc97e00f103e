/*
 * A definition has changed: its instances go where it leads now.
 */
#ifndef INTEG_INSTANCES_FOLLOW_H
#define INTEG_INSTANCES_FOLLOW_H

#include "postgres.h"

#include "access/actor.h"

/*
 * After a version of the definition was stored in this transaction: writes the new origin of every instance that
 * follows it. One with credentials of its own becomes "initializing", says so in last_error, and is named in a NOTICE,
 * since credentials are bound to origins. An instance whose base URL comes with the token, or whose config no longer
 * gives one, stays as it is. Must be called outside integ_owner_enter.
 */
extern void integ_instances_follow(const IntegActor *actor, const char *definition_id);

#endif /* INTEG_INSTANCES_FOLLOW_H */
