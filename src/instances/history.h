/*
 * What is remembered of changes to definitions and instances: the audit, and the
 * events that others may act on.
 */
#ifndef INTEG_INSTANCES_HISTORY_H
#define INTEG_INSTANCES_HISTORY_H

#include "postgres.h"

#include "access/actor.h"
#include "utils/uuid.h"

/*
 * A line of the audit (action: "definition.define") and an event in the current transaction
 * (event: "definition.defined"). client is the definition's owner; version may be NULL.
 */
extern void integ_definition_history(const IntegActor *actor, const char *action, const char *event, const char *id,
									 const char *version, const char *client);

/* The same for an instance. */
extern void integ_instance_history(const IntegActor *actor, const char *action, const char *event,
								   const pg_uuid_t *id, const char *instance_id, const char *definition,
								   const char *client);

#endif /* INTEG_INSTANCES_HISTORY_H */
