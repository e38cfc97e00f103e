/*
 * Step: what the answer, or its absence, means.
 *
 * docs/errors.md has the table. An HTTP 200 can be an error: the manifest's
 * "errors" say so, the method's rules before the definition's.
 */
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "execute/call.h"
#include "execute/decode.h"
#include "graphql/graphql.h"

#define EXCERPT_BYTES 300

static void
fail(IntegCall *call, int sqlerrcode, char *message, char *detail, char *hint)
{
	call->outcome.sqlerrcode = sqlerrcode;
	call->outcome.message = message;
	call->outcome.detail = detail;
	call->outcome.hint = hint;
}

/* No whole answer arrived. */
static void
classify_failure(IntegCall *call)
{
	const IntegHttpResponse *response = call->response;
	static const struct
	{
		int sqlerrcode;
		char *hint;
	} kinds[] = {
		[INTEG_HTTP_CANCELLED] = {ERRCODE_QUERY_CANCELED, NULL},
		[INTEG_HTTP_TIMEOUT] = {ERRCODE_INTEG_UNREACHABLE,
								"Raise options.timeout, integ.request_timeout or integ.max_sync_wait if the service is slow."},
		[INTEG_HTTP_DNS] = {ERRCODE_INTEG_UNREACHABLE, "Check the host name in the instance's config, and the server's DNS."},
		[INTEG_HTTP_CONNECT] = {ERRCODE_INTEG_UNREACHABLE,
								"Check that the service is up and that a firewall lets the database server reach it."},
		[INTEG_HTTP_TLS] = {ERRCODE_INTEG_BAD_ANSWER,
							"Certificates are always verified; a private authority is trusted through integ.ca_file."},
		[INTEG_HTTP_BLOCKED] = {ERRCODE_INTEG_FORBIDDEN,
								"A superuser can allow a private network in integ.allowed_addresses."},
		[INTEG_HTTP_REDIRECT] = {ERRCODE_INTEG_BAD_ANSWER, "Point the instance's base URL at where the service really is."},
		[INTEG_HTTP_TOO_LARGE] = {ERRCODE_INTEG_BAD_ANSWER,
								  "Ask for less, or let a superuser raise integ.max_response_size."},
		[INTEG_HTTP_TRUNCATED] = {ERRCODE_INTEG_BAD_ANSWER,
								  "Try again; if it stays, the service or a proxy before it is at fault."},
		[INTEG_HTTP_PROTOCOL] = {ERRCODE_INTEG_BAD_ANSWER, "Check that the base URL leads to an HTTP service."},
		[INTEG_HTTP_INTERNAL] = {ERRCODE_INTEG_INSTALLATION, NULL},
	};

	char *hint = kinds[response->failure].hint;

	if (integ_proxy[0] != '\0' && (response->failure == INTEG_HTTP_DNS || response->failure == INTEG_HTTP_CONNECT))
		hint = "Requests leave through integ.proxy: check that it is up, and that it may connect to the service.";
	fail(call, kinds[response->failure].sqlerrcode, psprintf("%s failed: %s", integ_call_name(call), response->error),
		 psprintf("%s %s%s after %lld ms; %s.", call->request.method, call->origin,
				  call->exchange->path_source, (long long) (response->duration_us / 1000),
				  response->maybe_sent ? "the request may have been received" : "nothing was sent"),
		 hint);
}

/* The beginning of a text answer, on one line. */
static char *
excerpt(const IntegCall *call)
{
	char *text = integ_decode_excerpt(call, EXCERPT_BYTES);

	for (char *c = text; *c != '\0'; c++)
		if (*c == '\n' || *c == '\r' || *c == '\t')
			*c = ' ';
	return text;
}

/* When the service accepts the next request; 0: it does not say. */
static void
say_when(IntegCall *call, TimestampTz when)
{
	call->outcome.retry_at = when;
	if (when != 0)
		call->outcome.detail = psprintf("The service accepts the next request at %s.", timestamptz_to_str(when));
}

/* What to do about a status from 400 to 499. */
static char *
refusal_hint(long status)
{
	switch (status)
	{
		case 403:
			return "These credentials lack a permission for it, or the service keeps it from them.";
		case 404:
		case 410:
			return "What was asked for is not there, or these credentials may not see it: check the input and the "
				   "instance's config.";
		default:
			return "The same request would be refused again: change what the answer names.";
	}
}

static void
classify_status(IntegCall *call)
{
	long status = call->response->status;
	char *detail = psprintf("%s %s%s gave HTTP %ld: %s", call->request.method, call->origin,
							call->exchange->path_source, status, excerpt(call));

	if (status == 401)
		fail(call, ERRCODE_INTEG_UNAUTHENTICATED,
			 psprintf("the service refused the credentials of \"%s\"", call->instance->instance_id), detail,
			 psprintf("Enter them again with integ_credential_set('%s', …).", call->instance->instance_id));
	else if (status == 429)
	{
		fail(call, ERRCODE_INTEG_RATE_LIMIT, psprintf("the service limits the rate of %s", integ_call_name(call)),
			 detail, "Call less often, or later.");
		say_when(call, call->closed_until);
	}
	else if (status >= 500)
		fail(call, ERRCODE_INTEG_BAD_ANSWER, psprintf("the service failed on %s", integ_call_name(call)), detail,
			 call->exchange->is_write ? "It may have carried the write out: look before you repeat it."
									  : "Try again later.");
	else if (status >= 400)
		fail(call, ERRCODE_INTEG_REFUSED, psprintf("the service refused %s", integ_call_name(call)), detail,
			 refusal_hint(status));
	else if (status == 304)
		fail(call, ERRCODE_INTEG_BAD_ANSWER,
			 psprintf("the service says that nothing has changed for %s, which did not ask", integ_call_name(call)), detail,
			 "The service, or a proxy before it, is at fault: nothing in the request allows such an answer.");
	else
		fail(call, ERRCODE_INTEG_BAD_ANSWER, psprintf("the service redirects %s", integ_call_name(call)), detail,
			 "Redirects of writes and to other origins are not followed.");
}

