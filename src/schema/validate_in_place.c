/*
 * The keywords that apply further schemas to the same value.
 */
#include "core/json_walk.h"
#include "miscadmin.h"
#include "schema/validate.h"

/* Tries a schema without recording problems; its marks count only where it accepts. */
static bool
try_schema(const SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value, SchemaMarks *marks)
{
	SchemaWalk quiet = {NULL, walk->depth, walk->steps};
	SchemaMarks own;
	bool accepted;

	if (marks == NULL)
		return schema_validate_node(&quiet, node, value, NULL, NULL);
	schema_marks_begin(&own, marks->count);
	accepted = schema_validate_node(&quiet, node, value, NULL, &own);
	if (accepted)
		schema_marks_merge(marks, &own);
	schema_marks_end(&own);
	return accepted;
}

/* Whether the value's type alone rules a schema out. */
static bool
wrong_type(const SchemaNode *node, const JsonbValue *value)
{
	for (; node != NULL; node = node->ref)
		if (node->never || (node->types != 0 && !schema_has_type(node->types, value)))
			return true;
	return false;
}

/* No alternative accepts the value: says why, where the type leaves only one that can be meant. */
static bool
no_alternative(SchemaWalk *walk, const SchemaList *list, const JsonbValue *value, const SchemaStep *at)
{
	const SchemaNode *meant = NULL;
	int possible = 0;

	if (walk->problems == NULL)
		return false;
	for (int i = 0; i < list->count; i++)
		if (!wrong_type(list->nodes[i], value))
		{
			meant = list->nodes[i];
			possible++;
		}
	if (possible == 1)
		return schema_validate_node(walk, meant, value, at, NULL);
	return schema_problem(walk, at, "must match one of %d alternatives", list->count);
}

static bool
check_any(SchemaWalk *walk, const SchemaList *list, const JsonbValue *value, const SchemaStep *at, SchemaMarks *marks)
{
	bool any = false;

	/* With marks every alternative that accepts has a say. */
	for (int i = 0; i < list->count && (!any || marks != NULL); i++)
		if (try_schema(walk, list->nodes[i], value, marks))
			any = true;
	return any || no_alternative(walk, list, value, at);
}

static bool
check_one(SchemaWalk *walk, const SchemaList *list, const JsonbValue *value, const SchemaStep *at, SchemaMarks *marks)
{
	int accepted = 0;

	for (int i = 0; i < list->count && accepted < 2; i++)
		if (try_schema(walk, list->nodes[i], value, marks))
			accepted++;
	if (accepted == 0)
		return no_alternative(walk, list, value, at);
	return accepted == 1 ||
		   schema_problem(walk, at, "must match exactly one of %d alternatives, and matches several", list->count);
}

static bool
check_condition(SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value, const SchemaStep *at,
				SchemaMarks *marks)
{
	const SchemaNode *branch = try_schema(walk, node->condition, value, marks) ? node->then : node->otherwise;

	return branch == NULL || schema_validate_node(walk, branch, value, at, marks);
}

bool
schema_validate_in_place(SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value, const SchemaStep *at,
						 SchemaMarks *marks)
{
	bool ok = node->ref == NULL || schema_validate_node(walk, node->ref, value, at, marks);

	for (int i = 0; i < node->all_of.count && (ok || !schema_enough(walk)); i++)
		if (!schema_validate_node(walk, node->all_of.nodes[i], value, at, marks))
			ok = false;
	if (!ok && schema_enough(walk))
		return false;
	if (node->any_of.count > 0 && !check_any(walk, &node->any_of, value, at, marks))
		ok = false;
	if (node->one_of.count > 0 && !check_one(walk, &node->one_of, value, at, marks))
		ok = false;
	if (!ok && schema_enough(walk))
		return false;
	if (node->not != NULL && schema_accepts(walk, node->not, value))
		ok = schema_problem(walk, at, "must not match the schema in \"not\"");
	if (node->condition != NULL && !check_condition(walk, node, value, at, marks))
		ok = false;
	return ok;
}
