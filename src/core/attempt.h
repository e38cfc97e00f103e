/*
 * A step that may fail without taking the transaction with it.
 */
#ifndef INTEG_CORE_ATTEMPT_H
#define INTEG_CORE_ATTEMPT_H

#include "postgres.h"

#include "utils/resowner.h"

typedef void (*IntegStep)(void *arg);

/*
 * Runs a step in a subtransaction. NULL where it went through; else its changes are undone and its error is returned,
 * in CurrentMemoryContext. An error that is not the data's (integ_error_is_of_data) is raised again.
 */
extern ErrorData *integ_attempt(IntegStep step, void *arg);

/*
 * Steps of a batch, one after another, each of which may fail without taking those before it with it, in as few
 * subtransactions as that needs: a step that has changed nothing shares its own with the next. Begins all zero.
 * A step that is to keep something else until the end of the transaction (a lock) is not for these.
 */
typedef struct IntegAttempts
{
	bool open; /* a subtransaction in which nothing has been changed */
	ResourceOwner owner;
} IntegAttempts;

/* Runs a step, in CurrentMemoryContext; NULL where it went through, else its error, in that context, whatever it is. */
extern ErrorData *integ_attempts_run(IntegAttempts *attempts, IntegStep step, void *arg);

/* After the last step; not needed where the transaction is given up. */
extern void integ_attempts_end(IntegAttempts *attempts);

/* Whether an error is of what was worked on, and not the session's (a cancel), the server's or the machine's. */
extern bool integ_error_is_of_data(int sqlstate);

#endif /* INTEG_CORE_ATTEMPT_H */
