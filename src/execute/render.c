/*
 * Step: from templates and values to one HTTP request, without its secrets.
 */
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "core/uuid.h"
#include "course/course.h"
#include "execute/call.h"
#include "graphql/graphql.h"
#include "http/url.h"
#include "utils/fmgrprotos.h"

#define USER_AGENT "integ/0.1"
#define INITIAL_HEADERS 16

/* Larger request bodies than this are refused: what is meant is an upload, not a call. */
#define MAX_REQUEST_BODY (64 * 1024 * 1024)

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

/* What the manifest may say and this version does not send yet is an error, never left out in silence. */
static void
refuse_unsupported(const IntegCall *call)
{
	const IntegExchange *exchange = call->exchange;
	const char *what = NULL;

	if (exchange == NULL)
		what = "a handler";
	else if (exchange->body_encoding == INTEG_SEND_MULTIPART || exchange->body_encoding == INTEG_SEND_BINARY)
		what = "multipart or binary bodies";
	else if (call->definition->request_transform != NULL || call->definition->response_transform != NULL)
		what = "requestTransform or responseTransform";
	if (what != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
						errmsg("%s needs %s, which this version does not have", integ_call_name(call), what),
						errhint("Nothing was sent. Use a method with a plain request, or a newer version of integ.")));
}

/*
 * The key by which a service knows a repeated write, where its definition says that
 * it honours one: the same in every attempt. It is the call's id, or of several requests one derived from it.
 */
static const char *
idempotency_key(const IntegCall *call, const char *in)
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

static const Jsonb *
add_idempotency_key(const IntegCall *call, const Jsonb *body)
{
	const char *key = idempotency_key(call, "body");
	IntegJsonBuilder builder;

	if (key == NULL || body == NULL || !JB_ROOT_IS_OBJECT(body))
		return body;
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, call->method->idempotency_name, key);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(body),
											  JsonbPGetDatum(integ_json_end(&builder))));
}

static void
render_body(IntegCall *call)
{
	const IntegExchange *exchange = call->exchange;
	const char *type = "application/json";

	if (exchange->body == NULL && exchange->graphql_document == NULL)
		return;
	if (exchange->graphql_document != NULL)
		call->request.body = integ_json_print(add_idempotency_key(call, integ_graphql_body(call)));
	else if (exchange->body_encoding == INTEG_SEND_FORM)
	{
		type = "application/x-www-form-urlencoded";
		call->request.body = integ_template_form(exchange->body, &call->scope, NULL);
	}
	else if (exchange->body_encoding == INTEG_SEND_TEXT)
	{
		type = "text/plain; charset=utf-8";
		call->request.body = integ_template_text(exchange->body, &call->scope, INTEG_TEMPLATE_RAW);
	}
	else
	{
		const Jsonb *body = add_idempotency_key(call, integ_template_json(exchange->body, &call->scope));

		call->request.body = body != NULL ? integ_json_print(body) : NULL;
	}
	if (call->request.body == NULL)
		return;
	call->request.body_len = strlen(call->request.body);
	if (call->request.body_len > MAX_REQUEST_BODY)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the request body of %s is too large", integ_call_name(call)),
						errdetail("It has %zu bytes; the limit is %d.", call->request.body_len, MAX_REQUEST_BODY)));
	/* It may hold credentials that the template names. */
	if (call->secrets != NULL)
		integ_call_wipe_later(call, (char *) call->request.body, call->request.body_len);
	integ_call_add_header(call, "Content-Type", type);
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

/* In place of a credential: what a person may see of it. */
static const char *
secret_name(void *arg, const char *name)
{
	return psprintf("{credentials.%s}", name);
}

void
integ_call_render(IntegCall *call)
{
	const IntegMethod *method = call->method;
	const IntegExchange *exchange = call->exchange;

	refuse_unsupported(call);
	if (call->instance->base_url == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("the base URL of instance \"%s\" is not known", call->instance->instance_id),
						errdetail("It comes with the answer to the first authorization, or the definition has none."),
						errhint("Authorize the instance first.")));
	call->scope.input = &call->input->root;
	call->scope.config = &call->instance->config->root;
	call->scope.token = call->instance->token_fields == NULL ? NULL : &call->instance->token_fields->root;
	call->scope.earlier = call->course != NULL && call->course->earlier != NULL ? &call->course->earlier->root : NULL;
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

	integ_call_add_header(call, "Accept", "application/json");
	integ_call_add_header(call, "User-Agent", USER_AGENT);
	render_body(call);
	render_headers(call, call->definition->headers);
	render_headers(call, exchange->headers);
	if (call->definition->query != NULL)
		integ_call_add_query(call, integ_template_query(call->definition->query, &call->scope, NULL));
	if (exchange->query != NULL)
		integ_call_add_query(call, integ_template_query(exchange->query, &call->scope, NULL));
	if (idempotency_key(call, "header") != NULL)
		integ_call_add_header(call, method->idempotency_name, idempotency_key(call, "header"));
	if (idempotency_key(call, "query") != NULL)
		integ_call_add_query(call, psprintf("%s=%s", method->idempotency_name, idempotency_key(call, "query")));
}
