/*
 * Reading the events of a request.
 */
#include "webhooks/webhook.h"

#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* Milliseconds of the Unix epoch in PostgreSQL's. */
#define EPOCH_DIFFERENCE_US ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* A number of seconds beyond this counts milliseconds. */
#define LATEST_SECONDS INT64CONST(100000000000)

/* A request that is being read. */
typedef struct Reader
{
	const IntegWebhook *webhook;
	const IntegWebhookReading *reading;
	const IntegInbound *request;
	const Jsonb *document;
	bool is_split;
	IntegWebhookEvent *events;
	int count;
	bool too_many;
	MemoryContext context;
} Reader;

/* Found in the event itself, or else in the whole request. */
static const char *
value_of(const Reader *reader, const IntegWebhookSource *source, const Jsonb *part)
{
	const char *value = integ_webhook_value(source, reader->request, part);

	return value != NULL || part == reader->document ? value
													 : integ_webhook_value(source, reader->request, reader->document);
}

TimestampTz
integ_webhook_time(const char *text)
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

static bool
names_event(const IntegWebhookTrigger *trigger, const char *name)
{
	for (int i = 0; i < trigger->nevents; i++)
		if (name != NULL && strcmp(trigger->events[i], name) == 0)
			return true;
	return trigger->nevents == 0;
}

void
integ_webhook_check_payload(const IntegWebhookTrigger *trigger, IntegWebhookEvent *event)
{
	IntegSchemaProblems problems = {0};

	if (trigger->schema == NULL || event->payload == NULL ||
		integ_schema_validate(trigger->schema, event->payload, &problems))
		return;
	event->problem = psprintf("the payload is not what the trigger \"%s\" promises: %s %s", trigger->id,
							  problems.items[0].path, problems.items[0].message);
}

static void
match_triggers(const Reader *reader, IntegWebhookEvent *event)
{
	const IntegWebhookReading *reading = reader->reading;

	event->triggers = palloc(sizeof(char *) * (reading->ntriggers + 1));
	for (int i = 0; i < reading->ntriggers; i++)
	{
		const IntegWebhookTrigger *trigger = &reading->triggers[i];

		if (!names_event(trigger, event->name) ||
			(trigger->when != NULL && (event->payload == NULL || !integ_path_exists(trigger->when, event->payload))))
			continue;
		event->triggers[event->ntriggers++] = trigger->id;
		integ_webhook_check_payload(trigger, event);
	}
}

static void
add_event(Reader *reader, const IntegWebhookEvent *event, const char *client_id, const pg_uuid_t *instance)
{
	IntegWebhookEvent *added;

	if (reader->count == INTEG_WEBHOOK_MAX_EVENTS)
	{
		reader->too_many = true;
		return;
	}
	added = &reader->events[reader->count++];
	*added = *event;
	integ_uuid_make(&added->id);
	added->client_id = client_id;
	added->instance = instance;
}

/* To the webhook's connection, or to every one of the account: several clients may have connected the same. */
static void
route(Reader *reader, const IntegWebhookEvent *event)
{
	static IntegQuery accounts = {
		"SELECT id, client_id FROM integ.instances WHERE definition = $1 AND external_account_id = $2"
		" AND borrows IS NULL AND status <> 'disconnected' AND ($3 = '*' OR client_id = $3) ORDER BY id",
		3,
		{TEXTOID, TEXTOID, TEXTOID}};
	const IntegWebhook *webhook = reader->webhook;
	Datum values[3] = {CStringGetTextDatum(webhook->definition->id)};
	uint64 count;

	if (webhook->account != NULL && (event->account == NULL || strcmp(webhook->account, event->account) != 0))
		return;
	if (webhook->instance != NULL || event->account == NULL)
	{
		add_event(reader, event, webhook->client_id, webhook->instance);
		return;
	}
	values[1] = CStringGetTextDatum(event->account);
	values[2] = CStringGetTextDatum(webhook->client_id);
	count = integ_query(&accounts, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		pg_uuid_t *instance = MemoryContextAlloc(reader->context, sizeof(pg_uuid_t));
		bool isnull;

		*instance = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
		add_event(reader, event, integ_result_text(i, 2, reader->context), instance);
	}
	if (count == 0)
		add_event(reader, event, webhook->client_id, NULL);
}

/* index counts the events of a request that has one delivery id for all of them. */
static void
read_event(Reader *reader, const Jsonb *part, uint32 index)
{
	IntegWebhookEvent event = {0};

	event.name = value_of(reader, &reader->reading->event, part);
	event.delivery_id = integ_webhook_value(&reader->reading->delivery_id, reader->request, part);
	if (event.delivery_id == NULL || (reader->is_split && reader->reading->delivery_id.path == NULL))
	{
		event.delivery_id = value_of(reader, &reader->reading->delivery_id, part);
		if (event.delivery_id != NULL && reader->is_split)
			event.delivery_id = psprintf("%s#%u", event.delivery_id, index);
	}
	event.account = value_of(reader, &reader->reading->account, part);
	event.occurred_at = integ_webhook_time(value_of(reader, &reader->reading->occurred_at, part));
	event.payload = part;
	if (reader->reading->data != NULL && part != NULL)
	{
		const Jsonb *data = integ_path_get(reader->reading->data, part);

		event.payload = data == NULL ? part : data;
	}
	match_triggers(reader, &event);
	route(reader, &event);
}

int
integ_webhook_read(const IntegWebhook *webhook, const IntegInbound *request, const Jsonb *document,
				   IntegWebhookEvent **events)
{
	Reader reader = {.webhook = webhook,
					 .reading = &webhook->reading,
					 .request = request,
					 .document = document,
					 .context = CurrentMemoryContext};
	const Jsonb *parts = webhook->reading.events == NULL || document == NULL
							 ? NULL
							 : integ_path_get(webhook->reading.events, document);

	reader.is_split = parts != NULL && JB_ROOT_IS_ARRAY(parts);
	reader.events = palloc(sizeof(IntegWebhookEvent) * INTEG_WEBHOOK_MAX_EVENTS);
	if (!reader.is_split)
		read_event(&reader, document, 0);
	for (uint32 i = 0; reader.is_split && !reader.too_many && i < JB_ROOT_COUNT(parts); i++)
	{
		JsonbValue part;

		integ_json_walk_at(&parts->root, i, &part);
		read_event(&reader, integ_json_value_jsonb(&part), i);
	}
	*events = reader.events;
	return reader.too_many ? -1 : reader.count;
}
