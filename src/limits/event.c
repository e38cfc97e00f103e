/*
 * Events of limits and breakers: rows of integ.events, written by the recorder, so that neither a caller's
 * ROLLBACK takes them along nor a request waits for them.
 */
#include "limits/table.h"

#include "core/json.h"
#include "core/shmem.h"
#include "record/entry.h"
#include "record/ring.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Longest payload and kind together; texts in it are clipped to fit. */
#define PAYLOAD_MAX 4096

/* Where entries are made before they are copied. */
static union
{
	char bytes[INTEG_ENTRY_MAX];
	double aligned;
} entry_buffer;

static void
add_text(IntegJsonBuilder *payload, const char *key, const char *text)
{
	if (text[0] != '\0')
		integ_json_add_string(payload, key, text);
}

static char *
make_payload(const IntegLimitEvent *event)
{
	IntegJsonBuilder payload;

	integ_json_begin_object(&payload);
	add_text(&payload, "host", event->name);
	add_text(&payload, "definition", event->label.definition);
	add_text(&payload, "method", event->label.method);
	add_text(&payload, "key", event->label.key);
	add_text(&payload, "error", event->error);
	if (event->source != NULL)
		integ_json_add_string(&payload, "source", event->source);
	if (event->limit > 0)
	{
		integ_json_add_int(&payload, "limit", event->limit);
		integ_json_add_int(&payload, "used", event->used);
	}
	if (event->per_us > 0)
		integ_json_add_int(&payload, "window_ms", event->per_us / 1000);
	if (event->at > 0)
		integ_json_add_string(&payload, "until", timestamptz_to_str(integ_limits_to_time(event->at)));
	return integ_json_print(integ_json_end(&payload));
}

static void
tell(const IntegLimitEvent *event)
{
	static const pg_uuid_t none;
	IntegDatabase *database = integ_shmem_mine();
	IntegEventEntry head = {.has_instance = memcmp(&event->label.instance, &none, sizeof(none)) != 0,
							.instance = event->label.instance};
	char *payload = make_payload(event);

	if (database == NULL || strlen(payload) >= PAYLOAD_MAX)
		return;
	strlcpy(head.kind, event->kind, sizeof(head.kind));
	strlcpy(head.client, event->label.client, sizeof(head.client));
	integ_ring_append(database, integ_entry_event(entry_buffer.bytes, &head, payload), 0);
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
