/*
 * Claiming: from rows that are due to flights.
 *
 * Candidates are read in the order (next_attempt_at, id) of a priority from a
 * remembered mark on, so that what was claimed before, and what an old snapshot
 * keeps of it, is never walked over again. Reads give candidates: calls whose slot
 * has come, the next call of an ordering key whose last one has ended, the general one, and one
 * for each lane with a backlog and room. They are prepared while their rows are locked, and claimed together, so that
 * the claim says of each whether it may leave.
 */
#include "calls/dispatch.h"
#include "calls/errand.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/query.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* make_flight takes them in this order. */
#define CANDIDATE_COLUMNS                                                                                        \
	"o.ctid, o.id, o.instance, o.next_attempt_at, o.ordering_key, o.priority, o.state, o.instance_id, o.method," \
	" o.client_id, o.user_id, o.owner::pg_catalog.oid, o.input, o.timeout_ms, o.attempt, o.interrupted,"         \
	" o.max_attempts, o.is_write, o.expires_at, o.approval, o.last_sqlstate IS NOT DISTINCT FROM 'IG401',"       \
	" o.progress, COALESCE(o.on_success, o.on_failure) IS NOT NULL, o.purpose, COALESCE(o.subject, o.id), o.repeatable"

/*
 * Candidates are locked when they are read, so that the statement that claims them waits for nobody: what
 * somebody else has locked stays. Those that turn out to have no room are let go at the end of the transaction.
 */
#define LOCKED " FOR NO KEY UPDATE OF o SKIP LOCKED"

/* A call with an ordering key is a candidate only when it is the first of its key. */
#define FIRST_OF_KEY                                                        \
	"(o.ordering_key IS NULL OR NOT EXISTS (SELECT FROM integ.calls_open e" \
	" WHERE e.instance = o.instance AND e.client_id = o.client_id AND e.ordering_key = o.ordering_key AND e.id < o.id))"

/* Arguments of the general read. */
#define MINE INTEG_MY_CALL("$5", "$6")

/* How often it is looked whether calls that were told to come still wait. */
#define PROMISES_INTERVAL (5 * USECS_PER_SEC)

/* Of the claim under way, not committed yet; left over when its transaction failed. */
static dlist_head fresh = DLIST_STATIC_INIT(fresh);
static int nfresh;
static bool unfinished;

static const IntegMark beginning = {.at = DT_NOBEGIN};

void
integ_claim_rescan(IntegDispatcher *dispatcher)
{
	for (int i = 0; i < INTEG_PRIORITIES; i++)
	{
		dispatcher->marks[i] = beginning;
		dispatcher->due[i] = DT_NOBEGIN;
	}
}

static void
lower_marks(IntegDispatcher *dispatcher, int priority, TimestampTz from)
{
	IntegMark mark = {.at = from};
	dlist_iter iter;

	if (from < dispatcher->marks[priority].at)
		dispatcher->marks[priority] = mark;
	dispatcher->due[priority] = Min(dispatcher->due[priority], from);
	dlist_foreach (iter, &dispatcher->backlogged)
	{
		IntegLane *lane = dlist_container(IntegLane, node, iter.cur);

		if (from < lane->marks[priority].at)
			lane->marks[priority] = mark;
	}
}

void
integ_claim_news(IntegDispatcher *dispatcher)
{
	TimestampTz from[INTEG_NEWS];

	if (!integ_wake_take(&dispatcher->database->dispatch, dispatcher->number, from))
		return;
	dispatcher->delivery_news = Min(dispatcher->delivery_news, from[INTEG_NEWS_DELIVERIES]);
	if (from[0] == DT_NOBEGIN)
		integ_lane_resume_all(dispatcher);
	for (int i = 0; i < INTEG_PRIORITIES; i++)
		if (from[i] != DT_NOEND)
			lower_marks(dispatcher, i, from[i]);
}

void
integ_claim_later(IntegDispatcher *dispatcher, const IntegFlight *flight, TimestampTz at)
{
	lower_marks(dispatcher, flight->priority, at);
}

