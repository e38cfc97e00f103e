/* sources: src/schedule/cron_parse.c src/schedule/cron_next.c */
/*
 * Cron expressions: what is one, and the local times that match. timegm and gmtime of libc are the other calendar.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "schedule/cron.h"

static int64_t
seconds_of(const char *text)
{
	struct tm tm = {0};

	assert_int_equal(sscanf(text, "%d-%d-%d %d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
							&tm.tm_sec),
					 6);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return timegm(&tm);
}

static const char *
text_of(int64_t seconds)
{
	static char text[64];
	time_t t = (time_t) seconds;
	struct tm tm;

	assert_non_null(gmtime_r(&t, &tm));
	(void) strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	return text;
}

static IntegCron
parse(const char *expression)
{
	IntegCron cron;
	IntegCronProblem problem;

	if (!integ_cron_parse(expression, &cron, &problem))
		fail_msg("%s: %s", expression, problem.message);
	return cron;
}

/* The times from the first one on are those, a comma between two. */
static void
gives(const char *expression, const char *from, const char *times)
{
	IntegCron cron = parse(expression);
	int64_t at = seconds_of(from);
	char got[1024] = "";

	while (strlen(got) < strlen(times))
	{
		at = integ_cron_next(&cron, at);
		if (got[0] != '\0')
			strcat(got, ", ");
		strcat(got, text_of(at));
		at++;
	}
	if (strcmp(got, times) != 0)
		fail_msg("%s from %s: %s, expected %s", expression, from, got, times);
}

static void
refuses(const char *expression, const char *message)
{
	IntegCron cron;
	IntegCronProblem problem;

	if (integ_cron_parse(expression, &cron, &problem))
		fail_msg("\"%s\" is taken", expression);
	if (strstr(problem.message, message) == NULL)
		fail_msg("\"%s\": \"%s\", expected \"%s\"", expression, problem.message, message);
}

static void
fields_are_read(void **state)
{
	(void) state;
	gives("*/15 * * * *", "2026-01-31 23:31:00", "2026-01-31 23:45:00, 2026-02-01 00:00:00");
	gives("0 2 * * *", "2026-01-01 02:00:00", "2026-01-01 02:00:00, 2026-01-02 02:00:00");
	gives("0 2 * * *", "2026-01-01 02:00:01", "2026-01-02 02:00:00");
	gives("5,10-12,50/5 8 * * *", "2026-01-01 00:00:00",
		  "2026-01-01 08:05:00, 2026-01-01 08:10:00, 2026-01-01 08:11:00, 2026-01-01 08:12:00, 2026-01-01 08:50:00, "
		  "2026-01-01 08:55:00, 2026-01-02 08:05:00");
	gives("30 0 1 jan,JUL *", "2026-01-02 00:00:00", "2026-07-01 00:30:00, 2027-01-01 00:30:00");
	gives("0 9-17/4 * * Mon-FRI", "2026-01-02 17:00:01", "2026-01-05 09:00:00, 2026-01-05 13:00:00, 2026-01-05 17:00:00");
	gives("0 0 * * sat-sun", "2026-01-01 00:00:00", "2026-01-03 00:00:00, 2026-01-04 00:00:00, 2026-01-10 00:00:00");
	gives("0 0 * * fri-mon", "2026-01-01 00:00:00",
		  "2026-01-02 00:00:00, 2026-01-03 00:00:00, 2026-01-04 00:00:00, 2026-01-05 00:00:00, 2026-01-09 00:00:00");
	gives("0 0 ? * 7", "2026-01-01 00:00:00", "2026-01-04 00:00:00, 2026-01-11 00:00:00");
	gives("0 0 * * 0-7", "2026-01-01 00:00:00", "2026-01-01 00:00:00, 2026-01-02 00:00:00");
	gives("0 0 * * */3", "2026-01-01 00:00:00", "2026-01-03 00:00:00, 2026-01-04 00:00:00, 2026-01-07 00:00:00");
	gives(" \t 0\t0  * * * ", "2026-01-01 00:00:01", "2026-01-02 00:00:00");
	gives("59 23 31 12 *", "2026-12-31 23:59:01", "2027-12-31 23:59:00");
}

static void
seconds_come_first(void **state)
{
	(void) state;
	gives("*/20 * * * * *", "2026-01-01 00:00:01", "2026-01-01 00:00:20, 2026-01-01 00:00:40, 2026-01-01 00:01:00");
	gives("30 0 12 * * ?", "2026-01-01 00:00:00", "2026-01-01 12:00:30, 2026-01-02 12:00:30");
	gives("59 59 23 31 12 *", "2026-12-31 23:59:59", "2026-12-31 23:59:59, 2027-12-31 23:59:59");
}

