/*
 * Lanes: what the dispatcher knows of endpoints.
 */
#include "endpoints/deliver.h"

#include "catalog/pg_type.h"
#include "core/cache.h"
#include "core/query.h"
#include "oauth/desk.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/*
 * Requests of the last window may have left before this process began: they are counted once. Those that were under
 * way when the process before ended are counted as if they had been answered.
 */
static void
count_before(IntegDeliveryLane *lane, TimestampTz now)
{
	static IntegQuery before = {
		"SELECT started_at, 1::bigint FROM integ.deliveries_open WHERE endpoint = $1 AND started_at > $2"
		" AND state = 'sending'"
		" UNION ALL SELECT pg_catalog.max(created_at), pg_catalog.count(*) FROM integ.delivery_attempts"
		"  WHERE endpoint = $1 AND created_at > $2 AND duration_us IS NOT NULL"
		"  GROUP BY (extract(epoch FROM $3 - created_at) * 1000000)::bigint / $4",
		4,
		{UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}};
	MemoryContext context = CurrentMemoryContext;
	Datum values[] = {UUIDPGetDatum(&lane->endpoint), TimestampTzGetDatum(now - lane->window.per_us),
					  TimestampTzGetDatum(now), Int64GetDatum(Max(lane->window.per_us / INTEG_WINDOW_PARTS, 1))};
	uint64 count = integ_query(&before, values, NULL);
	bool isnull;

	for (uint64 i = 0; i < count; i++)
		integ_window_count(&lane->window, (uint32_t) integ_result_int8(i, 2),
						   DatumGetTimestampTz(integ_result_datum(i, 1, &isnull)), now);
	MemoryContextSwitchTo(context);
}

/* Whether what is not shared of the endpoint is this dispatcher's: as INTEG_MINE says it in SQL. */
static bool
is_mine(const IntegDispatcher *dispatcher, const pg_uuid_t *endpoint)
{
	return integ_oauth_dispatcher(endpoint, dispatcher->total) == dispatcher->number;
}

static void
learn(const IntegDispatcher *dispatcher, IntegDeliveryLane *lane, const IntegEndpoint *endpoint)
{
	TimestampTz now = GetCurrentTimestamp();
	uint32_t limit = endpoint == NULL ? 0 : (uint32_t) endpoint->rate_limit;

	lane->is_active = endpoint != NULL && endpoint->is_active && endpoint->origin != NULL &&
					  (limit == 0 || is_mine(dispatcher, &lane->endpoint));
	if (endpoint == NULL)
		return;
	lane->concurrency = integ_endpoint_is_shared(endpoint) ? integ_lane_part(dispatcher, endpoint->concurrency)
														   : endpoint->concurrency;
	strlcpy(lane->origin, endpoint->origin != NULL ? endpoint->origin : "", sizeof(lane->origin));
	if (lane->window.limit == limit && (limit == 0 || lane->window.per_us == endpoint->rate_us))
		return;
	integ_window_init(&lane->window, limit, endpoint->rate_us);
	if (limit > 0)
		count_before(lane, now);
}

IntegDeliveryLane *
integ_delivery_lane(IntegDeliveryDesk *desk, const pg_uuid_t *endpoint)
{
	HASHCTL control = {
		.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(IntegDeliveryLane), .hcxt = desk->context};
	uint64 generation = integ_cache_generation(INTEG_CACHE_ENDPOINTS);
	IntegDeliveryLane *lane;
	bool found;

	if (desk->lanes == NULL)
		desk->lanes = hash_create("integ delivery lanes", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	lane = hash_search(desk->lanes, endpoint, HASH_ENTER, &found);
	if (!found)
		memset((char *) lane + sizeof(pg_uuid_t), 0, sizeof(IntegDeliveryLane) - sizeof(pg_uuid_t));
	if (!found || lane->generation != generation)
	{
		/* Should reading it fail, it is read again. */
		lane->generation = 0;
		learn(desk->dispatcher, lane, integ_endpoint_get(endpoint));
		lane->generation = generation;
	}
	return lane;
}

/* The room that is shared with calls. It forgets what it was told once nothing is in it. */
static IntegLane *
shared_lane(IntegDeliveryDesk *desk, const IntegDeliveryLane *lane)
{
	IntegLane *shared = integ_lane_get(desk->dispatcher, &lane->endpoint);

	if (shared->host == NULL || shared->limit != lane->concurrency)
		integ_lane_learn(desk->dispatcher, shared, lane->concurrency, lane->origin);
	return shared;
}

int
integ_delivery_room(IntegDeliveryDesk *desk, IntegDeliveryLane *lane, TimestampTz now)
{
	int room;

	if (!lane->is_active || lane->paused_until > now)
		return 0;
	room = integ_lane_free(shared_lane(desk, lane), now);
	return lane->window.limit == 0 ? room : Min(room, (int) integ_window_room(&lane->window, now));
}

TimestampTz
integ_delivery_room_at(IntegDeliveryDesk *desk, IntegDeliveryLane *lane, TimestampTz now)
{
	int64_t next;

	if (!lane->is_active)
		return DT_NOEND;
	if (lane->paused_until > now)
		return lane->paused_until;
	if (integ_lane_free(shared_lane(desk, lane), now) == 0)
		return DT_NOEND;
	next = lane->window.limit == 0 ? now : integ_window_next(&lane->window, 1, now);
	return next < 0 ? DT_NOEND : next;
}

void
integ_delivery_enter(IntegDeliveryDesk *desk, IntegDeliveryLane *lane)
{
	integ_lane_take(shared_lane(desk, lane));
	if (lane->window.limit > 0)
		integ_window_take(&lane->window);
}

void
integ_delivery_leave(IntegDeliveryDesk *desk, IntegDeliveryLane *lane, bool left)
{
	integ_lane_give(integ_lane_get(desk->dispatcher, &lane->endpoint));
	/* The limit may have come, or been another, since. */
	if (lane->window.limit == 0 || lane->window.in_flight == 0)
		return;
	if (left)
		integ_window_answered(&lane->window, GetCurrentTimestamp());
	else
		integ_window_give_back(&lane->window);
}

void
integ_delivery_backlog(IntegDeliveryDesk *desk, IntegDeliveryLane *lane, const IntegMark *from)
{
	/* One that is not active is looked for again when it is. */
	if (!lane->is_active)
		return;
	if (!lane->backlogged)
		dlist_push_tail(&desk->backlogged, &lane->node);
	if (!lane->backlogged || from->at < lane->mark.at ||
		(from->at == lane->mark.at && memcmp(&from->id, &lane->mark.id, UUID_LEN) < 0))
		lane->mark = *from;
	lane->backlogged = true;
}

void
integ_delivery_drained(IntegDeliveryLane *lane)
{
	if (lane->backlogged)
		dlist_delete(&lane->node);
	lane->backlogged = false;
}

void
integ_delivery_sweep(IntegDeliveryDesk *desk)
{
	TimestampTz now = GetCurrentTimestamp();
	HASH_SEQ_STATUS scan;
	IntegDeliveryLane *lane;

	if (desk->lanes == NULL)
		return;
	hash_seq_init(&scan, desk->lanes);
	while ((lane = hash_seq_search(&scan)) != NULL)
		if (!lane->backlogged && !lane->noted && lane->window.limit == 0 && lane->paused_until <= now &&
			integ_lane_get(desk->dispatcher, &lane->endpoint)->running == 0)
			(void) hash_search(desk->lanes, &lane->endpoint, HASH_REMOVE, NULL);
}
