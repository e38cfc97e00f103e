/*
 * Claiming: from rows that are due to deliveries on their way.
 *
 * As with calls, rows are read in the order (next_attempt_at, id) from a remembered mark on, so that what was claimed
 * before is never walked over again. An endpoint without room keeps a mark of its own and is read by itself as its
 * deliveries end, so that a slow one holds back no other; one that is not active is passed over until it is.
 */
#include "endpoints/deliver.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/query.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define CANDIDATES                                                       \
	"SELECT o.ctid, o.id, o.endpoint, o.next_attempt_at, o.ordering_key" \
	" FROM integ.deliveries_open o WHERE "

/* What somebody else has locked stays; what turns out to have no room is let go at the end of the transaction. */
#define LOCKED " FOR NO KEY UPDATE OF o SKIP LOCKED"

/* Of deliveries with an ordering key only the first. */
#define FIRST_OF_KEY                                                                  \
	" AND (o.ordering_key IS NULL OR NOT EXISTS (SELECT FROM integ.deliveries_open e" \
	" WHERE e.endpoint = o.endpoint AND e.ordering_key = o.ordering_key AND e.id < o.id))"

/* Arguments of the general read. */
#define MINE INTEG_MY_DELIVERY("$4", "$5")

/* A row that was read. */
typedef struct Candidate
{
	ItemPointerData ctid;
	IntegMark place;
	pg_uuid_t endpoint;
	char *ordering_key;
} Candidate;

/* One that is claimed: it has room, and its key. */
typedef struct Taken
{
	pg_uuid_t id; /* first: sorted and searched by it */
	ItemPointerData ctid;
	IntegDeliveryLane *lane;
	char *ordering_key;
	int position;
	bool claimed;
} Taken;

typedef struct UnlockedKey
{
	dlist_node node;
	pg_uuid_t endpoint;
	char key[FLEXIBLE_ARRAY_MEMBER];
} UnlockedKey;

/* Of the claim under way. */
static Taken taken[INTEG_DELIVERY_BATCH];
static int ntaken;
static dlist_head fresh = DLIST_STATIC_INIT(fresh); /* deliveries of it, not committed yet */

static const IntegMark beginning = {.at = DT_NOBEGIN};

/* Behind everything that is due at the time. */
static IntegMark
mark_after(TimestampTz at)
{
	IntegMark mark = {.at = at};

	memset(&mark.id, 0xff, UUID_LEN);
	return mark;
}

void
integ_deliveries_news(IntegDeliveryDesk *desk, TimestampTz from)
{
	IntegMark mark = {.at = from};
	dlist_iter iter;

	if (from < desk->mark.at)
		desk->mark = mark;
	desk->due = Min(desk->due, from);
	dlist_foreach (iter, &desk->backlogged)
	{
		IntegDeliveryLane *lane = dlist_container(IntegDeliveryLane, node, iter.cur);

		if (from < lane->mark.at)
			lane->mark = mark;
	}
}

void
integ_deliveries_unlock(IntegDeliveryDesk *desk, const pg_uuid_t *endpoint, const char *key)
{
	UnlockedKey *unlocked = MemoryContextAlloc(desk->context, offsetof(UnlockedKey, key) + strlen(key) + 1);

	unlocked->endpoint = *endpoint;
	strcpy(unlocked->key, key);
	dlist_push_tail(&desk->unlocked, &unlocked->node);
}

TimestampTz
integ_deliveries_claim_due(IntegDeliveryDesk *desk)
{
	TimestampTz due = desk->due, now = GetCurrentTimestamp();
	dlist_iter iter;

	if (desk->count >= INTEG_DELIVERIES_MAX)
		return DT_NOEND;
	if (!dlist_is_empty(&desk->unlocked))
		return DT_NOBEGIN;
	dlist_foreach (iter, &desk->backlogged)
		due = Min(due, integ_delivery_room_at(desk, dlist_container(IntegDeliveryLane, node, iter.cur), now));
	/* The caller's clock was read before. */
	return due <= now ? DT_NOBEGIN : due;
}

