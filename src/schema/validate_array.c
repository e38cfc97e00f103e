/*
 * Rules of arrays.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "core/json_walk.h"
#include "miscadmin.h"
#include "schema/validate.h"

/* Up to this many elements are compared with each other. */
#define COMPARE_ALL 16

typedef struct HashedElement
{
	uint64 hash;
	JsonbValue value;
} HashedElement;

/* A hash that is equal for equal values, whatever their digits and spacing. */
static uint64
hash_value(const JsonbValue *value)
{
	uint64 hash = 0;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue part;

	if (value->type != jbvBinary)
	{
		JsonbHashScalarValueExtended(value, &hash, 0);
		return hash;
	}
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
	{
		hash = hash_combine64(hash, token);
		if (token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM)
			JsonbHashScalarValueExtended(&part, &hash, hash);
	}
	return hash;
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64 left = ((const HashedElement *) a)->hash;
	uint64 right = ((const HashedElement *) b)->hash;

	return left < right ? -1 : left > right ? 1
											: 0;
}

bool
schema_elements_differ(const JsonbContainer *array)
{
	uint32 count = JsonContainerSize(array);
	bool hashed = count > COMPARE_ALL;
	HashedElement few[COMPARE_ALL];
	HashedElement *elements = few;
	IntegJsonWalk walk;
	bool differ = true;

	if (hashed)
		elements = MemoryContextAllocHuge(CurrentMemoryContext, count * sizeof(HashedElement));
	integ_json_walk_begin(&walk, array);
	for (uint32 i = 0; i < count; i++)
	{
		(void) integ_json_walk_element(&walk, &elements[i].value);
		elements[i].hash = hashed ? hash_value(&elements[i].value) : 0;
	}
	if (hashed)
		qsort(elements, count, sizeof(HashedElement), compare_hashes);
	for (uint32 i = 0; i < count && differ; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (uint32 j = i + 1; j < count && elements[j].hash == elements[i].hash && differ; j++)
			differ = !schema_equal(&elements[i].value, &elements[j].value);
	}
	if (hashed)
		pfree(elements);
	return differ;
}

static bool
check_contains(SchemaWalk *walk, const SchemaArrayRules *rules, const JsonbContainer *array, const SchemaStep *at,
			   SchemaMarks *marks)
{
	IntegJsonWalk elements;
	JsonbValue element;
	int64 found = 0;

	integ_json_walk_begin(&elements, array);
	while (integ_json_walk_element(&elements, &element))
	{
		if (!schema_accepts(walk, rules->contains, &element))
			continue;
		schema_mark(marks, elements.next - 1);
		found++;
	}
	if (found < rules->min_contains)
		return schema_problem(walk, at, "must contain at least " INT64_FORMAT " element%s of the schema in \"contains\"",
							  rules->min_contains, rules->min_contains == 1 ? "" : "s");
	if (rules->max_contains >= 0 && found > rules->max_contains)
		return schema_problem(walk, at, "must contain at most " INT64_FORMAT " element%s of the schema in \"contains\"",
							  rules->max_contains, rules->max_contains == 1 ? "" : "s");
	return true;
}

static bool
check_elements(SchemaWalk *walk, const SchemaArrayRules *rules, const JsonbContainer *array, const SchemaStep *at,
			   SchemaMarks *marks)
{
	IntegJsonWalk elements;
	JsonbValue element;
	bool ok = true;

	integ_json_walk_begin(&elements, array);
	while (integ_json_walk_element(&elements, &element))
	{
		uint32 index = elements.next - 1;
		SchemaStep step = {at, NULL, 0, index};
		const SchemaNode *node = index < rules->prefix.count ? rules->prefix.nodes[index] : rules->items;

		if (node == NULL)
			break;
		schema_mark(marks, index);
		if (schema_validate_node(walk, node, &element, &step, NULL))
			continue;
		ok = false;
		if (schema_enough(walk))
			break;
	}
	return ok;
}

bool
schema_validate_array(SchemaWalk *walk, const SchemaArrayRules *rules, const JsonbContainer *array,
					  const SchemaStep *at, SchemaMarks *marks)
{
	int64 count = JsonContainerSize(array);
	bool ok = true;

	if (count < rules->min_items)
		ok = schema_problem(walk, at, "must have at least " INT64_FORMAT " element%s", rules->min_items,
							rules->min_items == 1 ? "" : "s");
	if (rules->max_items >= 0 && count > rules->max_items)
		ok = schema_problem(walk, at, "must have at most " INT64_FORMAT " element%s", rules->max_items,
							rules->max_items == 1 ? "" : "s");
	if (!ok && schema_enough(walk))
		return false;
	if ((rules->prefix.count > 0 || rules->items != NULL) && !check_elements(walk, rules, array, at, marks))
		ok = false;
	if (!ok && schema_enough(walk))
		return false;
	if (rules->contains != NULL && !check_contains(walk, rules, array, at, marks))
		ok = false;
	if (rules->unique && !schema_elements_differ(array))
		ok = schema_problem(walk, at, "must not hold equal elements");
	return ok;
}
