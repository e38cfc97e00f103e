/*
 * Step: the exchange goes to the request log, the outcome of a write to the
 * audit. Never raises: the answer is already here.
 */
#include "core/errors.h"
#include "execute/call.h"

/*
 * What became of a write. "unknown" is honest: the request may have been
 * carried out, and only a person or the service can tell.
 */
static const char *
write_outcome(const IntegCall *call)
{
	const IntegHttpResponse *response = call->response;

	if (response->failure != INTEG_HTTP_OK)
		return response->maybe_sent ? "unknown" : "failed";
	if (response->status >= 500)
		return "unknown";
	if (response->status >= 200 && response->status < 300 && !call->refused)
		return "succeeded";
	return "failed";
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
		.is_write = call->method->is_write,
		.status = (int) response->status,
		.sqlstate = call->outcome.sqlerrcode != 0 ? unpack_sql_state(call->outcome.sqlerrcode) : NULL,
		.error = call->outcome.message,
		.duration_us = response->duration_us,
		.request_bytes = call->request.body_len,
		.response_bytes = response->body_len,
		.attempt = Max(call->attempt, 1),
	};

	if (call->intent != NULL)
		integ_record_outcome(call->intent, write_outcome(call), NULL);
	call->intent = NULL;
	integ_record_request(&entry);
	integ_record_used(&call->instance->id);
}
