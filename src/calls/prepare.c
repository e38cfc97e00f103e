/*
 * Preparing: claimed calls take the path of a call up to the injection of
 * credentials, as the actor that enqueued them. What stops one ends that one.
 */
#include "calls/dispatch.h"

#include "access/xact.h"
#include "approvals/approval.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/query.h"
#include "core/uuid.h"
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

/* What the definition says about the instance's concurrency, for the calls that come. */
static void
learn_limit(IntegFlight *flight)
{
	const JsonbContainer *limits =
		integ_json_get_object(&flight->call->definition->manifest->root, "rateLimit");
	int64 limit = limits != NULL ? integ_json_get_int(limits, "concurrent", 0) : 0;

	flight->lane->limit = limit > 0 ? (int) Min(limit, INTEG_FLIGHTS_MAX) : integ_instance_concurrency;
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
open_call(IntegFlight *flight)
{
	const IntegActor *actor = integ_actor_rebuild(flight->owner, flight->client_id, flight->user_id);
	const IntegApproval *approval =
		flight->has_approval ? integ_approval_load(&flight->approval, &flight->id) : NULL;

	flight->call = begin_call(flight, actor, approval);
	flight->call->subject.call_id = flight->id;
	flight->call->attempt = flight->attempt;
	flight->call->approval = approval;
	/* The approved input is what the function before the call made of it. */
	flight->call->asked_before = approval != NULL;
	integ_call_open(flight->call);
	flight->may_repeat = !flight->call->method->is_write || flight->call->method->idempotency_in != NULL;
	learn_limit(flight);
}

/* Opens it, or takes what it has asked; builds it once nothing is to be asked any more. */
static void
advance(IntegFlight *flight)
{
	if (flight->answered)
		integ_call_answer(flight->call, flight->question, &flight->answer);
	else
		open_call(flight);
	flight->answered = false;
	flight->outcome = flight->call->outcome;
	flight->question = integ_call_question(flight->call);
	if (flight->outcome.sqlerrcode == 0 && flight->question == INTEG_QUESTION_NONE)
		integ_call_build(flight->call);
}

static void
guarded_prepare(IntegFlight *flight)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old = CurrentMemoryContext;

	/* From the beginning, where the transaction of the last time failed. */
	if (flight->call != NULL && !flight->answered)
	{
		integ_call_end(flight->call);
		flight->call = NULL;
	}
	flight->question = flight->answered ? flight->question : INTEG_QUESTION_NONE;
	memset(&flight->outcome, 0, sizeof(flight->outcome));
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(flight->context);
	PG_TRY();
	{
		advance(flight);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(flight->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		fail(flight, error->sqlerrcode, error->message, error->detail, error->hint);
		if (flight->call != NULL)
		{
			flight->outcome.retry_at = flight->call->outcome.retry_at;
			flight->waits_for = flight->call->waits_for;
			/* Its slot is for others. */
			integ_call_rewind(flight->call);
		}
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
}

static bool
is_mine_to_run(IntegFlight *flight, TimestampTz now)
{
	if (flight->expires_at == 0 || flight->expires_at > now)
		return true;
	fail(flight, ERRCODE_INTEG_UNREACHABLE, "the call expired before it was begun", NULL,
		 "integ_call_retry enqueues it again; expires_at says how long a call is worth making.");
	return false;
}

/*
 * A write that must not be repeated is marked on disk before it leaves: after a crash
 * only what is marked may have been sent.
 */
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

		if (flight->outcome.sqlerrcode != 0 || flight->may_repeat || flight->question != INTEG_QUESTION_NONE)
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
	(void) integ_query(&mark, values, NULL);
}

void
integ_prepare(IntegDispatcher *dispatcher)
{
	TimestampTz now = GetCurrentTimestamp();
	dlist_iter iter;

	if (dlist_is_empty(&dispatcher->claimed))
		return;
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	dlist_foreach (iter, &dispatcher->claimed)
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, iter.cur);

		if (is_mine_to_run(flight, now))
			guarded_prepare(flight);
	}
	SPI_connect();
	mark_sent(dispatcher, now);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();

	while (!dlist_is_empty(&dispatcher->claimed))
	{
		IntegFlight *flight = dlist_container(IntegFlight, node, dlist_pop_head_node(&dispatcher->claimed));

		if (flight->outcome.sqlerrcode == 0 && flight->question != INTEG_QUESTION_NONE)
			integ_flight_ask(dispatcher, flight);
		else if (flight->outcome.sqlerrcode == 0)
			dlist_push_tail(&dispatcher->ready, &flight->node);
		else
			integ_flight_answered(dispatcher, flight);
	}
}
