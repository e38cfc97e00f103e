/*
 * What the SQL functions of the vault share.
 */
#include "vault/verbs.h"

#include "core/errors.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "vault/redact.h"

#define MAX_NAME 255

static void
check_name(const char *name)
{
	bool printable = true;

	for (const char *c = name; *c != '\0'; c++)
		printable = printable && (unsigned char) *c >= ' ' && *c != 0x7f;
	if (name[0] == '\0' || !printable || pg_mbstrlen(name) > MAX_NAME)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("this is no key of a credential"),
						errdetail("A key has 1 to %d characters and no control characters.", MAX_NAME),
						errhint("Use the key that the definition's credentialSchema names.")));
}

void
integ_vault_begin(FunctionCallInfo fcinfo, const char *function, const char *action, IntegVaultCall *call)
{
	integ_redact_statement();
	PreventCommandIfReadOnly(psprintf("%s()", function));
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s needs an owner and a key", function),
						errhint("For example %s('my_instance', 'token', …).", function)));
	call->name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	check_name(call->name);
	integ_vault_target(text_to_cstring(PG_GETARG_TEXT_PP(0)), action, &call->target);
}
