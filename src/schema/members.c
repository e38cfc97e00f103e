/*
 * The keywords about members that are read together: properties with
 * required, prefixItems with items and additionalItems.
 */
#include "schema/compile.h"

#include "core/json.h"
#include "core/json_walk.h"

static int
compare_properties(const void *a, const void *b)
{
	const SchemaProperty *left = a;
	const SchemaProperty *right = b;

	return integ_json_key_compare(left->name, left->len, right->name, right->len);
}

static void
read_properties(SchemaCompiler *c, SchemaObjectRules *rules, const JsonbValue *properties)
{
	SchemaFrame frame = {c->at, "properties", strlen("properties"), 0};
	IntegJsonWalk walk;
	JsonbValue key, schema;

	c->at = &frame;
	if (!integ_json_is_object(properties))
		schema_compile_fail(c, "must be an object of schemas");
	integ_json_walk_begin(&walk, properties->val.binary.data);
	while (integ_json_walk_pair(&walk, &key, &schema))
	{
		SchemaProperty *property = &rules->properties[rules->nproperties++];

		property->name = key.val.string.val;
		property->len = key.val.string.len;
		property->node = schema_compile_key(c, &schema, key.val.string.val, key.val.string.len);
	}
	c->at = frame.parent;
}

/* The property of a name among the first n, which are sorted. */
static SchemaProperty *
find_property(SchemaObjectRules *rules, int n, const JsonbValue *name)
{
	SchemaProperty wanted = {.name = name->val.string.val, .len = name->val.string.len};

	return n == 0 ? NULL : bsearch(&wanted, rules->properties, n, sizeof(SchemaProperty), compare_properties);
}

static void
read_required(SchemaCompiler *c, SchemaObjectRules *rules, const JsonbValue *required)
{
	SchemaFrame frame = {c->at, "required", strlen("required"), 0};
	int declared = rules->nproperties, n = 0;
	IntegJsonWalk walk;
	JsonbValue name;

	c->at = &frame;
	if (!integ_json_is_array(required))
		schema_compile_fail(c, "must be an array of property names");
	integ_json_walk_begin(&walk, required->val.binary.data);
	while (integ_json_walk_element(&walk, &name))
	{
		SchemaProperty *property;

		if (name.type != jbvString)
			schema_compile_fail(c, "must be an array of property names");
		property = find_property(rules, declared, &name);
		if (property == NULL)
		{
			property = &rules->properties[rules->nproperties++];
			property->name = name.val.string.val;
			property->len = name.val.string.len;
		}
		property->required = true;
	}
	qsort(rules->properties, rules->nproperties, sizeof(SchemaProperty), compare_properties);
	for (int i = 0; i < rules->nproperties; i++)
		if (n == 0 || compare_properties(&rules->properties[n - 1], &rules->properties[i]) != 0)
			rules->properties[n++] = rules->properties[i];
	rules->nproperties = n;
	c->at = frame.parent;
}

void
schema_compile_properties(SchemaCompiler *c, SchemaNode *node)
{
	JsonbValue properties, required;
	bool has_properties = integ_json_get(node->source, "properties", &properties);
	bool has_required = integ_json_get(node->source, "required", &required);
	SchemaObjectRules *rules;
	uint32 room = 1;

	if (!has_properties && !has_required)
		return;
	rules = schema_object_rules(node);
	if (has_properties && integ_json_is_object(&properties))
		room += JsonContainerSize(properties.val.binary.data);
	if (has_required && integ_json_is_array(&required))
		room += JsonContainerSize(required.val.binary.data);
	rules->properties = palloc0(room * sizeof(SchemaProperty));
	if (has_properties)
		read_properties(c, rules, &properties);
	if (has_required)
		read_required(c, rules, &required);
}

void
schema_compile_items(SchemaCompiler *c, SchemaNode *node, SchemaDialect dialect)
{
	JsonbValue items, value;

	if (dialect == SCHEMA_2020_12 && integ_json_get(node->source, "prefixItems", &value))
		schema_compile_list(c, &value, "prefixItems", &schema_array_rules(node)->prefix);
	if (!integ_json_get(node->source, "items", &items))
		return;
	if (!integ_json_is_array(&items))
	{
		schema_array_rules(node)->items = schema_compile_key(c, &items, "items", strlen("items"));
		return;
	}
	/* An array is draft 7's prefixItems; only beside one does additionalItems mean something. */
	schema_compile_list(c, &items, "items", &schema_array_rules(node)->prefix);
	if (integ_json_get(node->source, "additionalItems", &value))
		schema_array_rules(node)->items = schema_compile_key(c, &value, "additionalItems", strlen("additionalItems"));
}
