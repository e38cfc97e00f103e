/*
 * integ_credential_rotate: a new value beside the one before, until it has
 * proven itself (dual read).
 *
 *	value		the new one is current, the one before is previous; with
 *				"test" the instance's health check is called with it, and
 *				an error undoes all where it does not succeed
 *	promote		the one before is dropped; also what a call that
 *				succeeds with the new one does (integ_vault_promote)
 *	revert		the new one is dropped, the one before is current again
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "vault/audit.h"
#include "vault/input.h"
#include "vault/verbs.h"

/* The function of src/execute/health.c. */
extern PGDLLEXPORT Datum integ_test(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(integ_credential_rotate);
PG_FUNCTION_INFO_V1(integ_credential_rotate_sealed);

static void
finish(const IntegVaultCall *call, bool promote)
{
	/* Both rows are locked, whichever is kept. */
	static IntegQuery lock = {
		"SELECT state FROM integ.credentials WHERE owner_id = $1 AND owner_kind = $2 AND client_id = $3 AND name = $4 "
		"AND EXISTS (SELECT FROM integ.credentials p WHERE p.owner_id = $1 AND p.owner_kind = $2 AND p.client_id = $3 "
		"AND p.name = $4 AND p.state = 'previous') ORDER BY state FOR UPDATE",
		4,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	static IntegQuery drop = {
		"DELETE FROM integ.credentials WHERE owner_id = $1 AND owner_kind = $2 AND client_id = $3 AND name = $4 "
		"AND state = $5",
		5,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	static IntegQuery restore = {
		"UPDATE integ.credentials SET state = 'current' "
		"WHERE owner_id = $1 AND owner_kind = $2 AND client_id = $3 AND name = $4",
		4,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	const IntegCredentialOwner *owner = &call->target.owner;
	Datum values[5] = {CStringGetTextDatum(owner->id), CStringGetTextDatum(owner->kind),
					   CStringGetTextDatum(owner->client_id), CStringGetTextDatum(call->name),
					   CStringGetTextDatum(promote ? "previous" : "current")};

	if (integ_query(&lock, values, NULL) != 2)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("the credential \"%s\" of %s is not being rotated", call->name, call->target.label),
						errdetail("It has no value from before: it was promoted already, or never rotated."),
						errhint("Start with integ_credential_rotate and a new value.")));
	(void) integ_query(&drop, values, NULL);
	if (!promote)
		(void) integ_query(&restore, values, NULL);
}

/*
 * Calls the instance's health check, which tries the new value and then the one
 * before: only a success with the new one ends the rotation.
 */
static void
require_proof(const IntegVaultCall *call)
{
	const char *instance = call->target.owner.id;
	Jsonb *health = DatumGetJsonbP(DirectFunctionCall1(integ_test, CStringGetTextDatum(instance)));
	char *problem = integ_json_get_string(&health->root, "error");

	if (!integ_vault_rotating(&call->target.owner))
		return;
	ereport(ERROR, (errcode(ERRCODE_INTEG_UNAUTHENTICATED),
					errmsg("the new value of the credential \"%s\" has not proven itself", call->name),
					errdetail("The health check of \"%s\" %s", call->target.instance->instance_id,
							  problem != NULL ? psprintf("failed: %s.", problem)
											  : "did not succeed with it, or its definition has none."),
					errhint("The value before is still in use. Without the option \"test\" the next call that "
							"succeeds is the proof.")));
}

static void
rotate(FunctionCallInfo fcinfo, bool der)
{
	static const char function[] = "integ_credential_rotate";
	struct varlena *value = PG_ARGISNULL(2) ? NULL : PG_GETARG_VARLENA_PP(2);
	Jsonb *options = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);
	IntegCredentialInput input;
	IntegOwnerScope scope;
	IntegVaultCall call;

	integ_vault_begin(fcinfo, function, "rotate credentials", &call);
	integ_credential_input(&call.target, function, call.name, value, der, options, true, &input);
	integ_owner_enter(&scope);
	if (input.has_value)
		integ_vault_store(&call.target.owner, call.name, &input.value, true);
	else
		finish(&call, input.promote);
	if (input.has_value && call.target.instance != NULL)
		integ_instance_credentials_entered(&call.target.instance->id);
	integ_owner_leave(&scope);
	if (input.test)
		require_proof(&call);
	integ_vault_audit(&call.target,
					  input.has_value ? "credential.rotate"
					  : input.promote ? "credential.promote"
									  : "credential.revert",
					  call.name);
}

Datum
integ_credential_rotate(PG_FUNCTION_ARGS)
{
	rotate(fcinfo, false);
	PG_RETURN_VOID();
}

Datum
integ_credential_rotate_sealed(PG_FUNCTION_ARGS)
{
	rotate(fcinfo, true);
	PG_RETURN_VOID();
}
