/*
 * integ_entities: the kinds of records that an instance, or a definition, has.
 */
#include "discovery/discovery.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "funcapi.h"
#include "instances/lookup.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_entities);

#define COLUMNS 4

static void
put_entity(ReturnSetInfo *result, const Jsonb *entity, bool discovered)
{
	char *id = integ_json_get_string(&entity->root, "id");
	char *name = integ_json_get_string(&entity->root, "name");
	Datum values[COLUMNS] = {CStringGetTextDatum(id), CStringGetTextDatum(name == NULL ? id : name),
							 BoolGetDatum(discovered), JsonbPGetDatum(entity)};
	bool nulls[COLUMNS] = {0};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* The instance's own, copied out of the owner's scope. */
static List *
own_entities(const IntegInstance *instance)
{
	static IntegQuery query = {
		"SELECT entity FROM integ.instance_entities WHERE instance = $1 ORDER BY id", 1, {UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum id = UUIDPGetDatum(&instance->id);
	IntegOwnerScope scope;
	List *list = NIL;
	uint64 count;

	integ_owner_enter(&scope);
	count = integ_query(&query, &id, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		list = lappend(list, integ_result_varlena(i, 1, context));
		MemoryContextSwitchTo(old);
	}
	integ_owner_leave(&scope);
	return list;
}

static const JsonbContainer *
find_own(const List *own, const char *id)
{
	ListCell *cell;

	foreach (cell, own)
	{
		const Jsonb *entity = lfirst(cell);

		if (strcmp(integ_json_get_string(&entity->root, "id"), id) == 0)
			return &entity->root;
	}
	return NULL;
}

static const JsonbContainer *
find_defined(const IntegDefinition *definition, const char *id)
{
	const JsonbContainer *list = integ_json_get_array(&definition->manifest->root, "entities");
	IntegJsonWalk walk;
	JsonbValue entity;

	if (list == NULL)
		return NULL;
	integ_json_walk_begin(&walk, list);
	while (integ_json_walk_element(&walk, &entity))
	{
		const char *found = integ_json_get_string(entity.val.binary.data, "id");

		if (found != NULL && strcmp(found, id) == 0)
			return entity.val.binary.data;
	}
	return NULL;
}

const JsonbContainer *
integ_discovery_entity(const IntegInstance *instance, const IntegDefinition *definition, const char *id)
{
	const JsonbContainer *own = instance == NULL ? NULL : find_own(own_entities(instance), id);

	return own == NULL ? find_defined(definition, id) : own;
}

Datum
integ_entities(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "read definitions");
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const IntegInstance *instance = integ_instance_lookup(actor, name, INTEG_LOOKUP_HANDLE);
	const IntegDefinition *definition =
		instance == NULL ? integ_definition_get(name, NULL) : integ_instance_definition(instance);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const JsonbContainer *list;
	List *own = NIL;
	ListCell *cell;

	if (instance == NULL && (definition == NULL || !integ_definition_visible(definition, actor)))
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no instance or definition \"%s\"", name),
						errhint("The rows of integ.instances and integ.definitions are those that this role may use.")));
	InitMaterializedSRF(fcinfo, 0);
	if (instance != NULL)
		own = own_entities(instance);
	foreach (cell, own)
		put_entity(result, lfirst(cell), true);
	list = integ_json_get_array(&definition->manifest->root, "entities");
	for (uint32 i = 0; list != NULL && i < JsonContainerSize(list); i++)
	{
		const Jsonb *entity = integ_json_value_jsonb(getIthJsonbValueFromContainer((JsonbContainer *) list, i));

		if (find_own(own, integ_json_get_string(&entity->root, "id")) == NULL)
			put_entity(result, entity, false);
	}
	return (Datum) 0;
}
