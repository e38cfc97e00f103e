/*
 * Checking a manifest: where requests go, and how they authenticate.
 */
#include "definitions/check.h"

#include "core/json.h"
#include "http/url.h"

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The URL with a letter (or a port) for every placeholder, so that the rest of it can be judged. */
static char *
without_placeholders(const char *url)
{
	StringInfoData result;
	int depth = 0;
	char before = '\0';

	initStringInfo(&result);
	for (; *url != '\0'; url++)
	{
		if (*url == '{' && depth++ == 0)
			appendStringInfoChar(&result, before == ':' ? '1' : 'x');
		if (depth == 0)
			appendStringInfoChar(&result, *url);
		before = *url;
		if (*url == '}' && depth > 0)
			depth--;
	}
	return result.data;
}

/*
 * Whether the host ends in a placeholder right behind literal text: in https://example.com{config.site} a
 * value of ".evil.example" would make another host of it. Behind a dot or a colon it is a name or a port of its own.
 */
static bool
has_open_host(const char *url)
{
	const char *authority = strstr(url, "://") + 3;
	const char *end = authority, *last = NULL;
	int depth = 0;

	for (; *end != '\0' && (depth > 0 || strchr("/:", *end) == NULL); end++)
	{
		if (*end == '{' && depth++ == 0)
			last = end;
		else if (*end == '}' && depth > 0)
			depth--;
	}
	return last != NULL && last > authority && end[-1] == '}' && strchr(".}", last[-1]) == NULL;
}

/* An absolute URL without credentials; one that starts with a placeholder is judged when an instance renders it. */
void
integ_manifest_check_url(IntegManifestCheck *check, const JsonbContainer *object, const char *key, const char *where)
{
	char *url = integ_json_get_string(object, key);
	char *path = psprintf("%s/%s", where, key);
	char problem[256];
	char *origin;

	if (url == NULL)
		return;
	integ_manifest_check_template(check, object, key, where, INTEG_PLACEHOLDERS_URL, NULL);
	if (strcmp(key, "baseUrl") == 0 && strpbrk(url, "?#") != NULL)
		integ_manifest_problem(check, path, "a base URL has neither a query nor a fragment; parameters go into \"query\"");
	if (url[0] == '{')
		return;
	if (!starts_with(url, "http://") && !starts_with(url, "https://"))
	{
		integ_manifest_problem(check, path, "a URL must start with https:// or http://, or be a placeholder of config");
		return;
	}
	origin = integ_url_origin(without_placeholders(url), problem, sizeof(problem));
	if (origin == NULL)
		integ_manifest_problem(check, path, "%s", problem);
	else if (has_open_host(url))
		integ_manifest_problem(check, path,
							   "the host ends in a placeholder right behind literal text, so its value could make "
							   "another host of it; put a dot, a colon or a slash between them");
	free(origin);
}

static bool
needs_base_url(const IntegDefinition *definition)
{
	for (int i = 0; i < definition->nmethods; i++)
		if (integ_json_get_object(definition->methods[i].manifest, "request") != NULL ||
			integ_json_get_array(definition->methods[i].manifest, "steps") != NULL ||
			integ_json_get_object(definition->methods[i].manifest, "job") != NULL)
			return true;
	return false;
}

void
integ_manifest_check_base_url(IntegManifestCheck *check)
{
	const char *url = check->definition->base_url_source;

	if (url == NULL)
	{
		if (needs_base_url(check->definition))
			integ_manifest_problem(check, "/baseUrl", "methods with a request need a baseUrl");
		return;
	}
	integ_manifest_check_url(check, check->root, "baseUrl", "");
}

/* A request of longLived. */
static void
check_token_request(IntegManifestCheck *check, const JsonbContainer *long_lived, const char *key, const char *where)
{
	const JsonbContainer *request = integ_json_get_object(long_lived, key);
	char *path = psprintf("%s/longLived/%s", where, key);

	if (request == NULL)
		return;
	integ_manifest_check_url(check, request, "url", path);
	integ_manifest_check_template(check, request, "parameters", path, INTEG_PLACEHOLDERS_AUTH, NULL);
}

static void
check_oauth2(IntegManifestCheck *check, const JsonbContainer *config, const char *where)
{
	const JsonbContainer *long_lived = integ_json_get_object(config, "longLived");
	char *grant = integ_json_get_string(config, "grantType");
	JsonbValue unused;

	integ_manifest_check_url(check, config, "authorizationUrl", where);
	integ_manifest_check_url(check, config, "tokenUrl", where);
	integ_manifest_check_url(check, config, "revokeUrl", where);
	integ_manifest_check_url(check, config, "deviceAuthorizationUrl", where);
	if (long_lived != NULL)
	{
		check_token_request(check, long_lived, "exchange", where);
		check_token_request(check, long_lived, "renew", where);
	}
	if ((grant == NULL || strcmp(grant, "authorization_code") == 0) &&
		!integ_json_get(config, "authorizationUrl", &unused))
		integ_manifest_problem(check, where, "the grant \"authorization_code\" needs an authorizationUrl");
}

static void
check_jwt(IntegManifestCheck *check, const JsonbContainer *jwt, const char *where)
{
	static const char *const keys[] = {"key", "passphrase", "keyId", "header", "issuer",
									   "subject", "audience", "scope", "claims"};

	for (size_t i = 0; i < lengthof(keys); i++)
		integ_manifest_check_template(check, jwt, keys[i], where, INTEG_PLACEHOLDERS_AUTH, NULL);
	integ_manifest_check_url(check, jwt, "tokenUrl", where);
}

