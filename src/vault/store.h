/*
 * Writing credentials.
 */
#ifndef INTEG_VAULT_STORE_H
#define INTEG_VAULT_STORE_H

#include "postgres.h"

#include "utils/timestamp.h"
#include "vault/vault.h"

/* Largest secret, in bytes. */
#define INTEG_CREDENTIAL_MAX (64 * 1024)

typedef struct IntegCredentialValue
{
	const char *data;
	size_t len;				/* 1 to INTEG_CREDENTIAL_MAX */
	const char **origins;	/* canonical origins (integ_url_origin), sorted, without repetition */
	int norigins;			/* 0: it never leaves the server */
	const char *hint;		/* or NULL */
	TimestampTz expires_at; /* DT_NOEND: never */
	const char *user_id;	/* the user in whose context the owner is, or NULL */
	Oid role;				/* who sets it */
} IntegCredentialValue;

/* Most origins of one credential. */
#define INTEG_CREDENTIAL_ORIGINS_MAX 32

/*
 * Makes canonical origins those of the value, sorted and without repetition: they are part of what the ciphertext is
 * bound to. The array is used as it is and reordered. Raises IG400 where there are too many.
 */
extern void integ_vault_use_origins(IntegCredentialValue *value, const char **origins, int count);

/*
 * Encrypts and writes a value under the active data key, as the current one. rotate: keeps the one
 * before as "previous" until it is promoted; a value that was never promoted is replaced, so
 * that the one kept is always one that had proven itself. Without: drops it. Inside
 * an owner scope. Raises IG404 where rotate finds nothing to rotate, IG409 where another session sets
 * it for the first time at the same moment, IG500 where the master key is missing or wrong.
 */
extern void integ_vault_store(const IntegCredentialOwner *owner, const char *name, const IntegCredentialValue *value,
							  bool rotate);

/*
 * Encrypts plain for a row; ciphertext (at least plain_len + INTEG_AEAD_OVERHEAD bytes of bytea payload) is
 * palloc'ed. Opens the data key; raises IG500.
 */
struct IntegDataKey;
extern bytea *integ_vault_encrypt(const struct IntegDataKey *key, const IntegCredentialOwner *owner, const char *name,
								  int64 version, const char *const *origins, int norigins, const char *plain,
								  size_t plain_len);

#endif /* INTEG_VAULT_STORE_H */
