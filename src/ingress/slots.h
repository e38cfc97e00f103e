/*
 * Listeners in shared memory. Everything here is guarded by integ_shared->lock.
 */
#ifndef INTEG_INGRESS_SLOTS_H
#define INTEG_INGRESS_SLOTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/latch.h"

/* Of one database; integ.listeners is at most this. */
#define INTEG_MAX_LISTENERS 16

typedef struct IntegListenerSlot
{
	pid_t pid;
	int port; /* that it listens on; 0: not yet */
	TimestampTz since;
	TimestampTz retry_at; /* not started before */
	int failures;		  /* in a row */
	Latch *latch;		  /* NULL: it does not run */
	bool waiting;		  /* for runs whose result is an answer */
	bool news;			  /* one has ended since it looked */
} IntegListenerSlot;

typedef struct IntegListeners
{
	IntegListenerSlot slots[INTEG_MAX_LISTENERS];
} IntegListeners;

#endif /* INTEG_INGRESS_SLOTS_H */
