/*
 * integ_credential_delete.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "vault/audit.h"
#include "vault/verbs.h"

PG_FUNCTION_INFO_V1(integ_credential_delete);

Datum
integ_credential_delete(PG_FUNCTION_ARGS)
{
	static IntegQuery delete = {
		"DELETE FROM integ.credentials WHERE owner_id = $1 AND owner_kind = $2 AND client_id = $3 AND name = $4",
		4,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	IntegOwnerScope scope;
	IntegVaultCall call;
	Datum values[4];
	uint64 deleted;

	integ_vault_begin(fcinfo, "integ_credential_delete", "delete credentials", &call);
	values[0] = CStringGetTextDatum(call.target.owner.id);
	values[1] = CStringGetTextDatum(call.target.owner.kind);
	values[2] = CStringGetTextDatum(call.target.owner.client_id);
	values[3] = CStringGetTextDatum(call.name);
	integ_owner_enter(&scope);
	deleted = integ_query(&delete, values, NULL);
	integ_owner_leave(&scope);
	if (deleted == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND),
						errmsg("%s has no credential \"%s\"", call.target.label, call.name),
						errhint("integ.credential_hints lists what there is.")));
	integ_vault_audit(&call.target, "credential.delete", call.name);
	PG_RETURN_VOID();
}
