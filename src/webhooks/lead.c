/*
 * What an event leads to: runs of handlers and of rules.
 */
#include "webhooks/webhook.h"

#include "catalog/pg_type.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/match.h"
#include "core/query.h"
#include "core/uuid.h"
#include "handlers/handlers.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/memutils.h"

#define RULE_FUNCTION "integ.rule_apply"

/* An event whose runs are put together. */
typedef struct Leading
{
	const IntegWebhook *webhook;
	const IntegWebhookEvent *event;
	TimestampTz created_at;
	int depth;
	IntegHandlerRuns *runs;
} Leading;

/* As JSON has times, in UTC. */
static char *
time_text(TimestampTz time)
{
	int utc = 0;

	return JsonEncodeDateTime(palloc(MAXDATELEN + 1), TimestampTzGetDatum(time), TIMESTAMPTZOID, &utc);
}

/* What a handler is called with. */
static const Jsonb *
handler_argument(const IntegWebhook *webhook, const IntegWebhookEvent *event, const char *rule)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	if (rule != NULL)
		integ_json_add_string(&builder, "rule", rule);
	integ_json_add_string(&builder, "id", integ_uuid_text(&event->id));
	integ_json_add_string(&builder, "webhook", webhook->webhook_id);
	integ_json_add_string(&builder, "definition", webhook->definition->id);
	integ_json_add_string(&builder, "client", event->client_id);
	integ_json_add_string(&builder, "instance", event->instance == NULL ? NULL : integ_uuid_text(event->instance));
	integ_json_add_string(&builder, "event", event->name);
	integ_json_open_array(&builder, "triggers");
	for (int i = 0; i < event->ntriggers; i++)
		integ_json_add_string(&builder, NULL, event->triggers[i]);
	integ_json_close(&builder);
	integ_json_add_string(&builder, "delivery_id", event->delivery_id);
	integ_json_add_string(&builder, "account", event->account);
	integ_json_add_string(&builder, "occurred_at", event->occurred_at == 0 ? NULL : time_text(event->occurred_at));
	if (event->payload == NULL)
		integ_json_add_null(&builder, "payload");
	else
		integ_json_add_jsonb(&builder, "payload", event->payload);
	return integ_json_end(&builder);
}

static const pg_uuid_t *
add_run(const Leading *leading, const char *kind, const IntegHandlerSubject *subject, const char *function,
		const Jsonb *argument)
{
	IntegHandlerRun run = {.kind = kind,
						   .subject = *subject,
						   .function = function,
						   .argument = argument,
						   .instance = leading->event->instance,
						   .event = &leading->event->id,
						   .event_at = leading->created_at,
						   .depth = leading->depth + 1};

	return integ_handler_runs_add(leading->runs, &run);
}

/* The handlers of its triggers; where none has one, the webhook's, whose reply may be the answer to the service. */
static int
lead_to_handlers(const Leading *leading, const pg_uuid_t **answering)
{
	const IntegWebhook *webhook = leading->webhook;
	const IntegWebhookEvent *event = leading->event;
	IntegHandlerSubject subject = {webhook->owner, webhook->client_id, NULL};
	const Jsonb *argument = NULL;
	int count = 0;

	if (strcmp(webhook->client_id, "*") == 0)
		subject.client_id = NULL;
	for (int i = 0; i <= event->ntriggers; i++)
	{
		bool answers = i == event->ntriggers && webhook->replies;
		const char *function = i == event->ntriggers
								   ? (count == 0 ? webhook->handler : NULL)
								   : integ_json_get_string(&webhook->trigger_handlers->root, event->triggers[i]);
		const pg_uuid_t *run;

		if (function == NULL)
			continue;
		if (argument == NULL)
			argument = handler_argument(webhook, event, NULL);
		run = add_run(leading, answers ? INTEG_HANDLER_REPLY : "webhook", &subject, function, argument);
		if (answers && answering != NULL)
			*answering = run;
		count++;
	}
	return count;
}

/* One run for each rule that the event concerns. */
static int
lead_to_rules(const Leading *leading)
{
	static IntegQuery find = {
		"SELECT id, owner::oid::bigint, client_id, user_id, filter FROM integ.rules"
		" WHERE is_active AND trigger_definition = $1 AND (trigger = ANY ($2) OR trigger = '*') AND client_id = $3"
		" AND (trigger_instance IS NULL OR trigger_instance = $4) ORDER BY id",
		4,
		{TEXTOID, TEXTARRAYOID, TEXTOID, UUIDOID}};
	const IntegWebhookEvent *event = leading->event;
	MemoryContext context = CurrentMemoryContext;
	Datum values[] = {CStringGetTextDatum(leading->webhook->definition->id),
					  integ_value_texts(event->triggers, event->ntriggers), CStringGetTextDatum(event->client_id),
					  UUIDPGetDatum(event->instance)};
	char nulls[] = {' ', ' ', ' ', event->instance == NULL ? 'n' : ' '};
	uint64 found = integ_query(&find, values, nulls);
	int count = 0;

	for (uint64 i = 0; i < found; i++)
	{
		IntegHandlerSubject subject = {(Oid) integ_result_int8(i, 2), integ_result_text(i, 3, context), NULL};
		bool isnull;

		if (!integ_filter_holds(integ_result_varlena(i, 5, context), event->payload))
			continue;
		if (strcmp(subject.client_id, "*") == 0)
			subject.client_id = NULL;
		else
			subject.user_id = integ_result_text(i, 4, context);
		(void) add_run(leading, "rule", &subject, RULE_FUNCTION,
					   handler_argument(leading->webhook, event,
										integ_uuid_text(DatumGetUUIDP(integ_result_datum(i, 1, &isnull)))));
		count++;
	}
	return count;
}

int
integ_event_lead(const IntegWebhook *webhook, const IntegWebhookEvent *event, TimestampTz created_at, int depth,
				 IntegHandlerRuns *runs, const pg_uuid_t **answering)
{
	Leading leading = {webhook, event, created_at, depth, runs};
	int count = lead_to_handlers(&leading, answering);

	return webhook->has_rules ? count + lead_to_rules(&leading) : count;
}