/* The rows of the last statement, which the next one overwrites. */
static Candidate *
read_candidates(IntegDeliveryDesk *desk, uint64 count)
{
	Candidate *rows = MemoryContextAlloc(desk->scratch, Max(count, 1) * sizeof(Candidate));

	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;

		rows[i].ctid = *(ItemPointer) DatumGetPointer(integ_result_datum(i, 1, &isnull));
		rows[i].place.id = *DatumGetUUIDP(integ_result_datum(i, 2, &isnull));
		rows[i].endpoint = *DatumGetUUIDP(integ_result_datum(i, 3, &isnull));
		rows[i].place.at = DatumGetTimestampTz(integ_result_datum(i, 4, &isnull));
		rows[i].ordering_key = integ_result_text(i, 5, desk->scratch);
	}
	return rows;
}

/* False where its lane has no room. One whose key is under way is left to integ_deliveries_unlock. */
static bool
take(IntegDeliveryDesk *desk, const Candidate *row, TimestampTz now)
{
	IntegDeliveryLane *lane = integ_delivery_lane(desk, &row->endpoint);

	if (integ_delivery_room(desk, lane, now) <= 0)
		return false;
	if (row->ordering_key != NULL && !integ_ordered_take(desk->dispatcher, &row->endpoint, "", row->ordering_key))
		return true;
	integ_delivery_enter(desk, lane);
	taken[ntaken] = (Taken){.id = row->place.id,
							.ctid = row->ctid,
							.lane = lane,
							.ordering_key = row->ordering_key,
							.position = ntaken};
	ntaken++;
	return true;
}

/* The first of each key whose last delivery has ended. One that is due later is found when it is due. */
static void
read_unlocked(IntegDeliveryDesk *desk, TimestampTz now)
{
	static IntegQuery first = {
		CANDIDATES "o.endpoint = $1 AND o.state = 'queued' AND o.next_attempt_at <= $3"
				   " AND o.id = (SELECT f.id FROM integ.deliveries_open f"
				   "  WHERE f.endpoint = $1 AND f.ordering_key = $2 ORDER BY f.id LIMIT 1)" LOCKED,
		3,
		{UUIDOID, TEXTOID, TIMESTAMPTZOID}};

	while (ntaken < INTEG_DELIVERY_BATCH && !dlist_is_empty(&desk->unlocked))
	{
		UnlockedKey *key = dlist_container(UnlockedKey, node, dlist_pop_head_node(&desk->unlocked));
		Datum values[] = {UUIDPGetDatum(&key->endpoint), CStringGetTextDatum(key->key),
						  TimestampTzGetDatum(now)};
		Candidate *row = NULL;

		if (integ_query(&first, values, NULL) > 0)
			row = read_candidates(desk, 1);
		pfree(key);
		if (row != NULL && !take(desk, row, now))
			integ_delivery_backlog(desk, integ_delivery_lane(desk, &row->endpoint),
								   &(IntegMark){.at = row->place.at});
	}
}

/* When the next is due that the general read has not seen. */
static TimestampTz
next_due(const IntegDeliveryDesk *desk)
{
	static IntegQuery next = {
		"SELECT o.next_attempt_at FROM integ.deliveries_open o"
		" WHERE (o.next_attempt_at, o.id) > ($1, $2) AND o.state = 'queued' ORDER BY o.next_attempt_at, o.id LIMIT 1",
		2,
		{TIMESTAMPTZOID, UUIDOID}};
	Datum values[] = {TimestampTzGetDatum(desk->mark.at), UUIDPGetDatum(&desk->mark.id)};
	bool isnull;

	if (integ_query(&next, values, NULL) == 0)
		return DT_NOEND;
	return DatumGetTimestampTz(integ_result_datum(0, 1, &isnull));
}

