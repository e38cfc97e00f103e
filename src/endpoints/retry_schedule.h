/*
 * What becomes of a delivery after an attempt. Decides only; free of state, clock and randomness, which are arguments.
 */
#ifndef INTEG_ENDPOINTS_RETRY_SCHEDULE_H
#define INTEG_ENDPOINTS_RETRY_SCHEDULE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "http/http.h"
#include "utils/timestamp.h"

/* Most attempts of a schedule, besides the first. */
#define INTEG_RETRIES_MAX 64

/* How long after each failed attempt the next is made, in microseconds. */
typedef struct IntegRetrySchedule
{
	int count;
	int64 delays[INTEG_RETRIES_MAX];
} IntegRetrySchedule;

typedef enum IntegDeliveryFate
{
	INTEG_DELIVERY_DELIVERED,
	INTEG_DELIVERY_AGAIN, /* at the time */
	INTEG_DELIVERY_DEAD
} IntegDeliveryFate;

/* An endpoint that asks for more time than this gets it no more exactly. */
#define INTEG_RETRY_AFTER_MAX USECS_PER_DAY

/*
 * Whether the endpoint has taken what it was sent: it said so by a status of 2xx, whatever became of the rest of its
 * answer.
 */
extern bool integ_delivery_accepted(const IntegHttpResponse *response);

/*
 * Of an attempt that failed. counted: attempts so far, this one included; retry_after: when the endpoint asked to be
 * left alone until, 0: it did not; random is from 0 up to 1: a delay is stretched by up to a tenth, so that what
 * failed together parts. Sets *at where there is another.
 */
extern IntegDeliveryFate integ_delivery_fate(const IntegRetrySchedule *schedule, int counted, TimestampTz now,
											 TimestampTz retry_after, double random, TimestampTz *at);

/*
 * Reads "5s, 5min, 2h": intervals with commas between them, all of them positive and none of more than a month. False
 * with a sentence in problem where it is none, or longer than INTEG_RETRIES_MAX. An empty text is a schedule of one
 * attempt. May raise for want of memory only.
 */
extern bool integ_retry_schedule_parse(const char *text, IntegRetrySchedule *schedule, char *problem, size_t size);

/* Whether that can be a delay of a schedule: more than nothing, at most 31 days, and no months. NULL cannot. */
extern bool integ_delay_is_sane(const Interval *delay);

#endif /* INTEG_ENDPOINTS_RETRY_SCHEDULE_H */
