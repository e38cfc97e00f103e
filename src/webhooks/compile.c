/*
 * How a webhook's requests are proven and read, from its manifest.
 */
#include "webhooks/webhook.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "definitions/compile.h"

#define WHERE "/webhook"

/* The default body is {"event": …, "data": …}. */
static void
compile_default(IntegWebhookReading *reading)
{
	reading->event.path = integ_path_compile(".event", WHERE);
	reading->data = integ_path_compile(".data", WHERE);
	reading->delivery_id.header = "X-Webhook-Id";
}

static void
compile_sources(const JsonbContainer *manifest, IntegWebhookReading *reading)
{
	(void) integ_webhook_source(manifest, "event", WHERE, &reading->event);
	(void) integ_webhook_source(manifest, "deliveryId", WHERE, &reading->delivery_id);
	(void) integ_webhook_source(manifest, "account", WHERE, &reading->account);
	(void) integ_webhook_source(manifest, "timestamp", WHERE, &reading->occurred_at);
	reading->data = integ_compile_path(manifest, "data", WHERE);
	reading->events = integ_compile_path(manifest, "events", WHERE);
}

/* As "idField" and the like are written: a path, or the name of a member. */
static IntegPath *
compile_field(const char *field, const char *where)
{
	return integ_path_compile(field[0] == '.' || field[0] == '$' ? field : psprintf(".%s", field), where);
}

/* Where an entity's records have their id, NULL where it does not say. */
static IntegPath *
entity_id(const JsonbContainer *definition, const char *entity, const char *where)
{
	const JsonbContainer *entities = integ_json_get_array(definition, "entities");

	for (uint32 i = 0; entities != NULL && i < JsonContainerSize(entities); i++)
	{
		JsonbValue item;
		char *field;

		integ_json_walk_at(entities, i, &item);
		if (strcmp(integ_json_get_string(item.val.binary.data, "id"), entity) != 0)
			continue;
		field = integ_json_get_string(item.val.binary.data, "idField");
		return field == NULL ? NULL : compile_field(field, where);
	}
	return NULL;
}

/* "event" of a trigger is a name or a list of them. */
void
integ_webhook_trigger_compile(const JsonbContainer *definition, const JsonbContainer *source, const char *where,
							  IntegWebhookTrigger *trigger)
{
	const JsonbContainer *list = integ_json_get_array(source, "event");
	char *single = integ_json_get_string(source, "event");
	char *type = integ_json_get_string(source, "type");

	trigger->id = integ_json_get_string(source, "id");
	trigger->when = integ_compile_path(source, "when", where);
	trigger->schema = integ_compile_schema(source, "payloadSchema", where);
	trigger->entity = integ_json_get_string(source, "entity");
	trigger->deletes = type != NULL && strcmp(type, "deleted") == 0;
	trigger->record = integ_compile_path(source, "record", where);
	trigger->record_id = integ_compile_path(source, "recordId", where);
	if (trigger->record_id == NULL && trigger->entity != NULL)
		trigger->record_id = entity_id(definition, trigger->entity, where);
	trigger->nevents = list != NULL ? (int) JsonContainerSize(list) : single != NULL ? 1
																					 : 0;
	trigger->events = palloc(sizeof(char *) * (trigger->nevents + 1));
	trigger->events[0] = single;
	for (int i = 0; list != NULL && i < trigger->nevents; i++)
		trigger->events[i] = integ_json_value_text(getIthJsonbValueFromContainer((JsonbContainer *) list, i));
}

/* Those that are found by asking do not come here. */
static void
compile_triggers(const JsonbContainer *definition, IntegWebhookReading *reading)
{
	const JsonbContainer *triggers = integ_json_get_array(definition, "triggers");
	uint32 count = triggers == NULL ? 0 : JsonContainerSize(triggers);

	reading->triggers = palloc0(sizeof(IntegWebhookTrigger) * (count + 1));
	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue trigger;

		integ_json_walk_at(triggers, i, &trigger);
		if (integ_json_get_object(trigger.val.binary.data, "poll") == NULL)
			integ_webhook_trigger_compile(definition, trigger.val.binary.data, psprintf("/triggers/%u", i),
										  &reading->triggers[reading->ntriggers++]);
	}
}

void
integ_webhook_compile(IntegWebhook *webhook)
{
	const JsonbContainer *signature = webhook->signature != NULL  ? &webhook->signature->root
									  : webhook->manifest == NULL ? NULL
																  : integ_json_get_object(webhook->manifest, "signature");

	if (signature != NULL)
		webhook->scheme = integ_webhook_scheme(signature, NULL, WHERE "/signature");
	if (webhook->manifest == NULL)
		compile_default(&webhook->reading);
	else
		compile_sources(webhook->manifest, &webhook->reading);
	compile_triggers(&webhook->definition->manifest->root, &webhook->reading);
}
