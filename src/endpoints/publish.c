/*
 * Publishing: a row for each endpoint that wants the event.
 */
#include "endpoints/publish.h"

#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "core/columns.h"
#include "core/match.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Deliveries of one statement. */
#define ROWS_MAX 500

/* Deliveries on their way into the table. */
typedef struct Rows
{
	IntegColumn ids, endpoints, messages, created, due, instances, clients, event_clients, types, keys, ordering,
		payloads;
	TimestampTz first; /* that is due */
	int total;
} Rows;

static void
begin_rows(Rows *rows)
{
	integ_column_begin(&rows->ids, UUIDOID, ROWS_MAX);
	integ_column_begin(&rows->endpoints, UUIDOID, ROWS_MAX);
	integ_column_begin(&rows->messages, UUIDOID, ROWS_MAX);
	integ_column_begin(&rows->created, TIMESTAMPTZOID, ROWS_MAX);
	integ_column_begin(&rows->due, TIMESTAMPTZOID, ROWS_MAX);
	integ_column_begin(&rows->instances, UUIDOID, ROWS_MAX);
	integ_column_begin(&rows->clients, TEXTOID, ROWS_MAX);
	integ_column_begin(&rows->event_clients, TEXTOID, ROWS_MAX);
	integ_column_begin(&rows->types, TEXTOID, ROWS_MAX);
	integ_column_begin(&rows->keys, TEXTOID, ROWS_MAX);
	integ_column_begin(&rows->ordering, TEXTOID, ROWS_MAX);
	integ_column_begin(&rows->payloads, JSONBOID, ROWS_MAX);
	rows->first = DT_NOEND;
}

static void
write_rows(Rows *rows)
{
	static IntegQuery insert = {
		"INSERT INTO integ.deliveries_open (id, endpoint, message, created_at, next_attempt_at, instance, client_id,"
		" event_client, event_type, key, ordering_key, payload)"
		" SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		12,
		{UUIDARRAYOID, UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, UUIDARRAYOID, TEXTARRAYOID,
		 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBARRAYOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum values[] = {integ_column_end(&rows->ids), integ_column_end(&rows->endpoints),
					  integ_column_end(&rows->messages), integ_column_end(&rows->created), integ_column_end(&rows->due),
					  integ_column_end(&rows->instances), integ_column_end(&rows->clients),
					  integ_column_end(&rows->event_clients), integ_column_end(&rows->types),
					  integ_column_end(&rows->keys), integ_column_end(&rows->ordering),
					  integ_column_end(&rows->payloads)};

	integ_wake_note_deliveries(rows->first);
	(void) integ_query(&insert, values, NULL);
	MemoryContextSwitchTo(context);
	rows->total += rows->ids.count;
}

static void
add_row(Rows *rows, const IntegEndpoint *endpoint, const IntegMessage *message)
{
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));

	integ_uuid_make(id);
	integ_column_add(&rows->ids, UUIDPGetDatum(id));
	integ_column_add(&rows->endpoints, UUIDPGetDatum(&endpoint->id));
	integ_column_add(&rows->messages, UUIDPGetDatum(&message->id));
	integ_column_add(&rows->created, TimestampTzGetDatum(message->created_at));
	integ_column_add(&rows->due, TimestampTzGetDatum(message->deliver_at));
	if (message->instance != NULL)
		integ_column_add(&rows->instances, UUIDPGetDatum(message->instance));
	else
		integ_column_add_null(&rows->instances);
	integ_column_add_text(&rows->clients, endpoint->client_id);
	integ_column_add_text(&rows->event_clients, message->client);
	integ_column_add_text(&rows->types, message->event_type);
	integ_column_add_text(&rows->keys, message->key);
	integ_column_add_text(&rows->ordering, endpoint->ordered ? message->key : NULL);
	integ_column_add(&rows->payloads, JsonbPGetDatum(message->payload));
	rows->first = Min(rows->first, message->deliver_at);
	if (rows->ids.count < ROWS_MAX)
		return;
	write_rows(rows);
	rows->ids.count = rows->endpoints.count = rows->messages.count = rows->created.count = rows->due.count = 0;
	rows->instances.count = rows->clients.count = rows->event_clients.count = rows->types.count = 0;
	rows->keys.count = rows->ordering.count = rows->payloads.count = 0;
}

static bool
is_among(const pg_uuid_t *id, const pg_uuid_t *ids, int count)
{
	for (int i = 0; i < count; i++)
		if (memcmp(id, &ids[i], UUID_LEN) == 0)
			return true;
	return false;
}

static bool
wants(const IntegEndpoint *endpoint, const IntegMessage *message)
{
	if (endpoint->instance != NULL &&
		(message->instance == NULL || memcmp(endpoint->instance, message->instance, UUID_LEN) != 0))
		return false;
	return integ_endpoint_wants(endpoint, message->event_type) && integ_filter_holds(endpoint->filter, message->payload);
}

int
integ_messages_publish(const IntegMessage *messages, int count, const pg_uuid_t *only, int nonly)
{
	const IntegEndpoints *endpoints = count == 0 ? NULL : integ_endpoints_of(messages[0].client);
	Rows rows = {0};

	if (endpoints == NULL || endpoints->count == 0)
		return 0;
	begin_rows(&rows);
	for (int i = 0; i < count; i++)
		for (int j = 0; j < endpoints->count; j++)
		{
			const IntegEndpoint *endpoint = &endpoints->items[j];

			if ((only == NULL || is_among(&endpoint->id, only, nonly)) && wants(endpoint, &messages[i]))
				add_row(&rows, endpoint, &messages[i]);
		}
	if (rows.ids.count > 0)
		write_rows(&rows);
	return rows.total;
}

bool
integ_event_wanted(const char *client, const char *event_type)
{
	const IntegEndpoints *endpoints = integ_endpoints_of(client);

	for (int i = 0; i < endpoints->count; i++)
		if (integ_endpoint_wants(&endpoints->items[i], event_type))
			return true;
	return false;
}

bool
integ_event_type_valid(const char *text, bool is_pattern)
{
	size_t len = strlen(text);

	return len > 0 && len <= INTEG_EVENT_TYPE_MAX &&
		   strspn(text, is_pattern ? "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-*"
								   : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}
