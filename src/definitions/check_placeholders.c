/*
 * Checking a manifest: every placeholder has something to stand for.
 */
#include "definitions/check.h"

#include "core/json.h"

/* Keywords under which a property may be allowed that "properties" does not name. */
static const char *const opening_keywords[] = {
	"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "then", "else",
	"dependentSchemas", "dependencies", "patternProperties", "unevaluatedProperties", "items", "prefixItems"};

/* The names that credentials have by convention, whatever their schema says. */
static const char *const standard_credentials[] = {"key", "secret", "username", "password", "token",
												   "client_id", "client_secret"};

typedef struct Visit
{
	IntegManifestCheck *check;
	const char *where;
	IntegPlaceholders allowed;
	const IntegMethod *method;
} Visit;

static bool
may_have(const JsonbContainer *schema, const char *name, size_t len)
{
	const JsonbContainer *properties;
	const char *dot = memchr(name, '.', len);
	size_t first = dot == NULL ? len : (size_t) (dot - name);
	JsonbValue value;

	if (schema == NULL || !JsonContainerIsObject(schema))
		return true;
	for (size_t i = 0; i < lengthof(opening_keywords); i++)
		if (integ_json_get(schema, opening_keywords[i], &value))
			return true;
	properties = integ_json_get_object(schema, "properties");
	if (properties == NULL)
		return !(integ_json_get(schema, "additionalProperties", &value) && value.type == jbvBool &&
				 !value.val.boolean);
	if (getKeyJsonValueFromContainer((JsonbContainer *) properties, name, (int) first, &value) != NULL)
		return dot == NULL || value.type != jbvBinary ||
			   may_have(value.val.binary.data, dot + 1, len - first - 1);
	/* Without additionalProperties an unnamed property is allowed by JSON Schema, but here it is a misspelling. */
	return integ_json_get(schema, "additionalProperties", &value) &&
		   !(value.type == jbvBool && !value.val.boolean);
}

bool
integ_schema_may_have(const JsonbContainer *schema, const char *name)
{
	return may_have(schema, name, strcspn(name, "["));
}

static bool
is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* The part of a name behind "prefix.", NULL where it has another prefix. */
static const char *
behind(const char *name, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(name, prefix, len) == 0 && name[len] == '.' ? name + len + 1 : NULL;
}

static bool
has_tokens(const IntegAuth *auth)
{
	return strcmp(auth->auth_type, "oauth2") == 0 || strcmp(auth->auth_type, "jwt") == 0;
}

bool
integ_auth_brings(const IntegAuth *auth, const char *name)
{
	static const char *const names[] = {"access_token", "refresh_token", "client_id", "client_secret"};

	return has_tokens(auth) && is_one_of(name, names, lengthof(names));
}

static bool
any_has_tokens(const IntegDefinition *definition)
{
	for (int i = 0; i < definition->nauths; i++)
		if (has_tokens(&definition->auths[i]))
			return true;
	return false;
}

/* What the requests of webhooks are proven with is sent where one is registered. */
static bool
is_webhook_secret(const IntegManifestCheck *check, const char *name)
{
	const JsonbContainer *webhook = integ_json_get_object(check->root, "webhook");
	const JsonbContainer *signature = webhook == NULL ? NULL : integ_json_get_object(webhook, "signature");
	const char *credential = signature == NULL ? NULL : integ_json_get_string(signature, "credential");

	return credential != NULL && strcmp(credential, name) == 0;
}

/* Whether any way to authenticate, or a webhook, brings a credential of that name. */
static bool
credential_known(const IntegManifestCheck *check, const char *name)
{
	const JsonbContainer *list = integ_json_get_array(check->root, "authMethods");
	const JsonbContainer *common = integ_json_get_object(check->root, "credentialSchema");

	if (is_webhook_secret(check, name))
		return true;
	for (int i = 0; i < check->definition->nauths; i++)
	{
		const IntegAuth *auth = &check->definition->auths[i];
		const JsonbContainer *schema = NULL;

		if (list != NULL)
			schema = integ_json_get_object(
				getIthJsonbValueFromContainer((JsonbContainer *) list, i)->val.binary.data, "credentialSchema");

		if (integ_auth_brings(auth, name))
			return true;
		if (schema == NULL)
			schema = common;
		if (schema == NULL ? is_one_of(name, standard_credentials, lengthof(standard_credentials))
						   : integ_schema_may_have(schema, name))
			return true;
	}
	return false;
}

