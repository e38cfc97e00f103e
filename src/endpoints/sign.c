/*
 * Signatures of outbound requests.
 */
#include "endpoints/sign.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/hmac.h"

#define SEED_SIZE 32
#define ED25519_SIGNATURE_SIZE 64
#define HMAC_SIZE INTEG_HMAC_SHA256_SIZE

/* The spec asks for 24 to 64 bytes. */
#define SYMMETRIC_SIZE 32

static bool
has_prefix(const char *prefix, const char *text, size_t len)
{
	size_t n = strlen(prefix);

	return len >= n && memcmp(text, prefix, n) == 0;
}

bool
integ_signing_key_read(const char *text, size_t len, IntegSigningKey *key)
{
	/* White space in it decodes to nothing, so that the text may be longer than the bytes ask for. */
	static const size_t text_max = 4 * INTEG_SIGNING_KEY_MAX;
	uint8_t *decoded;
	size_t decoded_len = 0;
	bool ok;

	memset(key, 0, sizeof(*key));
	/* A public key in the place of a secret would be one that everybody may know. */
	if (has_prefix("whpk_", text, len))
		return false;
	key->asymmetric = has_prefix("whsk_", text, len);
	if (key->asymmetric)
		text += strlen("whsk_"), len -= strlen("whsk_");
	else if (has_prefix("whsec_", text, len))
		text += strlen("whsec_"), len -= strlen("whsec_");
	if (len > text_max || (decoded = malloc(INTEG_BASE64_DECODED_SIZE(text_max))) == NULL)
		return false;
	ok = integ_base64_decode(text, len, decoded, &decoded_len) && decoded_len > 0 &&
		 decoded_len <= INTEG_SIGNING_KEY_MAX &&
		 (!key->asymmetric || decoded_len == SEED_SIZE || decoded_len == 2 * SEED_SIZE);
	if (ok)
	{
		key->len = key->asymmetric ? SEED_SIZE : decoded_len;
		memcpy(key->bytes, decoded, key->len);
	}
	OPENSSL_cleanse(decoded, INTEG_BASE64_DECODED_SIZE(text_max));
	free(decoded);
	return ok;
}

/* Writes a prefix and the base64 of bytes, terminated. */
static void
write_text(const char *prefix, const uint8_t *bytes, size_t len, char *text)
{
	size_t n = strlen(prefix);

	memcpy(text, prefix, n);
	(void) EVP_EncodeBlock((unsigned char *) text + n, bytes, (int) len);
}

bool
integ_signing_key_make(bool asymmetric, char *text)
{
	uint8_t bytes[SYMMETRIC_SIZE];

	if (RAND_priv_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	write_text(asymmetric ? "whsk_" : "whsec_", bytes, sizeof(bytes), text);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return true;
}

bool
integ_signing_public_key(const IntegSigningKey *key, char *text)
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->bytes, SEED_SIZE);
	uint8_t bytes[SEED_SIZE];
	size_t len = sizeof(bytes);
	bool ok = pkey != NULL && EVP_PKEY_get_raw_public_key(pkey, bytes, &len) == 1;

	if (ok)
		write_text("whpk_", bytes, len, text);
	EVP_PKEY_free(pkey);
	return ok;
}

static bool
sign_ed25519(const IntegSigningKey *key, const uint8_t *message, size_t len, uint8_t *signature)
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->bytes, SEED_SIZE);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t size = ED25519_SIGNATURE_SIZE;
	bool ok = pkey != NULL && context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, pkey) == 1 &&
			  EVP_DigestSign(context, signature, &size, message, len) == 1;

	EVP_MD_CTX_free(context);
	EVP_PKEY_free(pkey);
	return ok;
}

static bool
hmac(const uint8_t *key, size_t key_len, const uint8_t *message, size_t len, uint8_t *digest)
{
	const IntegHmacPart whole = {message, len};

	return integ_hmac_sha256(key, key_len, &whole, 1, digest);
}

/* One signature with its version, terminated. */
static bool
sign_one(const IntegSigningKey *key, const uint8_t *message, size_t len, char *out)
{
	uint8_t signature[ED25519_SIGNATURE_SIZE];

	if (key->asymmetric ? !sign_ed25519(key, message, len, signature)
						: !hmac(key->bytes, key->len, message, len, signature))
		return false;
	write_text(key->asymmetric ? "v1a," : "v1,", signature, key->asymmetric ? ED25519_SIGNATURE_SIZE : HMAC_SIZE, out);
	return true;
}

bool
integ_sign_standard(const IntegSigningKey *keys, int nkeys, const char *id, int64_t time, const char *body,
					size_t body_len, char *out)
{
	size_t head = strlen(id) + 24;
	uint8_t *message = malloc(head + body_len);
	bool ok = message != NULL;

	if (ok)
	{
		head = (size_t) snprintf((char *) message, head, "%s.%" PRId64 ".", id, time);
		memcpy(message + head, body, body_len);
	}
	for (int i = 0; ok && i < nkeys; i++)
	{
		if (i > 0)
			*out++ = ' ';
		ok = sign_one(&keys[i], message, head + body_len, out);
		if (ok)
			out += strlen(out);
	}
	free(message);
	return ok;
}

bool
integ_sign_body(const char *secret, size_t secret_len, const char *body, size_t body_len, char *out)
{
	uint8_t digest[HMAC_SIZE];

	if (!hmac((const uint8_t *) secret, secret_len, (const uint8_t *) body, body_len, digest))
		return false;
	out += sprintf(out, "sha256=");
	for (int i = 0; i < HMAC_SIZE; i++)
		out += sprintf(out, "%02x", digest[i]);
	return true;
}
