/*
 * Step: the exchange goes to the request log, the outcome of a write to the
 * audit. Never raises: the answer is already here.
 */
#include "core/errors.h"
#include "core/json.h"
#include "execute/call.h"

const char *
integ_call_write_outcome(const IntegCall *call)
{
	const IntegHttpResponse *response = call->response;

	if (response->failure != INTEG_HTTP_OK)
		return response->maybe_sent ? "unknown" : "failed";
	if (response->status >= 500 || call->partial)
		return "unknown";
	if (response->status >= 200 && response->status < 300 && !call->refused)
		return "succeeded";
	return "failed";
}

/* Which request it was, where the method does not say so; NULL where it does. */
static char *
audit_detail(const IntegCall *call)
{
	const IntegExchange *exchange = call->exchange;
	IntegJsonBuilder builder;

	if (exchange->step == NULL && !call->raw && call->nfailed == 0)
		return NULL;
	integ_json_begin_object(&builder);
	integ_json_add_known(&builder, "step", exchange->step);
	if (call->nfailed > 0)
	{
		integ_json_add_int(&builder, "failed_records", call->nfailed);
		integ_json_add_int(&builder, "records", call->nitems);
	}
	if (call->raw)
	{
		integ_json_add_string(&builder, "http_method", exchange->http_method);
		integ_json_add_string(&builder, "path", exchange->path_source);
	}
	return integ_json_print(integ_json_end(&builder));
}

IntegAuditEntry
integ_call_intent(const IntegCall *call)
{
	return (IntegAuditEntry){
		.subject = &call->subject, .action = "call.write", .outcome = "pending", .detail = audit_detail(call)};
}

void
integ_call_record(IntegCall *call)
{
	const IntegHttpResponse *response = call->response;
	IntegRequestEntry entry = {
		.subject = &call->subject,
		.started_at = call->started_at,
		.http_method = call->request.method,
		.origin = call->origin,
		.path_template = call->exchange->path_source,
		.step = call->exchange->step,
		.is_write = call->exchange->is_write,
		.status = (int) response->status,
		.sqlstate = call->outcome.sqlerrcode != 0 ? unpack_sql_state(call->outcome.sqlerrcode) : NULL,
		.error = call->outcome.message,
		.duration_us = response->duration_us,
		.request_bytes = call->request.body_len,
		.response_bytes = response->received,
		.attempt = Max(call->attempt, 1),
	};

	if (call->intent != NULL)
		integ_record_outcome(call->intent, integ_call_write_outcome(call), audit_detail(call));
	call->intent = NULL;
	integ_record_request(&entry);
	integ_record_used(&call->instance->id, call->outcome.sqlerrcode == 0);
}
