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

static void
publish(const pg_uuid_t *id, TimestampTz created_at, const char *client, const char *kind, const pg_uuid_t *instance,
		const Jsonb *payload)
{
	IntegMessage message = {.id = *id,
							.event_type = own_type(kind),
							.client = client,
							.instance = instance,
							.created_at = created_at,
							.deliver_at = GetCurrentTimestamp()};
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
	message.payload = integ_json_end(&builder);
	(void) integ_messages_publish(&message, 1, NULL, 0);
}

void
integ_own_event_publish(const char *client, const char *kind, const pg_uuid_t *instance, const Jsonb *payload)
{
	pg_uuid_t id;

	integ_uuid_make(&id);
	publish(&id, GetCurrentTimestamp(), client, kind, instance, payload);
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
		publish(DatumGetUUIDP(id), DatumGetTimestampTz(created_at), client, kind,
				no_instance ? NULL : DatumGetUUIDP(instance), DatumGetJsonbP(payload));
	integ_owner_leave(&scope);
	return PointerGetDatum(NULL);
}
