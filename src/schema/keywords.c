/*
 * The keywords: what each takes, and what it becomes in a node.
 */
#include "schema/compile.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "schema/pattern.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

static JsonbValue *
keep_value(const JsonbValue *value)
{
	JsonbValue *kept = palloc(sizeof(JsonbValue));

	*kept = *value;
	return kept;
}

static Numeric
need_number(SchemaCompiler *c, const JsonbValue *value)
{
	if (value->type != jbvNumeric)
		schema_compile_fail(c, "must be a number");
	return value->val.numeric;
}

/* A count such as maxLength: an integer from 0, where what passes int64 is as good as its end. */
static int64
need_count(SchemaCompiler *c, const JsonbValue *value)
{
	char *text, *end;
	int64 count;

	if (value->type != jbvNumeric)
		schema_compile_fail(c, "must be an integer that is not negative");
	text = numeric_normalize(value->val.numeric);
	errno = 0;
	count = strtoll(text, &end, 10);
	if (*end != '\0' || text[0] == '-')
		schema_compile_fail(c, "must be an integer that is not negative");
	return count;
}

static SchemaNumberRules *
number_rules(SchemaNode *node)
{
	if (node->number == NULL)
		node->number = palloc0(sizeof(SchemaNumberRules));
	return node->number;
}

static SchemaStringRules *
string_rules(SchemaNode *node)
{
	if (node->string == NULL)
	{
		node->string = palloc0(sizeof(SchemaStringRules));
		node->string->max_length = -1;
	}
	return node->string;
}

static uint8
type_of_name(SchemaCompiler *c, const JsonbValue *name)
{
	static const struct
	{
		const char *name;
		uint8 types;
	} types[] = {
		{"null", SCHEMA_NULL},
		{"boolean", SCHEMA_BOOLEAN},
		{"integer", SCHEMA_INTEGER},
		{"number", SCHEMA_NUMBER},
		{"string", SCHEMA_STRING},
		{"array", SCHEMA_ARRAY},
		{"object", SCHEMA_OBJECT},
	};

	if (name->type == jbvString)
		for (int i = 0; i < lengthof(types); i++)
			if (integ_json_key_compare(types[i].name, strlen(types[i].name), name->val.string.val,
									   name->val.string.len) == 0)
				return types[i].types;
	schema_compile_fail(c, "must be null, boolean, integer, number, string, array or object, or an array of these");
}

static void
compile_type(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	IntegJsonWalk walk;
	JsonbValue name;

	if (!integ_json_is_array(value))
	{
		node->types = type_of_name(c, value);
		return;
	}
	integ_json_walk_begin(&walk, value->val.binary.data);
	while (integ_json_walk_element(&walk, &name))
		node->types |= type_of_name(c, &name);
	if (node->types == 0)
		schema_compile_fail(c, "must name at least one type");
}

static void
compile_nullable(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	node->nullable = value->type == jbvBool && value->val.boolean;
}

static void
compile_const(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	node->constant = keep_value(value);
}

static void
compile_enum(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	IntegJsonWalk walk;
	JsonbValue element;

	if (!integ_json_is_array(value))
		schema_compile_fail(c, "must be an array");
	integ_json_walk_begin(&walk, value->val.binary.data);
	node->nenum = 0;
	node->enumeration = palloc(Max(walk.count, 1) * sizeof(JsonbValue));
	while (integ_json_walk_element(&walk, &element))
		node->enumeration[node->nenum++] = element;
}

static void
compile_default(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	node->fallback = keep_value(value);
}

static void
compile_multiple_of(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	Numeric divisor = need_number(c, value);

	if (DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(divisor),
										  NumericGetDatum(int64_to_numeric(0)))) <= 0)
		schema_compile_fail(c, "must be greater than 0");
	number_rules(node)->multiple_of = divisor;
}

static void
compile_minimum(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	number_rules(node)->minimum = need_number(c, value);
}

static void
compile_maximum(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	number_rules(node)->maximum = need_number(c, value);
}