static void
names_are_short_for_expressions(void **state)
{
	(void) state;
	gives("@yearly", "2026-01-01 00:00:01", "2027-01-01 00:00:00");
	gives("@annually", "2026-01-01 00:00:01", "2027-01-01 00:00:00");
	gives("@monthly", "2026-01-31 00:00:00", "2026-02-01 00:00:00");
	gives("@weekly", "2026-01-01 00:00:00", "2026-01-04 00:00:00");
	gives("@Daily", "2026-01-01 00:00:01", "2026-01-02 00:00:00");
	gives("@midnight", "2026-01-01 00:00:01", "2026-01-02 00:00:00");
	gives("@hourly", "2026-01-01 00:00:01", "2026-01-01 01:00:00");
}

/* Where both fields name days, either will do; where one begins with *, both must match. */
static void
days_of_month_and_week_meet_as_in_vixie_cron(void **state)
{
	(void) state;
	gives("0 0 13 * 5", "2026-02-01 00:00:00",
		  "2026-02-06 00:00:00, 2026-02-13 00:00:00, 2026-02-20 00:00:00, 2026-02-27 00:00:00, 2026-03-06 00:00:00, "
		  "2026-03-13 00:00:00");
	gives("0 0 1-7 * 1", "2026-02-01 00:00:00", "2026-02-01 00:00:00, 2026-02-02 00:00:00, 2026-02-03 00:00:00");
	gives("0 0 */2 * 1", "2026-02-01 00:00:00", "2026-02-09 00:00:00, 2026-02-23 00:00:00, 2026-03-09 00:00:00");
	gives("0 0 30 2 1", "2026-02-01 00:00:00", "2026-02-02 00:00:00, 2026-02-09 00:00:00");
}

static void
last_days_and_working_days(void **state)
{
	(void) state;
	gives("0 0 L * *", "2026-01-01 00:00:00", "2026-01-31 00:00:00, 2026-02-28 00:00:00, 2026-03-31 00:00:00");
	gives("0 0 L 2 *", "2027-03-01 00:00:00", "2028-02-29 00:00:00, 2029-02-28 00:00:00");
	gives("0 0 L-2 * *", "2026-02-01 00:00:00", "2026-02-26 00:00:00, 2026-03-29 00:00:00");
	gives("0 0 15,l * *", "2026-02-01 00:00:00", "2026-02-15 00:00:00, 2026-02-28 00:00:00, 2026-03-15 00:00:00");
	/* 31 January 2026 is a Saturday, 28 February too, 31 May a Sunday. */
	gives("0 0 LW * *", "2026-01-01 00:00:00", "2026-01-30 00:00:00, 2026-02-27 00:00:00, 2026-03-31 00:00:00");
	gives("0 0 LW 5 *", "2026-01-01 00:00:00", "2026-05-29 00:00:00");
	/* 15 February 2026 is a Sunday, 15 August a Saturday; 1 February a Sunday, 1 August a Saturday. */
	gives("0 0 15W * *", "2026-02-01 00:00:00", "2026-02-16 00:00:00, 2026-03-16 00:00:00, 2026-04-15 00:00:00");
	gives("0 0 15W 8 *", "2026-02-01 00:00:00", "2026-08-14 00:00:00");
	gives("0 0 1W 2,8 *", "2026-01-31 00:00:00", "2026-02-02 00:00:00, 2026-08-03 00:00:00");
	gives("0 0 31W * *", "2026-05-01 00:00:00", "2026-05-29 00:00:00, 2026-07-31 00:00:00");
	gives("0 0 ? * 5L", "2026-01-01 00:00:00", "2026-01-30 00:00:00, 2026-02-27 00:00:00");
	gives("0 0 ? * friL", "2026-01-31 00:00:00", "2026-02-27 00:00:00");
	gives("0 0 ? * 5#3", "2026-01-01 00:00:00", "2026-01-16 00:00:00, 2026-02-20 00:00:00");
	gives("0 0 ? * sun#5", "2026-01-01 00:00:00", "2026-03-29 00:00:00, 2026-05-31 00:00:00");
	gives("0 0 ? * 7#1,1#1", "2026-02-01 00:00:00", "2026-02-01 00:00:00, 2026-02-02 00:00:00, 2026-03-01 00:00:00");
}

static void
rare_days_are_found(void **state)
{
	(void) state;
	gives("0 0 29 2 *", "2096-03-01 00:00:00", "2104-02-29 00:00:00");
	/* A 29 February that is a Sunday comes once in 28 years, but for the century without a leap day: 40 years. */
	gives("0 0 29 2 */7", "2026-01-01 00:00:00", "2032-02-29 00:00:00, 2060-02-29 00:00:00, 2088-02-29 00:00:00, "
												 "2128-02-29 00:00:00");
	gives("0 0 1 1 *", "1969-12-31 23:59:59", "1970-01-01 00:00:00");
	gives("0 0 1 1 *", "1901-06-01 00:00:00", "1902-01-01 00:00:00");
}

