/*
 * What an attempt came to.
 */
#include "endpoints/deliver.h"

#include "calls/verdict.h"
#include "common/pg_prng.h"
#include "core/errors.h"
#include "limits/headers.h"
#include "utils/timestamp.h"

/* What is nobody's fault, and passes by itself, is tried again after this. */
#define PASSING_DELAY USECS_PER_SEC

/* "Gone" (RFC 9110, section 15.5.11): the Standard Webhooks have it mean that nothing is to be sent any more. */
#define STATUS_GONE 410

static const char *
get_header(void *arg, const char *name)
{
	return integ_http_response_header(arg, name);
}

/* When the endpoint wants to be asked again (Retry-After and its relatives); 0: it does not say. */
static TimestampTz
retry_after(const IntegHttpResponse *response, TimestampTz now)
{
	static const int64 between_epochs =
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	IntegLearned learned = {-1, -1, -1, -1};

	if (response->status != 429 && response->status != 503)
		return 0;
	(void) integ_limit_headers_read_standard(get_header, (void *) response, now + between_epochs, &learned);
	return learned.retry_us > 0 ? now + Min(learned.retry_us, INTEG_RETRY_AFTER_MAX) : 0;
}

static int
failure_code(const IntegHttpResponse *response)
{
	switch (response->failure)
	{
		case INTEG_HTTP_OK:
			return response->status == 429	 ? ERRCODE_INTEG_RATE_LIMIT
				   : response->status >= 500 ? ERRCODE_INTEG_BAD_ANSWER
											 : ERRCODE_INTEG_REFUSED;
		case INTEG_HTTP_TIMEOUT:
		case INTEG_HTTP_DNS:
		case INTEG_HTTP_CONNECT:
			return ERRCODE_INTEG_UNREACHABLE;
		case INTEG_HTTP_BLOCKED:
			return ERRCODE_INTEG_FORBIDDEN;
		case INTEG_HTTP_CANCELLED:
			return ERRCODE_QUERY_CANCELED;
		case INTEG_HTTP_INTERNAL:
			return ERRCODE_INTEG_INSTALLATION;
		default:
			return ERRCODE_INTEG_BAD_ANSWER;
	}
}

static char *
failure_text(const IntegHttpResponse *response)
{
	if (response->failure != INTEG_HTTP_OK)
		return pstrdup(response->error);
	if (response->status == STATUS_GONE)
		return pstrdup("the endpoint answered 410: it wants nothing any more");
	if (response->status >= 300 && response->status < 400)
		return psprintf("the endpoint answered %ld: redirects are not followed", response->status);
	return psprintf("the endpoint answered %ld", response->status);
}

/* An attempt that tells nothing of the endpoint: it was not made, or broken off here. */
static bool
is_ours(const IntegDeliveryDesk *desk, const IntegDelivery *delivery)
{
	if (delivery->sent)
		return delivery->response.failure == INTEG_HTTP_CANCELLED ||
			   (delivery->response.failure == INTEG_HTTP_INTERNAL && !delivery->response.maybe_sent);
	return desk->stopping || integ_passes_by_itself(delivery->sqlerrcode);
}

void
integ_delivery_judge(IntegDeliveryDesk *desk, IntegDelivery *delivery)
{
	const IntegEndpoint *endpoint;
	const IntegHttpResponse *response = &delivery->response;
	MemoryContext old = MemoryContextSwitchTo(delivery->context);
	TimestampTz now = GetCurrentTimestamp(), later = 0;
	bool gone = delivery->sent && response->failure == INTEG_HTTP_OK && response->status == STATUS_GONE;

	delivery->judged = true;
	delivery->counts = true;
	if (delivery->sent && integ_delivery_accepted(response))
		delivery->fate = INTEG_DELIVERY_DELIVERED;
	else if (is_ours(desk, delivery))
	{
		delivery->counts = false;
		delivery->fate = INTEG_DELIVERY_AGAIN;
		delivery->again_at = desk->stopping ? now : now + PASSING_DELAY;
	}
	else
	{
		if (delivery->sent)
			later = retry_after(response, now);
		endpoint = integ_endpoint_get(&delivery->endpoint);
		delivery->fate =
			gone ? INTEG_DELIVERY_DEAD
				 : integ_delivery_fate(endpoint != NULL && endpoint->schedule != NULL ? endpoint->schedule
																					  : integ_default_retry_schedule(),
									   delivery->attempt - delivery->interrupted, now, later,
									   pg_prng_double(&pg_global_prng_state), &delivery->again_at);
	}
	if (delivery->sent && delivery->fate != INTEG_DELIVERY_DELIVERED)
	{
		delivery->sqlerrcode = failure_code(response);
		delivery->error = failure_text(response);
	}
	if (later != 0)
		integ_delivery_lane(desk, &delivery->endpoint)->paused_until = later;
	MemoryContextSwitchTo(old);
}
