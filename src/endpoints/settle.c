/*
 * Settling: what came of deliveries becomes rows: of integ.deliveries_done, or of integ.deliveries_open again for
 * another attempt; and of integ.delivery_attempts.
 *
 * A batch is one transaction. Where it fails its deliveries are stored one by one, so that one that cannot be stored,
 * or whose row somebody has locked, holds back no other.
 */
#include "endpoints/deliver.h"
#include "endpoints/done.h"

#include "../background_workers/worker.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/rows.h"
#include "core/uuid.h"
#include "endpoints/events.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

typedef struct Batch
{
	IntegDeliveryDesk *desk;
	int count;
	IntegDelivery *items[INTEG_DELIVERY_BATCH];
} Batch;

/* Values of a row of ours. */
static Datum
status_value(const IntegDelivery *delivery, bool *isnull)
{
	*isnull = !delivery->sent || delivery->response.status == 0;
	return Int32GetDatum((int32) delivery->response.status);
}

static void
mark_settled(Batch *batch, uint64 count)
{
	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;
		const pg_uuid_t *id = DatumGetUUIDP(integ_result_datum(i, 1, &isnull));

		for (int j = 0; j < batch->count; j++)
			if (memcmp(&batch->items[j]->id, id, UUID_LEN) == 0)
				batch->items[j]->settled = true;
	}
}

/* Another attempt later. One that somebody has cancelled meanwhile is left for store_ended. */
static void
store_again(Batch *batch)
{
	static IntegQuery again = {
		"UPDATE integ.deliveries_open o SET state = 'queued', lease = NULL, next_attempt_at = r.at,"
		" interrupted = o.interrupted + r.uncounted, last_status = r.status, last_error = r.error"
		" FROM unnest($1, $2, $3, $4, $5, $6, $7) AS r (id, endpoint, lease, at, uncounted, status, error)"
		" WHERE o.id = r.id AND o.endpoint = r.endpoint AND o.lease = r.lease AND NOT o.cancel_requested RETURNING o.id",
		7,
		{UUIDARRAYOID, UUIDARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID}};
	static const Oid types[] = {UUIDOID, UUIDOID, INT8OID, TIMESTAMPTZOID, INT4OID, INT4OID, TEXTOID};
	IntegRows rows;

	integ_rows_begin(&rows, types, lengthof(types));
	for (int i = 0; i < batch->count; i++)
	{
		const IntegDelivery *delivery = batch->items[i];
		Datum values[] = {UUIDPGetDatum(&delivery->id),
						  UUIDPGetDatum(&delivery->endpoint),
						  Int64GetDatum(batch->desk->dispatcher->lease),
						  TimestampTzGetDatum(delivery->again_at),
						  Int32GetDatum(delivery->counts ? 0 : 1),
						  (Datum) 0,
						  (Datum) 0};
		bool nulls[lengthof(types)] = {false};

		if (delivery->fate != INTEG_DELIVERY_AGAIN)
			continue;
		values[5] = status_value(delivery, &nulls[5]);
		values[6] = integ_rows_text(delivery->error, &nulls[6]);
		integ_rows_add(&rows, values, nulls);
	}
	mark_settled(batch, integ_rows_query(&rows, &again));
}

