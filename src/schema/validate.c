/*
 * Validating a document: a walk over the compiled schema and the jsonb side by side.
 */
#include "schema/validate.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

static const char *const type_names[] = {"null", "a boolean", "an integer", "a number",
										 "a string", "an array", "an object"};

static bool
is_integer(Numeric number)
{
	return DatumGetInt32(DirectFunctionCall1(numeric_min_scale, NumericGetDatum(number))) == 0;
}

bool
schema_has_type(uint8 types, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return (types & SCHEMA_NULL) != 0;
		case jbvBool:
			return (types & SCHEMA_BOOLEAN) != 0;
		case jbvString:
			return (types & SCHEMA_STRING) != 0;
		case jbvNumeric:
			return (types & SCHEMA_NUMBER) != 0 || ((types & SCHEMA_INTEGER) != 0 && is_integer(value->val.numeric));
		default:
			return (types & (integ_json_is_object(value) ? SCHEMA_OBJECT : SCHEMA_ARRAY)) != 0;
	}
}

bool
schema_equal(const JsonbValue *a, const JsonbValue *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type)
	{
		case jbvNull:
			return true;
		case jbvBool:
			return a->val.boolean == b->val.boolean;
		case jbvString:
			return a->val.string.len == b->val.string.len &&
				   memcmp(a->val.string.val, b->val.string.val, a->val.string.len) == 0;
		case jbvNumeric:
			return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(a->val.numeric),
													NumericGetDatum(b->val.numeric)));
		default:
			return compareJsonbContainers(a->val.binary.data, b->val.binary.data) == 0;
	}
}

static bool
type_problem(SchemaWalk *walk, uint8 types, const SchemaStep *at)
{
	StringInfoData names;
	int left = pg_popcount((const char *) &types, 1);

	if (walk->problems == NULL)
		return false;
	initStringInfo(&names);
	for (int i = 0; i < lengthof(type_names); i++)
	{
		if ((types & (1 << i)) == 0)
			continue;
		appendStringInfo(&names, "%s%s", type_names[i], left > 2 ? ", " : left == 2 ? " or "
																					: "");
		left--;
	}
	return schema_problem(walk, at, "must be %s", names.data);
}

/* A value of the schema (never of the document) for a message. */
static void
append_shown(StringInfo out, const JsonbValue *value)
{
	JsonbValue copy = *value;
	char *text = integ_json_print(JsonbValueToJsonb(&copy));
	int len = strlen(text);

	appendBinaryStringInfo(out, text, len <= SCHEMA_MAX_SHOWN ? len : pg_mbcliplen(text, len, SCHEMA_MAX_SHOWN));
	if (len > SCHEMA_MAX_SHOWN)
		appendStringInfoString(out, "…");
}

static bool
enum_problem(SchemaWalk *walk, const JsonbValue *values, int count, const SchemaStep *at)
{
	StringInfoData list;
	int i;

	if (walk->problems == NULL)
		return false;
	initStringInfo(&list);
	for (i = 0; i < count && list.len < 2 * SCHEMA_MAX_SHOWN; i++)
	{
		appendStringInfoString(&list, i > 0 ? ", " : "");
		append_shown(&list, &values[i]);
	}
	if (i < count)
		appendStringInfo(&list, " and %d more", count - i);
	if (count == 1)
		return schema_problem(walk, at, "must be %s", list.data);
	return schema_problem(walk, at, "must be one of %s", count == 0 ? "no values" : list.data);
}

static bool
check_enum(SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value, const SchemaStep *at)
{
	for (int i = 0; i < node->nenum; i++)
		if (schema_equal(&node->enumeration[i], value))
			return true;
	return enum_problem(walk, node->enumeration, node->nenum, at);
}

/* What depends on the type of the value. */
static bool
check_kind(SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value, const SchemaStep *at, SchemaMarks *marks)
{
	bool ok = true;

	switch (value->type)
	{
		case jbvNumeric:
			return node->number == NULL || schema_validate_number(walk, node->number, value->val.numeric, at);
		case jbvString:
			return node->string == NULL || schema_validate_string(walk, node->string, value, at);
		case jbvBinary:
			break;
		default:
			return true;
	}
	if (++walk->depth > SCHEMA_MAX_DEPTH)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("a document is nested more than %d levels deep", SCHEMA_MAX_DEPTH),
						errhint("Flatten it.")));
	if (JsonContainerIsObject(value->val.binary.data))
		ok = node->object == NULL || schema_validate_object(walk, node->object, value, at, marks);
	else
		ok = node->array == NULL || schema_validate_array(walk, node->array, value->val.binary.data, at, marks);
	walk->depth--;
	return ok;
}