/* A number; or, as in draft 4 and OpenAPI 3.0, a boolean that sharpens the bound beside it. NULL for false. */
static Numeric
exclusive_bound(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value, const char *beside)
{
	JsonbValue bound;

	if (value->type != jbvBool)
		return need_number(c, value);
	if (!value->val.boolean || !integ_json_get(node->source, beside, &bound))
		return NULL;
	return need_number(c, &bound);
}

static void
compile_above(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	number_rules(node)->above = exclusive_bound(c, node, value, "minimum");
}

static void
compile_below(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	number_rules(node)->below = exclusive_bound(c, node, value, "maximum");
}

static void
compile_min_length(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	string_rules(node)->min_length = need_count(c, value);
}

static void
compile_max_length(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	string_rules(node)->max_length = need_count(c, value);
}

static const SchemaPattern *
need_pattern(SchemaCompiler *c, const char *text, int len)
{
	const char *problem;
	const SchemaPattern *pattern = schema_pattern_compile(text, len, &problem);

	if (pattern == NULL)
		schema_compile_fail(c, "the pattern %s", problem);
	return pattern;
}

static void
compile_pattern(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	if (value->type != jbvString)
		schema_compile_fail(c, "must be a string");
	string_rules(node)->pattern = need_pattern(c, value->val.string.val, value->val.string.len);
}

static void
compile_format(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	IntegFormat format;

	if (value->type != jbvString)
		schema_compile_fail(c, "must be a string");
	format = integ_format_find(value->val.string.val, value->val.string.len);
	if (format != INTEG_FORMAT_NONE)
		string_rules(node)->format = format;
}

static void
compile_min_items(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_array_rules(node)->min_items = need_count(c, value);
}

static void
compile_max_items(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_array_rules(node)->max_items = need_count(c, value);
}

static void
compile_unique_items(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	if (value->type != jbvBool)
		schema_compile_fail(c, "must be a boolean");
	schema_array_rules(node)->unique = value->val.boolean;
}

static void
compile_contains(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_array_rules(node)->contains = schema_compile_at(c, value, NULL);
}

static void
compile_min_contains(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_array_rules(node)->min_contains = need_count(c, value);
}

static void
compile_max_contains(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_array_rules(node)->max_contains = need_count(c, value);
}

static void
compile_min_properties(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_object_rules(node)->min_properties = need_count(c, value);
}

static void
compile_max_properties(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_object_rules(node)->max_properties = need_count(c, value);
}

static void
compile_pattern_properties(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	SchemaObjectRules *rules = schema_object_rules(node);
	IntegJsonWalk walk;
	JsonbValue key, schema;

	if (!integ_json_is_object(value))
		schema_compile_fail(c, "must be an object of schemas");
	integ_json_walk_begin(&walk, value->val.binary.data);
	rules->patterns = palloc(Max(walk.count, 1) * sizeof(SchemaPatternProperty));
	while (integ_json_walk_pair(&walk, &key, &schema))
	{
		SchemaPatternProperty *property = &rules->patterns[rules->npatterns++];

		property->pattern = need_pattern(c, key.val.string.val, key.val.string.len);
		property->node = schema_compile_key(c, &schema, key.val.string.val, key.val.string.len);
	}
}

static void
compile_additional_properties(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_object_rules(node)->additional = schema_compile_at(c, value, NULL);
}

static void
compile_property_names(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_object_rules(node)->names = schema_compile_at(c, value, NULL);
}

static void
keep_required(SchemaCompiler *c, SchemaDependency *dependency, const JsonbValue *names)
{
	IntegJsonWalk walk;
	JsonbValue name;

	integ_json_walk_begin(&walk, names->val.binary.data);
	dependency->required = palloc(Max(walk.count, 1) * sizeof(JsonbValue));
	while (integ_json_walk_element(&walk, &name))
	{
		if (name.type != jbvString)
			schema_compile_fail(c, "must hold arrays of property names");
		dependency->required[dependency->nrequired++] = name;
	}
}

