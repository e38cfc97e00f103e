/*
 * integ's own events: rows of integ.events, and others that would be too many for it.
 */
#include "endpoints/events.h"

#include "commands/trigger.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/uuid.h"
#include "endpoints/publish.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_tg_event_publish);

static char *
own_type(const char *kind)
{
	return psprintf("%s%s", INTEG_EVENT_PREFIX, kind);
}

bool
integ_own_event_wanted(const char *client, const char *kind)
{
	return integ_event_wanted(client, own_type(kind));
}

bool
integ_own_event_asked_for(const char *client, const char *kind)
{
	const char *type = own_type(kind);
	IntegOwnerScope scope;
	bool wanted;

	if (integ_endpoints_are_cached(client))
		return integ_event_wanted(client, type);
	integ_owner_enter(&scope);
	wanted = integ_event_wanted(client, type);
	integ_owner_leave(&scope);
	return wanted;
}

/* The payload, with whose it is and what it is about. */
static Jsonb *
complete(const Jsonb *payload, const char *client, const pg_uuid_t *instance)
{
	IntegJsonBuilder builder;
	JsonbIterator *iterator = JsonbIteratorInit((JsonbContainer *) &payload->root);
	JsonbIteratorToken token;
	JsonbValue value;
	char *key = NULL;

	integ_json_begin_object(&builder);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = integ_json_value_text(&value);
		else if (token == WJB_VALUE)
			integ_json_add(&builder, key, &value);
	}
	integ_json_add_string(&builder, "client", client);
	if (instance != NULL)
		integ_json_add_string(&builder, "instance", integ_uuid_text(instance));
	return integ_json_end(&builder);
}

static IntegMessage
message_of(const char *client, const char *kind, const pg_uuid_t *instance, const Jsonb *payload)
{
	return (IntegMessage){.event_type = own_type(kind),
						  .client = client,
						  .instance = instance,
						  .created_at = GetCurrentTimestamp(),
						  .deliver_at = GetCurrentTimestamp(),
						  .payload = complete(payload, client, instance)};
}

void
integ_own_events_begin(IntegOwnEvents *events)
{
	memset(events, 0, sizeof(*events));
}

void
integ_own_events_add(IntegOwnEvents *events, const char *client, const char *kind, const pg_uuid_t *instance,
					 const Jsonb *payload)
{
	IntegMessage *message;

	if (events->count == events->room)
	{
		events->room = Max(16, 2 * events->room);
		events->items = events->items == NULL ? palloc(events->room * sizeof(IntegMessage))
											  : repalloc(events->items, events->room * sizeof(IntegMessage));
	}
	message = &events->items[events->count++];
	*message = message_of(client, kind, instance, payload);
	integ_uuid_make(&message->id);
}

void
integ_own_events_publish(const IntegOwnEvents *events)
{
	(void) integ_messages_publish(events->items, events->count, NULL, 0);
}

/* One of the client's own goes before one of '*' with the same handle. */
static const IntegEndpoint *
find_named(const char *client, const char *name)
{
	const IntegEndpoints *endpoints = integ_endpoints_of(client);
	const IntegEndpoint *found = NULL;

	for (int i = 0; i < endpoints->count; i++)
	{
		const IntegEndpoint *endpoint = &endpoints->items[i];

		if (strcmp(endpoint->endpoint_id, name) != 0 && strcmp(integ_uuid_text(&endpoint->id), name) != 0)
			continue;
		if (found == NULL || strcmp(endpoint->client_id, client) == 0)
			found = endpoint;
	}
	return found;
}

bool
integ_own_event_send(const char *client, const char *endpoint, const char *kind, const pg_uuid_t *instance,
					 const Jsonb *payload)
{
	const IntegEndpoint *found = find_named(client, endpoint);
	IntegMessage message;

	if (found == NULL)
		return false;
	message = message_of(client, kind, instance, payload);
	integ_uuid_make(&message.id);
	integ_message_send(&message, found);
	return true;
}

/* AFTER INSERT on integ.events. Where no endpoint wants the event it costs a look at a cached list. */
Datum
integ_tg_event_publish(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc columns;
	IntegOwnerScope scope;
	Datum id, created_at, instance, payload;
	char *client, *kind;
	bool isnull, no_instance;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_event_publish must be called as a trigger");
	columns = RelationGetDescr(trigger->tg_relation);
#define COLUMN(name, isnull) SPI_getbinval(trigger->tg_trigtuple, columns, SPI_fnumber(columns, name), isnull)
	client = TextDatumGetCString(COLUMN("client_id", &isnull));
	kind = TextDatumGetCString(COLUMN("kind", &isnull));
	id = COLUMN("id", &isnull);
	created_at = COLUMN("created_at", &isnull);
	payload = COLUMN("payload", &isnull);
	instance = COLUMN("instance", &no_instance);
#undef COLUMN
	integ_owner_enter(&scope);
	if (integ_own_event_wanted(client, kind))
	{
		IntegMessage message =
			message_of(client, kind, no_instance ? NULL : DatumGetUUIDP(instance), DatumGetJsonbP(payload));

		message.id = *DatumGetUUIDP(id);
		message.created_at = DatumGetTimestampTz(created_at);
		(void) integ_messages_publish(&message, 1, NULL, 0);
	}
	integ_owner_leave(&scope);
	return PointerGetDatum(NULL);
}
