/*
 * integ_disconnect: the connection stays, its credentials go.
 */
#include "instances/instance.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "instances/history.h"
#include "instances/lookup.h"
#include "miscadmin.h"
#include "oauth/oauth.h"
#include "utils/builtins.h"
#include "webhooks/registration.h"

PG_FUNCTION_INFO_V1(integ_disconnect);

const IntegInstance *
integ_instance_require_managed(const IntegActor *actor, const char *name, const char *action)
{
	const IntegInstance *instance = integ_instance_lookup(actor, name, INTEG_LOOKUP_MANAGE);
	bool own_client = strcmp(instance->client_id, actor->client) == 0;
	bool own = own_client && strcmp(instance->context_type, "user") == 0 && actor->user != NULL &&
			   strcmp(instance->context_id, actor->user) == 0;

	if (actor->level != INTEG_LEVEL_SUPERADMIN && !own && !(own_client && actor->level >= INTEG_LEVEL_ADMIN))
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("role \"%s\" may not %s \"%s\"", GetUserNameFromId(actor->role, false), action,
							   instance->instance_id),
						strcmp(instance->context_type, "global") == 0
							? errdetail("Global instances are managed by superadmins.")
							: errdetail("A client's instances are managed by its administrators.")));
	return instance;
}

/* At the service too, where it has been told of them and can be told to forget them. */
static void
revoke_tokens(const IntegInstance *instance)
{
	TimestampTz expires_at;
	int64 version;

	if (instance->borrows == NULL && integ_oauth_used(instance, integ_instance_definition(instance)) &&
		integ_vault_describe(&instance->credentials, "access_token", &version, &expires_at))
		(void) integ_oauth_revoke_at_service(instance, integ_max_sync_wait);
}

Datum
integ_disconnect(PG_FUNCTION_ARGS)
{
	static IntegQuery forget = {"DELETE FROM integ.credentials WHERE instance = $1", 1, {UUIDOID}};
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "disconnect instances");
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const IntegInstance *instance = integ_instance_require_managed(actor, name, "disconnect");
	static IntegQuery forget_tokens = {"DELETE FROM integ.oauth_tokens WHERE instance = $1", 1, {UUIDOID}};
	Datum id = UUIDPGetDatum(&instance->id);
	IntegOwnerScope scope;

	integ_instance_unregister(actor, instance);
	revoke_tokens(instance);

	integ_owner_enter(&scope);
	integ_instance_set_status(&instance->id, "disconnected", NULL, false);
	(void) integ_query(&forget, &id, NULL);
	(void) integ_query(&forget_tokens, &id, NULL);
	integ_owner_leave(&scope);
	integ_instance_history(actor, "instance.disconnect", "instance.disconnected", &instance->id,
						   instance->instance_id, instance->definition_id, instance->client_id);
	PG_RETURN_VOID();
}