static Datum
backlogged_lanes(IntegDeliveryDesk *desk)
{
	ArrayBuildState *state = initArrayResult(UUIDOID, desk->scratch, false);
	dlist_iter iter;

	dlist_foreach (iter, &desk->backlogged)
		state = accumArrayResult(state, UUIDPGetDatum(&dlist_container(IntegDeliveryLane, node, iter.cur)->endpoint),
								 false, UUIDOID, desk->scratch);
	return makeArrayResult(state, desk->scratch);
}

/* What is due of all endpoints that have no mark of their own. */
static void
read_general(IntegDeliveryDesk *desk, int limit, TimestampTz now)
{
	static IntegQuery due = {
		CANDIDATES "o.next_attempt_at <= $1 AND (o.next_attempt_at, o.id) > ($2, $3) AND o.state = 'queued'"
				   " AND " MINE " AND o.endpoint <> ALL ($6)" FIRST_OF_KEY
				   " ORDER BY o.next_attempt_at, o.id LIMIT $7" LOCKED,
		7,
		{TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID, INT4OID, INT4OID, UUIDARRAYOID, INT8OID}};
	IntegMark start = desk->mark;
	Datum values[] = {TimestampTzGetDatum(now),
					  TimestampTzGetDatum(start.at),
					  UUIDPGetDatum(&start.id),
					  Int32GetDatum(desk->dispatcher->total),
					  Int32GetDatum(desk->dispatcher->number),
					  backlogged_lanes(desk),
					  Int64GetDatum(limit)};
	dlist_iter iter;
	Candidate *rows;
	uint64 count;

	/* Theirs are passed over here. */
	dlist_foreach (iter, &desk->backlogged)
		integ_delivery_backlog(desk, dlist_container(IntegDeliveryLane, node, iter.cur), &start);
	count = integ_query(&due, values, NULL);
	rows = read_candidates(desk, count);
	for (uint64 i = 0; i < count; i++)
	{
		IntegMark before = desk->mark;

		desk->mark = rows[i].place;
		if (!take(desk, &rows[i], now))
			integ_delivery_backlog(desk, integ_delivery_lane(desk, &rows[i].endpoint), &before);
	}
	if (count == limit)
		return;
	desk->mark = mark_after(now);
	desk->due = next_due(desk);
}

static void
read_lane(IntegDeliveryDesk *desk, IntegDeliveryLane *lane, TimestampTz now)
{
	static IntegQuery due = {
		CANDIDATES "o.endpoint = $1 AND o.next_attempt_at <= $2 AND (o.next_attempt_at, o.id) > ($3, $4)"
				   " AND o.state = 'queued' AND " INTEG_MY_DELIVERY("$6", "$7") FIRST_OF_KEY
		" ORDER BY o.next_attempt_at, o.id LIMIT $5" LOCKED,
		7,
		{UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID, INT8OID, INT4OID, INT4OID}};
	int limit = Min(integ_delivery_room(desk, lane, now), INTEG_DELIVERY_BATCH - ntaken);
	Datum values[] = {UUIDPGetDatum(&lane->endpoint), TimestampTzGetDatum(now), TimestampTzGetDatum(lane->mark.at),
					  UUIDPGetDatum(&lane->mark.id), Int64GetDatum(limit),
					  /* Who keeps a rate takes all, also what was shared out before there was one. */
					  Int32GetDatum(lane->window.limit > 0 ? 1 : desk->dispatcher->total),
					  Int32GetDatum(desk->dispatcher->number)};
	Candidate *rows;
	uint64 count;

	if (limit <= 0)
		return;
	count = integ_query(&due, values, NULL);
	rows = read_candidates(desk, count);
	for (uint64 i = 0; i < count; i++)
	{
		lane->mark = rows[i].place;
		(void) take(desk, &rows[i], now);
	}
	if (count < limit)
		integ_delivery_drained(lane);
}