static void
check_part(IntegManifestCheck *check, const JsonbContainer *part, const char *where)
{
	char *in = integ_json_get_string(part, "in");
	char *value = integ_json_get_string(part, "value");

	integ_manifest_check_template(check, part, "value", where, INTEG_PLACEHOLDERS_AUTH, NULL);
	if (in == NULL || value == NULL || strcmp(in, "path") != 0)
		return;
	if (value[0] != '/' || value[1] == '/' || strpbrk(value, "?#\\") != NULL)
		integ_manifest_problem(check, psprintf("%s/value", where), "in a path it must start with one / and have no query");
}

/* A function says how to authenticate: nothing else does then. */
static void
check_function(IntegManifestCheck *check, const JsonbContainer *auth, const char *type, const char *where)
{
	static const char *const others[] = {"value", "username", "password", "jwt"};
	JsonbValue unused;

	if (!integ_json_get(auth, "function", &unused))
		return;
	if (strcmp(type, "custom") != 0)
		integ_manifest_problem(check, psprintf("%s/function", where), "only authType \"custom\" has a function");
	for (size_t i = 0; i < lengthof(others); i++)
		if (integ_json_get(auth, others[i], &unused))
			integ_manifest_problem(check, psprintf("%s/%s", where, others[i]), "the function says this");
}

/* What the defaults of an authType inject must be among the credentials as well. */
static void
check_default_credentials(IntegManifestCheck *check, const JsonbContainer *holder, const char *type, const char *where)
{
	static const struct
	{
		const char *auth_type;
		const char *credential;
		const char *instead; /* the member of "auth" that says it */
	} defaults[] = {{"bearer", "token", "value"},
					{"apikey", "key", "value"},
					{"basic", "username", "username"},
					{"basic", "password", "password"}};
	const JsonbContainer *auth = integ_json_get_object(holder, "auth");
	const JsonbContainer *schema = integ_json_get_object(holder, "credentialSchema");
	static const char *const whole[] = {"value", "parts", "function"};
	JsonbValue unused;

	if (schema == NULL)
		schema = integ_json_get_object(check->root, "credentialSchema");
	for (size_t i = 0; auth != NULL && i < lengthof(whole); i++)
		if (integ_json_get(auth, whole[i], &unused))
			return;
	for (size_t i = 0; i < lengthof(defaults); i++)
		if (strcmp(type, defaults[i].auth_type) == 0 &&
			(auth == NULL || !integ_json_get(auth, defaults[i].instead, &unused)) &&
			!integ_schema_may_have(schema, defaults[i].credential))
			integ_manifest_problem(check, psprintf("%s/credentialSchema", where),
								   "authType \"%s\" uses the credential \"%s\", which is missing here: name it so, or say"
								   " in \"auth\" what is sent",
								   defaults[i].auth_type, defaults[i].credential);
}

/* holder has authType, auth, oauth2Config: the manifest itself or one of its authMethods. */
static void
check_auth(IntegManifestCheck *check, const JsonbContainer *holder, const char *where)
{
	const JsonbContainer *auth = integ_json_get_object(holder, "auth");
	const JsonbContainer *oauth2 = integ_json_get_object(holder, "oauth2Config");
	const JsonbContainer *jwt = auth == NULL ? NULL : integ_json_get_object(auth, "jwt");
	char *type = integ_json_get_string(holder, "authType");
	char *path = psprintf("%s/auth", where);

	if (type == NULL)
		type = "none";
	if (auth != NULL)
	{
		check_part(check, auth, path);
		integ_manifest_each(check, auth, "parts", path, check_part);
		if (integ_json_get_array(auth, "parts") != NULL &&
			(integ_json_get_string(auth, "in") != NULL || integ_json_get_string(auth, "name") != NULL ||
			 integ_json_get_string(auth, "value") != NULL))
			integ_manifest_problem(check, path, "\"auth\" has either \"parts\" or \"in\", \"name\" and \"value\"");
		integ_manifest_check_template(check, auth, "username", path, INTEG_PLACEHOLDERS_AUTH, NULL);
		integ_manifest_check_template(check, auth, "password", path, INTEG_PLACEHOLDERS_AUTH, NULL);
		if (strcmp(type, "none") == 0)
			integ_manifest_problem(check, path, "authType \"none\" has no \"auth\"");
	}
	if (auth != NULL)
		check_function(check, auth, type, path);
	check_default_credentials(check, holder, type, where);
	if (jwt != NULL)
		check_jwt(check, jwt, psprintf("%s/jwt", path));
	else if (strcmp(type, "jwt") == 0)
		integ_manifest_problem(check, path, "authType \"jwt\" needs \"jwt\"");
	if (oauth2 != NULL)
		check_oauth2(check, oauth2, psprintf("%s/oauth2Config", where));
	else if (strcmp(type, "oauth2") == 0 && integ_json_get_object(check->root, "oauth2Config") == NULL)
		integ_manifest_problem(check, psprintf("%s/authType", where), "authType \"oauth2\" needs an oauth2Config");
}

void
integ_manifest_check_auths(IntegManifestCheck *check)
{
	JsonbValue unused;

	check_auth(check, check->root, "");
	integ_manifest_each(check, check->root, "authMethods", "", check_auth);
	if (integ_json_get(check->root, "authMethods", &unused) && integ_json_get(check->root, "auth", &unused))
		integ_manifest_problem(check, "/auth", "a manifest has either \"auth\" or \"authMethods\"");
}
