/* sources: src/jwt/sign.c src/jwt/verify.c src/jwt/key.c src/core/base64.c */
/* libs: -lcrypto */
/*
 * Tokens: the vectors of the RFCs, every algorithm verified, keys of the wrong kind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "core/base64.h"
#include "jwt/jwt.h"

static char problem[256];

static char *
sign(IntegJwtAlgorithm algorithm, const char *text, IntegJwtKeyEncoding encoding, const char *passphrase)
{
	IntegJwtKey key = {.text = text, .len = strlen(text), .encoding = encoding, .passphrase = passphrase};

	problem[0] = '\0';
	return integ_jwt_sign(algorithm, &key, "{\"alg\":\"x\"}", "{\"iss\":\"a\"}", problem, sizeof(problem));
}

static void
expect_refused(IntegJwtAlgorithm algorithm, const char *text, IntegJwtKeyEncoding encoding, const char *sentence)
{
	char *token = sign(algorithm, text, encoding, NULL);

	assert_null(token);
	if (strstr(problem, sentence) == NULL)
		fail_msg("the problem is \"%s\", not \"%s\"", problem, sentence);
	/* OpenSSL's errors are not left to whoever uses it next. */
	assert_int_equal(ERR_peek_error(), 0);
}

/* RFC 7515, appendix A.1. */
static void
test_hs256_vector(void **state)
{
	IntegJwtKey key = {
		.text = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
		.encoding = INTEG_JWT_KEY_BASE64};
	char *token;

	key.len = strlen(key.text);
	token = integ_jwt_sign(INTEG_JWT_HS256, &key, "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}",
						   "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}",
						   problem, sizeof(problem));
	assert_string_equal(token, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
							   ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
							   "cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
	assert_true(integ_jwt_verify(INTEG_JWT_HS256, &key, token, (size_t) (strrchr(token, '.') - token),
								 (const uint8_t *) "\x74\x18\xdf\xb4\x97\x99\xe0\x25\x4f\xfa\x60\x7d\xd8\xad\xbb\xba"
												   "\x16\xd4\x25\x4d\x69\xd6\xbf\xf0\x5b\x58\x05\x58\x53\x84\x8d\x79",
								 32));
	free(token);
}

/* RFC 8037, appendix A.4, with the private key as PKCS#8. */
static void
test_eddsa_vector(void **state)
{
	IntegJwtKey key = {.text = "302e020100300506032b657004220420"
							   "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
					   .encoding = INTEG_JWT_KEY_HEX};
	char *token;

	key.len = strlen(key.text);
	token = integ_jwt_sign(INTEG_JWT_EDDSA, &key, "{\"alg\":\"EdDSA\"}", "Example of Ed25519 signing", problem,
						   sizeof(problem));
	assert_string_equal(token, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
							   "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
	free(token);
}

/* The private key in PEM: PKCS#8, encrypted where there is a passphrase, or the traditional form. */
static char *
pem_of(EVP_PKEY *pkey, const char *passphrase, bool traditional)
{
	BIO *bio = BIO_new(BIO_s_mem());
	const EVP_CIPHER *cipher = passphrase == NULL ? NULL : EVP_aes_256_cbc();
	unsigned char *phrase = (unsigned char *) passphrase;
	int len = passphrase == NULL ? 0 : (int) strlen(passphrase);
	char *data, *pem;
	long size;

	if (traditional)
		assert_true(PEM_write_bio_PrivateKey_traditional(bio, pkey, cipher, phrase, len, NULL, NULL));
	else
		assert_true(PEM_write_bio_PKCS8PrivateKey(bio, pkey, cipher, passphrase, len, NULL, NULL));
	size = BIO_get_mem_data(bio, &data);
	pem = strndup(data, (size_t) size);
	BIO_free(bio);
	return pem;
}

/* What a service does: the signature over the first two parts. */
static bool
verified(const char *token, EVP_PKEY *pkey, const EVP_MD *digest, bool pss, int half)
{
	const char *dot = strrchr(token, '.');
	uint8_t signature[2048];
	size_t len;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *settings;
	bool ok;

	assert_true(integ_base64_decode(dot + 1, strlen(dot + 1), signature, &len));
	if (half > 0)
	{
		ECDSA_SIG *parsed = ECDSA_SIG_new();
		uint8_t *der = NULL;

		assert_int_equal(len, 2 * half);
		ECDSA_SIG_set0(parsed, BN_bin2bn(signature, half, NULL), BN_bin2bn(signature + half, half, NULL));
		len = (size_t) i2d_ECDSA_SIG(parsed, &der);
		memcpy(signature, der, len);
		OPENSSL_free(der);
		ECDSA_SIG_free(parsed);
	}
	assert_true(EVP_DigestVerifyInit(context, &settings, digest, NULL, pkey));
	if (pss)
	{
		assert_true(EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) > 0);
		assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) > 0);
	}
	ok = EVP_DigestVerify(context, signature, len, (const uint8_t *) token, (size_t) (dot - token)) == 1;
	EVP_MD_CTX_free(context);
	return ok;
}

