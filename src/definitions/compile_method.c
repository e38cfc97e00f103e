/*
 * From a method of a manifest to what a call of it needs.
 */
#include "definitions/compile.h"

#include "common/hashfn.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "graphql/document.h"
#include "utils/memutils.h"

#define DEFAULT_POLL_INTERVAL_MS 5000
#define DEFAULT_JOB_LIMIT_MS (60 * 60 * 1000)

static const char *const body_encodings[] = {
	[INTEG_SEND_JSON] = "json",
	[INTEG_SEND_FORM] = "form",
	[INTEG_SEND_MULTIPART] = "multipart",
	[INTEG_SEND_TEXT] = "text",
	[INTEG_SEND_XML] = "xml",
	[INTEG_SEND_BINARY] = "binary",
};

/* Whether a request reads as far as one sees: a GET or a HEAD, or a GraphQL query. */
static bool
seems_to_read(const JsonbContainer *request)
{
	const JsonbContainer *graphql = integ_json_get_object(request, "graphql");
	char *http_method = integ_json_get_string(request, "method");

	if (graphql != NULL)
		return integ_graphql_kind(integ_json_get_string(graphql, "document"),
								  integ_json_get_string(graphql, "operationName")) == INTEG_GRAPHQL_QUERY;
	return strcmp(http_method, "GET") == 0 || strcmp(http_method, "HEAD") == 0;
}

/* Without "access", a method reads where its only request does. */
static bool
is_write(const JsonbContainer *manifest)
{
	char *access = integ_json_get_string(manifest, "access");
	const JsonbContainer *request = integ_json_get_object(manifest, "request");

	if (access != NULL)
		return strcmp(access, "write") == 0;
	return request == NULL || !seems_to_read(request);
}

void
integ_method_describe(IntegMethod *method, const JsonbContainer *manifest, int index)
{
	method->id = integ_json_get_string(manifest, "id");
	method->manifest = manifest;
	method->index = index;
	method->is_write = is_write(manifest);
	method->approval_required = integ_json_get_bool(manifest, "approvalRequired", false);
}

static void
compile_graphql(const JsonbContainer *request, const char *where, IntegExchange *exchange)
{
	const JsonbContainer *graphql = integ_json_get_object(request, "graphql");

	if (graphql == NULL)
		return;
	exchange->is_graphql = true;
	exchange->graphql_document = integ_json_get_string(graphql, "document");
	exchange->graphql_operation = integ_json_get_string(graphql, "operationName");
	exchange->graphql_variables = integ_compile_template(graphql, "variables", psprintf("%s/graphql", where));
}

static void
compile_request(const JsonbContainer *request, const char *where, IntegExchange *exchange)
{
	char *encoding = integ_json_get_string(request, "encoding");
	char *path = integ_json_get_string(request, "path");

	exchange->http_method = integ_json_get_string(request, "method");
	exchange->base_url = integ_compile_template(request, "baseUrl", where);
	exchange->base_url_source = integ_json_get_string(request, "baseUrl");
	exchange->path_source = path == NULL ? "" : path;
	exchange->path = integ_compile_template(request, "path", where);
	exchange->query = integ_compile_template(request, "query", where);
	exchange->headers = integ_compile_template(request, "headers", where);
	exchange->body = integ_compile_template(request, "body", where);
	exchange->has_style = integ_compile_style(request, where, &exchange->style);
	exchange->compress = integ_json_get_bool(request, "compress", false);
	exchange->multipart_type = integ_json_get_string(request, "multipartType");
	if (exchange->multipart_type == NULL)
		exchange->multipart_type = "form-data";
	exchange->timeout_ms = (int) integ_json_get_int(request, "timeoutMs", 0);
	for (size_t i = 0; encoding != NULL && i < lengthof(body_encodings); i++)
		if (strcmp(encoding, body_encodings[i]) == 0)
			exchange->body_encoding = (IntegBodyEncoding) i;
	compile_graphql(request, where, exchange);
}

