/*
 * Conditional requests (RFC 9110, section 13): what was answered last is asked for again only if it has changed. A 304
 * costs no transfer, and with most services nothing of the limit.
 */
#include "execute/answers.h"

#include "core/errors.h"

/* A longer one is no validator but a mistake, and would be sent with every request. */
#define LONGEST_VALIDATOR 1024

static bool
has_header(const IntegCall *call, const char *name)
{
	for (int i = 0; i < call->nheaders; i++)
		if (pg_strcasecmp(call->headers[i].name, name) == 0)
			return true;
	return false;
}

static void
find_stored(IntegCall *call)
{
	if (call->request_hash == NULL)
	{
		call->request_hash = palloc(INTEG_REQUEST_HASH_SIZE);
		integ_answer_hash(call, call->request_hash);
	}
	if (call->stored == NULL)
		call->stored = integ_answer_find(call, call->request_hash);
}

void
integ_call_check_fallback(const IntegCall *call)
{
	if (call->options.fallback_stale && call->exchange->is_write)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("%s writes: no older answer can stand in for its own", integ_call_name(call)),
						errhint("Leave out the option \"fallback\".")));
}

void
integ_call_condition(IntegCall *call)
{
	call->asks_change = has_header(call, "If-None-Match") || has_header(call, "If-Modified-Since");
	/* Of pages and streams more is made than one result that could be kept. */
	if (call->amend != NULL)
		return;
	/* The manifest or the input says by itself what has to have changed. */
	if ((!call->method->conditional && !call->options.fallback_stale) || call->asks_change)
		return;
	find_stored(call);
	if (call->stored == NULL || !call->method->conditional)
		return;
	if (call->stored->etag != NULL)
		integ_call_add_header(call, "If-None-Match", call->stored->etag);
	if (call->stored->last_modified != NULL)
		integ_call_add_header(call, "If-Modified-Since", call->stored->last_modified);
}

bool
integ_call_unchanged(IntegCall *call)
{
	bool asked = call->asks_change || (call->stored != NULL && call->method->conditional);

	if (call->response->status != 304 || !asked)
		return false;
	call->unchanged = true;
	return true;
}

/* A validator that can be sent back as it came; NULL otherwise. */
static const char *
validator(const IntegCall *call, const char *name)
{
	const char *value = integ_http_response_header(call->response, name);

	if (value == NULL || value[0] == '\0' || strlen(value) > LONGEST_VALIDATOR)
		return NULL;
	for (const char *c = value; *c != '\0'; c++)
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
			return NULL;
	return value;
}

static bool
may_be_kept(const IntegCall *call)
{
	const char *control = integ_http_response_header(call->response, "cache-control");

	return control == NULL || strcasestr(control, "no-store") == NULL;
}

void
integ_call_remember(IntegCall *call)
{
	const char *etag = validator(call, "etag");
	const char *last_modified = validator(call, "last-modified");

	if (call->request_hash == NULL || call->outcome.sqlerrcode != 0)
		return;
	/* Confirmed, it is as good as new. */
	if (call->unchanged && call->options.fallback_stale && call->stored != NULL)
		integ_answer_store(call, call->request_hash, call->stored->etag, call->stored->last_modified);
	else if (call->response->status == 200 && may_be_kept(call) &&
			 (etag != NULL || last_modified != NULL || call->options.fallback_stale))
		integ_answer_store(call, call->request_hash, etag, last_modified);
}

/* "3 days 04:05:06", without fractions. */
static char *
age_text(TimestampTz since)
{
	int64 seconds = Max(GetCurrentTimestamp() - since, 0) / USECS_PER_SEC;

	if (seconds >= SECS_PER_DAY)
		return psprintf("%lld days %02lld:%02lld:%02lld", (long long) (seconds / SECS_PER_DAY),
						(long long) (seconds / SECS_PER_HOUR % 24), (long long) (seconds / SECS_PER_MINUTE % 60),
						(long long) (seconds % 60));
	return psprintf("%02lld:%02lld:%02lld", (long long) (seconds / SECS_PER_HOUR),
					(long long) (seconds / SECS_PER_MINUTE % 60), (long long) (seconds % 60));
}

bool
integ_call_fall_back(IntegCall *call, int sqlerrcode, const char *reason)
{
	MemoryContext old;

	if (!call->options.fallback_stale || call->exchange->is_write || call->asks_change)
		return false;
	old = MemoryContextSwitchTo(call->exchange_context);
	find_stored(call);
	MemoryContextSwitchTo(old);
	if (call->stored == NULL)
		return false;
	memset(&call->outcome, 0, sizeof(call->outcome));
	call->outcome.result = call->stored->result;
	call->stale = true;
	ereport(WARNING, (errcode(sqlerrcode),
					  errmsg("%s gives its last good answer, which is %s old", integ_call_name(call),
							 age_text(call->stored->answered_at)),
					  errdetail("It is of %s. Instead of a new one: %s.", timestamptz_to_str(call->stored->answered_at),
								reason)));
	return true;
}
