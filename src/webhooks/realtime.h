/*
 * Realtime sync tasks: an event of a service has the record that it tells of synchronized.
 */
#ifndef INTEG_WEBHOOKS_REALTIME_H
#define INTEG_WEBHOOKS_REALTIME_H

#include "postgres.h"

/* Whether a schedule is realtime, as a condition in SQL. */
#define INTEG_REALTIME(schedule) "(" schedule " @> '\"realtime\"' OR " schedule " @> '{\"type\": \"realtime\"}')"

/* Makes the webhooks of realtime tasks that have none, and removes those of tasks that are so no more. Opens
 * transactions. */
extern void integ_realtime_upkeep(void);

#endif /* INTEG_WEBHOOKS_REALTIME_H */
