/*
 * Credentials: encrypted rows, opened only in C and only for the origin they
 * belong to.
 */
#ifndef INTEG_VAULT_VAULT_H
#define INTEG_VAULT_VAULT_H

#include "postgres.h"

/* Who a credential belongs to, as in integ.credentials. */
typedef struct IntegCredentialOwner
{
	const char *kind;	   /* definition, instance, webhook, endpoint */
	const char *id;		   /* the definition's id, or the uuid of the others as text */
	const char *client_id; /* '*' for global */
} IntegCredentialOwner;

/*
 * A decrypted value. data is NUL-terminated beyond len; it is wiped
 * when the memory context it was opened in is reset or deleted.
 */
typedef struct IntegSecret
{
	const char *name;
	const char *data;
	size_t len;
} IntegSecret;

/*
 * Opens the credential name of owner for a request to origin, in CurrentMemoryContext.
 * NULL where there is none. Raises IG403 where the row does not allow the
 * origin, IG500 where the master key is missing or wrong or the row does not authenticate.
 * Rows are cached per backend as ciphertext; no SPI once cached. previous: the value before a rotation that is
 * not yet promoted (dual read), NULL where there is none.
 */
extern const IntegSecret *integ_vault_open(const IntegCredentialOwner *owner, const char *name,
										   const char *origin, bool previous);

/* Names of the owner's credentials, NULL-terminated, in CurrentMemoryContext. */
extern const char **integ_vault_names(const IntegCredentialOwner *owner);

#endif /* INTEG_VAULT_VAULT_H */
