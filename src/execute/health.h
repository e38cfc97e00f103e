/*
 * Health of instances.
 */
#ifndef INTEG_EXECUTE_HEALTH_H
#define INTEG_EXECUTE_HEALTH_H

#include "postgres.h"

/*
 * Maintenance job: calls the health check of every active instance whose
 * definition has one, one after the other. Runs outside a transaction and opens
 * its own; none is open while a request is on its way.
 */
extern void integ_health_run(void);

#endif /* INTEG_EXECUTE_HEALTH_H */
