/*
 * Settling: answers become outcomes, and outcomes rows: of integ.calls_done, or
 * of integ.calls_open again for another attempt.
 *
 * A flight is judged once, which records its exchange; storing may be tried
 * more often. A batch is one transaction. Where it fails, its calls are stored
 * one by one, so that one that cannot be stored, or whose row somebody has
 * locked, holds back no other.
 */
#include "calls/dispatch.h"
#include "calls/done.h"
#include "calls/errand.h"

#include "../background_workers/worker.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "core/attempt.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/query.h"
#include "operate/operate.h"
#include "course/course.h"
#include "oauth/ensure.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Results of one transaction, together. */
#define BATCH_BYTES (32 * 1024 * 1024)

typedef struct Batch
{
	IntegDispatcher *dispatcher;
	int count;
	IntegFlight *flights[INTEG_BATCH_MAX];
	int sqlerrcode; /* of its failure */
	char *message;
} Batch;

static void
finish_step(void *arg)
{
	IntegFlight *flight = arg;

	integ_call_finish(flight->call);
	flight->outcome = flight->call->outcome;
}

/* classify, map, record; an error in them is the outcome. */
static void
finish_call(IntegAttempts *attempts, IntegFlight *flight)
{
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	ErrorData *error = integ_attempts_run(attempts, finish_step, flight);

	if (error != NULL)
	{
		flight->outcome = (IntegOutcome){.sqlerrcode = error->sqlerrcode,
										 .message = error->message,
										 .detail = integ_course_explain(flight->call, error->detail),
										 .hint = error->hint};
		if (flight->call->intent != NULL)
			integ_record_outcome(flight->call->intent, "unknown", NULL);
		flight->call->intent = NULL;
	}
	flight->finished = true;
	MemoryContextSwitchTo(old);
}

static bool
was_sent(const IntegFlight *flight)
{
	return flight->call != NULL && flight->call->response != NULL;
}

static void
finish_calls(const Batch *batch)
{
	IntegAttempts attempts = {0};

	for (int i = 0; i < batch->count; i++)
	{
		IntegFlight *flight = batch->flights[i];

		if (flight->judged || flight->finished || !was_sent(flight))
			continue;
		if (flight->call->intent != NULL)
			batch->dispatcher->nwrites--;
		finish_call(&attempts, flight);
	}
	integ_attempts_end(&attempts);
}

/*
 * What becomes of a flight whose exchange was successful, but not the last: it goes on at once, or, where there is
 * something to wait for, as a row, which outlives this process.
 */
static IntegVerdict
go_on(const IntegDispatcher *dispatcher, const IntegFlight *flight)
{
	TimestampTz due = flight->call->course->due;

	if (due == 0 && !dispatcher->stopping)
		return (IntegVerdict){.kind = INTEG_VERDICT_NEXT};
	return (IntegVerdict){
		.kind = INTEG_VERDICT_RETRY, .retry_at = Max(due, GetCurrentTimestamp()), .waits = due != 0};
}

/* A call that waits for a slot, at the service or here, is to use those it has had. */
static bool
keeps_all(const IntegFlight *flight)
{
	return flight->verdict.waits || flight->outcome.sqlerrcode == ERRCODE_INTEG_RATE_LIMIT ||
		   flight->outcome.sqlerrcode == ERRCODE_INTEG_CIRCUIT_OPEN;
}

/* What the next attempt is to know. Where this one was not even opened, what it knew itself. */
static const Jsonb *
save_progress(const IntegFlight *flight)
{
	MemoryContext old = MemoryContextSwitchTo(flight->context);
	const Jsonb *progress =
		flight->call->course == NULL ? flight->progress : integ_course_save(flight->call, keeps_all(flight));

	MemoryContextSwitchTo(old);
	return progress;
}

/* Takes what a function said to the result; whether one is to be asked first. */
static bool
must_ask(const IntegDispatcher *dispatcher, IntegFlight *flight)
{
	flight->question = INTEG_QUESTION_NONE;
	if (flight->answered)
	{
		integ_call_answer(flight->call, INTEG_QUESTION_AFTER, &flight->answer);
		flight->outcome = flight->call->outcome;
		flight->answered = false;
	}
	else if (flight->outcome.sqlerrcode == 0)
		flight->question = integ_call_question(flight->call);
	return flight->question != INTEG_QUESTION_NONE;
}

