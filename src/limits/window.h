/*
 * One limit: so many requests in any stretch of time of that length, as the
 * service counts them. Free of PostgreSQL; the clock is an argument.
 *
 * A request arrives at the service at some time between its grant and its
 * answer. So a slot is taken from the grant until the answer and as long as the
 * window behind it: two requests that the service sees within one
 * window have had a slot at the same time, and there are no more slots than the limit.
 *
 * Answers are counted by the part of the window they fall into, which is free again
 * as a whole; memory is the same for every limit, and a slot comes back at most
 * 1/INTEG_WINDOW_PARTS of the window late, never early.
 */
#ifndef INTEG_LIMITS_WINDOW_H
#define INTEG_LIMITS_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define INTEG_WINDOW_PARTS 64
#define INTEG_WINDOW_RING (INTEG_WINDOW_PARTS + 1)

typedef struct IntegWindow
{
	uint32_t limit;
	uint32_t in_flight; /* granted, not answered */
	int64_t per_us;		/* 0: only how many are in flight counts */
	int64_t newest;		/* number of the newest part; part n begins at n times the width of a part */
	uint32_t used;		/* sum of the parts */
	uint32_t parts[INTEG_WINDOW_RING];
} IntegWindow;

/* An empty window. Times are microseconds of one clock that does not run backwards. */
extern void integ_window_init(IntegWindow *window, uint32_t limit, int64_t per_us);

/* How many more requests may leave now. */
extern uint32_t integ_window_room(IntegWindow *window, int64_t now);

/* Takes a slot; there must be room. */
extern void integ_window_take(IntegWindow *window);

/* The request of a slot was answered, or nobody will know. */
extern void integ_window_answered(IntegWindow *window, int64_t now);

/* The request of a slot did not leave. */
extern void integ_window_give_back(IntegWindow *window);

/* Counts requests that were answered at that time, which may be past. */
extern void integ_window_count(IntegWindow *window, uint32_t requests, int64_t at, int64_t now);

/*
 * When the wanted number of slots will be free at the latest, provided that nobody else takes them: now where
 * they are, -1 where that depends on requests in flight.
 */
extern int64_t integ_window_next(IntegWindow *window, uint32_t wanted, int64_t now);

/* When a window that is left alone is empty; now where it is. */
extern int64_t integ_window_reset(IntegWindow *window, int64_t now);

#endif /* INTEG_LIMITS_WINDOW_H */
