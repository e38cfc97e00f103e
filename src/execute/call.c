/*
 * The path of a call, top to bottom.
 */
#include "execute/call.h"

#include "approvals/approval.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/uuid.h"
#include "course/course.h"
#include "http/client.h"
#include "http/flight.h"
#include "miscadmin.h"
#include "oauth/ensure.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/memutils.h"

static void
wipe_secrets(void *arg)
{
	IntegCall *call = arg;

	for (IntegCallSecret *secret = call->secrets; secret != NULL; secret = secret->next)
		explicit_bzero(secret->data, secret->len);
	call->secrets = NULL;
}

/* A reset calls its callbacks once: each exchange asks anew. */
static void
wipe_with_exchange(IntegCall *call)
{
	MemoryContextCallback *wipe = MemoryContextAlloc(call->exchange_context, sizeof(MemoryContextCallback));

	wipe->func = wipe_secrets;
	wipe->arg = call;
	MemoryContextRegisterResetCallback(call->exchange_context, wipe);
}

IntegCall *
integ_call_begin(const IntegActor *actor, const char *instance, const char *method, const Jsonb *input,
				 const IntegCallOptions *options)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "integ call", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	IntegCall *call = palloc0(sizeof(IntegCall));

	call->context = context;
	call->exchange_context = AllocSetContextCreate(context, "integ exchange", ALLOCSET_DEFAULT_SIZES);
	wipe_with_exchange(call);
	call->actor = actor;
	call->instance_name = pstrdup(instance);
	call->method_id = pstrdup(method);
	call->input = input != NULL ? input : integ_json_empty_object();
	call->options = *options;
	call->began_at = GetCurrentTimestamp();
	integ_uuid_make(&call->subject.call_id);
	MemoryContextSwitchTo(old);
	return call;
}

IntegCall *
integ_call_begin_raw(const IntegActor *actor, const char *instance, const IntegMethod *method, const Jsonb *input,
					 const IntegCallOptions *options)
{
	IntegCall *call = integ_call_begin(actor, instance, method->id, input, options);

	call->method = method;
	call->raw = true;
	return call;
}

void
integ_call_open(IntegCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->context);

	integ_call_resolve(call);
	integ_call_authorize(call);
	integ_call_validate(call);
	if (!call->options.asynchronous)
	{
		integ_call_consult_first(call);
		integ_call_raise(call);
		integ_course_begin(call);
	}
	MemoryContextSwitchTo(old);
}

void
integ_call_build(IntegCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->exchange_context);

	integ_call_check_fallback(call);
	integ_approval_require(call);
	integ_oauth_ensure(call);
	integ_call_render(call);
	if (call->amend != NULL)
		call->amend(call, call->amend_arg);
	integ_call_admit(call);
	if (!call->stale)
		integ_call_inject(call);
	MemoryContextSwitchTo(old);
}

void
integ_call_prepare(IntegCall *call)
{
	integ_call_open(call);
	integ_call_build(call);
}

/* A success is left to be read; any other answer is read whole. */
static IntegHttpResponse *
send_streamed(IntegCall *call)
{
	IntegHttpFlight *flight = integ_http_begin(&call->request);
	long status = integ_http_await_head(flight);

	if (status >= 200 && status < 300)
	{
		call->flight = flight;
		return integ_http_flight_response(flight);
	}
	integ_http_collect(flight);
	return integ_http_end(flight, false);
}

void
integ_call_send(IntegCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->exchange_context);

	if (call->exchange->is_write)
	{
		IntegAuditEntry entry = integ_call_intent(call);

		call->intent = integ_record_intent(&entry);
	}
	integ_call_leaves(call);
	call->response = call->streamed ? send_streamed(call) : integ_http_send(&call->request);
	integ_call_mask(call);
	/* One that is still being read keeps its slot. */
	if (call->flight == NULL)
		integ_call_answered(call);
	MemoryContextSwitchTo(old);
}

