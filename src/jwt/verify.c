/*
 * Verifying a signature that somebody else made.
 */
#include "jwt/jwt.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "jwt/key.h"

static bool
verify_hmac(const IntegJwtKind *kind, const uint8_t *key, size_t key_len, const char *input, size_t input_len,
			const uint8_t *signature, size_t signature_len)
{
	uint8_t expected[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	return HMAC(EVP_get_digestbyname(kind->digest), key, (int) key_len, (const uint8_t *) input, input_len, expected,
				&len) != NULL &&
		   len == signature_len && CRYPTO_memcmp(expected, signature, len) == 0;
}

/* A public key in PEM of the algorithm's kind; NULL where it is none. */
static EVP_PKEY *
public_key(const IntegJwtKind *kind, const uint8_t *bytes, size_t len)
{
	BIO *bio = len > INT_MAX ? NULL : BIO_new_mem_buf(bytes, (int) len);
	EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	char group[64];
	size_t group_len = 0;

	BIO_free(bio);
	if (key == NULL)
		return NULL;
	if (EVP_PKEY_is_a(key, kind->key) == 1 &&
		(kind->curve == NULL || (EVP_PKEY_get_group_name(key, group, sizeof(group), &group_len) == 1 &&
								 strcmp(group, kind->curve) == 0)))
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

/* RFC 7518, section 3.4, to what OpenSSL reads; malloc'ed by OpenSSL. */
static unsigned char *
structure_ecdsa(const uint8_t *signature, int half, int *len)
{
	ECDSA_SIG *parts = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature, half, NULL), *s = BN_bin2bn(signature + half, half, NULL);
	unsigned char *encoded = NULL;

	if (parts != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(parts, r, s) == 1)
		*len = i2d_ECDSA_SIG(parts, &encoded);
	else
	{
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(parts);
	return encoded;
}

static bool
verify_public(const IntegJwtKind *kind, EVP_PKEY *key, const char *input, size_t input_len, const uint8_t *signature,
			  size_t signature_len)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *settings = NULL;
	unsigned char *structured = NULL;
	bool ok = context != NULL && EVP_DigestVerifyInit_ex(context, &settings, kind->digest, NULL, NULL, key, NULL) > 0;

	if (ok && kind->pss)
		ok = EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) > 0 &&
			 EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) > 0;
	if (ok && kind->half != 0)
	{
		int len = 0;

		structured = signature_len == 2 * (size_t) kind->half ? structure_ecdsa(signature, kind->half, &len) : NULL;
		ok = structured != NULL && len > 0;
		signature = structured;
		signature_len = (size_t) len;
	}
	ok = ok && EVP_DigestVerify(context, signature, signature_len, (const uint8_t *) input, input_len) == 1;
	OPENSSL_free(structured);
	EVP_MD_CTX_free(context);
	return ok;
}

bool
integ_jwt_verify(IntegJwtAlgorithm algorithm, const IntegJwtKey *key, const char *input, size_t input_len,
				 const uint8_t *signature, size_t signature_len)
{
	const IntegJwtKind *kind = integ_jwt_kind(algorithm);
	char unused[200];
	size_t len = 0;
	uint8_t *bytes = integ_jwt_key_bytes(key, &len, unused, sizeof(unused));
	EVP_PKEY *pkey = NULL;
	bool ok = false;

	if (bytes == NULL)
		return false;
	if (kind->key == NULL)
		ok = verify_hmac(kind, bytes, len, input, input_len, signature, signature_len);
	else if ((pkey = public_key(kind, bytes, len)) != NULL)
		ok = verify_public(kind, pkey, input, input_len, signature, signature_len);
	EVP_PKEY_free(pkey);
	OPENSSL_cleanse(bytes, len);
	free(bytes);
	ERR_clear_error();
	return ok;
}
