/* sources: src/vault/sealed.c src/vault/sealing_key.c src/vault/aead.c src/core/hmac.c */
/* libs: -lcrypto */
/* The parser of sealed values: PEM, base64 and DER of CMS, from whoever may call integ_credential_set. */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "vault/sealed.h"

/* After pem.h. */
#include <openssl/cms.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static IntegSealingKey
key_pair(void)
{
	static char *certificate;
	static uint8_t *key;
	static size_t key_len;
	IntegSealingKey pair;

	if (certificate == NULL && integ_sealing_make("fuzz", 2048, &certificate, &key, &key_len) != INTEG_CRYPTO_OK)
		abort();
	pair = (IntegSealingKey){certificate, key, key_len};
	return pair;
}

/* A real envelope for the pair around the input, with one byte changed at a place that the input chooses. */
static void
open_changed(const IntegSealingKey *pair, const uint8_t *data, size_t size)
{
	BIO *pem = BIO_new_mem_buf(pair->certificate, -1);
	X509 *certificate = PEM_read_bio_X509(pem, NULL, NULL, NULL);
	STACK_OF(X509) *recipients = sk_X509_new_null();
	BIO *content = BIO_new_mem_buf(data + 3, (int) size - 3);
	CMS_ContentInfo *cms;
	uint8_t *der = NULL, *out;
	int der_len;
	size_t len = 1;

	sk_X509_push(recipients, certificate);
	cms = CMS_encrypt(recipients, content, data[0] & 2 ? EVP_aes_256_gcm() : EVP_aes_256_cbc(), CMS_BINARY);
	der_len = i2d_CMS_ContentInfo(cms, &der);
	if (der_len <= 0)
		abort();
	out = malloc((size_t) der_len);
	if (integ_sealed_open(pair, 1, der, (size_t) der_len, out, &len) != INTEG_CRYPTO_OK || len != size - 3 ||
		memcmp(out, data + 3, len) != 0)
		abort();
	der[(data[1] << 8 | data[2]) % der_len] ^= (uint8_t) (data[0] | 1);
	if (integ_sealed_open(pair, 1, der, (size_t) der_len, out, &len) != INTEG_CRYPTO_OK && len != 0)
		abort();
	free(out);
	OPENSSL_free(der);
	CMS_ContentInfo_free(cms);
	BIO_free(content);
	sk_X509_free(recipients);
	X509_free(certificate);
	BIO_free(pem);
	ERR_clear_error();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	IntegSealingKey pair = key_pair();
	uint8_t *out;
	size_t len = 1;

	if (size > 3 && data[0] % 16 == 1)
	{
		open_changed(&pair, data, size);
		return 0;
	}
	out = malloc(size + 1);
	(void) integ_sealed_recognize((const char *) data, size);
	if (integ_sealed_open(&pair, 1, data, size, out, &len) != INTEG_CRYPTO_OK && len != 0)
		abort();
	free(out);
	return 0;
}
