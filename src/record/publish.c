/*
 * What the recorder tells endpoints. An exchange's event says what its row of integ.requests says, so that it holds
 * no more than that, and whoever makes requests need not know whether anybody listens. No event comes of a
 * delivery's own request, which is no row of that table.
 */
#include "record/publish.h"

#include "core/json.h"
#include "core/owner.h"
#include "core/uuid.h"
#include "endpoints/events.h"
#include "port/pg_bswap.h"
#include "utils/timestamp.h"

#define API_REQUEST "api.request"

typedef enum FieldKind
{
	FIELD_TEXT,
	FIELD_UUID,
	FIELD_BOOL,
	FIELD_INT,
	FIELD_TIME
} FieldKind;

/* Columns of integ.requests that the event has, and as what. */
static const struct
{
	const char *column;
	const char *member;
	FieldKind kind;
} fields[] = {
	{"created_at", "started_at", FIELD_TIME},
	{"call_id", "call", FIELD_UUID},
	{"user_id", "user", FIELD_TEXT},
	{"instance_id", "instance_id", FIELD_TEXT},
	{"definition_id", "definition", FIELD_TEXT},
	{"method", "method", FIELD_TEXT},
	{"step", "step", FIELD_TEXT},
	{"http_method", "http_method", FIELD_TEXT},
	{"origin", "origin", FIELD_TEXT},
	{"path_template", "path_template", FIELD_TEXT},
	{"is_write", "is_write", FIELD_BOOL},
	{"status", "status", FIELD_INT},
	{"sqlstate", "sqlstate", FIELD_TEXT},
	{"error", "error", FIELD_TEXT},
	{"duration_us", "duration_us", FIELD_INT},
	{"request_bytes", "request_bytes", FIELD_INT},
	{"response_bytes", "response_bytes", FIELD_INT},
	{"attempt", "attempt", FIELD_INT},
};

static int
place_of(const char *column)
{
	for (int i = 0; i < integ_request_columns_count; i++)
		if (strcmp(integ_request_columns[i], column) == 0)
			return i;
	elog(ERROR, "integ.requests has no column \"%s\"", column);
}

/* An integer as COPY sends it, of four or eight bytes. */
static int64
read_int(const char *bytes, uint32 length)
{
	uint64 eight;
	uint32 four;

	if (length == sizeof(eight))
	{
		memcpy(&eight, bytes, sizeof(eight));
		return (int64) pg_ntoh64(eight);
	}
	memcpy(&four, bytes, sizeof(four));
	return (int32) pg_ntoh32(four);
}

static void
add_field(IntegJsonBuilder *payload, const char *member, FieldKind kind, const char *bytes, uint32 length)
{
	pg_uuid_t id;

	switch (kind)
	{
		case FIELD_TEXT:
			integ_json_add_string(payload, member, pnstrdup(bytes, length));
			break;
		case FIELD_UUID:
			memcpy(id.data, bytes, UUID_LEN);
			integ_json_add_string(payload, member, integ_uuid_text(&id));
			break;
		case FIELD_BOOL:
			integ_json_add_bool(payload, member, bytes[0] != 0);
			break;
		case FIELD_INT:
			integ_json_add_int(payload, member, read_int(bytes, length));
			break;
		case FIELD_TIME:
			integ_json_add_time(payload, member, read_int(bytes, length));
			break;
	}
}

/* The row of an exchange as its event; *instance is what it is about, or NULL. */
static Jsonb *
describe_request(const IntegEntry *entry, const pg_uuid_t **instance)
{
	IntegJsonBuilder payload;
	const char *bytes;
	uint32 length;

	*instance = (const pg_uuid_t *) integ_entry_field(entry, place_of("instance"), &length);
	integ_json_begin_object(&payload);
	for (size_t i = 0; i < lengthof(fields); i++)
		if ((bytes = integ_entry_field(entry, place_of(fields[i].column), &length)) != NULL)
			add_field(&payload, fields[i].member, fields[i].kind, bytes, length);
	return integ_json_end(&payload);
}

static char *
client_of(const IntegEntry *entry)
{
	const char *client = INTEG_ENTRY_BODY(entry) + INTEG_ENTRY_CLIENT;
	uint32 length;

	memcpy(&length, client, sizeof(length));
	return pnstrdup(client + sizeof(length), pg_ntoh32(length));
}

/* False of a row that tells of a gap. */
static bool
is_exchange(const IntegEntry *entry)
{
	static const char request[] = "request";
	const char *kind;
	uint32 length;

	if (entry->kind != INTEG_ENTRY_REQUEST)
		return false;
	kind = integ_entry_field(entry, place_of("kind"), &length);
	return length == strlen(request) && memcmp(kind, request, length) == 0;
}

static void
collect_requests(IntegOwnEvents *events, IntegEntry *const *entries, int count)
{
	const char *last = NULL;
	bool wanted = false;

	for (int i = 0; i < count; i++)
	{
		const pg_uuid_t *instance;
		Jsonb *payload;
		char *client;

		if (!is_exchange(entries[i]))
			continue;
		client = client_of(entries[i]);
		/* The exchanges of a client often follow each other. */
		if (last == NULL || strcmp(client, last) != 0)
			wanted = integ_own_event_asked_for(client, API_REQUEST);
		last = client;
		if (!wanted)
			continue;
		payload = describe_request(entries[i], &instance);
		integ_own_events_add(events, client, API_REQUEST, instance, payload);
	}
}

static void
collect_events(IntegOwnEvents *events, IntegEntry *const *entries, int count)
{
	for (int i = 0; i < count; i++)
	{
		const IntegEventEntry *event = (const IntegEventEntry *) INTEG_ENTRY_BODY(entries[i]);

		if (entries[i]->kind == INTEG_ENTRY_EVENT && !event->is_kept)
			integ_own_events_add(events, event->client, event->kind, event->has_instance ? &event->instance : NULL,
								 integ_json_parse((const char *) (event + 1)));
	}
}

void
integ_recorder_publish(IntegEntry *const *entries, int count)
{
	IntegOwnEvents events;
	IntegOwnerScope scope;

	integ_own_events_begin(&events);
	collect_requests(&events, entries, count);
	collect_events(&events, entries, count);
	if (events.count == 0)
		return;
	integ_owner_enter(&scope);
	integ_own_events_publish(&events);
	integ_owner_leave(&scope);
}
