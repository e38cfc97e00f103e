/*
 * When a schedule is due next.
 *
 * A timezone is a row of stretches in each of which its clock differs from UTC by the same; a cron expression is a
 * set of local times, looked up stretch by stretch. Where the clock is changed, this holds:
 *
 * - An expression whose hours begin with * means real time. What a gap leaves out does not happen, and what the
 *   clock shows twice happens twice.
 * - Any other names times of the day, and each happens once. Those that a gap leaves out happen, together, at the
 *   moment in which the clock is put forward; of one that the clock shows twice, the first counts.
 */
#include "postgres.h"

#include "common/int.h"
#include "schedule/schedule.h"
#include "utils/timestamp.h"

/* From 1970, where pg_time_t begins, to 2000, where timestamptz does. */
#define EPOCHS_APART ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

/* No clock has ever been put back by more: a walk that begins so much earlier has seen what is shown again. */
#define LONGEST_OVERLAP (2 * SECS_PER_DAY)

/* The last second of a timestamptz, since 1970. */
#define LAST_SECOND (END_TIMESTAMP / USECS_PER_SEC + EPOCHS_APART - 1)

/* A stretch of time with one distance from UTC: from `start` (UTC, seconds since 1970) until before `end`. */
typedef struct Stretch
{
	pg_time_t start;
	pg_time_t end;
	long offset;	  /* local time minus UTC */
	long next_offset; /* in the stretch behind */
} Stretch;

/* The stretch that a moment is in. Its start is that moment, not the earlier one in which it began. */
static Stretch
stretch_at(pg_time_t moment, const pg_tz *zone)
{
	Stretch stretch = {.start = moment, .end = LAST_SECOND + 1};
	pg_time_t boundary = stretch.end;
	int is_dst, next_is_dst;

	if (pg_next_dst_boundary(&moment, &stretch.offset, &is_dst, &boundary, &stretch.next_offset, &next_is_dst,
							 zone) > 0)
		stretch.end = Min(boundary, stretch.end);
	else
		stretch.next_offset = stretch.offset;
	return stretch;
}

/* An expression of real time: the first match within a stretch, from `from` on. */
static bool
next_moment(const IntegSchedule *schedule, pg_time_t from, pg_time_t *found)
{
	while (from <= LAST_SECOND)
	{
		Stretch stretch = stretch_at(from, schedule->zone);

		*found = integ_cron_next(&schedule->cron, from + stretch.offset) - stretch.offset;
		if (*found < stretch.end)
			return true;
		from = stretch.end;
	}
	return false;
}

/*
 * An expression of times of the day. `shown` is the local time up to which the clock has been: what it shows again
 * is passed over.
 */
static bool
next_time_of_day(const IntegSchedule *schedule, pg_time_t from, pg_time_t *found)
{
	Stretch stretch = stretch_at(from - LONGEST_OVERLAP, schedule->zone);
	int64 shown = stretch.start + stretch.offset;

	while (stretch.start <= LAST_SECOND)
	{
		int64 local = Max(shown, from + stretch.offset);
		int64 end = stretch.end + stretch.offset, forward = stretch.end + stretch.next_offset;

		if (local < end)
		{
			*found = integ_cron_next(&schedule->cron, local) - stretch.offset;
			if (*found < stretch.end)
				return true;
		}
		if (stretch.end >= from && forward > end && integ_cron_next(&schedule->cron, Max(shown, end)) < forward)
		{
			*found = stretch.end;
			return true;
		}
		shown = Max(shown, Max(end, forward));
		stretch = stretch_at(stretch.end, schedule->zone);
	}
	return false;
}

/* Whole intervals from the anchor, or from `after` where there is none. */
static bool
next_interval(const IntegSchedule *schedule, TimestampTz after, TimestampTz *next)
{
	int64 passed = 0;

	if (!TIMESTAMP_NOT_FINITE(schedule->anchor))
	{
		if (after < schedule->anchor)
		{
			*next = schedule->anchor;
			return true;
		}
		if (pg_sub_s64_overflow(after, schedule->anchor, &passed))
			return false;
		passed %= schedule->interval;
	}
	return !pg_add_s64_overflow(after - passed, schedule->interval, next) && IS_VALID_TIMESTAMP(*next);
}

bool
integ_schedule_next(const IntegSchedule *schedule, TimestampTz after, TimestampTz *next)
{
	pg_time_t from, found;

	if (TIMESTAMP_NOT_FINITE(after))
		return false;
	switch (schedule->type)
	{
		case INTEG_SCHEDULE_MANUAL:
		case INTEG_SCHEDULE_REALTIME:
			return false;
		case INTEG_SCHEDULE_INTERVAL:
			return next_interval(schedule, after, next);
		case INTEG_SCHEDULE_CRON:
			/* The next whole second; of a time before 2000 too. */
			from = (after >= 0 ? after : after - (USECS_PER_SEC - 1)) / USECS_PER_SEC + EPOCHS_APART + 1;
			if (!(schedule->cron.each_hour ? next_moment : next_time_of_day)(schedule, from, &found) ||
				found > LAST_SECOND)
				return false;
			*next = (found - EPOCHS_APART) * USECS_PER_SEC;
			return true;
	}
	return false;
}
