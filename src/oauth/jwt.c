/*
 * JWTs that the client signs for its authorization server.
 */
#include "oauth/oauth.h"

#include "core/errors.h"

static const char *
not_yet(const IntegOauthConfig *config)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
					errmsg("\"%s\" needs a signed assertion, which this version does not make for token endpoints",
						   config->definition->id)));
}

const char *
integ_oauth_client_assertion(const IntegOauthConfig *config)
{
	return not_yet(config);
}

const char *
integ_oauth_bearer_assertion(const IntegOauthConfig *config)
{
	return not_yet(config);
}
