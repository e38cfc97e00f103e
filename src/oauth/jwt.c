/*
 * JWTs that the client signs for its authorization server (RFC 7523).
 */
#include "oauth/oauth.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/uuid.h"
#include "jwt/jwt.h"
#include "vault/secret.h"

#define LIFETIME_S 300

static const char *
sign(const IntegOauthConfig *config, const char *algorithm_name, const Jsonb *claims)
{
	const char *key = integ_oauth_credential(config, "key", NULL);
	char *key_id = integ_json_get_string(&config->instance->config->root, "key_id");
	IntegJwtAlgorithm algorithm;
	IntegJwtKey text;
	IntegJsonBuilder header;
	char problem[256];
	char *token, *copy;

	if (key == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("\"%s\" has no key to sign with", config->instance->instance_id),
						errhint("Enter the private key (PEM) as the credential \"key\" of the instance or of definition:%s.",
								config->definition->id)));
	if (!integ_jwt_algorithm_from_name(algorithm_name, &algorithm))
		elog(ERROR, "unknown algorithm %s", algorithm_name);
	integ_json_begin_object(&header);
	integ_json_add_string(&header, "alg", algorithm_name);
	integ_json_add_string(&header, "typ", "JWT");
	integ_json_add_known(&header, "kid", key_id);
	text = (IntegJwtKey){.text = key, .len = strlen(key)};
	token = integ_jwt_sign(algorithm, &text, integ_json_print(integ_json_end(&header)), integ_json_print(claims),
						   problem, sizeof(problem));
	if (token == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the key of \"%s\" cannot sign", config->instance->instance_id), errdetail("%s", problem)));
	copy = integ_secret_alloc(strlen(token) + 1);
	strcpy(copy, token);
	explicit_bzero(token, strlen(token));
	free(token);
	return copy;
}

static void
add_times(IntegJsonBuilder *claims)
{
	pg_time_t now = timestamptz_to_time_t(GetCurrentTimestamp());
	pg_uuid_t id;

	integ_uuid_make(&id);
	integ_json_add_int(claims, "iat", now);
	integ_json_add_int(claims, "exp", now + LIFETIME_S);
	integ_json_add_string(claims, "jti", integ_uuid_text(&id));
}

const char *
integ_oauth_client_assertion(const IntegOauthConfig *config)
{
	const char *client = integ_oauth_credential(config, "client_id", NULL);
	const char *algorithm = integ_json_get_string(config->manifest, "assertionAlgorithm");
	IntegJsonBuilder claims;

	/* RFC 7523, section 3; the audience is the token endpoint or, where the manifest names it, the issuer. */
	integ_json_begin_object(&claims);
	integ_json_add_string(&claims, "iss", client);
	integ_json_add_string(&claims, "sub", client);
	integ_json_add_string(&claims, "aud", config->issuer != NULL ? config->issuer : config->token_url);
	add_times(&claims);
	return sign(config, algorithm != NULL ? algorithm : "RS256", integ_json_end(&claims));
}

/* One text of oauth2Config.assertion over the config, NULL where it is not there. */
static char *
claim_text(const IntegOauthConfig *config, const JsonbContainer *assertion, const char *key)
{
	IntegTemplateScope scope = {.config = &config->instance->config->root};
	JsonbValue source;

	if (assertion == NULL || !integ_json_get(assertion, key, &source))
		return NULL;
	return integ_template_text(integ_template_compile(&source, psprintf("/oauth2Config/assertion/%s", key)), &scope,
							   INTEG_TEMPLATE_RAW);
}

const char *
integ_oauth_bearer_assertion(const IntegOauthConfig *config)
{
	const JsonbContainer *assertion = integ_json_get_object(config->manifest, "assertion");
	const char *algorithm = integ_json_get_string(config->manifest, "assertionAlgorithm");
	const char *issuer = claim_text(config, assertion, "issuer");
	const char *subject = claim_text(config, assertion, "subject");
	const char *audience = claim_text(config, assertion, "audience");
	const char *scope = claim_text(config, assertion, "scope");
	IntegJsonBuilder claims;

	integ_json_begin_object(&claims);
	integ_json_add_string(&claims, "iss", issuer != NULL ? issuer : integ_oauth_credential(config, "client_id", NULL));
	integ_json_add_known(&claims, "sub", subject);
	integ_json_add_string(&claims, "aud", audience != NULL ? audience : config->token_url);
	integ_json_add_known(&claims, "scope", scope);
	add_times(&claims);
	return sign(config, algorithm != NULL ? algorithm : "RS256", integ_json_end(&claims));
}