/* Those that had their turn are last the next time. */
static void
read_backlogged(IntegDeliveryDesk *desk, int limit, TimestampTz now)
{
	dlist_mutable_iter iter;
	dlist_head served;

	dlist_init(&served);
	dlist_foreach_modify(iter, &desk->backlogged)
	{
		IntegDeliveryLane *lane = dlist_container(IntegDeliveryLane, node, iter.cur);

		if (ntaken >= limit)
			break;
		(void) integ_delivery_lane(desk, &lane->endpoint);
		if (!lane->is_active)
			integ_delivery_drained(lane);
		else if (integ_delivery_room(desk, lane, now) > 0)
			read_lane(desk, lane, now);
		else
			continue;
		if (!lane->backlogged)
			continue;
		dlist_delete(&lane->node);
		dlist_push_tail(&served, &lane->node);
	}
	while (!dlist_is_empty(&served))
		dlist_push_tail(&desk->backlogged, dlist_pop_head_node(&served));
}

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

/* Headers may hold secrets. */
static void
wipe(void *arg)
{
	IntegDelivery *delivery = arg;

	integ_http_response_free(&delivery->response);
	for (int i = 0; delivery->secrets != NULL && i < delivery->request.nheaders; i++)
		explicit_bzero((char *) delivery->headers[i].value, strlen(delivery->headers[i].value));
}

/* A row of the claiming statement, in memory of its own. */
static IntegDelivery *
make_delivery(IntegDeliveryDesk *desk, uint64 row, TimestampTz now)
{
	MemoryContext context = AllocSetContextCreate(desk->context, "integ delivery", ALLOCSET_SMALL_SIZES);
	IntegDelivery *delivery = MemoryContextAllocZero(context, sizeof(IntegDelivery));
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));
	Datum instance;
	bool isnull;

	callback->func = wipe;
	callback->arg = delivery;
	MemoryContextRegisterResetCallback(context, callback);
	delivery->context = context;
	delivery->id = *DatumGetUUIDP(integ_result_datum(row, 1, &isnull));
	delivery->endpoint = *DatumGetUUIDP(integ_result_datum(row, 2, &isnull));
	delivery->message = *DatumGetUUIDP(integ_result_datum(row, 3, &isnull));
	delivery->created_at = DatumGetTimestampTz(integ_result_datum(row, 4, &isnull));
	delivery->started_at = now;
	delivery->attempt = DatumGetInt32(integ_result_datum(row, 5, &isnull));
	delivery->interrupted = DatumGetInt32(integ_result_datum(row, 6, &isnull));
	delivery->client_id = integ_result_text(row, 7, context);
	delivery->event_client = integ_result_text(row, 8, context);
	delivery->event_type = integ_result_text(row, 9, context);
	delivery->key = integ_result_text(row, 10, context);
	delivery->ordering_key = integ_result_text(row, 11, context);
	delivery->payload = (Jsonb *) integ_result_varlena(row, 12, context);
	instance = integ_result_datum(row, 13, &isnull);
	delivery->has_instance = !isnull;
	if (!isnull)
		delivery->instance = *DatumGetUUIDP(instance);
	return delivery;
}

/* Claims what is taken, and locked, and puts it in the order in which it was due. */
static void
claim_taken(IntegDeliveryDesk *desk, TimestampTz now)
{
	static IntegQuery claim = {
		"UPDATE integ.deliveries_open o SET state = 'sending', lease = $1, attempt = o.attempt + 1, started_at = $2"
		" WHERE o.ctid = ANY ($3)"
		" RETURNING o.id, o.endpoint, o.message, o.created_at, o.attempt, o.interrupted, o.client_id, o.event_client,"
		" o.event_type, o.key, o.ordering_key, o.payload, o.instance",
		3,
		{INT8OID, TIMESTAMPTZOID, TIDARRAYOID}};
	IntegDelivery **turns = MemoryContextAllocZero(desk->scratch, ntaken * sizeof(IntegDelivery *));
	Datum *ctids = palloc(ntaken * sizeof(Datum));
	Datum values[] = {Int64GetDatum(desk->dispatcher->lease), TimestampTzGetDatum(now), (Datum) 0};
	uint64 count;

	qsort(taken, ntaken, sizeof(Taken), compare_ids);
	for (int i = 0; i < ntaken; i++)
		ctids[i] = PointerGetDatum(&taken[i].ctid);
	values[2] = PointerGetDatum(
		construct_array(ctids, ntaken, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT));
	count = integ_query(&claim, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		IntegDelivery *delivery = make_delivery(desk, i, now);
		Taken *found = bsearch(&delivery->id, taken, ntaken, sizeof(Taken), compare_ids);

		delivery->lane = found->lane;
		found->claimed = true;
		turns[found->position] = delivery;
	}
	for (int i = 0; i < ntaken; i++)
		if (turns[i] != NULL)
			dlist_push_tail(&fresh, &turns[i]->node);
}

