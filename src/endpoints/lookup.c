/*
 * The endpoint that a name means.
 */
#include "endpoints/lookup.h"

#include "catalog/pg_type.h"
#include "core/compat.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/builtins.h"

void
integ_endpoint_unknown(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no endpoint \"%s\"", name),
					errdetail("It does not exist, or is not yours."),
					errhint("SELECT id, endpoint_id FROM integ.endpoints shows an administrator the endpoints.")));
}

/* One of the client's own goes before one of '*' with the same handle. */
static pg_uuid_t
find_named(const char *client, const char *name)
{
	static IntegQuery find = {
		"SELECT id FROM integ.endpoints WHERE client_id IN ($1, '*') AND (endpoint_id = $2 OR id::text = $2)"
		" ORDER BY endpoint_id <> $2, client_id = '*' LIMIT 1",
		2,
		{TEXTOID, TEXTOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum values[] = {CStringGetTextDatum(client), CStringGetTextDatum(name)};
	pg_uuid_t id;
	bool isnull;

	if (integ_query(&find, values, NULL) == 0)
		integ_endpoint_unknown(name);
	id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	MemoryContextSwitchTo(context);
	return id;
}

pg_uuid_t *
integ_endpoints_named(const IntegActor *actor, const char *client, const char *name, const Jsonb *names, int *count)
{
	int room = names == NULL ? 1 : JB_ROOT_COUNT(names);
	pg_uuid_t *ids = palloc(Max(room, 1) * sizeof(pg_uuid_t));

	*count = room;
	if (names == NULL)
		ids[0] = find_named(client, name);
	for (int i = 0; names != NULL && i < room; i++)
	{
		JsonbValue element;

		integ_json_walk_at(&names->root, i, &element);
		if (element.type != jbvString)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("an element of the option \"endpoints\" of integ_publish is no string"),
							errhint("Name endpoints by their endpoint_id.")));
		ids[i] = find_named(client, integ_json_value_text(&element));
	}
	return ids;
}

pg_uuid_t
integ_endpoint_require(const IntegActor *actor, const char *name, const char **client)
{
	static IntegQuery find = {
		"SELECT id, client_id FROM integ.endpoints WHERE (endpoint_id = $2 OR id::text = $2)"
		" AND ($3 OR client_id = $1) ORDER BY client_id <> $1, endpoint_id <> $2 LIMIT 1",
		3,
		{TEXTOID, TEXTOID, BOOLOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum values[] = {CStringGetTextDatum(actor->client), CStringGetTextDatum(name),
					  BoolGetDatum(actor->level == INTEG_LEVEL_SUPERADMIN)};
	IntegOwnerScope scope;
	pg_uuid_t id;
	bool isnull;

	integ_owner_enter(&scope);
	if (integ_query(&find, values, NULL) == 0)
		integ_endpoint_unknown(name);
	id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	*client = integ_result_text(0, 2, context);
	integ_owner_leave(&scope);
	return id;
}
