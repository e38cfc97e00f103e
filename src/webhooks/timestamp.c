/*
 * The time that a request says it was sent.
 */
#include "webhooks/signature.h"

#include <string.h>

/* Beyond the year 9999 nobody signs. */
#define MAX_MS (253402300799 * INT64_C(1000))

static bool
read_digits(const char **text, int count, int *value)
{
	*value = 0;
	for (int i = 0; i < count; i++, (*text)++)
	{
		if (**text < '0' || **text > '9')
			return false;
		*value = *value * 10 + (**text - '0');
	}
	return true;
}

static bool
skip(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

/* Days since 1970-01-01 of a day of the Gregorian calendar. */
static int64_t
days_of(int year, int month, int day)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	int64_t years = year - 1;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return years * 365 + years / 4 - years / 100 + years / 400 + before[month - 1] + (leap && month > 2) + day - 1 -
		   719162;
}

/* "Z", or a difference to UTC in minutes. */
static bool
read_zone(const char *text, int *minutes)
{
	int sign = *text == '-' ? -1 : 1, hour, minute;

	*minutes = 0;
	if (*text == 'Z' || *text == 'z')
		return text[1] == '\0';
	if (*text != '+' && *text != '-')
		return false;
	text++;
	if (!read_digits(&text, 2, &hour))
		return false;
	(void) skip(&text, ':');
	if (!read_digits(&text, 2, &minute) || *text != '\0' || hour > 23 || minute > 59)
		return false;
	*minutes = sign * (hour * 60 + minute);
	return true;
}

static bool
read_iso8601(const char *text, int64_t *milliseconds)
{
	int year, month, day, hour, minute, second, zone, fraction = 0;

	if (!read_digits(&text, 4, &year) || !skip(&text, '-') || !read_digits(&text, 2, &month) || !skip(&text, '-') ||
		!read_digits(&text, 2, &day) || (*text != 'T' && *text != 't' && *text != ' '))
		return false;
	text++;
	if (!read_digits(&text, 2, &hour) || !skip(&text, ':') || !read_digits(&text, 2, &minute) || !skip(&text, ':') ||
		!read_digits(&text, 2, &second))
		return false;
	if (skip(&text, '.'))
	{
		int unit = 100;

		if (*text < '0' || *text > '9')
			return false;
		for (; *text >= '0' && *text <= '9'; text++, unit /= 10)
			fraction += (*text - '0') * unit;
	}
	if (!read_zone(text, &zone) || year < 1 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
		minute > 59 || second > 60)
		return false;
	*milliseconds = ((days_of(year, month, day) * 24 + hour) * 60 + minute - zone) * 60000 + second * INT64_C(1000) +
					fraction;
	return true;
}

bool
integ_signature_time(const char *text, IntegSignatureUnit unit, int64_t *milliseconds)
{
	size_t len = strlen(text);
	int64_t value = 0;

	if (unit == INTEG_SENT_ISO8601)
		return read_iso8601(text, milliseconds);
	if (len == 0 || len > 15 || strspn(text, "0123456789") != len)
		return false;
	for (size_t i = 0; i < len; i++)
		value = value * 10 + (text[i] - '0');
	if (unit == INTEG_SENT_S && value > MAX_MS / 1000)
		return false;
	*milliseconds = unit == INTEG_SENT_S ? value * 1000 : value;
	return *milliseconds <= MAX_MS;
}
