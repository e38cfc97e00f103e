/*
 * Validation rules of a mapping.
 */
#include "convert/plan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "mb/pg_wchar.h"
#include "schema/format.h"
#include "utils/builtins.h"

static const struct
{
	const char *name;
	ConvertCheckType type;
	const char *keys;
} check_types[] = {
	{"type", CONVERT_CHECK_TYPE, "type value message"},
	{"min", CONVERT_CHECK_MIN, "type value message"},
	{"max", CONVERT_CHECK_MAX, "type value message"},
	{"length", CONVERT_CHECK_LENGTH, "type min max message"},
	{"pattern", CONVERT_CHECK_PATTERN, "type value message"},
	{"enum", CONVERT_CHECK_ENUM, "type value message"},
	{"email", CONVERT_CHECK_EMAIL, "type message"},
	{"url", CONVERT_CHECK_URL, "type message"},
};

static const char *const value_types[] = {"string", "number", "integer", "boolean", "array", "object", "date"};

/* --- compilation --- */

static void
compile_value(ConvertCompile *compile, const JsonbContainer *rule, ConvertCheck *check, const char *type)
{
	JsonbValue value;

	if (!integ_json_get(rule, "value", &value) ||
		(check->type == CONVERT_CHECK_ENUM ? !integ_json_is_array(&value)
										   : value.type != jbvNumeric && value.type != jbvString))
		convert_invalid(compile, NULL, "The validation \"%s\" needs %s as \"value\"", type,
						check->type == CONVERT_CHECK_ENUM ? "a list" : "a number or a date");
	check->operand = convert_constant(compile, &value);
}

static void
compile_type(ConvertCompile *compile, const JsonbContainer *rule, ConvertCheck *check)
{
	check->name = convert_text(compile, rule, "value", true);
	for (size_t i = 0; i < lengthof(value_types); i++)
		if (strcmp(check->name, value_types[i]) == 0)
			return;
	convert_invalid(compile, "Known types: string, number, integer, boolean, array, object, date.",
					"The validation \"type\" names the unknown type \"%s\"", check->name);
}

static void
compile_length(ConvertCompile *compile, const JsonbContainer *rule, ConvertCheck *check)
{
	bool any;

	check->min = check->max = -1;
	any = convert_int(compile, rule, "min", 0, PG_INT32_MAX, &check->min);
	any |= convert_int(compile, rule, "max", 0, PG_INT32_MAX, &check->max);
	if (!any || (check->max >= 0 && check->min > check->max))
		convert_invalid(compile, NULL, "The validation \"length\" needs \"min\", \"max\" or both, in this order");
}

static void
compile_check(ConvertCompile *compile, const JsonbContainer *rule, ConvertCheck *check)
{
	const char *name = convert_text(compile, rule, "type", true);
	int known = -1;

	for (int i = 0; i < lengthof(check_types) && known < 0; i++)
		if (strcmp(check_types[i].name, name) == 0)
			known = i;
	if (known < 0)
		convert_invalid(compile, "Known validations: type, min, max, length, pattern, enum, email, url.",
						"Unknown validation \"%s\"", name);
	convert_check_keys(compile, rule, psprintf("the validation \"%s\"", name), check_types[known].keys);
	*check = (ConvertCheck){.type = check_types[known].type, .operand = -1};
	check->message = convert_text(compile, rule, "message", false);
	if (check->type == CONVERT_CHECK_TYPE)
		compile_type(compile, rule, check);
	else if (check->type == CONVERT_CHECK_LENGTH)
		compile_length(compile, rule, check);
	else if (check->type == CONVERT_CHECK_PATTERN)
	{
		check->name = convert_text(compile, rule, "value", true);
		check->regex = convert_regex(compile, check->name);
	}
	else if (check->type == CONVERT_CHECK_MIN || check->type == CONVERT_CHECK_MAX || check->type == CONVERT_CHECK_ENUM)
		compile_value(compile, rule, check, name);
}

void
convert_checks(ConvertCompile *compile, const JsonbContainer *mapping, ConvertField *field)
{
	const JsonbContainer *rules = convert_list(compile, mapping, "validation", 100, false);
	IntegJsonWalk walk;
	JsonbValue rule;

	if (rules == NULL)
		return;
	integ_json_walk_begin(&walk, rules);
	field->checks = palloc0(Max(walk.count, 1) * sizeof(ConvertCheck));
	while (integ_json_walk_element(&walk, &rule))
		compile_check(compile, convert_object(compile, &rule, "a validation"), &field->checks[field->nchecks++]);
}

/* --- evaluation --- */

