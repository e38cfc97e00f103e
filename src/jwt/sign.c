/*
 * Signing a token.
 */
#include "jwt/jwt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "core/base64.h"
#include "jwt/key.h"

/* Of the largest RSA key that OpenSSL takes (16384 bits). */
#define LARGEST_SIGNATURE 2048

typedef struct Signature
{
	uint8_t bytes[LARGEST_SIGNATURE];
	size_t len;
} Signature;

static bool
sign_hmac(const IntegJwtKind *kind, const uint8_t *key, size_t key_len, const char *input, Signature *signature,
		  char *problem, size_t size)
{
	static const char pem[] = "-----BEGIN ";
	unsigned int len = 0;

	/* Whoever pastes a key pair's half here would sign with what others may know. */
	if (key_len >= sizeof(pem) - 1 && memcmp(key, pem, sizeof(pem) - 1) == 0)
	{
		snprintf(problem, size, "%s is signed with a shared secret; this is a key or certificate in PEM.", kind->name);
		return false;
	}
	if (HMAC(EVP_get_digestbyname(kind->digest), key, (int) key_len, (const uint8_t *) input, strlen(input),
			 signature->bytes, &len) == NULL)
	{
		snprintf(problem, size, "OpenSSL could not sign.");
		return false;
	}
	signature->len = len;
	return true;
}

/* RFC 7518, section 3.4: r and s one after the other, each as long as the curve's order. */
static bool
flatten_ecdsa(Signature *signature, int half)
{
	const uint8_t *position = signature->bytes;
	ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &position, (long) signature->len);
	const BIGNUM *r, *s;
	bool ok;

	if (parsed == NULL)
		return false;
	ECDSA_SIG_get0(parsed, &r, &s);
	ok = BN_bn2binpad(r, signature->bytes, half) == half && BN_bn2binpad(s, signature->bytes + half, half) == half;
	signature->len = 2 * (size_t) half;
	ECDSA_SIG_free(parsed);
	return ok;
}

static bool
digest_sign(const IntegJwtKind *kind, EVP_PKEY *pkey, const char *input, Signature *signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *settings = NULL;
	bool ok;

	signature->len = sizeof(signature->bytes);
	ok = context != NULL && EVP_DigestSignInit_ex(context, &settings, kind->digest, NULL, NULL, pkey, NULL) > 0;
	/* RFC 7518, section 3.5: the salt is as long as the digest. */
	if (ok && kind->pss)
		ok = EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) > 0 &&
			 EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) > 0;
	ok = ok && EVP_DigestSign(context, signature->bytes, &signature->len, (const uint8_t *) input, strlen(input)) > 0;
	EVP_MD_CTX_free(context);
	return ok && (kind->half == 0 || flatten_ecdsa(signature, kind->half));
}

static bool
sign_private(IntegJwtAlgorithm algorithm, uint8_t *key, size_t key_len, const char *passphrase,
			 const char *input, Signature *signature, char *problem, size_t size)
{
	EVP_PKEY *pkey = integ_jwt_private_key(algorithm, key, key_len, passphrase, problem, size);
	bool ok;

	if (pkey == NULL)
		return false;
	ok = digest_sign(integ_jwt_kind(algorithm), pkey, input, signature);
	if (!ok)
		snprintf(problem, size, "OpenSSL could not sign with the key.");
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return ok;
}

/* "header.claims", with room for the signature. */
static char *
signing_input(const char *header, const char *claims)
{
	size_t header_len = strlen(header), claims_len = strlen(claims), n;
	char *token = malloc(INTEG_BASE64_ENCODED_SIZE(header_len) + INTEG_BASE64_ENCODED_SIZE(claims_len) + 2 +
						 INTEG_BASE64_ENCODED_SIZE(LARGEST_SIGNATURE));

	if (token == NULL)
		return NULL;
	n = integ_base64url_encode((const uint8_t *) header, header_len, token);
	token[n++] = '.';
	(void) integ_base64url_encode((const uint8_t *) claims, claims_len, token + n);
	return token;
}

char *
integ_jwt_sign(IntegJwtAlgorithm algorithm, const IntegJwtKey *key, const char *header, const char *claims,
			   char *problem, size_t size)
{
	const IntegJwtKind *kind = integ_jwt_kind(algorithm);
	Signature signature;
	size_t bytes_len = 0, n;
	uint8_t *bytes = integ_jwt_key_bytes(key, &bytes_len, problem, size);
	char *token = bytes == NULL ? NULL : signing_input(header, claims);
	bool ok = false;

	if (token != NULL && kind->key == NULL)
		ok = sign_hmac(kind, bytes, bytes_len, token, &signature, problem, size);
	else if (token != NULL)
		ok = sign_private(algorithm, bytes, bytes_len, key->passphrase, token, &signature, problem, size);
	else if (bytes != NULL)
		snprintf(problem, size, "There is no memory for the token.");
	if (bytes != NULL)
	{
		OPENSSL_cleanse(bytes, bytes_len);
		free(bytes);
	}
	if (!ok)
	{
		free(token);
		return NULL;
	}
	n = strlen(token);
	token[n++] = '.';
	(void) integ_base64url_encode(signature.bytes, signature.len, token + n);
	return token;
}