/* Moves what has ended to history. A row that is gone stays gone. */
static void
store_ended(Batch *batch)
{
	static IntegQuery done = {
		"WITH ended AS (DELETE FROM integ.deliveries_open o"
		" USING unnest($1, $2, $3, $4, $5, $6) AS r (id, endpoint, lease, state, status, error)"
		" WHERE o.id = r.id AND o.endpoint = r.endpoint AND o.lease = r.lease"
		" RETURNING o.*, r.state AS end_state, r.status AS end_status, r.error AS end_error,"
		" 0 AS end_interrupted)" INTEG_DELIVERIES_DONE,
		6,
		{UUIDARRAYOID, UUIDARRAYOID, INT8ARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID}};
	static const Oid types[] = {UUIDOID, UUIDOID, INT8OID, TEXTOID, INT4OID, TEXTOID};
	static const char *const states[] = {[INTEG_DELIVERY_DELIVERED] = "delivered",
										 [INTEG_DELIVERY_AGAIN] = "cancelled",
										 [INTEG_DELIVERY_DEAD] = "dead"};
	IntegRows rows;

	integ_rows_begin(&rows, types, lengthof(types));
	for (int i = 0; i < batch->count; i++)
	{
		const IntegDelivery *delivery = batch->items[i];
		Datum values[] = {UUIDPGetDatum(&delivery->id),
						  UUIDPGetDatum(&delivery->endpoint),
						  Int64GetDatum(batch->desk->dispatcher->lease),
						  (Datum) 0,
						  (Datum) 0,
						  (Datum) 0};
		bool nulls[lengthof(types)] = {false};

		if (delivery->settled)
			continue;
		values[3] = integ_rows_text(states[delivery->fate], &nulls[3]);
		values[4] = status_value(delivery, &nulls[4]);
		values[5] = integ_rows_text(delivery->error, &nulls[5]);
		integ_rows_add(&rows, values, nulls);
	}
	(void) integ_rows_query(&rows, &done);
}

/* What was not begun, since the dispatcher stops, is no attempt. */
static bool
is_attempt(const IntegDelivery *delivery)
{
	return delivery->sent || delivery->counts;
}

static void
store_attempts(Batch *batch)
{
	static IntegQuery insert = {
		"INSERT INTO integ.delivery_attempts (delivery, attempt, created_at, endpoint, message, duration_us, status,"
		" client_id, sqlstate, error, response) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
		11,
		{UUIDARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, UUIDARRAYOID, UUIDARRAYOID, INT8ARRAYOID, INT4ARRAYOID,
		 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}};
	static const Oid types[] = {UUIDOID, INT4OID, TIMESTAMPTZOID, UUIDOID, UUIDOID, INT8OID,
								INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	IntegRows rows;

	integ_rows_begin(&rows, types, lengthof(types));
	for (int i = 0; i < batch->count; i++)
	{
		const IntegDelivery *delivery = batch->items[i];
		Datum values[] = {UUIDPGetDatum(&delivery->id),
						  Int32GetDatum(delivery->attempt),
						  TimestampTzGetDatum(delivery->started_at),
						  UUIDPGetDatum(&delivery->endpoint),
						  UUIDPGetDatum(&delivery->message),
						  Int64GetDatum(delivery->response.duration_us),
						  (Datum) 0,
						  CStringGetTextDatum(delivery->client_id),
						  (Datum) 0,
						  (Datum) 0,
						  (Datum) 0};
		bool nulls[lengthof(types)] = {false};
		const char *sqlstate;

		if (!is_attempt(delivery))
			continue;
		nulls[5] = !delivery->sent;
		values[6] = status_value(delivery, &nulls[6]);
		sqlstate = delivery->sqlerrcode == 0 ? NULL : unpack_sql_state(delivery->sqlerrcode);
		values[8] = integ_rows_text(sqlstate, &nulls[8]);
		values[9] = integ_rows_text(delivery->error, &nulls[9]);
		values[10] = integ_rows_text(delivery->excerpt, &nulls[10]);
		integ_rows_add(&rows, values, nulls);
	}
	(void) integ_rows_query(&rows, &insert);
}

static void
add_outcome(IntegOwnEvents *events, const IntegDelivery *delivery, const char *kind)
{
	IntegJsonBuilder payload;

	if (!integ_own_event_wanted(delivery->client_id, kind))
		return;
	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "delivery", integ_uuid_text(&delivery->id));
	integ_json_add_string(&payload, "endpoint", integ_uuid_text(&delivery->endpoint));
	integ_json_add_string(&payload, "message", integ_uuid_text(&delivery->message));
	integ_json_add_string(&payload, "event_type", delivery->event_type);
	integ_json_add_int(&payload, "attempt", delivery->attempt);
	if (delivery->sent && delivery->response.status != 0)
		integ_json_add_int(&payload, "status", delivery->response.status);
	if (delivery->error != NULL)
		integ_json_add_string(&payload, "error", delivery->error);
	integ_own_events_add(events, delivery->client_id, kind, delivery->has_instance ? &delivery->instance : NULL,
						 integ_json_end(&payload));
}

