/*
 * Step: from templates and values to one HTTP request, without its secrets.
 */
#include "core/errors.h"
#include "core/guc.h"
#include "core/uuid.h"
#include "course/course.h"
#include "execute/call.h"
#include "http/url.h"
#include "instances/site.h"

#define USER_AGENT "integ/0.1"
#define INITIAL_HEADERS 16

void
integ_call_add_header(IntegCall *call, const char *name, const char *value)
{
	for (int i = 0; i < call->nheaders; i++)
	{
		if (pg_strcasecmp(call->headers[i].name, name) == 0)
		{
			call->headers[i].value = value;
			return;
		}
	}
	if (call->nheaders == call->max_headers)
	{
		call->max_headers = call->max_headers == 0 ? INITIAL_HEADERS : call->max_headers * 2;
		call->headers = call->headers == NULL
							? palloc(call->max_headers * sizeof(IntegHttpHeader))
							: repalloc(call->headers, call->max_headers * sizeof(IntegHttpHeader));
	}
	call->headers[call->nheaders].name = name;
	call->headers[call->nheaders].value = value;
	call->nheaders++;
}

void
integ_call_add_query(IntegCall *call, const char *query)
{
	if (query == NULL || query[0] == '\0')
		return;
	call->query = call->query == NULL ? pstrdup(query) : psprintf("%s&%s", call->query, query);
	/* It may hold credentials that the template names. */
	if (call->secrets != NULL)
		integ_call_wipe_later(call, call->query, strlen(call->query));
}

typedef struct RenderedHeader
{
	IntegCall *call;
	const char *name;
	const char *value;
} RenderedHeader;

/* The values of an array come one after the other, and leave as one list (RFC 9110, section 5.3). */
static void
add_rendered_header(const char *name, const char *value, void *arg)
{
	RenderedHeader *last = arg;
	bool continues = last->name != NULL && strcmp(last->name, name) == 0;
	char *copy = continues ? psprintf("%s, %s", last->value, value) : pstrdup(value);

	if (last->call->secrets != NULL)
		integ_call_wipe_later(last->call, copy, strlen(copy));
	last->name = pstrdup(name);
	last->value = copy;
	integ_call_add_header(last->call, last->name, copy);
}

static void
render_headers(IntegCall *call, const IntegTemplate *source)
{
	RenderedHeader last = {.call = call};

	if (source != NULL)
		integ_template_headers(source, &call->scope, add_rendered_header, &last);
}

const char *
integ_call_idempotency_key(const IntegCall *call, const char *in)
{
	const IntegMethod *method = call->method;
	pg_uuid_t derived;

	if (method->idempotency_in == NULL || strcmp(method->idempotency_in, in) != 0 || !call->exchange->is_write)
		return NULL;
	if (call->exchange->step == NULL)
		return integ_uuid_text(&call->subject.call_id);
	integ_uuid_derive(&call->subject.call_id, call->exchange->step, &derived);
	return integ_uuid_text(&derived);
}

const IntegParameterStyle *
integ_call_style(const IntegCall *call)
{
	return call->exchange->has_style ? &call->exchange->style : &call->definition->style;
}

/* Where the exchange goes: where its own base URL leads, or the instance's. */
static void
find_site(IntegCall *call)
{
	const IntegExchange *exchange = call->exchange;
	char problem[256], *origin;
	IntegSite site = {.config = call->instance->config,
					  .base_url = (char *) call->instance->base_url,
					  .origin = (char *) call->instance->origin};

	if (exchange->is_elsewhere)
	{
		origin = integ_url_origin(call->course->download_url, problem, sizeof(problem));
		if (origin == NULL)
			ereport(ERROR, (errcode(ERRCODE_INTEG_BAD_ANSWER),
							errmsg("%s cannot be fetched where the service says it is", integ_call_name(call)),
							errdetail("%s", problem)));
		call->url = call->base_url = call->course->download_url;
		call->origin = pstrdup(origin);
		free(origin);
		return;
	}
	if (exchange->base_url != NULL)
		integ_site_url(exchange->base_url, exchange->base_url_source, call->instance->token_fields,
					   call->instance->instance_id, &site);
	if (site.base_url == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("the base URL of instance \"%s\" is not known", call->instance->instance_id),
						errdetail("It comes with the answer to the first authorization, or the definition has none."),
						errhint("Authorize the instance first; where the definition's accountInfo tells it, "
								"SELECT integ_oauth_refresh('%s') asks.",
								call->instance->instance_id)));
	call->base_url = site.base_url;
	call->origin = site.origin;
}

