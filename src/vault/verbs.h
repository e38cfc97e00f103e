/*
 * What the SQL functions of the vault share.
 */
#ifndef INTEG_VAULT_VERBS_H
#define INTEG_VAULT_VERBS_H

#include "postgres.h"

#include "fmgr.h"
#include "vault/target.h"

/* The owner and key of a call, checked; the first two arguments of function. */
typedef struct IntegVaultCall
{
	IntegVaultTarget target;
	const char *name;
} IntegVaultCall;

/*
 * Reads and authorizes the first two arguments, and hides the statement. action
 * completes "may not …" ("set credentials"). Raises what integ_vault_target does, IG400 for a missing owner or a
 * bad key.
 */
extern void integ_vault_begin(FunctionCallInfo fcinfo, const char *function, const char *action,
							  IntegVaultCall *call);

#endif /* INTEG_VAULT_VERBS_H */
