/*
 * Checking a manifest: methods and their requests.
 */
#include "definitions/check.h"

#include "core/json.h"
#include "graphql/document.h"

static bool
has(const JsonbContainer *object, const char *key)
{
	JsonbValue unused;

	return integ_json_get(object, key, &unused);
}

/* Whether a segment of the path is a bare "." or "..", which would climb out of the base URL. */
static bool
climbs(const char *path)
{
	while (path != NULL && *path != '\0')
	{
		size_t len = strcspn(path, "/\\");

		if ((len == 1 && path[0] == '.') || (len == 2 && path[0] == '.' && path[1] == '.'))
			return true;
		path = path[len] == '\0' ? NULL : path + len + 1;
	}
	return false;
}

/* A path is appended to the base URL: it must not be able to name another host or carry a query. */
static void
check_path(IntegManifestCheck *check, const JsonbContainer *request, const char *key, const char *where)
{
	char *path = integ_json_get_string(request, key);

	where = psprintf("%s/%s", where, key);
	if (path == NULL || path[0] == '\0')
		return;
	if (path[0] != '/')
		integ_manifest_problem(check, where, "a path must start with /");
	else if (path[1] == '/' || strchr(path, '\\') != NULL || climbs(path))
		integ_manifest_problem(check, where, "a path must stay below the base URL");
	if (strpbrk(path, "?#") != NULL)
		integ_manifest_problem(check, where, "a path has neither a query nor a fragment; parameters go into \"query\"");
}

static void
check_document(IntegManifestCheck *check, const JsonbContainer *graphql, const char *where,
			   const IntegExchange *exchange)
{
	char *operation = integ_json_get_string(graphql, "operationName");

	switch (integ_graphql_kind(integ_json_get_string(graphql, "document"), operation))
	{
		case INTEG_GRAPHQL_QUERY:
			return;
		case INTEG_GRAPHQL_MUTATION:
			if (!exchange->is_write)
				integ_manifest_problem(check, where, "a mutation writes: access must be \"write\"");
			return;
		case INTEG_GRAPHQL_SUBSCRIPTION:
			integ_manifest_problem(check, where, "a subscription is no request that is answered once");
			return;
		case INTEG_GRAPHQL_NONE:
			integ_manifest_problem(check, where, "it has no operation%s%s", operation != NULL ? " named " : "",
								   operation != NULL ? operation : "");
			return;
		case INTEG_GRAPHQL_SEVERAL:
			integ_manifest_problem(check, where, "it has several operations: operationName must say which");
			return;
		case INTEG_GRAPHQL_MALFORMED:
			integ_manifest_problem(check, where, "it is no GraphQL document");
	}
}

static void
check_graphql(IntegManifestCheck *check, const JsonbContainer *request, const char *where, const IntegMethod *method,
			  const IntegExchange *exchange)
{
	const JsonbContainer *graphql = integ_json_get_object(request, "graphql");

	if (graphql == NULL)
	{
		if (method->is_graphql && !has(request, "body"))
			integ_manifest_problem(check, where, "protocol \"graphql\" needs \"graphql\"");
		return;
	}
	check_document(check, graphql, psprintf("%s/graphql/document", where), exchange);
	if (strcmp(integ_json_get_string(request, "method"), "POST") != 0)
		integ_manifest_problem(check, psprintf("%s/method", where), "a GraphQL request is a POST");
	if (has(request, "encoding") && strcmp(integ_json_get_string(request, "encoding"), "json") != 0)
		integ_manifest_problem(check, psprintf("%s/encoding", where), "a GraphQL request is JSON");
	if (!method->is_graphql)
		integ_manifest_problem(check, psprintf("%s/graphql", where), "only a method with protocol \"graphql\" has it");
	if (has(request, "body"))
		integ_manifest_problem(check, psprintf("%s/body", where), "a request has either \"graphql\" or \"body\"");
	integ_manifest_check_template(check, graphql, "variables", psprintf("%s/graphql", where),
								  INTEG_PLACEHOLDERS_REQUEST, method);
}

