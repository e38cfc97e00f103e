/*
 * Deliveries in a dispatcher: beside its calls, as tokens are (oauth/work.h).
 */
#ifndef INTEG_ENDPOINTS_WORK_H
#define INTEG_ENDPOINTS_WORK_H

#include "postgres.h"

#include "calls/dispatch.h"

/* Prepares this process to deliver. Raises FATAL where libcurl is lacking. */
extern void integ_deliveries_work_init(IntegDispatcher *dispatcher);

/* As integ_transfer_pool_descriptor and _timeout, of the pool for deliveries. */
extern int integ_deliveries_work_descriptor(void);
extern int integ_deliveries_work_timeout(void);

/*
 * One round: answers are read and stored, what is due is claimed, built and sent. Returns when the next is due unless
 * something happens before. closed: nothing new may leave. An error is logged, and delays deliveries alone.
 */
extern TimestampTz integ_deliveries_work(bool closed);

/* Whether requests are under way: a dispatcher that stops waits for them a moment. */
extern bool integ_deliveries_work_open(void);

/* Whether nothing is claimed. */
extern bool integ_deliveries_work_idle(void);

/* Reads answers only. */
extern void integ_deliveries_work_receive(void);

/* Ends: what has no answer is broken off and goes back. */
extern void integ_deliveries_work_stop(void);

/* recover.c: gives back what the dispatcher of the lease, which is no more, was sending. Inside a transaction. */
extern void integ_deliveries_give_back(int64 lease);

/* The clock was set back: everything is looked at again. */
extern void integ_deliveries_work_reset(void);

#endif /* INTEG_ENDPOINTS_WORK_H */
