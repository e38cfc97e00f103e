/*
 * The other direction: what pushes our record back to theirs.
 *
 * Derived where a mapping can be turned around without guessing, and stated
 * where not; what is given by hand takes the place of what is derived for the
 * same field.
 */
#include "convert/inverse.h"

#include "convert/plan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "utils/builtins.h"

/* Appends one inverted transformation; false where it has no inverse. */
typedef bool (*InvertStep)(IntegJsonBuilder *builder, const JsonbContainer *config);

static void
open_step(IntegJsonBuilder *builder, const char *type)
{
	integ_json_open_object(builder, NULL);
	integ_json_add_string(builder, "type", type);
	integ_json_open_object(builder, "config");
}

static void
close_step(IntegJsonBuilder *builder)
{
	integ_json_close(builder);
	integ_json_close(builder);
}

static void
copy_key(IntegJsonBuilder *builder, const JsonbContainer *config, const char *from, const char *to)
{
	JsonbValue value;

	if (integ_json_get(config, from, &value))
		integ_json_add(builder, to, &value);
}

/* A step that keeps what the config holds, under another name of step and key. */
static bool
turn(IntegJsonBuilder *builder, const JsonbContainer *config, const char *type, const char *from, const char *to)
{
	open_step(builder, type);
	copy_key(builder, config, from, to);
	if (strcmp(from, "prefix") == 0)
		copy_key(builder, config, "suffix", "suffix");
	copy_key(builder, config, "timezone", "timezone");
	close_step(builder);
	return true;
}

static bool
is_zero(const JsonbContainer *config, const char *key)
{
	JsonbValue value;
	Numeric number = NULL;

	if (integ_json_get(config, key, &value))
		number = value.type == jbvNumeric  ? value.val.numeric
				 : value.type == jbvString ? convert_number_of(value.val.string.val, value.val.string.len)
										   : NULL;
	return number == NULL ||
		   DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(number), NumericGetDatum(int64_to_numeric(0))));
}

static bool
invert_step(IntegJsonBuilder *builder, const char *type, const JsonbContainer *config)
{
	if (strcmp(type, "multiply") == 0)
		return !is_zero(config, "factor") && turn(builder, config, "divide", "factor", "divisor");
	if (strcmp(type, "divide") == 0)
		return turn(builder, config, "multiply", "divisor", "factor");
	if (strcmp(type, "concat") == 0)
		return turn(builder, config, "unconcat", "prefix", "prefix");
	if (strcmp(type, "parse_date") == 0)
		return turn(builder, config, "format_date", "format", "format");
	if (strcmp(type, "format_date") == 0)
		return turn(builder, config, "parse_date", "format", "format");
	if (strcmp(type, "add_days") == 0)
	{
		open_step(builder, "add_days");
		integ_json_add_int(builder, "days", -integ_json_get_int(config, "days", 0));
		copy_key(builder, config, "timezone", "timezone");
		close_step(builder);
		return true;
	}
	/* ISO 8601 is what services read. */
	return strcmp(type, "to_date") == 0 || strcmp(type, "to_iso_string") == 0;
}

/* A path that can be written to: keys only. Without the dot that may stand before it; NULL where it is none. */
static char *
writable(const char *source)
{
	ConvertPath path;

	if (source[0] == '.')
		source++;
	if (source[0] == '$' || !convert_path_steps(source, strlen(source), &path))
		return NULL;
	for (int i = 0; i < path.nsteps; i++)
		if (path.steps[i].key == NULL)
			return NULL;
	return pstrdup(source);
}

/* A column as a path; a target of records is one already. */
static const char *
readable(const char *target, bool columns)
{
	ConvertPath path;
	StringInfoData quoted;
	bool plain = convert_path_steps(target, strlen(target), &path) && path.nsteps == 1 && path.steps[0].key != NULL &&
				 strcmp(path.steps[0].key, target) == 0;

	if (plain || !columns)
		return target;
	initStringInfo(&quoted);
	appendStringInfoChar(&quoted, '"');
	for (const char *c = target; *c != '\0'; c++)
	{
		if (*c == '"' || *c == '\\')
			appendStringInfoChar(&quoted, '\\');
		appendStringInfoChar(&quoted, *c);
	}
	appendStringInfoChar(&quoted, '"');
	return quoted.data;
}

