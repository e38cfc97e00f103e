/*
 * Conditional requests (RFC 9110, section 13): what was answered last is asked for again only if it has changed. A 304
 * costs no transfer, and with most services nothing of the limit.
 */
#include "execute/answers.h"

#include "core/json.h"
#include "utils/memutils.h"

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

void
integ_call_condition(IntegCall *call)
{
	call->asks_change = has_header(call, "If-None-Match") || has_header(call, "If-Modified-Since");
	/* The manifest or the input says by itself what has to have changed. */
	if (!call->method->conditional || call->asks_change)
		return;
	call->request_hash = palloc(INTEG_REQUEST_HASH_SIZE);
	integ_answer_hash(call, call->request_hash);
	call->stored = integ_answer_find(call, call->request_hash);
	if (call->stored == NULL)
		return;
	if (call->stored->etag != NULL)
		integ_call_add_header(call, "If-None-Match", call->stored->etag);
	if (call->stored->last_modified != NULL)
		integ_call_add_header(call, "If-Modified-Since", call->stored->last_modified);
}

bool
integ_call_unchanged(IntegCall *call)
{
	if (call->response->status != 304 || (call->stored == NULL && !call->asks_change))
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

	if (call->request_hash == NULL || call->outcome.sqlerrcode != 0 || call->response->status != 200 ||
		(etag == NULL && last_modified == NULL) || !may_be_kept(call))
		return;
	integ_answer_store(call, call->request_hash, etag, last_modified);
}