static bool
rule_matches(const IntegCall *call, const IntegErrorRule *rule, const Jsonb *body)
{
	bool status = rule->nstatuses == 0;

	for (int i = 0; i < rule->nstatuses && !status; i++)
		status = rule->statuses[i] == call->response->status;
	return status && (rule->when == NULL || (body != NULL && integ_path_exists(rule->when, body)));
}

/* What the rule, or the service at the rule's path, says about the failure; NULL for nothing. */
static char *
rule_message(const IntegErrorRule *rule, const Jsonb *body)
{
	const Jsonb *found = NULL;
	JsonbValue scalar;

	if (rule->message_path != NULL && body != NULL)
		found = integ_path_get(rule->message_path, body);
	if (found == NULL)
		return rule->message != NULL ? pstrdup(rule->message) : NULL;
	if (JB_ROOT_IS_SCALAR(found) && JsonbExtractScalar((JsonbContainer *) &found->root, &scalar))
		return integ_json_value_text(&scalar);
	return integ_json_print(found);
}

/* What the rule's retryAfter finds, in seconds from the beginning of the exchange; else what the headers say. */
static TimestampTz
rule_delay(const IntegCall *call, const IntegErrorRule *rule, const Jsonb *body)
{
	const Jsonb *found = rule->retry_after != NULL && body != NULL ? integ_path_get(rule->retry_after, body) : NULL;
	JsonbValue scalar;
	char *text, *end;
	double seconds;

	if (found == NULL || !JB_ROOT_IS_SCALAR(found) || !JsonbExtractScalar((JsonbContainer *) &found->root, &scalar) ||
		(text = integ_json_value_text(&scalar)) == NULL)
		return call->closed_until;
	seconds = strtod(text, &end);
	if (end == text || *end != '\0' || !(seconds >= 0))
		return call->closed_until;
	return TimestampTzPlusMilliseconds(call->started_at, (int64) (Min(seconds, 86400.0 * 365) * 1000));
}

/* The first rule that matches the body; true where one did. */
static bool
apply_rules(IntegCall *call, const IntegErrorRules *rules, const Jsonb *body)
{
	for (int i = 0; i < rules->count; i++)
	{
		const IntegErrorRule *rule = &rules->items[i];
		char *text;

		if (!rule_matches(call, rule, body))
			continue;
		text = rule_message(rule, body);
		fail(call, rule->sqlstate,
			 psprintf("the service refused %s%s%s", integ_call_name(call), text != NULL ? ": " : "",
					  text != NULL ? text : ""),
			 psprintf("%s %s%s gave HTTP %ld, which the definition's errors call a failure: %s", call->request.method,
					  call->origin, call->exchange->path_source, call->response->status, excerpt(call)),
			 NULL);
		if (rule->sqlstate == ERRCODE_INTEG_RATE_LIMIT)
		{
			say_when(call, rule_delay(call, rule, body));
			/* It holds for all requests, as one that the headers tell of. */
			if (call->closed_until == 0)
				integ_call_close(call, call->outcome.retry_at);
		}
		return true;
	}
	return false;
}

bool
integ_call_apply_rules(IntegCall *call)
{
	const Jsonb *raw = call->body;

	/* responseTransform is what the method sees of an answer; the definition's errors see it as it came. */
	if (raw != NULL && call->definition->response_transform != NULL)
		call->body = integ_map_eval(call->definition->response_transform, raw);
	call->refused = apply_rules(call, &call->exchange->errors, call->body) ||
					apply_rules(call, &call->definition->errors, raw);
	return call->refused;
}

/* Errors in the body, where neither the manifest nor the status says it better. */
static bool
protocol_refuses(IntegCall *call)
{
	long status = call->response->status;

	if (!call->exchange->is_graphql || status == 401 || status == 429 || status >= 500 || !integ_graphql_refused(call))
		return false;
	if (call->outcome.sqlerrcode == ERRCODE_INTEG_RATE_LIMIT)
		say_when(call, call->closed_until);
	return true;
}

void
integ_call_classify(IntegCall *call)
{
	bool success;

	if (call->response->failure != INTEG_HTTP_OK)
	{
		classify_failure(call);
		return;
	}
	if (integ_call_unchanged(call))
		return;
	success = call->response->status >= 200 && call->response->status < 300;
	integ_call_decode(call);

	/* A body that cannot be read does not hide what the status says. */
	if (success && call->outcome.sqlerrcode != 0)
		return;
	call->outcome.sqlerrcode = 0;
	call->refused = integ_call_apply_rules(call) || protocol_refuses(call);
	if (!call->refused && !success)
		classify_status(call);
}