TimestampTz
integ_claim_due(IntegDispatcher *dispatcher)
{
	TimestampTz due = DT_NOEND, now = GetCurrentTimestamp();
	dlist_iter iter;

	/* A claim that failed has moved marks past calls that it did not claim. */
	if (unfinished || !dlist_is_empty(&dispatcher->unlocked))
		return DT_NOBEGIN;
	for (int i = 0; i < INTEG_PRIORITIES; i++)
		due = Min(due, dispatcher->due[i]);
	dlist_foreach (iter, &dispatcher->backlogged)
	{
		IntegLane *lane = dlist_container(IntegLane, node, iter.cur);

		if (integ_lane_room(lane, now) > 0)
			return DT_NOBEGIN;
		if (lane->paused_until > now && lane->running < lane->limit)
			due = Min(due, lane->paused_until);
	}
	dlist_foreach (iter, &dispatcher->promising)
	{
		IntegLane *lane = dlist_container(IntegLane, promising, iter.cur);
		TimestampTz at = Max(dlist_head_element(IntegPromise, node, &lane->promises)->at, lane->paused_until);

		if (integ_lane_free(lane, at) > 0)
			due = Min(due, at);
		if (lane->npromises >= INTEG_PROMISES_MAX)
			due = Min(due, dispatcher->promises_checked + PROMISES_INTERVAL);
	}
	return due;
}

/* Takes back what a claim whose transaction failed had in hand: its flights are nobody's. */
static void
undo_claim(IntegDispatcher *dispatcher)
{
	while (!dlist_is_empty(&fresh))
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, dlist_pop_head_node(&fresh));

		integ_lane_leave(dispatcher, flight);
		if (flight->ordering_key != NULL)
			integ_ordered_release(dispatcher, &flight->instance, flight->client_id, flight->ordering_key);
		MemoryContextDelete(flight->context);
	}
	nfresh = 0;
	integ_claim_rescan(dispatcher);
}

static void
free_response(void *arg)
{
	integ_http_response_free(&((IntegFlight *) arg)->response);
}

/* A row of the last read as a flight, in memory of its own; its attempt is the one that begins. */
static IntegFlight *
make_flight(IntegDispatcher *dispatcher, uint64 row)
{
	MemoryContext context =
		AllocSetContextCreate(dispatcher->context, "integ flight", ALLOCSET_DEFAULT_SIZES);
	IntegFlight *flight = MemoryContextAllocZero(context, sizeof(IntegFlight));
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));
	Datum approval;
	bool isnull;

	callback->func = free_response;
	callback->arg = flight;
	MemoryContextRegisterResetCallback(context, callback);
	flight->context = context;
	flight->ctid = *(ItemPointer) DatumGetPointer(integ_result_datum(row, 1, &isnull));
	flight->id = *DatumGetUUIDP(integ_result_datum(row, 2, &isnull));
	flight->instance = *DatumGetUUIDP(integ_result_datum(row, 3, &isnull));
	flight->ordering_key = integ_result_text(row, 5, context);
	flight->priority = DatumGetInt16(integ_result_datum(row, 6, &isnull)) - INTEG_PRIORITY_MIN;
	flight->instance_id = integ_result_text(row, 8, context);
	flight->method = integ_result_text(row, 9, context);
	flight->client_id = integ_result_text(row, 10, context);
	flight->user_id = integ_result_text(row, 11, context);
	flight->owner = DatumGetObjectId(integ_result_datum(row, 12, &isnull));
	flight->input = (Jsonb *) integ_result_varlena(row, 13, context);
	flight->timeout_ms = DatumGetInt32(integ_result_datum(row, 14, &isnull));
	flight->attempt = DatumGetInt32(integ_result_datum(row, 15, &isnull)) + 1;
	flight->interrupted = DatumGetInt32(integ_result_datum(row, 16, &isnull));
	flight->max_attempts = DatumGetInt32(integ_result_datum(row, 17, &isnull));
	flight->is_write = integ_result_bool(row, 18);
	flight->expires_at = DatumGetTimestampTz(integ_result_datum(row, 19, &isnull));
	approval = integ_result_datum(row, 20, &isnull);
	flight->has_approval = !isnull;
	if (!isnull)
		flight->approval = *DatumGetUUIDP(approval);
	flight->refused_before = integ_result_bool(row, 21);
	flight->progress = (Jsonb *) integ_result_varlena(row, 22, context);
	flight->has_callback = integ_result_bool(row, 23);
	flight->errand = integ_errand_find(integ_result_text(row, 24, context));
	flight->later = flight->errand != NULL;
	flight->subject = *DatumGetUUIDP(integ_result_datum(row, 25, &isnull));
	flight->repeatable = integ_result_bool(row, 26);
	return flight;
}

