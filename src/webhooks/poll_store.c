/*
 * A page of a poll: which of its records are new, and the events that those become.
 */
#include "webhooks/poll.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "convert/conversion.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/query.h"
#include "core/uuid.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* The page on its way. */
typedef struct Reading
{
	const IntegPoll *poll;
	IntegWebhook *webhook; /* what stands for the poll */
	IntegWebhookTrigger trigger;
	IntegPath *id;		 /* or NULL */
	IntegPath *modified; /* or NULL */
	bool once;			 /* a record counts once, whatever becomes of it */
	TimestampTz until;	 /* the mark does not move beyond */
	int count;
	IntegWebhookEvent *events; /* one a record; ids grow */
	Datum *keys;
	Datum *ids;
	IntegPollPage result;
} Reading;

static IntegPath *
field_path(const JsonbContainer *manifest, const char *key)
{
	const char *field = integ_json_get_string(manifest, key);

	if (field == NULL)
		return NULL;
	return integ_path_compile(field[0] == '.' || field[0] == '$' ? field : psprintf(".%s", field), key);
}

static Reading
open_page(const IntegPoll *poll, const IntegDefinition *definition, const JsonbContainer *trigger, int count)
{
	const JsonbContainer *manifest = integ_json_get_object(trigger, "poll");
	const char *type = integ_json_get_string(trigger, "type");
	Reading page = {.poll = poll};

	page.webhook = palloc0(sizeof(IntegWebhook));
	page.webhook->id = poll->id;
	page.webhook->webhook_id = poll->trigger;
	page.webhook->client_id = poll->client_id;
	page.webhook->definition = definition;
	page.webhook->instance = &poll->instance;
	page.webhook->events = integ_json_empty_array();
	page.webhook->filter = poll->filter;
	page.webhook->handler = poll->handler;
	page.webhook->trigger_handlers = integ_json_empty_object();
	page.webhook->owner = poll->owner;
	page.webhook->has_rules = page.webhook->has_tasks = page.webhook->is_poll = true;
	integ_webhook_trigger_compile(&definition->manifest->root, trigger, "trigger", &page.trigger);
	/* The record that was found is the payload. */
	if (page.trigger.record == NULL && page.trigger.entity != NULL && !page.trigger.deletes)
		page.trigger.record = integ_path_compile(".", "trigger");
	page.id = field_path(manifest, "idField");
	page.modified = field_path(manifest, "modifiedField");
	page.once = page.id != NULL && type != NULL && (strcmp(type, "created") == 0 || strcmp(type, "deleted") == 0);
	page.events = palloc0(sizeof(IntegWebhookEvent) * (count + 1));
	page.keys = palloc(sizeof(Datum) * (count + 1));
	page.ids = palloc(sizeof(Datum) * (count + 1));
	return page;
}

static char *
text_at(const IntegPath *path, const JsonbValue *record, JsonbValue *found)
{
	return path != NULL && integ_path_find(path, record, found) ? integ_json_value_text(found) : NULL;
}

static char *
hash_of(const Jsonb *record)
{
	const unsigned char *bytes = (const unsigned char *) record;

	return psprintf("%016llx%016llx",
					(unsigned long long) DatumGetUInt64(hash_any_extended(bytes, VARSIZE(record), 1)),
					(unsigned long long) DatumGetUInt64(hash_any_extended(bytes, VARSIZE(record), 2)));
}

/* What the record is known by: its id, and unless it counts once its time of change, or all that it says. */
static char *
key_of(const Reading *page, const char *id, const char *modified, const Jsonb *record)
{
	if (id == NULL)
		return hash_of(record);
	if (page->once)
		return pstrdup(id);
	return psprintf("%s@%s", id, modified != NULL ? modified : hash_of(record));
}

static void
note_newest(Reading *page, const char *text, TimestampTz at)
{
	if (at > page->until || (page->result.newest != NULL && page->result.newest_at >= at))
		return;
	page->result.newest = text;
	page->result.newest_at = at;
}

static void
read_record(Reading *page, const JsonbValue *record)
{
	IntegWebhookEvent *event = &page->events[page->count];
	JsonbValue found;
	char *id = text_at(page->id, record, &found);
	char *modified = text_at(page->modified, record, &found);
	TimestampTz at;

	integ_uuid_make(&event->id);
	event->name = page->poll->trigger;
	event->payload = integ_json_value_jsonb(record);
	event->client_id = page->poll->client_id;
	event->instance = &page->poll->instance;
	event->triggers = &page->trigger.id;
	event->ntriggers = 1;
	if (modified != NULL && integ_value_instant(&found, &at))
	{
		event->occurred_at = at;
		note_newest(page, modified, at);
	}
	event->delivery_id = key_of(page, id, modified, event->payload);
	page->keys[page->count] = CStringGetTextDatum(integ_webhook_key(event->delivery_id));
	page->ids[page->count] = UUIDPGetDatum(&event->id);
	page->count++;
}

