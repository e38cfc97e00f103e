/*
 * Schedules: when something is due. Written as jsonb, long ({"type": "cron", "config": {…}}) or short
 * ({"every": "15 minutes"}, {"cron": "0 2 * * *", "timezone": "Europe/Paris"}, "manual"); docs/schedules.md.
 */
#ifndef INTEG_SCHEDULE_SCHEDULE_H
#define INTEG_SCHEDULE_SCHEDULE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "pgtime.h"
#include "schedule/cron.h"
#include "utils/jsonb.h"

typedef enum IntegScheduleType
{
	INTEG_SCHEDULE_MANUAL,	 /* never due by itself */
	INTEG_SCHEDULE_INTERVAL, /* every so often */
	INTEG_SCHEDULE_CRON,	 /* at times of the clock, in a timezone */
	INTEG_SCHEDULE_REALTIME	 /* when a webhook says so: never due by itself */
} IntegScheduleType;

typedef struct IntegSchedule
{
	IntegScheduleType type;
	int64 interval;		/* microseconds; whole seconds, at least one */
	TimestampTz anchor; /* of an interval: its times are whole intervals from here. DT_NOBEGIN: from `after` */
	IntegCron cron;
	pg_tz *zone;
} IntegSchedule;

/*
 * Reads a schedule; NULL and JSON null are manual. The anchor is DT_NOBEGIN: a caller that knows one sets it.
 * Allocated in CurrentMemoryContext. Raises IG400, which names what is wrong.
 */
extern IntegSchedule *integ_schedule_parse(const Jsonb *document);

/*
 * The first time strictly after `after` at which it is due. False where it is never due by itself, or not before the
 * end of what a timestamptz can be. Raises nothing.
 */
extern bool integ_schedule_next(const IntegSchedule *schedule, TimestampTz after, TimestampTz *next);

#endif /* INTEG_SCHEDULE_SCHEDULE_H */
