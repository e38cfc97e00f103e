/*
 * Realtime sync tasks: which records an event tells of, and the webhooks of the tasks.
 */
#include "webhooks/realtime.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "operate/operate.h"
#include "sync/task.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "webhooks/webhook.h"

PG_FUNCTION_INFO_V1(integ_tg_realtime_task);

/* --- what an event tells of --- */

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && pg_strcasecmp(text + len - end_len, end) == 0;
}

static char *
text_at(const IntegPath *path, const Jsonb *payload)
{
	JsonbValue whole, found;

	integ_json_root(payload, &whole);
	return path != NULL && integ_path_find(path, &whole, &found) ? integ_json_value_text(&found) : NULL;
}

/* One record as a list: itself, its id to be asked for, or the id of one that is gone. NULL where nothing tells. */
static const Jsonb *
list_of(const Jsonb *record, const char *id, bool deletes)
{
	IntegJsonBuilder builder;

	if (record == NULL && id == NULL)
		return NULL;
	integ_json_begin_object(&builder);
	integ_json_open_array(&builder, "records");
	if (deletes && id != NULL)
	{
		integ_json_open_object(&builder, NULL);
		integ_json_add_string(&builder, INTEG_SYNC_DELETED, id);
		integ_json_close(&builder);
	}
	else if (record != NULL)
		integ_json_add_jsonb(&builder, NULL, record);
	else
		integ_json_add_string(&builder, NULL, id);
	integ_json_close(&builder);
	return integ_path_get(integ_path_compile(".records", "records"), integ_json_end(&builder));
}

static const IntegWebhookTrigger *
find_trigger(const IntegWebhook *webhook, const char *id)
{
	for (int i = 0; i < webhook->reading.ntriggers; i++)
		if (strcmp(webhook->reading.triggers[i].id, id) == 0)
			return &webhook->reading.triggers[i];
	return NULL;
}

static int
enqueue(uint64 count, const Jsonb *records, MemoryContext context)
{
	pg_uuid_t *tasks = MemoryContextAlloc(context, sizeof(pg_uuid_t) * (count + 1));

	if (records == NULL)
		return 0;
	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;

		tasks[i] = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
	}
	for (uint64 i = 0; i < count; i++)
		integ_sync_records(&tasks[i], records);
	return (int) count;
}

/* The tasks of the event's connection that synchronize the entity. */
static int
enqueue_entity(const IntegWebhookEvent *event, const IntegWebhookTrigger *trigger)
{
	static IntegQuery find = {
		"SELECT t.id FROM integ.sync_tasks t LEFT JOIN integ.conversion_schemas s ON s.id = t.schema"
		" WHERE t.instance = $1 AND t.status = 'active' AND coalesce(t.entity, s.source_entity) = $2"
		" AND " INTEG_REALTIME("t.schedule") " ORDER BY t.id",
		2,
		{UUIDOID, TEXTOID}};
	MemoryContext context = CurrentMemoryContext;
	const Jsonb *record = trigger->record == NULL ? NULL : integ_path_get(trigger->record, event->payload);
	const Jsonb *records = list_of(record, text_at(trigger->record_id, event->payload), trigger->deletes);
	Datum values[] = {UUIDPGetDatum(event->instance), CStringGetTextDatum(trigger->entity)};

	return enqueue(integ_query(&find, values, NULL), records, context);
}

static const JsonbContainer *
entity_of(const IntegDefinition *definition, const char *id)
{
	const JsonbContainer *entities = integ_json_get_array(&definition->manifest->root, "entities");

	for (uint32 i = 0; entities != NULL && i < JsonContainerSize(entities); i++)
	{
		JsonbValue entity;

		integ_json_walk_at(entities, i, &entity);
		if (strcmp(integ_json_get_string(entity.val.binary.data, "id"), id) == 0)
			return entity.val.binary.data;
	}
	return NULL;
}

/*
 * A service that its definition says nothing of sends {"event": …, "data": …} to the webhook of a task: data is a
 * record of the task's entity, or names one by its id. Where single records cannot be asked for, it is the record.
 */
static int
enqueue_default(const IntegWebhook *webhook, const IntegWebhookEvent *event)
{
	static IntegQuery find = {
		"SELECT t.id, coalesce(t.entity, s.source_entity) FROM integ.webhook_registrations r"
		" JOIN integ.sync_tasks t ON t.id = r.task LEFT JOIN integ.conversion_schemas s ON s.id = t.schema"
		" WHERE r.webhook = $1 AND t.status = 'active' AND " INTEG_REALTIME("t.schedule"),
		1,
		{UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum value = UUIDPGetDatum(&webhook->id);
	const JsonbContainer *entity;
	const char *field = NULL, *name;
	bool deletes, whole;
	pg_uuid_t task;
	const Jsonb *records;
	bool isnull;

	if (integ_query(&find, &value, NULL) == 0)
		return 0;
	task = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	name = integ_result_text(0, 2, context);
	entity = name == NULL ? NULL : entity_of(webhook->definition, name);
	if (entity != NULL)
		field = integ_json_get_string(entity, "idField");
	if (field == NULL)
		field = "id";
	deletes = event->name != NULL && (ends_with(event->name, "deleted") || ends_with(event->name, "removed"));
	whole = entity == NULL || integ_json_get_string(entity, "get") == NULL;
	records = list_of(whole && !deletes && JB_ROOT_IS_OBJECT(event->payload) ? event->payload : NULL,
					  text_at(integ_path_compile(field[0] == '.' || field[0] == '$' ? field : psprintf(".%s", field), "idField"),
							  event->payload),
					  deletes);
	if (records == NULL)
		return 0;
	integ_sync_records(&task, records);
	return 1;
}

int
integ_realtime_enqueue(const IntegWebhook *webhook, const IntegWebhookEvent *event)
{
	int count = 0;

	if (event->payload == NULL || event->instance == NULL)
		return 0;
	if (webhook->reading.ntriggers == 0)
		return enqueue_default(webhook, event);
	for (int i = 0; i < event->ntriggers; i++)
	{
		const IntegWebhookTrigger *trigger = find_trigger(webhook, event->triggers[i]);

		if (trigger != NULL && trigger->entity != NULL)
			count += enqueue_entity(event, trigger);
	}
	return count;
}

/*
 * AFTER INSERT, UPDATE or DELETE on integ.sync_tasks, of a realtime one: what listens learns of it, and the job that
 * makes and removes webhooks runs once this is committed.
 */
Datum
integ_tg_realtime_task(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_realtime_task must be called as a trigger");
	CacheInvalidateRelcache(trigger->tg_relation);
	integ_job_request("webhooks");
	return PointerGetDatum(NULL);
}
