/*
 * What a person approves: the requests of a call as they would be sent, to be shown and to be compared.
 *
 * Credentials, and what is known only from the answer to an earlier request of the same call, stand there by their
 * names. The same call rendered again gives the same bytes as long as its definition and its instance's config do.
 */
#include "approvals/approval.h"

#include <openssl/evp.h>

#include "access/xact.h"
#include "core/errors.h"
#include "core/json.h"
#include "course/course.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

static char *
sha256(const char *data, size_t len)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int size;
	char *text;

	if (EVP_Digest(data, len, digest, &size, EVP_sha256(), NULL) != 1)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 digest")));
	text = palloc(size * 2 + 1);
	(void) hex_encode((const char *) digest, size, text);
	text[size * 2] = '\0';
	return text;
}

static const char *
url_of(const IntegCall *call)
{
	if (call->url != NULL)
		return call->url;
	return psprintf("%s%s%s%s", call->base_url, call->path, call->query != NULL ? "?" : "",
					call->query != NULL ? call->query : "");
}

/* What this library says of itself is not what is approved. */
static bool
is_ours(const char *header)
{
	return pg_strcasecmp(header, "User-Agent") == 0;
}

static char *
shown_body(const char *body, size_t len)
{
	if (memchr(body, '\0', len) == NULL && pg_verify_mbstr(PG_UTF8, body, (int) len, true))
		return pnstrdup(body, len);
	return psprintf("(%zu bytes, SHA-256 %s)", len, sha256(body, len));
}

/* The rendered request, as members of an object, and its bytes: its parts in their order, each with its length. */
static void
describe(const IntegCall *call, IntegJsonBuilder *builder, StringInfo bytes)
{
	const char *url = url_of(call);

	appendStringInfo(bytes, "%s %zu:%s\n", call->request.method, strlen(url), url);
	integ_json_add_string(builder, "method", call->request.method);
	integ_json_add_string(builder, "url", url);
	integ_json_open_object(builder, "headers");
	for (int i = 0; i < call->nheaders; i++)
	{
		const IntegHttpHeader *header = &call->headers[i];

		if (is_ours(header->name))
			continue;
		appendStringInfo(bytes, "%zu:%s %zu:%s\n", strlen(header->name), header->name, strlen(header->value),
						 header->value);
		integ_json_add_string(builder, header->name, header->value);
	}
	integ_json_close(builder);
	if (call->request.body == NULL)
		return;
	appendBinaryStringInfo(bytes, call->request.body, call->request.body_len);
	integ_json_add_string(builder, "body", shown_body(call->request.body, call->request.body_len));
}

static void
render_exchange(IntegCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->exchange_context);

	integ_call_render(call);
	integ_call_write_body(call);
	MemoryContextSwitchTo(old);
}

/* False where what the request is made of must be known first: a list that an earlier answer brings, for example. */
static bool
can_render(IntegCall *call)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old = CurrentMemoryContext;
	volatile bool rendered = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		render_exchange(call);
		ReleaseCurrentSubTransaction();
		rendered = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		if (geterrcode() != ERRCODE_INTEG_INVALID)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return rendered;
}

/* One of several requests; those behind the first may need what is not known yet, which stands there by its name. */
static void
describe_step(IntegCall *call, int number, IntegJsonBuilder *builder, StringInfo bytes)
{
	const IntegExchange *exchange = call->exchange;

	appendStringInfo(bytes, "%zu:%s\n", strlen(exchange->step), exchange->step);
	integ_json_open_object(builder, NULL);
	integ_json_add_string(builder, "step", exchange->step);
	if (call->method->nsteps > 0 && call->method->steps[number].when != NULL)
		integ_json_add_bool(builder, "conditional", true);
	if (number == 0)
		render_exchange(call);
	if (number == 0 || can_render(call))
		describe(call, builder, bytes);
	else
	{
		appendStringInfo(bytes, "%s %s of version %s\n", exchange->http_method, exchange->path_source,
						 call->definition->version);
		integ_json_add_string(builder, "method", exchange->http_method);
		integ_json_add_string(builder, "path", exchange->path_source);
		integ_json_add_string(builder, "depends", "on what earlier requests bring");
	}
	integ_json_close(builder);
}

IntegRendered
integ_approval_render(IntegCall *call)
{
	const IntegExchange *under_way = call->exchange;
	MemoryContext old = MemoryContextSwitchTo(call->context);
	IntegJsonBuilder builder;
	StringInfoData bytes;
	IntegRendered rendered;

	initStringInfo(&bytes);
	integ_json_begin_object(&builder);
	call->names_secrets = true;
	if (call->course == NULL)
	{
		render_exchange(call);
		describe(call, &builder, &bytes);
	}
	else
		integ_json_open_array(&builder, "requests");
	for (int i = 0; call->course != NULL && (call->exchange = integ_course_exchange(call->method, i)) != NULL; i++)
	{
		call->names_earlier = i > 0;
		describe_step(call, i, &builder, &bytes);
		integ_call_rewind(call);
	}
	if (call->course != NULL)
		integ_json_close(&builder);
	rendered = (IntegRendered){.request = integ_json_end(&builder), .hash = sha256(bytes.data, bytes.len)};
	call->exchange = under_way;
	integ_call_rewind(call);
	call->names_secrets = call->names_earlier = false;
	MemoryContextSwitchTo(old);
	return rendered;
}
