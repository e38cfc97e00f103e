/* sources: src/vault/aead.c src/vault/key_wrap.c src/core/hmac.c */
/* libs: -lcrypto */
/*
 * Opening ciphertexts, unwrapping keys and reading master keys: no input opens
 * that was not sealed, and what was sealed opens. The first byte chooses.
 */
#include <stdlib.h>
#include <string.h>

#include "vault/key_wrap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t key[INTEG_DATA_KEY_MAX] = "a key that nobody knows, of sixty-four bytes in all, exactly";

static void
require(bool condition)
{
	if (!condition)
		abort();
}

/* Seals the input, opens it, and opens it with one bit changed. */
static void
round_trip(IntegVaultAlgorithm algorithm, const uint8_t *data, size_t size)
{
	uint8_t *sealed = malloc(size + INTEG_AEAD_OVERHEAD);
	uint8_t *opened = malloc(size + INTEG_AEAD_OVERHEAD);
	size_t sealed_len, opened_len, bit;

	require(integ_aead_seal(algorithm, key, data, size / 2, data, size, sealed, &sealed_len) == INTEG_CRYPTO_OK);
	require(integ_aead_open(algorithm, key, data, size / 2, sealed, sealed_len, opened, &opened_len) ==
			INTEG_CRYPTO_OK);
	require(opened_len == size && memcmp(opened, data, size) == 0);
	bit = size > 0 ? data[0] * 131 % (sealed_len * 8) : 0;
	sealed[bit / 8] ^= (uint8_t) (1 << bit % 8);
	require(integ_aead_open(algorithm, key, data, size / 2, sealed, sealed_len, opened, &opened_len) !=
			INTEG_CRYPTO_OK);
	free(sealed);
	free(opened);
}

static void
open_anything(IntegVaultAlgorithm algorithm, const uint8_t *data, size_t size)
{
	uint8_t *opened = malloc(size + 1);
	size_t opened_len;

	require(integ_aead_open(algorithm, key, NULL, 0, data, size, opened, &opened_len) != INTEG_CRYPTO_OK);
	require(opened_len == 0);
	free(opened);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *unwrapped;
	uint8_t master[INTEG_MASTER_KEY_SIZE];
	const char *problem = NULL;

	if (size == 0)
		return 0;
	switch (data[0] % 6)
	{
		case 0:
		case 1:
			round_trip((IntegVaultAlgorithm) (data[0] % 6), data + 1, size - 1);
			break;
		case 2:
		case 3:
			open_anything((IntegVaultAlgorithm) (data[0] % 6 - 2), data + 1, size - 1);
			break;
		case 4:
			unwrapped = malloc(size);
			require(integ_key_unwrap(key, data + 1, size - 1, unwrapped) != INTEG_CRYPTO_OK);
			free(unwrapped);
			break;
		default:
			require(integ_master_key_parse((const char *) data + 1, size - 1, master, &problem) ||
					problem != NULL);
	}
	return 0;
}