void
integ_compile_partial(const JsonbContainer *response, const char *where, IntegPartial *partial)
{
	const JsonbContainer *source = integ_json_get_object(response, "partial");

	if (source == NULL)
		return;
	where = psprintf("%s/partial", where);
	partial->items = integ_compile_path(source, "items", where);
	partial->failed = integ_compile_path(source, "failed", where);
	partial->message = integ_compile_path(source, "message", where);
}

static void
compile_response(const JsonbContainer *response, const char *where, IntegExchange *exchange)
{
	exchange->response_type = integ_json_get_string(response, "type");
	exchange->map = integ_compile_map(response, "map", where);
	exchange->records = integ_compile_path(response, "records", where);
	exchange->records_optional = integ_json_get_bool(response, "recordsOptional", false);
	integ_compile_errors(response, where, &exchange->errors);
	integ_compile_partial(response, where, &exchange->partial);
	exchange->csv = integ_json_get_object(response, "csv");
	exchange->xml = integ_json_get_object(response, "xml");
}

/*
 * The exchange that the "request" and "response" of an object of the manifest describe; NULL without a request.
 * step names it where it is one of several.
 */
static IntegExchange *
compile_exchange(const JsonbContainer *object, const char *where, const char *step, bool is_write)
{
	const JsonbContainer *request = integ_json_get_object(object, "request");
	const JsonbContainer *response = integ_json_get_object(object, "response");
	IntegExchange *exchange;

	if (request == NULL)
		return NULL;
	exchange = palloc0(sizeof(IntegExchange));
	exchange->step = step;
	exchange->is_write = is_write;
	compile_request(request, psprintf("%s/request", where), exchange);
	if (response != NULL)
		compile_response(response, psprintf("%s/response", where), exchange);
	return exchange;
}

/* The rules of all of a method's requests, after the request's own. */
static void
append_errors(IntegExchange *exchange, const IntegErrorRules *rules)
{
	IntegErrorRules *own = &exchange->errors;
	IntegErrorRule *items;

	if (rules->count == 0)
		return;
	items = palloc((own->count + rules->count) * sizeof(IntegErrorRule));
	if (own->count > 0)
		memcpy(items, own->items, own->count * sizeof(IntegErrorRule));
	memcpy(items + own->count, rules->items, rules->count * sizeof(IntegErrorRule));
	own->items = items;
	own->count += rules->count;
}

/* A condition, as $if takes it: a name, which is written as a placeholder here, or a jsonpath. */
static IntegTemplate *
compile_when(const JsonbContainer *step, const char *where)
{
	char *condition = integ_json_get_string(step, "when");
	size_t len = condition == NULL ? 0 : strlen(condition);
	IntegJsonBuilder builder;
	JsonbValue source;

	if (condition == NULL)
		return NULL;
	where = psprintf("%s/when", where);
	if (len > 2 && condition[0] == '{' && strchr(condition, '}') == condition + len - 1)
		condition = pnstrdup(condition + 1, len - 2);
	else if (condition[0] != '$')
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s is not a condition", where),
						errdetail("It is \"%s\".", condition),
						errhint("Write one placeholder, {steps.find.id}, or a jsonpath that starts with $.")));
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "$if", condition);
	integ_json_add_bool(&builder, "then", true);
	integ_json_root(integ_json_end(&builder), &source);
	return integ_template_compile(&source, where);
}

/* A step of a method that writes writes as well, unless it says or shows that it only reads. */
static bool
step_is_write(const IntegMethod *method, const JsonbContainer *step)
{
	char *access = integ_json_get_string(step, "access");

	if (access != NULL)
		return strcmp(access, "write") == 0;
	return method->is_write && !seems_to_read(integ_json_get_object(step, "request"));
}

static void
compile_steps(IntegMethod *method, const char *where, const IntegErrorRules *errors)
{
	const JsonbContainer *steps = integ_json_get_array(method->manifest, "steps");

	if (steps == NULL)
		return;
	method->nsteps = (int) JsonContainerSize(steps);
	method->steps = palloc0(method->nsteps * sizeof(IntegMethodStep));
	for (int i = 0; i < method->nsteps; i++)
	{
		const JsonbContainer *step = getIthJsonbValueFromContainer((JsonbContainer *) steps, i)->val.binary.data;
		char *path = psprintf("%s/steps/%d", where, i);

		method->steps[i].when = compile_when(step, path);
		method->steps[i].exchange =
			compile_exchange(step, path, integ_json_get_string(step, "id"), step_is_write(method, step));
		append_errors(method->steps[i].exchange, errors);
	}
}

