/*
 * integ_credential_set: a credential's value from now on.
 */
#include "postgres.h"

#include "core/owner.h"
#include "fmgr.h"
#include "utils/jsonb.h"
#include "vault/audit.h"
#include "vault/input.h"
#include "vault/verbs.h"

PG_FUNCTION_INFO_V1(integ_credential_set);
PG_FUNCTION_INFO_V1(integ_credential_set_sealed);

static void
set(FunctionCallInfo fcinfo, bool der)
{
	static const char function[] = "integ_credential_set";
	struct varlena *value = PG_ARGISNULL(2) ? NULL : PG_GETARG_VARLENA_PP(2);
	Jsonb *options = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);
	IntegCredentialInput input;
	IntegOwnerScope scope;
	IntegVaultCall call;

	integ_vault_begin(fcinfo, function, "set credentials", &call);
	integ_credential_input(&call.target, function, call.name, value, der, options, false, &input);
	integ_owner_enter(&scope);
	integ_vault_store(&call.target.owner, call.name, &input.value, false);
	if (call.target.instance != NULL)
		integ_instance_credentials_entered(&call.target.instance->id);
	integ_owner_leave(&scope);
	integ_vault_audit(&call.target, "credential.set", call.name);
}

Datum
integ_credential_set(PG_FUNCTION_ARGS)
{
	set(fcinfo, false);
	PG_RETURN_VOID();
}

Datum
integ_credential_set_sealed(PG_FUNCTION_ARGS)
{
	set(fcinfo, true);
	PG_RETURN_VOID();
}
