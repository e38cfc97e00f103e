/*
 * The dispatcher's work on tokens: ahead of all calls, on a connection pool of its own.
 */
#ifndef INTEG_OAUTH_WORK_H
#define INTEG_OAUTH_WORK_H

#include "postgres.h"

#include "oauth/desk.h"
#include "utils/timestamp.h"

/* Prepares this process as dispatcher number of total at a desk. Raises FATAL where libcurl is lacking. */
extern void integ_oauth_work_init(IntegOauthDesk *desk, int number, int total);

/* As integ_transfer_pool_descriptor and _timeout, of the pool for tokens. */
extern int integ_oauth_work_descriptor(void);
extern int integ_oauth_work_timeout(void);

/* When there will be something to do if nothing happens before. */
extern TimestampTz integ_oauth_work_next(void);

/*
 * One round: answers are read and kept, tickets and due rows taken, requests prepared and sent. closed: nothing new may
 * leave. Each job has transactions of its own, and none is open while a request is under way.
 */
extern void integ_oauth_work(bool closed);

/* Whether requests are under way, whose answers hold tokens: a dispatcher that stops waits for them a while. */
extern bool integ_oauth_work_open(void);

/* Ends: what has no answer is broken off, and is found again by who comes next. */
extern void integ_oauth_work_stop(void);

#endif /* INTEG_OAUTH_WORK_H */
