/*
 * Publishing: a row for each endpoint that wants the event.
 */
#include "endpoints/publish.h"

#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/match.h"
#include "core/rows.h"
#include "core/uuid.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Deliveries of one statement. */
#define ROWS_MAX 500

/* Columns of a delivery, in the order in which they are given. */
static const Oid row_types[] = {UUIDOID, UUIDOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID,
								TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, INT4OID};

/* Deliveries on their way into the table. */
typedef struct Deliveries
{
	IntegRows rows;
	TimestampTz first; /* that is due */
	int total;
} Deliveries;

static void
write_rows(Deliveries *deliveries)
{
	static IntegQuery insert = {
		"INSERT INTO integ.deliveries_open (id, endpoint, message, created_at, next_attempt_at, instance, client_id,"
		" event_client, event_type, key, ordering_key, payload, share)"
		" SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
		lengthof(row_types),
		{UUIDARRAYOID, UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, UUIDARRAYOID, TEXTARRAYOID,
		 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBARRAYOID, INT4ARRAYOID}};

	if (deliveries->rows.count == 0)
		return;
	deliveries->total += deliveries->rows.count;
	integ_wake_note_deliveries(deliveries->first);
	(void) integ_rows_query(&deliveries->rows, &insert);
}

bool
integ_endpoint_is_shared(const IntegEndpoint *endpoint)
{
	return endpoint->rate_limit == 0 && !endpoint->ordered && endpoint->concurrency >= INTEG_MAX_DISPATCHERS;
}

static void
add_row(Deliveries *deliveries, const IntegEndpoint *endpoint, const IntegMessage *message)
{
	pg_uuid_t *id = palloc(sizeof(pg_uuid_t));
	bool nulls[lengthof(row_types)] = {false};
	Datum values[lengthof(row_types)];

	integ_uuid_make(id);
	values[0] = UUIDPGetDatum(id);
	values[1] = UUIDPGetDatum(&endpoint->id);
	values[2] = UUIDPGetDatum(&message->id);
	values[3] = TimestampTzGetDatum(message->created_at);
	values[4] = TimestampTzGetDatum(message->deliver_at);
	values[5] = UUIDPGetDatum(message->instance);
	nulls[5] = message->instance == NULL;
	values[6] = CStringGetTextDatum(endpoint->client_id);
	values[7] = CStringGetTextDatum(message->client);
	values[8] = CStringGetTextDatum(message->event_type);
	values[9] = integ_rows_text(message->key, &nulls[9]);
	values[10] = integ_rows_text(endpoint->ordered ? message->key : NULL, &nulls[10]);
	values[11] = JsonbPGetDatum(message->payload);
	values[12] = Int32GetDatum((int32) (hash_bytes(id->data, UUID_LEN) & PG_INT32_MAX));
	nulls[12] = !integ_endpoint_is_shared(endpoint);
	integ_rows_add(&deliveries->rows, values, nulls);
	deliveries->first = Min(deliveries->first, message->deliver_at);
	if (deliveries->rows.count == ROWS_MAX || deliveries->rows.bytes > INTEG_ROWS_BYTES)
		write_rows(deliveries);
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
	if (!integ_endpoint_wants(endpoint, message->event_type))
		return false;
	return integ_filter_holds(endpoint->filter, message->payload);
}

int
integ_messages_publish(const IntegMessage *messages, int count, const pg_uuid_t *only, int nonly)
{
	const IntegEndpoints *endpoints = NULL;
	Deliveries deliveries = {.first = DT_NOEND};

	integ_rows_begin(&deliveries.rows, row_types, lengthof(row_types));
	for (int i = 0; i < count; i++)
	{
		if (i == 0 || strcmp(messages[i].client, messages[i - 1].client) != 0)
			endpoints = integ_endpoints_of(messages[i].client);
		for (int j = 0; j < endpoints->count; j++)
		{
			const IntegEndpoint *endpoint = &endpoints->items[j];

			if ((only == NULL || is_among(&endpoint->id, only, nonly)) && wants(endpoint, &messages[i]))
				add_row(&deliveries, endpoint, &messages[i]);
		}
	}
	write_rows(&deliveries);
	return deliveries.total;
}

void
integ_message_send(const IntegMessage *message, const IntegEndpoint *endpoint)
{
	Deliveries deliveries = {.first = DT_NOEND};

	integ_rows_begin(&deliveries.rows, row_types, lengthof(row_types));
	add_row(&deliveries, endpoint, message);
	write_rows(&deliveries);
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
