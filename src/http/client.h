/*
 * HTTP from a backend: one curl multi handle a backend on PostgreSQL's latch.
 */
#ifndef INTEG_HTTP_CLIENT_H
#define INTEG_HTTP_CLIENT_H

#include "postgres.h"

#include "http/http.h"

/*
 * Sends the request and waits for the answer, interruptibly: statement_timeout, a cancel, a
 * termination end the wait at once, also in name resolution. Connections, TLS
 * sessions and HTTP/2 are reused within the backend.
 *
 * The response is freed when CurrentMemoryContext is reset or deleted (a context
 * callback), on error too. Never raises for a failed exchange (see failure);
 * on an interrupt it does not raise either: it gives INTEG_HTTP_CANCELLED with the interrupt
 * still pending, so that the caller records the outcome and then calls CHECK_FOR_INTERRUPTS.
 */
extern IntegHttpResponse *integ_http_send(const IntegHttpRequest *request);

/* An empty response that is freed with CurrentMemoryContext. */
extern IntegHttpResponse *integ_http_response_make(void);

#endif /* INTEG_HTTP_CLIENT_H */
