/*
 * The next local time of a cron expression.
 */
#include "schedule/cron.h"

#define SECONDS_PER_DAY INT64_C(86400)

/* The calendar comes back after 400 years, with its days of the week: 146,097 days are 20,871 weeks. */
#define CYCLE_YEARS 400

typedef struct Month
{
	int64_t year;
	int month;		/* 1 … 12 */
	int length;		/* days */
	int64_t first;	/* days since 1970-01-01 of its first day */
	int first_week; /* the weekday of that, 0 is Sunday */
} Month;

/* Days since 1970-01-01 of a date; years are counted from March, so that the leap day comes last. */
static int64_t
day_number(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* The year and the month of a day since 1970-01-01, and which day of the month it is. */
static int
from_day_number(int64_t number, int64_t *year, int *month)
{
	int64_t n = number + 719468;
	int64_t era = (n >= 0 ? n : n - 146096) / 146097;
	int64_t day_of_era = n - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int from_march = (int) ((5 * day_of_year + 2) / 153);

	*month = from_march < 10 ? from_march + 3 : from_march - 9;
	*year = year_of_era + era * 400 + (*month <= 2);
	return (int) (day_of_year - (153 * from_march + 2) / 5 + 1);
}

static Month
month_of(int64_t year, int month)
{
	Month result = {.year = year, .month = month, .first = day_number(year, month, 1)};

	result.length = (int) (day_number(month == 12 ? year + 1 : year, month % 12 + 1, 1) - result.first);
	/* 1970-01-01 was a Thursday. */
	result.first_week = (int) (((result.first + 4) % 7 + 7) % 7);
	return result;
}

static Month
next_month(const Month *month)
{
	return month_of(month->month == 12 ? month->year + 1 : month->year, month->month % 12 + 1);
}

static int
weekday_of(const Month *month, int day)
{
	return (month->first_week + day - 1) % 7;
}

/* The day from Monday to Friday that is nearest to a day, within the month. */
static int
working_day(const Month *month, int day)
{
	switch (weekday_of(month, day))
	{
		case 0:
			return day == month->length ? day - 2 : day + 1;
		case 6:
			return day == 1 ? day + 2 : day - 1;
		default:
			return day;
	}
}

static bool
matches_day(const IntegCron *cron, const Month *month, int day)
{
	if (cron->days & UINT32_C(1) << day || cron->days_from_end & UINT32_C(1) << (month->length - day))
		return true;
	if (cron->last_working_day && working_day(month, month->length) == day)
		return true;
	/* A day on the first or the last working day may stand for one up to two days away. */
	for (int wanted = day - 2; cron->working_days != 0 && wanted <= day + 2; wanted++)
		if (wanted >= 1 && wanted <= month->length && cron->working_days & UINT32_C(1) << wanted &&
			working_day(month, wanted) == day)
			return true;
	return false;
}

static bool
matches_weekday(const IntegCron *cron, const Month *month, int day)
{
	int bit = 1 << weekday_of(month, day);

	return (cron->weekdays & bit) != 0 || (cron->nth_weekdays[(day - 1) / 7] & bit) != 0 ||
		   (day + 7 > month->length && (cron->last_weekdays & bit) != 0);
}

/* As in vixie cron: where both fields name days, either will do; where one begins with *, both must match. */
static bool
matches(const IntegCron *cron, const Month *month, int day)
{
	if (cron->any_day || cron->any_weekday)
		return matches_day(cron, month, day) && matches_weekday(cron, month, day);
	return matches_day(cron, month, day) || matches_weekday(cron, month, day);
}

/* The first day from `day` on of the month that matches; 0: none. */
static int
find_day(const IntegCron *cron, const Month *month, int day)
{
	if ((cron->months & 1 << month->month) == 0)
		return 0;
	for (; day <= month->length; day++)
		if (matches(cron, month, day))
			return day;
	return 0;
}

/* Goes to the first day from `day` of the month on that matches; 0 where none does within the calendar's cycle. */
static int
find_date(const IntegCron *cron, Month *month, int day)
{
	int64_t last_year = month->year + CYCLE_YEARS;

	while (month->year <= last_year)
	{
		int found = find_day(cron, month, day);

		if (found != 0)
			return found;
		*month = next_month(month);
		day = 1;
	}
	return 0;
}

bool
integ_cron_has_day(const IntegCron *cron)
{
	Month month = month_of(2000, 1);

	return find_date(cron, &month, 1) != 0;
}

/* The lowest bit from `from` on; -1: none. */
static int
next_bit(uint64_t bits, int from)
{
	for (int bit = from; bit < 64; bit++)
		if (bits & UINT64_C(1) << bit)
			return bit;
	return -1;
}

/* The first second of a day from `from` on that matches; -1: none. */
static int
find_second(const IntegCron *cron, int from)
{
	int hour = from / 3600, minute = from / 60 % 60, second = next_bit(cron->seconds, from % 60);

	if (second < 0)
	{
		second = next_bit(cron->seconds, 0);
		minute++;
	}
	if (next_bit(cron->minutes, minute) != minute)
	{
		second = next_bit(cron->seconds, 0);
		minute = next_bit(cron->minutes, minute);
	}
	if (minute < 0)
		hour++;
	if (minute < 0 || next_bit(cron->hours, hour) != hour)
	{
		second = next_bit(cron->seconds, 0);
		minute = next_bit(cron->minutes, 0);
		hour = next_bit(cron->hours, hour);
	}
	return hour < 0 ? -1 : (hour * 60 + minute) * 60 + second;
}

int64_t
integ_cron_next(const IntegCron *cron, int64_t from)
{
	int64_t number = (from >= 0 ? from : from - (SECONDS_PER_DAY - 1)) / SECONDS_PER_DAY;
	int64_t year;
	int second, month_number, day = from_day_number(number, &year, &month_number);
	Month month = month_of(year, month_number);

	if (find_day(cron, &month, day) == day)
	{
		second = find_second(cron, (int) (from - number * SECONDS_PER_DAY));
		if (second >= 0)
			return number * SECONDS_PER_DAY + second;
	}
	day = find_date(cron, &month, day + 1);
	return (month.first + day - 1) * SECONDS_PER_DAY + find_second(cron, 0);
}
