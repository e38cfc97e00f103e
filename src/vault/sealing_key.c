/*
 * Making the key pair that values are sealed to.
 */
#include "vault/sealed.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#define SERIAL_BYTES 16

/* RFC 5280, section 4.1.2.5: the time that stands for no expiration. */
#define NEVER "99991231235959Z"

static bool
set_serial(X509 *certificate)
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *number;
	bool done;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and all of one length */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	done = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
	BN_free(number);
	return done;
}

static bool
add_extension(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool done;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	done = extension != NULL && X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	return done;
}

static X509 *
make_certificate(EVP_PKEY *key, const char *name)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = certificate == NULL ? NULL : X509_get_subject_name(certificate);

	if (subject != NULL && X509_set_version(certificate, X509_VERSION_3) && set_serial(certificate) &&
		X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *) name, -1, -1, 0) &&
		X509_set_issuer_name(certificate, subject) &&
		X509_gmtime_adj(X509_getm_notBefore(certificate), -24 * 60 * 60) != NULL &&
		ASN1_TIME_set_string_X509(X509_getm_notAfter(certificate), NEVER) &&
		X509_set_pubkey(certificate, key) && add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
		add_extension(certificate, NID_key_usage, "critical,keyEncipherment") &&
		add_extension(certificate, NID_subject_key_identifier, "hash") &&
		X509_sign(certificate, key, EVP_sha256()) > 0)
		return certificate;
	X509_free(certificate);
	return NULL;
}

static char *
print_certificate(X509 *certificate)
{
	BIO *output = BIO_new(BIO_s_mem());
	char *text = NULL;
	char *data;
	long len;

	if (output != NULL && PEM_write_bio_X509(output, certificate))
	{
		len = BIO_get_mem_data(output, &data);
		text = OPENSSL_strndup(data, (size_t) len);
	}
	BIO_free(output);
	return text;
}

IntegCryptoStatus
integ_sealing_make(const char *name, int bits, char **certificate, uint8_t **key, size_t *key_len)
{
	EVP_PKEY *pair = EVP_RSA_gen((unsigned int) bits);
	X509 *made = pair == NULL ? NULL : make_certificate(pair, name);
	PKCS8_PRIV_KEY_INFO *info = pair == NULL ? NULL : EVP_PKEY2PKCS8(pair);
	int len;

	*certificate = NULL;
	*key = NULL;
	*key_len = 0;
	if (made != NULL && info != NULL)
	{
		*certificate = print_certificate(made);
		len = i2d_PKCS8_PRIV_KEY_INFO(info, key);
		*key_len = len > 0 ? (size_t) len : 0;
	}
	PKCS8_PRIV_KEY_INFO_free(info);
	X509_free(made);
	EVP_PKEY_free(pair);
	ERR_clear_error();
	if (*certificate != NULL && *key_len > 0)
		return INTEG_CRYPTO_OK;
	integ_sealing_release(*certificate, *key, *key_len);
	*certificate = NULL;
	*key = NULL;
	*key_len = 0;
	return INTEG_CRYPTO_FAILED;
}

void
integ_sealing_release(char *certificate, uint8_t *key, size_t key_len)
{
	OPENSSL_free(certificate);
	OPENSSL_clear_free(key, key_len);
}
