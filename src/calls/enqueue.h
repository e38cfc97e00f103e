/*
 * Durable calls, for C that makes them.
 */
#ifndef INTEG_CALLS_ENQUEUE_H
#define INTEG_CALLS_ENQUEUE_H

#include "postgres.h"

#include "fmgr.h"

/*
 * The SQL function: instance, method, input, options; none may be NULL here. As the current user, in its transaction.
 */
extern PGDLLEXPORT Datum integ_enqueue(PG_FUNCTION_ARGS);

#endif /* INTEG_CALLS_ENQUEUE_H */
