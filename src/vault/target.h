/*
 * Whose credential is meant, and whether the caller may change it.
 */
#ifndef INTEG_VAULT_TARGET_H
#define INTEG_VAULT_TARGET_H

#include "postgres.h"

#include "access/actor.h"
#include "instances/instance.h"
#include "vault/vault.h"

typedef struct IntegVaultTarget
{
	IntegCredentialOwner owner;
	const IntegActor *actor;
	const char *user_id;		   /* of an instance in a user's context, else NULL */
	const IntegInstance *instance; /* NULL for the other kinds */
	const char *label;			   /* for messages: what the caller wrote */
} IntegVaultTarget;

/*
 * Resolves owner as people write it: an instance's handle, "definition:ID",
 * "webhook:UUID" or "endpoint:UUID". action completes "may not …" ("set credentials"). Must be
 * called outside integ_owner_enter. Everything is in CurrentMemoryContext. Raises IG404 where it is
 * unknown or not visible, IG400 for a malformed owner, IG403 where the caller may not change its credentials:
 * a definition's and a global instance's a superadmin, a client's its admins, a user's that user and the admins;
 * those of a borrowed instance nobody through the borrower.
 */
extern void integ_vault_target(const char *owner, const char *action, IntegVaultTarget *target);

#endif /* INTEG_VAULT_TARGET_H */
