/* sources: src/vault/aead.c src/core/hmac.c */
/* libs: -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vault/aead.h"

static uint8_t key[INTEG_DATA_KEY_MAX];
static const IntegVaultAlgorithm algorithms[] = {INTEG_VAULT_AES_CBC_HMAC, INTEG_VAULT_AES_GCM};

static size_t
from_hex(const char *hex, uint8_t *out)
{
	size_t len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++)
	{
		unsigned value;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
		out[i] = (uint8_t) value;
	}
	return len;
}

static int
set_key(void **state)
{
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t) i;
	return 0;
}

static void
names(void **state)
{
	IntegVaultAlgorithm found;

	for (size_t i = 0; i < 2; i++)
	{
		assert_true(integ_algorithm_from_name(integ_algorithm_name(algorithms[i]), &found));
		assert_int_equal(found, algorithms[i]);
	}
	assert_false(integ_algorithm_from_name("rot13", &found));
	assert_int_equal(integ_algorithm_key_size(INTEG_VAULT_AES_CBC_HMAC), 64);
	assert_int_equal(integ_algorithm_key_size(INTEG_VAULT_AES_GCM), 32);
	for (int status = INTEG_CRYPTO_OK; status <= INTEG_CRYPTO_FAILED; status++)
		assert_true(strlen(integ_crypto_message(status)) > 0);
}

/*
 * Made with other tools: "openssl enc -aes-256-cbc -K 00..1f -iv f0..ff" of the text,
 * then Python's hmac with the key 20..3f over length, AAD, IV and ciphertext.
 */
static void
opens_what_other_tools_made(void **state)
{
	uint8_t sealed[256], plain[256];
	size_t len, plain_len;

	len = from_hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff84f474f35a3090a82aae847eff728ab2c6d8dc5cfb3695e68937cb12ec50264e"
				   "0a87c148ad2f36a22c43522e3ec511a55ab72f76ec57496e8bc84ca3b1a90416e34e4cb2dddb074ca1f9a16e6cc78325",
				   sealed);
	assert_int_equal(integ_aead_open(INTEG_VAULT_AES_CBC_HMAC, key, (const uint8_t *) "integ", 5, sealed, len,
									 plain, &plain_len),
					 INTEG_CRYPTO_OK);
	assert_int_equal(plain_len, 43);
	assert_memory_equal(plain, "The quick brown fox jumps over the lazy dog", 43);
}

/* Test case 16 of "The Galois/Counter Mode of Operation" (McGrew, Viega). */
static void
opens_the_gcm_vector(void **state)
{
	uint8_t gcm_key[64], aad[64], sealed[256], plain[256], expected[256];
	size_t len, aad_len, plain_len, expected_len;

	from_hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", gcm_key);
	aad_len = from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad);
	len = from_hex("cafebabefacedbaddecaf888"
				   "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
				   "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
				   "76fc6ece0f4e1768cddf8853bb2d551b",
				   sealed);
	expected_len = from_hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
							"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
							expected);
	assert_int_equal(integ_aead_open(INTEG_VAULT_AES_GCM, gcm_key, aad, aad_len, sealed, len, plain, &plain_len),
					 INTEG_CRYPTO_OK);
	assert_int_equal(plain_len, expected_len);
	assert_memory_equal(plain, expected, expected_len);
}

static void
round_trips(void **state)
{
	static const size_t lengths[] = {0, 1, 15, 16, 17, 31, 32, 33, 1000, 65536, INTEG_AEAD_MAX};
	uint8_t *plain = malloc(INTEG_AEAD_MAX);
	uint8_t *sealed = malloc(INTEG_AEAD_MAX + INTEG_AEAD_OVERHEAD);
	uint8_t *opened = malloc(INTEG_AEAD_MAX + INTEG_AEAD_OVERHEAD);

	for (size_t i = 0; i < INTEG_AEAD_MAX; i++)
		plain[i] = (uint8_t) (i * 7);
	for (size_t a = 0; a < 2; a++)
	{
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		{
			size_t sealed_len, opened_len;

			assert_int_equal(integ_aead_seal(algorithms[a], key, (const uint8_t *) "aad", 3, plain, lengths[i],
											 sealed, &sealed_len),
							 INTEG_CRYPTO_OK);
			assert_true(sealed_len <= lengths[i] + INTEG_AEAD_OVERHEAD);
			assert_int_equal(integ_aead_open(algorithms[a], key, (const uint8_t *) "aad", 3, sealed, sealed_len,
											 opened, &opened_len),
							 INTEG_CRYPTO_OK);
			assert_int_equal(opened_len, lengths[i]);
			assert_memory_equal(opened, plain, lengths[i]);
		}
	}
	free(plain);
	free(sealed);
	free(opened);
}

static void
seals_differently_each_time(void **state)
{
	uint8_t one[128], two[128];
	size_t one_len, two_len;

	for (size_t a = 0; a < 2; a++)
	{
		integ_aead_seal(algorithms[a], key, NULL, 0, (const uint8_t *) "secret", 6, one, &one_len);
		integ_aead_seal(algorithms[a], key, NULL, 0, (const uint8_t *) "secret", 6, two, &two_len);
		assert_int_equal(one_len, two_len);
		assert_memory_not_equal(one, two, 12);			/* the IV */
		assert_memory_not_equal(one + 16, two + 16, 6); /* the ciphertext */
	}
}

