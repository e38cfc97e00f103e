/*
 * Filling a document with the defaults of its schema.
 */
#include "core/errors.h"
#include "core/json_walk.h"
#include "miscadmin.h"
#include "schema/node.h"

static bool fill_value(const SchemaNode *node, JsonbValue *value, int depth);

const JsonbValue *
schema_default_of(const SchemaNode *node)
{
	const JsonbValue *found = node->fallback;

	if (found == NULL && node->ref != NULL)
		found = schema_default_of(node->ref);
	for (int i = 0; i < node->all_of.count && found == NULL; i++)
		found = schema_default_of(node->all_of.nodes[i]);
	return found;
}

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
default_value(const SchemaProperty *property, JsonbValue *value, int depth)
{
	const JsonbValue *fallback = property->node == NULL ? NULL : schema_default_of(property->node);

	if (fallback == NULL)
		return false;
	if (depth >= SCHEMA_MAX_DEFAULT_DEPTH)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the defaults of a schema insert each other without an end"),
						errdetail("Property \"%.*s\" is nested in defaults %d levels deep.", property->len,
								  property->name, SCHEMA_MAX_DEFAULT_DEPTH),
						errhint("Remove the default of the property that contains itself.")));
	*value = *fallback;
	(void) fill_value(property->node, value, depth + 1);
	return true;
}

/* Pushes the defaults of properties that come before a key (NULL: all that are left) and are absent. */
static bool
push_missing(JsonbParseState **state, const SchemaProperty **property, const SchemaProperty *end, const JsonbValue *key,
			 int depth)
{
	bool changed = false;

	for (; *property < end; (*property)++)
	{
		JsonbValue name, value;

		if (key != NULL && integ_json_key_compare((*property)->name, (*property)->len, key->val.string.val,
												  key->val.string.len) >= 0)
			break;
		if (!default_value(*property, &value, depth))
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
fill_object(const SchemaObjectRules *rules, JsonbValue *object, int depth)
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

		if (push_missing(&state, &property, end, &key, depth))
			changed = true;
		if (property < end && integ_json_key_compare(property->name, property->len, key.val.string.val,
													 key.val.string.len) == 0)
			node = (property++)->node;
		if (node != NULL && fill_value(node, &value, depth))
			changed = true;
		push(&state, WJB_KEY, &key);
		push(&state, WJB_VALUE, &value);
	}
	if (push_missing(&state, &property, end, NULL, depth))
		changed = true;
	if (changed)
		finish(push(&state, WJB_END_OBJECT, NULL), object);
	return changed;
}

static bool
fill_array(const SchemaArrayRules *rules, JsonbValue *array, int depth)
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

		if (node != NULL && fill_value(node, &element, depth))
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

		if (property->node == NULL || (!property->node->fills && schema_default_of(property->node) == NULL))
			continue;
		present = getKeyJsonValueFromContainer((JsonbContainer *) container, property->name, property->len,
											   &ignored) != NULL;
		if (present ? property->node->fills : schema_default_of(property->node) != NULL)
			return true;
	}
	return false;
}

/* Fills a value by a node and what applies beside it; true where the value was replaced. */
static bool
fill_value(const SchemaNode *node, JsonbValue *value, int depth)
{
	bool changed = false;

	if (!node->fills || value->type != jbvBinary)
		return false;
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (node->ref != NULL && fill_value(node->ref, value, depth))
		changed = true;
	for (int i = 0; i < node->all_of.count; i++)
		if (fill_value(node->all_of.nodes[i], value, depth))
			changed = true;
	if (!may_change(node, value))
		return changed;
	if (integ_json_is_array(value))
		return fill_array(node->array, value, depth) || changed;
	return fill_object(node->object, value, depth) || changed;
}

const Jsonb *
integ_schema_fill(const IntegSchema *schema, const Jsonb *document)
{
	JsonbValue root;

	if (!schema->root->fills || JB_ROOT_IS_SCALAR(document))
		return document;
	integ_json_root(document, &root);
	return fill_value(schema->root, &root, 0) ? JsonbValueToJsonb(&root) : document;
}
