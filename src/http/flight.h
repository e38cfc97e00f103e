/*
 * An exchange whose answer is read while it arrives, in the backend's own pool.
 *
 *		flight = integ_http_begin(request);             the request has a window
 *		if (integ_http_await_head(flight) says 2xx)
 *			while ((len = integ_http_read(flight, &data)) > 0)
 *				use a part of it, integ_http_take(flight, part);
 *		else
 *			integ_http_collect(flight);
 *		response = integ_http_end(flight);              says how it ended, and CHECK_FOR_INTERRUPTS raises
 *
 * request->timeout_ms bounds what is waited in all; the time that the reader takes does not count.
 */
#ifndef INTEG_HTTP_FLIGHT_H
#define INTEG_HTTP_FLIGHT_H

#include "postgres.h"

#include "http/http.h"

typedef struct IntegHttpFlight IntegHttpFlight;

/*
 * Begins the exchange without waiting for it. Request and response must live as long as CurrentMemoryContext; when that
 * is reset or deleted, on error too, the exchange is broken off. Never raises for what fails: integ_http_end tells.
 */
extern IntegHttpFlight *integ_http_begin(const IntegHttpRequest *request);

/*
 * The status of the answer once its headers are here; 0 where none comes. What is returned from here on is only what
 * the service sent: whether it is an error is the caller's to say.
 */
extern long integ_http_await_head(IntegHttpFlight *flight);

/* A header of the answer by its lower-case name, NULL where absent; copied to CurrentMemoryContext. */
extern char *integ_http_head_value(const IntegHttpFlight *flight, const char *name);

/*
 * The bytes that have arrived and are not taken yet, after a wait for the first of them; 0 at the end, where the
 * exchange failed, where the time is over and where an interrupt ended the wait. They may be overwritten.
 */
extern size_t integ_http_read(IntegHttpFlight *flight, char **data);

/* As integ_http_read, but waits until there are more than known bytes, or the end. */
extern size_t integ_http_read_more(IntegHttpFlight *flight, size_t known, char **data);

/* Forgets the first count bytes of what was read. */
extern void integ_http_take(IntegHttpFlight *flight, size_t count);

/* Whether the answer has arrived to its end. */
extern bool integ_http_succeeds(const IntegHttpFlight *flight);

/* The response that integ_http_end will fill; until then it has the status only. */
extern IntegHttpResponse *integ_http_flight_response(const IntegHttpFlight *flight);

/* Waits for the whole body, which the response then has; nothing may have been taken. */
extern void integ_http_collect(IntegHttpFlight *flight);

/* The same, waiting at most so many milliseconds; false where it may go on. */
extern bool integ_http_collect_some(IntegHttpFlight *flight, int most_ms);

/*
 * Ends the exchange, and breaks it off where it is not over: that is INTEG_HTTP_CANCELLED, unless the caller has
 * enough of it, which is INTEG_HTTP_OK. The response lives as long as the context that the flight was begun in.
 */
extern IntegHttpResponse *integ_http_end(IntegHttpFlight *flight, bool enough);

#endif /* INTEG_HTTP_FLIGHT_H */
