/*
 * The gate: asking for approvals, and holding a call to its own.
 */
#include "approvals/approval.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "course/course.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define STORE "integ.approval_store"

/* Longest wait for the worker that stores what is asked for. */
#define STORE_TIMEOUT_MS 10000

bool
integ_approval_needed(const IntegCall *call)
{
	return call->method->is_write && call->method->approval_required;
}

static Jsonb *
describe_approval(const IntegCall *call, const IntegRendered *rendered, bool is_enqueued, TimestampTz expires_at)
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
ask_and_refuse(IntegCall *call, const IntegRendered *rendered)
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

/* A call that was begun with an approval, or when it needed none, asks how far its job is, and what came of it. */
static bool
only_reads_on(const IntegCall *call)
{
	return call->course != NULL && call->course->trace.len > 0 && !call->exchange->is_write;
}

void
integ_approval_require(IntegCall *call)
{
	IntegRendered rendered;

	if (!integ_approval_needed(call) || call->is_approved || only_reads_on(call))
		return;
	if (call->approval == NULL && call->options.asynchronous)
		refuse(call, "It was enqueued when it needed none, or is to be repeated; the request was not sent.", "Enqueue it anew.");
	rendered = integ_approval_render(call);
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
	IntegRendered rendered = integ_approval_render(call);
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
