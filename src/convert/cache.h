/*
 * The state of the cache of conversions. Private to src/convert/.
 */
#ifndef INTEG_CONVERT_CACHE_H
#define INTEG_CONVERT_CACHE_H

#include "postgres.h"

/* Grows whenever a plan may have become stale. Cheap. */
extern uint64 convert_cache_generation(void);

#endif /* INTEG_CONVERT_CACHE_H */
