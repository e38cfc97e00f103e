/*
 * Rules of numbers and strings.
 */
#include "core/json_walk.h"
#include "mb/pg_wchar.h"
#include "schema/pattern.h"
#include "schema/validate.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

static int
compare(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

static bool
bound_problem(SchemaWalk *walk, const SchemaStep *at, const char *relation, Numeric bound)
{
	if (walk->problems == NULL)
		return false;
	return schema_problem(walk, at, "must be %s %s", relation,
						  DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(bound))));
}

static bool
is_multiple(Numeric value, Numeric divisor)
{
	Datum rest = DirectFunctionCall2(numeric_mod, NumericGetDatum(value), NumericGetDatum(divisor));

	return compare(DatumGetNumeric(rest), int64_to_numeric(0)) == 0;
}

bool
schema_validate_number(SchemaWalk *walk, const SchemaNumberRules *rules, Numeric value, const SchemaStep *at)
{
	bool ok = true;

	if (rules->minimum != NULL && compare(value, rules->minimum) < 0)
		ok = bound_problem(walk, at, "at least", rules->minimum);
	if (rules->above != NULL && compare(value, rules->above) <= 0)
		ok = bound_problem(walk, at, "greater than", rules->above);
	if (rules->maximum != NULL && compare(value, rules->maximum) > 0)
		ok = bound_problem(walk, at, "at most", rules->maximum);
	if (rules->below != NULL && compare(value, rules->below) >= 0)
		ok = bound_problem(walk, at, "less than", rules->below);
	if (rules->multiple_of != NULL && !is_multiple(value, rules->multiple_of))
		ok = bound_problem(walk, at, "a multiple of", rules->multiple_of);
	return ok;
}

/* Lengths count code points; bytes decide most cases without counting. */
static bool
check_length(SchemaWalk *walk, const SchemaStringRules *rules, const JsonbValue *value, const SchemaStep *at)
{
	int bytes = value->val.string.len;
	int64 length;

	if (rules->min_length == 0 && (rules->max_length < 0 || bytes <= rules->max_length))
		return true;
	length = pg_mbstrlen_with_len(value->val.string.val, bytes);
	if (length < rules->min_length)
		return schema_problem(walk, at, "must be at least " INT64_FORMAT " characters long", rules->min_length);
	if (rules->max_length >= 0 && length > rules->max_length)
		return schema_problem(walk, at, "must be at most " INT64_FORMAT " characters long", rules->max_length);
	return true;
}

bool
schema_validate_string(SchemaWalk *walk, const SchemaStringRules *rules, const JsonbValue *value, const SchemaStep *at)
{
	const char *text = value->val.string.val;
	int len = value->val.string.len;
	bool ok = check_length(walk, rules, value, at);

	if (!ok && schema_enough(walk))
		return false;
	if (rules->format != INTEG_FORMAT_NONE && !integ_format_valid(rules->format, text, len))
		ok = schema_problem(walk, at, "must have the format \"%s\"", integ_format_name(rules->format));
	if (rules->pattern != NULL && !schema_pattern_matches(rules->pattern, text, len))
		ok = schema_problem(walk, at, "must match the pattern \"%s\"", schema_pattern_source(rules->pattern));
	return ok;
}
