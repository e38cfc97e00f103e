/*
 * What the definition says about OAuth, rendered for one instance.
 */
#include "oauth/oauth.h"

#include "core/errors.h"
#include "core/json.h"
#include "http/url.h"

static const JsonbContainer *
oauth2_of(const IntegInstance *instance, const IntegDefinition *definition)
{
	const IntegAuth *auth = integ_definition_auth(definition, instance == NULL ? NULL : instance->auth_method);

	if (auth != NULL && auth->jwt != NULL && auth->jwt->exchange != NULL)
		return auth->jwt->exchange;
	if (auth == NULL || strcmp(auth->auth_type, "oauth2") != 0)
		return NULL;
	return auth->oauth2 != NULL ? auth->oauth2 : integ_json_get_object(&definition->manifest->root, "oauth2Config");
}

bool
integ_oauth_used(const IntegInstance *instance, const IntegDefinition *definition)
{
	return oauth2_of(instance, definition) != NULL;
}

bool
integ_oauth_by_person(const IntegInstance *instance, const IntegDefinition *definition)
{
	const JsonbContainer *manifest = oauth2_of(instance, definition);
	const char *grant = manifest == NULL ? NULL : integ_json_get_string(manifest, "grantType");

	return manifest != NULL && (grant == NULL || strcmp(grant, "authorization_code") == 0);
}

static bool
is_loopback(const char *origin)
{
	const char *host = origin + strlen("http://");

	return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 || strcmp(host, "localhost") == 0 ||
		   strncmp(host, "localhost:", 10) == 0;
}

const char *
integ_oauth_endpoint(const IntegOauthConfig *config, const JsonbContainer *part, const char *key, const char **origin)
{
	const IntegInstance *instance = config->instance;
	IntegTemplateScope scope = {.config = instance == NULL ? NULL : &instance->config->root,
								.token = instance == NULL || instance->token_fields == NULL
											 ? NULL
											 : &instance->token_fields->root};
	JsonbValue source;
	char problem[256];
	char *url, *found;

	if (!integ_json_get(part, key, &source))
		return NULL;
	url = integ_template_text(integ_template_compile(&source, psprintf("/oauth2Config/%s", key)), &scope,
							  INTEG_TEMPLATE_RAW);
	found = url == NULL ? NULL : integ_url_origin(url, problem, sizeof(problem));
	if (found == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("\"%s\" has no usable %s", config->definition->id, key),
						url == NULL ? errdetail("A placeholder of it has no value.") : errdetail("%s", problem),
						errhint("Complete the instance's config, or the definition.")));
	if (strncmp(found, "http://", 7) == 0 && !is_loopback(found))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the %s of \"%s\" is not encrypted", key, config->definition->id),
						errdetail("It is at %s; secrets go over https only.", found),
						errhint("Correct the URL in the definition or the config.")));
	if (origin != NULL)
		*origin = pstrdup(found);
	free(found);
	return url;
}

static const char *
endpoint(const IntegOauthConfig *config, const char *key, const char **origin)
{
	return integ_oauth_endpoint(config, config->manifest, key, origin);
}

static const char *
choice(const JsonbContainer *manifest, const char *key, const char *fallback)
{
	const char *value = integ_json_get_string(manifest, key);

	return value != NULL ? value : fallback;
}

void
integ_oauth_config(const IntegInstance *instance, const IntegDefinition *definition, IntegOauthConfig *config)
{
	memset(config, 0, sizeof(*config));
	config->instance = instance;
	config->definition = definition;
	config->manifest = oauth2_of(instance, definition);
	if (config->manifest == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("\"%s\" does not use OAuth", instance->instance_id),
						errhint("Enter its credentials with integ_credential_set.")));
	config->authorization_url = endpoint(config, "authorizationUrl", NULL);
	config->token_url = endpoint(config, "tokenUrl", &config->token_origin);
	config->revoke_url = endpoint(config, "revokeUrl", NULL);
	config->device_url = endpoint(config, "deviceAuthorizationUrl", NULL);
	config->issuer = integ_json_get_string(config->manifest, "issuer");
	config->grant_type = choice(config->manifest, "grantType", "authorization_code");
	config->client_auth = choice(config->manifest, "tokenEndpointAuthMethod", "client_secret_basic");
	config->strategy = choice(config->manifest, "refreshStrategy", "automatic");
	config->separator = choice(config->manifest, "scopeSeparator", " ");
	config->long_lived = integ_json_get_object(config->manifest, "longLived");
	config->pkce = integ_json_get_bool(config->manifest, "pkce", true);
}

const char *
integ_oauth_credential(const IntegOauthConfig *config, const char *name, const char *origin)
{
	const IntegInstance *instance = config->instance;
	const IntegCredentialOwner owners[] = {
		instance->credentials,
		{"definition", config->definition->id, instance->credentials.client_id},
		{"definition", config->definition->id, config->definition->client_id},
	};

	/* A private key signs and does not leave. */
	if (strcmp(name, "key") == 0)
		origin = NULL;
	else if (origin == NULL)
		origin = config->token_origin;
	for (size_t i = 0; i < lengthof(owners); i++)
	{
		const IntegSecret *secret = integ_vault_open(&owners[i], name, origin, false);

		if (secret != NULL)
			return secret->data;
	}
	return strcmp(name, "client_id") == 0 ? integ_json_get_string(&instance->config->root, name) : NULL;
}

const char **
integ_oauth_origins(const IntegDefinition *definition, const IntegInstance *instance, const char *name, int *count)
{
	static const char *const ours[] = {"client_id", "client_secret", "refresh_token", "key"};
	const bool is_client = strncmp(name, "client_", 7) == 0;
	IntegOauthConfig config = {.instance = instance, .definition = definition};
	const char **origins = palloc0((1 + INTEG_OAUTH_REISSUE_ORIGINS) * sizeof(char *));
	bool known = false;

	for (size_t i = 0; i < lengthof(ours); i++)
		known |= strcmp(name, ours[i]) == 0;
	config.manifest = oauth2_of(instance, definition);
	if (!known || config.manifest == NULL)
		return NULL;
	*count = 0;
	if (strcmp(name, "key") == 0)
		return origins;
	(void) endpoint(&config, "tokenUrl", &config.token_origin);
	origins[(*count)++] = config.token_origin;
	config.long_lived = integ_json_get_object(config.manifest, "longLived");
	if (is_client)
		integ_oauth_reissue_origins(&config, origins, count);
	return origins;
}

const char **
integ_oauth_scopes(const JsonbContainer *array, int *count)
{
	const char **scopes;

	*count = 0;
	if (array == NULL)
		return palloc0(sizeof(char *));
	scopes = palloc0((JsonContainerSize(array) + 1) * sizeof(char *));
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer((JsonbContainer *) array, i);

		if (value->type == jbvString)
			scopes[(*count)++] = pnstrdup(value->val.string.val, value->val.string.len);
	}
	return scopes;
}
