/*
 * Sealed values: secrets that a client encrypted to the vault's certificate
 * with "openssl cms -encrypt", so that no statement has them in the clear.
 * CMS, RFC 5652 (EnvelopedData) and RFC 5083 (AuthEnvelopedData). Free of
 * PostgreSQL.
 */
#ifndef INTEG_VAULT_SEALED_H
#define INTEG_VAULT_SEALED_H

#include "vault/aead.h"

#define INTEG_SEALED_MAX (256 * 1024) /* bytes of a sealed value, in whichever form */
#define INTEG_SEALING_BITS 3072

/* One of the vault's key pairs. */
typedef struct IntegSealingKey
{
	const char *certificate; /* PEM */
	const uint8_t *key;		 /* private key, PKCS#8 DER; wiped by whoever has it */
	size_t key_len;
} IntegSealingKey;

/* Whether a text is meant as a sealed value: it begins with a PEM header of CMS. */
extern bool integ_sealed_recognize(const char *text, size_t len);

/*
 * Makes an RSA key pair and a certificate for it, signed with itself, that never
 * expires: it stands for the public key and vouches for nothing. name is its common
 * name (at most 64 bytes). *certificate is PEM text, NUL-terminated; both are malloc'ed
 * by OpenSSL: integ_sealing_release. Takes up to seconds.
 */
extern IntegCryptoStatus integ_sealing_make(const char *name, int bits, char **certificate, uint8_t **key,
											size_t *key_len);
extern void integ_sealing_release(char *certificate, uint8_t *key, size_t key_len);

/*
 * Opens a sealed value: PEM, base64 with or without line ends, or DER. Tries the key pairs
 * whose certificate it names. out has room for len bytes; *out_len is set. MALFORMED
 * where it is no CMS envelope, is larger than INTEG_SEALED_MAX or was made for none of the
 * keys; MISMATCH where it does not decrypt, for whatever reason: which one
 * would tell somebody who guesses at another's value (Bleichenbacher).
 */
extern IntegCryptoStatus integ_sealed_open(const IntegSealingKey *keys, size_t nkeys, const uint8_t *sealed,
										   size_t len, uint8_t *out, size_t *out_len);

#endif /* INTEG_VAULT_SEALED_H */