static void
let_go(IntegDeliveryDesk *desk, const Taken *item)
{
	integ_delivery_leave(desk, item->lane, false);
	if (item->ordering_key != NULL)
		integ_ordered_release(desk->dispatcher, &item->lane->endpoint, "", item->ordering_key);
}

/* What is claimed is on its way from here on; the rest is forgotten. */
static void
release_taken(IntegDeliveryDesk *desk)
{
	for (int i = 0; i < ntaken; i++)
	{
		if (taken[i].claimed)
			desk->count++;
		else
			let_go(desk, &taken[i]);
	}
	ntaken = 0;
	while (!dlist_is_empty(&fresh))
		dlist_push_tail(&desk->claimed, dlist_pop_head_node(&fresh));
}

/* Takes back what a claim whose transaction failed had in hand. */
static void
undo(IntegDeliveryDesk *desk)
{
	while (!dlist_is_empty(&fresh))
		MemoryContextDelete(dlist_container(IntegDelivery, node, dlist_pop_head_node(&fresh))->context);
	for (int i = 0; i < ntaken; i++)
		let_go(desk, &taken[i]);
	ntaken = 0;
}

void
integ_deliveries_rescan(IntegDeliveryDesk *desk)
{
	static IntegQuery waiting = {
		"SELECT e.id FROM integ.endpoints e WHERE e.status = 'active'"
		" AND EXISTS (SELECT FROM integ.deliveries_open o WHERE o.endpoint = e.id)",
		0};
	TimestampTz now = GetCurrentTimestamp();
	pg_uuid_t *ids;
	uint64 count;

	integ_delivery_sweep(desk);
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	count = integ_query(&waiting, NULL, NULL);
	ids = palloc(Max(count, 1) * sizeof(pg_uuid_t));
	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;

		ids[i] = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull));
	}
	for (uint64 i = 0; i < count; i++)
		integ_delivery_backlog(desk, integ_delivery_lane(desk, &ids[i]), &beginning);
	/* What is due by now is in lanes of its own. */
	desk->mark = mark_after(now);
	desk->due = next_due(desk);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static void
claim_due(IntegDeliveryDesk *desk)
{
	TimestampTz now = GetCurrentTimestamp();
	int room = Min(INTEG_DELIVERIES_MAX - desk->count, INTEG_DELIVERY_BATCH);
	int general = dlist_is_empty(&desk->backlogged) ? room : room - room / 2;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	/* A claim that a crash takes back is made again: a delivery may arrive twice, under the same id. */
	integ_commit_without_waiting();
	SPI_connect();
	read_unlocked(desk, now);
	if (desk->due <= now && ntaken < general)
		read_general(desk, general - ntaken, now);
	read_backlogged(desk, room, now);
	if (ntaken > 0)
		claim_taken(desk, now);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
integ_deliveries_claim(IntegDeliveryDesk *desk)
{
	PG_TRY();
	{
		claim_due(desk);
	}
	PG_CATCH();
	{
		undo(desk);
		PG_RE_THROW();
	}
	PG_END_TRY();
	release_taken(desk);
}
