/*
 * What a configuration comes to: checked, with defaults, and where requests go.
 */
#include "instances/site.h"

#include "core/errors.h"
#include "core/json.h"
#include "fmgr.h"
#include "http/url.h"
#include "utils/builtins.h"

/* config.defaults: by method, what a call leaves out. Not part of configSchema unless that says so. */
#define METHOD_DEFAULTS "defaults"

static bool
schema_declares(const IntegDefinition *definition, const char *schema_key, const char *property)
{
	const JsonbContainer *schema = integ_json_get_object(&definition->manifest->root, schema_key);
	const JsonbContainer *properties = schema == NULL ? NULL : integ_json_get_object(schema, "properties");
	JsonbValue unused;

	return properties != NULL && integ_json_get(properties, property, &unused);
}

/* The config as configSchema sees it. */
static const Jsonb *
without_method_defaults(const IntegDefinition *definition, const Jsonb *config)
{
	JsonbValue unused;

	if (!integ_json_get(&config->root, METHOD_DEFAULTS, &unused) ||
		schema_declares(definition, "configSchema", METHOD_DEFAULTS))
		return config;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_delete, JsonbPGetDatum(config),
											  CStringGetTextDatum(METHOD_DEFAULTS)));
}

static void
check_method_defaults(const IntegDefinition *definition, const Jsonb *config, const char *instance_id)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue defaults, key, value;

	if (without_method_defaults(definition, config) == config ||
		!integ_json_get(&config->root, METHOD_DEFAULTS, &defaults))
		return;
	if (defaults.type != jbvBinary || !JsonContainerIsObject(defaults.val.binary.data))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the config of \"%s\" is not valid", instance_id),
						errdetail("/defaults must be an object of objects, by method.")));
	iterator = JsonbIteratorInit(defaults.val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		char *method;

		if (token != WJB_KEY)
			continue;
		method = pnstrdup(key.val.string.val, key.val.string.len);
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("the config of \"%s\" is not valid", instance_id),
							errdetail("/defaults/%s must be an object.", method)));
		if (integ_definition_method(definition, method) == NULL)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("the config of \"%s\" is not valid", instance_id),
							errdetail("/defaults/%s: \"%s\" has no method \"%s\".", method, definition->id, method)));
	}
}

/* A secret in the config would be stored and shown in the clear. */
static void
check_no_credentials(const IntegDefinition *definition, const Jsonb *config, const char *instance_id)
{
	JsonbIterator *iterator = JsonbIteratorInit((JsonbContainer *) &config->root);
	JsonbIteratorToken token;
	JsonbValue key, value;

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		char *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(key.val.string.val, key.val.string.len);
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (schema_declares(definition, "credentialSchema", name) && !schema_declares(definition, "configSchema", name))
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("the config of \"%s\" is not valid", instance_id),
							errdetail("/%s is a credential.", name),
							errhint("Leave it out of the config, and enter it with integ_credential_set.")));
	}
}

void
integ_site_check(const IntegDefinition *definition, const Jsonb *config, const char *instance_id)
{
	if (!JB_ROOT_IS_OBJECT(config))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the config of \"%s\" must be a JSON object", instance_id)));
	check_no_credentials(definition, config, instance_id);
	check_method_defaults(definition, config, instance_id);
	if (definition->config != NULL)
		integ_schema_require(definition->config, without_method_defaults(definition, config),
							 psprintf("config of \"%s\"", instance_id));
}

/*
 * The manifest's literal part of the host must survive its placeholders: with
 * "https://{config.subdomain}.example.com", a subdomain "evil.example/" must not lead elsewhere.
 */
static bool
keeps_literal_host(const char *source, const char *origin)
{
	const char *authority = strstr(source, "://");
	const char *end, *literal;
	size_t len, origin_len = strlen(origin);

	if (authority == NULL || source[0] == '{')
		return true;
	authority += 3;
	end = authority + strcspn(authority, "/");
	literal = end;
	while (literal > authority && literal[-1] != '}')
		literal--;
	len = (size_t) (end - literal);
	return len <= origin_len && pg_strncasecmp(origin + origin_len - len, literal, len) == 0;
}

typedef struct TokenParts
{
	const Jsonb *token;
	bool known;
} TokenParts;

static void
look_for_part(const char *name, void *arg)
{
	TokenParts *parts = arg;
	static const char token[] = "token.";
	JsonbValue unused;

	if (strncmp(name, token, sizeof(token) - 1) == 0)
		parts->known &= parts->token != NULL &&
						integ_json_get(&parts->token->root, name + sizeof(token) - 1, &unused);
}

/* Whether the parts of the URL that come with the token answer are there. */
static bool
token_is_known(const IntegTemplate *url, const Jsonb *token)
{
	TokenParts parts = {.token = token, .known = true};

	integ_template_visit(url, look_for_part, &parts);
	return parts.known;
}

void
integ_site_url(const IntegTemplate *url, const char *source, const Jsonb *token, const char *instance_id,
			   IntegSite *site)
{
	IntegTemplateScope scope = {.config = &site->config->root, .token = token == NULL ? NULL : &token->root};
	char problem[256];
	char *origin, *composed = NULL;

	site->base_url = NULL;
	site->origin = NULL;
	if (!token_is_known(url, token))
		return;
	site->base_url = integ_template_text(url, &scope, INTEG_TEMPLATE_RAW);
	if (site->base_url == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the config of \"%s\" gives no base URL", instance_id),
						errdetail("The manifest's baseUrl is \"%s\".", source)));
	origin = integ_url_origin(site->base_url, problem, sizeof(problem));
	/* What no request could be composed with is refused now. */
	if (origin != NULL)
		composed = integ_url_compose(site->base_url, origin, "", NULL, problem, sizeof(problem));
	if (composed == NULL)
	{
		free(origin);
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the config of \"%s\" gives no usable base URL", instance_id),
						errdetail("The manifest's baseUrl is \"%s\". %s", source, problem)));
	}
	site->origin = pstrdup(origin);
	free(composed);
	free(origin);
	if (!keeps_literal_host(source, site->origin))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the config of \"%s\" leads to another host", instance_id),
						errdetail("The manifest's baseUrl is \"%s\"; the result would go to %s.", source,
								  site->origin)));
}

void
integ_site_render(const IntegDefinition *definition, const Jsonb *config, const Jsonb *token,
				  const char *instance_id, IntegSite *site)
{
	const Jsonb *own = without_method_defaults(definition, config);

	site->base_url = NULL;
	site->origin = NULL;
	site->config = config;
	if (definition->config != NULL)
		site->config = integ_config_over(integ_schema_fill(definition->config, own), config);
	if (definition->base_url != NULL)
		integ_site_url(definition->base_url, definition->base_url_source, token, instance_id, site);
}

const Jsonb *
integ_config_over(const Jsonb *own, const Jsonb *borrowed)
{
	if (borrowed == NULL)
		return own;
	if (own == NULL)
		return borrowed;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(borrowed), JsonbPGetDatum(own)));
}
