/*
 * Preparing: calls take the path of a call up to the injection of
 * credentials, as the actor that enqueued them. What stops one ends that one.
 *
 * A write that must not be repeated is marked on disk before it leaves (sent_at): after a crash only what is marked
 * may have been sent. The commit itself does not wait for disk: the intents, which follow, need the same, and
 * integ_send sees to it that both are there.
 */
#include "calls/dispatch.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "approvals/approval.h"
#include "calls/enqueue.h"
#include "calls/errand.h"
#include "catalog/pg_type.h"
#include "core/attempt.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/query.h"
#include "core/uuid.h"
#include "course/course.h"
#include "gateway/gateway.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static void
fail(IntegFlight *flight, int sqlerrcode, char *message, char *detail, char *hint)
{
	flight->outcome = (IntegOutcome){.sqlerrcode = sqlerrcode, .message = message, .detail = detail, .hint = hint};
}

/* How many calls of the instance may run at once, and where it goes, for the calls that come. */
static void
learn_limit(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	const IntegInstance *instance = flight->call->instance;
	uint32 limit = integ_limits_concurrent(instance->limits, flight->call->definition->limits);

	if (limit > 0)
		limit = Min(limit, INTEG_FLIGHTS_MAX);
	else if (integ_calls_are_shared(flight->call))
		limit = integ_lane_part(dispatcher, integ_instance_concurrency);
	else
		limit = integ_instance_concurrency;
	integ_lane_learn(dispatcher, flight->lane, (int) limit, instance->origin);
}

/* By the instance's key: the handle may mean another one by now. */
static IntegCall *
begin_call(const IntegFlight *flight, const IntegActor *actor, const IntegApproval *approval)
{
	IntegCallOptions options = {
		.timeout_ms = flight->timeout_ms, .asynchronous = true, .returning = flight->promised};
	const char *instance = integ_uuid_text(&flight->instance);
	const Jsonb *input = approval != NULL ? approval->input : flight->input;
	IntegMethod *method;

	if (approval == NULL || !approval->is_raw)
		return integ_call_begin(actor, instance, flight->method, input, &options);
	method = integ_raw_method_of(input);
	method->approval_required = true;
	return integ_call_begin_raw(actor, instance, method, input, &options);
}

/* The first steps of the path for one flight; raises what stops it. */
static void
open_call(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	const IntegActor *actor = integ_actor_rebuild(flight->owner, flight->client_id, flight->user_id);
	const IntegApproval *approval =
		flight->has_approval ? integ_approval_load(&flight->approval, &flight->id) : NULL;

	flight->call = flight->errand != NULL ? flight->errand->begin(flight, actor) : begin_call(flight, actor, approval);
	flight->call->subject.call_id = flight->id;
	flight->call->attempt = flight->attempt;
	flight->call->approval = approval;
	/* The approved input is what the function before the call made of it. */
	flight->call->asked_before = approval != NULL;
	integ_call_open(flight->call);
	learn_limit(dispatcher, flight);
}

/* The request that comes next; none where a course of several has ended without one. */
static void
build(IntegFlight *flight)
{
	IntegCall *call = flight->call;

	if (call->method->is_function)
		return;
	if (flight->errand != NULL)
	{
		flight->errand->build(flight);
		flight->may_repeat = !call->exchange->is_write;
		return;
	}
	if (call->course == NULL)
	{
		integ_course_begin(call);
		integ_course_resume(call, flight->progress);
		flight->outcome = call->outcome;
	}
	if (call->course != NULL && integ_course_ended(call))
		return;
	integ_call_rewind(call);
	integ_call_build(call);
	flight->may_repeat = !call->exchange->is_write || call->method->idempotency_in != NULL;
}

/* Opens it, or takes what it has asked, or goes on; builds it once nothing is to be asked any more. */
static void
advance(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	if (flight->answered)
		integ_call_answer(flight->call, flight->question, &flight->answer);
	else if (!flight->goes_on)
		open_call(dispatcher, flight);
	flight->answered = false;
	flight->outcome = flight->call->outcome;
	flight->question = integ_call_question(flight->call);
	if (flight->outcome.sqlerrcode == 0 && flight->question == INTEG_QUESTION_NONE)
		build(flight);
}