/* While a breaker is open nothing of the instance is claimed, and then one call, which probes it. */
static void
adjust_lane(IntegDispatcher *dispatcher, const IntegFlight *flight, const IntegAttempt *attempt)
{
	IntegLane *lane = integ_lane_get(dispatcher, &flight->instance);

	if (attempt->answered && !attempt->server_error)
		lane->cautious = false;
	if (!attempt->waits || attempt->sqlerrcode != ERRCODE_INTEG_CIRCUIT_OPEN)
		return;
	lane->cautious = true;
	lane->paused_until = Max(lane->paused_until, flight->outcome.retry_at);
}

/*
 * The service refused the credentials: once, an OAuth token may have been revoked early, and is refreshed before the
 * call comes again; after that a person is needed, so that nobody else runs into the same refusal.
 */
static void
handle_refusal(IntegFlight *flight)
{
	if (flight->outcome.sqlerrcode != ERRCODE_INTEG_UNAUTHENTICATED || flight->response.status != 401)
		return;
	if (flight->refused_before || !integ_oauth_repeat(flight->call))
		integ_oauth_give_up(flight->call);
}

/*
 * During a rotation of the instance's credentials a call whose new ones are refused goes on with those before; that
 * the new ones are accepted promotes them. True where it goes on.
 */
static bool
read_both(const IntegDispatcher *dispatcher, IntegFlight *flight)
{
	IntegCall *call = flight->call;

	if (call->stale || call->previous_credentials || !integ_vault_rotating(&call->instance->credentials))
		return false;
	if (flight->outcome.sqlerrcode == 0)
		integ_vault_promote(&call->instance->credentials);
	if (flight->outcome.sqlerrcode != ERRCODE_INTEG_UNAUTHENTICATED)
		return false;
	call->previous_credentials = true;
	flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_NEXT};
	if (dispatcher->stopping)
	{
		flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_RETRY, .retry_at = GetCurrentTimestamp()};
		flight->progress = save_progress(flight);
	}
	flight->judged = true;
	return true;
}

static void
judge(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	bool sent = was_sent(flight);
	IntegAttempt attempt = {.repeatable = flight->may_repeat || flight->repeatable,
							.counted = flight->attempt - flight->interrupted,
							.max_attempts = flight->max_attempts,
							.expires_at = flight->expires_at,
							.delay_ms = integ_retry_delay,
							.max_delay_ms = integ_max_retry_delay,
							.random = pg_prng_double(&pg_global_prng_state)};

	if (sent)
	{
		if (must_ask(dispatcher, flight) || read_both(dispatcher, flight))
			return;
		if (flight->errand != NULL)
			integ_errand_receive(flight);
		handle_refusal(flight);
		attempt.answered = flight->response.failure == INTEG_HTTP_OK;
		attempt.server_error = attempt.answered && flight->response.status >= 500;
		attempt.maybe_sent = flight->response.maybe_sent;
		attempt.interrupted = flight->response.failure == INTEG_HTTP_CANCELLED;
	}
	if (flight->call != NULL && flight->call->course != NULL && flight->call->course->failed)
		attempt.repeatable = false;
	attempt.now = GetCurrentTimestamp();
	attempt.sqlerrcode = flight->outcome.sqlerrcode;
	attempt.token_pending = flight->call != NULL && flight->call->token_pending;
	attempt.retry_after = flight->outcome.retry_at;
	attempt.waits = !sent && attempt.retry_after != 0 &&
					(attempt.sqlerrcode == ERRCODE_INTEG_RATE_LIMIT ||
					 attempt.sqlerrcode == ERRCODE_INTEG_CIRCUIT_OPEN);
	attempt.held = !sent && flight->closed;
	attempt.interrupted = attempt.interrupted || (!sent && dispatcher->stopping) || flight->cancelled;
	if (attempt.sqlerrcode == 0 && !integ_course_ended(flight->call))
		flight->verdict = go_on(dispatcher, flight);
	else if (!sent && !flight->goes_on && flight->progress == NULL && flight->expires_at != 0 &&
			 flight->expires_at <= attempt.now)
		flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_DEAD};
	else
		flight->verdict = integ_call_verdict(&attempt);
	adjust_lane(dispatcher, flight, &attempt);
	if (attempt.token_pending && flight->verdict.kind == INTEG_VERDICT_RETRY)
		integ_lane_get(dispatcher, &flight->instance)->paused_until = flight->verdict.retry_at;
	if (flight->verdict.kind == INTEG_VERDICT_RETRY && flight->call != NULL && flight->call->method != NULL)
		flight->progress = save_progress(flight);
	flight->judged = true;
}

/* Columns of arrays that a statement unnests, one element a flight. */
typedef struct Columns
{
	int count;
	Datum *values;
	bool *nulls;
} Columns;