static IntegExchange *
compile_phase(const JsonbContainer *job, const char *phase, const char *where, bool is_write,
			  const IntegErrorRules *errors)
{
	const JsonbContainer *object = integ_json_get_object(job, phase);
	IntegExchange *exchange;

	if (object == NULL)
		return NULL;
	exchange = compile_exchange(object, psprintf("%s/%s", where, phase), phase, is_write);
	append_errors(exchange, errors);
	return exchange;
}

/* What the job brought, at a URL of the last answer: a GET of it alone. */
static IntegExchange *
compile_elsewhere(const JsonbContainer *job, const char *where, const IntegErrorRules *errors)
{
	const JsonbContainer *download = integ_json_get_object(job, "download"), *response;
	char *url = download == NULL ? NULL : integ_json_get_string(download, "url");
	IntegExchange *exchange;
	IntegJsonBuilder builder;
	JsonbValue value;

	if (url == NULL)
		return NULL;
	integ_json_begin_object(&builder);
	integ_json_open_object(&builder, "request");
	integ_json_add_string(&builder, "method", "GET");
	integ_json_add_string(&builder, "path", "");
	integ_json_close(&builder);
	response = integ_json_get_object(download, "response");
	if (response != NULL && integ_json_get(download, "response", &value))
		integ_json_add(&builder, "response", &value);
	exchange = compile_exchange(&integ_json_end(&builder)->root, psprintf("%s/download", where), "download", false);
	exchange->path_source = psprintf("/(%s)", url); /* such a URL often is a secret: nobody is shown more */
	exchange->is_elsewhere = true;
	append_errors(exchange, errors);
	return exchange;
}

/* The job's id: a path into the answer, or {"header": name}. */
static void
compile_job_id(const JsonbContainer *manifest, const char *where, IntegMethodJob *job)
{
	const JsonbContainer *header = integ_json_get_object(manifest, "id");

	if (header != NULL)
	{
		char *name = integ_json_get_string(header, "header");

		job->id_header = asc_tolower(name, strlen(name));
	}
	else
		job->id = integ_compile_path(manifest, "id", where);
}

static void
compile_job(IntegMethod *method, const char *where, const IntegErrorRules *errors)
{
	const JsonbContainer *manifest = integ_json_get_object(method->manifest, "job");
	const JsonbContainer *poll;
	IntegMethodJob *job;

	if (manifest == NULL)
		return;
	where = psprintf("%s/job", where);
	poll = integ_json_get_object(manifest, "poll");
	job = palloc0(sizeof(IntegMethodJob));
	job->submit = compile_phase(manifest, "submit", where, method->is_write, errors);
	job->poll = compile_phase(manifest, "poll", where, false, errors);
	job->download = compile_elsewhere(manifest, where, errors);
	if (job->download != NULL)
		job->download_url =
			integ_compile_path(integ_json_get_object(manifest, "download"), "url", psprintf("%s/download", where));
	else
		job->download = compile_phase(manifest, "download", where, false, errors);
	compile_job_id(manifest, where, job);
	where = psprintf("%s/poll", where);
	job->done = integ_compile_path(poll, "done", where);
	job->failed = integ_compile_path(poll, "failed", where);
	job->message = integ_compile_path(poll, "message", where);
	job->interval_ms = integ_json_get_int(poll, "intervalMs", DEFAULT_POLL_INTERVAL_MS);
	job->limit_ms = integ_json_get_int(poll, "timeoutMs", DEFAULT_JOB_LIMIT_MS);
	method->job = job;
}

