/*
 * Tokens in the path of a call.
 */
#include "oauth/ensure.h"

#include "core/errors.h"
#include "core/guc.h"
#include "oauth/desk.h"
#include "oauth/oauth.h"
#include "utils/inval.h"

/* A token that expires while the request is on its way is of no use. */
#define EXPIRY_MARGIN (2 * USECS_PER_SEC)

static bool
uses_oauth(const IntegCall *call)
{
	return strcmp(call->auth->auth_type, "oauth2") == 0 ||
		   (call->auth->jwt != NULL && call->auth->jwt->exchange != NULL);
}

static IntegOauthAsk
make_ask(const IntegCall *call, IntegOauthKind kind, int64 seen)
{
	const IntegInstance *instance = call->instance;
	int64 timeout = call->options.timeout_ms > 0 ? call->options.timeout_ms : integ_request_timeout;

	return (IntegOauthAsk){.kind = kind,
						   .instance = instance->borrows != NULL ? *instance->borrows : instance->id,
						   .seen = seen,
						   .timeout_ms = call->options.asynchronous ? 0 : Min(timeout, integ_max_sync_wait),
						   .what = psprintf("token of \"%s\"", instance->instance_id)};
}

/* The caches must see what the dispatcher has committed. */
static void
ask_for_refresh(const IntegCall *call, int64 seen)
{
	IntegOauthAsk ask = make_ask(call, INTEG_OAUTH_REFRESH, seen);

	integ_oauth_ask(&ask);
	AcceptInvalidationMessages();
}

static void
refuse_never_authorized(const IntegCall *call)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
					errmsg("\"%s\" is not authorized yet", call->instance->instance_id),
					errhint("SELECT * FROM integ_oauth_start('%s') gives the page to send a person to.",
							call->instance->instance_id)));
}

static void
ensure_token(IntegCall *call)
{
	const IntegCredentialOwner *owner = &call->instance->credentials;
	TimestampTz expires_at;
	IntegOauthConfig config;

	if (integ_vault_describe(owner, "access_token", &call->token_version, &expires_at) &&
		(expires_at == DT_NOEND || expires_at > GetCurrentTimestamp() + EXPIRY_MARGIN))
		return;
	integ_oauth_config(call->instance, call->definition, &config);
	if (call->token_version == 0 && strcmp(config.grant_type, "authorization_code") == 0)
		refuse_never_authorized(call);
	if (strcmp(config.strategy, "manual") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
						errmsg("the token of \"%s\" has expired", call->instance->instance_id),
						errdetail("Its refreshStrategy is manual."),
						errhint("SELECT integ_oauth_refresh('%s').", call->instance->instance_id)));
	ask_for_refresh(call, call->token_version);
	if (!call->options.asynchronous)
	{
		(void) integ_vault_describe(owner, "access_token", &call->token_version, &expires_at);
		return;
	}
	call->token_pending = true;
	ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
					errmsg("the token of \"%s\" is being refreshed", call->instance->instance_id)));
}

/* Where the request goes, if a method of the definition tells that and has not been asked yet. */
static void
ensure_base_url(IntegCall *call)
{
	IntegOauthConfig config;
	MemoryContext old;

	if (call->instance->origin != NULL || call->exchange->base_url != NULL || call->exchange->is_elsewhere ||
		call->instance->borrows != NULL || call->options.asynchronous)
		return;
	integ_oauth_config(call->instance, call->definition, &config);
	if (!integ_oauth_learns(&config))
		return;
	integ_oauth_learn(call->actor, &config);
	old = MemoryContextSwitchTo(call->context);
	call->instance = integ_instance_resolve(call->actor, call->instance_name);
	MemoryContextSwitchTo(old);
}

void
integ_oauth_ensure(IntegCall *call)
{
	if (!uses_oauth(call))
		return;
	ensure_token(call);
	ensure_base_url(call);
}

bool
integ_oauth_repeat(IntegCall *call)
{
	if (!uses_oauth(call) || call->response == NULL || call->response->status != 401)
		return false;
	ask_for_refresh(call, call->token_version);
	call->token_pending = call->options.asynchronous;
	return true;
}

void
integ_oauth_give_up(IntegCall *call)
{
	IntegOauthAsk ask = make_ask(call, INTEG_OAUTH_REFUSED, call->token_version);
	IntegOauthTicket *outcome = palloc(sizeof(IntegOauthTicket));

	integ_oauth_try(&ask, outcome);
	pfree(outcome);
}