/* Whether it is ready to be sent; else what stopped it, what it asks, or its result, is known. */
static bool
is_prepared(const IntegFlight *flight)
{
	return flight->outcome.sqlerrcode == 0 && flight->question == INTEG_QUESTION_NONE &&
		   !flight->call->method->is_function &&
		   (flight->call->course == NULL || !integ_course_ended(flight->call));
}

typedef struct Preparing
{
	IntegDispatcher *dispatcher;
	IntegFlight *flight;
} Preparing;

static void
advance_step(void *arg)
{
	Preparing *preparing = arg;

	advance(preparing->dispatcher, preparing->flight);
}

static void
guarded_prepare(IntegDispatcher *dispatcher, IntegAttempts *attempts, IntegFlight *flight)
{
	Preparing preparing = {dispatcher, flight};
	MemoryContext old = CurrentMemoryContext;
	ErrorData *error;

	/* From the beginning, where the transaction of the last time failed. */
	if (flight->call != NULL && !flight->answered && !flight->goes_on)
	{
		integ_call_end(flight->call);
		flight->call = NULL;
	}
	flight->question = flight->answered ? flight->question : INTEG_QUESTION_NONE;
	memset(&flight->outcome, 0, sizeof(flight->outcome));
	MemoryContextSwitchTo(flight->context);
	error = integ_attempts_run(attempts, advance_step, &preparing);
	flight->closed = error != NULL && error->sqlerrcode == ERRCODE_INTEG_INSTALLATION &&
					 integ_dispatcher_is_closed(dispatcher);
	if (error != NULL)
		fail(flight, error->sqlerrcode, error->message,
			 flight->call != NULL ? integ_course_explain(flight->call, error->detail) : error->detail, error->hint);
	if (error != NULL && flight->call != NULL)
	{
		flight->outcome.retry_at = flight->call->outcome.retry_at;
		flight->waits_for = flight->call->waits_for;
		/* Its slot is for others. */
		integ_call_rewind(flight->call);
	}
	MemoryContextSwitchTo(old);
}

static bool
is_mine_to_run(IntegFlight *flight, TimestampTz now)
{
	/* What has been begun is not begun late. */
	if (flight->expires_at == 0 || flight->expires_at > now || flight->goes_on || flight->progress != NULL)
		return true;
	fail(flight, ERRCODE_INTEG_UNREACHABLE, "the call expired before it was begun", NULL,
		 "integ_call_retry enqueues it again; expires_at says how long a call is worth making.");
	return false;
}

bool
integ_flight_needs_mark(const IntegFlight *flight)
{
	return !flight->later && is_prepared(flight) && !flight->may_repeat;
}

/* Marks the flights that go on and send a write that must not be repeated. */
static void
mark_sent(IntegDispatcher *dispatcher, TimestampTz now)
{
	static IntegQuery mark = {
		"UPDATE integ.calls_open SET sent_at = $1"
		" WHERE id = ANY ($2) AND instance = ANY ($3) AND state = 'running' AND lease = $4",
		4,
		{TIMESTAMPTZOID, UUIDARRAYOID, UUIDARRAYOID, INT8OID}};
	ArrayBuildState *ids = initArrayResult(UUIDOID, CurrentMemoryContext, false);
	ArrayBuildState *instances = initArrayResult(UUIDOID, CurrentMemoryContext, false);
	Datum values[4];
	bool any = false;
	dlist_iter iter;

	dlist_foreach (iter, &dispatcher->claimed)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		if (!integ_flight_needs_mark(flight))
			continue;
		any = true;
		accumArrayResult(ids, UUIDPGetDatum(&flight->id), false, UUIDOID, CurrentMemoryContext);
		accumArrayResult(instances, UUIDPGetDatum(&flight->instance), false, UUIDOID, CurrentMemoryContext);
	}
	if (!any)
		return;
	values[0] = TimestampTzGetDatum(now);
	values[1] = makeArrayResult(ids, CurrentMemoryContext);
	values[2] = makeArrayResult(instances, CurrentMemoryContext);
	values[3] = Int64GetDatum(dispatcher->lease);
	SPI_connect();
	(void) integ_query(&mark, values, NULL);
	SPI_finish();
	integ_commit_without_waiting();
	dispatcher->has_marked = true;
}