static Datum
array_of(const Columns *columns, Oid type, int16 length, bool by_value, char align)
{
	int dims[1] = {columns->count};
	int lower[1] = {1};

	return PointerGetDatum(construct_md_array(columns->values, columns->nulls, 1, dims, lower, type, length, by_value,
											  align));
}

#define COLUMN(batch, wanted, value_of, is_null, type, length, by_value, align)                                 \
	({                                                                                                          \
		Columns columns_ = {0, palloc((batch)->count * sizeof(Datum)), palloc0((batch)->count * sizeof(bool))}; \
		for (int i_ = 0; i_ < (batch)->count; i_++)                                                             \
		{                                                                                                       \
			IntegFlight *flight = (batch)->flights[i_];                                                         \
			if (!(wanted))                                                                                      \
				continue;                                                                                       \
			columns_.nulls[columns_.count] = (is_null);                                                         \
			columns_.values[columns_.count] = columns_.nulls[columns_.count] ? (Datum) 0 : (value_of);          \
			columns_.count++;                                                                                   \
		}                                                                                                       \
		array_of(&columns_, type, length, by_value, align);                                                     \
	})
#define UUID_COLUMN(batch, wanted, field) \
	COLUMN(batch, wanted, UUIDPGetDatum(&flight->field), false, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)
#define TEXT_COLUMN(batch, wanted, value) \
	COLUMN(batch, wanted, CStringGetTextDatum(value), (value) == NULL, TEXTOID, -1, false, TYPALIGN_INT)

static char *
sqlstate_text(const IntegFlight *flight)
{
	return flight->outcome.sqlerrcode != 0 ? pstrdup(unpack_sql_state(flight->outcome.sqlerrcode)) : NULL;
}

/* The verdict's own reason goes before the attempt's detail. */
static char *
detail_text(const IntegFlight *flight)
{
	const char *detail = flight->outcome.detail;

	if (flight->verdict.reason == NULL)
		return (char *) detail;
	return detail == NULL ? (char *) flight->verdict.reason : psprintf("%s %s", flight->verdict.reason, detail);
}

/* Another attempt later. Those that somebody has cancelled meanwhile are left running, for store_done. */
static void
store_retries(Batch *batch)
{
	static IntegQuery again = {
		"UPDATE integ.calls_open o SET state = CASE WHEN r.later THEN 'waiting' ELSE 'queued' END, lease = NULL,"
		" sent_at = NULL, next_attempt_at = r.at, last_sqlstate = r.sqlstate, last_error = r.error,"
		" interrupted = o.interrupted + r.uncounted, attempt = o.attempt - r.unbegun, progress = r.progress,"
		" started_at = CASE WHEN o.attempt > r.unbegun OR r.progress IS NOT NULL THEN o.started_at END"
		" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)"
		" AS r (id, instance, at, later, sqlstate, error, uncounted, unbegun, progress)"
		" WHERE o.id = r.id AND o.instance = r.instance AND o.lease = $10 AND NOT o.cancel_requested"
		" RETURNING o.id",
		10,
		{UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID,
		 INT4ARRAYOID, JSONBARRAYOID, INT8OID}};
#define IS_RETRY (flight->judged && flight->verdict.kind == INTEG_VERDICT_RETRY)
	Datum values[] = {
		UUID_COLUMN(batch, IS_RETRY, id),
		UUID_COLUMN(batch, IS_RETRY, instance),
		COLUMN(batch, IS_RETRY, TimestampTzGetDatum(flight->verdict.retry_at), false, TIMESTAMPTZOID, 8, true,
			   TYPALIGN_DOUBLE),
		COLUMN(batch, IS_RETRY, BoolGetDatum(flight->verdict.counts || flight->verdict.waits), false, BOOLOID, 1, true,
			   TYPALIGN_CHAR),
		TEXT_COLUMN(batch, IS_RETRY, sqlstate_text(flight)),
		TEXT_COLUMN(batch, IS_RETRY, flight->outcome.message),
		COLUMN(batch, IS_RETRY, Int32GetDatum(flight->verdict.counts || flight->verdict.waits ? 0 : 1), false, INT4OID,
			   4, true, TYPALIGN_INT),
		COLUMN(batch, IS_RETRY, Int32GetDatum(flight->verdict.waits ? 1 : 0), false, INT4OID, 4, true, TYPALIGN_INT),
		COLUMN(batch, IS_RETRY, JsonbPGetDatum(flight->progress), flight->progress == NULL, JSONBOID, -1, false,
			   TYPALIGN_INT),
		Int64GetDatum(batch->dispatcher->lease)};
#undef IS_RETRY
	uint64 count = integ_query(&again, values, NULL);

	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;
		const pg_uuid_t *id = DatumGetUUIDP(integ_result_datum(i, 1, &isnull));

		for (int j = 0; j < batch->count; j++)
			if (memcmp(&batch->flights[j]->id, id, UUID_LEN) == 0)
				batch->flights[j]->settled = true;
	}
}

