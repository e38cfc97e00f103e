/*
 * Many exchanges at once, in a pool of their own: the backend's keeps few connections.
 */
#ifndef INTEG_HTTP_BATCH_H
#define INTEG_HTTP_BATCH_H

#include "postgres.h"

#include "http/http.h"

typedef struct IntegHttpBatch IntegHttpBatch;

/*
 * A batch with at most that many connections. Goes with CurrentMemoryContext: what is under way then is broken off.
 * Raises IG500 where the session has too many files open or libcurl cannot be set up.
 */
extern IntegHttpBatch *integ_http_batch_open(int connections);

/*
 * Begins an exchange without waiting. The request must stay until it is handed out by next or the batch ends. Raises
 * when out of memory.
 */
extern void integ_http_batch_start(IntegHttpBatch *batch, const IntegHttpRequest *request, void *owner);

/*
 * Waits for the next exchange that is over, returns its owner and fills the response, to be freed with
 * integ_http_response_free. NULL where none is under way, and where an interrupt ends the wait, which
 * CHECK_FOR_INTERRUPTS raises.
 */
extern void *integ_http_batch_next(IntegHttpBatch *batch, IntegHttpResponse *response);

/* Exchanges that have begun and were not handed out. */
extern int integ_http_batch_count(const IntegHttpBatch *batch);

/*
 * Breaks off one of those under way and returns its owner and response (INTEG_HTTP_CANCELLED, or what it came to
 * in the meantime); NULL where there is none.
 */
extern void *integ_http_batch_break(IntegHttpBatch *batch, IntegHttpResponse *response);

#endif /* INTEG_HTTP_BATCH_H */