static char *
public_pem_of(EVP_PKEY *pkey)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *pem;
	long size;

	assert_true(PEM_write_bio_PUBKEY(bio, pkey));
	size = BIO_get_mem_data(bio, &data);
	pem = strndup(data, (size_t) size);
	BIO_free(bio);
	return pem;
}

/* What we do with a token that somebody else made. */
static bool
verifies(IntegJwtAlgorithm algorithm, const char *text, const char *token)
{
	IntegJwtKey key = {.text = text, .len = strlen(text), .encoding = INTEG_JWT_KEY_TEXT};
	const char *dot = strrchr(token, '.');
	uint8_t signature[2048];
	size_t len;
	bool ok;

	assert_true(integ_base64_decode(dot + 1, strlen(dot + 1), signature, &len));
	ok = integ_jwt_verify(algorithm, &key, token, (size_t) (dot - token), signature, len);
	assert_false(integ_jwt_verify(algorithm, &key, token, (size_t) (dot - token), signature, len - 1));
	assert_int_equal(ERR_peek_error(), 0);
	return ok;
}

static void
expect_signs(IntegJwtAlgorithm algorithm, EVP_PKEY *pkey, const EVP_MD *digest, bool pss, int half)
{
	/* ECDSA's numbers are now and then shorter than the curve: they are padded. */
	for (int i = 0; i < (half > 0 ? 300 : 2); i++)
	{
		char *pem = pem_of(pkey, NULL, false), *public_pem = public_pem_of(pkey);
		char *token = sign(algorithm, pem, INTEG_JWT_KEY_TEXT, NULL);

		if (token == NULL)
			fail_msg("%s: %s", integ_jwt_algorithm_name(algorithm), problem);
		assert_true(verified(token, pkey, digest, pss, half));
		assert_true(verifies(algorithm, public_pem, token));
		/* Of the private half, or as another algorithm's, it is no key to verify with. */
		assert_false(verifies(algorithm, pem, token));
		assert_false(verifies(INTEG_JWT_HS256, public_pem, token));
		assert_false(verifies(half > 0 ? INTEG_JWT_RS256 : INTEG_JWT_ES256, public_pem, token));
		token[3] ^= 1;
		assert_false(verified(token, pkey, digest, pss, half));
		assert_false(verifies(algorithm, public_pem, token));
		free(token);
		free(public_pem);
		free(pem);
	}
}

static void
test_private_keys(void **state)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *small = EVP_RSA_gen(1024), *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY *p256 = EVP_EC_gen("P-256"), *p384 = EVP_EC_gen("P-384"), *p521 = EVP_EC_gen("P-521");
	char *pem;

	expect_signs(INTEG_JWT_RS256, rsa, EVP_sha256(), false, 0);
	expect_signs(INTEG_JWT_RS384, rsa, EVP_sha384(), false, 0);
	expect_signs(INTEG_JWT_RS512, rsa, EVP_sha512(), false, 0);
	expect_signs(INTEG_JWT_PS256, rsa, EVP_sha256(), true, 0);
	expect_signs(INTEG_JWT_PS384, rsa, EVP_sha384(), true, 0);
	expect_signs(INTEG_JWT_PS512, rsa, EVP_sha512(), true, 0);
	expect_signs(INTEG_JWT_ES256, p256, EVP_sha256(), false, 32);
	expect_signs(INTEG_JWT_ES384, p384, EVP_sha384(), false, 48);
	expect_signs(INTEG_JWT_ES512, p521, EVP_sha512(), false, 66);
	expect_signs(INTEG_JWT_EDDSA, ed, NULL, false, 0);

	pem = pem_of(p256, NULL, false);
	expect_refused(INTEG_JWT_RS256, pem, INTEG_JWT_KEY_TEXT, "RS256 is signed with an RSA private key; this one is of the kind EC");
	expect_refused(INTEG_JWT_ES384, pem, INTEG_JWT_KEY_TEXT, "on the curve P-384; this one is of the kind EC, curve prime256v1");
	expect_refused(INTEG_JWT_EDDSA, pem, INTEG_JWT_KEY_TEXT, "Ed25519");
	expect_refused(INTEG_JWT_HS256, pem, INTEG_JWT_KEY_TEXT, "shared secret; this is a key or certificate in PEM");
	free(pem);
	pem = pem_of(rsa, NULL, true);
	expect_refused(INTEG_JWT_ES256, pem, INTEG_JWT_KEY_TEXT, "this one is of the kind RSA");
	free(pem);
	pem = pem_of(small, NULL, false);
	expect_refused(INTEG_JWT_RS256, pem, INTEG_JWT_KEY_TEXT, "1024 bits; RS256 needs 2048");
	free(pem);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(small);
	EVP_PKEY_free(ed);
	EVP_PKEY_free(p256);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(p521);
}

