/*
 * Checking a manifest: ids are unique, and what is named exists.
 */
#include "definitions/check.h"

#include "core/json.h"
#include "core/json_walk.h"

static void
check_unique(IntegManifestCheck *check, const JsonbContainer *object, const char *key, const char *where)
{
	const JsonbContainer *list = integ_json_get_array(object, key);
	uint32 count = list == NULL ? 0 : JsonContainerSize(list);
	char **ids = palloc(sizeof(char *) * (count + 1));

	for (uint32 i = 0; i < count; i++)
	{
		ids[i] = integ_json_get_string(
			getIthJsonbValueFromContainer((JsonbContainer *) list, i)->val.binary.data, "id");
		for (uint32 j = 0; j < i; j++)
		{
			if (strcmp(ids[i], ids[j]) != 0)
				continue;
			integ_manifest_problem(check, psprintf("%s/%s/%u/id", where, key, i), "\"%s\" is already %s/%s/%u",
								   ids[i], where, key, j);
			break;
		}
	}
}

static const IntegMethod *
find_method(const IntegManifestCheck *check, const char *id)
{
	for (int i = 0; i < check->definition->nmethods; i++)
		if (strcmp(check->definition->methods[i].id, id) == 0)
			return &check->definition->methods[i];
	return NULL;
}

typedef enum Access
{
	ANY,
	READS,
	WRITES
} Access;

/* The method that a key names: if it is given, it exists, and reads or writes as the key needs it. */
static const IntegMethod *
check_named(IntegManifestCheck *check, const JsonbContainer *object, const char *key, const char *where,
			Access needed)
{
	char *id = integ_json_get_string(object, key);
	const IntegMethod *method = id == NULL ? NULL : find_method(check, id);

	if (id != NULL && method == NULL)
		integ_manifest_problem(check, psprintf("%s/%s", where, key), "there is no method \"%s\"", id);
	if (method != NULL && needed != ANY && method->is_write != (needed == WRITES))
		integ_manifest_problem(check, psprintf("%s/%s", where, key), "the method \"%s\" %s", id,
							   needed == READS ? "writes; one that reads is needed" : "reads; one that writes is needed");
	return method;
}

/* That a key names an input of the method. */
static void
check_input_named(IntegManifestCheck *check, const JsonbContainer *object, const char *key, const char *where,
				  const IntegMethod *method)
{
	char *name = integ_json_get_string(object, key);

	if (name == NULL || method == NULL)
		return;
	if (!integ_schema_may_have(integ_json_get_object(method->manifest, "inputSchema"), name))
		integ_manifest_problem(check, psprintf("%s/%s", where, key), "the method \"%s\" has no input \"%s\"",
							   method->id, name);
}