/* The number of the step that a name begins with, -1 where it is none. */
static int
find_step(const IntegMethod *method, const char *name)
{
	const JsonbContainer *steps = integ_json_get_array(method->manifest, "steps");
	size_t len = strcspn(name, ".[");

	for (uint32 i = 0; i < JsonContainerSize(steps); i++)
	{
		char *id = integ_json_get_string(
			getIthJsonbValueFromContainer((JsonbContainer *) steps, i)->val.binary.data, "id");

		if (strlen(id) == len && strncmp(id, name, len) == 0)
			return (int) i;
	}
	return -1;
}

/* A step may use what ran before it: neither itself nor what follows, so that there is no cycle. */
static void
visit_step(const Visit *visit, const char *name, const char *rest)
{
	int step = find_step(visit->method, rest);

	if (step < 0)
		integ_manifest_problem(visit->check, visit->where, "the placeholder {%s} names no step", name);
	else if (visit->check->reach != NULL && step >= visit->check->reach->steps)
		integ_manifest_problem(visit->check, visit->where,
							   "the placeholder {%s} names a step that has not run before this one", name);
}

static void
visit_job(const Visit *visit, const char *name, const char *rest)
{
	static const char *const parts[] = {"id", "submit", "status"};
	const JsonbContainer *job = integ_json_get_object(visit->method->manifest, "job");
	size_t len = strcspn(rest, ".[");
	JsonbValue unused;
	bool known = false;

	for (size_t i = 0; i < lengthof(parts); i++)
		known |= strlen(parts[i]) == len && strncmp(rest, parts[i], len) == 0;
	if (!known)
		integ_manifest_problem(visit->check, visit->where,
							   "the placeholder {%s} is none of {job.id}, {job.submit…} and {job.status…}", name);
	else if (visit->check->reach != NULL && !visit->check->reach->job)
		integ_manifest_problem(visit->check, visit->where,
							   "the placeholder {%s} has no value before the job is submitted", name);
	else if (len == 2 && !integ_json_get(job, "id", &unused))
		integ_manifest_problem(visit->check, visit->where,
							   "the placeholder {%s} needs the job's \"id\": the path where it is", name);
}

/* {pagination.x} is the page's, or was meant to be where the input has no such property. */
static bool
may_mean_page(const JsonbContainer *method, const char *name)
{
	const JsonbContainer *pagination = integ_json_get_object(method, "pagination");

	return pagination != NULL && (integ_pagination_is_named(pagination) ||
								  !integ_schema_may_have(integ_json_get_object(method, "inputSchema"), name));
}

/* What a request can name of its page. */
static void
visit_page(const Visit *visit, const char *name, const char *rest)
{
	const JsonbContainer *pagination = integ_json_get_object(visit->method->manifest, "pagination");
	const JsonbContainer *carry = integ_json_get_object(pagination, "carry");
	const char *word = integ_pagination_word(pagination);
	char *root = pnstrdup(rest, strcspn(rest, ".["));
	JsonbValue unused;

	if (carry != NULL && integ_json_get(carry, root, &unused))
		return;
	if (word == NULL)
		integ_manifest_problem(visit->check, visit->where,
							   "the placeholder {%s} is not in the pagination's \"carry\"; the page itself has a name only with "
							   "\"in\": \"template\"",
							   name);
	else if (strcmp(rest, word) != 0 && strcmp(rest, "size") != 0)
		integ_manifest_problem(visit->check, visit->where,
							   "the placeholder {%s} is none of {pagination.%s} and {pagination.size}%s", name, word,
							   carry == NULL ? "" : ", and not in the pagination's \"carry\"");
	else if (strcmp(rest, "size") == 0 && !integ_json_get(pagination, "pageSize", &unused))
		integ_manifest_problem(visit->check, visit->where, "the placeholder {%s} needs the pagination's \"pageSize\"", name);
}

/* A task's configuration is that of a source or of an output. */
static bool
task_known(const IntegManifestCheck *check, const char *name)
{
	const JsonbContainer *source = integ_json_get_object(check->root, "sourceSchema");
	const JsonbContainer *output = integ_json_get_object(check->root, "outputSchema");

	if (source == NULL && output == NULL)
		return true;
	return (source != NULL && integ_schema_may_have(source, name)) ||
		   (output != NULL && integ_schema_may_have(output, name));
}

static void
visit_request_name(const Visit *visit, const char *name)
{
	const JsonbContainer *manifest = visit->method == NULL ? NULL : visit->method->manifest;
	const char *rest;

	if ((rest = behind(name, "task")) != NULL)
	{
		if (!task_known(visit->check, rest))
			integ_manifest_problem(visit->check, visit->where,
								   "the placeholder {%s} is in neither sourceSchema nor outputSchema", name);
		return;
	}
	if ((rest = behind(name, "steps")) != NULL && manifest != NULL && integ_json_get_array(manifest, "steps") != NULL)
	{
		visit_step(visit, name, rest);
		return;
	}
	if ((rest = behind(name, "job")) != NULL && manifest != NULL && integ_json_get_object(manifest, "job") != NULL)
	{
		visit_job(visit, name, rest);
		return;
	}
	if ((rest = behind(name, INTEG_PAGINATION_NAMES)) != NULL && manifest != NULL && may_mean_page(manifest, name))
	{
		visit_page(visit, name, rest);
		return;
	}
	if (manifest != NULL && !integ_schema_may_have(integ_json_get_object(manifest, "inputSchema"), name))
		integ_manifest_problem(visit->check, visit->where, "the placeholder {%s} is not in inputSchema", name);
}

