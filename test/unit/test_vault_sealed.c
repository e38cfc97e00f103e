/* sources: src/vault/sealed.c src/vault/sealing_key.c src/vault/aead.c src/core/hmac.c */
/* libs: -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vault/sealed.h"

static char folder[] = "/tmp/integ_sealed_XXXXXX";
static char *certificates[2];
static uint8_t *private_keys[2];
static IntegSealingKey keys[2];
static uint8_t sealed[INTEG_SEALED_MAX + 1], opened[INTEG_SEALED_MAX + 1];
static size_t sealed_len, opened_len;

static void
write_file(const char *name, const void *data, size_t len)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	fclose(file);
}

static void
run(const char *format, const char *argument)
{
	char command[512], arguments[384];

	snprintf(arguments, sizeof(arguments), format, argument);
	snprintf(command, sizeof(command), "cd '%s' && openssl %s 2>errors", folder, arguments);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

/* Seals the file "secret" with the openssl command line; arguments as a user gives them. */
static void
seal(const char *arguments)
{
	char path[128];
	FILE *file;

	run("cms -encrypt -binary -in secret -out sealed %s", arguments);
	snprintf(path, sizeof(path), "%s/sealed", folder);
	file = fopen(path, "rb");
	assert_non_null(file);
	sealed_len = fread(sealed, 1, sizeof(sealed), file);
	fclose(file);
}

static IntegCryptoStatus
open_it(size_t nkeys)
{
	return integ_sealed_open(keys, nkeys, sealed, sealed_len, opened, &opened_len);
}

static int
make_keys(void **state)
{
	if (mkdtemp(folder) == NULL)
		return -1;
	for (int i = 0; i < 2; i++)
	{
		char name[32];

		if (integ_sealing_make("integ", i == 0 ? INTEG_SEALING_BITS : 2048, &certificates[i], &private_keys[i],
							   &keys[i].key_len) != INTEG_CRYPTO_OK)
			return -1;
		keys[i].certificate = certificates[i];
		keys[i].key = private_keys[i];
		snprintf(name, sizeof(name), "cert%d.pem", i);
		write_file(name, certificates[i], strlen(certificates[i]));
	}
	write_file("secret", "s3cret", 6);
	return 0;
}

static int
release_keys(void **state)
{
	char command[128];

	for (int i = 0; i < 2; i++)
		integ_sealing_release(certificates[i], private_keys[i], keys[i].key_len);
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	return system(command);
}

static void
certificate_is_sound(void **state)
{
	run("%s", "x509 -in cert0.pem -noout -text > text");
	run("%s", "verify -check_ss_sig -CAfile cert0.pem cert0.pem > verified");
	{
		char command[256];

		snprintf(command, sizeof(command),
				 "cd '%s' && grep -q 'Public-Key: (3072 bit)' text && grep -q 'Key Encipherment' text && "
				 "grep -q 'Not After : Dec 31 23:59:59 9999' text && grep -q 'CA:FALSE' text",
				 folder);
		assert_int_equal(system(command), 0);
	}
}

