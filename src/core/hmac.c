/*
 * HMAC-SHA-256.
 */
#include "core/hmac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

/* OpenSSL 3 looks an algorithm up by name in about a microsecond: once a process is enough. Has no key: duplicated. */
static EVP_MAC_CTX *pattern;

static EVP_MAC_CTX *
make_pattern(void)
{
	char digest[] = "SHA256";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);

	EVP_MAC_free(mac); /* the context holds a reference */
	if (context != NULL && !EVP_MAC_CTX_set_params(context, parameters))
	{
		EVP_MAC_CTX_free(context);
		return NULL;
	}
	return context;
}

bool
integ_hmac_sha256(const void *key, size_t key_len, const IntegHmacPart *parts, int count,
				  uint8_t code[INTEG_HMAC_SHA256_SIZE])
{
	EVP_MAC_CTX *context;
	size_t written;
	bool done;

	if (pattern == NULL)
		pattern = make_pattern();
	context = pattern == NULL ? NULL : EVP_MAC_CTX_dup(pattern);
	done = context != NULL && EVP_MAC_init(context, key, key_len, NULL);
	for (int i = 0; done && i < count; i++)
		done = EVP_MAC_update(context, parts[i].data, parts[i].len);
	done = done && EVP_MAC_final(context, code, &written, INTEG_HMAC_SHA256_SIZE) && written == INTEG_HMAC_SHA256_SIZE;
	EVP_MAC_CTX_free(context); /* wipes its copy of the key */
	return done;
}
