/*
 * Sealed values: opening a CMS envelope.
 */
#include "vault/sealed.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

/* After pem.h, or it does not declare how CMS is read from PEM. */
#include <openssl/cms.h>

#define DER_SEQUENCE 0x30

static const char pem_headers[][28] = {"-----BEGIN CMS-----", "-----BEGIN PKCS7-----"};

static bool
is_space(uint8_t byte)
{
	return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

bool
integ_sealed_recognize(const char *text, size_t len)
{
	while (len > 0 && is_space((uint8_t) *text))
		text++, len--;
	for (size_t i = 0; i < sizeof(pem_headers) / sizeof(pem_headers[0]); i++)
	{
		size_t header = strlen(pem_headers[i]);

		if (len >= header && memcmp(text, pem_headers[i], header) == 0)
			return true;
	}
	return false;
}

static CMS_ContentInfo *
parse_der(const uint8_t *der, size_t len)
{
	const uint8_t *position = der;
	CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &position, (long) len);

	/* What follows the envelope is not part of it: somebody cut or glued. */
	if (cms != NULL && position != der + len)
	{
		CMS_ContentInfo_free(cms);
		return NULL;
	}
	return cms;
}

/* base64 with white space anywhere, which OpenSSL's decoder does not take. */
static CMS_ContentInfo *
parse_base64(const uint8_t *text, size_t len)
{
	uint8_t *packed = OPENSSL_malloc(len + 1);
	uint8_t *der = OPENSSL_malloc(len + 1);
	CMS_ContentInfo *cms = NULL;
	size_t packed_len = 0;
	int der_len;

	if (packed != NULL && der != NULL)
	{
		for (size_t i = 0; i < len; i++)
			if (!is_space(text[i]))
				packed[packed_len++] = text[i];
		der_len = EVP_DecodeBlock(der, packed, (int) packed_len);
		/* EVP_DecodeBlock counts the padding as zero bytes. */
		for (size_t i = packed_len; der_len > 0 && i > 0 && packed[i - 1] == '='; i--)
			der_len--;
		if (der_len > 0)
			cms = parse_der(der, (size_t) der_len);
	}
	OPENSSL_free(packed);
	OPENSSL_free(der);
	return cms;
}

static CMS_ContentInfo *
parse(const uint8_t *sealed, size_t len)
{
	CMS_ContentInfo *cms;
	BIO *input;

	if (len == 0 || len > INTEG_SEALED_MAX)
		return NULL;
	if (sealed[0] == DER_SEQUENCE)
	{
		cms = parse_der(sealed, len);
		if (cms != NULL)
			return cms; /* else base64 that begins with '0' */
	}
	if (!integ_sealed_recognize((const char *) sealed, len))
		return parse_base64(sealed, len);
	/* PEM_read_bio wants the header at the beginning of a line. */
	while (is_space(*sealed))
		sealed++, len--;
	input = BIO_new_mem_buf(sealed, (int) len);
	cms = input == NULL ? NULL : PEM_read_bio_CMS(input, NULL, NULL, NULL);
	BIO_free(input);
	return cms;
}

static bool
is_envelope(const CMS_ContentInfo *cms)
{
	int type = OBJ_obj2nid(CMS_get0_type(cms));

	return type == NID_pkcs7_enveloped || type == NID_id_smime_ct_authEnvelopedData;
}

static X509 *
read_certificate(const char *pem)
{
	BIO *input = BIO_new_mem_buf(pem, -1);
	X509 *certificate = input == NULL ? NULL : PEM_read_bio_X509(input, NULL, NULL, NULL);

	BIO_free(input);
	return certificate;
}

static bool
is_recipient(CMS_ContentInfo *cms, X509 *certificate)
{
	STACK_OF(CMS_RecipientInfo) *recipients = CMS_get0_RecipientInfos(cms);

	for (int i = 0; i < sk_CMS_RecipientInfo_num(recipients); i++)
	{
		CMS_RecipientInfo *recipient = sk_CMS_RecipientInfo_value(recipients, i);

		if (CMS_RecipientInfo_type(recipient) == CMS_RECIPINFO_TRANS &&
			CMS_RecipientInfo_ktri_cert_cmp(recipient, certificate) == 0)
			return true;
	}
	return false;
}

/*
 * Reads the content into out. CMS_decrypt would do it through a buffer of its
 * own that it does not wipe.
 */
static bool
read_content(BIO *content, uint8_t *out, size_t size, size_t *out_len)
{
	size_t len = 0;
	int got = 1;

	while (got > 0 && len < size)
	{
		got = BIO_read(content, out + len, (int) (size - len));
		if (got > 0)
			len += (size_t) got;
	}
	*out_len = len;
	return got <= 0 && BIO_get_cipher_status(content) > 0;
}

/* Decrypts with a key pair that is a recipient. */
static IntegCryptoStatus
decrypt(CMS_ContentInfo *cms, X509 *certificate, const IntegSealingKey *pair, uint8_t *out, size_t size,
		size_t *out_len)
{
	const uint8_t *position = pair->key;
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &position, (long) pair->key_len);
	IntegCryptoStatus status = INTEG_CRYPTO_MISMATCH;
	BIO *content = NULL;

	if (key == NULL)
		return INTEG_CRYPTO_FAILED;
	/* With the certificate given, a wrong content key counts as a random one. */
	if (CMS_decrypt_set1_pkey(cms, key, certificate) == 1)
		content = CMS_dataInit(cms, NULL);
	if (content != NULL && read_content(content, out, size, out_len))
		status = INTEG_CRYPTO_OK;
	else
	{
		OPENSSL_cleanse(out, size);
		*out_len = 0;
	}
	BIO_free_all(content);
	EVP_PKEY_free(key);
	return status;
}

IntegCryptoStatus
integ_sealed_open(const IntegSealingKey *keys, size_t nkeys, const uint8_t *sealed, size_t len, uint8_t *out,
				  size_t *out_len)
{
	CMS_ContentInfo *cms = parse(sealed, len);
	IntegCryptoStatus status = INTEG_CRYPTO_MALFORMED;

	*out_len = 0;
	if (cms != NULL && is_envelope(cms))
	{
		for (size_t i = 0; i < nkeys && status == INTEG_CRYPTO_MALFORMED; i++)
		{
			X509 *certificate = read_certificate(keys[i].certificate);

			if (certificate == NULL)
				status = INTEG_CRYPTO_FAILED;
			else if (is_recipient(cms, certificate))
				status = decrypt(cms, certificate, &keys[i], out, len, out_len);
			X509_free(certificate);
		}
	}
	CMS_ContentInfo_free(cms);
	ERR_clear_error();
	return status;
}