static void
expect_reads(char *text, IntegJwtKeyEncoding encoding, const char *passphrase)
{
	char *token = sign(INTEG_JWT_ES256, text, encoding, passphrase);

	if (token == NULL)
		fail_msg("%s", problem);
	free(token);
	free(text);
}

/* Line breaks as a JSON file has them. */
static char *
escaped(char *pem)
{
	char *text = malloc(strlen(pem) * 2 + 1), *out = text;

	for (const char *c = pem; *c != '\0'; c++)
	{
		if (*c == '\n')
			*out++ = '\\';
		*out++ = *c == '\n' ? 'n' : *c;
	}
	*out = '\0';
	free(pem);
	return text;
}

static void
test_forms_of_a_key(void **state)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	uint8_t *der = NULL;
	int der_len = i2d_PrivateKey(pkey, &der);
	char *text = malloc(INTEG_BASE64_ENCODED_SIZE(der_len));
	char *pem;

	expect_reads(pem_of(pkey, NULL, true), INTEG_JWT_KEY_TEXT, NULL);
	expect_reads(escaped(pem_of(pkey, NULL, false)), INTEG_JWT_KEY_TEXT, NULL);
	expect_reads(pem_of(pkey, "sesame", false), INTEG_JWT_KEY_TEXT, "sesame");
	expect_reads(pem_of(pkey, "sesame", true), INTEG_JWT_KEY_TEXT, "sesame");
	(void) integ_base64url_encode(der, (size_t) der_len, text);
	expect_reads(text, INTEG_JWT_KEY_BASE64, NULL);
	OPENSSL_free(der);

	pem = pem_of(pkey, "sesame", false);
	expect_refused(INTEG_JWT_ES256, pem, INTEG_JWT_KEY_TEXT, "no passphrase is given");
	assert_null(sign(INTEG_JWT_ES256, pem, INTEG_JWT_KEY_TEXT, "wrong"));
	assert_non_null(strstr(problem, "the passphrase does not open it"));
	free(pem);

	pem = public_pem_of(pkey);
	expect_refused(INTEG_JWT_ES256, pem, INTEG_JWT_KEY_TEXT, "is a public key");
	free(pem);
	EVP_PKEY_free(pkey);

	expect_refused(INTEG_JWT_ES256, "", INTEG_JWT_KEY_TEXT, "The key is empty.");
	expect_refused(INTEG_JWT_HS256, "", INTEG_JWT_KEY_BASE64, "The key is empty.");
	expect_refused(INTEG_JWT_RS256, "secret", INTEG_JWT_KEY_TEXT, "no private key in PEM or DER");
	expect_refused(INTEG_JWT_RS256, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", INTEG_JWT_KEY_TEXT,
				   "no private key in PEM");
	expect_refused(INTEG_JWT_RS256, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", INTEG_JWT_KEY_TEXT,
				   "is a certificate");
	expect_refused(INTEG_JWT_HS256, "not*base64", INTEG_JWT_KEY_BASE64, "not written in base64");
	expect_refused(INTEG_JWT_HS256, "abc", INTEG_JWT_KEY_HEX, "not written in hexadecimal");
}

static void
test_names(void **state)
{
	IntegJwtAlgorithm algorithm;

	for (int i = INTEG_JWT_HS256; i <= INTEG_JWT_EDDSA; i++)
	{
		assert_true(integ_jwt_algorithm_from_name(integ_jwt_algorithm_name((IntegJwtAlgorithm) i), &algorithm));
		assert_int_equal(algorithm, i);
	}
	assert_false(integ_jwt_algorithm_from_name("none", &algorithm));
}

static void
expect_decodes(const char *text, const char *wanted)
{
	uint8_t out[64];
	size_t len;
	bool ok = integ_base64_decode(text, strlen(text), out, &len);

	if (wanted == NULL && ok)
		fail_msg("\"%s\" decodes", text);
	if (wanted != NULL && (!ok || len != strlen(wanted) || memcmp(out, wanted, len) != 0))
		fail_msg("\"%s\" does not decode to \"%s\"", text, wanted);
}

/* RFC 4648, section 10, and what people write. */
static void
test_base64(void **state)
{
	expect_decodes("", "");
	expect_decodes("Zg==", "f");
	expect_decodes("Zm8=", "fo");
	expect_decodes("Zm9v", "foo");
	expect_decodes("Zm9vYg", "foob");
	expect_decodes("Zm9v\nYmE= \r\n", "fooba");
	expect_decodes("_-8", "\xff\xef");
	expect_decodes("/+8=", "\xff\xef");
	expect_decodes("Z", NULL);
	expect_decodes("Zg=", NULL);
	expect_decodes("Zg===", NULL);
	expect_decodes("Zh==", NULL);
	expect_decodes("Zm9=", NULL);
	expect_decodes("Zm9v=", NULL);
	expect_decodes("Zg==Zg==", NULL);
	expect_decodes("Zm*v", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hs256_vector),
		cmocka_unit_test(test_eddsa_vector),
		cmocka_unit_test(test_private_keys),
		cmocka_unit_test(test_forms_of_a_key),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