static void
render_query(IntegCall *call, const IntegTemplate *source)
{
	if (source != NULL)
		integ_call_add_query(call, integ_template_query(source, &call->scope, integ_call_style(call)));
}

static void
render_path(IntegCall *call)
{
	const IntegTemplate *source = call->exchange->path;
	char *path = source == NULL ? NULL : integ_template_text(source, &call->scope, INTEG_TEMPLATE_PERCENT);

	call->path = path == NULL ? pstrdup("") : path;
	if (call->secrets != NULL)
		integ_call_wipe_later(call, call->path, strlen(call->path));
}

static int
timeout_ms(const IntegCall *call)
{
	int64 wanted = call->options.timeout_ms;

	if (wanted == 0)
		wanted = call->exchange->timeout_ms > 0 ? call->exchange->timeout_ms : integ_request_timeout;
	/* A health check has its own limit, which a caller's settings must not turn into a finding. */
	if (call->options.asynchronous || call->options.health_check)
		return (int) Min(wanted, PG_INT32_MAX);
	return (int) Min(wanted, integ_max_sync_wait);
}

/* What the manifest says that the answer is. */
static const char *
accepted(const IntegCall *call)
{
	const char *type = call->exchange->response_type;

	if (call->method->stream != INTEG_STREAM_NONE)
		return call->method->stream == INTEG_STREAM_SSE ? "text/event-stream" : "application/x-ndjson";
	if (type != NULL && strcmp(type, "xml") == 0)
		return "application/xml, text/xml;q=0.9, */*;q=0.1";
	if (type != NULL && strcmp(type, "csv") == 0)
		return "text/csv, */*;q=0.1";
	return "application/json";
}

/* In place of a credential: what a person may see of it. */
static const char *
secret_name(void *arg, const char *name)
{
	return psprintf("{credentials.%s}", name);
}

/* What placeholders stand for that are neither the input's nor the instance's. */
static const JsonbContainer *
earlier(const IntegCall *call)
{
	const Jsonb *page = call->page != NULL ? call->page : call->method->first_page;

	if (call->course == NULL)
		return page != NULL ? &page->root : NULL;
	return call->course->earlier != NULL && !call->names_secrets ? &call->course->earlier->root : NULL;
}

void
integ_call_render(IntegCall *call)
{
	const IntegMethod *method = call->method;
	const IntegExchange *exchange = call->exchange;
	const char *key;

	find_site(call);
	call->scope.input = &call->input->root;
	call->scope.config = &call->instance->config->root;
	call->scope.token = call->instance->token_fields == NULL ? NULL : &call->instance->token_fields->root;
	call->scope.earlier = earlier(call);
	call->scope.names_earlier = call->names_earlier;
	call->scope.secret = call->names_secrets ? secret_name : integ_call_secret;
	call->scope.secret_arg = call;

	call->request.method = exchange->http_method;
	call->request.timeout_ms = timeout_ms(call);
	call->request.connect_timeout_ms = integ_connect_timeout;
	call->request.max_response = (size_t) integ_max_response_size * 1024;
	call->request.max_redirects = exchange->is_write ? 0 : 5;
	call->request.allowed_addresses = integ_allowed_addresses;
	call->request.ca_file = integ_ca_file;
	call->request.proxy = integ_proxy;

	integ_call_add_header(call, "Accept", accepted(call));
	integ_call_add_header(call, "User-Agent", USER_AGENT);
	/* Whoever the service names gets nothing that was meant for the service. */
	if (exchange->is_elsewhere)
		return;
	render_path(call);
	integ_call_render_body(call);
	render_headers(call, call->definition->headers);
	render_headers(call, exchange->headers);
	render_query(call, call->definition->query);
	render_query(call, exchange->query);
	key = integ_call_idempotency_key(call, "header");
	if (key != NULL)
		integ_call_add_header(call, method->idempotency_name, key);
	key = integ_call_idempotency_key(call, "query");
	if (key != NULL)
		integ_call_add_query(call, psprintf("%s=%s", method->idempotency_name, key));
}
