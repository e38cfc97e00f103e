/*
 * Converted values as Datums of a column's type, and back.
 *
 * What convert_fit has let pass does not fail here. Types that are not known
 * here travel as text, and the statement that writes them casts.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* Longest text of a date or time. */
#define TIME_TEXT (MAXDATELEN + 1)

bool
integ_value_has_datum(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case UUIDOID:
		case JSONBOID:
		case TEXTOID:
			return true;
		default:
			return false;
	}
}

static Numeric
number_of(const JsonbValue *value)
{
	Numeric number = value->type == jbvNumeric	? value->val.numeric
					 : value->type == jbvString ? convert_number_of(value->val.string.val, value->val.string.len)
												: NULL;

	if (number == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("the value is no number")));
	return number;
}

static bool
bool_of(const JsonbValue *value)
{
	bool result;

	if (value->type == jbvBool)
		return value->val.boolean;
	if (value->type != jbvString || !parse_bool_with_len(value->val.string.val, value->val.string.len, &result))
		ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("the value is no boolean")));
	return result;
}

bool
integ_value_instant(const JsonbValue *value, TimestampTz *instant)
{
	ConvertValue copy = {.state = INTEG_FIELD_VALUE, .json = *value};

	return (value->type == jbvString || value->type == jbvNumeric) && convert_read_time(&copy, NULL) &&
		   convert_instant(&copy, instant);
}

/* Dates and times without a zone are those of UTC, whatever the session's time zone. */
static Datum
time_of(Oid type, const JsonbValue *value)
{
	ConvertValue copy = {.state = INTEG_FIELD_VALUE, .json = *value};
	TimestampTz instant;
	DateADT day;

	if ((value->type != jbvString && value->type != jbvNumeric) || !convert_read_time(&copy, NULL) ||
		!convert_instant(&copy, &instant) || !convert_local_day(&copy, &day))
		ereport(ERROR, (errcode(ERRCODE_INVALID_DATETIME_FORMAT), errmsg("the value is no date or time")));
	return type == DATEOID ? DateADTGetDatum(day) : TimestampTzGetDatum(instant);
}

static Datum
text_of(const JsonbValue *value)
{
	const char *text;

	if (value->type == jbvString)
		return PointerGetDatum(cstring_to_text_with_len(value->val.string.val, value->val.string.len));
	text = integ_json_value_text(value);
	return CStringGetTextDatum(text != NULL ? text : "");
}

Datum
integ_value_datum(Oid type, const JsonbValue *value)
{
	switch (type)
	{
		case BOOLOID:
			return BoolGetDatum(bool_of(value));
		case INT2OID:
			return DirectFunctionCall1(numeric_int2, NumericGetDatum(number_of(value)));
		case INT4OID:
			return DirectFunctionCall1(numeric_int4, NumericGetDatum(number_of(value)));
		case INT8OID:
			return DirectFunctionCall1(numeric_int8, NumericGetDatum(number_of(value)));
		case FLOAT4OID:
			return DirectFunctionCall1(numeric_float4, NumericGetDatum(number_of(value)));
		case FLOAT8OID:
			return DirectFunctionCall1(numeric_float8, NumericGetDatum(number_of(value)));
		case NUMERICOID:
			return NumericGetDatum(number_of(value));
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return time_of(type, value);
		case UUIDOID:
			return DirectFunctionCall1(uuid_in, CStringGetDatum(integ_json_value_text(value)));
		case JSONBOID:
			return JsonbPGetDatum(integ_json_value_jsonb(value));
		default:
			return text_of(value);
	}
}

static void
set_text(JsonbValue *value, const char *text)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, text);
	value->val.string.len = (int) strlen(text);
}

void
integ_datum_value(Oid type, Datum datum, JsonbValue *value)
{
	switch (type)
	{
		case BOOLOID:
			value->type = jbvBool;
			value->val.boolean = DatumGetBool(datum);
			return;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			value->type = jbvNumeric;
			value->val.numeric = int64_to_numeric(type == INT2OID	? DatumGetInt16(datum)
												  : type == INT4OID ? DatumGetInt32(datum)
																	: DatumGetInt64(datum));
			return;
		case NUMERICOID:
			value->type = jbvNumeric;
			value->val.numeric = DatumGetNumeric(datum);
			return;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			set_text(value, JsonEncodeDateTime(palloc(TIME_TEXT), datum, type, NULL));
			return;
		case UUIDOID:
			set_text(value, DatumGetCString(DirectFunctionCall1(uuid_out, datum)));
			return;
		case FLOAT4OID:
		case FLOAT8OID:
			value->type = jbvNumeric;
			value->val.numeric = DatumGetNumeric(type == FLOAT4OID ? DirectFunctionCall1(float4_numeric, datum)
																   : DirectFunctionCall1(float8_numeric, datum));
			return;
		case JSONBOID:
			integ_json_root(DatumGetJsonbP(datum), value);
			return;
		default:
			Assert(type == TEXTOID);
			value->type = jbvString;
			value->val.string.val = VARDATA_ANY(DatumGetPointer(datum));
			value->val.string.len = VARSIZE_ANY_EXHDR(DatumGetPointer(datum));
	}
}
