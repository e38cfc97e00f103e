/*
 * What a ciphertext is bound to: the additional authenticated data (AAD) of
 * its encryption. A ciphertext moved to another owner, client, name, version or
 * set of origins does not open. Free of PostgreSQL.
 */
#ifndef INTEG_VAULT_IDENTITY_H
#define INTEG_VAULT_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

typedef struct IntegCredentialIdentity
{
	const char *owner_kind;
	const char *owner_id;
	const char *client_id;
	const char *name;
	int64_t version;
	const char *const *origins; /* in the order in which the row has them */
	size_t norigins;
	const char *algorithm;
	const char *data_key; /* its uuid as 36 characters */
} IntegCredentialIdentity;

/* Bytes that integ_identity_encode writes. */
extern size_t integ_identity_size(const IntegCredentialIdentity *identity);

/*
 * Writes the canonical encoding: every text as its length (4 bytes, big-endian)
 * and its UTF-8 bytes, in the order "integ.credential.1", owner_kind, owner_id,
 * client_id, name, then version (8 bytes, big-endian), the number of origins
 * (4 bytes), each origin, algorithm, data_key. No two identities have the
 * same encoding, and SQL can build it with int4send and int8send.
 */
extern void integ_identity_encode(const IntegCredentialIdentity *identity, uint8_t *out);

#endif /* INTEG_VAULT_IDENTITY_H */
