/*
 * Storing events, each once, with what is to run for them.
 */
#include "webhooks/webhook.h"

#include <openssl/evp.h>

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/query.h"
#include "core/uuid.h"
#include "handlers/handlers.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"

/* A delivery id longer than this is kept as its hash. */
#define MAX_DELIVERY_ID 200

#define KEYS_PER_BATCH "10000"

#define RULE_FUNCTION "integ.rule_apply"

/* A name against a pattern in which * stands for any characters. */
static bool
matches(const char *pattern, const char *name)
{
	const char *star = strchr(pattern, '*');
	size_t head = star == NULL ? strlen(pattern) : (size_t) (star - pattern);

	if (star == NULL)
		return strcmp(pattern, name) == 0;
	if (strncmp(pattern, name, head) != 0)
		return false;
	for (name += head;; name++)
	{
		if (matches(star + 1, name))
			return true;
		if (*name == '\0')
			return false;
	}
}

/* Finds something in the document, or is true. */
static bool
filter_holds(const struct varlena *filter, const Jsonb *document)
{
	LOCAL_FCINFO(fcinfo, 4);
	Datum found;
	JsonbValue value;

	if (filter == NULL)
		return true;
	if (document == NULL)
		return false;
	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0] = (NullableDatum){JsonbPGetDatum(document), false};
	fcinfo->args[1] = (NullableDatum){PointerGetDatum(filter), false};
	fcinfo->args[2] = (NullableDatum){JsonbPGetDatum(integ_json_empty_object()), false};
	fcinfo->args[3] = (NullableDatum){BoolGetDatum(true), false};
	found = jsonb_path_query_first(fcinfo);
	if (fcinfo->isnull)
		return false;
	integ_json_root(DatumGetJsonbP(found), &value);
	return value.type != jbvNull && !(value.type == jbvBool && !value.val.boolean);
}

bool
integ_webhook_wants(const IntegWebhook *webhook, const IntegWebhookEvent *event)
{
	uint32 count = JB_ROOT_COUNT(webhook->events);
	bool named = count == 0;

	for (uint32 i = 0; i < count && !named; i++)
	{
		JsonbValue pattern;

		integ_json_walk_at(&webhook->events->root, i, &pattern);
		named = event->name != NULL && matches(integ_json_value_text(&pattern), event->name);
	}
	return named && filter_holds(webhook->filter, event->payload);
}

char *
integ_webhook_key(const char *delivery_id)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int size;
	char text[2 * EVP_MAX_MD_SIZE + 1];

	if (strlen(delivery_id) <= MAX_DELIVERY_ID)
		return pstrdup(delivery_id);
	if (EVP_Digest(delivery_id, strlen(delivery_id), digest, &size, EVP_sha256(), NULL) != 1)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 digest")));
	text[hex_encode((const char *) digest, size, text)] = '\0';
	return pstrdup(text);
}

/* What the delivery is known by: one that several connections get is one for each. */
static char *
delivery_key(const IntegWebhookEvent *event)
{
	char *id = integ_webhook_key(event->delivery_id);

	return event->instance == NULL ? id : psprintf("%s@%s", id, integ_uuid_text(event->instance));
}

/* False where the delivery was taken before; waits for a transaction that is about to take it. */
static bool
take_delivery(const IntegWebhook *webhook, const IntegWebhookEvent *event)
{
	static IntegQuery take = {
		"INSERT INTO integ.webhook_keys AS k (webhook, delivery_id, event, expires_at) VALUES ($1, $2, $3, $4)"
		" ON CONFLICT (webhook, delivery_id) DO UPDATE SET event = excluded.event, expires_at = excluded.expires_at"
		" WHERE k.expires_at < pg_catalog.clock_timestamp()",
		4,
		{UUIDOID, TEXTOID, UUIDOID, TIMESTAMPTZOID}};
	Datum values[4];

	if (event->delivery_id == NULL)
		return true;
	values[0] = UUIDPGetDatum(&webhook->id);
	values[1] = CStringGetTextDatum(delivery_key(event));
	values[2] = UUIDPGetDatum(&event->id);
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp() + integ_log_retention * USECS_PER_DAY);
	return integ_query(&take, values, NULL) > 0;
}

