/*
 * Dates, times and durations as RFC 3339 writes them.
 */
#include <string.h>

#include "schema/format_parts.h"

/* Exactly n digits at the start of the text; -1 where they are not there. */
static int
number(const char *text, size_t len, size_t n)
{
	int result = 0;

	if (len < n)
		return -1;
	for (size_t i = 0; i < n; i++)
	{
		if (!format_is_digit(text[i]))
			return -1;
		result = result * 10 + (text[i] - '0');
	}
	return result;
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

bool
format_date(const char *text, size_t len)
{
	int year, month, day;

	if (len != 10 || text[4] != '-' || text[7] != '-')
		return false;
	year = number(text, len, 4);
	month = number(text + 5, len - 5, 2);
	day = number(text + 8, len - 8, 2);
	return year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= days_of_month(year, month);
}

/* The zone "Z" or "+hh:mm" as minutes east. False where it is neither. */
static bool
zone(const char *text, size_t len, int *east)
{
	int hours, minutes;

	*east = 0;
	if (len == 1 && (text[0] == 'Z' || text[0] == 'z'))
		return true;
	if (len != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':')
		return false;
	hours = number(text + 1, 2, 2);
	minutes = number(text + 4, 2, 2);
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return false;
	*east = (hours * 60 + minutes) * (text[0] == '-' ? -1 : 1);
	return true;
}

bool
format_time(const char *text, size_t len)
{
	int hour, minute, second, east;
	size_t at = 8;

	if (len < 9 || text[2] != ':' || text[5] != ':')
		return false;
	hour = number(text, 2, 2);
	minute = number(text + 3, 2, 2);
	second = number(text + 6, 2, 2);
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
		return false;
	if (text[at] == '.')
	{
		size_t digits = format_digits(text + at + 1, len - at - 1);

		if (digits == 0)
			return false;
		at += 1 + digits;
	}
	if (!zone(text + at, len - at, &east))
		return false;

	/* A leap second is the last one of a day in UTC. */
	return second < 60 || (hour * 60 + minute - east + 2 * 1440) % 1440 == 1439;
}

bool
format_date_time(const char *text, size_t len)
{
	return len > 11 && format_date(text, 10) && (text[10] == 'T' || text[10] == 't') &&
		   format_time(text + 11, len - 11);
}

/*
 * Reads components ("3H", "20M") whose designators follow each other in the
 * order given, with none left out between the first and the last. Returns
 * how many bytes were read; 0 where there is no component.
 */
static size_t
components(const char *text, size_t len, const char *designators)
{
	size_t at = 0;
	const char *expected = NULL;

	for (;;)
	{
		size_t digits = format_digits(text + at, len - at);
		const char *found;

		if (digits == 0 || at + digits == len)
			return at;
		found = strchr(designators, text[at + digits]);
		if (found == NULL || *found == '\0' || (expected != NULL && found != expected))
			return at;
		at += digits + 1;
		expected = found + 1;
	}
}

bool
format_duration(const char *text, size_t len)
{
	size_t at, weeks;

	if (len < 3 || text[0] != 'P')
		return false;
	weeks = components(text + 1, len - 1, "W");
	if (weeks > 0)
		return weeks == len - 1;
	at = 1 + components(text + 1, len - 1, "YMD");
	if (at == len)
		return true;
	return text[at] == 'T' && at + 1 < len && at + 1 + components(text + at + 1, len - at - 1, "HMS") == len;
}