static const char *
done_state(const IntegFlight *flight)
{
	const char *state = integ_verdict_state(flight->verdict.kind);

	return state != NULL ? state : "cancelled";
}

/* Moves what has ended, or was cancelled before its next attempt, to history. A row that is gone stays gone. */
static void
store_done(Batch *batch)
{
#define ENDED                                                                                                         \
	"WITH ended AS (DELETE FROM integ.calls_open o"                                                                   \
	" USING unnest($1, $2, $3, $4, $5, $6, $7, $8) AS r (id, instance, state, sqlstate, error, detail, hint, result)" \
	" WHERE o.id = r.id AND o.instance = r.instance AND o.lease = $9"                                                 \
	" RETURNING o.*, r.state AS end_state, r.sqlstate AS end_sqlstate, r.error AS end_error, r.detail AS end_detail," \
	" r.hint AS end_hint, r.result AS end_result, 0 AS end_interrupted)"
#define ENDED_TYPES                                                                                       \
	{                                                                                                     \
		UUIDARRAYOID, UUIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, \
			JSONBARRAYOID, INT8OID                                                                        \
	}
	static IntegQuery done = {ENDED INTEG_CALLS_DONE, 9, ENDED_TYPES};
	static IntegQuery done_quietly = {ENDED INTEG_CALLS_HISTORY, 9, ENDED_TYPES};
#undef ENDED
#undef ENDED_TYPES
	bool has_callback = false;
	Datum values[] = {
		UUID_COLUMN(batch, !flight->settled, id),
		UUID_COLUMN(batch, !flight->settled, instance),
		TEXT_COLUMN(batch, !flight->settled, done_state(flight)),
		TEXT_COLUMN(batch, !flight->settled, sqlstate_text(flight)),
		TEXT_COLUMN(batch, !flight->settled, flight->outcome.message),
		TEXT_COLUMN(batch, !flight->settled, detail_text(flight)),
		TEXT_COLUMN(batch, !flight->settled, flight->outcome.hint),
		COLUMN(batch, !flight->settled, JsonbPGetDatum(flight->outcome.result),
			   flight->outcome.result == NULL || flight->errand != NULL, JSONBOID, -1, false, TYPALIGN_INT),
		Int64GetDatum(batch->dispatcher->lease)};

	for (int i = 0; i < batch->count; i++)
		has_callback |= !batch->flights[i]->settled && batch->flights[i]->has_callback;
	(void) integ_query(has_callback ? &done : &done_quietly, values, NULL);
}

static void
announce_done(const Batch *batch)
{
	const pg_uuid_t *calls[INTEG_BATCH_MAX];
	int count = 0;

	for (int i = 0; i < batch->count; i++)
		if (!batch->flights[i]->settled)
			calls[count++] = &batch->flights[i]->id;
	integ_announce_ids("integ_calls", calls, count);
}

