/*
 * integ.with_fields: a record's data with some target fields set.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_with_fields);

/* Adds the members of an object (NULL: none) to the open one, with the place at the end of the path set. */
static void
add_with(IntegJsonBuilder *builder, const JsonbContainer *object, const ConvertPathStep *steps, int nsteps,
		 const JsonbValue *value)
{
	const char *target = pnstrdup(steps[0].key, steps[0].len);
	const JsonbContainer *inner = NULL;
	JsonbValue key, member;
	IntegJsonWalk walk;

	if (object != NULL)
	{
		integ_json_walk_begin(&walk, object);
		while (integ_json_walk_pair(&walk, &key, &member))
			if (integ_json_key_compare(key.val.string.val, key.val.string.len, steps[0].key, steps[0].len) != 0)
				integ_json_add(builder, pnstrdup(key.val.string.val, key.val.string.len), &member);
			else if (integ_json_is_object(&member))
				inner = member.val.binary.data;
	}
	if (nsteps == 1)
	{
		integ_json_add(builder, target, value);
		return;
	}
	integ_json_open_object(builder, target);
	add_with(builder, inner, steps + 1, nsteps - 1, value);
	integ_json_close(builder);
}

/* The steps of a target field, as a schema means it; what is no path of fields is a field's name. */
static void
read_target(const char *field, ConvertPath *path)
{
	bool named = convert_path_steps(field, strlen(field), path) && path->nsteps > 0;

	for (int i = 0; named && i < path->nsteps; i++)
		named = path->steps[i].key != NULL;
	if (named)
		return;
	path->nsteps = 1;
	path->steps = palloc0(sizeof(ConvertPathStep));
	path->steps[0].key = field;
	path->steps[0].len = strlen(field);
}

/* integ.with_fields(data jsonb, fields text[], field_values jsonb[]) → jsonb */
Datum
integ_with_fields(PG_FUNCTION_ARGS)
{
	Jsonb *data = PG_GETARG_JSONB_P(0);
	Datum *fields, *values;
	bool *field_nulls, *value_nulls;
	int nfields, nvalues;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &fields, &field_nulls, &nfields);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), JSONBOID, -1, false, TYPALIGN_INT, &values, &value_nulls, &nvalues);
	for (int i = 0; i < Min(nfields, nvalues); i++)
	{
		IntegJsonBuilder builder;
		ConvertPath path = {0};
		JsonbValue value = {.type = jbvNull};

		if (field_nulls[i])
			continue;
		read_target(TextDatumGetCString(fields[i]), &path);
		if (!value_nulls[i])
			integ_json_root(DatumGetJsonbP(values[i]), &value);
		integ_json_begin_object(&builder);
		add_with(&builder, JB_ROOT_IS_OBJECT(data) ? &data->root : NULL, path.steps, path.nsteps, &value);
		data = integ_json_end(&builder);
	}
	PG_RETURN_JSONB_P(data);
}