/* Whether the call came for its slot in this claim already: its row is as it was. */
static bool
came_by_promise(const pg_uuid_t *id)
{
	dlist_iter iter;

	dlist_foreach (iter, &fresh)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		/* These are read first. */
		if (!flight->promised)
			return false;
		if (memcmp(&flight->id, id, UUID_LEN) == 0)
			return true;
	}
	return false;
}

/*
 * Takes a row of the last read if there is room for it. False where its lane is
 * full. A call whose key is under way is left to integ_ordered_next.
 */
static bool
take_candidate(IntegDispatcher *dispatcher, uint64 row, bool promised, TimestampTz now)
{
	bool isnull;
	const pg_uuid_t *instance = DatumGetUUIDP(integ_result_datum(row, 3, &isnull));
	char *ordering_key = integ_result_text(row, 5, dispatcher->scratch);
	IntegLane *lane = integ_lane_get(dispatcher, instance);
	IntegFlight *flight;

	if (came_by_promise(DatumGetUUIDP(integ_result_datum(row, 2, &isnull))))
		return true;
	if ((promised ? integ_lane_free(lane, now) : integ_lane_room(lane, now)) <= 0)
		return false;
	if (ordering_key != NULL &&
		!integ_ordered_take(dispatcher, instance, integ_result_text(row, 10, dispatcher->scratch), ordering_key))
		return true;
	flight = make_flight(dispatcher, row);
	flight->promised = promised;
	integ_lane_enter(dispatcher, flight);
	dlist_push_tail(&fresh, &flight->node);
	nfresh++;
	return true;
}

static IntegMark
row_mark(uint64 row)
{
	bool isnull;

	return (IntegMark){.at = DatumGetTimestampTz(integ_result_datum(row, 4, &isnull)),
					   .id = *DatumGetUUIDP(integ_result_datum(row, 2, &isnull))};
}

/* Behind everything that is due at the time. */
static IntegMark
mark_after(TimestampTz at)
{
	IntegMark mark = {.at = at};

	memset(&mark.id, 0xff, UUID_LEN);
	return mark;
}

/* The first call of each ordering key whose last call has ended. */
static void
read_unlocked(IntegDispatcher *dispatcher, TimestampTz now)
{
	static IntegQuery first = {
		"SELECT " CANDIDATE_COLUMNS " FROM integ.calls_open o"
		" WHERE o.instance = $1 AND o.id = (SELECT f.id FROM integ.calls_open f"
		"  WHERE f.instance = $1 AND f.client_id = $2 AND f.ordering_key = $3 ORDER BY f.id LIMIT 1)" LOCKED,
		3,
		{UUIDOID, TEXTOID, TEXTOID}};
	pg_uuid_t instance;
	char *client, *key;

	while (nfresh < INTEG_BATCH_MAX && integ_ordered_next(dispatcher, &instance, &client, &key))
	{
		Datum values[] = {UUIDPGetDatum(&instance), CStringGetTextDatum(client), CStringGetTextDatum(key)};
		char *state;
		IntegMark mark;

		if (integ_query(&first, values, NULL) == 0)
			continue;
		state = integ_result_text(0, 7, dispatcher->scratch);
		mark = row_mark(0);
		/* One that is due later is found when it is due. */
		if ((strcmp(state, "queued") != 0 && strcmp(state, "waiting") != 0) || mark.at > now)
			continue;
		if (!take_candidate(dispatcher, 0, false, now))
		{
			bool isnull;
			int priority = DatumGetInt16(integ_result_datum(0, 6, &isnull)) - INTEG_PRIORITY_MIN;
			IntegMark before = {.at = mark.at};

			integ_lane_backlog(dispatcher, integ_lane_get(dispatcher, &instance), priority, &before);
		}
	}
}

