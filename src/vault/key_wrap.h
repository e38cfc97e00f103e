/*
 * The master key: its form, its identifier, and how it wraps data keys. Free of
 * PostgreSQL.
 *
 * Data keys are wrapped by AES key wrap (RFC 3394, NIST SP 800-38F): made for
 * keys, with an integrity check of its own, no IV that could repeat, and
 * "openssl enc -id-aes256-wrap" undoes it without any code of ours. It binds
 * no further data, and need not: what a data key opens names the key's id.
 */
#ifndef INTEG_VAULT_KEY_WRAP_H
#define INTEG_VAULT_KEY_WRAP_H

#include "vault/aead.h"

#define INTEG_MASTER_KEY_SIZE 32
#define INTEG_WRAP_OVERHEAD 8
#define INTEG_MASTER_KEY_ID_SIZE 17 /* 16 hex digits and NUL */

/*
 * Reads 64 hex digits, which a line end ("\n" or "\r\n") may follow. On false key is
 * wiped and *problem is a static sentence that contains nothing of the text.
 */
extern bool integ_master_key_parse(const char *text, size_t len, uint8_t key[INTEG_MASTER_KEY_SIZE],
								   const char **problem);

/*
 * The key's identifier, stored with what it wraps so that a wrong key is told
 * from a damaged row: the first 8 bytes of HMAC-SHA-256 over "integ master key",
 * as 16 hex digits.
 */
extern IntegCryptoStatus integ_master_key_id(const uint8_t key[INTEG_MASTER_KEY_SIZE],
											 char id[INTEG_MASTER_KEY_ID_SIZE]);

/* A new random data key of len bytes. */
extern IntegCryptoStatus integ_data_key_random(uint8_t *key, size_t len);

/*
 * Wraps a data key of len bytes (a multiple of 8, at most INTEG_DATA_KEY_MAX); out has
 * room for len + INTEG_WRAP_OVERHEAD.
 */
extern IntegCryptoStatus integ_key_wrap(const uint8_t master[INTEG_MASTER_KEY_SIZE], const uint8_t *key,
										size_t len, uint8_t *out);

/*
 * Unwraps into out, which has room for len; the data key has len - INTEG_WRAP_OVERHEAD
 * bytes. MISMATCH for another master key or a changed wrapping; then out is wiped.
 */
extern IntegCryptoStatus integ_key_unwrap(const uint8_t master[INTEG_MASTER_KEY_SIZE], const uint8_t *wrapped,
										  size_t len, uint8_t *out);

#endif /* INTEG_VAULT_KEY_WRAP_H */