static void
begin_mapping(IntegJsonBuilder *builder, const ConvertInverse *inverse, const char *type, const char *source)
{
	integ_json_begin_object(builder);
	integ_json_add_string(builder, "targetField", inverse->target);
	integ_json_add_string(builder, "mappingType", type);
	integ_json_open_object(builder, "config");
	integ_json_add_known(builder, "sourceField", source);
}

static void
end_mapping(IntegJsonBuilder *builder, ConvertInverse *inverse)
{
	integ_json_close(builder);
	inverse->mapping = integ_json_end(builder);
}

static void
invert_transform(ConvertInverse *inverse, const JsonbContainer *config, const char *ours)
{
	const JsonbContainer *steps = integ_json_get_array(config, "transformations");
	IntegJsonBuilder builder;

	begin_mapping(&builder, inverse, "transform", ours);
	integ_json_open_array(&builder, "transformations");
	for (int i = JsonContainerSize(steps) - 1; i >= 0; i--)
	{
		JsonbValue step;
		const char *type;

		integ_json_walk_at(steps, i, &step);
		type = integ_json_get_string(step.val.binary.data, "type");
		if (!invert_step(&builder, type, integ_json_get_object(step.val.binary.data, "config")))
		{
			inverse->note = psprintf("%s cannot be undone", type);
			return;
		}
	}
	integ_json_close(&builder);
	end_mapping(&builder, inverse);
}

/* Their value of a condition that is one: of eq, or the first of in. */
static bool
condition_value(const JsonbContainer *condition, JsonbValue *value, bool *several)
{
	const char *comparison = integ_json_get_string(condition, "operator");

	if (!integ_json_get(condition, "value", value))
		return false;
	if (strcmp(comparison, "eq") == 0)
		return true;
	if (strcmp(comparison, "in") != 0 || !integ_json_is_array(value) || JsonContainerSize(value->val.binary.data) == 0)
		return false;
	*several = *several || JsonContainerSize(value->val.binary.data) > 1;
	integ_json_walk_at(value->val.binary.data, 0, value);
	return true;
}

static bool
is_among(const JsonbValue *values, int count, const JsonbValue *value)
{
	for (int i = 0; i < count; i++)
	{
		ConvertOperand operand = {.value = {INTEG_FIELD_VALUE, values[i]}};
		ConvertValue other = {INTEG_FIELD_VALUE, *value};

		convert_operand(&operand);
		if (convert_equal(&other, &operand))
			return true;
	}
	return false;
}

static void
add_rule(IntegJsonBuilder *builder, const char *ours, const JsonbValue *our_value, const JsonbValue *their_value)
{
	integ_json_open_object(builder, NULL);
	integ_json_open_object(builder, "condition");
	integ_json_add_string(builder, "field", ours);
	integ_json_add_string(builder, "operator", "eq");
	integ_json_add(builder, "value", our_value);
	integ_json_close(builder);
	integ_json_open_object(builder, "then");
	integ_json_add_string(builder, "type", "value");
	integ_json_add(builder, "value", their_value);
	integ_json_close(builder);
	integ_json_close(builder);
}

/* The one field that all conditions read, or NULL. */
static const char *
condition_field(const JsonbContainer *rules)
{
	const char *field = NULL;
	IntegJsonWalk walk;
	JsonbValue rule;

	integ_json_walk_begin(&walk, rules);
	while (integ_json_walk_element(&walk, &rule))
	{
		const char *read = integ_json_get_string(integ_json_get_object(rule.val.binary.data, "condition"), "field");

		if (field != NULL && strcmp(field, read) != 0)
			return NULL;
		field = read;
	}
	return field;
}

