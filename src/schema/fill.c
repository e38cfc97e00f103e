/*
 * Filling a document with the defaults of its schema.
 */
#include "core/errors.h"
#include "core/json_walk.h"
#include "miscadmin.h"
#include "schema/node.h"

/* One filling: how deep it is within defaults, and how many steps are left. */
typedef struct Fill
{
	int depth;
	int64 steps;
} Fill;

static bool fill_value(Fill *fill, const SchemaNode *node, JsonbValue *value);

/* The builder's values may be documents, which it unpacks. */
static JsonbValue *
push(JsonbParseState **state, JsonbIteratorToken token, const JsonbValue *value)
{
	JsonbValue copy;

	if (value == NULL)
		return pushJsonbValue(state, token, NULL);
	copy = *value;
	return pushJsonbValue(state, token, &copy);
}

static void
finish(JsonbValue *built, JsonbValue *value)
{
	Jsonb *document = JsonbValueToJsonb(built);

	integ_json_root(document, value);
}

/* The value to insert for an absent property; false where it has no default. */
static bool
default_value(Fill *fill, const SchemaProperty *property, JsonbValue *value)
{
	const JsonbValue *fallback = property->node == NULL ? NULL : property->node->fallback;

	if (fallback == NULL)
		return false;
	if (fill->depth >= SCHEMA_MAX_DEFAULT_DEPTH)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the defaults of a schema insert each other without an end"),
						errdetail("Property \"%.*s\" is nested in defaults %d levels deep.", property->len,
								  property->name, SCHEMA_MAX_DEFAULT_DEPTH),
						errhint("Remove the default of the property that contains itself.")));
	*value = *fallback;
	fill->depth++;
	(void) fill_value(fill, property->node, value);
	fill->depth--;
	return true;
}

/* Pushes the defaults of properties that come before a key (NULL: all that are left) and are absent. */
static bool
push_missing(Fill *fill, JsonbParseState **state, const SchemaProperty **property, const SchemaProperty *end,
			 const JsonbValue *key)
{
	bool changed = false;

	for (; *property < end; (*property)++)
	{
		JsonbValue name, value;

		if (key != NULL && integ_json_key_compare((*property)->name, (*property)->len, key->val.string.val,
												  key->val.string.len) >= 0)
			break;
		if (!default_value(fill, *property, &value))
			continue;
		name.type = jbvString;
		name.val.string.val = (char *) (*property)->name;
		name.val.string.len = (*property)->len;
		push(state, WJB_KEY, &name);
		push(state, WJB_VALUE, &value);
		changed = true;
	}
	return changed;
}

static bool
fill_object(Fill *fill, const SchemaObjectRules *rules, JsonbValue *object)
{
	const SchemaProperty *property = rules->properties, *end = property + rules->nproperties;
	JsonbParseState *state = NULL;
	bool changed = false;
	IntegJsonWalk pairs;
	JsonbValue key, value;

	push(&state, WJB_BEGIN_OBJECT, NULL);
	integ_json_walk_begin(&pairs, object->val.binary.data);
	while (integ_json_walk_pair(&pairs, &key, &value))
	{
		const SchemaNode *node = rules->npatterns == 0 ? rules->additional : NULL;

		if (push_missing(fill, &state, &property, end, &key))
			changed = true;
		if (property < end && integ_json_key_compare(property->name, property->len, key.val.string.val,
													 key.val.string.len) == 0)
			node = (property++)->node;
		if (node != NULL && fill_value(fill, node, &value))
			changed = true;
		push(&state, WJB_KEY, &key);
		push(&state, WJB_VALUE, &value);
	}
	if (push_missing(fill, &state, &property, end, NULL))
		changed = true;
	if (changed)
		finish(push(&state, WJB_END_OBJECT, NULL), object);
	return changed;
}

static bool
fill_array(Fill *fill, const SchemaArrayRules *rules, JsonbValue *array)
{
	JsonbParseState *state = NULL;
	bool changed = false;
	IntegJsonWalk elements;
	JsonbValue element;

	push(&state, WJB_BEGIN_ARRAY, NULL);
	integ_json_walk_begin(&elements, array->val.binary.data);
	while (integ_json_walk_element(&elements, &element))
	{
		uint32 index = elements.next - 1;
		const SchemaNode *node = index < rules->prefix.count ? rules->prefix.nodes[index] : rules->items;

		if (node != NULL && fill_value(fill, node, &element))
			changed = true;
		push(&state, WJB_ELEM, &element);
	}
	if (changed)
		finish(push(&state, WJB_END_ARRAY, NULL), array);
	return changed;
}

/* Whether some property that may be filled is absent, at this object; a cheap look before anything is built. */
static bool
may_change(const SchemaNode *node, const JsonbValue *value)
{
	const SchemaObjectRules *rules = node->object;
	const JsonbContainer *container = value->val.binary.data;
	JsonbValue ignored;

	if (JsonContainerIsArray(container))
		return node->array != NULL;
	if (rules == NULL)
		return false;
	if (rules->additional != NULL && rules->additional->fills)
		return true;
	for (int i = 0; i < rules->nproperties; i++)
	{
		const SchemaProperty *property = &rules->properties[i];
		bool present;

		if (property->node == NULL || (!property->node->fills && property->node->fallback == NULL))
			continue;
		present = getKeyJsonValueFromContainer((JsonbContainer *) container, property->name, property->len,
											   &ignored) != NULL;
		if (present ? property->node->fills : property->node->fallback != NULL)
			return true;
	}
	return false;
}

/* Fills a value by a node and what applies beside it; true where the value was replaced. */
static bool
fill_value(Fill *fill, const SchemaNode *node, JsonbValue *value)
{
	bool changed = false;

	if (!node->fills || value->type != jbvBinary)
		return false;
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (--fill->steps < 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a schema takes too long to fill a document"),
						errdetail("Its parts apply each other too many times."),
						errhint("Refer to a schema once where allOf refers to it repeatedly.")));
	if (node->ref != NULL && fill_value(fill, node->ref, value))
		changed = true;
	for (int i = 0; i < node->all_of.count; i++)
		if (fill_value(fill, node->all_of.nodes[i], value))
			changed = true;
	if (!may_change(node, value))
		return changed;
	if (integ_json_is_array(value))
		return fill_array(fill, node->array, value) || changed;
	return fill_object(fill, node->object, value) || changed;
}

const Jsonb *
integ_schema_fill(const IntegSchema *schema, const Jsonb *document)
{
	Fill fill = {0, schema_steps(document)};
	JsonbValue root;

	if (!schema->root->fills || JB_ROOT_IS_SCALAR(document))
		return document;
	integ_json_root(document, &root);
	return fill_value(&fill, schema->root, &root) ? JsonbValueToJsonb(&root) : document;
}
