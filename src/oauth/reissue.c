/*
 * Long-lived tokens without a refresh token: the service exchanges the access token that it gave for one that lives
 * for weeks, and that one, before it expires, for the next (Meta's "fb_exchange_token", "ig_exchange_token" and
 * "ig_refresh_token": https://developers.facebook.com/docs/facebook-login/guides/access-tokens/get-long-lived).
 */
#include "oauth/oauth.h"

#include "core/errors.h"
#include "core/json.h"
#include "http/url.h"
#include "lib/stringinfo.h"
#include "vault/secret.h"

/* Where the secrets of a request may go. */
typedef struct Reissue
{
	const IntegOauthConfig *config;
	const char *origin;
} Reissue;

static const JsonbContainer *
step_of(const IntegOauthConfig *config, const char *name)
{
	return config->long_lived == NULL ? NULL : integ_json_get_object(config->long_lived, name);
}

void
integ_oauth_reissue_origins(const IntegOauthConfig *config, const char **origins, int *count)
{
	static const char *const steps[] = {"exchange", "renew"};

	for (size_t i = 0; i < lengthof(steps); i++)
	{
		const JsonbContainer *step = step_of(config, steps[i]);

		if (step != NULL)
			(void) integ_oauth_endpoint(config, step, "url", &origins[(*count)++]);
	}
}

static const char *
secret(void *arg, const char *name)
{
	const Reissue *reissue = arg;
	const IntegSecret *token;

	if (strcmp(name, "access_token") != 0)
		return integ_oauth_credential(reissue->config, name, reissue->origin);
	token = integ_vault_open(&reissue->config->instance->credentials, name, reissue->origin, false);
	return token == NULL ? NULL : token->data;
}

static char *
render_parameters(const Reissue *reissue, const JsonbContainer *step)
{
	const IntegInstance *instance = reissue->config->instance;
	IntegTemplateScope scope = {.config = &instance->config->root,
								.token = instance->token_fields == NULL ? NULL : &instance->token_fields->root,
								.secret = secret,
								.secret_arg = unconstify(Reissue *, reissue)};
	JsonbValue source;

	if (!integ_json_get(step, "parameters", &source))
		return pstrdup("");
	return integ_template_query(integ_template_compile(&source, "/oauth2Config/longLived/parameters"), &scope, NULL);
}

/* url?parameters in memory that is wiped; parameters is wiped here. */
static const char *
join(const char *url, char *parameters)
{
	size_t room = strlen(url) + strlen(parameters) + 2;
	char *joined = integ_secret_alloc(room);

	snprintf(joined, room, "%s%c%s", url, strchr(url, '?') != NULL ? '&' : '?', parameters);
	explicit_bzero(parameters, strlen(parameters));
	return joined;
}

void
integ_oauth_reissue_request(const IntegOauthConfig *config, bool long_lived, IntegHttpRequest *request)
{
	const JsonbContainer *renew = step_of(config, "renew");
	const JsonbContainer *step = long_lived && renew != NULL ? renew : step_of(config, "exchange");
	char *method = integ_json_get_string(step, "method");
	Reissue reissue = {.config = config};
	const char *url = integ_oauth_endpoint(config, step, "url", &reissue.origin);
	char *parameters = render_parameters(&reissue, step);
	StringInfo form;

	if (method == NULL || strcmp(method, "GET") == 0)
	{
		integ_oauth_plain_request(config, "GET", join(url, parameters), NULL, request);
		return;
	}
	form = integ_oauth_form();
	appendStringInfoString(form, parameters);
	explicit_bzero(parameters, strlen(parameters));
	integ_oauth_plain_request(config, "POST", url, form, request);
}
