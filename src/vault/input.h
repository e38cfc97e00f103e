/*
 * What a caller enters: the value in one of its forms, and the options.
 */
#ifndef INTEG_VAULT_INPUT_H
#define INTEG_VAULT_INPUT_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "vault/store.h"
#include "vault/target.h"

typedef struct IntegCredentialInput
{
	bool has_value; /* false for a rotate that only promotes or reverts */
	bool test;		/* the new value must prove itself at once */
	bool promote;
	bool revert;
	IntegCredentialValue value;
} IntegCredentialInput;

/*
 * Reads value (NULL where the caller gave none) and options. der: value is bytea
 * of a sealed value in DER. rotating: the options test, promote and revert exist. The plaintext is in
 * integ_secret_alloc memory of CurrentMemoryContext. Must be called outside
 * integ_owner_enter. Raises IG400 for a bad option or value, IG403 for "env" by who may not,
 * IG500 where the vault's private key cannot be opened.
 */
extern void integ_credential_input(const IntegVaultTarget *target, const char *function, const char *name,
								   struct varlena *value, bool der, const Jsonb *options, bool rotating,
								   IntegCredentialInput *input);

/*
 * Raises IG400 where the definition has no such credential, or its credentialSchema
 * asks for something else.
 */
extern void integ_credential_check(const IntegInstance *instance, const char *name, const char *value, size_t len);

#endif /* INTEG_VAULT_INPUT_H */