static void
visit_name(const char *name, void *arg)
{
	const Visit *visit = arg;
	IntegManifestCheck *check = visit->check;
	const char *rest;

	if ((rest = behind(name, "config")) != NULL)
	{
		if (!integ_schema_may_have(integ_json_get_object(check->root, "configSchema"), rest))
			integ_manifest_problem(check, visit->where, "the placeholder {%s} is not in configSchema", name);
		return;
	}
	if (behind(name, "token") != NULL && any_has_tokens(check->definition))
		return;
	if (visit->allowed == INTEG_PLACEHOLDERS_URL)
	{
		integ_manifest_problem(check, visit->where,
							   "the placeholder {%s} may only come from config or the token answer here", name);
		return;
	}
	if (visit->allowed == INTEG_PLACEHOLDERS_ITEM)
	{
		if (behind(name, "item") == NULL && strcmp(name, "item") != 0 && strcmp(name, "fields") != 0 &&
			strcmp(name, "field_names") != 0)
			integ_manifest_problem(check, visit->where,
								   "the placeholder {%s} is none of {item.…}, {fields}, {field_names} and {config.…}", name);
		return;
	}
	if ((rest = behind(name, "credentials")) != NULL)
	{
		if (!credential_known(check, rest))
			integ_manifest_problem(check, visit->where, "the placeholder {%s} is not in credentialSchema", name);
		return;
	}
	if (visit->allowed == INTEG_PLACEHOLDERS_BODY)
	{
		static const char *const roots[] = {"body", "input", "method"};
		char *root = pnstrdup(name, strcspn(name, ".["));

		if (!is_one_of(root, roots, lengthof(roots)))
			integ_manifest_problem(check, visit->where,
								   "the placeholder {%s} may only come from body, input, method, config or credentials here",
								   name);
	}
	else if (visit->allowed == INTEG_PLACEHOLDERS_AUTH)
		integ_manifest_problem(check, visit->where,
							   "the placeholder {%s} may only come from config or credentials here", name);
	else if (visit->allowed != INTEG_PLACEHOLDERS_PAGE || strcmp(name, "cursor") != 0)
		visit_request_name(visit, name);
}

/* Whether the object is a directive of the template language, which only makes sense as a whole. */
static bool
is_directive(const JsonbContainer *object)
{
	JsonbIterator *iterator = JsonbIteratorInit((JsonbContainer *) object);
	JsonbIteratorToken token;
	JsonbValue key;

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
		if (token == WJB_KEY && key.val.string.len > 0 && key.val.string.val[0] == '$')
			return true;
	return false;
}

static void check_value(const JsonbValue *value, Visit *visit);

/* Every member by itself, so that a problem is found where it is. */
static void
check_members(const JsonbContainer *container, const Visit *parent)
{
	JsonbIterator *iterator = JsonbIteratorInit((JsonbContainer *) container);
	JsonbIteratorToken token;
	JsonbValue value;
	Visit visit = *parent;
	int index = 0;

	(void) JsonbIteratorNext(&iterator, &value, true);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			visit.where = psprintf("%s/%.*s", parent->where, value.val.string.len, value.val.string.val);
			(void) JsonbIteratorNext(&iterator, &value, true);
		}
		else if (token == WJB_ELEM)
			visit.where = psprintf("%s/%d", parent->where, index++);
		else
			continue;
		check_value(&value, &visit);
	}
}

static void
check_value(const JsonbValue *value, Visit *visit)
{
	if (value->type == jbvBinary &&
		!(JsonContainerIsObject(value->val.binary.data) && is_directive(value->val.binary.data)))
		check_members(value->val.binary.data, visit);
	else
		integ_template_visit(integ_template_compile(value, visit->where), visit_name, visit);
}

void
integ_manifest_check_template(IntegManifestCheck *check, const JsonbContainer *object, const char *key,
							  const char *where, IntegPlaceholders allowed, const IntegMethod *method)
{
	Visit visit = {.check = check, .where = psprintf("%s/%s", where, key), .allowed = allowed, .method = method};
	JsonbValue value;

	if (integ_json_get(object, key, &value))
		check_value(&value, &visit);
}
