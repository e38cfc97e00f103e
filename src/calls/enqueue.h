/*
 * Durable calls, for C that makes them.
 */
#ifndef INTEG_CALLS_ENQUEUE_H
#define INTEG_CALLS_ENQUEUE_H

#include "postgres.h"

#include "execute/call.h"
#include "fmgr.h"

/*
 * The SQL function: instance, method, input, options; none may be NULL here. As the current user, in its transaction.
 */
extern PGDLLEXPORT Datum integ_enqueue(PG_FUNCTION_ARGS);

/*
 * Whether any dispatcher may carry out calls of the instance that have no order to keep, and no limit of their method:
 * it has none that one of them must know all about.
 */
extern bool integ_calls_are_shared(const IntegCall *call);

#endif /* INTEG_CALLS_ENQUEUE_H */