/* What only some bodies have, and what some must be. */
static void
check_encoding(IntegManifestCheck *check, const JsonbContainer *request, const char *where)
{
	char *encoding = integ_json_get_string(request, "encoding");
	bool multipart = encoding != NULL && strcmp(encoding, "multipart") == 0;
	JsonbValue body;

	if (has(request, "multipartType") && !multipart)
		integ_manifest_problem(check, psprintf("%s/multipartType", where), "only encoding \"multipart\" has it");
	if (has(request, "compress") && !has(request, "body") && !has(request, "graphql"))
		integ_manifest_problem(check, psprintf("%s/compress", where), "there is no body to compress");
	if (!integ_json_get(request, "body", &body) || body.type == jbvBinary || body.type == jbvString)
		return;
	if (encoding != NULL && strcmp(encoding, "json") != 0)
		integ_manifest_problem(check, psprintf("%s/body", where), "encoding \"%s\" needs a template", encoding);
}

/* exchange: what was compiled of it. */
static void
check_request(IntegManifestCheck *check, const JsonbContainer *request, const char *where, const IntegMethod *method,
			  const IntegExchange *exchange)
{
	static const char *const templates[] = {"path", "query", "headers", "body"};
	char *http_method = integ_json_get_string(request, "method");

	/* What is called a read is repeated freely, needs no approval and leaves no audit. */
	if (!exchange->is_write &&
		(strcmp(http_method, "PUT") == 0 || strcmp(http_method, "PATCH") == 0 || strcmp(http_method, "DELETE") == 0))
		integ_manifest_problem(check, psprintf("%s/method", where), "a %s request writes: access must be \"write\"",
							   http_method);
	integ_manifest_check_url(check, request, "baseUrl", where);
	check_path(check, request, "path", where);
	for (size_t i = 0; i < lengthof(templates); i++)
		integ_manifest_check_template(check, request, templates[i], where, INTEG_PLACEHOLDERS_REQUEST, method);
	check_graphql(check, request, where, method, exchange);
	if ((strcmp(http_method, "GET") == 0 || strcmp(http_method, "HEAD") == 0) && has(request, "body"))
		integ_manifest_problem(check, psprintf("%s/body", where), "a %s request has no body", http_method);
	check_encoding(check, request, where);
}

static void
check_steps(IntegManifestCheck *check, const IntegMethod *method, const char *where)
{
	const JsonbContainer *steps = integ_json_get_array(method->manifest, "steps");

	for (int i = 0; i < method->nsteps; i++)
	{
		const JsonbContainer *step = getIthJsonbValueFromContainer((JsonbContainer *) steps, i)->val.binary.data;
		char *path = psprintf("%s/steps/%d", where, i);
		IntegReach reach = {.steps = i};

		check->reach = &reach;
		check_request(check, integ_json_get_object(step, "request"), psprintf("%s/request", path), method,
					  method->steps[i].exchange);
		integ_manifest_check_template(check, step, "when", path, INTEG_PLACEHOLDERS_REQUEST, method);
		if (!method->is_write && method->steps[i].exchange->is_write)
			integ_manifest_problem(check, psprintf("%s/access", path), "a step of a method that reads does not write");
		check->reach = NULL;
	}
}

static void
check_job(IntegManifestCheck *check, const IntegMethod *method, const char *where)
{
	const JsonbContainer *job = method->job == NULL ? NULL : integ_json_get_object(method->manifest, "job");
	const struct
	{
		const char *name;
		const IntegExchange *exchange;
	} phases[] = {{"submit", method->job != NULL ? method->job->submit : NULL},
				  {"poll", method->job != NULL ? method->job->poll : NULL},
				  {"download", method->job != NULL ? method->job->download : NULL}};

	for (size_t i = 0; job != NULL && i < lengthof(phases); i++)
	{
		const JsonbContainer *phase = integ_json_get_object(job, phases[i].name);
		IntegReach reach = {.job = i > 0};

		if (phase == NULL || phases[i].exchange == NULL || phases[i].exchange->is_elsewhere)
			continue;
		check->reach = &reach;
		check_request(check, integ_json_get_object(phase, "request"),
					  psprintf("%s/job/%s/request", where, phases[i].name), method, phases[i].exchange);
		check->reach = NULL;
	}
}

