/*
 * HTTP exchanges over one curl multi handle, without waiting. Free of PostgreSQL.
 *
 * Start, wait, finish are separate, so that a backend with one exchange and a dispatcher with a
 * thousand share the rest:
 *
 *		transfer = integ_transfer_start(pool, request, owner);
 *		until it is done:
 *			wait until integ_transfer_pool_descriptor(pool) is readable, at most
 *			integ_transfer_pool_timeout(pool) milliseconds, or until one has other reasons
 *			integ_transfer_drive(pool);
 *		integ_transfer_finish(transfer, &response);
 *
 * A pool keeps connections, TLS sessions and resolved names between exchanges. It belongs to one
 * thread of one process and must not be carried over a fork.
 */
#ifndef INTEG_HTTP_TRANSFER_H
#define INTEG_HTTP_TRANSFER_H

#include "http/http.h"

typedef struct IntegTransferPool IntegTransferPool;
typedef struct IntegTransfer IntegTransfer;

/*
 * A pool that holds at most max_connections sockets to services, idle ones included; a
 * transfer beyond them waits for its turn. Initializes libcurl on the first call in a process, with all
 * signals blocked. NULL with a sentence in problem where libcurl, a descriptor or memory is lacking.
 */
extern IntegTransferPool *integ_transfer_pool_create(int max_connections, char *problem, size_t size);

/* Closes everything; all transfers must have been finished. */
extern void integ_transfer_pool_destroy(IntegTransferPool *pool);

/* An epoll descriptor, the same for the pool's lifetime: readable when integ_transfer_drive has work. */
extern int integ_transfer_pool_descriptor(const IntegTransferPool *pool);

/* Milliseconds until integ_transfer_drive must be called even if nothing becomes readable; -1: never. */
extern int integ_transfer_pool_timeout(const IntegTransferPool *pool);

/*
 * Begins an exchange and sends what can be sent at once; never waits. The request and all that it points to must stay
 * as they are until finish. owner is handed back by integ_transfer_owner. A request that
 * cannot be sent gives a transfer that is done already; NULL only when out of memory.
 */
extern IntegTransfer *integ_transfer_start(IntegTransferPool *pool, const IntegHttpRequest *request, void *owner);

/* Moves all transfers of the pool on as far as they go without waiting. */
extern void integ_transfer_drive(IntegTransferPool *pool);

extern bool integ_transfer_is_done(const IntegTransfer *transfer);
extern void *integ_transfer_owner(const IntegTransfer *transfer);

/* A transfer that is done and was not handed out here yet, NULL for none; it still wants finish. */
extern IntegTransfer *integ_transfer_next_done(IntegTransferPool *pool);

/*
 * Fills the response (to be freed with integ_http_response_free) and forgets the transfer. One that is not done is
 * broken off and gives INTEG_HTTP_CANCELLED, at once, even in name resolution. A NULL transfer gives
 * INTEG_HTTP_INTERNAL, out of memory.
 */
extern void integ_transfer_finish(IntegTransfer *transfer, IntegHttpResponse *response);

/*
 * Streaming, for a request with a window: the body is read in pieces while it arrives. What waits for the reader fills
 * the window; then the service waits.
 */

/* The status of the final answer, 0 while its headers have not all arrived. */
extern long integ_transfer_status(const IntegTransfer *transfer);

/* A header of it by its lower-case name, NULL where absent; valid until integ_transfer_drive or finish. */
extern const char *integ_transfer_header(const IntegTransfer *transfer, const char *name);

/* The bytes that wait, and how many; the reader may overwrite them. Valid until the next call for the pool. */
extern size_t integ_transfer_peek(IntegTransfer *transfer, char **data);

/* Forgets the first count of them, and lets the service go on where it waited. */
extern void integ_transfer_take(IntegTransfer *transfer, size_t count);

/* Whether it is done, and the whole answer has arrived. */
extern bool integ_transfer_succeeds(const IntegTransfer *transfer);

/* Collects the body after all, as without a window; nothing may have been taken yet. */
extern void integ_transfer_collect(IntegTransfer *transfer);

#endif /* INTEG_HTTP_TRANSFER_H */
