/*
 * Conditions: numbers, dates and texts compare as what they are.
 */
#include "convert/plan.h"
#include "convert/scan.h"
#include "core/json_walk.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* A text that is a date or a time in ISO 8601, as an instant; a time without a zone is UTC's. */
static bool
iso_instant(const JsonbValue *json, TimestampTz *instant)
{
	IntegIsoTime time;
	ConvertValue value;

	if (json->type != jbvString || !integ_scan_iso_time(json->val.string.val, json->val.string.len, &time))
		return false;
	return convert_time_of(json->val.string.val, json->val.string.len, NULL, &value) &&
		   convert_instant(&value, instant);
}

void
convert_operand(ConvertOperand *operand)
{
	const JsonbValue *json = &operand->value.json;

	/* Lists of the task's config nest as deep as they like. */
	check_stack_depth();
	if (operand->value.state != INTEG_FIELD_VALUE)
		return;
	operand->is_time = iso_instant(json, &operand->time);
	if (json->type == jbvNumeric)
		operand->number = json->val.numeric;
	else if (json->type == jbvString && integ_scan_json_number(json->val.string.val, json->val.string.len))
		operand->number = convert_number_of(json->val.string.val, json->val.string.len);
	if (integ_json_is_array(json))
	{
		IntegJsonWalk walk;
		JsonbValue element;

		integ_json_walk_begin(&walk, json->val.binary.data);
		operand->elements = palloc0(Max(walk.count, 1) * sizeof(ConvertOperand));
		while (integ_json_walk_element(&walk, &element))
		{
			ConvertOperand *item = &operand->elements[operand->nelements++];

			item->value.json = element;
			item->value.state = element.type == jbvNull ? INTEG_FIELD_NULL : INTEG_FIELD_VALUE;
			convert_operand(item);
		}
	}
}

static int
compare_numbers(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

/* Code points, which in UTF-8 is the order of the bytes. */
static int
compare_texts(const JsonbValue *a, const JsonbValue *b)
{
	int order = memcmp(a->val.string.val, b->val.string.val, Min(a->val.string.len, b->val.string.len));

	return order != 0 ? order : a->val.string.len - b->val.string.len;
}

bool
convert_order(const ConvertValue *value, const ConvertOperand *operand, int *order)
{
	const JsonbValue *json = &value->json;
	TimestampTz instant;

	if (value->state != INTEG_FIELD_VALUE || operand->value.state != INTEG_FIELD_VALUE)
		return false;
	if (operand->is_time && (convert_instant(value, &instant) || iso_instant(json, &instant)))
	{
		*order = (instant > operand->time) - (instant < operand->time);
		return true;
	}
	if (json->type == jbvNumeric && operand->number != NULL)
	{
		*order = compare_numbers(json->val.numeric, operand->number);
		return true;
	}
	if (json->type != jbvString)
		return false;
	if (operand->value.json.type == jbvNumeric)
	{
		if (!integ_scan_json_number(json->val.string.val, json->val.string.len))
			return false;
		*order = compare_numbers(convert_number_of(json->val.string.val, json->val.string.len), operand->number);
		return true;
	}
	if (operand->value.json.type != jbvString)
		return false;
	*order = compare_texts(json, &operand->value.json);
	return true;
}

bool
convert_equal(const ConvertValue *value, const ConvertOperand *operand)
{
	const JsonbValue *a = &value->json, *b = &operand->value.json;
	int order;

	if (value->state != INTEG_FIELD_VALUE || operand->value.state != INTEG_FIELD_VALUE)
		return value->state != INTEG_FIELD_VALUE && operand->value.state != INTEG_FIELD_VALUE;
	if (a->type == jbvString && b->type == jbvString && !operand->is_time)
		return a->val.string.len == b->val.string.len &&
			   memcmp(a->val.string.val, b->val.string.val, a->val.string.len) == 0;
	if (a->type == jbvBool || b->type == jbvBool)
		return a->type == b->type && a->val.boolean == b->val.boolean;
	if (a->type == jbvBinary || b->type == jbvBinary)
		return a->type == b->type && compareJsonbContainers(a->val.binary.data, b->val.binary.data) == 0;
	return convert_order(value, operand, &order) && order == 0;
}

/* A text contains a text, a list an element. */
static bool
contains(const ConvertValue *value, const ConvertOperand *operand)
{
	const JsonbValue *json = &value->json, *part = &operand->value.json;

	if (value->state != INTEG_FIELD_VALUE || operand->value.state != INTEG_FIELD_VALUE)
		return false;
	if (integ_json_is_array(json))
	{
		IntegJsonWalk walk;
		ConvertValue element;

		integ_json_walk_begin(&walk, json->val.binary.data);
		while (integ_json_walk_element(&walk, &element.json))
		{
			element.state = element.json.type == jbvNull ? INTEG_FIELD_NULL : INTEG_FIELD_VALUE;
			if (convert_equal(&element, operand))
				return true;
		}
		return false;
	}
	return json->type == jbvString && part->type == jbvString &&
		   (part->val.string.len == 0 ||
			memmem(json->val.string.val, json->val.string.len, part->val.string.val, part->val.string.len) != NULL);
}

static bool
starts_or_ends(const ConvertValue *value, const ConvertOperand *operand, bool ends)
{
	const JsonbValue *part = &operand->value.json;
	const char *from;

	if (!convert_is_text(value) || !convert_is_text(&operand->value) ||
		part->val.string.len > value->json.val.string.len)
		return false;
	from = value->json.val.string.val + (ends ? value->json.val.string.len - part->val.string.len : 0);
	return memcmp(from, part->val.string.val, part->val.string.len) == 0;
}

static bool
is_in(const ConvertValue *value, const ConvertOperand *operand)
{
	for (int i = 0; i < operand->nelements; i++)
		if (convert_equal(value, &operand->elements[i]))
			return true;
	return false;
}

bool
convert_holds(ConvertEval *eval, const ConvertCondition *condition, const ConvertValue *value)
{
	const ConvertOperand *operand = condition->operand < 0 ? NULL : &eval->run->operands[condition->operand];
	int order;

	switch (condition->comparison)
	{
		case CONVERT_EQ:
			return convert_equal(value, operand);
		case CONVERT_NEQ:
			return !convert_equal(value, operand);
		case CONVERT_GT:
			return convert_order(value, operand, &order) && order > 0;
		case CONVERT_GTE:
			return convert_order(value, operand, &order) && order >= 0;
		case CONVERT_LT:
			return convert_order(value, operand, &order) && order < 0;
		case CONVERT_LTE:
			return convert_order(value, operand, &order) && order <= 0;
		case CONVERT_CONTAINS:
			return contains(value, operand);
		case CONVERT_STARTS_WITH:
			return starts_or_ends(value, operand, false);
		case CONVERT_ENDS_WITH:
			return starts_or_ends(value, operand, true);
		case CONVERT_IN:
			return is_in(value, operand);
		case CONVERT_NOT_IN:
			return !is_in(value, operand);
		case CONVERT_EXISTS:
			return value->state == INTEG_FIELD_VALUE;
		case CONVERT_NOT_EXISTS:
			return value->state != INTEG_FIELD_VALUE;
	}
	return false;
}
