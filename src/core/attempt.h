/*
 * A step that may fail without taking the transaction with it.
 */
#ifndef INTEG_CORE_ATTEMPT_H
#define INTEG_CORE_ATTEMPT_H

#include "postgres.h"

typedef void (*IntegStep)(void *arg);

/*
 * Runs a step in a subtransaction. NULL where it went through; else its changes are undone and its error is returned,
 * in CurrentMemoryContext. An error that is not the data's (integ_error_is_of_data) is raised again.
 */
extern ErrorData *integ_attempt(IntegStep step, void *arg);

/* Whether an error is of what was worked on, and not the session's (a cancel), the server's or the machine's. */
extern bool integ_error_is_of_data(int sqlstate);

#endif /* INTEG_CORE_ATTEMPT_H */
