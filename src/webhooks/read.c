/*
 * Reading the events of a request.
 */
#include "webhooks/webhook.h"

#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/query.h"
#include "core/uuid.h"
#include "definitions/compile.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#define WHERE "/webhook"

/* Milliseconds of the Unix epoch in PostgreSQL's. */
#define EPOCH_DIFFERENCE_US ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* A number of seconds beyond this counts milliseconds. */
#define LATEST_SECONDS INT64CONST(100000000000)

/* What the manifest says of its requests, compiled. */
typedef struct Reading
{
	const IntegWebhook *webhook;
	const IntegInbound *request;
	const Jsonb *document;
	IntegWebhookSource event;
	IntegWebhookSource delivery_id;
	IntegWebhookSource account;
	IntegWebhookSource occurred_at;
	IntegPath *data;
	bool is_split;
	IntegWebhookEvent *events;
	int count;
	MemoryContext context;
} Reading;

/* Found in the event itself, or else in the whole request. */
static const char *
value_of(const Reading *reading, const IntegWebhookSource *source, const Jsonb *part)
{
	const char *value = integ_webhook_value(source, reading->request, part);

	return value != NULL || part == reading->document ? value
													  : integ_webhook_value(source, reading->request, reading->document);
}

/* Seconds or milliseconds since 1970, or a date and time; 0 for anything else. */
static TimestampTz
read_time(const char *text)
{
	int64 milliseconds;
	size_t digits = text == NULL ? 0 : strspn(text, "0123456789");
	bool is_number = digits > 0 && (text[digits] == '\0' || text[digits] == '.');
	char *whole = is_number ? pnstrdup(text, digits) : NULL;

	if (text == NULL)
		return 0;
	if (is_number && integ_signature_time(whole, INTEG_SENT_S, &milliseconds) && milliseconds / 1000 < LATEST_SECONDS)
		return milliseconds * 1000 - EPOCH_DIFFERENCE_US;
	if (is_number && integ_signature_time(whole, INTEG_SENT_MS, &milliseconds))
		return milliseconds * 1000 - EPOCH_DIFFERENCE_US;
	if (!is_number && integ_signature_time(text, INTEG_SENT_ISO8601, &milliseconds))
		return milliseconds * 1000 - EPOCH_DIFFERENCE_US;
	return 0;
}

/* "event" of a trigger is a name or a list of them. */
static bool
names_event(const JsonbContainer *trigger, const char *name)
{
	const JsonbContainer *list = integ_json_get_array(trigger, "event");
	char *single = integ_json_get_string(trigger, "event");

	if (name == NULL || (list == NULL && single == NULL))
		return list == NULL && single == NULL;
	if (single != NULL)
		return strcmp(single, name) == 0;
	for (uint32 i = 0; i < JsonContainerSize(list); i++)
	{
		char *listed = integ_json_value_text(getIthJsonbValueFromContainer((JsonbContainer *) list, i));

		if (listed != NULL && strcmp(listed, name) == 0)
			return true;
	}
	return false;
}

/* Whether the payload is what the trigger promises; else the event says why not. */
static void
check_payload(const JsonbContainer *trigger, const char *where, IntegWebhookEvent *event)
{
	IntegSchema *schema = integ_compile_schema(trigger, "payloadSchema", where);
	IntegSchemaProblems problems = {0};

	if (schema == NULL || event->payload == NULL || integ_schema_validate(schema, event->payload, &problems))
		return;
	event->problem = psprintf("the payload is not what the trigger \"%s\" promises: %s %s",
							  integ_json_get_string(trigger, "id"), problems.items[0].path, problems.items[0].message);
}

static void
match_triggers(const Reading *reading, IntegWebhookEvent *event)
{
	const JsonbContainer *triggers = integ_json_get_array(&reading->webhook->definition->manifest->root, "triggers");
	uint32 count = triggers == NULL ? 0 : JsonContainerSize(triggers);

	event->triggers = palloc(sizeof(char *) * (count + 1));
	for (uint32 i = 0; i < count; i++)
	{
		const JsonbContainer *trigger;
		char *where = psprintf("/triggers/%u", i);
		JsonbValue value;
		IntegPath *when;

		integ_json_walk_at(triggers, i, &value);
		trigger = value.val.binary.data;
		if (integ_json_get_object(trigger, "poll") != NULL || !names_event(trigger, event->name))
			continue;
		when = integ_compile_path(trigger, "when", where);
		if (when != NULL && (event->payload == NULL || !integ_path_exists(when, event->payload)))
			continue;
		event->triggers[event->ntriggers++] = integ_json_get_string(trigger, "id");
		check_payload(trigger, where, event);
	}
}

