/*
 * What can only be said once the whole schema is compiled.
 */
#include "schema/compile.h"

#include "core/errors.h"
#include "miscadmin.h"

enum
{
	UNSEEN,
	ON_THE_WAY,
	DONE,
	HAS_DEFAULT
};

static void visit(SchemaCompiler *c, SchemaNode *node);

static void
visit_list(SchemaCompiler *c, const SchemaList *list)
{
	for (int i = 0; i < list->count; i++)
		visit(c, list->nodes[i]);
}

static void
fail_cycle(SchemaCompiler *c, const SchemaNode *node)
{
	SchemaPlace *place = schema_reference_place(c, node->source);

	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s is not a JSON Schema that integ can use", c->where),
					errdetail("At \"%s\": its $ref comes back to itself without a step into the document.",
							  place->pointer),
					errhint("A schema may refer to itself only below properties, items and the like.")));
}

/* Follows what applies to the same value; meeting a node that is on the way is a cycle that never ends. */
static void
visit(SchemaCompiler *c, SchemaNode *node)
{
	if (node == NULL || node->visit == DONE)
		return;
	check_stack_depth();
	if (node->visit == ON_THE_WAY)
		fail_cycle(c, node);
	node->visit = ON_THE_WAY;
	visit(c, node->ref);
	visit_list(c, &node->all_of);
	visit_list(c, &node->any_of);
	visit_list(c, &node->one_of);
	visit(c, node->not );
	visit(c, node->condition);
	visit(c, node->then);
	visit(c, node->otherwise);
	if (node->object != NULL)
		for (int i = 0; i < node->object->ndependencies; i++)
			visit(c, node->object->dependencies[i].node);
	node->visit = DONE;
}

void
schema_check_cycles(SchemaCompiler *c)
{
	ListCell *cell;

	foreach (cell, c->nodes)
		visit(c, lfirst(cell));
}

/* Gives a node the default of what it refers to, where it has none of its own. */
static void
inherit_default(SchemaNode *node)
{
	if (node == NULL || node->visit == HAS_DEFAULT)
		return;
	check_stack_depth();
	node->visit = HAS_DEFAULT;
	inherit_default(node->ref);
	if (node->fallback == NULL && node->ref != NULL)
		node->fallback = node->ref->fallback;
	for (int i = 0; i < node->all_of.count; i++)
	{
		inherit_default(node->all_of.nodes[i]);
		if (node->fallback == NULL)
			node->fallback = node->all_of.nodes[i]->fallback;
	}
}

static bool
list_fills(const SchemaList *list)
{
	for (int i = 0; i < list->count; i++)
		if (list->nodes[i]->fills)
			return true;
	return false;
}

/* Whether filling a value of the node may insert something, as far as is known of the nodes below. */
static bool
fills(const SchemaNode *node)
{
	const SchemaObjectRules *object = node->object;

	if ((node->ref != NULL && node->ref->fills) || list_fills(&node->all_of))
		return true;
	if (node->array != NULL && (list_fills(&node->array->prefix) ||
								(node->array->items != NULL && node->array->items->fills)))
		return true;
	if (object == NULL)
		return false;
	if (object->additional != NULL && object->additional->fills)
		return true;
	for (int i = 0; i < object->nproperties; i++)
	{
		const SchemaNode *property = object->properties[i].node;

		if (property != NULL && (property->fills || property->fallback != NULL))
			return true;
	}
	return false;
}

/* Nodes come before those below them, so going backwards one round settles a tree; $refs may need more. */
void
schema_find_defaults(SchemaCompiler *c)
{
	bool changed;
	ListCell *cell;

	foreach (cell, c->nodes)
		inherit_default(lfirst(cell));
	do
	{
		changed = false;
		for (int i = list_length(c->nodes) - 1; i >= 0; i--)
		{
			SchemaNode *node = list_nth(c->nodes, i);

			if (!node->fills && fills(node))
				node->fills = changed = true;
		}
	} while (changed);
}