void
integ_call_depart(IntegCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->exchange_context);

	Assert(!call->exchange->is_write);
	integ_call_leaves(call);
	/*
	 * With a window only what is waited counts as its time, not what is done meanwhile. It is never full: the answer is
	 * collected whole anyway.
	 */
	call->request.window = call->request.max_response;
	call->flight = integ_http_begin(&call->request);
	MemoryContextSwitchTo(old);
}

bool
integ_call_await(IntegCall *call, int most_ms)
{
	return integ_http_collect_some(call->flight, most_ms);
}

void
integ_call_arrive(IntegCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->exchange_context);

	call->response = integ_http_end(call->flight, false);
	call->flight = NULL;
	integ_call_mask(call);
	integ_call_answered(call);
	MemoryContextSwitchTo(old);
}

/* It failed because of the state that the service is in, not because of what was asked. */
static bool
cannot_answer(const IntegCall *call)
{
	switch (call->outcome.sqlerrcode)
	{
		case ERRCODE_INTEG_RATE_LIMIT:
		case ERRCODE_INTEG_CIRCUIT_OPEN:
		case ERRCODE_INTEG_UNREACHABLE:
			return true;
		default:
			return call->outcome.sqlerrcode == ERRCODE_INTEG_BAD_ANSWER && call->response->status >= 500;
	}
}

void
integ_call_finish(IntegCall *call)
{
	MemoryContext old;

	if (call->flight != NULL)
		return;
	old = MemoryContextSwitchTo(call->exchange_context);
	integ_call_classify(call);
	if (call->outcome.sqlerrcode == 0)
		integ_call_map(call);
	integ_call_record(call);
	integ_call_remember(call);
	if (call->course != NULL)
		integ_course_finish(call);
	else if (call->outcome.sqlerrcode != 0 && cannot_answer(call))
		(void) integ_call_fall_back(call, call->outcome.sqlerrcode, call->outcome.message);
	MemoryContextSwitchTo(old);

	/* The wait ends without raising when it is interrupted; everything is recorded, so now it may. */
	CHECK_FOR_INTERRUPTS();
}

void
integ_call_end_stream(IntegCall *call, bool enough)
{
	MemoryContext old = MemoryContextSwitchTo(call->exchange_context);

	call->response = integ_http_end(call->flight, enough);
	call->flight = NULL;
	integ_call_answered(call);
	if (call->outcome.sqlerrcode == 0 && call->response->failure != INTEG_HTTP_OK)
		integ_call_classify(call);
	integ_call_record(call);
	MemoryContextSwitchTo(old);
	CHECK_FOR_INTERRUPTS();
}

void
integ_call_rewind(IntegCall *call)
{
	MemoryContextReset(call->exchange_context);
	wipe_with_exchange(call);
	call->headers = NULL;
	call->nheaders = 0;
	call->max_headers = 0;
	call->query = NULL;
	call->base_url = NULL;
	call->origin = NULL;
	call->path = NULL;
	call->document = NULL;
	call->multipart = NULL;
	call->asks_change = false;
	call->request_hash = NULL;
	call->stored = NULL;
	call->stale = false;
	call->unchanged = false;
	call->signing = false;
	call->url = NULL;
	call->response = NULL;
	call->flight = NULL;
	call->grant = NULL;
	call->closed_until = 0;
	call->body = NULL;
	call->refused = false;
	call->partial = false;
	call->nitems = 0;
	call->nfailed = 0;
	memset(&call->request, 0, sizeof(call->request));
	memset(&call->outcome, 0, sizeof(call->outcome));
}

/* What is kept at most; and what is not worth it. */
#define MOST_KEPT ALLOCSET_DEFAULT_MAXSIZE
#define LEAST_KEPT (64 * 1024)

void
integ_call_rewind_often(IntegCall *call)
{
	Size size = Min(MAXALIGN(MemoryContextMemAllocated(call->exchange_context, true)), MOST_KEPT);

	/* Exchanges are never quite the same: it grows only where that was far too little. */
	if (size > LEAST_KEPT && size > 2 * call->kept)
	{
		MemoryContextDelete(call->exchange_context);
		call->exchange_context =
			AllocSetContextCreate(call->context, "integ exchange", size, ALLOCSET_DEFAULT_INITSIZE, ALLOCSET_DEFAULT_MAXSIZE);
		call->kept = size;
	}
	integ_call_rewind(call);
}

