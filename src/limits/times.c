/*
 * Times as services write them.
 */
#include "limits/headers.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECOND INT64_C(1000000)
#define DAY (86400 * SECOND)

static const char *
skip_blank(const char *text)
{
	while (*text == ' ' || *text == '\t')
		text++;
	return text;
}

static bool
is_end(const char *text)
{
	return *skip_blank(text) == '\0';
}

/* Digits, with a fraction or without; no sign, no exponent. NULL where there are none. */
static const char *
read_number(const char *text, double *value)
{
	double fraction = 1;
	bool any = false;

	*value = 0;
	for (; isdigit((unsigned char) *text); text++, any = true)
		*value = *value * 10 + (*text - '0');
	if (*text == '.')
		for (text++; isdigit((unsigned char) *text); text++, any = true)
			*value += (*text - '0') * (fraction /= 10);
	return any ? text : NULL;
}

static bool
is_number(const char *text, double *value)
{
	const char *end = read_number(text, value);

	return end != NULL && is_end(end);
}

static int64_t
clamp(double us)
{
	if (!(us > 0))
		return 0;
	return us > (double) INTEG_LIMIT_TIME_MAX ? INTEG_LIMIT_TIME_MAX : (int64_t) us;
}

/* "1d2h3m4.5s", "120ms", "6m0s". */
static bool
read_duration(const char *text, double *us)
{
	static const struct
	{
		const char *name;
		double us;
	} units[] = {{"ms", 1e3}, {"us", 1}, {"d", 86400e6}, {"h", 3600e6}, {"m", 60e6}, {"s", 1e6}};

	*us = 0;
	do
	{
		double value;
		size_t i;

		text = read_number(text, &value);
		if (text == NULL)
			return false;
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (strncmp(text, units[i].name, strlen(units[i].name)) == 0)
				break;
		if (i == sizeof(units) / sizeof(units[0]))
			return false;
		*us += value * units[i].us;
		text += strlen(units[i].name);
	} while (!is_end(text));
	return true;
}

/* Days since 1970-01-01 in the Gregorian calendar. */
static int64_t
days_of(int year, int month, int day)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	int64_t years = year - 1;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	int64_t days = years * 365 + years / 4 - years / 100 + years / 400;

	return days + before[month - 1] + (leap && month > 2 ? 1 : 0) + day - 1 - 719162;
}

/* So many digits; NULL where there are fewer. */
static const char *
read_digits(const char *text, int count, int *value)
{
	*value = 0;
	for (int i = 0; i < count; i++, text++)
	{
		if (!isdigit((unsigned char) *text))
			return NULL;
		*value = *value * 10 + (*text - '0');
	}
	return text;
}

static const char *
read_clock(const char *text, int64_t *seconds)
{
	int hour, minute, second;

	if ((text = read_digits(text, 2, &hour)) == NULL || *text++ != ':' ||
		(text = read_digits(text, 2, &minute)) == NULL || *text++ != ':' ||
		(text = read_digits(text, 2, &second)) == NULL || hour > 23 || minute > 59 || second > 60)
		return NULL;
	*seconds = hour * 3600 + minute * 60 + second;
	return text;
}

/* "Z", "+02:00", "+0200"; without one it is UTC. */
static bool
read_zone(const char *text, int64_t *seconds)
{
	int hour, minute;
	int sign = *text == '-' ? -1 : 1;

	*seconds = 0;
	if (*text == 'Z' || *text == 'z')
		return is_end(text + 1);
	if (*text != '+' && *text != '-')
		return is_end(text);
	if ((text = read_digits(text + 1, 2, &hour)) == NULL)
		return false;
	if (*text == ':')
		text++;
	if ((text = read_digits(text, 2, &minute)) == NULL || hour > 23 || minute > 59)
		return false;
	*seconds = sign * (hour * 3600 + minute * 60);
	return is_end(text);
}

