/*
 * integ_methods: what an instance, or a definition, can be asked to do.
 */
#include "instances/instance.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "fmgr.h"
#include "funcapi.h"
#include "instances/lookup.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_methods);

#define COLUMNS 9

static Datum
scopes(const JsonbContainer *list)
{
	int count = list == NULL ? 0 : (int) JsonContainerSize(list);
	Datum *items = palloc(sizeof(Datum) * (count + 1));

	for (int i = 0; i < count; i++)
		items[i] = CStringGetTextDatum(integ_scope_text(getIthJsonbValueFromContainer((JsonbContainer *) list, i)));
	return PointerGetDatum(construct_array(items, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
document(const JsonbContainer *object, const char *key, bool *isnull)
{
	JsonbValue value;

	*isnull = !integ_json_get(object, key, &value);
	return *isnull ? (Datum) 0 : JsonbPGetDatum(integ_json_value_jsonb(&value));
}

static void
put_method(ReturnSetInfo *result, const IntegMethod *method)
{
	Datum values[COLUMNS];
	bool nulls[COLUMNS] = {0};
	char *name = integ_json_get_string(method->manifest, "name");
	char *description = integ_json_get_string(method->manifest, "description");

	values[0] = CStringGetTextDatum(method->id);
	values[1] = CStringGetTextDatum(name == NULL ? method->id : name);
	values[2] = description == NULL ? (Datum) 0 : CStringGetTextDatum(description);
	nulls[2] = description == NULL;
	values[3] = CStringGetTextDatum(method->is_write ? "write" : "read");
	values[4] = BoolGetDatum(method->approval_required);
	values[5] = scopes(integ_json_get_array(method->manifest, "requiredScopes"));
	values[6] = document(method->manifest, "inputSchema", &nulls[6]);
	values[7] = document(method->manifest, "outputSchema", &nulls[7]);
	values[8] = BoolGetDatum(integ_json_get_object(method->manifest, "pagination") != NULL);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
integ_methods(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "read definitions");
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const IntegInstance *instance = integ_instance_lookup(actor, name, INTEG_LOOKUP_HANDLE);
	const IntegDefinition *definition =
		instance == NULL ? integ_definition_get(name, NULL) : integ_instance_definition(instance);
	int own = instance == NULL ? 0 : instance->nmethods;
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	if (instance == NULL && (definition == NULL || !integ_definition_visible(definition, actor)))
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no instance or definition \"%s\"", name),
						errhint("The rows of integ.instances and integ.definitions are those that this role may use.")));
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < own; i++)
		put_method(result, &instance->methods[i]);
	for (int i = 0; i < definition->nmethods; i++)
	{
		bool shadowed = false;

		for (int j = 0; j < own && !shadowed; j++)
			shadowed = strcmp(instance->methods[j].id, definition->methods[i].id) == 0;
		if (!shadowed)
			put_method(result, &definition->methods[i]);
	}
	return (Datum) 0;
}
