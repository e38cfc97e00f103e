/*
 * integ_oauth_refresh and integ_oauth_revoke.
 */
#include "postgres.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "instances/history.h"
#include "oauth/job.h"
#include "oauth/oauth.h"
#include "utils/builtins.h"
#include "utils/inval.h"

PG_FUNCTION_INFO_V1(integ_oauth_refresh);
PG_FUNCTION_INFO_V1(integ_oauth_revoke);

static int64
parse_timeout(FunctionCallInfo fcinfo, const char *function)
{
	int64 timeout = integ_max_sync_wait;
	const IntegOption known[] = {{"timeout", INTEG_OPTION_DURATION_MS, &timeout}};

	integ_options_parse(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), known, lengthof(known), function);
	if (timeout <= 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("option \"timeout\" of %s must be positive", function)));
	return Min(timeout, integ_max_sync_wait);
}

static const IntegInstance *
find_managed(FunctionCallInfo fcinfo, const IntegActor *actor, const char *action, IntegOauthConfig *config)
{
	const IntegInstance *instance;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("which instance?")));
	instance = integ_instance_require_managed(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), action);
	integ_oauth_config(instance, integ_instance_definition(instance), config);
	return instance;
}

Datum
integ_oauth_refresh(PG_FUNCTION_ARGS)
{
	static IntegQuery query = {"SELECT expires_at FROM integ.oauth_tokens WHERE instance = $1", 1, {UUIDOID}};
	IntegOauthConfig config;
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "refresh tokens");
	const IntegInstance *instance = find_managed(fcinfo, actor, "refresh the token of", &config);
	IntegOauthAsk ask = {.kind = INTEG_OAUTH_REFRESH,
						 .instance = instance->id,
						 .seen = INTEG_OAUTH_ANYWAY,
						 .timeout_ms = parse_timeout(fcinfo, "integ_oauth_refresh"),
						 .what = psprintf("token of \"%s\"", instance->instance_id)};
	Datum id = UUIDPGetDatum(&instance->id), expires_at = (Datum) 0;
	bool isnull = true;
	IntegOwnerScope scope;

	integ_oauth_ask(&ask);
	AcceptInvalidationMessages();
	instance = find_managed(fcinfo, actor, "refresh the token of", &config);
	if (instance->origin == NULL && integ_oauth_learns(&config))
		integ_oauth_learn(actor, &config);
	integ_owner_enter(&scope);
	if (integ_query_latest(&query, &id, NULL) > 0)
		expires_at = integ_result_datum(0, 1, &isnull);
	integ_owner_leave(&scope);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(DatumGetTimestampTz(expires_at));
}

/* At the service first: without the tokens nobody could revoke them any more. */
bool
integ_oauth_revoke_at_service(const IntegInstance *instance, int64 timeout_ms)
{
	IntegOauthAsk ask = {.kind = INTEG_OAUTH_REVOKE,
						 .instance = instance->id,
						 .timeout_ms = timeout_ms,
						 .what = psprintf("revocation of the token of \"%s\"", instance->instance_id)};
	IntegOauthTicket *outcome = palloc(sizeof(IntegOauthTicket));

	integ_oauth_try(&ask, outcome);
	if (outcome->sqlerrcode == 0)
		return true;
	ereport(WARNING, (errcode(outcome->sqlerrcode), errmsg_internal("%s", outcome->message),
					  outcome->detail[0] != '\0' ? errdetail_internal("%s", outcome->detail) : 0,
					  errhint("The tokens are removed here all the same; revoke them at the service by hand.")));
	return false;
}

static void
forget(const pg_uuid_t *instance)
{
	static IntegQuery secrets = {
		"DELETE FROM integ.credentials WHERE instance = $1 AND name IN ('access_token', 'refresh_token')", 1, {UUIDOID}};
	static IntegQuery tokens = {"DELETE FROM integ.oauth_tokens WHERE instance = $1", 1, {UUIDOID}};
	Datum id = UUIDPGetDatum(instance);
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	(void) integ_query(&secrets, &id, NULL);
	(void) integ_query(&tokens, &id, NULL);
	integ_instance_set_status(instance, "disconnected", NULL, false);
	integ_owner_leave(&scope);
}

Datum
integ_oauth_revoke(PG_FUNCTION_ARGS)
{
	IntegOauthConfig config;
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "revoke tokens");
	const IntegInstance *instance = find_managed(fcinfo, actor, "revoke the token of", &config);
	bool revoked = integ_oauth_revoke_at_service(instance, parse_timeout(fcinfo, "integ_oauth_revoke"));

	forget(&instance->id);
	integ_instance_history(actor, "oauth.forget", "instance.disconnected", &instance->id, instance->instance_id,
						   instance->definition_id, instance->client_id);
	PG_RETURN_BOOL(revoked);
}
