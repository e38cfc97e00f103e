/*
 * From a manifest to what calls need.
 */
#include "definitions/compile.h"

#include "core/errors.h"
#include "core/json.h"

IntegTemplate *
integ_compile_template(const JsonbContainer *object, const char *key, const char *where)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value))
		return NULL;
	return integ_template_compile(&value, psprintf("%s/%s", where, key));
}

IntegSchema *
integ_compile_schema(const JsonbContainer *object, const char *key, const char *where)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value))
		return NULL;
	return integ_schema_compile(integ_json_value_jsonb(&value), psprintf("%s/%s", where, key));
}

IntegPath *
integ_compile_path(const JsonbContainer *object, const char *key, const char *where)
{
	char *source = integ_json_get_string(object, key);

	return source == NULL ? NULL : integ_path_compile(source, psprintf("%s/%s", where, key));
}

IntegMap *
integ_compile_map(const JsonbContainer *object, const char *key, const char *where)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value))
		return NULL;
	return integ_map_compile(integ_json_value_jsonb(&value), psprintf("%s/%s", where, key));
}

bool
integ_compile_style(const JsonbContainer *object, const char *where, IntegParameterStyle *style)
{
	const JsonbContainer *source = integ_json_get_object(object, "parameterStyle");

	if (source != NULL)
		integ_parameter_style_read(source, psprintf("%s/parameterStyle", where), style);
	return source != NULL;
}

static int
sqlstate_of(const char *class)
{
	return MAKE_SQLSTATE(class[0], class[1], class[2], class[3], class[4]);
}

static void
compile_statuses(const JsonbContainer *rule, IntegErrorRule *compiled)
{
	const JsonbContainer *list = integ_json_get_array(rule, "status");
	int64 single = integ_json_get_int(rule, "status", 0);

	if (list == NULL && single == 0)
		return;
	compiled->nstatuses = list == NULL ? 1 : JsonContainerSize(list);
	compiled->statuses = palloc(sizeof(int) * compiled->nstatuses);
	compiled->statuses[0] = (int) single;
	for (int i = 0; list != NULL && i < compiled->nstatuses; i++)
	{
		JsonbValue *status = getIthJsonbValueFromContainer((JsonbContainer *) list, i);

		compiled->statuses[i] = atoi(integ_json_value_text(status));
	}
}

static void
compile_error(const JsonbContainer *rule, const char *where, IntegErrorRule *compiled)
{
	char *message = integ_json_get_string(rule, "message");

	compiled->when = integ_compile_path(rule, "when", where);
	compiled->class = integ_json_get_string(rule, "class");
	compiled->sqlstate = sqlstate_of(compiled->class);
	compiled->retry_after = integ_compile_path(rule, "retryAfter", where);
	compile_statuses(rule, compiled);
	if (compiled->when == NULL && compiled->nstatuses == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s would make every answer an error", where),
						errhint("Give it \"when\", a path into the body, or \"status\".")));
	if (message != NULL && (message[0] == '.' || message[0] == '$'))
		compiled->message_path = integ_path_compile(message, psprintf("%s/message", where));
	else
		compiled->message = message;
}

void
integ_compile_errors(const JsonbContainer *object, const char *where, IntegErrorRules *rules)
{
	const JsonbContainer *list = integ_json_get_array(object, "errors");

	if (list == NULL)
		return;
	rules->items = palloc0(sizeof(IntegErrorRule) * JsonContainerSize(list));
	for (uint32 i = 0; i < JsonContainerSize(list); i++)
	{
		JsonbValue *rule = getIthJsonbValueFromContainer((JsonbContainer *) list, i);

		compile_error(rule->val.binary.data, psprintf("%s/errors/%u", where, i), &rules->items[rules->count++]);
	}
}

