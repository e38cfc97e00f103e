/*
 * integ's own events on their way to endpoints.
 */
#ifndef INTEG_ENDPOINTS_EVENTS_H
#define INTEG_ENDPOINTS_EVENTS_H

#include "postgres.h"

#include "endpoints/publish.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/*
 * Whether any endpoint wants that event of integ: kind without the prefix ("delivery.failed"). Costs a look at a cached
 * list. Inside an owner scope.
 */
extern PGDLLEXPORT bool integ_own_event_wanted(const char *client, const char *kind);

/* The same outside of an owner scope, which it enters only where the list is not cached. */
extern bool integ_own_event_asked_for(const char *client, const char *kind);

/* Events of integ that are no rows of integ.events, since there are too many of them: for those that are wanted. */
typedef struct IntegOwnEvents
{
	IntegMessage *items;
	int count, room;
} IntegOwnEvents;

/*
 * Collects events and publishes all of them in one statement. instance may be NULL. Payloads are objects, and hold no
 * secrets. In CurrentMemoryContext, which stays the same; integ_own_events_publish inside an owner scope.
 */
extern PGDLLEXPORT void integ_own_events_begin(IntegOwnEvents *events);
extern PGDLLEXPORT void integ_own_events_add(IntegOwnEvents *events, const char *client, const char *kind,
											 const pg_uuid_t *instance, const Jsonb *payload);
extern PGDLLEXPORT void integ_own_events_publish(const IntegOwnEvents *events);

/*
 * Sends an event of integ to the endpoint of that handle or key, among those that may get the client's events; its
 * types, filter and instance are not asked, since it was named. False where there is none, or it is disabled. Inside an
 * owner scope.
 */
extern bool integ_own_event_send(const char *client, const char *endpoint, const char *kind,
								 const pg_uuid_t *instance, const Jsonb *payload);

#endif /* INTEG_ENDPOINTS_EVENTS_H */
