/*
 * Whether a value fits the column it goes to, before a page of them is written:
 * one that does not is an error of its field, not of the page.
 *
 * Only types are judged whose input is known here; what a domain or another
 * type says is left to the statement that writes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "convert/scan.h"
#include "core/json_walk.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

static bool
in_range(Numeric number, int64 min, int64 max)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(number),
											 NumericGetDatum(int64_to_numeric(min)))) >= 0 &&
		   DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(number),
											 NumericGetDatum(int64_to_numeric(max)))) <= 0;
}

static Numeric
as_number(const JsonbValue *json)
{
	if (json->type == jbvNumeric)
		return json->val.numeric;
	return json->type == jbvString ? convert_number_of(json->val.string.val, json->val.string.len) : NULL;
}

static bool
fits_integer(const JsonbValue *json, int64 min, int64 max)
{
	Numeric number = as_number(json);

	return number != NULL && in_range(number, min, max) &&
		   DatumGetBool(DirectFunctionCall2(
			   numeric_eq, NumericGetDatum(number),
			   DirectFunctionCall2(numeric_trunc, NumericGetDatum(number), Int32GetDatum(0))));
}

/* numeric(precision, scale): rounded to the scale, it has no more digits than precision. */
static bool
fits_numeric(const JsonbValue *json, int32 typmod)
{
	Numeric number = as_number(json);
	int precision, scale;
	const char *text;

	if (number == NULL || typmod < (int32) VARHDRSZ)
		return number != NULL;
	precision = ((typmod - VARHDRSZ) >> 16) & 0xffff;
	scale = (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
	number = DatumGetNumeric(DirectFunctionCall2(numeric_round, NumericGetDatum(number), Int32GetDatum(scale)));
	text = DatumGetCString(DirectFunctionCall1(numeric_out, DirectFunctionCall1(numeric_abs, NumericGetDatum(number))));
	if (text[0] == '0')
		return true;
	return (int) strcspn(text, ".") <= precision - scale;
}

static bool
fits_boolean(const JsonbValue *json)
{
	bool ignored;

	return json->type == jbvBool ||
		   (json->type == jbvString && parse_bool_with_len(json->val.string.val, json->val.string.len, &ignored));
}

static bool
fits_time(const JsonbValue *json)
{
	ConvertValue copy = {.state = INTEG_FIELD_VALUE, .json = *json};

	/* An epoch is a number to us and nothing to a column. */
	return json->type == jbvString && !integ_scan_number(json->val.string.val, json->val.string.len, NULL, NULL) &&
		   convert_read_time(&copy, NULL);
}

bool
convert_is_uuid(const char *text, int len)
{
	for (int i = 0; i < len; i++)
		if ((i == 8 || i == 13 || i == 18 || i == 23) ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
			return false;
	return len == 36;
}

/* varchar(n), char(n): spaces beyond n may be cut, as in an assignment. */
static bool
fits_length(const JsonbValue *json, int32 typmod)
{
	ConvertValue copy = {.state = INTEG_FIELD_VALUE, .json = *json};
	int len;

	if (typmod < (int32) VARHDRSZ)
		return true;
	convert_to_text(&copy);
	len = copy.json.val.string.len;
	while (len > 0 && copy.json.val.string.val[len - 1] == ' ')
		len--;
	return pg_mbstrlen_with_len(copy.json.val.string.val, len) <= typmod - VARHDRSZ;
}

static bool
fits(const ConvertColumn *column, const JsonbValue *json)
{
	switch (column->type)
	{
		case INT2OID:
			return fits_integer(json, PG_INT16_MIN, PG_INT16_MAX);
		case INT4OID:
			return fits_integer(json, PG_INT32_MIN, PG_INT32_MAX);
		case INT8OID:
			return fits_integer(json, PG_INT64_MIN, PG_INT64_MAX);
		case NUMERICOID:
			return fits_numeric(json, column->typmod);
		case FLOAT4OID:
		case FLOAT8OID:
			return as_number(json) != NULL;
		case BOOLOID:
			return fits_boolean(json);
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return fits_time(json);
		case UUIDOID:
			return json->type == jbvString && convert_is_uuid(json->val.string.val, json->val.string.len);
		case VARCHAROID:
		case BPCHAROID:
			return fits_length(json, column->typmod);
		default:
			return true;
	}
}

void
convert_fit(ConvertEval *eval, const ConvertField *field, ConvertValue *value)
{
	const ConvertColumn *column = &field->column;

	if (value->state == INTEG_FIELD_NULL && column->not_null)
		convert_fail(eval, value, false, "the column takes no null");
	else if (value->state == INTEG_FIELD_VALUE && !fits(column, &value->json))
		convert_fail(eval, value, false, "%s does not fit the column's type %s", convert_quote(value),
					 format_type_with_typemod(column->type, column->typmod));
}