/* dependentRequired, dependentSchemas and, holding either, dependencies. */
static void
compile_dependencies(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	SchemaObjectRules *rules = schema_object_rules(node);
	IntegJsonWalk walk;
	JsonbValue key, what;
	Size room;

	if (!integ_json_is_object(value))
		schema_compile_fail(c, "must be an object");
	integ_json_walk_begin(&walk, value->val.binary.data);
	room = (rules->ndependencies + walk.count + 1) * sizeof(SchemaDependency);
	rules->dependencies = rules->dependencies == NULL ? palloc(room) : repalloc(rules->dependencies, room);
	while (integ_json_walk_pair(&walk, &key, &what))
	{
		SchemaDependency *dependency = &rules->dependencies[rules->ndependencies++];

		memset(dependency, 0, sizeof(*dependency));
		dependency->name = key.val.string.val;
		dependency->len = key.val.string.len;
		if (integ_json_is_array(&what))
			keep_required(c, dependency, &what);
		else
			dependency->node = schema_compile_key(c, &what, key.val.string.val, key.val.string.len);
	}
}

static void
compile_all_of(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_compile_list(c, value, NULL, &node->all_of);
}

static void
compile_any_of(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_compile_list(c, value, NULL, &node->any_of);
	if (node->any_of.count == 0)
		schema_compile_fail(c, "must hold at least one schema");
}

static void
compile_one_of(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	schema_compile_list(c, value, NULL, &node->one_of);
	if (node->one_of.count == 0)
		schema_compile_fail(c, "must hold at least one schema");
}

static void
compile_not(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	node->not = schema_compile_at(c, value, NULL);
}

/* then and else mean nothing without an if. */
static void
compile_if(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	node->condition = schema_compile_at(c, value, NULL);
}

static void
compile_then(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	node->then = schema_compile_at(c, value, NULL);
}

static void
compile_else(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	node->otherwise = schema_compile_at(c, value, NULL);
}

static void
compile_unevaluated_items(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	node->unevaluated_items = schema_compile_at(c, value, NULL);
}

static void
compile_unevaluated_properties(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	node->unevaluated_properties = schema_compile_at(c, value, NULL);
}

/* Adds what another kind of reference leads to. allOf was read before: jsonb sorts keys by length. */
static void
add_reference(SchemaNode *node, SchemaNode *target)
{
	Size room = (node->all_of.count + 1) * sizeof(SchemaNode *);

	node->all_of.nodes = node->all_of.nodes == NULL ? palloc(room) : repalloc(node->all_of.nodes, room);
	node->all_of.nodes[node->all_of.count++] = target;
}

static void
compile_dynamic_ref(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	add_reference(node, schema_reference_follow(c, schema_reference_place(c, node->source), value, true));
}

/* Draft 2019-09. Within one resource it can only mean the root, as a $ref does. */
static void
compile_recursive_ref(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	if (list_length(c->resources) > 1)
		schema_compile_fail(c, "a $recursiveRef between schemas with an $id is not supported");
	add_reference(node, schema_reference_follow(c, schema_reference_place(c, node->source), value, false));
}

/* Schemas that only a $ref reaches are compiled too, so that a mistake in them is found now. */
static void
compile_definitions(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value)
{
	IntegJsonWalk walk;
	JsonbValue key, schema;

	if (!integ_json_is_object(value))
		schema_compile_fail(c, "must be an object of schemas");
	integ_json_walk_begin(&walk, value->val.binary.data);
	while (integ_json_walk_pair(&walk, &key, &schema))
		(void) schema_compile_key(c, &schema, key.val.string.val, key.val.string.len);
}