static void
invert_conditional(ConvertInverse *inverse, const JsonbContainer *config, const char *ours)
{
	const JsonbContainer *rules = integ_json_get_array(config, "conditions");
	const char *field = condition_field(rules);
	JsonbValue *seen = palloc(Max(JsonContainerSize(rules), 1) * sizeof(JsonbValue));
	IntegJsonBuilder builder;
	IntegJsonWalk walk;
	JsonbValue rule, our_value, their_value;
	int nseen = 0;
	bool several = false;

	inverse->note = "its conditions do not tell one field's values apart";
	inverse->target = field == NULL ? NULL : writable(field);
	if (inverse->target == NULL)
		return;
	begin_mapping(&builder, inverse, "conditional", NULL);
	integ_json_open_array(&builder, "conditions");
	integ_json_walk_begin(&walk, rules);
	while (integ_json_walk_element(&walk, &rule))
	{
		const JsonbContainer *then = integ_json_get_object(rule.val.binary.data, "then");

		if (strcmp(integ_json_get_string(then, "type"), "value") != 0 || !integ_json_get(then, "value", &our_value) ||
			!condition_value(integ_json_get_object(rule.val.binary.data, "condition"), &their_value, &several))
			return;
		if (is_among(seen, nseen, &our_value))
		{
			several = true;
			continue;
		}
		seen[nseen++] = our_value;
		add_rule(&builder, ours, &our_value, &their_value);
	}
	integ_json_close(&builder);
	end_mapping(&builder, inverse);
	inverse->note = several ? "where several of their values become one of ours, the first is pushed" : NULL;
}

static void
invert_values(ConvertInverse *inverse, const JsonbContainer *values, const char *ours)
{
	IntegJsonBuilder builder;
	IntegJsonWalk walk;
	JsonbValue theirs, our_value, *seen = palloc(Max(JsonContainerSize(values), 1) * sizeof(JsonbValue));
	int nseen = 0;

	begin_mapping(&builder, inverse, "lookup", ours);
	integ_json_open_object(&builder, "values");
	integ_json_walk_begin(&walk, values);
	while (integ_json_walk_pair(&walk, &theirs, &our_value))
	{
		if (our_value.type == jbvBinary || our_value.type == jbvNull || is_among(seen, nseen, &our_value))
		{
			inverse->note = "several of their values become one of ours, or none";
			return;
		}
		seen[nseen++] = our_value;
		integ_json_add(&builder, integ_json_value_text(&our_value), &theirs);
	}
	integ_json_close(&builder);
	end_mapping(&builder, inverse);
}

static void
invert_lookup(ConvertInverse *inverse, const JsonbContainer *config, const char *ours)
{
	const JsonbContainer *values = integ_json_get_object(config, "values");
	IntegJsonBuilder builder;

	if (values != NULL)
	{
		invert_values(inverse, values, ours);
		return;
	}
	if (integ_json_get_string(config, "valueField") == NULL)
	{
		inverse->note = "the lookup gives the id of a record";
		return;
	}
	begin_mapping(&builder, inverse, "lookup", ours);
	copy_key(&builder, config, "table", "table");
	copy_key(&builder, config, "recordType", "recordType");
	copy_key(&builder, config, "valueField", "keyField");
	copy_key(&builder, config, "keyField", "valueField");
	end_mapping(&builder, inverse);
}

static void
invert_direct(ConvertInverse *inverse, const char *ours)
{
	IntegJsonBuilder builder;

	begin_mapping(&builder, inverse, "direct", ours);
	end_mapping(&builder, inverse);
}

/* Where a mapping reads, as a place to write to; NULL with a note where it is none. */
static void
find_target(ConvertInverse *inverse, const JsonbContainer *config, const char *type)
{
	const char *source = integ_json_get_string(config, "sourceField");
	const char *path = integ_json_get_string(config, "path");

	inverse->target = writable(source);
	if (inverse->target != NULL && strcmp(type, "flatten") == 0)
	{
		const char *below = writable(path);

		inverse->target = below == NULL ? NULL : psprintf("%s.%s", inverse->target, below);
	}
	if (inverse->target == NULL)
		inverse->note = "its source is no place that can be written to";
}

