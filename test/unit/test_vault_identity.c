/* sources: src/vault/identity.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vault/identity.h"

static const char *const origins[] = {"https://a.example", "https://b.example"};
static const IntegCredentialIdentity base = {
	"instance", "i1", "acme", "token", 1, origins, 2, "aes-256-cbc-hmac", "00000000-0000-0000-0000-000000000001"};

static size_t
encode(const IntegCredentialIdentity *identity, uint8_t *out, size_t size)
{
	size_t len = integ_identity_size(identity);

	assert_true(len < size);
	memset(out, 0xee, size);
	integ_identity_encode(identity, out);
	assert_int_equal(out[len], 0xee); /* nothing beyond the announced size */
	return len;
}

static void
has_the_documented_form(void **state)
{
	static const uint8_t expected[] = "\0\0\0\022integ.credential.1"
									  "\0\0\0\1k"
									  "\0\0\0\2id"
									  "\0\0\0\1*"
									  "\0\0\0\1n"
									  "\0\0\0\0\0\0\1\2"
									  "\0\0\0\1"
									  "\0\0\0\1o"
									  "\0\0\0\1a"
									  "\0\0\0\1d";
	const char *const one[] = {"o"};
	IntegCredentialIdentity identity = {"k", "id", "*", "n", 258, one, 1, "a", "d"};
	uint8_t out[256];
	size_t len = encode(&identity, out, sizeof(out));

	assert_int_equal(len, sizeof(expected) - 1);
	assert_memory_equal(out, expected, len);
}

static void
changes_with_every_part(void **state)
{
	const char *const joined[] = {"https://a.examplehttps://b.example"};
	const char *const swapped[] = {"https://b.example", "https://a.example"};
	IntegCredentialIdentity others[12];
	uint8_t expected[512], out[512];
	size_t expected_len = encode(&base, expected, sizeof(expected));

	for (size_t i = 0; i < 12; i++)
		others[i] = base;
	others[0].owner_kind = "webhook";
	others[1].owner_id = "i2";
	others[2].client_id = "*";
	others[3].name = "token2";
	others[4].version = 2;
	others[5].norigins = 1;
	others[6].norigins = 0;
	others[7].origins = joined;
	others[7].norigins = 1;
	others[8].origins = swapped;
	others[9].algorithm = "aes-256-gcm";
	others[10].data_key = "00000000-0000-0000-0000-000000000002";
	/* A character that moves over a border. */
	others[11].owner_id = "i1a";
	others[11].client_id = "cme";
	for (size_t i = 0; i < 12; i++)
	{
		size_t len = encode(&others[i], out, sizeof(out));

		assert_true(len != expected_len || memcmp(out, expected, len) != 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_the_documented_form),
		cmocka_unit_test(changes_with_every_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