static bool
is_integer(Numeric number)
{
	return DatumGetBool(DirectFunctionCall2(
		numeric_eq, NumericGetDatum(number),
		DirectFunctionCall2(numeric_trunc, NumericGetDatum(number), Int32GetDatum(0))));
}

static bool
has_type(const ConvertValue *value, const char *type)
{
	const JsonbValue *json = &value->json;

	switch (type[0])
	{
		case 's':
			return json->type == jbvString;
		case 'n':
			return json->type == jbvNumeric;
		case 'i':
			return json->type == jbvNumeric && is_integer(json->val.numeric);
		case 'b':
			return json->type == jbvBool;
		case 'a':
			return integ_json_is_array(json);
		case 'o':
			return integ_json_is_object(json);
		default:
		{
			ConvertValue copy = *value;

			return json->type == jbvString && convert_read_time(&copy, NULL);
		}
	}
}

/* Characters of a text, elements of a list; -1 for anything else. */
static int64
length_of(const JsonbValue *json)
{
	if (json->type == jbvString)
		return pg_mbstrlen_with_len(json->val.string.val, json->val.string.len);
	return integ_json_is_array(json) ? (int64) JsonContainerSize(json->val.binary.data) : -1;
}

static bool
is_url(const JsonbValue *json)
{
	const char *text = json->val.string.val;
	int len = json->val.string.len;

	return json->type == jbvString &&
		   ((len > 7 && pg_strncasecmp(text, "http://", 7) == 0) || (len > 8 && pg_strncasecmp(text, "https://", 8) == 0)) &&
		   integ_format_valid(INTEG_FORMAT_IRI, text, len);
}

/* NULL where the rule holds, else what is wrong. */
static const char *
broken(ConvertEval *eval, const ConvertCheck *check, const ConvertValue *value)
{
	const ConvertOperand *operand = check->operand < 0 ? NULL : &eval->run->operands[check->operand];
	const JsonbValue *json = &value->json;
	const char *problem = NULL;
	int order;
	int64 length;

	switch (check->type)
	{
		case CONVERT_CHECK_TYPE:
			return has_type(value, check->name) ? NULL : psprintf("is not of the type %s", check->name);
		case CONVERT_CHECK_MIN:
			return convert_order(value, operand, &order) && order >= 0
					   ? NULL
					   : psprintf("is not at least %s", convert_quote(&operand->value));
		case CONVERT_CHECK_MAX:
			return convert_order(value, operand, &order) && order <= 0
					   ? NULL
					   : psprintf("is not at most %s", convert_quote(&operand->value));
		case CONVERT_CHECK_LENGTH:
			length = length_of(json);
			if (length < 0)
				return "has no length";
			if (check->min >= 0 && length < check->min)
				return psprintf("has a length of " INT64_FORMAT ", less than " INT64_FORMAT, length, check->min);
			if (check->max >= 0 && length > check->max)
				return psprintf("has a length of " INT64_FORMAT ", more than " INT64_FORMAT, length, check->max);
			return NULL;
		case CONVERT_CHECK_PATTERN:
			if (json->type == jbvString &&
				convert_regex_matches(check->regex, json->val.string.val, json->val.string.len, &problem))
				return NULL;
			return problem == NULL ? psprintf("does not match \"%s\"", check->name)
								   : psprintf("cannot be matched with \"%s\": %s", check->name, problem);
		case CONVERT_CHECK_ENUM:
			for (int i = 0; i < operand->nelements; i++)
				if (convert_equal(value, &operand->elements[i]))
					return NULL;
			return "is none of the values that are allowed";
		case CONVERT_CHECK_EMAIL:
			return json->type == jbvString &&
						   integ_format_valid(INTEG_FORMAT_IDN_EMAIL, json->val.string.val, json->val.string.len)
					   ? NULL
					   : "is no email address";
		case CONVERT_CHECK_URL:
			return is_url(json) ? NULL : "is no URL of http or https";
	}
	return NULL;
}

void
convert_check(ConvertEval *eval, const ConvertField *field, ConvertValue *value)
{
	ConvertValue checked = *value;

	/* The first rule that is broken says enough. */
	for (int i = 0; i < field->nchecks && value->state == INTEG_FIELD_VALUE; i++)
	{
		const char *problem = broken(eval, &field->checks[i], &checked);

		if (problem == NULL)
			continue;
		if (field->checks[i].message != NULL)
			convert_fail(eval, value, false, "%s", field->checks[i].message);
		else
			convert_fail(eval, value, false, "%s %s", convert_quote(&checked), problem);
	}
}
