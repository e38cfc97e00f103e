/*
 * Finding the webhook of an address.
 */
#include "webhooks/webhook.h"

#include "catalog/pg_type.h"
#include "core/cache.h"
#include "core/json.h"
#include "core/query.h"
#include "core/uuid.h"
#include "webhooks/realtime.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define COLUMNS                                                                                                   \
	"SELECT w.id, w.webhook_id, w.client_id, w.definition, w.instance, w.account, pg_catalog.to_jsonb(w.events)," \
	" w.filter, w.signature, w.handler, w.trigger_handlers, w.replies, w.owner::oid::bigint,"                     \
	" EXISTS (SELECT FROM integ.rules r WHERE r.trigger_definition = w.definition),"                              \
	" EXISTS (SELECT FROM integ.sync_tasks t JOIN integ.instances i ON i.id = t.instance"                         \
	"  WHERE i.definition = w.definition AND t.status = 'active' AND " INTEG_REALTIME("t.schedule") ")"           \
																									" FROM integ.webhooks w "

/* A result column as a document in CurrentMemoryContext, or NULL. */
static Jsonb *
document_column(uint64 row, int column, MemoryContext context)
{
	return (Jsonb *) integ_result_varlena(row, column, context);
}

/* The found row, compiled, in a context of its own below the one given; NULL where its definition is gone. */
static IntegWebhook *
read_webhook(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "integ webhook", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	IntegWebhook *webhook = palloc0(sizeof(IntegWebhook));
	bool isnull;
	Datum instance;
	char *definition;

	webhook->pinned.context = context;
	webhook->id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	webhook->webhook_id = integ_result_text(0, 2, context);
	webhook->client_id = integ_result_text(0, 3, context);
	definition = integ_result_text(0, 4, context);
	instance = integ_result_datum(0, 5, &isnull);
	if (!isnull)
	{
		pg_uuid_t *copy = palloc(sizeof(pg_uuid_t));

		*copy = *DatumGetUUIDP(instance);
		webhook->instance = copy;
	}
	webhook->account = integ_result_text(0, 6, context);
	webhook->events = document_column(0, 7, context);
	webhook->filter = integ_result_varlena(0, 8, context);
	webhook->signature = document_column(0, 9, context);
	webhook->handler = integ_result_text(0, 10, context);
	webhook->trigger_handlers = document_column(0, 11, context);
	webhook->replies = integ_result_bool(0, 12);
	webhook->owner = (Oid) integ_result_int8(0, 13);
	webhook->has_rules = integ_result_bool(0, 14);
	webhook->has_tasks = integ_result_bool(0, 15);

	webhook->definition = integ_definition_get(definition, NULL);
	MemoryContextSwitchTo(context);
	if (webhook->definition != NULL)
	{
		webhook->manifest = integ_json_get_object(&webhook->definition->manifest->root, "webhook");
		integ_webhook_compile(webhook);
	}
	MemoryContextSwitchTo(old);
	return webhook->definition == NULL ? NULL : webhook;
}

const IntegWebhook *
integ_webhook_get(const pg_uuid_t *id)
{
	static IntegQuery get = {COLUMNS "WHERE w.id = $1", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(id);
	MemoryContext context = CurrentMemoryContext;

	return integ_query(&get, &value, NULL) == 0 ? NULL : read_webhook(context);
}

/*
 * By its key, or by its handle, or as a client's only one; of two that match in different ways the first counts, of
 * two that match in the same way none does.
 */
static IntegWebhook *
look_up(const char *definition, const char *name, const char *client, MemoryContext context)
{
	static IntegQuery named = {
		COLUMNS "CROSS JOIN LATERAL (SELECT CASE WHEN w.id::text = $2 THEN 0 WHEN w.webhook_id = $2 THEN 1 ELSE 2 END AS "
				"how) m"
				" WHERE w.definition = $1 AND w.is_active AND ($3 IS NULL OR w.client_id = $3)"
				" AND (w.id::text = $2 OR w.webhook_id = $2 OR w.client_id = $2)"
				" AND 1 = (SELECT pg_catalog.count(*) FROM integ.webhooks o WHERE o.definition = $1 AND o.is_active"
				"  AND ($3 IS NULL OR o.client_id = $3)"
				"  AND CASE m.how WHEN 0 THEN o.id::text = $2 WHEN 1 THEN o.webhook_id = $2 ELSE o.client_id = $2 END)"
				" ORDER BY m.how LIMIT 1",
		3,
		{TEXTOID, TEXTOID, TEXTOID}};
	static IntegQuery only = {
		COLUMNS "WHERE w.definition = $1 AND w.is_active AND w.instance IS NULL"
				" AND w.client_id = coalesce($2, '*')"
				" AND 1 = (SELECT pg_catalog.count(*) FROM integ.webhooks o WHERE o.definition = $1 AND o.is_active"
				"  AND o.instance IS NULL AND o.client_id = coalesce($2, '*'))",
		2,
		{TEXTOID, TEXTOID}};
	Datum values[3] = {CStringGetTextDatum(definition)};
	char nulls[] = "   ";

	if (name == NULL)
	{
		values[1] = integ_value_text(client, &nulls[1]);
		return integ_query_latest(&only, values, nulls) == 0 ? NULL : read_webhook(context);
	}
	values[1] = CStringGetTextDatum(name);
	values[2] = integ_value_text(client, &nulls[2]);
	return integ_query_latest(&named, values, nulls) == 0 ? NULL : read_webhook(context);
}

/* It is made of the definition too. Both numbers only grow. */
static uint64
generation(void)
{
	return integ_cache_generation(INTEG_CACHE_WEBHOOKS) + integ_cache_generation(INTEG_CACHE_DEFINITIONS);
}

const IntegWebhook *
integ_webhook_find(const char *definition, const char *name, const char *client)
{
	static IntegPinnedTable cache = {.name = "integ webhooks"};
	MemoryContext context = CurrentMemoryContext;
	char *key = psprintf("%s/%s %s", definition, name == NULL ? "" : name, client == NULL ? "" : client);
	IntegWebhook *webhook = integ_pinned_find(&cache, generation(), key);

	if (webhook != NULL)
		return webhook;
	webhook = look_up(definition, name, client, context);
	MemoryContextSwitchTo(context);
	if (webhook != NULL)
		integ_pinned_keep(&cache, generation(), key, &webhook->pinned);
	return webhook;
}
