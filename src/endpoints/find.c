/*
 * Endpoints as they are cached: by key for who delivers, by client for who publishes.
 */
#include "endpoints/endpoint.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/cache.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/match.h"
#include "core/query.h"
#include "core/uuid.h"
#include "http/url.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define COMMON_COLUMNS                                                                            \
	"e.id, e.endpoint_id, e.client_id, e.instance, e.status, e.event_types, e.filter, e.ordered," \
	" coalesce(e.rate_limit, 0)::bigint, e.concurrency::bigint"

/* An event of integ that comes with every request: whoever wants it names it. */
#define EVERY_REQUEST INTEG_EVENT_PREFIX "api.request"

/* An array of texts, its elements in CurrentMemoryContext. */
static const char **
read_texts(uint64 row, int column, int *count)
{
	bool isnull;
	Datum array = integ_result_datum(row, column, &isnull);
	Datum *elements;
	const char **texts;

	*count = 0;
	if (isnull)
		return NULL;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, count);
	texts = palloc(Max(*count, 1) * sizeof(char *));
	for (int i = 0; i < *count; i++)
		texts[i] = TextDatumGetCString(elements[i]);
	return texts;
}

/* What publishers need to know of a row. */
static void
read_common(uint64 row, IntegEndpoint *endpoint)
{
	MemoryContext context = CurrentMemoryContext;
	char *status;
	Datum instance;
	bool isnull;

	endpoint->id = *DatumGetUUIDP(integ_result_datum(row, 1, &isnull));
	endpoint->endpoint_id = integ_result_text(row, 2, context);
	endpoint->client_id = integ_result_text(row, 3, context);
	instance = integ_result_datum(row, 4, &isnull);
	if (!isnull)
	{
		pg_uuid_t *copy = palloc(sizeof(pg_uuid_t));

		*copy = *DatumGetUUIDP(instance);
		endpoint->instance = copy;
	}
	status = integ_result_text(row, 5, context);
	endpoint->is_active = strcmp(status, "active") == 0;
	endpoint->is_disabled = strcmp(status, "disabled") == 0;
	endpoint->patterns = read_texts(row, 6, &endpoint->npatterns);
	endpoint->filter = integ_result_varlena(row, 7, context);
	endpoint->ordered = integ_result_bool(row, 8);
	endpoint->rate_limit = (int) integ_result_int8(row, 9);
	endpoint->concurrency = (int) integ_result_int8(row, 10);
}

static uint64
generation(void)
{
	return integ_cache_generation(INTEG_CACHE_ENDPOINTS);
}

