/*
 * Cron expressions: what vixie cron reads, with seconds and the signs L, W, # and ? of Quartz. Free of PostgreSQL;
 * nothing is allocated.
 *
 * An expression is a set of local times. Which moments those are is the matter of a timezone: schedule/next.c.
 */
#ifndef INTEG_SCHEDULE_CRON_H
#define INTEG_SCHEDULE_CRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct IntegCron
{
	uint64_t seconds; /* bits 0 … 59; second 0 alone where the expression has five fields */
	uint64_t minutes; /* bits 0 … 59 */
	uint32_t hours;	  /* bits 0 … 23 */
	uint16_t months;  /* bits 1 … 12 */

	/* The day of the month. */
	uint32_t days;			/* bits 1 … 31 */
	uint32_t days_from_end; /* bit n: n days before the last one (L, L-n) */
	uint32_t working_days;	/* bits 1 … 31: the working day nearest to it in the month (15W) */
	bool last_working_day;	/* LW */
	bool any_day;			/* the field begins with * or is ? */

	/* The day of the week. */
	uint8_t weekdays;		 /* bits 0 (Sunday) … 6 */
	uint8_t last_weekdays;	 /* the last one of the month (5L) */
	uint8_t nth_weekdays[5]; /* the first to the fifth one of the month (5#3) */
	bool any_weekday;		 /* the field begins with * or is ? */

	bool each_hour; /* the field of the hours begins with * */
} IntegCron;

typedef struct IntegCronProblem
{
	char message[160]; /* what is wrong, without the expression */
	char hint[160];	   /* what to write instead; may be empty */
} IntegCronProblem;

/*
 * Reads an expression of five fields (minute, hour, day of month, month, day of week), of six (second before them), or
 * a name such as @daily. False with the problem where it is none, or where no day ever matches.
 */
extern bool integ_cron_parse(const char *text, IntegCron *cron, IntegCronProblem *problem);

/* Whether any day matches: of 30 February none does. integ_cron_parse has asked it. */
extern bool integ_cron_has_day(const IntegCron *cron);

/*
 * The first local time from `from` on that matches. Local times are seconds since 1970-01-01 00:00:00 of the proleptic
 * Gregorian calendar. Always there: the days of a parsed expression come back within 400 years.
 */
extern int64_t integ_cron_next(const IntegCron *cron, int64_t from);

#endif /* INTEG_SCHEDULE_CRON_H */