/* Tells who wants to know; of what tells of deliveries itself nobody is told. */
static void
publish_outcomes(const Batch *batch)
{
	static const char own[] = INTEG_EVENT_PREFIX "delivery.";
	IntegOwnEvents events;

	integ_own_events_begin(&events);
	for (int i = 0; i < batch->count; i++)
	{
		const IntegDelivery *delivery = batch->items[i];

		if (!delivery->counts || strncmp(delivery->event_type, own, strlen(own)) == 0)
			continue;
		add_outcome(&events, delivery,
					delivery->fate == INTEG_DELIVERY_DELIVERED ? "delivery.delivered" : "delivery.failed");
		if (delivery->fate == INTEG_DELIVERY_DEAD)
			add_outcome(&events, delivery, "delivery.dead");
	}
	integ_own_events_publish(&events);
}

static void
store_batch(void *arg)
{
	Batch *batch = arg;
	IntegOwnerScope scope;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	for (int i = 0; i < batch->count; i++)
	{
		if (!batch->items[i]->judged)
			integ_delivery_judge(batch->desk, batch->items[i]);
		batch->items[i]->settled = false;
	}
	store_again(batch);
	store_ended(batch);
	store_attempts(batch);
	publish_outcomes(batch);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* As integ_worker_guard; that a batch fails of which each is tried by itself next is no news. */
static bool
try_batch(Batch *batch)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		store_batch(batch);
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(batch->desk->scratch);
		if (batch->count == 1)
			EmitErrorReport();
		FlushErrorState();
		AbortOutOfAnyTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return done;
}

static void
end_batch(const Batch *batch)
{
	IntegDeliveryDesk *desk = batch->desk;

	for (int i = 0; i < batch->count; i++)
	{
		IntegDelivery *delivery = batch->items[i];
		bool again = delivery->fate == INTEG_DELIVERY_AGAIN && delivery->settled;

		integ_delivery_note(desk, delivery);
		if (delivery->ordering_key != NULL)
		{
			integ_ordered_release(desk->dispatcher, &delivery->endpoint, "", delivery->ordering_key);
			if (!again)
				integ_deliveries_unlock(desk, &delivery->endpoint, delivery->ordering_key);
		}
		if (again)
			integ_deliveries_news(desk, delivery->again_at);
		dlist_delete(&delivery->node);
		desk->nanswered--;
		desk->count--;
		MemoryContextDelete(delivery->context);
	}
}

static bool
settle_singly(const Batch *failed)
{
	bool all = true;

	for (int i = 0; i < failed->count; i++)
	{
		Batch single = {.desk = failed->desk, .count = 1, .items = {failed->items[i]}};

		if (try_batch(&single))
			end_batch(&single);
		else
			all = false;
	}
	return all;
}

bool
integ_deliveries_settle(IntegDeliveryDesk *desk)
{
	MemoryContext old = MemoryContextSwitchTo(desk->scratch);
	Batch *batch = palloc0(sizeof(Batch));
	bool all = true;

	batch->desk = desk;
	while (all && desk->nanswered > 0)
	{
		dlist_iter iter;

		batch->count = 0;
		dlist_foreach (iter, &desk->answered)
			if (batch->count < INTEG_DELIVERY_BATCH)
				batch->items[batch->count++] = dlist_container(IntegDelivery, node, iter.cur);
		if (try_batch(batch))
			end_batch(batch);
		else
			all = settle_singly(batch);
	}
	MemoryContextSwitchTo(old);
	return all;
}