/* Calls that were told to come for their slot now. What somebody has put off meanwhile stays. */
static void
read_promised(IntegDispatcher *dispatcher, TimestampTz now)
{
	static IntegQuery one = {
		"SELECT " CANDIDATE_COLUMNS " FROM integ.calls_open o"
		" WHERE o.id = $1 AND o.instance = $2 AND o.next_attempt_at <= $3 AND o.state = 'waiting'" LOCKED,
		3,
		{UUIDOID, UUIDOID, TIMESTAMPTZOID}};
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &dispatcher->promising)
	{
		IntegLane *lane = dlist_container(IntegLane, promising, iter.cur);
		IntegPromise promise;

		while (nfresh < INTEG_BATCH_MAX && integ_lane_free(lane, now) > 0 &&
			   integ_lane_promised(dispatcher, lane, now, &promise))
		{
			Datum values[] = {UUIDPGetDatum(&promise.call), UUIDPGetDatum(&lane->instance),
							  TimestampTzGetDatum(Max(now, promise.told))};

			if (integ_query(&one, values, NULL) > 0)
				(void) take_candidate(dispatcher, 0, true, now);
		}
	}
}

/*
 * Promises to calls of a lane that wait no longer, since somebody has cancelled, deleted or moved them, are taken
 * back.
 */
static void
check_lane(IntegDispatcher *dispatcher, IntegLane *lane)
{
	static IntegQuery waiting = {
		"SELECT o.id FROM integ.calls_open o WHERE o.id = ANY ($1) AND o.instance = $2 AND o.state = 'waiting'",
		2,
		{UUIDARRAYOID, UUIDOID}};
	ArrayBuildState *ids = initArrayResult(UUIDOID, dispatcher->scratch, false);
	dlist_mutable_iter iter;
	Datum values[2];
	uint64 count;

	dlist_foreach_modify(iter, &lane->promises)
		ids = accumArrayResult(ids, UUIDPGetDatum(&dlist_container(IntegPromise, node, iter.cur)->call), false, UUIDOID,
							   dispatcher->scratch);
	values[0] = makeArrayResult(ids, dispatcher->scratch);
	values[1] = UUIDPGetDatum(&lane->instance);
	count = integ_query(&waiting, values, NULL);
	dlist_foreach_modify(iter, &lane->promises)
	{
		IntegPromise *promise = dlist_container(IntegPromise, node, iter.cur);
		bool found = false, isnull;

		for (uint64 i = 0; i < count && !found; i++)
			found = memcmp(DatumGetUUIDP(integ_result_datum(i, 1, &isnull)), &promise->call, UUID_LEN) == 0;
		if (!found)
			integ_lane_take_back(lane, promise);
	}
}

/* A lane in which as many wait as may is closed to others: now and then it is looked whether they still do. */
static void
check_promises(IntegDispatcher *dispatcher, TimestampTz now)
{
	dlist_mutable_iter iter;

	if (now - dispatcher->promises_checked < PROMISES_INTERVAL)
		return;
	dispatcher->promises_checked = now;
	dlist_foreach_modify(iter, &dispatcher->promising)
	{
		IntegLane *lane = dlist_container(IntegLane, promising, iter.cur);

		if (lane->npromises >= INTEG_PROMISES_MAX)
			check_lane(dispatcher, lane);
	}
}

/* When the next call of the priority is due that the general read has not seen. */
static TimestampTz
next_due(const IntegMark *mark, int priority)
{
	static IntegQuery next = {
		"SELECT o.next_attempt_at FROM integ.calls_open o"
		" WHERE o.priority = $1 AND (o.next_attempt_at, o.id) > ($2, $3) AND o.state IN ('queued', 'waiting')"
		" ORDER BY o.next_attempt_at, o.id LIMIT 1",
		3,
		{INT2OID, TIMESTAMPTZOID, UUIDOID}};
	Datum values[] = {Int16GetDatum((int16) (priority + INTEG_PRIORITY_MIN)), TimestampTzGetDatum(mark->at),
					  UUIDPGetDatum(&mark->id)};
	bool isnull;

	if (integ_query(&next, values, NULL) == 0)
		return DT_NOEND;
	return DatumGetTimestampTz(integ_result_datum(0, 1, &isnull));
}