/* What becomes of all that several requests brought, and the rules that hold for each of them. */
static void
compile_whole(IntegMethod *method, const char *where)
{
	const JsonbContainer *response = integ_json_get_object(method->manifest, "response");
	IntegErrorRules errors = {0};

	if (method->exchange != NULL)
		return;
	if (response != NULL)
	{
		char *path = psprintf("%s/response", where);

		method->map = integ_compile_map(response, "map", path);
		method->records = integ_compile_path(response, "records", path);
		integ_compile_errors(response, path, &errors);
	}
	compile_steps(method, where, &errors);
	compile_job(method, where, &errors);
}

static void
compile_idempotency(const JsonbContainer *manifest, IntegMethod *method)
{
	static const char *const places[] = {"header", "query", "body"};
	const JsonbContainer *idempotency = integ_json_get_object(manifest, "idempotency");

	for (size_t i = 0; idempotency != NULL && i < lengthof(places); i++)
	{
		char *name = integ_json_get_string(idempotency, places[i]);

		if (name == NULL)
			continue;
		method->idempotency_in = places[i];
		method->idempotency_name = name;
	}
}

static uint64
digest(const JsonbContainer *manifest)
{
	char *text = JsonbToCString(NULL, (JsonbContainer *) manifest, 1024);

	return DatumGetUInt64(hash_any_extended((unsigned char *) text, (int) strlen(text), 0));
}

static IntegStreamKind
stream_kind(const JsonbContainer *manifest)
{
	char *stream = integ_json_get_string(manifest, "stream");

	if (stream == NULL)
		return INTEG_STREAM_NONE;
	return strcmp(stream, "sse") == 0 ? INTEG_STREAM_SSE : INTEG_STREAM_NDJSON;
}

static void
compile_handler(const JsonbContainer *manifest, IntegMethod *method)
{
	const JsonbContainer *handler = integ_json_get_object(manifest, "handler");

	if (handler == NULL)
		return;
	method->before = integ_json_get_string(handler, "before");
	method->after = integ_json_get_string(handler, "after");
	method->is_function = method->exchange == NULL && method->nsteps == 0 && method->job == NULL;
}

void
integ_method_compile(IntegMethod *method, const char *where)
{
	char *protocol = integ_json_get_string(method->manifest, "protocol");

	method->is_graphql = protocol != NULL && strcmp(protocol, "graphql") == 0;
	method->input = integ_compile_schema(method->manifest, "inputSchema", where);
	method->output = integ_compile_schema(method->manifest, "outputSchema", where);
	method->exchange = compile_exchange(method->manifest, where, NULL, method->is_write);
	compile_whole(method, where);
	if (method->exchange != NULL)
		method->exchange->is_graphql |= method->is_graphql;
	method->stream = stream_kind(method->manifest);
	method->pagination = integ_json_get_object(method->manifest, "pagination");
	method->first_page = integ_pagination_first(method->pagination);
	compile_idempotency(method->manifest, method);
	method->conditional = integ_json_get_bool(method->manifest, "conditional", false);
	method->digest = digest(method->manifest);
	compile_handler(method->manifest, method);
	method->limits = integ_limits_compile(integ_json_get_object(method->manifest, "rateLimit"), INTEG_LIMIT_OF_METHOD,
										  psprintf("%s/rateLimit", where));
	method->compiled = true;
}

static int
compare_id(const void *id, const void *method)
{
	return strcmp(id, ((const IntegMethod *) method)->id);
}

/* Compiles into a context of its own below parent, so that a failure leaves nothing behind. */
static void
compile_in_place(IntegMethod *method, MemoryContext parent, const char *owner)
{
	MemoryContext context = AllocSetContextCreate(parent, "integ method", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	IntegMethod copy = *method;

	PG_TRY();
	{
		integ_method_compile(&copy, psprintf("%s /methods/%d", owner, method->index));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	*method = copy;
}

const IntegMethod *
integ_method_find(IntegMethod *methods, int nmethods, const char *id, MemoryContext parent, const char *owner)
{
	IntegMethod *method;

	if (nmethods == 0)
		return NULL;
	method = bsearch(id, methods, nmethods, sizeof(IntegMethod), compare_id);
	if (method != NULL && !method->compiled)
		compile_in_place(method, parent, owner);
	return method;
}