/* authMethods replace the definition's own; what one of them leaves out, it takes from the definition. */
static void
compile_auths(const JsonbContainer *manifest, const char *root, IntegDefinition *definition)
{
	const JsonbContainer *list = integ_json_get_array(manifest, "authMethods");

	definition->nauths = list == NULL ? 1 : JsonContainerSize(list);
	definition->auths = palloc0(sizeof(IntegAuth) * definition->nauths);
	if (list == NULL)
	{
		integ_auth_compile(manifest, root, &definition->auths[0]);
		definition->auths[0].id = NULL;
		return;
	}
	for (int i = 0; i < definition->nauths; i++)
	{
		JsonbValue *method = getIthJsonbValueFromContainer((JsonbContainer *) list, i);
		IntegAuth *auth = &definition->auths[i];

		integ_auth_compile(method->val.binary.data, psprintf("%s/authMethods/%d", root, i), auth);
		if (auth->oauth2 == NULL && strcmp(auth->auth_type, "oauth2") == 0)
			auth->oauth2 = integ_json_get_object(manifest, "oauth2Config");
		if (auth->credentials == NULL)
			auth->credentials = integ_compile_schema(manifest, "credentialSchema", root);
	}
}

static int
compare_methods(const void *a, const void *b)
{
	return strcmp(((const IntegMethod *) a)->id, ((const IntegMethod *) b)->id);
}

static void
describe_methods(const JsonbContainer *manifest, IntegDefinition *definition)
{
	const JsonbContainer *list = integ_json_get_array(manifest, "methods");

	if (list == NULL)
		return;
	definition->methods = palloc0(sizeof(IntegMethod) * JsonContainerSize(list));
	for (uint32 i = 0; i < JsonContainerSize(list); i++)
	{
		JsonbValue *method = getIthJsonbValueFromContainer((JsonbContainer *) list, i);

		integ_method_describe(&definition->methods[definition->nmethods++], method->val.binary.data, (int) i);
	}
	qsort(definition->methods, definition->nmethods, sizeof(IntegMethod), compare_methods);
}

static void
compile_health_check(const JsonbContainer *manifest, IntegDefinition *definition)
{
	const JsonbContainer *object = integ_json_get_object(manifest, "healthCheck");
	JsonbValue input;

	definition->health_check = integ_json_get_string(object == NULL ? manifest : object,
													 object == NULL ? "healthCheck" : "method");
	if (object != NULL && integ_json_get(object, "input", &input))
		definition->health_input = integ_json_value_jsonb(&input);
}

static const char *
text_or(const JsonbContainer *manifest, const char *key, const char *fallback)
{
	char *value = integ_json_get_string(manifest, key);

	return value == NULL ? fallback : value;
}

IntegDefinition *
integ_definition_compile(const Jsonb *manifest, const char *root)
{
	IntegDefinition *definition = palloc0(sizeof(IntegDefinition));
	const JsonbContainer *keys = &manifest->root;

	definition->manifest = manifest;
	definition->id = integ_json_get_string(keys, "integrationId");
	definition->version = integ_json_get_string(keys, "version");
	definition->name = integ_json_get_string(keys, "name");
	definition->client_id = INTEG_GLOBAL_CLIENT;
	definition->status = text_or(keys, "status", "active");
	definition->visibility = text_or(keys, "visibility", "public");
	definition->required_plan = integ_json_get_string(keys, "requiredPlan");
	definition->connection_scope = text_or(keys, "connectionScope", "both");
	definition->base_url_source = integ_json_get_string(keys, "baseUrl");
	definition->base_url = integ_compile_template(keys, "baseUrl", root);
	definition->headers = integ_compile_template(keys, "headers", root);
	definition->query = integ_compile_template(keys, "query", root);
	integ_compile_style(keys, root, &definition->style);
	definition->request_transform = integ_compile_template(keys, "requestTransform", root);
	definition->response_transform = integ_compile_map(keys, "responseTransform", root);
	definition->config = integ_compile_schema(keys, "configSchema", root);
	definition->limits = integ_limits_compile(integ_json_get_object(keys, "rateLimit"), INTEG_LIMIT_OF_INSTANCE,
											  psprintf("%s/rateLimit", root));
	definition->breaker = integ_breaker_compile(integ_json_get_object(keys, "circuitBreaker"));
	integ_compile_errors(keys, root, &definition->errors);
	compile_auths(keys, root, definition);
	definition->auth_type = definition->auths[0].auth_type;
	compile_health_check(keys, definition);
	describe_methods(keys, definition);
	return definition;
}