static Datum
backlogged_lanes(IntegDispatcher *dispatcher)
{
	ArrayBuildState *state = initArrayResult(UUIDOID, dispatcher->scratch, false);
	dlist_iter iter;

	dlist_foreach (iter, &dispatcher->backlogged)
		state = accumArrayResult(state, UUIDPGetDatum(&dlist_container(IntegLane, node, iter.cur)->instance), false,
								 UUIDOID, dispatcher->scratch);
	return makeArrayResult(state, dispatcher->scratch);
}

/* Due calls of one priority of all lanes without a backlog. */
static void
read_priority(IntegDispatcher *dispatcher, int priority, int limit, TimestampTz now)
{
	static IntegQuery due = {
		"SELECT " CANDIDATE_COLUMNS " FROM integ.calls_open o"
		" WHERE o.priority = $1 AND o.next_attempt_at <= $2 AND (o.next_attempt_at, o.id) > ($3, $4)"
		" AND o.state IN ('queued', 'waiting') AND " MINE " AND o.instance <> ALL ($7) AND " FIRST_OF_KEY
		" ORDER BY o.next_attempt_at, o.id LIMIT $8" LOCKED,
		8,
		{INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID, INT4OID, INT4OID, UUIDARRAYOID, INT8OID}};
	IntegMark *mark = &dispatcher->marks[priority];
	IntegMark start = *mark;
	Datum values[] = {Int16GetDatum((int16) (priority + INTEG_PRIORITY_MIN)),
					  TimestampTzGetDatum(now),
					  TimestampTzGetDatum(start.at),
					  UUIDPGetDatum(&start.id),
					  Int32GetDatum(dispatcher->total),
					  Int32GetDatum(dispatcher->number),
					  backlogged_lanes(dispatcher),
					  Int64GetDatum(limit)};
	dlist_iter iter;
	uint64 count;

	/* Their calls are passed over here. */
	dlist_foreach (iter, &dispatcher->backlogged)
		integ_lane_backlog(dispatcher, dlist_container(IntegLane, node, iter.cur), priority, &start);
	count = integ_query(&due, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		IntegMark before = *mark;

		*mark = row_mark(i);
		if (!take_candidate(dispatcher, i, false, now))
		{
			bool isnull;
			const pg_uuid_t *instance = DatumGetUUIDP(integ_result_datum(i, 3, &isnull));

			integ_lane_backlog(dispatcher, integ_lane_get(dispatcher, instance), priority, &before);
		}
	}
	if (count == limit)
		return;
	*mark = mark_after(now);
	dispatcher->due[priority] = next_due(mark, priority);
}

/* Due calls of one lane. */
static void
read_lane(IntegDispatcher *dispatcher, IntegLane *lane, int priority, TimestampTz now)
{
	static IntegQuery due = {
		"SELECT " CANDIDATE_COLUMNS " FROM integ.calls_open o"
		" WHERE o.instance = $1 AND o.priority = $2 AND o.next_attempt_at <= $3"
		" AND (o.next_attempt_at, o.id) > ($4, $5) AND o.state IN ('queued', 'waiting')"
		" AND " INTEG_MY_CALL("$7", "$8") " AND " FIRST_OF_KEY
										  " ORDER BY o.next_attempt_at, o.id LIMIT $6" LOCKED,
		8,
		{UUIDOID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID, INT8OID, INT4OID, INT4OID}};
	int limit = Min(integ_lane_room(lane, now), INTEG_BATCH_MAX - nfresh);
	IntegMark *mark = &lane->marks[priority];
	Datum values[] = {UUIDPGetDatum(&lane->instance),
					  Int16GetDatum((int16) (priority + INTEG_PRIORITY_MIN)),
					  TimestampTzGetDatum(now),
					  TimestampTzGetDatum(mark->at),
					  UUIDPGetDatum(&mark->id),
					  Int64GetDatum(limit),
					  Int32GetDatum(dispatcher->total),
					  Int32GetDatum(dispatcher->number)};
	uint64 count;

	if (limit == 0)
		return;
	count = integ_query(&due, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		*mark = row_mark(i);
		(void) take_candidate(dispatcher, i, false, now);
	}
	if (count < limit)
		integ_lane_drained(dispatcher, lane, priority);
}