/* Every bit flipped, every byte cut off, bytes added: none opens, and nothing of the plaintext is left in out. */
static void
refuses_every_change(void **state)
{
	static const char secret[] = "a secret of more than one block";
	uint8_t sealed[256], opened[256];
	size_t sealed_len, opened_len;

	for (size_t a = 0; a < 2; a++)
	{
		assert_int_equal(integ_aead_seal(algorithms[a], key, (const uint8_t *) "aad", 3, (const uint8_t *) secret,
										 sizeof(secret), sealed, &sealed_len),
						 INTEG_CRYPTO_OK);
		for (size_t bit = 0; bit < sealed_len * 8; bit++)
		{
			sealed[bit / 8] ^= (uint8_t) (1 << bit % 8);
			memset(opened, 0, sizeof(opened));
			assert_int_equal(integ_aead_open(algorithms[a], key, (const uint8_t *) "aad", 3, sealed, sealed_len,
											 opened, &opened_len),
							 INTEG_CRYPTO_MISMATCH);
			assert_int_equal(opened_len, 0);
			for (size_t i = 0; i < sizeof(opened); i++)
				assert_int_equal(opened[i], 0);
			sealed[bit / 8] ^= (uint8_t) (1 << bit % 8);
		}
		for (size_t len = 0; len < sealed_len; len++)
			assert_int_not_equal(integ_aead_open(algorithms[a], key, (const uint8_t *) "aad", 3, sealed, len, opened,
												 &opened_len),
								 INTEG_CRYPTO_OK);
		for (size_t more = 1; more <= 32; more++)
			assert_int_not_equal(integ_aead_open(algorithms[a], key, (const uint8_t *) "aad", 3, sealed,
												 sealed_len + more, opened, &opened_len),
								 INTEG_CRYPTO_OK);
	}
}

static void
refuses_another_aad_or_key(void **state)
{
	uint8_t sealed[256], opened[256];
	size_t sealed_len, opened_len;

	for (size_t a = 0; a < 2; a++)
	{
		integ_aead_seal(algorithms[a], key, (const uint8_t *) "row 1", 5, (const uint8_t *) "secret", 6, sealed,
						&sealed_len);
		assert_int_equal(integ_aead_open(algorithms[a], key, (const uint8_t *) "row 2", 5, sealed, sealed_len, opened,
										 &opened_len),
						 INTEG_CRYPTO_MISMATCH);
		assert_int_equal(integ_aead_open(algorithms[a], key, (const uint8_t *) "row 1", 4, sealed, sealed_len, opened,
										 &opened_len),
						 INTEG_CRYPTO_MISMATCH);
		for (size_t i = 0; i < integ_algorithm_key_size(algorithms[a]); i++)
		{
			key[i] ^= 1;
			/* The encryption half of a CBC key is not what authenticates. */
			if (algorithms[a] == INTEG_VAULT_AES_GCM || i >= 32)
				assert_int_equal(integ_aead_open(algorithms[a], key, (const uint8_t *) "row 1", 5, sealed, sealed_len,
												 opened, &opened_len),
								 INTEG_CRYPTO_MISMATCH);
			key[i] ^= 1;
		}
		/* The other algorithm. */
		assert_int_not_equal(integ_aead_open(algorithms[1 - a], key, (const uint8_t *) "row 1", 5, sealed, sealed_len,
											 opened, &opened_len),
							 INTEG_CRYPTO_OK);
	}
}

/* What was opened before is opened again; one that is too short (60 bytes are the whole of GCM) is still refused. */
static void
opens_again(void **state)
{
	static const char secret[] = "a secret of more than one block";
	uint8_t sealed[256], opened[256];
	size_t sealed_len, opened_len;

	for (size_t a = 0; a < 2; a++)
	{
		integ_aead_seal(algorithms[a], key, (const uint8_t *) "aad", 3, (const uint8_t *) secret, sizeof(secret), sealed,
						&sealed_len);
		assert_int_equal(integ_aead_reopen(algorithms[a], key, (const uint8_t *) "aad", 3, sealed, sealed_len, opened,
										   &opened_len),
						 INTEG_CRYPTO_OK);
		assert_int_equal(opened_len, sizeof(secret));
		assert_memory_equal(opened, secret, sizeof(secret));
		for (size_t len = 0; len < 60; len++)
			assert_int_not_equal(integ_aead_reopen(algorithms[a], key, (const uint8_t *) "aad", 3, sealed, len, opened,
												   &opened_len),
								 INTEG_CRYPTO_OK);
	}
}

static void
refuses_what_is_too_large(void **state)
{
	uint8_t *large = calloc(1, INTEG_AEAD_MAX + 1000);
	uint8_t *out = calloc(1, INTEG_AEAD_MAX + 1000);
	size_t out_len;

	for (size_t a = 0; a < 2; a++)
	{
		assert_int_equal(integ_aead_seal(algorithms[a], key, NULL, 0, large, INTEG_AEAD_MAX + 1, out, &out_len),
						 INTEG_CRYPTO_MALFORMED);
		assert_int_equal(integ_aead_open(algorithms[a], key, NULL, 0, large, INTEG_AEAD_MAX + INTEG_AEAD_OVERHEAD + 1,
										 out, &out_len),
						 INTEG_CRYPTO_MALFORMED);
		assert_int_equal(integ_aead_seal(algorithms[a], key, large, INTEG_AEAD_MAX + 1, large, 1, out, &out_len),
						 INTEG_CRYPTO_MALFORMED);
	}
	free(large);
	free(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(names, set_key),
		cmocka_unit_test_setup(opens_what_other_tools_made, set_key),
		cmocka_unit_test_setup(opens_the_gcm_vector, set_key),
		cmocka_unit_test_setup(round_trips, set_key),
		cmocka_unit_test_setup(seals_differently_each_time, set_key),
		cmocka_unit_test_setup(refuses_every_change, set_key),
		cmocka_unit_test_setup(refuses_another_aad_or_key, set_key),
		cmocka_unit_test_setup(opens_again, set_key),
		cmocka_unit_test_setup(refuses_what_is_too_large, set_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
