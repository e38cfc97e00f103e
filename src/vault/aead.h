/*
 * Authenticated encryption of a credential under a data key. Free of
 * PostgreSQL: OpenSSL only, nothing is raised, nothing is allocated for the
 * caller.
 *
 *	aes-256-cbc-hmac	IV (16) || AES-256-CBC with PKCS#7 padding || tag (32)
 *						tag = HMAC-SHA-256 over the length of the AAD (8 bytes,
 *						big-endian) || AAD || IV || ciphertext.
 *						Data key of 64 bytes: the first 32 encrypt, the last 32
 *						authenticate. Encrypt-then-MAC as in RFC 7518, section
 *						5.2, with the whole tag kept. pgcrypto's decrypt_iv and
 *						hmac open it (docs/vault.md).
 *	aes-256-gcm			IV (12) || ciphertext || tag (16), as in NIST SP
 *						800-38D. Data key of 32 bytes.
 *
 * A data key belongs to one algorithm, so that no AES key serves two modes.
 */
#ifndef INTEG_VAULT_AEAD_H
#define INTEG_VAULT_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INTEG_DATA_KEY_MAX 64		 /* bytes of the largest data key */
#define INTEG_AEAD_MAX (1024 * 1024) /* largest plaintext */
#define INTEG_AEAD_OVERHEAD 64		 /* no sealed value is larger than its plaintext by more */

typedef enum IntegVaultAlgorithm
{
	INTEG_VAULT_AES_CBC_HMAC, /* AES-256-CBC, then HMAC-SHA-256: what pgcrypto opens */
	INTEG_VAULT_AES_GCM		  /* AES-256-GCM */
} IntegVaultAlgorithm;

typedef enum IntegCryptoStatus
{
	INTEG_CRYPTO_OK,
	INTEG_CRYPTO_MALFORMED, /* too short, too long, not of the expected form */
	INTEG_CRYPTO_MISMATCH,	/* does not authenticate: another key, other data, or tampered with */
	INTEG_CRYPTO_FAILED		/* the library failed: no memory, no randomness, algorithm not available */
} IntegCryptoStatus;

/* A sentence without a full stop about the status; static. */
extern const char *integ_crypto_message(IntegCryptoStatus status);

/* The name stored in rows ("aes-256-cbc-hmac"); static. */
extern const char *integ_algorithm_name(IntegVaultAlgorithm algorithm);

/* The algorithm of a name; false where it is unknown. */
extern bool integ_algorithm_from_name(const char *name, IntegVaultAlgorithm *algorithm);

/* Bytes of a data key of the algorithm. */
extern size_t integ_algorithm_key_size(IntegVaultAlgorithm algorithm);

/*
 * Encrypts plain under key (integ_algorithm_key_size bytes) with a fresh random
 * IV and authenticates aad with it. out has room for plain_len + INTEG_AEAD_OVERHEAD
 * bytes; *out_len is set. MALFORMED where plain is larger than INTEG_AEAD_MAX.
 */
extern IntegCryptoStatus integ_aead_seal(IntegVaultAlgorithm algorithm, const uint8_t *key,
										 const uint8_t *aad, size_t aad_len,
										 const uint8_t *plain, size_t plain_len,
										 uint8_t *out, size_t *out_len);

/*
 * Opens what integ_aead_seal made. out has room for sealed_len bytes; *out_len
 * is set to the length of the plaintext. Unless OK is returned, out holds no
 * byte of the plaintext.
 */
extern IntegCryptoStatus integ_aead_open(IntegVaultAlgorithm algorithm, const uint8_t *key,
										 const uint8_t *aad, size_t aad_len,
										 const uint8_t *sealed, size_t sealed_len,
										 uint8_t *out, size_t *out_len);

/*
 * Opens it once more, from the same unchanged memory and with the same key: what integ_aead_open has authenticated
 * there is only decrypted. Of AES-GCM both are one step, which is done again.
 */
extern IntegCryptoStatus integ_aead_reopen(IntegVaultAlgorithm algorithm, const uint8_t *key,
										   const uint8_t *aad, size_t aad_len,
										   const uint8_t *sealed, size_t sealed_len,
										   uint8_t *out, size_t *out_len);

/* Overwrites len bytes in a way the compiler does not remove. */
extern void integ_wipe(void *data, size_t len);

#endif /* INTEG_VAULT_AEAD_H */
