/*
 * integ_convert_inverse: the push direction of a schema, stated.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/inverse.h"
#include "convert/plan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_convert_inverse);

static void
put(ReturnSetInfo *result, const char *source, const char *target, const char *state, const char *note,
	const Jsonb *mapping)
{
	Datum values[5] = {(Datum) 0};
	bool nulls[5] = {source == NULL, target == NULL, false, note == NULL, mapping == NULL};

	if (source != NULL)
		values[0] = CStringGetTextDatum(source);
	if (target != NULL)
		values[1] = CStringGetTextDatum(target);
	values[2] = CStringGetTextDatum(state);
	if (note != NULL)
		values[3] = CStringGetTextDatum(note);
	if (mapping != NULL)
		values[4] = JsonbPGetDatum(mapping);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_by_hand(ReturnSetInfo *result, const Jsonb *by_hand)
{
	IntegJsonWalk walk;
	JsonbValue element;

	integ_json_walk_begin(&walk, &by_hand->root);
	while (integ_json_walk_element(&walk, &element))
		put(result, NULL, integ_json_get_string(element.val.binary.data, "targetField"), "by_hand", NULL,
			integ_json_value_jsonb(&element));
}

static void
put_relations(ReturnSetInfo *result, const Jsonb *relations)
{
	IntegJsonWalk walk;
	JsonbValue element;

	integ_json_walk_begin(&walk, &relations->root);
	while (integ_json_walk_element(&walk, &element))
	{
		const char *field = integ_json_get_string(element.val.binary.data, "targetField");

		put(result,
			field != NULL ? field : integ_json_get_string(element.val.binary.data, "relationshipType"),
			integ_json_get_string(element.val.binary.data, "sourceField"), "none",
			"a relation: their side is the external id of what it leads to", NULL);
	}
}

/* integ_convert_inverse(schema text) → table (source_field, target_field, state, note, mapping) */
Datum
integ_convert_inverse(PG_FUNCTION_ARGS)
{
	static IntegQuery query = {
		"SELECT field_mappings, inverse_mappings, relationship_mappings FROM integ.conversion_schemas WHERE id = $1", 1, {UUIDOID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "read conversion schemas");
	/* Resolving compiles it, so that what follows finds a schema that is valid. */
	const IntegConversion *conversion =
		integ_conversion_resolve(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), INTEG_PUSH);
	Datum id = UUIDPGetDatum(&conversion->id);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	Jsonb *mappings = NULL, *by_hand = NULL, *relations = NULL;
	ConvertInverse *inverses;
	int count;

	InitMaterializedSRF(fcinfo, 0);
	integ_owner_enter(&scope);
	if (integ_query_latest(&query, &id, NULL) > 0)
	{
		mappings = (Jsonb *) integ_result_varlena(0, 1, context);
		by_hand = (Jsonb *) integ_result_varlena(0, 2, context);
		relations = (Jsonb *) integ_result_varlena(0, 3, context);
	}
	integ_owner_leave(&scope);
	if (mappings == NULL)
		return (Datum) 0;
	inverses = convert_inverses(mappings, by_hand, conversion->target_table != NULL, &count);
	for (int i = 0; i < count; i++)
		if (!inverses[i].by_hand)
			put(result, inverses[i].source, inverses[i].target, inverses[i].mapping == NULL ? "none" : "derived",
				inverses[i].note, inverses[i].mapping);
	put_by_hand(result, by_hand);
	put_relations(result, relations);
	return (Datum) 0;
}
