/*
 * Values on their way: making them, and what they are as text.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "convert/scan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"

void
convert_set_text(ConvertValue *value, const char *text, int len)
{
	value->state = INTEG_FIELD_VALUE;
	value->json.type = jbvString;
	value->json.val.string.val = (char *) text;
	value->json.val.string.len = len;
}

void
convert_set_number(ConvertValue *value, Numeric number)
{
	value->state = INTEG_FIELD_VALUE;
	value->json.type = jbvNumeric;
	value->json.val.numeric = number;
}

void
convert_set_bool(ConvertValue *value, bool boolean)
{
	value->state = INTEG_FIELD_VALUE;
	value->json.type = jbvBool;
	value->json.val.boolean = boolean;
}

static void
set_time(ConvertValue *value, Datum datum, Oid type)
{
	value->state = INTEG_FIELD_VALUE;
	value->json.type = jbvDatetime;
	value->json.val.datetime.value = datum;
	value->json.val.datetime.typid = type;
}

void
convert_set_date(ConvertValue *value, DateADT date)
{
	set_time(value, DateADTGetDatum(date), DATEOID);
}

void
convert_set_instant(ConvertValue *value, TimestampTz instant)
{
	set_time(value, TimestampTzGetDatum(instant), TIMESTAMPTZOID);
}

void
convert_set_document(ConvertValue *value, const Jsonb *document)
{
	value->state = INTEG_FIELD_VALUE;
	integ_json_root(document, &value->json);
	if (value->json.type == jbvNull)
		value->state = INTEG_FIELD_NULL;
}

void
convert_set_null(ConvertValue *value)
{
	value->state = INTEG_FIELD_NULL;
	value->json.type = jbvNull;
}

bool
convert_is_text(const ConvertValue *value)
{
	return value->state == INTEG_FIELD_VALUE && value->json.type == jbvString;
}

bool
convert_is_date(const ConvertValue *value)
{
	return value->state == INTEG_FIELD_VALUE && value->json.type == jbvDatetime &&
		   value->json.val.datetime.typid == DATEOID;
}

bool
convert_is_instant(const ConvertValue *value)
{
	return value->state == INTEG_FIELD_VALUE && value->json.type == jbvDatetime &&
		   value->json.val.datetime.typid == TIMESTAMPTZOID;
}

static char *
put_digits(char *out, int number, int width)
{
	for (int i = width - 1; i >= 0; i--, number /= 10)
		out[i] = '0' + number % 10;
	return out + width;
}

static char *
put_date(char *out, int year, int month, int day)
{
	out = put_digits(out, year, 4);
	*out++ = '-';
	out = put_digits(out, month, 2);
	*out++ = '-';
	return put_digits(out, day, 2);
}

/* ISO 8601, in UTC; years have four digits everywhere here. */
static void
time_to_text(ConvertValue *value)
{
	char *text = palloc(32), *out = text;
	int year, month, day;

	if (convert_is_date(value))
	{
		j2date(DatumGetDateADT(value->json.val.datetime.value) + POSTGRES_EPOCH_JDATE, &year, &month, &day);
		out = put_date(out, year, month, day);
	}
	else
	{
		TimestampTz instant = DatumGetTimestampTz(value->json.val.datetime.value);
		int64 days = instant / USECS_PER_DAY, rest = instant % USECS_PER_DAY;

		if (rest < 0)
		{
			days--;
			rest += USECS_PER_DAY;
		}
		j2date((int) days + POSTGRES_EPOCH_JDATE, &year, &month, &day);
		out = put_date(out, year, month, day);
		*out++ = 'T';
		out = put_digits(out, rest / USECS_PER_HOUR, 2);
		*out++ = ':';
		out = put_digits(out, rest / USECS_PER_MINUTE % 60, 2);
		*out++ = ':';
		out = put_digits(out, rest / USECS_PER_SEC % 60, 2);
		if (rest % USECS_PER_SEC != 0)
		{
			*out++ = '.';
			out = put_digits(out, rest % USECS_PER_SEC, 6);
			while (out[-1] == '0')
				out--;
		}
		*out++ = 'Z';
	}
	convert_set_text(value, text, out - text);
}

void
convert_to_text(ConvertValue *value)
{
	char *text;

	Assert(value->state == INTEG_FIELD_VALUE);
	if (value->json.type == jbvString)
		return;
	if (value->json.type == jbvDatetime)
	{
		time_to_text(value);
		return;
	}
	text = integ_json_value_text(&value->json);
	convert_set_text(value, text, strlen(text));
}

const char *
convert_quote(const ConvertValue *value)
{
	ConvertValue copy = *value;
	int len;

	if (copy.state == INTEG_FIELD_MISSING)
		return "nothing";
	if (copy.state != INTEG_FIELD_VALUE)
		return "null";
	if (copy.json.type == jbvBinary)
		return JsonContainerIsArray(copy.json.val.binary.data) ? "a list" : "an object";
	convert_to_text(&copy);
	len = pg_mbcliplen(copy.json.val.string.val, copy.json.val.string.len, 60);
	return psprintf(value->json.type == jbvString ? "\"%.*s%s\"" : "%.*s%s", len, copy.json.val.string.val,
					len < copy.json.val.string.len ? "…" : "");
}

Numeric
convert_number_of(const char *text, int len)
{
	size_t start, length;
	char *copy;

	if (len > 2000 || !integ_scan_number(text, len, &start, &length))
		return NULL;
	copy = pnstrdup(text + start, length);
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(copy), ObjectIdGetDatum(InvalidOid),
											   Int32GetDatum(-1)));
}