/*
 * Notes the keys; the ids of the events whose are new are the result, sorted. A key that is seen again stays known:
 * what a service goes on telling must not become news once the key's time is over.
 */
static uint64
take_keys(const Reading *page)
{
	static IntegQuery take = {
		"INSERT INTO integ.webhook_keys AS k (webhook, delivery_id, event, expires_at)"
		" SELECT DISTINCT ON (d.delivery_id) $1, d.delivery_id, d.event, $4"
		" FROM unnest($2, $3) AS d (delivery_id, event) ORDER BY d.delivery_id, d.event"
		" ON CONFLICT (webhook, delivery_id) DO UPDATE SET expires_at = excluded.expires_at WHERE k.expires_at < $5"
		" RETURNING k.event",
		5,
		{UUIDOID, TEXTARRAYOID, UUIDARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID}};
	TimestampTz now = GetCurrentTimestamp();
	Datum values[] = {
		UUIDPGetDatum(&page->poll->id),
		PointerGetDatum(construct_array(page->keys, page->count, TEXTOID, -1, false, TYPALIGN_INT)),
		PointerGetDatum(construct_array(page->ids, page->count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)),
		TimestampTzGetDatum(now + integ_log_retention * USECS_PER_DAY),
		TimestampTzGetDatum(now + integ_log_retention * USECS_PER_DAY / 2)};

	return integ_query(&take, values, NULL);
}

static int
compare_events(const void *key, const void *event)
{
	return memcmp(key, &((const IntegWebhookEvent *) event)->id, UUID_LEN);
}

/* The events that are new, in the order of the page, as a list of their own; *count is how many. */
static IntegWebhookEvent *
find_new(const Reading *page, int *count)
{
	IntegWebhookEvent *fresh = palloc(sizeof(IntegWebhookEvent) * (page->count + 1));
	bool *is_new = palloc0(sizeof(bool) * (page->count + 1));
	MemoryContext context = CurrentMemoryContext;
	uint64 taken = take_keys(page);

	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < taken; i++)
	{
		bool isnull;
		IntegWebhookEvent *event = bsearch(DatumGetUUIDP(integ_result_datum(i, 1, &isnull)), page->events, page->count,
										   sizeof(IntegWebhookEvent), compare_events);

		/* The key of one that was seen before has that one's event. */
		if (event != NULL)
			is_new[event - page->events] = true;
	}
	*count = 0;
	for (int i = 0; i < page->count; i++)
		if (is_new[i])
			fresh[(*count)++] = page->events[i];
	return fresh;
}

/* Of those that are new the ones that fire the trigger, as they are to be stored. */
static int
select_firing(const Reading *page, IntegWebhookEvent *events, int count)
{
	int kept = 0;

	for (int i = 0; i < count; i++)
	{
		if (page->trigger.when != NULL && !integ_path_exists(page->trigger.when, events[i].payload))
			continue;
		events[kept] = events[i];
		integ_webhook_check_payload(&page->trigger, &events[kept++]);
	}
	return kept;
}

IntegPollPage
integ_poll_store(const IntegPoll *poll, const IntegDefinition *definition, const JsonbContainer *trigger,
				 const Jsonb *records, bool fire, TimestampTz until)
{
	Reading page = open_page(poll, definition, trigger, (int) JB_ROOT_COUNT(records));
	IntegWebhookBatch *batch = integ_webhook_batch();
	IntegInbound request = {.method = "GET"};
	IntegWebhookEvent *fresh;
	IntegJsonWalk walk;
	JsonbValue record;
	int count;

	page.until = until;
	page.webhook->reading.ntriggers = 1;
	page.webhook->reading.triggers = &page.trigger;
	integ_json_walk_begin(&walk, &records->root);
	while (integ_json_walk_element(&walk, &record))
		read_record(&page, &record);
	page.result.nrecords = page.count;
	if (page.count == 0)
		return page.result;
	fresh = find_new(&page, &count);
	if (!fire)
		return page.result;
	integ_webhook_stage(batch, page.webhook, &request, fresh, select_firing(&page, fresh, count), NULL);
	page.result.nevents = integ_webhook_store(batch, NULL);
	return page.result;
}
