/*
 * Authenticated encryption of a credential under a data key.
 */
#include "vault/aead.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "core/hmac.h"

#define HALF_KEY 32
#define CBC_IV 16
#define CBC_BLOCK 16
#define HMAC_TAG INTEG_HMAC_SHA256_SIZE
#define GCM_IV 12
#define GCM_TAG 16

/* OpenSSL 3 looks an algorithm up by name in about a microsecond: once a process is enough. */
static EVP_CIPHER *cbc;
static EVP_CIPHER *gcm;

static const struct
{
	const char *name;
	size_t key_size;
} algorithms[] = {
	[INTEG_VAULT_AES_CBC_HMAC] = {"aes-256-cbc-hmac", 2 * HALF_KEY},
	[INTEG_VAULT_AES_GCM] = {"aes-256-gcm", HALF_KEY},
};

const char *
integ_crypto_message(IntegCryptoStatus status)
{
	switch (status)
	{
		case INTEG_CRYPTO_OK:
			return "nothing is wrong";
		case INTEG_CRYPTO_MALFORMED:
			return "it does not have the expected form";
		case INTEG_CRYPTO_MISMATCH:
			return "it does not authenticate: it was made with another key or for another place, or was changed";
		case INTEG_CRYPTO_FAILED:
			break;
	}
	return "the cryptographic library failed";
}

const char *
integ_algorithm_name(IntegVaultAlgorithm algorithm)
{
	return algorithms[algorithm].name;
}

bool
integ_algorithm_from_name(const char *name, IntegVaultAlgorithm *algorithm)
{
	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
	{
		if (strcmp(algorithms[i].name, name) == 0)
		{
			*algorithm = (IntegVaultAlgorithm) i;
			return true;
		}
	}
	return false;
}

size_t
integ_algorithm_key_size(IntegVaultAlgorithm algorithm)
{
	return algorithms[algorithm].key_size;
}

void
integ_wipe(void *data, size_t len)
{
	OPENSSL_cleanse(data, len);
}

static bool
prepare(void)
{
	if (cbc == NULL)
		cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (gcm == NULL)
		gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	return cbc != NULL && gcm != NULL;
}

/* The tag over the length of aad, aad, and body (IV and ciphertext). */
static bool
authenticate(const uint8_t *key, const uint8_t *aad, size_t aad_len, const uint8_t *body, size_t body_len,
			 uint8_t tag[HMAC_TAG])
{
	uint8_t length[8];
	const IntegHmacPart parts[] = {{length, sizeof(length)}, {aad, aad_len}, {body, body_len}};

	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t) ((uint64_t) aad_len >> (8 * (7 - i)));
	return integ_hmac_sha256(key, HALF_KEY, parts, 3, tag);
}

static IntegCryptoStatus
cbc_seal(const uint8_t *key, const uint8_t *aad, size_t aad_len, const uint8_t *plain, size_t plain_len,
		 uint8_t *out, size_t *out_len)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int first = 0, last = 0;
	bool done;

	done = context != NULL && RAND_bytes(out, CBC_IV) == 1 &&
		   EVP_EncryptInit_ex2(context, cbc, key, out, NULL) &&
		   EVP_EncryptUpdate(context, out + CBC_IV, &first, plain, (int) plain_len) &&
		   EVP_EncryptFinal_ex(context, out + CBC_IV + first, &last);
	EVP_CIPHER_CTX_free(context);
	*out_len = CBC_IV + (size_t) first + (size_t) last;
	if (!done || !authenticate(key + HALF_KEY, aad, aad_len, out, *out_len, out + *out_len))
		return INTEG_CRYPTO_FAILED;
	*out_len += HMAC_TAG;
	return INTEG_CRYPTO_OK;
}

/* Without a look at the tag. */
static IntegCryptoStatus
cbc_decrypt(const uint8_t *key, const uint8_t *sealed, size_t sealed_len, uint8_t *out, size_t *out_len)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int first = 0, last = 0;
	bool done;

	done = context != NULL && EVP_DecryptInit_ex2(context, cbc, key, sealed, NULL) &&
		   EVP_DecryptUpdate(context, out, &first, sealed + CBC_IV, (int) (sealed_len - CBC_IV - HMAC_TAG)) &&
		   EVP_DecryptFinal_ex(context, out + first, &last);
	EVP_CIPHER_CTX_free(context);
	*out_len = (size_t) first + (size_t) last;
	return done ? INTEG_CRYPTO_OK : INTEG_CRYPTO_FAILED;
}

static IntegCryptoStatus
cbc_open(const uint8_t *key, const uint8_t *aad, size_t aad_len, const uint8_t *sealed, size_t sealed_len,
		 bool authentic, uint8_t *out, size_t *out_len)
{
	uint8_t tag[HMAC_TAG];
	size_t body_len;

	if (sealed_len < CBC_IV + CBC_BLOCK + HMAC_TAG ||
		(sealed_len - CBC_IV - HMAC_TAG) % CBC_BLOCK != 0)
		return INTEG_CRYPTO_MALFORMED;
	body_len = sealed_len - HMAC_TAG;
	if (!authentic && !authenticate(key + HALF_KEY, aad, aad_len, sealed, body_len, tag))
		return INTEG_CRYPTO_FAILED;
	if (!authentic && CRYPTO_memcmp(tag, sealed + body_len, HMAC_TAG) != 0)
		return INTEG_CRYPTO_MISMATCH;
	return cbc_decrypt(key, sealed, sealed_len, out, out_len);
}