static bool
is_date(int year, int month, int day)
{
	return year >= 1970 && month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/* RFC 3339, section 5.6. */
static bool
read_iso8601(const char *text, int64_t *epoch_us)
{
	int year, month, day;
	int64_t seconds, zone;
	double fraction = 0;

	if ((text = read_digits(text, 4, &year)) == NULL || *text++ != '-' ||
		(text = read_digits(text, 2, &month)) == NULL || *text++ != '-' ||
		(text = read_digits(text, 2, &day)) == NULL || !is_date(year, month, day) ||
		(*text != 'T' && *text != 't' && *text != ' '))
		return false;
	if ((text = read_clock(text + 1, &seconds)) == NULL)
		return false;
	if (*text == '.' && (text = read_number(text, &fraction)) == NULL)
		return false;
	if (!read_zone(text, &zone))
		return false;
	*epoch_us = days_of(year, month, day) * DAY + (seconds - zone) * SECOND + (int64_t) (fraction * 1e6);
	return true;
}

/* RFC 9110, section 5.6.7: IMF-fixdate only, as everybody sends it. */
static bool
read_http_date(const char *text, int64_t *epoch_us)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const char *comma = strchr(text, ',');
	const char *month;
	int year, day;
	int64_t seconds;
	char name[4] = "";

	if (comma == NULL || (text = read_digits(skip_blank(comma + 1), 2, &day)) == NULL || *text++ != ' ')
		return false;
	strncpy(name, text, 3);
	month = strlen(name) == 3 ? strstr(months, name) : NULL;
	if (month == NULL || (month - months) % 3 != 0 || text[3] != ' ' ||
		(text = read_digits(text + 4, 4, &year)) == NULL || *text++ != ' ' ||
		!is_date(year, (int) (month - months) / 3 + 1, day) || (text = read_clock(text, &seconds)) == NULL ||
		strcasecmp(skip_blank(text), "GMT") != 0)
		return false;
	*epoch_us = days_of(year, (int) (month - months) / 3 + 1, day) * DAY + seconds * SECOND;
	return true;
}

static IntegTimeUnit
unit_of(const char *text)
{
	double value;

	if (is_number(text, &value))
		return value >= 1e11 ? INTEG_TIME_EPOCH_MS : value >= 1e9 ? INTEG_TIME_EPOCH_S
																  : INTEG_TIME_SECONDS;
	if (isalpha((unsigned char) *text))
		return INTEG_TIME_HTTP_DATE;
	return strchr(text, '-') != NULL ? INTEG_TIME_ISO8601 : INTEG_TIME_DURATION;
}

bool
integ_limit_time(const char *text, IntegTimeUnit unit, int64_t epoch_us, int64_t *left_us)
{
	double value = 0;
	int64_t at = 0;

	text = skip_blank(text);
	if (unit == INTEG_TIME_AUTO)
		unit = unit_of(text);
	switch (unit)
	{
		case INTEG_TIME_AUTO:
			return false;
		case INTEG_TIME_EPOCH_S:
			*left_us = is_number(text, &value) ? clamp(value * 1e6 - (double) epoch_us) : -1;
			break;
		case INTEG_TIME_EPOCH_MS:
			*left_us = is_number(text, &value) ? clamp(value * 1e3 - (double) epoch_us) : -1;
			break;
		case INTEG_TIME_SECONDS:
			*left_us = is_number(text, &value) ? clamp(value * 1e6) : -1;
			break;
		case INTEG_TIME_MILLISECONDS:
		case INTEG_TIME_INTERVAL_MS:
			*left_us = is_number(text, &value) ? clamp(value * 1e3) : -1;
			break;
		case INTEG_TIME_DURATION:
			*left_us = read_duration(text, &value) ? clamp(value) : -1;
			break;
		case INTEG_TIME_ISO8601:
			*left_us = read_iso8601(text, &at) ? clamp((double) (at - epoch_us)) : -1;
			break;
		case INTEG_TIME_HTTP_DATE:
			*left_us = read_http_date(text, &at) ? clamp((double) (at - epoch_us)) : -1;
			break;
	}
	return *left_us >= 0;
}