static IntegEndpoints *
read_list(const char *client, MemoryContext parent)
{
	static IntegQuery list = {
		"SELECT " COMMON_COLUMNS " FROM integ.endpoints e"
		" WHERE e.client_id IN ($1, '*') AND e.status <> 'disabled' ORDER BY e.id",
		1,
		{TEXTOID}};
	Datum value = CStringGetTextDatum(client);
	uint64 count = integ_query_latest(&list, &value, NULL);
	MemoryContext context = AllocSetContextCreate(parent, "integ endpoints", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	IntegEndpoints *found = palloc0(sizeof(IntegEndpoints));
	IntegEndpoint *items = palloc0(Max(count, 1) * sizeof(IntegEndpoint));

	found->pinned.context = context;
	found->count = (int) count;
	found->items = items;
	for (uint64 i = 0; i < count; i++)
		read_common(i, &items[i]);
	MemoryContextSwitchTo(old);
	return found;
}

static IntegPinnedTable lists = {.name = "integ endpoints of clients"};

bool
integ_endpoints_are_cached(const char *client)
{
	return integ_pinned_find(&lists, generation(), client) != NULL;
}

const IntegEndpoints *
integ_endpoints_of(const char *client)
{
	MemoryContext context = CurrentMemoryContext;
	IntegEndpoints *found = integ_pinned_find(&lists, generation(), client);

	if (found != NULL)
		return found;
	found = read_list(client, context);
	MemoryContextSwitchTo(context);
	integ_pinned_keep(&lists, generation(), client, &found->pinned);
	return found;
}

/* A document of the row, compiled; NULL where there is none, or nothing in it. */
static const IntegTemplate *
read_template(uint64 row, int column, const char *where)
{
	Jsonb *document = (Jsonb *) integ_result_varlena(row, column, CurrentMemoryContext);
	JsonbValue root;

	if (document == NULL || (JB_ROOT_IS_OBJECT(document) && JB_ROOT_COUNT(document) == 0))
		return NULL;
	integ_json_root(document, &root);
	return integ_template_compile(&root, where);
}

static const IntegRetrySchedule *
read_schedule(uint64 row, int column)
{
	IntegRetrySchedule *schedule;
	bool isnull;
	Datum array = integ_result_datum(row, column, &isnull);
	Datum *elements;
	int count;

	if (isnull)
		return NULL;
	schedule = palloc0(sizeof(IntegRetrySchedule));
	deconstruct_array(DatumGetArrayTypeP(array), INT8OID, 8, true, TYPALIGN_DOUBLE, &elements, NULL, &count);
	schedule->count = Min(count, INTEG_RETRIES_MAX);
	for (int i = 0; i < schedule->count; i++)
		schedule->delays[i] = DatumGetInt64(elements[i]);
	return schedule;
}

static IntegEndpoint *
read_endpoint(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "integ endpoint", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	IntegEndpoint *endpoint = palloc0(sizeof(IntegEndpoint));
	char problem[256];
	char *origin;

	endpoint->pinned.context = context;
	read_common(0, endpoint);
	endpoint->url = integ_result_text(0, 11, context);
	origin = integ_url_origin(endpoint->url, problem, sizeof(problem));
	endpoint->origin = origin == NULL ? NULL : pstrdup(origin);
	free(origin);
	endpoint->credentials = (IntegCredentialOwner){"endpoint", integ_uuid_text(&endpoint->id), endpoint->client_id};
	endpoint->headers = read_template(0, 12, "the endpoint's headers");
	endpoint->body = read_template(0, 13, "the endpoint's payload_template");
	endpoint->standard = integ_result_bool(0, 14);
	endpoint->signature_header = integ_result_text(0, 15, context);
	endpoint->secrets = read_texts(0, 16, &endpoint->nsecrets);
	endpoint->rate_us = integ_result_int8(0, 17);
	endpoint->timeout_ms = (int) integ_result_int8(0, 18);
	endpoint->schedule = read_schedule(0, 19);
	MemoryContextSwitchTo(old);
	return endpoint;
}

const IntegEndpoint *
integ_endpoint_get(const pg_uuid_t *id)
{
	static IntegPinnedTable cache = {.name = "integ endpoints"};
	static IntegQuery get = {
		"SELECT " COMMON_COLUMNS ", e.url, e.headers, e.payload_template, e.standard_signature, e.signature_header,"
		" e.secrets, (extract(epoch FROM e.rate_period) * 1000000)::bigint, coalesce(e.timeout_ms, 0)::bigint,"
		" (SELECT pg_catalog.array_agg((extract(epoch FROM delay) * 1000000)::bigint ORDER BY turn)"
		"  FROM unnest(e.retry_schedule) WITH ORDINALITY AS s (delay, turn))"
		" || CASE WHEN e.retry_schedule IS NOT NULL THEN '{}'::bigint[] END"
		" FROM integ.endpoints e WHERE e.id = $1",
		1,
		{UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	char *key = integ_uuid_text(id);
	IntegEndpoint *endpoint = integ_pinned_find(&cache, generation(), key);
	Datum value = UUIDPGetDatum(id);

	if (endpoint != NULL)
		return endpoint;
	if (integ_query_latest(&get, &value, NULL) == 0)
		return NULL;
	endpoint = read_endpoint(context);
	MemoryContextSwitchTo(context);
	integ_pinned_keep(&cache, generation(), key, &endpoint->pinned);
	return endpoint;
}

bool
integ_endpoint_wants(const IntegEndpoint *endpoint, const char *event_type)
{
	size_t prefix = strlen(INTEG_EVENT_PREFIX);
	bool is_own = strncmp(event_type, INTEG_EVENT_PREFIX, prefix) == 0;

	if (endpoint->npatterns == 0)
		return !is_own;
	for (int i = 0; i < endpoint->npatterns; i++)
	{
		const char *pattern = endpoint->patterns[i];

		/* A * before the prefix's end does not reach what is integ's own. */
		if (is_own && (strcmp(event_type, EVERY_REQUEST) == 0 ? strcmp(pattern, EVERY_REQUEST) != 0
															  : strncmp(pattern, INTEG_EVENT_PREFIX, prefix) != 0))
			continue;
		if (integ_name_matches(pattern, event_type))
			return true;
	}
	return false;
}

const IntegRetrySchedule *
integ_default_retry_schedule(void)
{
	static IntegRetrySchedule schedule;
	static char *parsed; /* what schedule was made of */
	char problem[128];

	if (parsed != NULL && strcmp(parsed, integ_delivery_schedule) == 0)
		return &schedule;
	/* Checked when it was set. */
	(void) integ_retry_schedule_parse(integ_delivery_schedule, &schedule, problem, sizeof(problem));
	if (parsed != NULL)
		pfree(parsed);
	parsed = MemoryContextStrdup(TopMemoryContext, integ_delivery_schedule);
	return &schedule;
}