static void
derive(const JsonbContainer *mapping, bool columns, ConvertInverse *inverse)
{
	const JsonbContainer *config = integ_json_get_object(mapping, "config");
	const char *type = integ_json_get_string(mapping, "mappingType");
	const char *ours;

	*inverse = (ConvertInverse){.source = integ_json_get_string(mapping, "targetField")};
	ours = readable(inverse->source, columns);
	if (strcmp(type, "default") == 0)
		inverse->note = "a constant: there is nothing to push";
	else if (strcmp(type, "composite") == 0)
		inverse->note = "made of several fields";
	else if (strcmp(type, "conditional") == 0)
		invert_conditional(inverse, config, ours);
	else
	{
		find_target(inverse, config, type);
		if (inverse->target == NULL)
			return;
		if (strcmp(type, "transform") == 0)
			invert_transform(inverse, config, ours);
		else if (strcmp(type, "lookup") == 0)
			invert_lookup(inverse, config, ours);
		else
			invert_direct(inverse, ours);
	}
}

/* Whether one of two paths leads to the other's place or into it. */
static bool
overlap(const char *a, const char *b)
{
	size_t len = Min(strlen(a), strlen(b));

	return strncmp(a, b, len) == 0 && (a[len] == '\0' || a[len] == '.') && (b[len] == '\0' || b[len] == '.');
}

/* The target of each mapping by hand; those that are none are left to the compilation to refuse. */
static const char *
by_hand_target(const JsonbValue *element)
{
	const char *target =
		integ_json_is_object(element) ? integ_json_get_string(element->val.binary.data, "targetField") : NULL;

	return target == NULL ? "" : target;
}

static bool
is_by_hand(const Jsonb *by_hand, const char *target)
{
	IntegJsonWalk walk;
	JsonbValue element;

	if (by_hand == NULL || !JB_ROOT_IS_ARRAY(by_hand) || target == NULL)
		return false;
	integ_json_walk_begin(&walk, &by_hand->root);
	while (integ_json_walk_element(&walk, &element))
		if (overlap(by_hand_target(&element), target))
			return true;
	return false;
}

ConvertInverse *
convert_inverses(const Jsonb *mappings, const Jsonb *by_hand, bool columns, int *count)
{
	ConvertInverse *inverses;
	IntegJsonWalk walk;
	JsonbValue mapping;

	integ_json_walk_begin(&walk, &mappings->root);
	inverses = palloc0(Max(walk.count, 1) * sizeof(ConvertInverse));
	for (*count = 0; integ_json_walk_element(&walk, &mapping); (*count)++)
	{
		ConvertInverse *inverse = &inverses[*count];

		derive(mapping.val.binary.data, columns, inverse);
		inverse->by_hand = is_by_hand(by_hand, inverse->target);
		for (int i = 0; i < *count && inverse->mapping != NULL; i++)
			if (inverses[i].mapping != NULL && overlap(inverses[i].target, inverse->target))
			{
				inverse->mapping = NULL;
				inverse->note = psprintf("\"%s\" writes \"%s\" already", inverses[i].source, inverses[i].target);
			}
	}
	return inverses;
}

Jsonb *
convert_inverse(const Jsonb *mappings, const Jsonb *by_hand, bool columns)
{
	int count;
	ConvertInverse *inverses = convert_inverses(mappings, by_hand, columns, &count);
	JsonbParseState *state = NULL;
	JsonbValue value;

	/* What is no list is left to the compilation to refuse. */
	if (by_hand != NULL && !JB_ROOT_IS_ARRAY(by_hand))
		return (Jsonb *) by_hand;
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < count; i++)
	{
		if (inverses[i].mapping == NULL || inverses[i].by_hand)
			continue;
		integ_json_root(inverses[i].mapping, &value);
		pushJsonbValue(&state, WJB_ELEM, &value);
	}
	if (by_hand != NULL)
	{
		IntegJsonWalk walk;

		integ_json_walk_begin(&walk, &by_hand->root);
		while (integ_json_walk_element(&walk, &value))
			pushJsonbValue(&state, WJB_ELEM, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}
