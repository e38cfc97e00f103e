/*
 * Reading texts and numbers as dates and times.
 *
 * ISO 8601 is read by our own scanner; what else people write (RFC 2822, month
 * names) by PostgreSQL's, with the session's DateStyle and time zone out of the
 * way: a conversion gives the same everywhere. An order of day and month that
 * cannot be told is refused.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "convert/scan.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"

/* Years 1 to 9999: what ISO 8601 writes with four digits. */
#define FIRST_DAY (1721426 - POSTGRES_EPOCH_JDATE)
#define LAST_DAY (5373484 - POSTGRES_EPOCH_JDATE)

static bool
day_in_range(int64 day)
{
	return day >= FIRST_DAY && day <= LAST_DAY;
}

static bool
set_instant(ConvertValue *value, TimestampTz instant)
{
	if (instant < FIRST_DAY * USECS_PER_DAY || instant >= (LAST_DAY + INT64CONST(1)) * USECS_PER_DAY)
		return false;
	convert_set_instant(value, instant);
	return true;
}

/* A local time in a zone; NULL is UTC. */
static TimestampTz
local_instant(int64 local, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (zone == NULL || timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		return local;
	return local + DetermineTimeZoneOffset(&tm, zone) * USECS_PER_SEC;
}

static bool
from_iso(const IntegIsoTime *time, pg_tz *zone, ConvertValue *value)
{
	int day = date2j(time->year, time->month, time->day) - POSTGRES_EPOCH_JDATE;
	int64 local;

	if (!time->has_time)
	{
		convert_set_date(value, day);
		return true;
	}
	local = day * USECS_PER_DAY + ((time->hour * 60 + time->minute) * 60 + time->second) * USECS_PER_SEC +
			time->microsecond;
	return set_instant(value, time->has_zone ? local - time->offset * USECS_PER_SEC : local_instant(local, zone));
}

/* Words that mean another time each day. */
static bool
is_relative(char **field, const int *ftype, int nf)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday", "allballs"};

	for (int i = 0; i < nf; i++)
		for (size_t w = 0; w < lengthof(words); w++)
			if (ftype[i] == DTK_STRING && strncmp(field[i], words[w], strlen(words[w])) == 0)
				return true;
	return false;
}

/* Runs PostgreSQL's decoder with a fixed order of fields and the zone given. */
static bool
decode(char **field, int *ftype, int nf, pg_tz *zone, struct pg_tm *tm, fsec_t *fsec, int *offset)
{
	int saved_order = DateOrder, dtype = -1, code;
	pg_tz *saved_zone = session_timezone;

	PG_TRY();
	{
		DateOrder = DATEORDER_YMD;
		session_timezone = zone == NULL ? pg_tzset("GMT") : zone;
		code = DecodeDateTime(field, ftype, nf, &dtype, tm, fsec, offset INTEG_DATETIME_EXTRA);
	}
	PG_FINALLY();
	{
		DateOrder = saved_order;
		session_timezone = saved_zone;
	}
	PG_END_TRY();
	return code == 0 && dtype == DTK_DATE;
}

static bool
from_words(const char *text, int len, pg_tz *zone, ConvertValue *value)
{
	char source[MAXDATELEN + 1], work[MAXDATELEN + MAXDATEFIELDS];
	char *field[MAXDATEFIELDS];
	int ftype[MAXDATEFIELDS], nf, offset = 0;
	struct pg_tm tm;
	fsec_t fsec = 0;
	bool has_time = false;
	int64 day;

	/* The decoder takes other punctuation for white space. */
	for (int i = 0; i < len; i++)
		if (!isalnum((unsigned char) text[i]) && strchr(" +-:,./_", text[i]) == NULL)
			return false;
	if (len > MAXDATELEN)
		return false;
	memcpy(source, text, len);
	source[len] = '\0';
	if (ParseDateTime(source, work, sizeof(work), field, ftype, MAXDATEFIELDS, &nf) != 0 ||
		is_relative(field, ftype, nf) || !decode(field, ftype, nf, zone, &tm, &fsec, &offset))
		return false;
	for (int i = 0; i < nf; i++)
		has_time = has_time || ftype[i] == DTK_TIME;
	if (tm.tm_year < 1 || tm.tm_year > 9999)
		return false;
	day = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
	if (!has_time && tm.tm_hour == 0 && tm.tm_min == 0 && tm.tm_sec == 0 && fsec == 0)
	{
		convert_set_date(value, day);
		return true;
	}
	return set_instant(value, day * USECS_PER_DAY + ((tm.tm_hour * 60 + tm.tm_min) * 60 + tm.tm_sec) * USECS_PER_SEC +
								  fsec + offset * USECS_PER_SEC);
}