static void
opens_every_form(void **state)
{
	static const char *const forms[] = {
		"-outform PEM -aes-256-gcm -recip cert0.pem -keyopt rsa_padding_mode:oaep",
		"-outform DER -aes-256-gcm -recip cert0.pem -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256",
		"-outform PEM -aes-256-cbc cert0.pem",
		"-outform DER -aes-256-cbc cert0.pem",
		"-outform DER -aes-128-cbc -keyid cert0.pem",
		"-outform PEM -aes-256-cbc cert1.pem cert0.pem",
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
	{
		seal(forms[i]);
		assert_int_equal(integ_sealed_recognize((const char *) sealed, sealed_len), strstr(forms[i], "PEM") != NULL);
		assert_int_equal(open_it(1), INTEG_CRYPTO_OK);
		assert_int_equal(opened_len, 6);
		assert_memory_equal(opened, "s3cret", 6);
	}
	/* The second of two keys, and leading white space. */
	seal("-outform PEM -aes-256-cbc cert1.pem");
	assert_int_equal(open_it(2), INTEG_CRYPTO_OK);
	memmove(sealed + 2, sealed, sealed_len);
	memcpy(sealed, "\n ", 2);
	sealed_len += 2;
	assert_true(integ_sealed_recognize((const char *) sealed, sealed_len));
	assert_int_equal(open_it(2), INTEG_CRYPTO_OK);
}

static void
opens_base64(void **state)
{
	for (int lines = 0; lines < 2; lines++)
	{
		char path[128];
		FILE *file;

		seal("-outform DER -aes-256-cbc cert0.pem");
		run("base64 %s -in sealed -out base64", lines ? "" : "-A");
		snprintf(path, sizeof(path), "%s/base64", folder);
		file = fopen(path, "rb");
		assert_non_null(file);
		sealed_len = fread(sealed, 1, sizeof(sealed), file);
		fclose(file);
		assert_int_equal(open_it(1), INTEG_CRYPTO_OK);
		assert_memory_equal(opened, "s3cret", 6);
	}
}

static void
refuses_what_is_no_envelope(void **state)
{
	static const char *const texts[] = {
		"", "0", "secret", "-----BEGIN CMS-----", "-----BEGIN CMS-----\nAAAA\n-----END CMS-----\n", "====", "0AAA",
		"\x30\x03\x02\x01\x00", "\x30\x84\xff\xff\xff\xff"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		sealed_len = strlen(texts[i]);
		memcpy(sealed, texts[i], sealed_len);
		assert_int_equal(open_it(2), INTEG_CRYPTO_MALFORMED);
	}
	assert_false(integ_sealed_recognize("-----BEGIN CERTIFICATE-----", 27));
	assert_false(integ_sealed_recognize("", 0));

	/* One for another key, one too large, one with bytes behind it. */
	seal("-outform DER -aes-256-cbc cert1.pem");
	assert_int_equal(open_it(1), INTEG_CRYPTO_MALFORMED);
	assert_int_equal(integ_sealed_open(keys, 2, sealed, INTEG_SEALED_MAX + 1, opened, &opened_len),
					 INTEG_CRYPTO_MALFORMED);
	sealed[sealed_len++] = 0;
	assert_int_equal(open_it(2), INTEG_CRYPTO_MALFORMED);
}

static void
refuses_other_types(void **state)
{
	char path[128];
	FILE *file;

	run("%s", "cms -digest_create -binary -in secret -outform DER -out sealed");
	snprintf(path, sizeof(path), "%s/sealed", folder);
	file = fopen(path, "rb");
	assert_non_null(file);
	sealed_len = fread(sealed, 1, sizeof(sealed), file);
	fclose(file);
	assert_int_equal(open_it(2), INTEG_CRYPTO_MALFORMED);
	/* Encrypted with a password instead of to a certificate. */
	seal("-outform DER -aes-256-cbc -pwri_password secret");
	assert_int_equal(open_it(2), INTEG_CRYPTO_MALFORMED);
}

/* GCM authenticates: no byte of an envelope may be changed without notice, and a failure leaves nothing in out. */
static void
refuses_every_change(void **state)
{
	uint8_t zero[64] = {0};

	seal("-outform DER -aes-256-gcm -recip cert1.pem -keyopt rsa_padding_mode:oaep");
	for (size_t i = 0; i < sealed_len; i++)
	{
		IntegCryptoStatus status;

		sealed[i] ^= 0x55;
		memset(opened, 0, sizeof(zero));
		status = open_it(2);
		if (status == INTEG_CRYPTO_OK)
			assert_memory_equal(opened, "s3cret", 6); /* a byte without meaning, such as a version number */
		else
			assert_memory_equal(opened, zero, sizeof(zero));
		sealed[i] ^= 0x55;
	}
	/* The last 16 bytes are the tag, those before it the text. */
	for (size_t i = sealed_len - 22; i < sealed_len; i++)
	{
		sealed[i] ^= 1;
		assert_int_not_equal(open_it(2), INTEG_CRYPTO_OK);
		sealed[i] ^= 1;
	}
	for (size_t len = 0; len < sealed_len; len++)
		assert_int_not_equal(integ_sealed_open(keys, 2, sealed, len, opened, &opened_len), INTEG_CRYPTO_OK);
}

/* A damaged private key in the vault, a damaged certificate: a status, not a crash. */
static void
survives_damaged_keys(void **state)
{
	IntegSealingKey damaged = keys[0];

	seal("-outform DER -aes-256-gcm cert0.pem");
	damaged.key_len = 10;
	assert_int_equal(integ_sealed_open(&damaged, 1, sealed, sealed_len, opened, &opened_len), INTEG_CRYPTO_FAILED);
	damaged = keys[0];
	damaged.certificate = "no certificate";
	assert_int_equal(integ_sealed_open(&damaged, 1, sealed, sealed_len, opened, &opened_len), INTEG_CRYPTO_FAILED);
	/* The certificate of one pair with the key of the other. */
	damaged = keys[0];
	damaged.key = keys[1].key;
	damaged.key_len = keys[1].key_len;
	assert_int_equal(integ_sealed_open(&damaged, 1, sealed, sealed_len, opened, &opened_len), INTEG_CRYPTO_MISMATCH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificate_is_sound),
		cmocka_unit_test(opens_every_form),
		cmocka_unit_test(opens_base64),
		cmocka_unit_test(refuses_what_is_no_envelope),
		cmocka_unit_test(refuses_other_types),
		cmocka_unit_test(refuses_every_change),
		cmocka_unit_test(survives_damaged_keys),
	};

	return cmocka_run_group_tests(tests, make_keys, release_keys);
}
