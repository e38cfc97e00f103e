/*
 * Tasks as people name and manage them.
 */
#ifndef INTEG_SYNC_TASK_H
#define INTEG_SYNC_TASK_H

#include "postgres.h"

#include "access/actor.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/*
 * The committed task that name (handle or id) means for the actor, who may manage it: its own user's, then its
 * client's, then global. action completes "may not …". Raises IG404 where nothing visible matches, IG403 where it is
 * another's to manage, and, where committed is asked for, IG409 where it was made or changed in this transaction.
 */
extern pg_uuid_t integ_sync_task_require(const IntegActor *actor, const char *name, const char *action, bool committed);

/* Whether the actor may manage what belongs to this client and context (NULL: global). */
extern bool integ_sync_may_manage(const IntegActor *actor, const char *client, const char *context);

/*
 * The first slot of a schedule after a time, within start_at and end_at (DT_NOBEGIN and DT_NOEND: unlimited);
 * 0: there is none. Raises IG400 for a schedule that is not valid.
 */
extern TimestampTz integ_sync_next_slot(const Jsonb *schedule, TimestampTz after, TimestampTz start_at,
										TimestampTz end_at);

/* The only member of a record that is no more: its external id. */
#define INTEG_SYNC_DELETED "$deleted"

/*
 * Has the named records of a task synchronized, once the current transaction has committed: an array of external ids
 * (strings) or of records (objects; {"$deleted": id} is one that the source has no more). What waits already for the
 * same task takes them along. Nothing where the task is not active. In an owner scope.
 */
extern void integ_sync_records(const pg_uuid_t *task, const Jsonb *records);

#endif /* INTEG_SYNC_TASK_H */
