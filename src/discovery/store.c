/*
 * What was discovered goes to the tables, in the place of what was known before.
 */
#include "discovery/discovery.h"

#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "operate/operate.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Lists of documents with an id, as arrays for a statement: their ids, and themselves. */
typedef struct Arrays
{
	Datum ids;
	Datum documents;
} Arrays;

static Arrays
arrays_of(const List *documents)
{
	ArrayBuildState *ids = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	ArrayBuildState *rows = initArrayResult(JSONBOID, CurrentMemoryContext, false);
	ListCell *cell;

	foreach (cell, documents)
	{
		const Jsonb *document = lfirst(cell);

		ids = accumArrayResult(ids, CStringGetTextDatum(integ_json_get_string(&document->root, "id")), false, TEXTOID,
							   CurrentMemoryContext);
		rows = accumArrayResult(rows, JsonbPGetDatum(document), false, JSONBOID, CurrentMemoryContext);
	}
	return (Arrays){.ids = makeArrayResult(ids, CurrentMemoryContext),
					.documents = makeArrayResult(rows, CurrentMemoryContext)};
}

/* How many are gone. What has not changed is not written, so that caches are not emptied for nothing. */
static int64
replace(IntegQuery *gone, IntegQuery *put, const IntegInstance *instance, const List *documents)
{
	Arrays arrays = arrays_of(documents);
	Datum values[] = {UUIDPGetDatum(&instance->id), arrays.ids, arrays.documents,
					  CStringGetTextDatum(instance->client_id)};
	int64 removed = (int64) integ_query(gone, values, NULL);

	(void) integ_query(put, values, NULL);
	return removed;
}

static int64
replace_methods(const IntegInstance *instance, const List *methods)
{
	static IntegQuery gone = {
		"DELETE FROM integ.instance_methods WHERE instance = $1 AND id <> ALL ($2)", 2, {UUIDOID, TEXTARRAYOID}};
	static IntegQuery put = {
		"INSERT INTO integ.instance_methods AS m (id, instance, client_id, method)"
		" SELECT n.id, $1, $4, n.method FROM unnest($2, $3) AS n (id, method)"
		" WHERE NOT EXISTS (SELECT FROM integ.instance_methods o "
		"  WHERE o.instance = $1 AND o.id = n.id AND o.method = n.method)"
		" ON CONFLICT (id, instance) DO UPDATE SET method = excluded.method, discovered_at = pg_catalog.now()",
		4,
		{UUIDOID, TEXTARRAYOID, JSONBARRAYOID, TEXTOID}};

	return replace(&gone, &put, instance, methods);
}

static int64
replace_entities(const IntegInstance *instance, const List *entities)
{
	static IntegQuery gone = {
		"DELETE FROM integ.instance_entities WHERE instance = $1 AND id <> ALL ($2)", 2, {UUIDOID, TEXTARRAYOID}};
	static IntegQuery put = {
		"INSERT INTO integ.instance_entities AS e (id, instance, client_id, entity)"
		" SELECT n.id, $1, $4, n.entity FROM unnest($2, $3) AS n (id, entity)"
		" WHERE NOT EXISTS (SELECT FROM integ.instance_entities o "
		"  WHERE o.instance = $1 AND o.id = n.id AND o.entity = n.entity)"
		" ON CONFLICT (id, instance) DO UPDATE SET entity = excluded.entity, discovered_at = pg_catalog.now()",
		4,
		{UUIDOID, TEXTARRAYOID, JSONBARRAYOID, TEXTOID}};

	return replace(&gone, &put, instance, entities);
}

static Jsonb *
summary_of(const IntegDiscovered *found, int64 removed)
{
	IntegJsonBuilder builder;
	ListCell *cell;

	integ_json_begin_object(&builder);
	integ_json_add_int(&builder, "items", found->items);
	integ_json_add_int(&builder, "entities", list_length(found->entities));
	integ_json_add_int(&builder, "methods", list_length(found->methods));
	integ_json_add_int(&builder, "removed", removed);
	integ_json_open_array(&builder, "skipped");
	foreach (cell, found->skipped)
	{
		const IntegSkippedItem *skipped = lfirst(cell);

		integ_json_open_object(&builder, NULL);
		integ_json_add_string(&builder, "item", skipped->item);
		integ_json_add_string(&builder, "reason", skipped->reason);
		integ_json_close(&builder);
	}
	integ_json_close(&builder);
	return integ_json_end(&builder);
}

static void
remember_run(const IntegInstance *instance, const Jsonb *summary, const Jsonb *only, int64 refresh_seconds)
{
	static IntegQuery remember = {
		"INSERT INTO integ.instance_discoveries AS d (instance, client_id, next_run_at, \"only\", found)"
		" VALUES ($1, $2, pg_catalog.now() + pg_catalog.make_interval(secs => $3), $4, $5)"
		" ON CONFLICT (instance) DO UPDATE SET discovered_at = pg_catalog.now(), next_run_at = excluded.next_run_at,"
		" \"only\" = excluded.\"only\", found = excluded.found, last_error = NULL",
		5,
		{UUIDOID, TEXTOID, FLOAT8OID, JSONBOID, JSONBOID}};
	Datum values[] = {UUIDPGetDatum(&instance->id), CStringGetTextDatum(instance->client_id),
					  Float8GetDatum((double) refresh_seconds), only == NULL ? (Datum) 0 : JsonbPGetDatum(only),
					  JsonbPGetDatum(summary)};

	(void) integ_query(&remember, values, only == NULL ? "   n " : NULL);
}

Jsonb *
integ_discovery_store(const IntegInstance *instance, const IntegDiscovered *found, const Jsonb *only,
					  int64 refresh_seconds, MemoryContext context)
{
	IntegOwnerScope scope;
	int64 removed;
	Jsonb *summary, *copy;

	integ_owner_enter(&scope);
	removed = replace_methods(instance, found->methods) + replace_entities(instance, found->entities);
	summary = summary_of(found, removed);
	remember_run(instance, summary, only, refresh_seconds);
	integ_event_emit("instance.discovered", instance->client_id, &instance->id, summary);
	copy = MemoryContextAlloc(context, VARSIZE(summary));
	memcpy(copy, summary, VARSIZE(summary));
	integ_owner_leave(&scope);
	return copy;
}
