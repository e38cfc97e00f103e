/*
 * Credentials of an owner as this backend caches them: ciphertext, with what
 * it takes to open it.
 */
#ifndef INTEG_VAULT_ROWS_H
#define INTEG_VAULT_ROWS_H

#include "postgres.h"

#include "utils/timestamp.h"
#include "vault/data_key.h"
#include "vault/vault.h"

typedef struct IntegCredentialRow
{
	IntegCredentialOwner owner;
	const char *name;
	int64 version;
	bool previous;			/* the value before a rotation that is not promoted */
	TimestampTz expires_at; /* DT_NOEND: never */
	int norigins;
	const char **origins;
	IntegDataKey key;
	IntegVaultAlgorithm algorithm;
	const uint8_t *aad; /* encoded identity */
	size_t aad_len;
	const uint8_t *ciphertext;
	size_t ciphertext_len;
	bool authentic; /* it was opened before, and nothing writes into this copy */
} IntegCredentialRow;

typedef struct IntegCredentialRows
{
	int count;
	IntegCredentialRow *items; /* sorted by name */
} IntegCredentialRows;

/*
 * The owner's credentials; count is 0 where there are none. Valid until the next call. No SPI
 * while integ_cache_generation(INTEG_CACHE_CREDENTIALS) stays.
 */
extern const IntegCredentialRows *integ_vault_rows(const IntegCredentialOwner *owner);

/*
 * Fills row, in context, from a result row with the columns owner_kind, owner_id, client_id, name, version,
 * algorithm, allowed_origins, ciphertext, expires_at, state and those of integ_data_key_read. Inside an owner scope.
 */
#define INTEG_CREDENTIAL_COLUMNS                                                                               \
	"c.owner_kind, c.owner_id, c.client_id, c.name, c.version, c.algorithm, c.allowed_origins, c.ciphertext, " \
	"c.expires_at, c.state, k.id, k.algorithm, k.master_key_id, k.wrapped "
#define INTEG_CREDENTIAL_COLUMN_COUNT 14
extern void integ_vault_read_row(uint64 result, IntegCredentialRow *row, MemoryContext context);

/*
 * Decrypts into out, which has room for row->ciphertext_len bytes; returns the length. Raises IG500
 * where the master key or the row is not sound. A row is authenticated when it is opened for the first time.
 */
extern size_t integ_vault_decrypt(IntegCredentialRow *row, uint8_t *out);

#endif /* INTEG_VAULT_ROWS_H */