/* Seconds or, from 100,000,000,000 on, milliseconds since 1970. */
static bool
from_epoch(Numeric number, ConvertValue *value)
{
	bool error = false;
	Numeric micro = numeric_mul_opt_error(number, int64_to_numeric(1000000), &error);
	char *text;
	double seconds;
	int64 count;

	if (error)
		return false;
	seconds = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(number)));
	if (!(fabs(seconds) < 1e15))
		return false;
	if (fabs(seconds) >= 1e11)
		micro = numeric_mul_opt_error(number, int64_to_numeric(1000), &error);
	text = DatumGetCString(DirectFunctionCall1(numeric_out, DirectFunctionCall2(numeric_round, NumericGetDatum(micro),
																				Int32GetDatum(0))));
	count = strtoll(text, NULL, 10);
	return set_instant(value, count - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
}

/* How many digits the text is made of, a minus before them left aside; 0: it is something else. */
static int
only_digits(const char *text, int len)
{
	int start = len > 0 && text[0] == '-' ? 1 : 0;

	for (int i = start; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return 0;
	return len - start;
}

bool
convert_time_of(const char *text, int len, pg_tz *zone, ConvertValue *value)
{
	IntegIsoTime time;
	int digits;

	while (len > 0 && isspace((unsigned char) text[0]))
		text++, len--;
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	if (integ_scan_iso_time(text, len, &time))
		return from_iso(&time, zone, value);
	/* Nine digits and more are an epoch, which services send as texts too; eight a date; fewer could be anything. */
	digits = only_digits(text, len);
	if (digits >= 9 && digits <= 16)
		return from_epoch(convert_number_of(text, len), value);
	if (digits > 0 && (digits != 8 || text[0] == '-'))
		return false;
	return from_words(text, len, zone, value);
}

bool
convert_read_time(ConvertValue *value, pg_tz *zone)
{
	ConvertValue read;

	if (value->json.type == jbvDatetime)
		return true;
	if (value->json.type == jbvNumeric ? !from_epoch(value->json.val.numeric, &read)
									   : value->json.type != jbvString ||
											 !convert_time_of(value->json.val.string.val, value->json.val.string.len,
															  zone, &read))
		return false;
	*value = read;
	return true;
}

bool
convert_instant(const ConvertValue *value, TimestampTz *instant)
{
	if (convert_is_date(value))
		*instant = DatumGetDateADT(value->json.val.datetime.value) * USECS_PER_DAY;
	else if (convert_is_instant(value))
		*instant = DatumGetTimestampTz(value->json.val.datetime.value);
	else
		return false;
	return true;
}

bool
convert_add_days(ConvertValue *value, int64 days)
{
	if (convert_is_date(value))
	{
		int64 day = DatumGetDateADT(value->json.val.datetime.value) + days;

		if (!day_in_range(day))
			return false;
		convert_set_date(value, day);
		return true;
	}
	return set_instant(value, DatumGetTimestampTz(value->json.val.datetime.value) + days * USECS_PER_DAY);
}

bool
convert_local_day(const ConvertValue *value, DateADT *date)
{
	TimestampTz instant;
	int64 day;

	if (convert_is_date(value))
	{
		*date = DatumGetDateADT(value->json.val.datetime.value);
		return true;
	}
	if (!convert_instant(value, &instant))
		return false;
	day = instant / USECS_PER_DAY;
	if (instant % USECS_PER_DAY < 0)
		day--;
	*date = day;
	return true;
}

bool
convert_set_instant_checked(ConvertValue *value, TimestampTz instant)
{
	return set_instant(value, instant);
}