/* Applies unevaluatedProperties or unevaluatedItems to the members that have no mark. */
static bool
check_unevaluated(SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value, const SchemaStep *at,
				  SchemaMarks *marks)
{
	IntegJsonWalk members;
	JsonbValue key = {.type = jbvNull}, member;
	bool ok = true;

	integ_json_walk_begin(&members, value->val.binary.data);
	while (members.object ? integ_json_walk_pair(&members, &key, &member) : integ_json_walk_element(&members, &member))
	{
		uint32 index = members.next - 1;
		SchemaStep step = {at, NULL, 0, index};

		if (schema_is_marked(marks, index))
			continue;
		if (members.object)
		{
			step.key = key.val.string.val;
			step.len = key.val.string.len;
		}
		schema_mark(marks, index);
		if (node->never ? schema_problem(walk, &step, "is not allowed: the schema does not know it")
						: schema_validate_node(walk, node, &member, &step, NULL))
			continue;
		ok = false;
		if (schema_enough(walk))
			break;
	}
	return ok;
}

/* The rules of the node and what it applies to the same value. */
static bool
check_rules(SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value, const SchemaStep *at, SchemaMarks *marks)
{
	bool ok = check_kind(walk, node, value, at, marks);

	if (!ok && schema_enough(walk))
		return false;
	return schema_validate_in_place(walk, node, value, at, marks) && ok;
}

/* As check_rules for a node with an unevaluated… keyword: it sees marks made below it, not those around it. */
static bool
check_with_marks(SchemaWalk *walk, const SchemaNode *node, const SchemaNode *unevaluated, const JsonbValue *value,
				 const SchemaStep *at, SchemaMarks *outer)
{
	SchemaMarks marks;
	bool ok;

	schema_marks_begin(&marks, JsonContainerSize(value->val.binary.data));
	ok = check_rules(walk, node, value, at, &marks);
	if (ok || !schema_enough(walk))
		ok = check_unevaluated(walk, unevaluated, value, at, &marks) && ok;
	if (ok && outer != NULL)
		schema_marks_merge(outer, &marks);
	schema_marks_end(&marks);
	return ok;
}

/* Schemas that refer to each other twice on every level would be applied 2^levels times. */
static void
count_step(SchemaWalk *walk)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (--*walk->steps < 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a schema takes too long on a document"),
						errdetail("Its parts apply each other too many times."),
						errhint("Refer to a schema once where allOf, anyOf or oneOf refer to it repeatedly.")));
}

bool
schema_validate_node(SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value, const SchemaStep *at,
					 SchemaMarks *marks)
{
	const SchemaNode *unevaluated = NULL;
	bool ok = true;

	if (node->anything || (node->nullable && value->type == jbvNull))
		return true;
	if (node->never)
		return schema_problem(walk, at, "is not allowed");
	if (node->types != 0 && !schema_has_type(node->types, value))
		return type_problem(walk, node->types, at);
	if (node->constant != NULL && !schema_equal(node->constant, value))
		ok = enum_problem(walk, node->constant, 1, at);
	if (node->nenum >= 0 && !check_enum(walk, node, value, at))
		ok = false;
	if (!ok && schema_enough(walk))
		return false;
	count_step(walk);
	if (value->type == jbvBinary)
		unevaluated = integ_json_is_object(value) ? node->unevaluated_properties : node->unevaluated_items;
	if (unevaluated != NULL)
		return check_with_marks(walk, node, unevaluated, value, at, marks) && ok;
	return check_rules(walk, node, value, at, marks) && ok;
}

bool
schema_accepts(const SchemaWalk *walk, const SchemaNode *node, const JsonbValue *value)
{
	SchemaWalk quiet = {NULL, walk->depth, walk->steps};

	return schema_validate_node(&quiet, node, value, NULL, NULL);
}

bool
integ_schema_validate(const IntegSchema *schema, const Jsonb *document, IntegSchemaProblems *problems)
{
	int64 steps = schema_steps(document);
	SchemaWalk walk = {problems, 0, &steps};
	JsonbValue root;

	if (problems != NULL)
		problems->count = 0;
	integ_json_root(document, &root);
	return schema_validate_node(&walk, schema->root, &root, NULL, NULL);
}

void
integ_schema_require(const IntegSchema *schema, const Jsonb *document, const char *what)
{
	IntegSchemaProblems problems;
	StringInfoData detail;

	if (integ_schema_validate(schema, document, NULL))
		return;
	(void) integ_schema_validate(schema, document, &problems);
	initStringInfo(&detail);
	for (int i = 0; i < problems.count; i++)
	{
		appendStringInfoString(&detail, i > 0 ? "\n" : "");
		if (problems.items[i].path[0] == '\0')
			appendStringInfo(&detail, "It %s.", problems.items[i].message);
		else
			appendStringInfo(&detail, "\"%s\" %s.", problems.items[i].path, problems.items[i].message);
	}
	if (problems.count == INTEG_SCHEMA_MAX_PROBLEMS)
		appendStringInfoString(&detail, "\nThere may be more.");
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s does not match its schema", what),
					errdetail("%s", detail.data), errhint("The schema is: %s.", schema->where)));
}
