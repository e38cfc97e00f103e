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
#include "core/match.h"
#include "core/query.h"
#include "core/rows.h"
#include "core/uuid.h"
#include "endpoints/events.h"
#include "handlers/handlers.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* A delivery id longer than this is kept as its hash. */
#define MAX_DELIVERY_ID 200

#define KEYS_PER_BATCH "10000"

/* Columns of an event, in the order in which they are given. */
static const Oid event_types[] = {UUIDOID, TIMESTAMPTZOID, TEXTOID, UUIDOID, UUIDOID, TEXTOID, TEXTOID,
								  TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, JSONBOID, JSONBOID, UUIDOID,
								  BYTEAOID, TEXTOID, TEXTOID, INT2OID, INETOID};

/* Whether the webhook takes it. */
static bool
is_wanted(const IntegWebhook *webhook, const IntegWebhookEvent *event)
{
	uint32 count = JB_ROOT_COUNT(webhook->events);
	bool named = count == 0;

	for (uint32 i = 0; i < count && !named; i++)
	{
		JsonbValue pattern;

		integ_json_walk_at(&webhook->events->root, i, &pattern);
		named = event->name != NULL && integ_name_matches(integ_json_value_text(&pattern), event->name);
	}
	return named && integ_filter_holds(webhook->filter, event->payload);
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

/* --- a batch --- */

/* An event on its way into the table. */
struct IntegWebhookStaged
{
	const IntegWebhook *webhook;
	const IntegInbound *request;
	const IntegWebhookEvent *event;
	const Jsonb *headers;
	pg_uuid_t request_id;
	IntegWebhookReply *reply; /* or NULL */
	char *key;				  /* that the delivery is known by; NULL: it has no id, or is known to be new */
	bool repeated;			  /* the delivery was taken before */
};

IntegWebhookBatch *
integ_webhook_batch(void)
{
	IntegWebhookBatch *batch = palloc0(sizeof(IntegWebhookBatch));

	batch->context = CurrentMemoryContext;
	return batch;
}

void
integ_webhook_stage(IntegWebhookBatch *batch, const IntegWebhook *webhook, const IntegInbound *request,
					const IntegWebhookEvent *events, int nevents, IntegWebhookReply *reply)
{
	IntegWebhookStaged first = {
		.webhook = webhook, .request = request, .headers = kept_headers(webhook, request), .reply = reply};

	integ_uuid_make(&first.request_id);
	if (batch->count + nevents > batch->room)
	{
		Size room = (batch->count + nevents) * 2 * sizeof(IntegWebhookStaged);

		batch->room = (batch->count + nevents) * 2;
		batch->events = batch->events == NULL ? palloc_extended(room, MCXT_ALLOC_HUGE)
											  : repalloc_huge(batch->events, room);
	}
	for (int i = 0; i < nevents; i++)
	{
		IntegWebhookStaged *staged = &batch->events[batch->count];

		if (!is_wanted(webhook, &events[i]))
			continue;
		*staged = first;
		staged->event = &events[i];
		staged->key = events[i].delivery_id == NULL || webhook->is_poll ? NULL : delivery_key(&events[i]);
		batch->count++;
	}
}

/*
 * By webhook and delivery, and of one delivery by when it came: whoever stores the same ones takes them in this order.
 */
static int
compare_deliveries(const void *left, const void *right)
{
	const IntegWebhookStaged *a = *(IntegWebhookStaged *const *) left, *b = *(IntegWebhookStaged *const *) right;
	int order = memcmp(&a->webhook->id, &b->webhook->id, sizeof(pg_uuid_t));

	if (order == 0)
		order = strcmp(a->key, b->key);
	return order != 0 ? order : (a > b) - (a < b);
}

static bool
same_delivery(const IntegWebhookStaged *a, const IntegWebhookStaged *b)
{
	return memcmp(&a->webhook->id, &b->webhook->id, sizeof(pg_uuid_t)) == 0 && strcmp(a->key, b->key) == 0;
}

/* The staged deliveries, each once, in order; how many. The others are marked as repeated. */
static int
sort_deliveries(IntegWebhookBatch *batch, IntegWebhookStaged **deliveries)
{
	int count = 0, kept = 0;

	for (int i = 0; i < batch->count; i++)
		if (batch->events[i].key != NULL)
			deliveries[count++] = &batch->events[i];
	qsort(deliveries, count, sizeof(IntegWebhookStaged *), compare_deliveries);
	for (int i = 0; i < count; i++)
	{
		if (kept > 0 && same_delivery(deliveries[kept - 1], deliveries[i]))
			deliveries[i]->repeated = true;
		else
			deliveries[kept++] = deliveries[i];
	}
	return kept;
}

/* Marks those that were taken before; waits for a transaction that is about to take one. */
static void
take_deliveries(IntegWebhookBatch *batch)
{
	static const Oid types[] = {UUIDOID, TEXTOID, UUIDOID, TIMESTAMPTZOID};
	static IntegQuery take = {
		"INSERT INTO integ.webhook_keys AS k (webhook, delivery_id, event, expires_at)"
		" SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),"
		"  pg_catalog.unnest($4)) n"
		" ON CONFLICT (webhook, delivery_id) DO UPDATE SET event = excluded.event, expires_at = excluded.expires_at"
		" WHERE k.expires_at < pg_catalog.clock_timestamp() RETURNING event",
		4,
		{UUIDARRAYOID, TEXTARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID}};
	static const bool nulls[lengthof(types)];
	TimestampTz expires_at = GetCurrentTimestamp() + integ_log_retention * USECS_PER_DAY;
	IntegWebhookStaged **deliveries =
		palloc_extended(sizeof(IntegWebhookStaged *) * (batch->count + 1), MCXT_ALLOC_HUGE);
	int count = sort_deliveries(batch, deliveries);
	IntegRows rows;
	uint64 taken, next = 0;

	integ_rows_begin(&rows, types, lengthof(types));
	for (int i = 0; i < count; i++)
	{
		Datum values[] = {UUIDPGetDatum(&deliveries[i]->webhook->id), CStringGetTextDatum(deliveries[i]->key),
						  UUIDPGetDatum(&deliveries[i]->event->id), TimestampTzGetDatum(expires_at)};

		integ_rows_add(&rows, values, nulls);
	}
	taken = integ_rows_query(&rows, &take);
	/* Rows come back in the order they went in. */
	for (int i = 0; i < count; i++)
	{
		bool isnull;

		if (next < taken &&
			memcmp(DatumGetUUIDP(integ_result_datum(next, 1, &isnull)), &deliveries[i]->event->id, UUID_LEN) == 0)
			next++;
		else
			deliveries[i]->repeated = true;
	}
	if (next != taken)
		elog(ERROR, "deliveries came back in another order");
}

static uint64
insert_events(IntegRows *rows)
{
	static IntegQuery insert = {
		"INSERT INTO integ.webhook_events (id, created_at, client_id, webhook, instance, definition, event, triggers,"
		" delivery_id, account, occurred_at, payload, headers, request, body, last_error, state, depth, address, handled_at,"
		" source)"
		" SELECT id, created_at, client_id, webhook, instance, definition, event, triggers::text[],"
		" delivery_id, account, occurred_at, payload, headers, request, body, last_error, state, depth, address,"
		" CASE WHEN state = 'handled' THEN created_at END, CASE WHEN webhook IS NULL THEN 'poll' ELSE 'webhook' END"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
		"  pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8),"
		"  pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11), pg_catalog.unnest($12),"
		"  pg_catalog.unnest($13), pg_catalog.unnest($14), pg_catalog.unnest($15), pg_catalog.unnest($16),"
		"  pg_catalog.unnest($17), pg_catalog.unnest($18), pg_catalog.unnest($19))"
		" AS n (id, created_at, client_id, webhook, instance, definition, event, triggers, delivery_id, account,"
		"  occurred_at, payload, headers, request, body, last_error, state, depth, address)",
		lengthof(event_types),
		{UUIDARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, UUIDARRAYOID, UUIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, JSONBARRAYOID, JSONBARRAYOID, UUIDARRAYOID,
		 BYTEAARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT2ARRAYOID, INETARRAYOID}};

	return integ_rows_query(rows, &insert);
}

/* An array within an array has no place in unnest: as PostgreSQL writes it. */
static Datum
triggers_value(const IntegWebhookEvent *event)
{
	if (event->ntriggers == 0)
		return CStringGetTextDatum("{}");
	return CStringGetTextDatum(
		OidOutputFunctionCall(F_ARRAY_OUT, integ_value_texts(event->triggers, event->ntriggers)));
}

static void
add_event(IntegRows *rows, const IntegWebhookStaged *staged, bool with_body, const char *state, const char *problem,
		  TimestampTz now)
{
	const IntegWebhookEvent *event = staged->event;
	Datum values[lengthof(event_types)] = {
		UUIDPGetDatum(&event->id), TimestampTzGetDatum(now), CStringGetTextDatum(event->client_id),
		UUIDPGetDatum(&staged->webhook->id), UUIDPGetDatum(event->instance),
		CStringGetTextDatum(staged->webhook->definition->id)};
	bool nulls[lengthof(event_types)] = {false};

	nulls[3] = staged->webhook->is_poll;
	nulls[4] = event->instance == NULL;
	values[6] = integ_rows_text(event->name, &nulls[6]);
	values[7] = triggers_value(event);
	values[8] = integ_rows_text(event->delivery_id, &nulls[8]);
	values[9] = integ_rows_text(event->account, &nulls[9]);
	values[10] = TimestampTzGetDatum(event->occurred_at);
	nulls[10] = event->occurred_at == 0;
	values[11] = JsonbPGetDatum(event->payload);
	nulls[11] = event->payload == NULL;
	values[12] = JsonbPGetDatum(staged->headers);
	values[13] = UUIDPGetDatum(&staged->request_id);
	with_body = with_body && !staged->webhook->is_poll;
	if (with_body)
		values[14] = PointerGetDatum(cstring_to_text_with_len(staged->request->body, (int) staged->request->body_len));
	nulls[14] = !with_body;
	values[15] = integ_rows_text(problem, &nulls[15]);
	values[16] = CStringGetTextDatum(state);
	values[17] = Int16GetDatum(integ_handler_depth());
	nulls[18] = staged->request->address == NULL;
	if (!nulls[18])
		values[18] = DirectFunctionCall1(inet_in, CStringGetDatum(staged->request->address));
	integ_rows_add(rows, values, nulls);
}

/* The state of an event as it comes: what it leads to is added to runs, or problem says why nothing is. */
static const char *
begin_event(const IntegWebhookStaged *staged, IntegHandlerRuns *runs, TimestampTz now, const char **problem)
{
	const IntegWebhookEvent *event = staged->event;
	const pg_uuid_t *answering = NULL;
	int depth = integ_handler_depth(), count;

	/* What is not what its trigger promises is kept for a person, and nothing runs. */
	*problem = event->problem;
	if (event->problem == NULL && depth >= integ_max_event_depth)
		*problem = psprintf("the event led to itself: %d runs led to each other (integ.max_event_depth)", depth);
	if (*problem != NULL)
		return "dead";
	if (staged->webhook->has_tasks)
		(void) integ_realtime_enqueue(staged->webhook, event);
	count = integ_event_lead(staged->webhook, event, now, depth, runs, staged->reply == NULL ? NULL : &answering);
	if (count == 0)
		return "handled";
	if (answering != NULL && !staged->reply->has_run)
	{
		staged->reply->has_run = true;
		staged->reply->run = *answering;
	}
	return "received";
}

/* For the endpoints that want to know what came in. */
static void
add_received(IntegOwnEvents *told, const IntegWebhookStaged *staged)
{
	static const char kind[] = "webhook.received";
	const IntegWebhookEvent *event = staged->event;
	IntegJsonBuilder payload;

	if (!integ_own_event_wanted(event->client_id, kind))
		return;
	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "event", integ_uuid_text(&event->id));
	integ_json_add_string(&payload, "definition", staged->webhook->definition->id);
	if (event->name != NULL)
		integ_json_add_string(&payload, "name", event->name);
	if (event->payload != NULL)
		integ_json_add_jsonb(&payload, "payload", event->payload);
	integ_own_events_add(told, event->client_id, kind, event->instance, integ_json_end(&payload));
}

