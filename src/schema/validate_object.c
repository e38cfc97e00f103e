/*
 * Rules of objects.
 */
#include "core/json_walk.h"
#include "schema/pattern.h"
#include "schema/validate.h"

static bool
missing(SchemaWalk *walk, const char *name, int len, const SchemaStep *at)
{
	return schema_problem(walk, at, "must have the property \"%.*s\"", len, name);
}

static bool
check_size(SchemaWalk *walk, const SchemaObjectRules *rules, int64 count, const SchemaStep *at)
{
	if (count < rules->min_properties)
		return schema_problem(walk, at, "must have at least " INT64_FORMAT " propert%s", rules->min_properties,
							  rules->min_properties == 1 ? "y" : "ies");
	if (rules->max_properties >= 0 && count > rules->max_properties)
		return schema_problem(walk, at, "must have at most " INT64_FORMAT " propert%s", rules->max_properties,
							  rules->max_properties == 1 ? "y" : "ies");
	return true;
}

/* What patterns, additionalProperties and propertyNames say of one property; declared: properties has it. */
static bool
check_undeclared(SchemaWalk *walk, const SchemaObjectRules *rules, const JsonbValue *key, const JsonbValue *value,
				 const SchemaStep *step, bool declared, bool *evaluated)
{
	bool ok = true;

	for (int i = 0; i < rules->npatterns; i++)
	{
		if (!schema_pattern_matches(rules->patterns[i].pattern, key->val.string.val, key->val.string.len))
			continue;
		declared = true;
		if (!schema_validate_node(walk, rules->patterns[i].node, value, step, NULL))
			ok = false;
	}
	*evaluated = declared || rules->additional != NULL;
	if (!declared && rules->additional != NULL)
	{
		if (rules->additional->never)
			ok = schema_problem(walk, step, "is not allowed: the schema does not know it");
		else if (!schema_validate_node(walk, rules->additional, value, step, NULL))
			ok = false;
	}
	if (rules->names != NULL && !schema_accepts(walk, rules->names, key))
		ok = schema_problem(walk, step, "has a name that is not allowed");
	return ok;
}

/* Joins the object's keys with the schema's, both in jsonb's order, in one pass. */
static bool
check_properties(SchemaWalk *walk, const SchemaObjectRules *rules, const JsonbContainer *object, const SchemaStep *at,
				 SchemaMarks *marks)
{
	const SchemaProperty *property = rules->properties, *end = property + rules->nproperties;
	bool more = rules->npatterns > 0 || rules->additional != NULL || rules->names != NULL;
	bool ok = true;
	IntegJsonWalk pairs;
	JsonbValue key, value;

	integ_json_walk_begin(&pairs, object);
	while (integ_json_walk_pair(&pairs, &key, &value))
	{
		SchemaStep step = {at, key.val.string.val, key.val.string.len, 0};
		bool declared = false, evaluated = false;
		int order = 1;

		while (property < end &&
			   (order = integ_json_key_compare(property->name, property->len, step.key, step.len)) < 0)
		{
			if (property->required)
				ok = missing(walk, property->name, property->len, at);
			property++;
		}
		if (property < end && order == 0)
		{
			declared = evaluated = property->node != NULL;
			if (declared && !schema_validate_node(walk, property->node, &value, &step, NULL))
				ok = false;
			property++;
		}
		if (more && !check_undeclared(walk, rules, &key, &value, &step, declared, &evaluated))
			ok = false;
		if (!ok && schema_enough(walk))
			return false;
		if (evaluated)
			schema_mark(marks, pairs.next - 1);
	}
	for (; property < end; property++)
		if (property->required)
			ok = missing(walk, property->name, property->len, at);
	return ok;
}

static bool
has_key(const JsonbContainer *object, const char *name, int len)
{
	JsonbValue ignored;

	return getKeyJsonValueFromContainer((JsonbContainer *) object, name, len, &ignored) != NULL;
}

static bool
check_dependency(SchemaWalk *walk, const SchemaDependency *dependency, const JsonbValue *value, const SchemaStep *at,
				 SchemaMarks *marks)
{
	const JsonbContainer *object = value->val.binary.data;
	bool ok = true;

	if (!has_key(object, dependency->name, dependency->len))
		return true;
	for (int i = 0; i < dependency->nrequired; i++)
	{
		const JsonbValue *name = &dependency->required[i];

		if (!has_key(object, name->val.string.val, name->val.string.len))
			ok = schema_problem(walk, at, "must have the property \"%.*s\" because it has \"%.*s\"",
								name->val.string.len, name->val.string.val, dependency->len, dependency->name);
	}
	if (dependency->node != NULL && !schema_validate_node(walk, dependency->node, value, at, marks))
		ok = false;
	return ok;
}

bool
schema_validate_object(SchemaWalk *walk, const SchemaObjectRules *rules, const JsonbValue *value, const SchemaStep *at,
					   SchemaMarks *marks)
{
	const JsonbContainer *object = value->val.binary.data;
	bool ok = check_size(walk, rules, JsonContainerSize(object), at);

	if (!ok && schema_enough(walk))
		return false;
	if (!check_properties(walk, rules, object, at, marks))
		ok = false;
	for (int i = 0; i < rules->ndependencies && (ok || !schema_enough(walk)); i++)
		if (!check_dependency(walk, &rules->dependencies[i], value, at, marks))
			ok = false;
	return ok;
}