/* Headers that may hold secrets are not kept, nor is the one that has the token which proves the request. */
static const Jsonb *
kept_headers(const IntegWebhook *webhook, const IntegInbound *request)
{
	static const char *const secret[] = {"authorization", "proxy-authorization", "cookie", "set-cookie",
										 "x-webhook-signature"};
	const JsonbContainer *signature =
		webhook->signature != NULL	? &webhook->signature->root
		: webhook->manifest == NULL ? NULL
									: integ_json_get_object(webhook->manifest, "signature");
	char *place = signature == NULL ? NULL : integ_json_get_string(signature, "header");
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	for (int i = 0; i < request->nheaders; i++)
	{
		char *name = pstrdup(request->headers[i].name);
		bool is_secret = place != NULL && pg_strcasecmp(place, name) == 0;

		for (char *c = name; *c != '\0'; c++)
			*c = pg_ascii_tolower((unsigned char) *c);
		for (size_t j = 0; j < lengthof(secret); j++)
			is_secret = is_secret || strcmp(name, secret[j]) == 0;
		if (!is_secret)
			integ_json_add_string(&builder, name, request->headers[i].value);
	}
	return integ_json_end(&builder);
}

static void
insert_event(const IntegWebhook *webhook, const IntegInbound *request, const IntegWebhookEvent *event,
			 const Jsonb *headers, const pg_uuid_t *request_id, bool with_body, const char *state, TimestampTz now)
{
	static IntegQuery insert = {
		"INSERT INTO integ.webhook_events (id, created_at, client_id, webhook, instance, definition, event, triggers,"
		" delivery_id, account, occurred_at, payload, headers, request, body, last_error, state, handled_at, source)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
		" CASE WHEN $17 = 'handled' THEN $2 END, $18)",
		18,
		{UUIDOID, TIMESTAMPTZOID, TEXTOID, UUIDOID, UUIDOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID,
		 TIMESTAMPTZOID, JSONBOID, JSONBOID, UUIDOID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID}};
	char nulls[] = "                  ";
	Datum values[18] = {UUIDPGetDatum(&event->id), TimestampTzGetDatum(now), CStringGetTextDatum(event->client_id),
						UUIDPGetDatum(&webhook->id), UUIDPGetDatum(event->instance),
						CStringGetTextDatum(webhook->definition->id)};

	nulls[3] = webhook->is_poll ? 'n' : ' ';
	nulls[4] = event->instance == NULL ? 'n' : ' ';
	values[6] = integ_value_text(event->name, &nulls[6]);
	values[7] = integ_value_texts(event->triggers, event->ntriggers);
	values[8] = integ_value_text(event->delivery_id, &nulls[8]);
	values[9] = integ_value_text(event->account, &nulls[9]);
	values[10] = TimestampTzGetDatum(event->occurred_at);
	nulls[10] = event->occurred_at == 0 ? 'n' : ' ';
	values[11] = JsonbPGetDatum(event->payload);
	nulls[11] = event->payload == NULL ? 'n' : ' ';
	values[12] = JsonbPGetDatum(headers);
	values[13] = UUIDPGetDatum(request_id);
	if (with_body)
		values[14] = PointerGetDatum(cstring_to_text_with_len(request->body, (int) request->body_len));
	nulls[14] = with_body ? ' ' : 'n';
	values[15] = integ_value_text(event->problem, &nulls[15]);
	values[16] = CStringGetTextDatum(state);
	values[17] = CStringGetTextDatum(webhook->is_poll ? "poll" : "webhook");
	(void) integ_query(&insert, values, nulls);
}

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

static void
enqueue(const IntegWebhookEvent *event, TimestampTz created_at, const char *kind, const IntegHandlerSubject *subject,
		const char *function, const Jsonb *argument)
{
	IntegHandlerRun run = {.kind = kind,
						   .subject = *subject,
						   .function = function,
						   .argument = argument,
						   .instance = event->instance,
						   .event = &event->id,
						   .event_at = created_at};

	integ_handler_enqueue(&run);
}

/* The handlers of its triggers; where none has one, the webhook's. */
static int
enqueue_handlers(const IntegWebhook *webhook, const IntegWebhookEvent *event, TimestampTz created_at)
{
	IntegHandlerSubject subject = {webhook->owner, webhook->client_id, NULL};
	const Jsonb *argument = NULL;
	int count = 0;

	if (strcmp(webhook->client_id, "*") == 0)
		subject.client_id = NULL;
	for (int i = 0; i <= event->ntriggers; i++)
	{
		const char *function = i == event->ntriggers
								   ? (count == 0 ? webhook->handler : NULL)
								   : integ_json_get_string(&webhook->trigger_handlers->root, event->triggers[i]);

		if (function == NULL)
			continue;
		if (argument == NULL)
			argument = handler_argument(webhook, event, NULL);
		enqueue(event, created_at, "webhook", &subject, function, argument);
		count++;
	}
	return count;
}