static void
others_are_refused(void **state)
{
	(void) state;
	refuses("", "it has 0 fields, not five or six");
	refuses("*", "it has 1 field, not");
	refuses("* * * *", "it has 4 fields");
	refuses("0 0 0 1 1 ? 2026", "it has at least 7 fields");
	refuses("61 * * * *", "\"61\": the minute must be from 0 to 59");
	refuses("99999999999999999999 * * * *", "the minute must be from 0 to 59");
	refuses("* 24 * * *", "the hour must be from 0 to 23");
	refuses("* * 0 * *", "the day of month must be from 1 to 31");
	refuses("* * 32 * *", "the day of month must be from 1 to 31");
	refuses("* * * 13 *", "the month must be from 1 to 12");
	refuses("* * * * 8", "the day of week must be from 0 to 7");
	refuses("60 * * * * *", "the second must be from 0 to 59");
	refuses("5-1 * * * *", "\"5-1\" runs backwards in the field \"minute\"");
	refuses("*/0 * * * *", "a step of 0 leads nowhere");
	refuses("*/90 * * * *", "a step of 90 is more than the field \"minute\" has");
	refuses("*/x * * * *", "\"*/x\" cannot be read in the field \"minute\"");
	refuses("1,,2 * * * *", "the field \"minute\" has an empty part");
	refuses(", * * * *", "the field \"minute\" has an empty part");
	refuses("1- * * * *", "cannot be read");
	refuses("-1 * * * *", "cannot be read");
	refuses("+1 * * * *", "cannot be read");
	refuses("1.5 * * * *", "cannot be read");
	refuses("1 2 3 4 5x", "cannot be read in the field \"day of week\"");
	refuses("? * * * *", "cannot be read in the field \"minute\"");
	refuses("L * * * *", "cannot be read in the field \"minute\"");
	refuses("* * L-31 * *", "the distance from the last day must be from 0 to 30");
	refuses("* * 1-3W * *", "cannot be read");
	refuses("* * LL * *", "cannot be read");
	refuses("* * * * L", "L needs a weekday");
	refuses("* * * * 5#6", "the number behind # must be from 1 to 5");
	refuses("* * * * 5#0", "the number behind # must be from 1 to 5");
	refuses("* * * foo *", "cannot be read in the field \"month\"");
	refuses("* * * * mo", "cannot be read in the field \"day of week\"");
	refuses("* * * * monday", "cannot be read in the field \"day of week\"");
	refuses("@reboot", "\"@reboot\" is not a name of a schedule");
	refuses("@", "is not a name of a schedule");
	refuses("\n0 0 * * *", "cannot be read");
	refuses("ﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀ * * * *", "\"ﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀﬀ\" cannot be read");
}

static void
what_never_comes_is_refused(void **state)
{
	(void) state;
	refuses("0 0 30 2 *", "no day ever matches it");
	refuses("0 0 31 4,6,9,11 *", "no day ever matches it");
	refuses("0 0 L-30 2,4 *", "no day ever matches it");
	refuses("0 0 30W 2 ?", "no day ever matches it");
}

static bool
bit(uint64_t bits, int n)
{
	return (bits >> n & 1) != 0;
}

/* The next time is the first one that matches, minute by minute, and libc's calendar agrees about what it is. */
static void
nothing_is_passed_over(void **state)
{
	static const char *const expressions[] = {"*/7 3-5 * * *", "0 0 1,15 * 3", "13 4 * 2-4 1-5", "1 1 */9 * *"};

	(void) state;
	for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++)
	{
		IntegCron cron = parse(expressions[i]);
		int64_t at = seconds_of("2027-11-01 00:00:00"), next = integ_cron_next(&cron, at);

		for (int minute = 0; minute < 200 * 24 * 60; minute++, at += 60)
		{
			time_t t = (time_t) at;
			struct tm tm;
			bool day, weekday, due;

			(void) gmtime_r(&t, &tm);
			day = bit(cron.days, tm.tm_mday);
			weekday = bit(cron.weekdays, tm.tm_wday);
			due = bit(cron.minutes, tm.tm_min) && bit(cron.hours, tm.tm_hour) && bit(cron.months, tm.tm_mon + 1) &&
				  (cron.any_day || cron.any_weekday ? day && weekday : day || weekday);
			if (due != (next == at))
				fail_msg("%s at %s: %s", expressions[i], text_of(at), due ? "passed over" : "not due");
			if (due)
				next = integ_cron_next(&cron, at + 1);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_read),
		cmocka_unit_test(seconds_come_first),
		cmocka_unit_test(names_are_short_for_expressions),
		cmocka_unit_test(days_of_month_and_week_meet_as_in_vixie_cron),
		cmocka_unit_test(last_days_and_working_days),
		cmocka_unit_test(rare_days_are_found),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(what_never_comes_is_refused),
		cmocka_unit_test(nothing_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
