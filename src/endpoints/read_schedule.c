/*
 * A schedule of attempts as people write it.
 */
#include "endpoints/retry_schedule.h"

#include "core/options.h"
#include "utils/builtins.h"

/* Longest delay between two attempts. */
#define DELAY_MAX (31 * USECS_PER_DAY)

bool
integ_delay_is_sane(const Interval *delay)
{
	int64 us = delay == NULL || delay->month != 0 ? 0 : delay->time + delay->day * USECS_PER_DAY;

	return us > 0 && us <= DELAY_MAX;
}

/* The text of one interval without the white space around it; empty at the end of the list. */
static char *
next_element(const char **text)
{
	const char *end = strchr(*text, ',');
	char *element = end == NULL ? pstrdup(*text) : pnstrdup(*text, end - *text);

	*text = end == NULL ? *text + strlen(*text) : end + 1;
	while (isspace((unsigned char) *element))
		element++;
	for (char *last = element + strlen(element); last > element && isspace((unsigned char) last[-1]); last--)
		last[-1] = '\0';
	return element;
}

bool
integ_retry_schedule_parse(const char *text, IntegRetrySchedule *schedule, char *problem, size_t size)
{
	schedule->count = 0;
	while (*text != '\0')
	{
		char *element = next_element(&text);
		Interval *interval;

		if (*element == '\0' && *text == '\0' && schedule->count == 0)
			break;
		interval = integ_read_interval(element);
		if (!integ_delay_is_sane(interval))
		{
			snprintf(problem, size, "\"%s\" is not an interval of more than nothing and at most 31 days.", element);
			return false;
		}
		if (schedule->count == INTEG_RETRIES_MAX)
		{
			snprintf(problem, size, "There are more than %d of them.", INTEG_RETRIES_MAX);
			return false;
		}
		schedule->delays[schedule->count++] = interval->time + interval->day * USECS_PER_DAY;
	}
	return true;
}
