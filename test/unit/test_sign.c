/* sources: src/endpoints/sign.c src/core/base64.c src/core/hmac.c */
/* libs: -lcrypto */
/*
 * Signatures of outbound requests. What the first is to be is printed in the README of the Standard Webhooks' own
 * libraries; the others were computed by openssl on the command line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "endpoints/sign.h"

static IntegSigningKey
read_key(const char *text)
{
	IntegSigningKey key;

	assert_true(integ_signing_key_read(text, strlen(text), &key));
	return key;
}

static bool
is_key(const char *text)
{
	IntegSigningKey key;

	return integ_signing_key_read(text, strlen(text), &key);
}

static void
known_signature(void **state)
{
	static const char body[] = "{\"test\": 2432232314}";
	IntegSigningKey key = read_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
	char out[INTEG_SIGNATURE_SIZE];

	assert_true(integ_sign_standard(&key, 1, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, strlen(body), out));
	assert_string_equal(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void
without_prefix(void **state)
{
	IntegSigningKey with = read_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
	IntegSigningKey without = read_key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");

	assert_int_equal(with.len, 24);
	assert_memory_equal(&with, &without, sizeof(with));
}

static void
several_keys(void **state)
{
	IntegSigningKey keys[2] = {read_key("whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"),
							   read_key("whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")};
	char out[2 * INTEG_SIGNATURE_SIZE], again[INTEG_SIGNATURE_SIZE];
	char *second;

	assert_true(integ_sign_standard(keys, 2, "id", 1, "{}", 2, out));
	second = strchr(out, ' ');
	assert_non_null(second);
	assert_int_equal(strncmp(out, "v1,", 3), 0);
	assert_int_equal(strncmp(second + 1, "v1a,", 4), 0);
	assert_int_equal(strlen(second + 1), 4 + 88);
	/* Ed25519 is deterministic (RFC 8032, section 5.1). */
	assert_true(integ_sign_standard(&keys[1], 1, "id", 1, "{}", 2, again));
	assert_string_equal(again, second + 1);
}

static void
public_key(void **state)
{
	/* RFC 8032, section 7.1, test 1. */
	IntegSigningKey key = read_key("whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=");
	char text[INTEG_SIGNING_TEXT_SIZE];

	assert_true(key.asymmetric);
	assert_true(integ_signing_public_key(&key, text));
	assert_string_equal(text, "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
}

static void
no_keys(void **state)
{
	char *longest = malloc(4096);

	memset(longest, 'A', 4095);
	longest[4095] = '\0';
	assert_false(is_key(""));
	assert_false(is_key("whsec_"));
	assert_false(is_key("whsec_no base64!"));
	assert_false(is_key("whsk_QUJD"));
	assert_false(is_key("whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
	assert_false(is_key(longest));
	free(longest);
}

static void
new_keys(void **state)
{
	char first[INTEG_SIGNING_TEXT_SIZE], second[INTEG_SIGNING_TEXT_SIZE];

	for (int asymmetric = 0; asymmetric <= 1; asymmetric++)
	{
		assert_true(integ_signing_key_make(asymmetric, first));
		assert_true(integ_signing_key_make(asymmetric, second));
		assert_string_not_equal(first, second);
		assert_int_equal(read_key(first).asymmetric, asymmetric);
		assert_int_equal(read_key(first).len, 32);
	}
}

static void
body_header(void **state)
{
	/* As GitHub's documentation prints it. */
	char out[INTEG_BODY_SIGNATURE_SIZE];

	assert_true(integ_sign_body("It's a Secret to Everybody", 26, "Hello, World!", 13, out));
	assert_string_equal(out, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_signature),
		cmocka_unit_test(without_prefix),
		cmocka_unit_test(several_keys),
		cmocka_unit_test(public_key),
		cmocka_unit_test(no_keys),
		cmocka_unit_test(new_keys),
		cmocka_unit_test(body_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
