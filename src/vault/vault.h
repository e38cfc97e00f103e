/*
 * Credentials: encrypted rows, opened only in C and only for the origin they
 * belong to.
 */
#ifndef INTEG_VAULT_VAULT_H
#define INTEG_VAULT_VAULT_H

#include "postgres.h"

#include "datatype/timestamp.h"

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
 * Opens the credential name of owner for a request to origin, in CurrentMemoryContext. NULL where there is none.
 * origin NULL: for use that leaves no secret, such as checking a signature; allowed only where the row names no origin
 * at all, or belongs to a webhook. Raises IG403 where the row does not allow the origin, IG401 where it has expired,
 * IG500 where the master key is missing or wrong or the row does not authenticate. Rows are cached per backend as
 * ciphertext; no SPI once cached.
 *
 * While a rotation is not promoted there are two values: previous false opens the new
 * one, previous true the one before it, which is NULL at other times. A request is tried with the
 * new one; where the service refuses it (401), with the one before; where it accepts it,
 * integ_vault_promote.
 */
extern PGDLLEXPORT const IntegSecret *integ_vault_open(const IntegCredentialOwner *owner, const char *name,
													   const char *origin, bool previous);

/*
 * What is known of a credential without opening it: how often it was set (version), and when the current value expires
 * (DT_NOEND: never). False, and version 0, where there is none. No SPI once cached.
 */
extern PGDLLEXPORT bool integ_vault_describe(const IntegCredentialOwner *owner, const char *name, int64 *version,
											 TimestampTz *expires_at);

/* Whether any credential of the owner has a value before a rotation that is not promoted. No SPI once cached. */
extern PGDLLEXPORT bool integ_vault_rotating(const IntegCredentialOwner *owner);

/*
 * The owner's current credentials have just proven themselves: drops the ones before. Nothing in a
 * READ ONLY transaction; leaves to others rows that they have locked. Writes in the current
 * transaction, so a ROLLBACK keeps the ones before until the next success.
 */
extern PGDLLEXPORT void integ_vault_promote(const IntegCredentialOwner *owner);

#endif /* INTEG_VAULT_VAULT_H */