static void
read_backlogged(IntegDispatcher *dispatcher, int limit, TimestampTz now)
{
	dlist_mutable_iter iter;
	dlist_head served;

	dlist_init(&served);
	dlist_foreach_modify(iter, &dispatcher->backlogged)
	{
		IntegLane *lane = dlist_container(IntegLane, node, iter.cur);

		if (nfresh >= limit)
			break;
		if (integ_lane_room(lane, now) == 0)
			continue;
		for (int i = INTEG_PRIORITIES - 1; i >= 0 && nfresh < limit; i--)
			if (lane->backlog & (UINT32_C(1) << i))
				read_lane(dispatcher, lane, i, now);
		if (lane->backlog != 0)
		{
			dlist_delete(&lane->node);
			dlist_push_tail(&served, &lane->node);
		}
	}
	/* Those that had their turn are last the next time. */
	while (!dlist_is_empty(&served))
		dlist_push_tail(&dispatcher->backlogged, dlist_pop_head_node(&served));
}

/* Claims the flights of the claim that are or are not to be marked as sent; their rows are locked. */
static void
claim_rows(IntegDispatcher *dispatcher, bool marked, TimestampTz now)
{
	static IntegQuery claim = {
		"UPDATE integ.calls_open o SET state = 'running', lease = $1, attempt = o.attempt + 1, started_at = $2,"
		" sent_at = $3 WHERE o.ctid = ANY ($4)",
		4,
		{INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIDARRAYOID}};
	Datum *ctids = palloc(nfresh * sizeof(Datum));
	Datum values[4] = {Int64GetDatum(dispatcher->lease), TimestampTzGetDatum(now), TimestampTzGetDatum(now)};
	const char nulls[] = {' ', ' ', marked ? ' ' : 'n', ' '};
	int count = 0;
	dlist_iter iter;

	dlist_foreach (iter, &fresh)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		if (integ_flight_needs_mark(flight) == marked)
			ctids[count++] = PointerGetDatum(&flight->ctid);
	}
	if (count == 0)
		return;
	values[3] = PointerGetDatum(construct_array(ctids, count, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT));
	if (integ_query(&claim, values, nulls) != count)
		elog(ERROR, "calls that are locked could not be claimed");
	if (marked)
		dispatcher->has_marked = true;
}

void
integ_commit_without_waiting(void)
{
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* Candidates of all kinds, until so many flights are in hand. */
static void
read_candidates(IntegDispatcher *dispatcher, int room, TimestampTz now)
{
	int general = dlist_is_empty(&dispatcher->backlogged) ? room : room - room / 2;

	check_promises(dispatcher, now);
	read_promised(dispatcher, now);
	read_unlocked(dispatcher, now);
	for (int i = INTEG_PRIORITIES - 1; i >= 0 && nfresh < general; i--)
		if (dispatcher->due[i] <= now)
			read_priority(dispatcher, i, general - nfresh, now);
	read_backlogged(dispatcher, room, now);
}

void
integ_claim(IntegDispatcher *dispatcher)
{
	TimestampTz now = GetCurrentTimestamp();
	int room = Min(INTEG_FLIGHTS_MAX - dispatcher->nflights, INTEG_BATCH_MAX);

	if (room <= 0)
		return;
	if (unfinished)
		undo_claim(dispatcher);
	unfinished = true;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	/*
	 * A claim that a crash takes back is claimed again: what must not be sent twice is marked in it, and is
	 * on disk before it leaves (integ_send).
	 */
	integ_commit_without_waiting();
	SPI_connect();
	read_candidates(dispatcher, room, now);
	SPI_finish();
	integ_prepare_flights(dispatcher, &fresh, now);
	SPI_connect();
	claim_rows(dispatcher, false, now);
	claim_rows(dispatcher, true, now);
	SPI_finish();
	PopActiveSnapshot();
	integ_prepare_commit(dispatcher);
	unfinished = false;
	dispatcher->nflights += nfresh;
	nfresh = 0;
	integ_prepare_part(dispatcher, &fresh);
}