/* One transaction for the batch. */
static void
store_batch(void *arg)
{
	Batch *batch = arg;
	bool any_retry = false, any_done = false;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	finish_calls(batch);
	for (int i = 0; i < batch->count; i++)
	{
		IntegFlight *flight = batch->flights[i];

		if (!flight->judged)
			judge(batch->dispatcher, flight);
		if (flight->judged && flight->errand != NULL)
			integ_errand_settle(flight);
		/* One that asks first is settled later; one that goes on at once keeps its row as it is. */
		flight->settled = !flight->judged || flight->verdict.kind == INTEG_VERDICT_NEXT;
		any_retry |= flight->judged && flight->verdict.kind == INTEG_VERDICT_RETRY;
	}
	SPI_connect();
	if (any_retry)
		store_retries(batch);
	for (int i = 0; i < batch->count; i++)
		any_done |= !batch->flights[i]->settled;
	if (any_done)
	{
		store_done(batch);
		integ_flights_tell(batch->flights, batch->count);
		announce_done(batch);
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* As integ_worker_guard, but a caller wants the code of the error, and a batch that fails is no news. */
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
		ErrorData *error;

		MemoryContextSwitchTo(batch->dispatcher->scratch);
		error = CopyErrorData();
		if (batch->count == 1)
			EmitErrorReport();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		batch->sqlerrcode = error->sqlerrcode;
		batch->message = error->message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return done;
}

/* The next request of the same call: its exchange is forgotten, and it is prepared again. */
static void
continue_flight(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	if (flight->errand != NULL && flight->errand->settled != NULL)
		flight->errand->settled(flight);
	integ_call_rewind(flight->call);
	integ_http_response_free(&flight->response);
	memset(&flight->response, 0, sizeof(flight->response));
	flight->goes_on = true;
	flight->finished = false;
	flight->judged = false;
	flight->settling = false;
	flight->call->options.returning = false;
	if (flight->lane == NULL)
		integ_lane_enter(dispatcher, flight);
	dlist_delete(&flight->node);
	dlist_push_tail(&dispatcher->claimed, &flight->node);
	dispatcher->nanswered--;
}

static void
end_flight(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	bool again = flight->verdict.kind == INTEG_VERDICT_RETRY && flight->settled;

	if (flight->verdict.kind == INTEG_VERDICT_NEXT)
	{
		continue_flight(dispatcher, flight);
		return;
	}
	integ_lane_leave(dispatcher, flight);
	integ_failing_note(dispatcher, flight);
	if (flight->ordering_key != NULL)
	{
		integ_ordered_release(dispatcher, &flight->instance, flight->client_id, flight->ordering_key);
		if (!again)
			integ_ordered_unlock(dispatcher, &flight->instance, flight->client_id, flight->ordering_key);
	}
	if (again)
		integ_claim_later(dispatcher, flight, flight->verdict.retry_at);
	if (again && flight->verdict.waits && flight->outcome.sqlerrcode != 0)
		integ_lane_promise(dispatcher, flight, flight->verdict.retry_at);
	dlist_delete(&flight->node);
	dispatcher->nanswered--;
	dispatcher->nflights--;
	MemoryContextDelete(flight->context);
}

static void
ask_first(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	dlist_delete(&flight->node);
	dispatcher->nanswered--;
	integ_flight_ask(dispatcher, flight);
}

static void
end_batch(const Batch *batch)
{
	for (int i = 0; i < batch->count; i++)
	{
		if (batch->flights[i]->judged)
			end_flight(batch->dispatcher, batch->flights[i]);
		else
			ask_first(batch->dispatcher, batch->flights[i]);
	}
	ConditionVariableBroadcast(&batch->dispatcher->database->dispatch.finished);
}

/* An outcome that the tables do not take (its result is the only thing of any size in it) ends without it. */
static bool
replace_outcome(IntegFlight *flight, const Batch *batch)
{
	int category = ERRCODE_TO_CATEGORY(batch->sqlerrcode);

	if (flight->outcome.result == NULL ||
		(category != ERRCODE_DATA_EXCEPTION && category != ERRCODE_PROGRAM_LIMIT_EXCEEDED))
		return false;
	flight->outcome = (IntegOutcome){.sqlerrcode = ERRCODE_INTEG_BAD_ANSWER,
									 .message = "the result could not be stored",
									 .detail = MemoryContextStrdup(flight->context, batch->message),
									 .hint = "The service has carried the call out; ask it for less."};
	flight->verdict = (IntegVerdict){.kind = INTEG_VERDICT_FAILED};
	return true;
}

static bool
settle_singly(const Batch *failed)
{
	bool all = true;

	for (int i = 0; i < failed->count; i++)
	{
		Batch single = {.dispatcher = failed->dispatcher, .count = 1, .flights = {failed->flights[i]}};

		if (try_batch(&single) || (replace_outcome(single.flights[0], &single) && try_batch(&single)))
			end_batch(&single);
		else
			all = false;
	}
	return all;
}

static void
fill_batch(Batch *batch, IntegDispatcher *dispatcher)
{
	size_t bytes = 0;
	dlist_iter iter;

	batch->dispatcher = dispatcher;
	batch->count = 0;
	dlist_foreach (iter, &dispatcher->answered)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		if (batch->count == INTEG_BATCH_MAX || bytes > BATCH_BYTES)
			break;
		bytes += flight->response.body_len;
		batch->flights[batch->count++] = flight;
	}
}

bool
integ_settle(IntegDispatcher *dispatcher)
{
	MemoryContext old = MemoryContextSwitchTo(dispatcher->scratch);
	Batch *batch = palloc0(sizeof(Batch));
	bool all = true;

	while (all && dispatcher->nanswered > 0)
	{
		fill_batch(batch, dispatcher);
		if (try_batch(batch))
			end_batch(batch);
		else
			all = settle_singly(batch);
	}
	MemoryContextSwitchTo(old);
	return all;
}
