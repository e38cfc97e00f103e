/*
 * Reading a key, and refusing one of the wrong kind.
 */
#include "jwt/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "core/base64.h"
#include "core/hex.h"

/* RFC 7518, sections 3.3 and 3.5. */
#define SMALLEST_RSA 2048

static const IntegJwtKind kinds[] = {
	[INTEG_JWT_HS256] = {"HS256", "SHA256", NULL, NULL, "a shared secret"},
	[INTEG_JWT_HS384] = {"HS384", "SHA384", NULL, NULL, "a shared secret"},
	[INTEG_JWT_HS512] = {"HS512", "SHA512", NULL, NULL, "a shared secret"},
	[INTEG_JWT_RS256] = {"RS256", "SHA256", "RSA", NULL, "an RSA private key"},
	[INTEG_JWT_RS384] = {"RS384", "SHA384", "RSA", NULL, "an RSA private key"},
	[INTEG_JWT_RS512] = {"RS512", "SHA512", "RSA", NULL, "an RSA private key"},
	[INTEG_JWT_PS256] = {"PS256", "SHA256", "RSA", NULL, "an RSA private key", 0, true},
	[INTEG_JWT_PS384] = {"PS384", "SHA384", "RSA", NULL, "an RSA private key", 0, true},
	[INTEG_JWT_PS512] = {"PS512", "SHA512", "RSA", NULL, "an RSA private key", 0, true},
	[INTEG_JWT_ES256] = {"ES256", "SHA256", "EC", "prime256v1", "an EC private key on the curve P-256", 32},
	[INTEG_JWT_ES384] = {"ES384", "SHA384", "EC", "secp384r1", "an EC private key on the curve P-384", 48},
	[INTEG_JWT_ES512] = {"ES512", "SHA512", "EC", "secp521r1", "an EC private key on the curve P-521", 66},
	[INTEG_JWT_EDDSA] = {"EdDSA", NULL, "ED25519", NULL, "an Ed25519 private key"},
};

const IntegJwtKind *
integ_jwt_kind(IntegJwtAlgorithm algorithm)
{
	return &kinds[algorithm];
}

const char *
integ_jwt_algorithm_name(IntegJwtAlgorithm algorithm)
{
	return kinds[algorithm].name;
}

bool
integ_jwt_algorithm_from_name(const char *name, IntegJwtAlgorithm *algorithm)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (strcmp(kinds[i].name, name) != 0)
			continue;
		*algorithm = (IntegJwtAlgorithm) i;
		return true;
	}
	return false;
}

uint8_t *
integ_jwt_key_bytes(const IntegJwtKey *key, size_t *len, char *problem, size_t size)
{
	uint8_t *bytes = malloc(key->len + 4);
	bool ok = true;

	if (bytes == NULL)
	{
		snprintf(problem, size, "There is no memory for the key.");
		return NULL;
	}
	switch (key->encoding)
	{
		case INTEG_JWT_KEY_TEXT:
			memcpy(bytes, key->text, key->len);
			*len = key->len;
			break;
		case INTEG_JWT_KEY_BASE64:
			ok = integ_base64_decode(key->text, key->len, bytes, len);
			break;
		case INTEG_JWT_KEY_HEX:
			ok = integ_hex_decode(key->text, key->len, bytes);
			*len = key->len / 2;
			break;
	}
	if (ok && *len > 0)
		return bytes;
	OPENSSL_cleanse(bytes, key->len + 4);
	free(bytes);
	if (ok)
		snprintf(problem, size, "The key is empty.");
	else
		snprintf(problem, size, "The key is not written in %s.",
				 key->encoding == INTEG_JWT_KEY_HEX ? "hexadecimal" : "base64");
	return NULL;
}

/* Where PEM has lost its line breaks to the escapes of a JSON text, puts them back. */
static size_t
unescape_lines(uint8_t *pem, size_t len)
{
	size_t n = 0;

	if (memchr(pem, '\n', len) != NULL)
		return len;
	for (size_t i = 0; i < len; i++)
	{
		bool escape = pem[i] == '\\' && i + 1 < len;

		if (escape && pem[i + 1] == 'r')
			i++;
		else if (escape && pem[i + 1] == 'n')
		{
			pem[n++] = '\n';
			i++;
		}
		else
			pem[n++] = pem[i];
	}
	return n;
}

