/*
 * Workers in shared memory, whatever they do: each has a slot with its pid, 0 while there is none.
 */
#ifndef INTEG_CORE_WORKERS_H
#define INTEG_CORE_WORKERS_H

#include "postgres.h"

/*
 * How many of count slots have a worker; the pid of the first is at pid, the next stride bytes on. stop: each is told
 * to (SIGTERM). The caller holds the lock that guards them.
 */
extern int integ_workers_count(const pid_t *pid, Size stride, int count, bool stop);

/* The same of an array of slots. */
#define INTEG_WORKERS_RUNNING(slots) integ_workers_count(&(slots)[0].pid, sizeof((slots)[0]), lengthof(slots), false)
#define INTEG_WORKERS_STOP(slots) integ_workers_count(&(slots)[0].pid, sizeof((slots)[0]), lengthof(slots), true)

#endif /* INTEG_CORE_WORKERS_H */
