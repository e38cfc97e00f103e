/*
 * The webhooks and polls of realtime tasks: made for those that have none, removed for those that are so no more.
 */
#include "webhooks/realtime.h"

#include "access/actor.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "instances/instance.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "webhooks/poll.h"
#include "webhooks/register.h"

typedef struct Task
{
	pg_uuid_t id;
	const char *task_id;
	const char *client_id;
	const char *user_id;
	pg_uuid_t instance;
	const char *entity;
	Oid owner;
	const Jsonb *config; /* with its "input": the methods that register take what they know of it */
} Task;

/* Tasks that have neither a webhook nor a note that there is no way, in the given context; how many. */
static int
list_lacking(Task **tasks, MemoryContext context)
{
	static IntegQuery lacking = {
		"SELECT t.id, t.task_id, t.client_id, CASE WHEN t.context_type = 'user' THEN t.context_id END, t.instance,"
		" coalesce(t.entity, s.source_entity), t.owner::oid::bigint, t.config || CASE"
		"  pg_catalog.jsonb_typeof(t.config -> 'input') WHEN 'object' THEN t.config -> 'input' ELSE '{}' END"
		" FROM integ.sync_tasks t"
		" JOIN integ.instances i ON i.id = t.instance AND i.status <> 'disconnected'"
		" LEFT JOIN integ.conversion_schemas s ON s.id = t.schema"
		" WHERE t.status = 'active' AND " INTEG_REALTIME("t.schedule") " AND NOT EXISTS (SELECT FROM "
																	   "integ.webhook_registrations r WHERE r.task = t.id) ORDER BY t.id",
		0};
	IntegOwnerScope scope;
	uint64 count;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	count = integ_query(&lacking, NULL, NULL);
	*tasks = MemoryContextAllocZero(context, sizeof(Task) * (count + 1));
	for (uint64 i = 0; i < count; i++)
	{
		Task *task = &(*tasks)[i];
		bool isnull;

		task->id = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
		task->task_id = integ_result_text(i, 2, context);
		task->client_id = integ_result_text(i, 3, context);
		task->user_id = integ_result_text(i, 4, context);
		task->instance = *DatumGetUUIDP(integ_result_datum(i, 5, &isnull));
		task->entity = integ_result_text(i, 6, context);
		task->owner = (Oid) integ_result_int8(i, 7);
		task->config = (const Jsonb *) integ_result_varlena(i, 8, context);
	}
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return (int) count;
}

/*
 * The events of all triggers of the entity that come by webhook, so that one registration serves the task. An empty
 * list: there are none, and the generic webhook is the way.
 */
static const Jsonb *
events_of_entity(const IntegDefinition *definition, const char *entity)
{
	const JsonbContainer *triggers = integ_json_get_array(&definition->manifest->root, "triggers");
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_open_array(&builder, "events");
	for (uint32 i = 0; triggers != NULL && i < JsonContainerSize(triggers); i++)
	{
		JsonbValue item, event;
		const JsonbContainer *trigger, *list;
		const char *of;

		integ_json_walk_at(triggers, i, &item);
		trigger = item.val.binary.data;
		of = integ_json_get_string(trigger, "entity");
		if (integ_json_get_object(trigger, "poll") != NULL || of == NULL || entity == NULL || strcmp(of, entity) != 0)
			continue;
		if (integ_json_get_string(trigger, "event") != NULL)
			integ_json_add_string(&builder, NULL, integ_json_get_string(trigger, "event"));
		list = integ_json_get_array(trigger, "event");
		for (uint32 j = 0; list != NULL && j < JsonContainerSize(list); j++)
		{
			integ_json_walk_at(list, j, &event);
			integ_json_add(&builder, NULL, &event);
		}
	}
	integ_json_close(&builder);
	return integ_path_get(integ_path_compile(".events", "events"), integ_json_end(&builder));
}

/* The polling trigger of the entity, NULL where there is none. */
static const char *
polling_trigger(const IntegDefinition *definition, const char *entity)
{
	const JsonbContainer *triggers = integ_json_get_array(&definition->manifest->root, "triggers");

	for (uint32 i = 0; entity != NULL && triggers != NULL && i < JsonContainerSize(triggers); i++)
	{
		JsonbValue item;
		const char *of;

		integ_json_walk_at(triggers, i, &item);
		of = integ_json_get_string(item.val.binary.data, "entity");
		if (of != NULL && strcmp(of, entity) == 0 && integ_json_get_object(item.val.binary.data, "poll") != NULL)
			return integ_json_get_string(item.val.binary.data, "id");
	}
	return NULL;
}

/* One that somebody has begun is left as it is. */
static bool
is_polled(const IntegInstance *instance, const char *trigger)
{
	static IntegQuery find = {"SELECT FROM integ.polls WHERE instance = $1 AND trigger = $2", 2, {UUIDOID, TEXTOID}};
	Datum values[] = {UUIDPGetDatum(&instance->id), CStringGetTextDatum(trigger)};
	IntegOwnerScope scope;
	bool found;

	integ_owner_enter(&scope);
	found = integ_query(&find, values, NULL) > 0;
	integ_owner_leave(&scope);
	return found;
}

