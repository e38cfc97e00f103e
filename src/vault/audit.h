/*
 * Lines of the audit about credentials and keys.
 */
#ifndef INTEG_VAULT_AUDIT_H
#define INTEG_VAULT_AUDIT_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "vault/target.h"

/* action as in IntegAuditEntry ("credential.set"); name is the credential's. */
extern void integ_vault_audit(const IntegVaultTarget *target, const char *action, const char *name);

/* Of the whole vault ("vault.rotate_key"); detail has no secret. */
extern void integ_vault_audit_key(const IntegActor *actor, const char *action, const Jsonb *detail);

#endif /* INTEG_VAULT_AUDIT_H */