int
integ_webhook_store(IntegWebhookBatch *batch, pg_uuid_t *stored)
{
	TimestampTz now = GetCurrentTimestamp();
	const pg_uuid_t *request = NULL;
	IntegHandlerRuns runs;
	IntegOwnEvents told;
	IntegRows rows;
	int count = 0;

	if (batch->count == 0)
		return 0;
	take_deliveries(batch);
	integ_own_events_begin(&told);
	integ_handler_runs_begin(&runs);
	integ_rows_begin(&rows, event_types, lengthof(event_types));
	for (int i = 0; i < batch->count; i++)
	{
		IntegWebhookStaged *staged = &batch->events[i];
		/* Of the events of a request the first has its body. */
		bool is_first = request == NULL || memcmp(request, &staged->request_id, UUID_LEN) != 0;
		const char *state, *problem;

		if (staged->repeated)
			continue;
		request = &staged->request_id;
		state = begin_event(staged, &runs, now, &problem);
		add_event(&rows, staged, is_first, state, problem, now);
		if (rows.bytes > INTEG_ROWS_BYTES)
			(void) insert_events(&rows);
		if (runs.rows.bytes > INTEG_ROWS_BYTES)
			integ_handler_runs_store(&runs);
		add_received(&told, staged);
		if (stored != NULL)
			stored[count] = staged->event->id;
		count++;
	}
	(void) insert_events(&rows);
	integ_handler_runs_store(&runs);
	integ_own_events_publish(&told);
	batch->count = 0;
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