static void
give_webhook(const Task *task)
{
	const IntegActor *actor = integ_actor_rebuild(task->owner, task->client_id, task->user_id);
	const IntegInstance *instance = integ_instance_resolve(actor, integ_uuid_text(&task->instance));
	const IntegDefinition *definition = integ_instance_definition(instance);
	const Jsonb *events = events_of_entity(definition, task->entity);
	const char *poll = JB_ROOT_COUNT(events) == 0 ? polling_trigger(definition, task->entity) : NULL;
	IntegHookRequest request = {.task = &task->id,
								.webhook_id = psprintf("task-%s", integ_uuid_text(&task->id)),
								.name = psprintf("Realtime task %s", task->task_id),
								.input = task->config,
								.events = events,
								.trigger_handlers = integ_json_empty_object(),
								.reregister = true,
								.from_now = true};
	IntegHookResult result = {0};

	if (poll != NULL && is_polled(instance, poll))
		return;
	integ_hook_request(actor, instance, poll, &request);
	if (poll != NULL)
		integ_poll_ensure(&request, &result);
	else
		integ_webhook_ensure(&request, &result);
}

#define PROBLEM "its webhook could not be made: "

/* What was wrong before is mended. */
static void
forget_problem(const Task *task)
{
	static IntegQuery forget = {
		"UPDATE integ.sync_tasks SET last_error = NULL WHERE id = $1"
		" AND pg_catalog.starts_with(last_error ->> 'message', '" PROBLEM "')",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(&task->id);
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&forget, &value, NULL);
	integ_owner_leave(&scope);
}

/* Why a task gets no events is for its people to see. */
static void
note_problem(const Task *task, const ErrorData *error)
{
	static IntegQuery note = {
		"UPDATE integ.sync_tasks SET last_error = pg_catalog.jsonb_build_object('message', $2::text, 'timestamp',"
		" pg_catalog.now(), 'details', pg_catalog.jsonb_build_object('detail', $3::text, 'hint', $4::text))"
		" WHERE id = $1 AND last_error ->> 'message' IS DISTINCT FROM $2",
		4,
		{UUIDOID, TEXTOID, TEXTOID, TEXTOID}};
	char nulls[] = "    ";
	Datum values[4];
	IntegOwnerScope scope;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	values[0] = UUIDPGetDatum(&task->id);
	values[1] = CStringGetTextDatum(psprintf(PROBLEM "%s", error->message));
	values[2] = integ_value_text(error->detail, &nulls[2]);
	values[3] = integ_value_text(error->hint, &nulls[3]);
	integ_owner_enter(&scope);
	(void) integ_query(&note, values, nulls);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* One task that cannot have a webhook keeps no other from its own. */
static void
give_guarded(const Task *task, MemoryContext context)
{
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		give_webhook(task);
		forget_problem(task);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (error != NULL)
		note_problem(task, error);
	MemoryContextSwitchTo(context);
}

/*
 * Webhooks and polls of tasks that are gone, or wait for their schedule now. A paused task keeps its own: a person
 * pauses for a while. A poll stays while another realtime task lives by it.
 */
static void
remove_orphans(void)
{
	static IntegQuery polls = {
		"DELETE FROM integ.polls p WHERE p.task IS NOT NULL AND NOT EXISTS (SELECT FROM integ.sync_tasks t"
		" LEFT JOIN integ.conversion_schemas s ON s.id = t.schema WHERE t.instance = p.instance"
		" AND (t.id = p.task OR EXISTS (SELECT FROM integ.definitions d WHERE d.id = p.definition"
		"  AND d.manifest @> pg_catalog.jsonb_build_object('triggers', pg_catalog.jsonb_build_array("
		"   pg_catalog.jsonb_build_object('id', p.trigger, 'entity', coalesce(t.entity, s.source_entity))))))"
		" AND " INTEG_REALTIME("t.schedule") ")",
		0};
	static IntegQuery gone = {
		"DELETE FROM integ.webhooks w USING integ.webhook_registrations r WHERE r.webhook = w.id AND r.task IS NOT NULL"
		" AND NOT EXISTS (SELECT FROM integ.sync_tasks t WHERE t.id = r.task AND t.instance = r.instance"
		"  AND " INTEG_REALTIME("t.schedule") ")",
		0};
	IntegOwnerScope scope;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	(void) integ_query(&gone, NULL, NULL);
	(void) integ_query(&polls, NULL, NULL);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
integ_realtime_upkeep(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "integ realtime tasks", ALLOCSET_DEFAULT_SIZES);
	Task *tasks;
	int count;

	MemoryContextSwitchTo(context);
	remove_orphans();
	count = list_lacking(&tasks, context);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		give_guarded(&tasks[i], context);
	}
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextDelete(context);
}
