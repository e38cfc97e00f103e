/*
 * The gate: asking for approvals, and holding a call to its own.
 */
#include "approvals/approval.h"

#include <openssl/evp.h>

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define STORE "integ.approval_store"

/* Longest wait for the worker that stores what is asked for. */
#define STORE_TIMEOUT_MS 10000

/* What a person is shown, and what is hashed. */
typedef struct Rendered
{
	const Jsonb *request;
	char *hash;
} Rendered;

bool
integ_approval_needed(const IntegCall *call)
{
	return call->method->is_write && call->method->approval_required;
}

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

/* The rendered request as a document and its hash: of its parts in their order, each with its length. */
static Rendered
describe(const IntegCall *call)
{
	const char *url = url_of(call);
	IntegJsonBuilder builder;
	StringInfoData bytes;

	initStringInfo(&bytes);
	appendStringInfo(&bytes, "%s %zu:%s\n", call->request.method, strlen(url), url);
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "method", call->request.method);
	integ_json_add_string(&builder, "url", url);
	integ_json_open_object(&builder, "headers");
	for (int i = 0; i < call->nheaders; i++)
	{
		const IntegHttpHeader *header = &call->headers[i];

		if (is_ours(header->name))
			continue;
		appendStringInfo(&bytes, "%zu:%s %zu:%s\n", strlen(header->name), header->name, strlen(header->value),
						 header->value);
		integ_json_add_string(&builder, header->name, header->value);
	}
	integ_json_close(&builder);
	if (call->request.body != NULL)
	{
		appendBinaryStringInfo(&bytes, call->request.body, call->request.body_len);
		integ_json_add_string(&builder, "body", shown_body(call->request.body, call->request.body_len));
	}
	return (Rendered){.request = integ_json_end(&builder), .hash = sha256(bytes.data, bytes.len)};
}

/* As the call would be sent, but with the names of credentials in place of them. In the call's context. */
static Rendered
render(IntegCall *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->exchange_context);
	Rendered rendered;

	call->names_secrets = true;
	integ_call_render(call);
	integ_call_write_body(call);
	MemoryContextSwitchTo(call->context);
	rendered = describe(call);
	integ_call_rewind(call);
	call->names_secrets = false;
	MemoryContextSwitchTo(old);
	return rendered;
}

static Jsonb *
describe_approval(const IntegCall *call, const Rendered *rendered, bool is_enqueued, TimestampTz expires_at)
{
	TimestampTz latest = GetCurrentTimestamp() + integ_approval_expiry * USECS_PER_SEC;
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "instance", integ_uuid_text(&call->instance->id));
	integ_json_add_string(&builder, "client_id", call->actor->client);
	integ_json_add_string(&builder, "user_id", call->actor->user);
	integ_json_add_int(&builder, "requested_by", call->actor->role);
	integ_json_add_string(&builder, "instance_id", call->instance->instance_id);
	integ_json_add_string(&builder, "definition_id", call->definition->id);
	integ_json_add_string(&builder, "method", call->method->id);
	integ_json_add_jsonb(&builder, "input", call->input);
	integ_json_add_jsonb(&builder, "request", rendered->request);
	integ_json_add_string(&builder, "request_hash", rendered->hash);
	integ_json_add_string(&builder, "call_id", integ_uuid_text(&call->subject.call_id));
	integ_json_add_bool(&builder, "is_enqueued", is_enqueued);
	integ_json_add_bool(&builder, "is_raw", call->raw);
	integ_json_add_string(&builder, "expires_at",
						  timestamptz_to_str(expires_at != 0 ? Min(expires_at, latest) : latest));
	return integ_json_end(&builder);
}

static void
record_denied(const IntegCall *call)
{
	IntegAuditEntry entry = {.subject = &call->subject,
							 .action = "call.write",
							 .outcome = "denied",
							 .detail = "{\"reason\": \"approval required\"}"};

	integ_record_audit(&entry);
}

/* Raises IG428, with the approval that is pending then. */
static void
ask_and_refuse(IntegCall *call, const Rendered *rendered)
{
	IntegHandlerSubject subject = {.owner = integ_owner_oid()};
	Jsonb *stored = integ_handler_run(&subject, STORE, describe_approval(call, rendered, false, 0), STORE_TIMEOUT_MS);
	const char *id = integ_json_get_string(&stored->root, "id");
	const char *call_id = integ_json_get_string(&stored->root, "call");

	record_denied(call);
	ereport(ERROR, (errcode(ERRCODE_INTEG_APPROVAL), errmsg("%s needs an approval", integ_call_name(call)),
					errdetail("Approval %s is pending; nothing was sent.", id),
					errhint("Once an administrator has called integ_approve('%s'), the call is made: integ_await('%s') gives its result.",
							id, call_id)));
}

static void
refuse(const IntegCall *call, const char *detail, const char *hint)
{
	record_denied(call);
	ereport(ERROR, (errcode(ERRCODE_INTEG_APPROVAL), errmsg("%s needs an approval", integ_call_name(call)),
					errdetail("%s", detail), errhint("%s", hint)));
}

void
integ_approval_require(IntegCall *call)
{
	Rendered rendered;

	/* The first exchange is what a person has seen; those that follow depend on its answer. */
	if (!integ_approval_needed(call) || call->is_approved)
		return;
	if (call->approval == NULL && call->options.asynchronous)
		refuse(call, "It was enqueued when it needed none, or is to be repeated; nothing was sent.", "Enqueue it anew.");
	rendered = render(call);
	if (call->approval == NULL)
		ask_and_refuse(call, &rendered);
	if (strcmp(call->approval->request_hash, rendered.hash) != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("the request of %s is not the one that was approved", integ_call_name(call)),
						errdetail("The definition, or the instance's config, has changed since approval %s was asked for; nothing was sent.",
								  integ_uuid_text(&call->approval->id)),
						errhint("Call the method again, to have the request as it is now approved.")));
	call->is_approved = true;
}

void
integ_approval_enqueue(IntegCall *call, TimestampTz expires_at)
{
	static IntegQuery store = {"SELECT " STORE "($1)", 1, {JSONBOID}};
	Rendered rendered = render(call);
	Datum asked = JsonbPGetDatum(describe_approval(call, &rendered, true, expires_at));
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&store, &asked, NULL);
	integ_owner_leave(&scope);
}

const IntegApproval *
integ_approval_load(const pg_uuid_t *approval, const pg_uuid_t *call)
{
	static IntegQuery find = {
		"SELECT request_hash, input, is_raw FROM integ.approvals WHERE id = $1 AND call_id = $2 AND state = 'approved'",
		2,
		{UUIDOID, UUIDOID}};
	Datum values[] = {UUIDPGetDatum(approval), UUIDPGetDatum(call)};
	IntegApproval *found = palloc0(sizeof(IntegApproval));
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;

	found->id = *approval;
	integ_owner_enter(&scope);
	if (integ_query_latest(&find, values, NULL) > 0)
	{
		found->request_hash = integ_result_text(0, 1, context);
		found->input = (Jsonb *) integ_result_varlena(0, 2, context);
		found->is_raw = integ_result_bool(0, 3);
	}
	integ_owner_leave(&scope);
	if (found->request_hash == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_APPROVAL),
						errmsg("approval %s is not there, or not approved", integ_uuid_text(approval)),
						errhint("Call the method again to ask for a new one.")));
	return found;
}
