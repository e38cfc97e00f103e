/*
 * The master key: its form, its identifier, and how it wraps data keys.
 */
#include "vault/key_wrap.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "core/hex.h"

#define HEX_DIGITS (2 * INTEG_MASTER_KEY_SIZE)

bool
integ_master_key_parse(const char *text, size_t len, uint8_t key[INTEG_MASTER_KEY_SIZE], const char **problem)
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len != HEX_DIGITS)
	{
		*problem = len == 0			  ? "it is empty"
				   : len < HEX_DIGITS ? "it is shorter than 64 hexadecimal digits"
									  : "it is longer than 64 hexadecimal digits";
		OPENSSL_cleanse(key, INTEG_MASTER_KEY_SIZE);
		return false;
	}
	if (!integ_hex_decode(text, len, key))
	{
		*problem = "it has a character that is not a hexadecimal digit";
		OPENSSL_cleanse(key, INTEG_MASTER_KEY_SIZE);
		return false;
	}
	return true;
}

IntegCryptoStatus
integ_master_key_id(const uint8_t key[INTEG_MASTER_KEY_SIZE], char id[INTEG_MASTER_KEY_ID_SIZE])
{
	static const char purpose[] = "integ master key";
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int len;

	id[0] = '\0';
	if (HMAC(EVP_sha256(), key, INTEG_MASTER_KEY_SIZE, (const unsigned char *) purpose, sizeof(purpose) - 1,
			 digest, &len) == NULL)
	{
		ERR_clear_error();
		return INTEG_CRYPTO_FAILED;
	}
	for (int i = 0; i < (INTEG_MASTER_KEY_ID_SIZE - 1) / 2; i++)
		snprintf(id + 2 * i, 3, "%02x", digest[i]);
	OPENSSL_cleanse(digest, sizeof(digest));
	return INTEG_CRYPTO_OK;
}

IntegCryptoStatus
integ_data_key_random(uint8_t *key, size_t len)
{
	if (RAND_priv_bytes(key, (int) len) == 1)
		return INTEG_CRYPTO_OK;
	ERR_clear_error();
	return INTEG_CRYPTO_FAILED;
}

/* Key wrap as an EVP cipher: encrypts or decrypts all of in at once. */
static bool
run(const uint8_t *master, bool encrypt, const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-WRAP", NULL);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int length = 0;
	bool done = cipher != NULL && context != NULL;

	if (done)
	{
		EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
		done = EVP_CipherInit_ex2(context, cipher, master, NULL, encrypt, NULL) &&
			   EVP_CipherUpdate(context, out, &length, in, (int) in_len) && (size_t) length == out_len;
	}
	EVP_CIPHER_CTX_free(context);
	EVP_CIPHER_free(cipher);
	ERR_clear_error();
	return done;
}

static bool
is_key_size(size_t len)
{
	return len >= 16 && len <= INTEG_DATA_KEY_MAX && len % 8 == 0;
}

IntegCryptoStatus
integ_key_wrap(const uint8_t master[INTEG_MASTER_KEY_SIZE], const uint8_t *key, size_t len, uint8_t *out)
{
	if (!is_key_size(len))
		return INTEG_CRYPTO_MALFORMED;
	return run(master, true, key, len, out, len + INTEG_WRAP_OVERHEAD) ? INTEG_CRYPTO_OK : INTEG_CRYPTO_FAILED;
}

IntegCryptoStatus
integ_key_unwrap(const uint8_t master[INTEG_MASTER_KEY_SIZE], const uint8_t *wrapped, size_t len, uint8_t *out)
{
	if (len < INTEG_WRAP_OVERHEAD || !is_key_size(len - INTEG_WRAP_OVERHEAD))
		return INTEG_CRYPTO_MALFORMED;
	if (run(master, false, wrapped, len, out, len - INTEG_WRAP_OVERHEAD))
		return INTEG_CRYPTO_OK;
	OPENSSL_cleanse(out, len);
	return INTEG_CRYPTO_MISMATCH;
}