static void
run_exchange(IntegCall *call)
{
	integ_call_build(call);
	if (call->stale)
		return;
	integ_call_send(call);
	integ_call_finish(call);
}

/* The next exchange is another request of its own. */
static void
repeat_exchange(IntegCall *call)
{
	integ_call_rewind(call);
	integ_uuid_make(&call->subject.call_id);
	run_exchange(call);
}

static bool
is_unauthenticated(const IntegCall *call)
{
	return call->outcome.sqlerrcode == ERRCODE_INTEG_UNAUTHENTICATED;
}

void
integ_call_exchange(IntegCall *call)
{
	run_exchange(call);
	if (is_unauthenticated(call) && integ_oauth_repeat(call))
	{
		repeat_exchange(call);
		if (is_unauthenticated(call))
			integ_oauth_give_up(call);
	}
	/* What is kept proves no credential; and with those before, nothing is learned of the new ones. */
	if (call->stale || call->previous_credentials || !integ_vault_rotating(&call->instance->credentials))
		return;
	if (call->outcome.sqlerrcode == 0)
		integ_vault_promote(&call->instance->credentials);
	else if (is_unauthenticated(call))
	{
		call->previous_credentials = true;
		repeat_exchange(call);
	}
}

static void
wait_until(TimestampTz due)
{
	long left;

	while (due != 0 && (left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), due)) > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* All exchanges of a method of several. An error that stops it between two of them tells what the earlier ones did. */
static void
run_course(IntegCall *call)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		while (!integ_course_ended(call) && call->outcome.sqlerrcode == 0)
		{
			wait_until(call->course->due);
			integ_call_rewind(call);
			integ_call_exchange(call);
		}
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		error->detail = integ_course_explain(call, error->detail);
		ReThrowError(error);
	}
	PG_END_TRY();
}

void
integ_call_carry_out(IntegCall *call)
{
	if (call->course != NULL)
		run_course(call);
	else if (!call->method->is_function)
		integ_call_exchange(call);
}

void
integ_call_run(IntegCall *call)
{
	integ_call_open(call);
	integ_call_carry_out(call);
	integ_call_consult(call);
}

void
integ_call_raise(const IntegCall *call)
{
	const IntegOutcome *outcome = &call->outcome;

	if (outcome->sqlerrcode == 0)
		return;
	ereport(ERROR, (errcode(outcome->sqlerrcode), errmsg_internal("%s", outcome->message),
					outcome->detail != NULL ? errdetail_internal("%s", outcome->detail) : 0,
					outcome->hint != NULL ? errhint("%s", outcome->hint) : 0));
}

void
integ_call_end(IntegCall *call)
{
	MemoryContextDelete(call->context);
}

const char *
integ_call_name(const IntegCall *call)
{
	const char *instance = call->instance != NULL ? call->instance->instance_id : call->instance_name;

	if (call->raw)
		return psprintf("%s %s of \"%s\"", call->method->exchange->http_method, call->method->exchange->path_source,
						instance);
	if (call->exchange != NULL && call->exchange->step != NULL)
		return psprintf("%s.%s, step \"%s\"", instance, call->method_id, call->exchange->step);
	return psprintf("%s.%s", instance, call->method_id);
}

static void
add_secret(IntegCall *call, char *data, size_t len, bool masked)
{
	IntegCallSecret *secret = MemoryContextAlloc(call->exchange_context, sizeof(IntegCallSecret));

	secret->data = data;
	secret->len = len;
	secret->masked = masked;
	secret->next = call->secrets;
	call->secrets = secret;
}

void
integ_call_keep_secret(IntegCall *call, char *data, size_t len)
{
	add_secret(call, data, len, true);
}

void
integ_call_wipe_later(IntegCall *call, char *data, size_t len)
{
	add_secret(call, data, len, false);
}
