/*
 * Events of limits and breakers: rows of integ.events, written by the recorder, so that neither a caller's
 * ROLLBACK takes them along nor a request waits for them.
 */
#include "limits/table.h"

#include "access/actor.h"
#include "core/json.h"
#include "record/record.h"

static void
add_text(IntegJsonBuilder *payload, const char *key, const char *text)
{
	if (text[0] != '\0')
		integ_json_add_string(payload, key, text);
}

static Jsonb *
make_payload(const IntegLimitEvent *event)
{
	IntegJsonBuilder payload;

	integ_json_begin_object(&payload);
	add_text(&payload, "host", event->name);
	add_text(&payload, "definition", event->label.definition);
	add_text(&payload, "method", event->label.method);
	add_text(&payload, "key", event->label.key);
	add_text(&payload, "error", event->error);
	integ_json_add_known(&payload, "source", event->source);
	if (event->limit > 0)
	{
		integ_json_add_int(&payload, "limit", event->limit);
		integ_json_add_int(&payload, "used", event->used);
	}
	if (event->per_us > 0)
		integ_json_add_int(&payload, "window_ms", event->per_us / 1000);
	if (event->at > 0)
		integ_json_add_time(&payload, "until", integ_limits_to_time(event->at));
	return integ_json_end(&payload);
}

static void
tell(const IntegLimitEvent *event)
{
	static const pg_uuid_t none;
	const IntegCounterLabel *label = &event->label;
	bool has_instance = memcmp(&label->instance, &none, sizeof(none)) != 0;

	integ_record_event(event->kind, label->client[0] != '\0' ? label->client : INTEG_GLOBAL_CLIENT,
					   has_instance ? &label->instance : NULL, make_payload(event), true);
}

void
integ_limits_tell(const IntegLimitEvent *event)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		tell(event);
	}
	PG_CATCH();
	{
		/* Out of memory: nothing else is made here. */
		MemoryContextSwitchTo(context);
		FlushErrorState();
		ereport(LOG, (errmsg("integ: the event %s could not be recorded", event->kind)));
	}
	PG_END_TRY();
}
