/*
 * Token requests in the log and the audit.
 */
#include "oauth/oauth.h"

#include "core/errors.h"
#include "core/uuid.h"
#include "http/client.h"
#include "http/url.h"
#include "miscadmin.h"
#include "record/record.h"

static const char *
origin_of(const IntegHttpRequest *request)
{
	char problem[256];
	char *found = integ_url_origin(request->url, problem, sizeof(problem));
	char *origin = pstrdup(found == NULL ? "" : found);

	free(found);
	return origin;
}

/* The path of the endpoint, without the query: it may hold a token. */
static const char *
path_of(const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = host == NULL ? url : host + 3 + strcspn(host + 3, "/?#");

	return pnstrdup(path, strcspn(path, "?#"));
}

void
integ_oauth_record(const IntegOauthConfig *config, const char *action, const char *outcome,
				   const IntegHttpRequest *request, const IntegHttpResponse *response, TimestampTz started_at,
				   const char *error)
{
	const IntegInstance *instance = config->instance;
	IntegRecordSubject subject = {.client_id = instance->client_id,
								  .user_id = strcmp(instance->context_type, "user") == 0 ? instance->context_id : NULL,
								  .role = GetUserId(),
								  .instance = &instance->id,
								  .instance_id = instance->instance_id,
								  .definition_id = instance->definition_id,
								  .method = action};
	IntegAuditEntry audit = {.subject = &subject, .action = action, .outcome = outcome};

	integ_uuid_make(&subject.call_id);
	if (response != NULL && request != NULL)
	{
		IntegRequestEntry entry = {.subject = &subject,
								   .started_at = started_at,
								   .http_method = request->method,
								   .origin = origin_of(request),
								   .path_template = path_of(request->url),
								   .is_write = true,
								   .status = (int) response->status,
								   .error = error,
								   .sqlstate = error == NULL ? NULL : response->failure == INTEG_HTTP_OK ? "IG401"
																										 : "IG504",
								   .duration_us = response->duration_us,
								   .request_bytes = (int64) request->body_len,
								   .response_bytes = (int64) response->body_len,
								   .attempt = 1};

		integ_record_request(&entry);
	}
	integ_record_audit(&audit);
}

IntegHttpResponse *
integ_oauth_send(const IntegOauthConfig *config, const IntegHttpRequest *request, const char *method)
{
	TimestampTz started_at = GetCurrentTimestamp();
	IntegHttpResponse *response = integ_http_send(request);

	integ_oauth_record(config, method, response->failure == INTEG_HTTP_OK && response->status < 300 ? "succeeded" : "failed",
					   request, response, started_at, response->failure != INTEG_HTTP_OK ? response->error : NULL);
	CHECK_FOR_INTERRUPTS();
	return response;
}
