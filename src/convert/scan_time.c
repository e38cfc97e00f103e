/*
 * Reading dates and times as ISO 8601 and RFC 3339 write them.
 */
#include "convert/scan.h"

typedef struct Cursor
{
	const char *at;
	const char *end;
} Cursor;

/* Reads exactly so many digits. */
static bool
digits(Cursor *cursor, int count, int *value)
{
	*value = 0;
	for (int i = 0; i < count; i++)
	{
		if (cursor->at == cursor->end || *cursor->at < '0' || *cursor->at > '9')
			return false;
		*value = *value * 10 + (*cursor->at++ - '0');
	}
	return true;
}

static bool
skip(Cursor *cursor, char c)
{
	if (cursor->at == cursor->end || *cursor->at != c)
		return false;
	cursor->at++;
	return true;
}

static bool
day_exists(int year, int month, int day)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (leap && month == 2);
}

/* Any number of digits behind the point, rounded to microseconds. */
static bool
fraction(Cursor *cursor, int *microsecond)
{
	int count = 0, value = 0;

	while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9')
	{
		if (count < 6)
			value = value * 10 + (*cursor->at - '0');
		else if (count == 6 && *cursor->at >= '5')
			value++;
		count++;
		cursor->at++;
	}
	for (int i = count; i < 6; i++)
		value *= 10;
	*microsecond = value;
	return count > 0;
}

/* Z, ±HH, ±HHMM, ±HH:MM or nothing. */
static bool
zone(Cursor *cursor, IntegIsoTime *time)
{
	int hours, minutes = 0;
	bool west;

	if (cursor->at == cursor->end)
		return true;
	time->has_zone = true;
	if (skip(cursor, 'Z') || skip(cursor, 'z'))
		return true;
	west = *cursor->at == '-';
	if (!skip(cursor, '+') && !skip(cursor, '-'))
		return false;
	if (!digits(cursor, 2, &hours))
		return false;
	if (cursor->at < cursor->end)
	{
		(void) skip(cursor, ':');
		if (!digits(cursor, 2, &minutes))
			return false;
	}
	if (hours > 15 || minutes > 59)
		return false;
	time->offset = (hours * 60 + minutes) * 60 * (west ? -1 : 1);
	return true;
}

static bool
clock_exists(const IntegIsoTime *time)
{
	if (time->hour == 24)
		return time->minute == 0 && time->second == 0 && time->microsecond == 0;
	return time->hour < 24 && time->minute < 60 && (time->second < 60 || (time->second == 60 && time->minute == 59));
}

bool
integ_scan_iso_time(const char *text, size_t len, IntegIsoTime *time)
{
	Cursor cursor = {text, text + len};

	*time = (IntegIsoTime){0};
	if (!digits(&cursor, 4, &time->year) || !skip(&cursor, '-') || !digits(&cursor, 2, &time->month) ||
		!skip(&cursor, '-') || !digits(&cursor, 2, &time->day) || !day_exists(time->year, time->month, time->day))
		return false;
	if (cursor.at == cursor.end)
		return true;
	if (!skip(&cursor, 'T') && !skip(&cursor, 't') && !skip(&cursor, ' '))
		return false;
	time->has_time = true;
	if (!digits(&cursor, 2, &time->hour) || !skip(&cursor, ':') || !digits(&cursor, 2, &time->minute))
		return false;
	if (skip(&cursor, ':'))
	{
		if (!digits(&cursor, 2, &time->second))
			return false;
		if ((skip(&cursor, '.') || skip(&cursor, ',')) && !fraction(&cursor, &time->microsecond))
			return false;
	}
	return zone(&cursor, time) && cursor.at == cursor.end && clock_exists(time);
}
