/*
 * Step: whether the request may leave now: it is recorded, nothing is held, and
 * rate limits, concurrency and circuit breaker let it pass. Nothing that is sent goes by
 * another way, and whoever sends says when, and what was answered.
 */
#include "core/guc.h"
#include "execute/call.h"
#include "operate/operate.h"

static IntegLimitSubject
limit_subject(const IntegCall *call)
{
	const IntegInstance *instance = call->instance;

	return (IntegLimitSubject){
		.instance = instance->borrows != NULL ? instance->borrows : &instance->id,
		.instance_id = instance->instance_id,
		.definition = call->definition->id,
		.method = call->method->id,
		.client = call->actor->client,
		.owner = instance->credentials.client_id,
		.origin = call->origin != NULL ? call->origin : "",
		.of_definition = call->definition->limits,
		.of_instance = instance->limits,
		.of_method = call->method->limits,
		.of_plan = integ_limits_of_plan(call->actor->client),
		.breaker = &call->definition->breaker,
		.values = &call->scope,
		.asynchronous = call->options.asynchronous,
		.returning = call->options.returning,
	};
}

pg_noreturn static void
raise_refusal(IntegCall *call, const IntegRefusal *refusal)
{
	/* For a dispatcher, which catches the error. */
	call->outcome.retry_at = refusal->at;
	call->waits_for = refusal->limit;
	ereport(ERROR, (errcode(refusal->sqlerrcode), errmsg_internal("%s", refusal->message),
					errdetail_internal("%s", refusal->detail), errhint("%s", refusal->hint)));
}

/* A synchronous call waits as long as it was told, and not at all where that would be in vain. */
static void
take_grant(IntegCall *call)
{
	IntegLimitSubject subject = limit_subject(call);
	int64 max_wait = Min(call->options.max_wait_ms, integ_max_sync_wait);
	TimestampTz deadline = max_wait > 0 ? GetCurrentTimestamp() + max_wait * 1000 : 0;
	IntegRefusal refusal;

	while ((call->grant = integ_limits_take(&subject, &refusal)) == NULL)
	{
		if (refusal.at > deadline)
		{
			if (integ_call_fall_back(call, refusal.sqlerrcode, refusal.message))
				return;
			raise_refusal(call, &refusal);
		}
		integ_limits_wait(refusal.at);
	}
}

void
integ_call_admit(IntegCall *call)
{
	integ_record_require(!call->options.asynchronous);
	integ_require_not_held();
	take_grant(call);
}

void
integ_call_leaves(IntegCall *call)
{
	call->started_at = GetCurrentTimestamp();
	call->has_left = true;
	integ_limits_sent(call->grant);
}

void
integ_call_close(IntegCall *call, TimestampTz until)
{
	IntegLimitSubject subject = limit_subject(call);

	integ_limits_close(&subject, until);
}

/* Whether the answer's headers may say something about limits. */
static bool
tells_of_limits(const IntegCall *call)
{
	if ((call->definition->limits != NULL && call->definition->limits->nheaders > 0) ||
		(call->method->limits != NULL && call->method->limits->nheaders > 0))
		return true;
	for (int i = 0; i < call->response->nheaders; i++)
		if (integ_limit_header_is_standard(call->response->headers[i].name))
			return true;
	return false;
}

static const char *
response_header(void *arg, const char *name)
{
	return integ_http_response_header(arg, name);
}

void
integ_call_answered(IntegCall *call)
{
	const IntegHttpResponse *response = call->response;
	IntegHttpFailure failure = response->failure;
	bool answered = failure == INTEG_HTTP_OK;
	/* A wait that the caller has made very short says nothing about the service. */
	bool timed_out = failure == INTEG_HTTP_TIMEOUT && call->request.timeout_ms >= INTEG_TELLING_TIMEOUT_MS;
	bool unreachable = failure == INTEG_HTTP_DNS || failure == INTEG_HTTP_CONNECT;
	IntegLimitAnswer answer = {
		.status = answered ? (int) response->status : 0,
		.failed = unreachable || timed_out || (answered && response->status >= 500),
		.unreachable = unreachable,
		.inconclusive = failure == INTEG_HTTP_CANCELLED,
		.error = response->error,
		.header = answered && tells_of_limits(call) ? response_header : NULL,
		.header_arg = (void *) response,
	};

	if (answered && answer.failed)
		answer.error = psprintf("HTTP %ld", response->status);
	call->closed_until = integ_limits_answered(call->grant, &answer);
	call->grant = NULL;
}
