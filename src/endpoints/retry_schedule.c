/*
 * What becomes of a delivery after an attempt.
 */
#include "endpoints/retry_schedule.h"

#define JITTER 0.1

bool
integ_delivery_accepted(const IntegHttpResponse *response)
{
	return response->failure != INTEG_HTTP_CANCELLED && response->status >= 200 && response->status < 300;
}

IntegDeliveryFate
integ_delivery_fate(const IntegRetrySchedule *schedule, int counted, TimestampTz now, TimestampTz retry_after,
					double random, TimestampTz *at)
{
	if (counted > schedule->count)
		return INTEG_DELIVERY_DEAD;
	*at = now + (int64) (schedule->delays[Max(counted, 1) - 1] * (1 + JITTER * random));
	if (retry_after != 0)
		*at = Max(*at, Min(retry_after, now + INTEG_RETRY_AFTER_MAX));
	return INTEG_DELIVERY_AGAIN;
}