/* Sorted by name. */
static const SchemaKeyword keywords[] = {
	{"$defs", SCHEMA_ANY_DIALECT, SCHEMA_NAMED, compile_definitions},
	{"$dynamicRef", SCHEMA_2020_12, SCHEMA_PLAIN, compile_dynamic_ref},
	{"$recursiveRef", SCHEMA_2020_12, SCHEMA_PLAIN, compile_recursive_ref},
	{"additionalItems", SCHEMA_ANY_DIALECT, SCHEMA_ONE, NULL},
	{"additionalProperties", SCHEMA_ANY_DIALECT, SCHEMA_ONE, compile_additional_properties},
	{"allOf", SCHEMA_ANY_DIALECT, SCHEMA_SOME, compile_all_of},
	{"anyOf", SCHEMA_ANY_DIALECT, SCHEMA_SOME, compile_any_of},
	{"const", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_const},
	{"contains", SCHEMA_ANY_DIALECT, SCHEMA_ONE, compile_contains},
	{"default", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_default},
	{"definitions", SCHEMA_ANY_DIALECT, SCHEMA_NAMED, compile_definitions},
	{"dependencies", SCHEMA_ANY_DIALECT, SCHEMA_NAMED_OR_NOT, compile_dependencies},
	{"dependentRequired", SCHEMA_2020_12, SCHEMA_PLAIN, compile_dependencies},
	{"dependentSchemas", SCHEMA_2020_12, SCHEMA_NAMED, compile_dependencies},
	{"else", SCHEMA_ANY_DIALECT, SCHEMA_ONE, compile_else},
	{"enum", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_enum},
	{"exclusiveMaximum", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_below},
	{"exclusiveMinimum", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_above},
	{"format", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_format},
	{"if", SCHEMA_ANY_DIALECT, SCHEMA_ONE, compile_if},
	{"items", SCHEMA_ANY_DIALECT, SCHEMA_ONE_OR_SOME, NULL},
	{"maxContains", SCHEMA_2020_12, SCHEMA_PLAIN, compile_max_contains},
	{"maxItems", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_max_items},
	{"maxLength", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_max_length},
	{"maxProperties", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_max_properties},
	{"maximum", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_maximum},
	{"minContains", SCHEMA_2020_12, SCHEMA_PLAIN, compile_min_contains},
	{"minItems", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_min_items},
	{"minLength", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_min_length},
	{"minProperties", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_min_properties},
	{"minimum", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_minimum},
	{"multipleOf", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_multiple_of},
	{"not", SCHEMA_ANY_DIALECT, SCHEMA_ONE, compile_not},
	{"nullable", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_nullable},
	{"oneOf", SCHEMA_ANY_DIALECT, SCHEMA_SOME, compile_one_of},
	{"pattern", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_pattern},
	{"patternProperties", SCHEMA_ANY_DIALECT, SCHEMA_NAMED, compile_pattern_properties},
	{"prefixItems", SCHEMA_2020_12, SCHEMA_SOME, NULL},
	{"properties", SCHEMA_ANY_DIALECT, SCHEMA_NAMED, NULL},
	{"propertyNames", SCHEMA_ANY_DIALECT, SCHEMA_ONE, compile_property_names},
	{"required", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, NULL},
	{"then", SCHEMA_ANY_DIALECT, SCHEMA_ONE, compile_then},
	{"type", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_type},
	{"unevaluatedItems", SCHEMA_2020_12, SCHEMA_ONE, compile_unevaluated_items},
	{"unevaluatedProperties", SCHEMA_2020_12, SCHEMA_ONE, compile_unevaluated_properties},
	{"uniqueItems", SCHEMA_ANY_DIALECT, SCHEMA_PLAIN, compile_unique_items},
};

const SchemaKeyword *
schema_keyword_find(const char *name, int len, SchemaDialect dialect)
{
	int low = 0, high = lengthof(keywords);

	while (low < high)
	{
		int middle = (low + high) / 2;
		int order = strncmp(name, keywords[middle].name, len);

		if (order == 0 && keywords[middle].name[len] != '\0')
			order = -1;
		if (order == 0)
			return (keywords[middle].dialects & dialect) != 0 ? &keywords[middle] : NULL;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}