static bool
is_listed(const pg_uuid_t *id, uint64 count)
{
	bool isnull;

	for (uint64 i = 0; i < count; i++)
		if (memcmp(DatumGetUUIDP(integ_result_datum(i, 1, &isnull)), id, UUID_LEN) == 0)
			return true;
	return false;
}

/* A call that somebody has cancelled, or deleted, between two of its requests sends no more of them. */
static void
find_cancelled(IntegDispatcher *dispatcher)
{
	static IntegQuery wanted = {
		"SELECT o.id FROM integ.calls_open o"
		" WHERE o.id = ANY ($1) AND o.state = 'running' AND o.lease = $2 AND NOT o.cancel_requested",
		2,
		{UUIDARRAYOID, INT8OID}};
	ArrayBuildState *ids = initArrayResult(UUIDOID, CurrentMemoryContext, false);
	Datum values[2];
	uint64 count;
	bool any = false;
	dlist_iter iter;

	dlist_foreach (iter, &dispatcher->claimed)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		if (!flight->goes_on)
			continue;
		any = true;
		accumArrayResult(ids, UUIDPGetDatum(&flight->id), false, UUIDOID, CurrentMemoryContext);
	}
	if (!any)
		return;
	values[0] = makeArrayResult(ids, CurrentMemoryContext);
	values[1] = Int64GetDatum(dispatcher->lease);
	SPI_connect();
	count = integ_query(&wanted, values, NULL);
	dlist_foreach (iter, &dispatcher->claimed)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);
		MemoryContext old = MemoryContextSwitchTo(flight->context);

		if (flight->goes_on && !is_listed(&flight->id, count))
		{
			flight->cancelled = true;
			fail(flight, ERRCODE_QUERY_CANCELED, psprintf("the call was cancelled before %s", integ_call_name(flight->call)),
				 integ_course_explain(flight->call, NULL), NULL);
		}
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
}

void
integ_prepare_flights(IntegDispatcher *dispatcher, dlist_head *flights, TimestampTz now)
{
	IntegAttempts attempts = {0};
	dlist_iter iter;

	dlist_foreach (iter, flights)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		if (!flight->later && !flight->cancelled && is_mine_to_run(flight, now))
			guarded_prepare(dispatcher, &attempts, flight);
	}
	integ_attempts_end(&attempts);
}

void
integ_prepare_commit(IntegDispatcher *dispatcher)
{
	CommitTransactionCommand();
	if (dispatcher->has_marked)
		dispatcher->marked_until = XactLastCommitEnd;
	dispatcher->has_marked = false;
}

void
integ_prepare_part(IntegDispatcher *dispatcher, dlist_head *flights)
{
	while (!dlist_is_empty(flights))
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, dlist_pop_head_node(flights));

		if (flight->later)
		{
			flight->later = false;
			dlist_push_tail(&dispatcher->claimed, &flight->node);
		}
		else if (flight->outcome.sqlerrcode == 0 && flight->question != INTEG_QUESTION_NONE)
			integ_flight_ask(dispatcher, flight);
		else if (is_prepared(flight))
			dlist_push_tail(&dispatcher->ready, &flight->node);
		else
			integ_flight_answered(dispatcher, flight);
	}
}

void
integ_prepare(IntegDispatcher *dispatcher)
{
	TimestampTz now = GetCurrentTimestamp();

	if (dlist_is_empty(&dispatcher->claimed))
		return;
	dispatcher->has_marked = false;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	find_cancelled(dispatcher);
	integ_prepare_flights(dispatcher, &dispatcher->claimed, now);
	mark_sent(dispatcher, now);
	PopActiveSnapshot();
	integ_prepare_commit(dispatcher);
	integ_prepare_part(dispatcher, &dispatcher->claimed);
}
