/*
 * The endpoint that a name means.
 */
#ifndef INTEG_ENDPOINTS_LOOKUP_H
#define INTEG_ENDPOINTS_LOOKUP_H

#include "postgres.h"

#include "access/actor.h"
#include "core/compat.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/*
 * The keys of the endpoints that one name, or an array of names, means: each the handle or the key of one that may get
 * events of the client. *count are how many. In CurrentMemoryContext. Raises IG404 naming what is unknown, or not the
 * actor's to name; IG400 for an element that is no text. Inside an owner scope.
 */
extern pg_uuid_t *integ_endpoints_named(const IntegActor *actor, const char *client, const char *name,
										const Jsonb *names, int *count);

/*
 * The endpoint that an administrator means: handle or key. *client gets whose it is, in CurrentMemoryContext. Raises
 * IG404 where there is none that the actor manages. Outside an owner scope.
 */
extern pg_uuid_t integ_endpoint_require(const IntegActor *actor, const char *name, const char **client);

/* Raises the IG404 of both. */
pg_noreturn extern void integ_endpoint_unknown(const char *name);

#endif /* INTEG_ENDPOINTS_LOOKUP_H */