static void
add_event(Reading *reading, const IntegWebhookEvent *event, const char *client_id, const pg_uuid_t *instance)
{
	IntegWebhookEvent *added;

	if (reading->count == INTEG_WEBHOOK_MAX_EVENTS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a request brings more than %d events", INTEG_WEBHOOK_MAX_EVENTS)));
	added = &reading->events[reading->count++];
	*added = *event;
	integ_uuid_make(&added->id);
	added->client_id = client_id;
	added->instance = instance;
}

/* To the webhook's connection, or to every one of the account: several clients may have connected the same. */
static void
route(Reading *reading, const IntegWebhookEvent *event)
{
	static IntegQuery accounts = {
		"SELECT id, client_id FROM integ.instances WHERE definition = $1 AND external_account_id = $2"
		" AND borrows IS NULL AND status <> 'disconnected' AND ($3 = '*' OR client_id = $3) ORDER BY id",
		3,
		{TEXTOID, TEXTOID, TEXTOID}};
	const IntegWebhook *webhook = reading->webhook;
	Datum values[3] = {CStringGetTextDatum(webhook->definition->id)};
	uint64 count;

	if (webhook->account != NULL && (event->account == NULL || strcmp(webhook->account, event->account) != 0))
		return;
	if (webhook->instance != NULL || event->account == NULL)
	{
		add_event(reading, event, webhook->client_id, webhook->instance);
		return;
	}
	values[1] = CStringGetTextDatum(event->account);
	values[2] = CStringGetTextDatum(webhook->client_id);
	count = integ_query(&accounts, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		pg_uuid_t *instance = MemoryContextAlloc(reading->context, sizeof(pg_uuid_t));
		bool isnull;

		*instance = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
		add_event(reading, event, integ_result_text(i, 2, reading->context), instance);
	}
	if (count == 0)
		add_event(reading, event, webhook->client_id, NULL);
}

/* index counts the events of a request that has one delivery id for all of them. */
static void
read_event(Reading *reading, const Jsonb *part, uint32 index)
{
	IntegWebhookEvent event = {0};

	event.name = value_of(reading, &reading->event, part);
	event.delivery_id = integ_webhook_value(&reading->delivery_id, reading->request, part);
	if (event.delivery_id == NULL || (reading->is_split && reading->delivery_id.path == NULL))
	{
		event.delivery_id = value_of(reading, &reading->delivery_id, part);
		if (event.delivery_id != NULL && reading->is_split)
			event.delivery_id = psprintf("%s#%u", event.delivery_id, index);
	}
	event.account = value_of(reading, &reading->account, part);
	event.occurred_at = read_time(value_of(reading, &reading->occurred_at, part));
	event.payload = part;
	if (reading->data != NULL && part != NULL)
	{
		const Jsonb *data = integ_path_get(reading->data, part);

		event.payload = data == NULL ? part : data;
	}
	match_triggers(reading, &event);
	route(reading, &event);
}

/* The default body is {"event": …, "data": …}. */
static void
begin_default(Reading *reading)
{
	reading->event.path = integ_path_compile(".event", WHERE);
	reading->data = integ_path_compile(".data", WHERE);
	reading->delivery_id.header = "X-Webhook-Id";
}

static const JsonbContainer *
begin(Reading *reading)
{
	const JsonbContainer *manifest = reading->webhook->manifest;
	IntegPath *events;
	const Jsonb *found;

	if (manifest == NULL)
	{
		begin_default(reading);
		return NULL;
	}
	(void) integ_webhook_source(manifest, "event", WHERE, &reading->event);
	(void) integ_webhook_source(manifest, "deliveryId", WHERE, &reading->delivery_id);
	(void) integ_webhook_source(manifest, "account", WHERE, &reading->account);
	(void) integ_webhook_source(manifest, "timestamp", WHERE, &reading->occurred_at);
	reading->data = integ_compile_path(manifest, "data", WHERE);
	events = integ_compile_path(manifest, "events", WHERE);
	found = events == NULL || reading->document == NULL ? NULL : integ_path_get(events, reading->document);
	return found == NULL || !JB_ROOT_IS_ARRAY(found) ? NULL : &found->root;
}

int
integ_webhook_read(const IntegWebhook *webhook, const IntegInbound *request, const Jsonb *document,
				   IntegWebhookEvent **events)
{
	Reading reading = {.webhook = webhook, .request = request, .document = document, .context = CurrentMemoryContext};
	const JsonbContainer *parts = begin(&reading);

	reading.is_split = parts != NULL;
	reading.events = palloc(sizeof(IntegWebhookEvent) * INTEG_WEBHOOK_MAX_EVENTS);
	if (parts == NULL)
		read_event(&reading, document, 0);
	for (uint32 i = 0; parts != NULL && i < JsonContainerSize(parts); i++)
	{
		JsonbValue part;

		integ_json_walk_at(parts, i, &part);
		read_event(&reading, integ_json_value_jsonb(&part), i);
	}
	*events = reading.events;
	return reading.count;
}
