/*
 * integ_request: one synchronous raw request.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/options.h"
#include "execute/call.h"
#include "execute/decode.h"
#include "fmgr.h"
#include "funcapi.h"
#include "gateway/gateway.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(integ_request);

/* Of an answer that claims to be JSON and is not. */
#define TEXT_MAX (64 * 1024)

enum
{
	ARGUMENT_INSTANCE,
	ARGUMENT_METHOD,
	ARGUMENT_PATH,
	ARGUMENT_QUERY,
	ARGUMENT_HEADERS,
	ARGUMENT_BODY,
	ARGUMENT_OPTIONS
};

enum
{
	COLUMN_STATUS,
	COLUMN_HEADERS,
	COLUMN_BODY,
	COLUMN_DURATION,
	COLUMN_REMAINING,
	COLUMNS
};

static const Jsonb *
document_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : PG_GETARG_JSONB_P(number);
}

static void
read_arguments(FunctionCallInfo fcinfo, IntegRawRequest *request, IntegCallOptions *options, bool *raise)
{
	char *encoding;
	const IntegOption known[] = {
		{"encoding", INTEG_OPTION_TEXT, &encoding},
		{"timeout", INTEG_OPTION_DURATION_MS, &options->timeout_ms},
		{"max_wait", INTEG_OPTION_DURATION_MS, &options->max_wait_ms},
		{"raise", INTEG_OPTION_BOOL, raise},
	};

	if (PG_ARGISNULL(ARGUMENT_INSTANCE) || PG_ARGISNULL(ARGUMENT_METHOD) || PG_ARGISNULL(ARGUMENT_PATH))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("integ_request needs an instance, an HTTP method and a path"),
						errhint("SELECT * FROM integ_request('instance', 'GET', '/path').")));
	memset(options, 0, sizeof(*options));
	options->timeout_ms = PG_INT64_MIN;
	*raise = false;
	integ_options_parse(document_argument(fcinfo, ARGUMENT_OPTIONS), known, lengthof(known), "integ_request");
	if (options->timeout_ms == PG_INT64_MIN)
		options->timeout_ms = 0;
	else if (options->timeout_ms <= 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("option \"timeout\" of integ_request must be positive")));
	*request = (IntegRawRequest){
		.http_method = text_to_cstring(PG_GETARG_TEXT_PP(ARGUMENT_METHOD)),
		.path = text_to_cstring(PG_GETARG_TEXT_PP(ARGUMENT_PATH)),
		.query = document_argument(fcinfo, ARGUMENT_QUERY),
		.headers = document_argument(fcinfo, ARGUMENT_HEADERS),
		.body = document_argument(fcinfo, ARGUMENT_BODY),
		.encoding = encoding,
	};
}

/*
 * What the service said is the result; that it said nothing, or nothing that can be read, is an error.
 */
static void
raise_failure(const IntegCall *call, bool raise)
{
	const IntegHttpResponse *response = call->response;
	bool success = response->status >= 200 && response->status < 300;

	if (raise || response->failure != INTEG_HTTP_OK || (success && !call->refused))
		integ_call_raise(call);
}

/* Names in lower case; the values of a repeated one follow each other (RFC 9110, section 5.3). */
static Jsonb *
headers_document(const IntegHttpResponse *response)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	for (int i = 0; i < response->nheaders; i++)
	{
		const char *name = response->headers[i].name;
		char *value = pstrdup(response->headers[i].value);
		bool seen = false;

		for (int j = 0; j < i && !seen; j++)
			seen = strcmp(response->headers[j].name, name) == 0;
		if (seen)
			continue;
		for (int j = i + 1; j < response->nheaders; j++)
			if (strcmp(response->headers[j].name, name) == 0)
				value = psprintf("%s, %s", value, response->headers[j].value);
		integ_json_add_string(&builder, name, value);
	}
	return integ_json_end(&builder);
}

/* The body as a document; one that was refused and cannot be parsed as the text that it is. */
static const Jsonb *
body_document(const IntegCall *call)
{
	JsonbValue text = {.type = jbvString};

	if (call->body != NULL || call->response->body_len == 0)
		return call->body;
	text.val.string.val = integ_decode_excerpt(call, TEXT_MAX);
	text.val.string.len = strlen(text.val.string.val);
	return integ_json_value_jsonb(&text);
}

/* Requests left, by the header that the manifest names or one that everybody uses. */
static bool
requests_left(const IntegCall *call, int64 *left)
{
	static const char *const usual[] = {"x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining"};
	const JsonbContainer *limits = integ_json_get_object(&call->definition->manifest->root, "rateLimit");
	const JsonbContainer *headers = limits != NULL ? integ_json_get_object(limits, "headers") : NULL;
	char *name = headers != NULL ? integ_json_get_string(headers, "remaining") : NULL;
	const char *value = NULL;
	char *end;

	if (name != NULL)
		value = integ_http_response_header(call->response, asc_tolower(name, strlen(name)));
	for (size_t i = 0; i < lengthof(usual) && name == NULL && value == NULL; i++)
		value = integ_http_response_header(call->response, usual[i]);
	if (value == NULL)
		return false;
	errno = 0;
	*left = strtoll(value, &end, 10);
	return end != value && errno == 0;
}

Datum
integ_request(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "send requests");
	Datum values[COLUMNS] = {0};
	bool nulls[COLUMNS] = {0};
	IntegCallOptions options;
	IntegRawRequest request;
	IntegMethod *method;
	IntegCall *call;
	const IntegInstance *instance;
	const IntegDefinition *definition;
	const IntegAuth *auth;
	const Jsonb *body;
	TupleDesc row;
	HeapTuple tuple;
	int64 left = 0;
	char *name;
	bool raise;

	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "integ_request returns a row");
	read_arguments(fcinfo, &request, &options, &raise);
	name = text_to_cstring(PG_GETARG_TEXT_PP(ARGUMENT_INSTANCE));
	method = integ_raw_method(&request);
	/* What nobody has described beforehand is for administrators to send, or to approve. */
	method->approval_required = method->is_write && actor->level < INTEG_LEVEL_ADMIN;

	instance = integ_instance_resolve(actor, name);
	definition = integ_instance_definition(instance);
	auth = integ_definition_auth(definition, instance->auth_method);
	if (auth != NULL)
		integ_raw_protect(&request, definition, auth);

	call = integ_call_begin_raw(actor, name, method, integ_raw_document(&request), &options);
	integ_call_run(call);
	raise_failure(call, raise);

	values[COLUMN_STATUS] = Int32GetDatum((int32) call->response->status);
	values[COLUMN_HEADERS] = JsonbPGetDatum(headers_document(call->response));
	body = body_document(call);
	nulls[COLUMN_BODY] = body == NULL;
	values[COLUMN_BODY] = body == NULL ? (Datum) 0 : JsonbPGetDatum(body);
	values[COLUMN_DURATION] = NumericGetDatum(int64_div_fast_to_numeric(call->response->duration_us, 3));
	nulls[COLUMN_REMAINING] = !requests_left(call, &left);
	values[COLUMN_REMAINING] = Int64GetDatum(left);
	tuple = heap_form_tuple(BlessTupleDesc(row), values, nulls);
	integ_call_end(call);
	PG_RETURN_DATUM(HeapTupleGetDatum(tuple));
}
