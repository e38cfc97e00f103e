/*
 * Transformations of dates and times.
 *
 * Formats are the templates of PostgreSQL's to_char. Times without a zone are
 * those of the config's "timezone", else UTC. An empty text counts as null.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "core/collation.h"
#include "core/zone.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/formatting.h"

static void
compile_zone(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	const char *name = convert_text(compile, config, "timezone", false);

	if (name == NULL)
		return;
	step->zone = integ_zone_find(name);
	if (step->zone == NULL)
		convert_invalid(compile, "Zones are names of the IANA database, such as Europe/Paris.",
						"\"timezone\" of \"%s\" is \"%s\", which is no time zone", step->type->name, name);
}

static void
apply_read(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	if (value->json.type == jbvString && value->json.val.string.len == 0)
		convert_set_null(value);
	else if (!convert_read_time(value, step->zone))
		convert_fail(eval, value, false, "%s cannot read %s as a date", step->type->name, convert_quote(value));
}

/* The value as a date or a time; false where it is null or failed. */
static bool
take_time(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	apply_read(eval, step, value);
	return value->state == INTEG_FIELD_VALUE;
}

/* --- parse_date --- */

/*
 * Parses by a template, strictly: separators must match and nothing may be left over. What the decoder raises of
 * data becomes false; it holds no lock and no resource when it does.
 */
static bool
parse_with(text *source, text *format, pg_tz *zone, ConvertValue *value)
{
	MemoryContext context = CurrentMemoryContext;
	pg_tz *saved = session_timezone;
	volatile bool parsed = false;
	Oid type = InvalidOid;
	int offset = 0;
	Datum datum = (Datum) 0;

	PG_TRY();
	{
		session_timezone = zone == NULL ? pg_tzset("GMT") : zone;
		parsed = integ_parse_datetime(source, format, integ_unicode_collation(), &type, &offset, &datum);
		if (parsed && type == TIMESTAMPOID)
		{
			/* Local to the zone. */
			datum = DirectFunctionCall1(timestamp_timestamptz, datum);
			type = TIMESTAMPTZOID;
		}
	}
	PG_CATCH();
	{
		session_timezone = saved;
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		parsed = false;
	}
	PG_END_TRY();
	session_timezone = saved;
	if (!parsed)
		return false;
	if (type == TIMESTAMPTZOID)
		return convert_set_instant_checked(value, DatumGetTimestampTz(datum));
	if (type != DATEOID)
		return false;
	convert_set_date(value, DatumGetDateADT(datum));
	return convert_add_days(value, 0);
}

static void
compile_parse(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool valid = false;
	int offset;
	Oid type;
	Datum ignored;

	compile_zone(compile, step, config);
	step->text = convert_text(compile, config, "format", true);
	/* A text that does not match only says so; a template that is none raises. */
	PG_TRY();
	{
		(void) integ_parse_datetime(cstring_to_text(""), cstring_to_text(step->text), integ_unicode_collation(), &type,
									&offset, &ignored);
		valid = true;
	}
	PG_CATCH();
	{
		int category = ERRCODE_TO_CATEGORY(geterrcode());

		MemoryContextSwitchTo(context);
		if (category != ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR) && category != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	if (!valid)
		convert_invalid(compile, "Formats are templates of PostgreSQL's to_char, such as DD.MM.YYYY HH24:MI.",
						"\"format\" of \"parse_date\" is \"%s\", which is no template for reading a date", step->text);
}

static void
apply_parse(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	ConvertValue parsed;

	if (value->json.type == jbvDatetime)
		return;
	if (value->json.type == jbvString && value->json.val.string.len == 0)
	{
		convert_set_null(value);
		return;
	}
	parsed = *value;
	if (value->json.type == jbvNumeric)
		convert_to_text(&parsed);
	if (parsed.json.type != jbvString || parsed.json.val.string.len > MAXDATELEN ||
		!parse_with(cstring_to_text_with_len(parsed.json.val.string.val, parsed.json.val.string.len),
					cstring_to_text(step->text), step->zone, &parsed))
		convert_fail(eval, value, false, "%s is no date in the format %s", convert_quote(value), step->text);
	else
		*value = parsed;
}

/* --- format_date --- */

static void
compile_format(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	compile_zone(compile, step, config);
	step->text = convert_text(compile, config, "format", true);
}

static void
apply_format(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	pg_tz *saved = session_timezone;
	TimestampTz instant;
	Datum formatted = (Datum) 0;
	text *result;

	if (!take_time(eval, step, value))
		return;
	(void) convert_instant(value, &instant);
	PG_TRY();
	{
		/* A day is a day in every zone. */
		session_timezone = step->zone == NULL || convert_is_date(value) ? pg_tzset("GMT") : step->zone;
		formatted = DirectFunctionCall2Coll(timestamptz_to_char, integ_unicode_collation(),
											TimestampTzGetDatum(instant), PointerGetDatum(cstring_to_text(step->text)));
	}
	PG_FINALLY();
	{
		session_timezone = saved;
	}
	PG_END_TRY();
	result = DatumGetTextPP(formatted);
	convert_set_text(value, VARDATA_ANY(result), VARSIZE_ANY_EXHDR(result));
}

/* --- add_days --- */

static void
compile_add_days(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	compile_zone(compile, step, config);
	if (!convert_int(compile, config, "days", -4000000, 4000000, &step->number))
		convert_invalid(compile, NULL, "The transformation \"add_days\" needs \"days\"");
}

static void
apply_add_days(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	if (take_time(eval, step, value) && !convert_add_days(value, step->number))
		convert_fail(eval, value, false, "%s and " INT64_FORMAT " days is not in the years 1 to 9999",
					 convert_quote(value), step->number);
}

/* --- to_timestamp: seconds (or milliseconds) since 1970 --- */

static void
compile_timestamp(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	const char *unit = convert_text(compile, config, "unit", false);

	compile_zone(compile, step, config);
	if (unit != NULL && strcmp(unit, "s") != 0 && strcmp(unit, "ms") != 0)
		convert_invalid(compile, NULL, "\"unit\" of \"to_timestamp\" is \"%s\"; it must be s or ms", unit);
	step->milliseconds = unit != NULL && strcmp(unit, "ms") == 0;
}

static void
apply_timestamp(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	int64 scale = step->milliseconds ? 1000 : USECS_PER_SEC;
	TimestampTz instant;
	bool error = false;
	Numeric number;

	if (!take_time(eval, step, value))
		return;
	(void) convert_instant(value, &instant);
	instant += (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	number = instant % scale == 0
				 ? int64_to_numeric(instant / scale)
				 : numeric_div_opt_error(int64_to_numeric(instant), int64_to_numeric(scale), &error);
	convert_set_number(value, DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(number))));
}

/* --- to_iso_string: the time of it, in UTC --- */

static void
apply_iso_string(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	TimestampTz instant;

	if (!take_time(eval, step, value))
		return;
	(void) convert_instant(value, &instant);
	convert_set_instant(value, instant);
	convert_to_text(value);
}

const ConvertStepType convert_date_steps[] = {
	{"parse_date", "format timezone", compile_parse, apply_parse},
	{"format_date", "format timezone", compile_format, apply_format},
	{"add_days", "days timezone", compile_add_days, apply_add_days},
	{"to_timestamp", "unit timezone", compile_timestamp, apply_timestamp},
	{"to_iso_string", "timezone", compile_zone, apply_iso_string},
	{"to_date", "timezone", compile_zone, apply_read},
};
const int convert_date_steps_count = lengthof(convert_date_steps);