/* That the object names inputs of the method only. */
static void
check_inputs_of(IntegManifestCheck *check, const JsonbContainer *input, const char *where, const IntegMethod *method)
{
	JsonbIterator *iterator = input == NULL ? NULL : JsonbIteratorInit((JsonbContainer *) input);
	JsonbIteratorToken token;
	JsonbValue key;

	while (iterator != NULL && method != NULL && (token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		char *name = token == WJB_KEY ? pnstrdup(key.val.string.val, key.val.string.len) : NULL;

		if (name != NULL && !integ_schema_may_have(integ_json_get_object(method->manifest, "inputSchema"), name))
			integ_manifest_problem(check, psprintf("%s/%s", where, name), "the method \"%s\" has no input \"%s\"",
								   method->id, name);
	}
}

/* The same of the object under "input". */
static void
check_input_given(IntegManifestCheck *check, const JsonbContainer *object, const char *where, const IntegMethod *method)
{
	check_inputs_of(check, integ_json_get_object(object, "input"), psprintf("%s/input", where), method);
}

/* A method of an entity, that takes what the entity gives it. */
static const IntegMethod *
check_entity_method(IntegManifestCheck *check, const JsonbContainer *entity, const char *key, const char *where,
					Access needed, bool by_id)
{
	const IntegMethod *method = check_named(check, entity, key, where, needed);
	char *id = integ_json_get_string(entity, "idParam");

	check_input_given(check, entity, where, method);
	if (by_id && method != NULL &&
		!integ_schema_may_have(integ_json_get_object(method->manifest, "inputSchema"), id == NULL ? "id" : id))
		integ_manifest_problem(check, psprintf("%s/%s", where, key),
							   "the method \"%s\" has no input \"%s\" for the id; \"idParam\" names it", method->id,
							   id == NULL ? "id" : id);
	return method;
}

static void
check_entity(IntegManifestCheck *check, const JsonbContainer *entity, const char *where)
{
	const IntegMethod *list = check_entity_method(check, entity, "list", where, READS, false);
	JsonbValue unused;

	(void) check_entity_method(check, entity, "get", where, READS, true);
	(void) check_entity_method(check, entity, "deleted", where, READS, false);
	(void) check_entity_method(check, entity, "create", where, WRITES, false);
	(void) check_entity_method(check, entity, "update", where, WRITES, true);
	(void) check_entity_method(check, entity, "delete", where, WRITES, true);
	check_input_named(check, entity, "modifiedParam", where, list);
	check_input_named(check, entity, "deltaParam", where, list);
	check_input_named(check, entity, "pageSizeParam", where, list);
	if (list != NULL && !integ_json_get(entity, "idField", &unused))
		integ_manifest_problem(check, where, "an entity that is listed needs \"idField\"");
}

static bool
has_entity(const IntegManifestCheck *check, const char *id)
{
	const JsonbContainer *entities = integ_json_get_array(check->root, "entities");

	for (uint32 i = 0; entities != NULL && i < JsonContainerSize(entities); i++)
	{
		JsonbValue *entity = getIthJsonbValueFromContainer((JsonbContainer *) entities, i);

		if (strcmp(integ_json_get_string(entity->val.binary.data, "id"), id) == 0)
			return true;
	}
	return false;
}

static void
check_trigger(IntegManifestCheck *check, const JsonbContainer *trigger, const char *where)
{
	const JsonbContainer *poll = integ_json_get_object(trigger, "poll");
	char *entity = integ_json_get_string(trigger, "entity");

	if (entity != NULL && !has_entity(check, entity))
		integ_manifest_problem(check, psprintf("%s/entity", where), "there is no entity \"%s\"", entity);
	if (poll != NULL)
	{
		char *path = psprintf("%s/poll", where);
		const IntegMethod *method = check_named(check, poll, "method", path, READS);

		check_input_named(check, poll, "modifiedParam", path, method);
		check_input_given(check, poll, path, method);
	}
	else if (integ_json_get_object(check->root, "webhook") == NULL)
		integ_manifest_problem(check, where, "a trigger needs \"poll\", or the manifest a \"webhook\"");
}

/* A health check is made without anybody's input. */
static void
check_health(IntegManifestCheck *check)
{
	const JsonbContainer *object = integ_json_get_object(check->root, "healthCheck");
	const JsonbContainer *given = object == NULL ? NULL : integ_json_get_object(object, "input");
	const IntegMethod *method = object == NULL ? check_named(check, check->root, "healthCheck", "", READS)
											   : check_named(check, object, "method", "/healthCheck", READS);
	const JsonbContainer *schema = method == NULL ? NULL : integ_json_get_object(method->manifest, "inputSchema");
	const JsonbContainer *required = schema == NULL ? NULL : integ_json_get_array(schema, "required");
	const JsonbContainer *properties = schema == NULL ? NULL : integ_json_get_object(schema, "properties");

	if (method != NULL && integ_json_get_object(method->manifest, "request") == NULL)
		integ_manifest_problem(check, "/healthCheck",
							   "the method \"%s\" has no request of its own: a health check is one request", method->id);
	for (uint32 i = 0; required != NULL && i < JsonContainerSize(required); i++)
	{
		char *name = integ_json_value_text(getIthJsonbValueFromContainer((JsonbContainer *) required, i));
		const JsonbContainer *property = properties == NULL ? NULL : integ_json_get_object(properties, name);
		JsonbValue unused;

		if ((given != NULL && integ_json_get(given, name, &unused)) ||
			(property != NULL && integ_json_get(property, "default", &unused)))
			continue;
		integ_manifest_problem(check, "/healthCheck", "the method \"%s\" needs the input \"%s\", which has no default",
							   method->id, name);
	}
}

/* The methods by which a webhook is registered, and what they are given. */
static void
check_registration(IntegManifestCheck *check, const JsonbContainer *webhook)
{
	static const struct
	{
		const char *key;
		Access needed;
	} methods[] = {{"register", ANY},
				   {"unregister", ANY},
				   {"renew", ANY},
				   {"rotate", ANY},
				   {"list", READS},
				   {"get", READS}};
	const JsonbContainer *inputs = integ_json_get_object(webhook, "inputs");

	for (size_t i = 0; i < lengthof(methods); i++)
	{
		const char *key = methods[i].key;
		const IntegMethod *method = check_named(check, webhook, key, "/webhook", methods[i].needed);
		const JsonbContainer *input = inputs == NULL ? NULL : integ_json_get_object(inputs, key);

		if (input != NULL && integ_json_get_string(webhook, key) == NULL)
			integ_manifest_problem(check, psprintf("/webhook/inputs/%s", key), "\"webhook\" names no method \"%s\"", key);
		check_inputs_of(check, input, psprintf("/webhook/inputs/%s", key), method);
	}
}

typedef struct Learned
{
	const JsonbContainer *fields;
	const char *name; /* one of them that is used, or NULL */
} Learned;

static void
visit_learned(const char *name, void *arg)
{
	static const char prefix[] = "token.";
	Learned *learned = arg;
	JsonbValue unused;

	if (strncmp(name, prefix, strlen(prefix)) == 0 && integ_json_get(learned->fields, name + strlen(prefix), &unused))
		learned->name = pstrdup(name);
}

/* A method that tells where the service is must itself know where to ask. */
static void
check_learned(IntegManifestCheck *check, const JsonbContainer *info, const IntegMethod *method, const char *where)
{
	const JsonbContainer *request = integ_json_get_object(method->manifest, "request");
	Learned learned = {.fields = integ_json_get_object(info, "tokenFields")};
	IntegJsonWalk walk;
	JsonbValue key, value;

	if (learned.fields == NULL)
		return;
	integ_json_walk_begin(&walk, learned.fields);
	while (integ_json_walk_pair(&walk, &key, &value))
		(void) integ_compile_path(learned.fields, pnstrdup(key.val.string.val, key.val.string.len),
								  psprintf("%s/tokenFields", where));
	if (request == NULL || !integ_json_get(request, "baseUrl", &value))
	{
		integ_manifest_problem(check, psprintf("%s/method", where),
							   "the method \"%s\" tells where the service is, so its request needs a baseUrl of its own",
							   method->id);
		return;
	}
	integ_template_visit(integ_template_compile(&value, where), visit_learned, &learned);
	if (learned.name != NULL)
		integ_manifest_problem(check, psprintf("%s/method", where),
							   "the baseUrl of the method \"%s\" needs {%s}, which it is to tell", method->id, learned.name);
}

/* holder has the oauth2Config: the manifest itself or one of its authMethods. */
static void
check_account(IntegManifestCheck *check, const JsonbContainer *holder, const char *where)
{
	const JsonbContainer *oauth2 = integ_json_get_object(holder, "oauth2Config");
	const JsonbContainer *info = oauth2 == NULL ? NULL : integ_json_get_object(oauth2, "accountInfo");
	const IntegMethod *method;

	if (info == NULL)
		return;
	where = psprintf("%s/oauth2Config/accountInfo", where);
	method = check_named(check, info, "method", where, READS);
	check_input_given(check, info, where, method);
	(void) integ_compile_path(info, "id", where);
	(void) integ_compile_path(info, "name", where);
	if (method != NULL)
		check_learned(check, info, method, where);
}

static void
check_webhook(IntegManifestCheck *check)
{
	static const char *const keyed[] = {"hmac-sha1", "hmac-sha256", "hmac-sha512", "sha256", "ed25519",
										"rsa-sha256", "equal"};
	const JsonbContainer *webhook = integ_json_get_object(check->root, "webhook");
	const JsonbContainer *signature;
	JsonbValue unused;
	char *scheme;

	if (webhook == NULL)
		return;
	check_registration(check, webhook);
	signature = integ_json_get_object(webhook, "signature");
	scheme = signature == NULL ? NULL : integ_json_get_string(signature, "scheme");
	for (size_t i = 0; scheme != NULL && i < lengthof(keyed); i++)
		if (strcmp(scheme, keyed[i]) == 0 && !integ_json_get(signature, "header", &unused) &&
			!integ_json_get(signature, "query", &unused) && !integ_json_get(signature, "path", &unused))
			integ_manifest_problem(check, "/webhook/signature",
								   "scheme \"%s\" needs the header (or query, path) that has the signature", scheme);
}

void
integ_manifest_check_references(IntegManifestCheck *check)
{
	check_unique(check, check->root, "methods", "");
	check_unique(check, check->root, "entities", "");
	check_unique(check, check->root, "triggers", "");
	check_unique(check, check->root, "authMethods", "");
	for (int i = 0; i < check->definition->nmethods; i++)
		check_unique(check, check->definition->methods[i].manifest, "steps",
					 psprintf("/methods/%d", check->definition->methods[i].index));
	check_health(check);
	check_account(check, check->root, "");
	integ_manifest_each(check, check->root, "authMethods", "", check_account);
	integ_manifest_each(check, check->root, "entities", "", check_entity);
	integ_manifest_each(check, check->root, "triggers", "", check_trigger);
	check_webhook(check);
}