static IntegCryptoStatus
gcm_seal(const uint8_t *key, const uint8_t *aad, size_t aad_len, const uint8_t *plain, size_t plain_len,
		 uint8_t *out, size_t *out_len)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int length = 0;
	bool done;

	done = context != NULL && RAND_bytes(out, GCM_IV) == 1 &&
		   EVP_EncryptInit_ex2(context, gcm, key, out, NULL) &&
		   EVP_EncryptUpdate(context, NULL, &length, aad, (int) aad_len) &&
		   EVP_EncryptUpdate(context, out + GCM_IV, &length, plain, (int) plain_len) &&
		   EVP_EncryptFinal_ex(context, out + GCM_IV + plain_len, &length) &&
		   EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, GCM_TAG, out + GCM_IV + plain_len);
	EVP_CIPHER_CTX_free(context);
	*out_len = GCM_IV + plain_len + GCM_TAG;
	return done ? INTEG_CRYPTO_OK : INTEG_CRYPTO_FAILED;
}

static IntegCryptoStatus
gcm_open(const uint8_t *key, const uint8_t *aad, size_t aad_len, const uint8_t *sealed, size_t sealed_len,
		 uint8_t *out, size_t *out_len)
{
	EVP_CIPHER_CTX *context;
	uint8_t tag[GCM_TAG];
	size_t text_len;
	int length = 0;
	bool ready, authentic;

	if (sealed_len < GCM_IV + GCM_TAG)
		return INTEG_CRYPTO_MALFORMED;
	text_len = sealed_len - GCM_IV - GCM_TAG;
	memcpy(tag, sealed + GCM_IV + text_len, GCM_TAG);
	context = EVP_CIPHER_CTX_new();
	ready = context != NULL && EVP_DecryptInit_ex2(context, gcm, key, sealed, NULL) &&
			EVP_DecryptUpdate(context, NULL, &length, aad, (int) aad_len) &&
			EVP_DecryptUpdate(context, out, &length, sealed + GCM_IV, (int) text_len) &&
			EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, GCM_TAG, tag);
	authentic = ready && EVP_DecryptFinal_ex(context, out + text_len, &length);
	EVP_CIPHER_CTX_free(context);
	*out_len = text_len;
	if (!ready)
		return INTEG_CRYPTO_FAILED;
	return authentic ? INTEG_CRYPTO_OK : INTEG_CRYPTO_MISMATCH;
}

IntegCryptoStatus
integ_aead_seal(IntegVaultAlgorithm algorithm, const uint8_t *key, const uint8_t *aad, size_t aad_len,
				const uint8_t *plain, size_t plain_len, uint8_t *out, size_t *out_len)
{
	IntegCryptoStatus status;

	*out_len = 0;
	if (plain_len > INTEG_AEAD_MAX || aad_len > INTEG_AEAD_MAX)
		return INTEG_CRYPTO_MALFORMED;
	if (!prepare())
		status = INTEG_CRYPTO_FAILED;
	else if (algorithm == INTEG_VAULT_AES_GCM)
		status = gcm_seal(key, aad, aad_len, plain, plain_len, out, out_len);
	else
		status = cbc_seal(key, aad, aad_len, plain, plain_len, out, out_len);
	if (status != INTEG_CRYPTO_OK)
	{
		*out_len = 0;
		ERR_clear_error();
	}
	return status;
}

static IntegCryptoStatus
open_sealed(IntegVaultAlgorithm algorithm, const uint8_t *key, const uint8_t *aad, size_t aad_len,
			const uint8_t *sealed, size_t sealed_len, bool authentic, uint8_t *out, size_t *out_len)
{
	IntegCryptoStatus status;

	*out_len = 0;
	if (sealed_len > INTEG_AEAD_MAX + INTEG_AEAD_OVERHEAD || aad_len > INTEG_AEAD_MAX)
		return INTEG_CRYPTO_MALFORMED;
	if (!prepare())
		status = INTEG_CRYPTO_FAILED;
	else if (algorithm == INTEG_VAULT_AES_GCM)
		status = gcm_open(key, aad, aad_len, sealed, sealed_len, out, out_len);
	else
		status = cbc_open(key, aad, aad_len, sealed, sealed_len, authentic, out, out_len);
	if (status != INTEG_CRYPTO_OK)
	{
		/* GCM decrypts before it knows whether the tag matches. */
		OPENSSL_cleanse(out, sealed_len);
		*out_len = 0;
		ERR_clear_error();
	}
	return status;
}

IntegCryptoStatus
integ_aead_open(IntegVaultAlgorithm algorithm, const uint8_t *key, const uint8_t *aad, size_t aad_len,
				const uint8_t *sealed, size_t sealed_len, uint8_t *out, size_t *out_len)
{
	return open_sealed(algorithm, key, aad, aad_len, sealed, sealed_len, false, out, out_len);
}

IntegCryptoStatus
integ_aead_reopen(IntegVaultAlgorithm algorithm, const uint8_t *key, const uint8_t *aad, size_t aad_len,
				  const uint8_t *sealed, size_t sealed_len, uint8_t *out, size_t *out_len)
{
	return open_sealed(algorithm, key, aad, aad_len, sealed, sealed_len, true, out, out_len);
}
