/*
 * integ's own events on their way to endpoints.
 */
#ifndef INTEG_ENDPOINTS_EVENTS_H
#define INTEG_ENDPOINTS_EVENTS_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/uuid.h"

/*
 * Whether any endpoint wants that event of integ: kind without the prefix ("delivery.failed"). Costs a look at a cached
 * list. Inside an owner scope.
 */
extern PGDLLEXPORT bool integ_own_event_wanted(const char *client, const char *kind);

/*
 * Publishes an event that is no row of integ.events, since there are too many of it: for those that are wanted.
 * instance may be NULL. Payloads hold no secrets. Inside an owner scope.
 */
extern PGDLLEXPORT void integ_own_event_publish(const char *client, const char *kind, const pg_uuid_t *instance,
												const Jsonb *payload);

#endif /* INTEG_ENDPOINTS_EVENTS_H */
