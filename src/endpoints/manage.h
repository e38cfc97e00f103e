/*
 * Managing deliveries: internal to endpoints.
 */
#ifndef INTEG_ENDPOINTS_MANAGE_H
#define INTEG_ENDPOINTS_MANAGE_H

#include "postgres.h"

#include "access/actor.h"
#include "utils/uuid.h"

/*
 * The state of a delivery that the actor manages, in CurrentMemoryContext. Raises IG404 where there is none. Inside an
 * owner scope.
 */
extern char *integ_delivery_require(const IntegActor *actor, const pg_uuid_t *delivery);

#endif /* INTEG_ENDPOINTS_MANAGE_H */