/* What the whole of several requests has no use for. */
static void
check_whole(IntegManifestCheck *check, const IntegMethod *method, const char *where)
{
	const JsonbContainer *response = integ_json_get_object(method->manifest, "response");

	if (method->exchange == NULL && response != NULL && has(response, "type"))
		integ_manifest_problem(check, psprintf("%s/response/type", where),
							   "each of the requests has a response of its own, which says its type");
}

static void
check_kind(IntegManifestCheck *check, const IntegMethod *method, const char *where)
{
	static const char *const kinds[] = {"request", "steps", "job"};
	int count = 0;

	for (size_t i = 0; i < lengthof(kinds); i++)
		count += has(method->manifest, kinds[i]);
	if (count > 1)
		integ_manifest_problem(check, where, "a method has one of \"request\", \"steps\" and \"job\"");
	if (method->is_function && method->approval_required)
		integ_manifest_problem(check, psprintf("%s/approvalRequired", where),
							   "a method that sends no request has none that could be approved");
	if (method->is_function && (method->stream != INTEG_STREAM_NONE || method->idempotency_in != NULL))
		integ_manifest_problem(check, where, "a method that sends no request has no \"stream\" and no \"idempotency\"");
	if (count == 0 && !has(method->manifest, "handler"))
		integ_manifest_problem(check, where, "a method needs a \"request\", \"steps\", a \"job\" or a \"handler\"");
}

/* The examples of a schema (JSON Schema's own keyword) match it, defaults filled in. */
static void
check_examples(IntegManifestCheck *check, const IntegMethod *method, const char *key, const IntegSchema *schema,
			   const char *where)
{
	const JsonbContainer *source = integ_json_get_object(method->manifest, key);
	const JsonbContainer *examples = source == NULL ? NULL : integ_json_get_array(source, "examples");

	for (uint32 i = 0; schema != NULL && examples != NULL && i < JsonContainerSize(examples); i++)
	{
		const Jsonb *example = integ_json_value_jsonb(getIthJsonbValueFromContainer((JsonbContainer *) examples, i));
		IntegSchemaProblems problems = {0};

		if (integ_schema_validate(schema, integ_schema_fill(schema, example), &problems))
			continue;
		for (int j = 0; j < problems.count; j++)
			integ_manifest_problem(check, psprintf("%s/%s/examples/%u%s", where, key, i, problems.items[j].path), "%s",
								   problems.items[j].message);
	}
}

void
integ_manifest_check_method(IntegManifestCheck *check, const IntegMethod *method, const char *where)
{
	const JsonbContainer *request = integ_json_get_object(method->manifest, "request");

	check_kind(check, method, where);
	if (method->approval_required && !method->is_write)
		integ_manifest_problem(check, psprintf("%s/approvalRequired", where),
							   "a method that reads needs no approval; if it writes, say \"access\": \"write\"");
	if (method->is_write && has(method->manifest, "pagination"))
		integ_manifest_problem(check, psprintf("%s/pagination", where), "a method that writes has no pages");
	if (method->idempotency_in != NULL && !method->is_write)
		integ_manifest_problem(check, psprintf("%s/idempotency", where), "a method that reads needs no idempotency key");
	if (method->conditional &&
		(method->is_write || request == NULL || strcmp(integ_json_get_string(request, "method"), "GET") != 0))
		integ_manifest_problem(check, psprintf("%s/conditional", where),
							   "only a method that reads by one GET request has a last answer to keep");
	if (request != NULL)
		check_request(check, request, psprintf("%s/request", where), method, method->exchange);
	check_steps(check, method, where);
	check_job(check, method, where);
	check_whole(check, method, where);
	check_examples(check, method, "inputSchema", method->input, where);
	check_examples(check, method, "outputSchema", method->output, where);
}
