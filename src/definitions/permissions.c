/*
 * integ_permissions: what a definition reaches, for whoever agrees to it.
 *
 * What the manifest declares is shown with what it does: hosts of its URLs, SQL
 * functions that it runs, credentials that it asks for.
 */
#include "definitions/definition.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_permissions);

/* Texts, each once, in the order in which they were found. */
static List *
add_text(List *texts, char *text)
{
	ListCell *cell;

	foreach (cell, texts)
		if (strcmp(lfirst(cell), text) == 0)
			return texts;
	return lappend(texts, text);
}

/* The strings of an array, and of arrays within. */
static List *
add_strings(List *texts, const JsonbContainer *list)
{
	for (uint32 i = 0; list != NULL && i < JsonContainerSize(list); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer((JsonbContainer *) list, i);

		texts = item->type == jbvBinary ? add_strings(texts, item->val.binary.data)
										: add_text(texts, integ_json_value_text(item));
	}
	return texts;
}

static List *
add_keys(List *texts, const JsonbContainer *object)
{
	IntegJsonWalk walk;
	JsonbValue key, value;

	if (object == NULL)
		return texts;
	integ_json_walk_begin(&walk, object);
	while (integ_json_walk_pair(&walk, &key, &value))
		texts = add_text(texts, pnstrdup(key.val.string.val, key.val.string.len));
	return texts;
}

static void
put_texts(IntegJsonBuilder *builder, const char *key, const List *texts)
{
	ListCell *cell;

	integ_json_open_array(builder, key);
	foreach (cell, texts)
		integ_json_add_string(builder, NULL, lfirst(cell));
	integ_json_close(builder);
}

/* What the manifest's requests and functions turn out to be. */
typedef struct Reach
{
	List *hosts;
	List *functions;
} Reach;

/* The host and port of a URL, as written; one that starts with a placeholder is the config's to say. */
static void
reach_url(Reach *reach, const JsonbValue *url)
{
	char *text = integ_json_value_text(url);
	char *host = strstr(text, "://");

	if (host == NULL || text[0] == '{')
		return;
	host += 3;
	host[strcspn(host, "/")] = '\0';
	reach->hosts = add_text(reach->hosts, host);
}

static bool
is_key(const JsonbValue *key, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (integ_json_key_compare(key->val.string.val, key->val.string.len, names[i], (int) strlen(names[i])) == 0)
			return true;
	return false;
}

/* Every URL and function of the manifest; what users write or services answer is left out. */
static void
reach_into(Reach *reach, const JsonbContainer *container)
{
	static const char *const urls[] = {"baseUrl", "authorizationUrl", "tokenUrl", "revokeUrl", "deviceAuthorizationUrl"};
	static const char *const functions[] = {"before", "after", "function"};
	static const char *const data[] = {"inputSchema", "outputSchema", "configSchema", "credentialSchema", "sourceSchema",
									   "schema", "payloadSchema", "query", "headers", "body", "graphql", "input"};
	IntegJsonWalk walk;
	JsonbValue key, value;

	check_stack_depth();
	integ_json_walk_begin(&walk, container);
	while (walk.object ? integ_json_walk_pair(&walk, &key, &value) : integ_json_walk_element(&walk, &value))
	{
		if (value.type == jbvBinary && !(walk.object && is_key(&key, data, lengthof(data))))
			reach_into(reach, value.val.binary.data);
		else if (walk.object && value.type == jbvString && is_key(&key, urls, lengthof(urls)))
			reach_url(reach, &value);
		else if (walk.object && value.type == jbvString && is_key(&key, functions, lengthof(functions)))
			reach->functions = add_text(reach->functions, integ_json_value_text(&value));
	}
}

/* Declared scopes, those asked for at the consent screen, and those of single methods. */
static List *
collect_scopes(const IntegDefinition *definition, const JsonbContainer *permissions)
{
	List *scopes = permissions == NULL ? NIL : add_strings(NIL, integ_json_get_array(permissions, "scopes"));

	for (int i = 0; i < definition->nauths; i++)
		if (definition->auths[i].oauth2 != NULL)
			scopes = add_strings(scopes, integ_json_get_array(definition->auths[i].oauth2, "scopes"));
	for (int i = 0; i < definition->nmethods; i++)
		scopes = add_strings(scopes, integ_json_get_array(definition->methods[i].manifest, "requiredScopes"));
	return scopes;
}

/* The names that credentialSchema has, of the definition and of each way to authenticate. */
static List *
collect_credentials(const JsonbContainer *manifest)
{
	const JsonbContainer *methods = integ_json_get_array(manifest, "authMethods");
	const JsonbContainer *schema = integ_json_get_object(manifest, "credentialSchema");
	List *names = schema == NULL ? NIL : add_keys(NIL, integ_json_get_object(schema, "properties"));

	for (uint32 i = 0; methods != NULL && i < JsonContainerSize(methods); i++)
	{
		JsonbValue *method = getIthJsonbValueFromContainer((JsonbContainer *) methods, i);

		schema = integ_json_get_object(method->val.binary.data, "credentialSchema");
		if (schema != NULL)
			names = add_keys(names, integ_json_get_object(schema, "properties"));
	}
	return names;
}

static List *
collect_auth_types(const IntegDefinition *definition)
{
	List *types = NIL;

	for (int i = 0; i < definition->nauths; i++)
		types = add_text(types, pstrdup(definition->auths[i].auth_type));
	return types;
}

static List *
collect_methods(const IntegDefinition *definition, bool writes, bool approval)
{
	List *ids = NIL;

	for (int i = 0; i < definition->nmethods; i++)
		if (definition->methods[i].is_write == writes && (!approval || definition->methods[i].approval_required))
			ids = lappend(ids, pstrdup(definition->methods[i].id));
	return ids;
}

Datum
integ_permissions(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "read definitions");
	char *id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const IntegDefinition *definition = integ_definition_get(id, NULL);
	const JsonbContainer *manifest, *permissions;
	Reach reach = {NIL, NIL};
	IntegJsonBuilder builder;

	if (definition == NULL || !integ_definition_visible(definition, actor))
		integ_definition_unknown(id);
	manifest = &definition->manifest->root;
	permissions = integ_json_get_object(manifest, "permissions");
	if (permissions != NULL)
		reach.hosts = add_strings(NIL, integ_json_get_array(permissions, "hosts"));
	reach_into(&reach, manifest);

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "base_url", definition->base_url_source);
	put_texts(&builder, "hosts", reach.hosts);
	put_texts(&builder, "data", permissions == NULL ? NIL : add_strings(NIL, integ_json_get_array(permissions, "data")));
	put_texts(&builder, "auth", collect_auth_types(definition));
	put_texts(&builder, "credentials", collect_credentials(manifest));
	put_texts(&builder, "scopes", collect_scopes(definition, permissions));
	put_texts(&builder, "functions", reach.functions);
	integ_json_add_bool(&builder, "webhooks", integ_json_get_object(manifest, "webhook") != NULL);
	put_texts(&builder, "reads", collect_methods(definition, false, false));
	put_texts(&builder, "writes", collect_methods(definition, true, false));
	put_texts(&builder, "approval_required", collect_methods(definition, true, true));
	PG_RETURN_JSONB_P(integ_json_end(&builder));
}