/* One run for each rule that the event concerns. */
static int
enqueue_rules(const IntegWebhook *webhook, const IntegWebhookEvent *event, TimestampTz created_at)
{
	static IntegQuery find = {
		"SELECT id, owner::oid::bigint, client_id, user_id, filter FROM integ.rules"
		" WHERE is_active AND trigger_definition = $1 AND (trigger = ANY ($2) OR trigger = '*') AND client_id = $3"
		" AND (trigger_instance IS NULL OR trigger_instance = $4) ORDER BY id",
		4,
		{TEXTOID, TEXTARRAYOID, TEXTOID, UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum values[] = {CStringGetTextDatum(webhook->definition->id),
					  integ_value_texts(event->triggers, event->ntriggers), CStringGetTextDatum(event->client_id),
					  UUIDPGetDatum(event->instance)};
	char nulls[] = {' ', ' ', ' ', event->instance == NULL ? 'n' : ' '};
	uint64 found = integ_query(&find, values, nulls);
	IntegHandlerSubject *subjects = palloc(sizeof(IntegHandlerSubject) * (found + 1));
	char **rules = palloc(sizeof(char *) * (found + 1));
	int count = 0;

	for (uint64 i = 0; i < found; i++)
	{
		bool isnull;

		if (!filter_holds(integ_result_varlena(i, 5, context), event->payload))
			continue;
		rules[count] = integ_uuid_text(DatumGetUUIDP(integ_result_datum(i, 1, &isnull)));
		subjects[count].owner = (Oid) integ_result_int8(i, 2);
		subjects[count].client_id = integ_result_text(i, 3, context);
		if (strcmp(subjects[count].client_id, "*") == 0)
			subjects[count].client_id = NULL;
		subjects[count].user_id = subjects[count].client_id == NULL ? NULL : integ_result_text(i, 4, context);
		count++;
	}
	for (int i = 0; i < count; i++)
		enqueue(event, created_at, "rule", &subjects[i], RULE_FUNCTION, handler_argument(webhook, event, rules[i]));
	return count;
}

int
integ_event_enqueue(const IntegWebhook *webhook, const IntegWebhookEvent *event, TimestampTz created_at)
{
	int count = enqueue_handlers(webhook, event, created_at);

	return webhook->has_rules ? count + enqueue_rules(webhook, event, created_at) : count;
}

/* What an event leads to becomes rows, and the state that it has then. */
static const char *
begin_event(const IntegWebhook *webhook, const IntegWebhookEvent *event, TimestampTz now)
{
	/* What is not what its trigger promises is kept for a person, and nothing runs. */
	if (event->problem != NULL)
		return "dead";
	if (webhook->has_tasks)
		(void) integ_realtime_enqueue(webhook, event);
	return integ_event_enqueue(webhook, event, now) == 0 ? "handled" : "received";
}

void
integ_webhook_store_polled(const IntegWebhook *poll, const IntegWebhookEvent *event, const pg_uuid_t *request,
						   TimestampTz now)
{
	const char *state = begin_event(poll, event, now);

	insert_event(poll, NULL, event, integ_json_empty_object(), request, false, state, now);
}

int
integ_webhook_store(const IntegWebhook *webhook, const IntegInbound *request, const IntegWebhookEvent *events,
					int nevents, pg_uuid_t *stored)
{
	const Jsonb *headers = kept_headers(webhook, request);
	TimestampTz now = GetCurrentTimestamp();
	pg_uuid_t request_id;
	int count = 0;

	integ_uuid_make(&request_id);
	for (int i = 0; i < nevents; i++)
	{
		const IntegWebhookEvent *event = &events[i];
		const char *state;

		if (!integ_webhook_wants(webhook, event) || !take_delivery(webhook, event))
			continue;
		state = begin_event(webhook, event, now);
		insert_event(webhook, request, event, headers, &request_id, count == 0, state, now);
		stored[count++] = event->id;
	}
	return count;
}

void
integ_webhook_keys_expire(void)
{
	static IntegQuery expire = {
		"DELETE FROM integ.webhook_keys WHERE ctid = ANY (ARRAY("
		" SELECT ctid FROM integ.webhook_keys WHERE expires_at < pg_catalog.clock_timestamp() LIMIT " KEYS_PER_BATCH "))",
		0};

	integ_job_delete(&expire, NULL);
}
