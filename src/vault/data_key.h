/*
 * Data keys: what encrypts credentials, wrapped by the master key in
 * integ.data_keys, unwrapped in the lockbox.
 */
#ifndef INTEG_VAULT_DATA_KEY_H
#define INTEG_VAULT_DATA_KEY_H

#include "postgres.h"

#include "utils/uuid.h"
#include "vault/aead.h"

/* A row of integ.data_keys as far as it takes to unwrap it. */
typedef struct IntegDataKey
{
	pg_uuid_t id;
	IntegVaultAlgorithm algorithm;
	char master_key_id[17];
	size_t wrapped_len;
	uint8_t wrapped[INTEG_DATA_KEY_MAX + 8];
} IntegDataKey;

/*
 * The unwrapped key (integ_algorithm_key_size bytes) in the lockbox, valid until the next
 * call. No SPI; once unwrapped, a comparison of ids. Raises IG500 where the master key is
 * missing or wrong, or the row is damaged.
 */
extern const uint8_t *integ_data_key_open(const IntegDataKey *key);

/* Fills key from the columns id, algorithm, master_key_id, wrapped at first_column of a result row. */
extern void integ_data_key_read(uint64 row, int first_column, IntegDataKey *key);

/*
 * The active key of integ.vault_algorithm, locked (FOR SHARE) until the end of the transaction so
 * that no rotation passes it by; made where there is none. Inside an owner scope.
 */
extern void integ_data_key_active(IntegDataKey *key);

/* Makes a new active key; the caller holds integ_data_key_lock. Inside an owner scope. */
extern void integ_data_key_make(IntegVaultAlgorithm algorithm, IntegDataKey *key);

/* Keeps others from making or rotating keys until the end of the transaction. Inside an owner scope. */
extern void integ_data_key_lock(void);

#endif /* INTEG_VAULT_DATA_KEY_H */