/* Gives the passphrase; -1 where there is none, since without a callback OpenSSL would ask at the terminal. */
static int
give_passphrase(char *buffer, int size, int writing, void *passphrase)
{
	size_t len = passphrase == NULL ? 0 : strlen(passphrase);

	if (len == 0 || len > (size_t) size)
		return -1;
	memcpy(buffer, passphrase, len);
	return (int) len;
}

static bool
contains(const uint8_t *bytes, size_t len, const char *text)
{
	return memmem(bytes, len, text, strlen(text)) != NULL;
}

static EVP_PKEY *
read_pem(uint8_t *bytes, size_t len, const char *passphrase, char *problem, size_t size)
{
	size_t pem_len = unescape_lines(bytes, len);
	BIO *bio = BIO_new_mem_buf(bytes, (int) pem_len);
	EVP_PKEY *pkey = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, (void *) passphrase);

	BIO_free(bio);
	if (pkey != NULL)
		return pkey;
	if (contains(bytes, pem_len, "BEGIN PUBLIC KEY") || contains(bytes, pem_len, "BEGIN RSA PUBLIC KEY"))
		snprintf(problem, size, "The key is a public key; signing needs the private one.");
	else if (contains(bytes, pem_len, "BEGIN CERTIFICATE"))
		snprintf(problem, size, "The key is a certificate; signing needs its private key.");
	else if (contains(bytes, pem_len, "ENCRYPTED"))
		snprintf(problem, size, "The key is encrypted, and %s.",
				 passphrase == NULL || passphrase[0] == '\0' ? "no passphrase is given"
															 : "the passphrase does not open it");
	else
		snprintf(problem, size, "The key is no private key in PEM.");
	return NULL;
}

static EVP_PKEY *
read_der(const uint8_t *bytes, size_t len, char *problem, size_t size)
{
	const uint8_t *position = bytes;
	EVP_PKEY *pkey = d2i_AutoPrivateKey(NULL, &position, (long) len);

	if (pkey == NULL)
		snprintf(problem, size, "The key is no private key in PEM or DER.");
	return pkey;
}

/* A key of another kind, said in words. */
static void
refuse_kind(const IntegJwtKind *kind, EVP_PKEY *pkey, char *problem, size_t size)
{
	const char *type = EVP_PKEY_get0_type_name(pkey);
	char group[64] = "";

	(void) EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL);
	snprintf(problem, size, "%s is signed with %s; this one is of the kind %s%s%s.", kind->name, kind->wanted,
			 type == NULL ? "unknown" : type, group[0] != '\0' ? ", curve " : "", group);
}

static bool
check_kind(const IntegJwtKind *kind, EVP_PKEY *pkey, char *problem, size_t size)
{
	char group[64];

	if (!EVP_PKEY_is_a(pkey, kind->key) ||
		(kind->curve != NULL && (!EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) ||
								 strcmp(group, kind->curve) != 0)))
	{
		refuse_kind(kind, pkey, problem, size);
		return false;
	}
	if (strcmp(kind->key, "RSA") == 0 && EVP_PKEY_get_bits(pkey) < SMALLEST_RSA)
	{
		snprintf(problem, size, "The RSA key has %d bits; %s needs %d or more.", EVP_PKEY_get_bits(pkey), kind->name,
				 SMALLEST_RSA);
		return false;
	}
	return true;
}

EVP_PKEY *
integ_jwt_private_key(IntegJwtAlgorithm algorithm, uint8_t *bytes, size_t len, const char *passphrase, char *problem,
					  size_t size)
{
	EVP_PKEY *pkey = contains(bytes, len, "-----BEGIN")
						 ? read_pem(bytes, len, passphrase, problem, size)
						 : read_der(bytes, len, problem, size);

	/* Whoever uses OpenSSL next must not find our errors. */
	ERR_clear_error();
	if (pkey != NULL && !check_kind(&kinds[algorithm], pkey, problem, size))
	{
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	ERR_clear_error();
	return pkey;
}
