/*
 * What is remembered of changes to definitions and instances.
 */
#include "instances/history.h"

#include "core/json.h"
#include "core/uuid.h"
#include "operate/operate.h"
#include "record/record.h"

static void
remember(const IntegActor *actor, IntegRecordSubject *subject, const char *action, const char *event,
		 const char *client, const Jsonb *payload)
{
	IntegAuditEntry entry = {
		.subject = subject, .action = action, .outcome = "succeeded", .detail = integ_json_print(payload)};

	integ_uuid_make(&subject->call_id);
	subject->client_id = actor->client;
	subject->user_id = actor->user;
	subject->role = actor->role;
	integ_record_audit(&entry);
	integ_event_emit(event, client, subject->instance, payload);
}

void
integ_definition_history(const IntegActor *actor, const char *action, const char *event, const char *id,
						 const char *version, const char *client)
{
	IntegRecordSubject subject = {.definition_id = id};
	IntegJsonBuilder payload;

	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "definition", id);
	integ_json_add_known(&payload, "version", version);
	remember(actor, &subject, action, event, client, integ_json_end(&payload));
}

void
integ_instance_history(const IntegActor *actor, const char *action, const char *event, const pg_uuid_t *id,
					   const char *instance_id, const char *definition, const char *client)
{
	IntegRecordSubject subject = {.instance = id, .instance_id = instance_id, .definition_id = definition};
	IntegJsonBuilder payload;

	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "instance_id", instance_id);
	integ_json_add_string(&payload, "definition", definition);
	remember(actor, &subject, action, event, client, integ_json_end(&payload));
}
