/*
 * What the ways to wait for exchanges in a backend share: client.c (one), flight.c (one that is read while it
 * arrives), batch.c (many).
 */
#ifndef INTEG_HTTP_CLIENT_PRIVATE_H
#define INTEG_HTTP_CLIENT_PRIVATE_H

#include "postgres.h"

#include "core/compat.h"
#include "http/http.h"
#include "http/transfer.h"

/* What a pool needs besides its connections: the epoll descriptor, two attempts at once, a pair that wakes the
 * resolver's waiter. */
#define INTEG_CLIENT_DESCRIPTORS 5

/* Tells the server of descriptors that are not its own; false where this session has too many open. */
extern bool integ_client_reserve(int count);
extern void integ_client_release(int count);

/* The backend's own pool, NULL with a sentence in problem where it cannot be made. */
extern IntegTransferPool *integ_client_pool(char *problem, size_t size);

/* The latch, the postmaster and a pool to wait for; to be freed with FreeWaitEventSet. Raises when out of memory. */
extern WaitEventSet *integ_client_wait_set(const IntegTransferPool *of);

/* Waits once for at most so many milliseconds (-1: as long as libcurl says), and drives the pool. set NULL: the own
 * pool's. Raises only what absorbing an interrupt may raise. */
extern void integ_client_wait(IntegTransferPool *of, WaitEventSet *set, int most_ms);

/*
 * Whether an interrupt ends the wait. What can be served without raising is served; what would raise stays
 * pending for the caller's CHECK_FOR_INTERRUPTS.
 */
extern bool integ_client_interrupted(void);

#endif /* INTEG_HTTP_CLIENT_PRIVATE_H */
