/* sources: src/webhooks/signature.c src/webhooks/message.c src/webhooks/inbound.c src/webhooks/timestamp.c src/http/form.c src/core/base64.c */
/* libs: -lcrypto */
/*
 * Signatures of inbound requests. What each is to be was computed by openssl on the command line, or is printed by who
 * laid the scheme down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "webhooks/signature.h"

#define NOW INT64_C(1700000000000)

static IntegHttpHeader headers[8];
static IntegSignatureRule rule;
static IntegInbound request;
static char problem[200];

static const char *body_values[4];
static int n_body_values;

static IntegInboundValues
values(void *arg, const char *path)
{
	(void) arg;
	assert_string_equal(path, ".token");
	return (IntegInboundValues){n_body_values, body_values};
}

static void
begin(IntegSignatureScheme scheme, char *body)
{
	memset(&rule, 0, sizeof(rule));
	memset(&request, 0, sizeof(request));
	n_body_values = 0;
	rule.scheme = scheme;
	rule.encoding = INTEG_SIGNATURE_HEX;
	rule.tolerance_ms = -1;
	rule.place.header = "X-Signature";
	request.method = "POST";
	request.url = "https://hooks.example.com/in";
	request.headers = headers;
	request.body = body;
	request.body_len = strlen(body);
	request.now_ms = NOW;
	request.values = values;
}

static void
header(const char *name, const char *value)
{
	headers[request.nheaders++] = (IntegHttpHeader){name, value};
}

/* The keys are copied to memory of their size, so that the sanitizer sees who reads beyond it. */
static IntegSignatureVerdict
verify(const char *key, const char *other)
{
	IntegSignatureKey keys[2] = {{NULL, strlen(key)}, {NULL, other == NULL ? 0 : strlen(other)}};
	char *copies[2] = {malloc(keys[0].len + 1), malloc(keys[1].len + 1)};
	IntegSignatureVerdict verdict;

	memcpy(copies[0], key, keys[0].len);
	keys[0].text = copies[0];
	if (other != NULL)
		memcpy(copies[1], other, keys[1].len);
	keys[1].text = copies[1];
	problem[0] = '\0';
	verdict = integ_signature_verify(&rule, &request, keys, other == NULL ? 1 : 2, problem, sizeof(problem));
	if ((verdict == INTEG_SIGNATURE_VALID) != (problem[0] == '\0'))
		fail_msg("verdict %d: \"%s\"", verdict, problem);
	free(copies[0]);
	free(copies[1]);
	return verdict;
}

/* printf 'Hello, World!' | openssl dgst -sha256 -hmac "It's a Secret to Everybody"; GitHub prints the same. */
#define HELLO "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
#define SECRET "It's a Secret to Everybody"

static void
hmac_is_judged(void **state)
{
	(void) state;
	begin(INTEG_SIGNATURE_HMAC_SHA256, "Hello, World!");
	rule.prefix = "sha256=";
	header("x-signature", "sha256=" HELLO);
	assert_int_equal(verify(SECRET, NULL), INTEG_SIGNATURE_VALID);
	assert_int_equal(verify("another", SECRET), INTEG_SIGNATURE_VALID);
	assert_int_equal(verify("another", NULL), INTEG_SIGNATURE_WRONG);
	assert_int_equal(verify("", NULL), INTEG_SIGNATURE_NO_KEY);
	request.body_len--;
	assert_int_equal(verify(SECRET, NULL), INTEG_SIGNATURE_WRONG);
}

static void
what_is_no_signature_is_refused(void **state)
{
	static const char *const malformed[] = {HELLO, "sha256=", "sha256=75", "sha256=zz", "sha1=" HELLO, "sha256=" HELLO "0",
											"sha256=" HELLO "00"};

	(void) state;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
	{
		begin(INTEG_SIGNATURE_HMAC_SHA256, "Hello, World!");
		rule.prefix = "sha256=";
		header("X-Signature", malformed[i]);
		if (verify(SECRET, NULL) == INTEG_SIGNATURE_VALID)
			fail_msg("%s", malformed[i]);
	}
	begin(INTEG_SIGNATURE_HMAC_SHA256, "Hello, World!");
	assert_int_equal(verify(SECRET, NULL), INTEG_SIGNATURE_MISSING);
	header("X-Signature", "");
	assert_int_equal(verify(SECRET, NULL), INTEG_SIGNATURE_MISSING);
	begin(INTEG_SIGNATURE_HMAC_SHA256, "Hello, World!");
	header("X-Signature", HELLO);
	header("x-signature", HELLO);
	assert_int_equal(verify(SECRET, NULL), INTEG_SIGNATURE_MISSING);
}

/* printf '1699999990.{}' | openssl dgst -sha256 -hmac k */
#define TIMED "40ec81798a2edfa3c206ef959ceff64f4cf75fdcbb880d6b6bbd6e8f4294e8aa"

static void
time_is_signed_and_checked(void **state)
{
	(void) state;
	begin(INTEG_SIGNATURE_HMAC_SHA256, "{}");
	rule.template = "{timestamp}.{body}";
	rule.separator = ",";
	rule.element = "v1";
	rule.timestamp.element = "t";
	rule.tolerance_ms = 300000;
	header("X-Signature", "t=1699999990,v0=00,v1=deadbeef,v1=" TIMED);
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_VALID);
	request.now_ms += 291000;
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_STALE);
	request.now_ms = NOW - 311000;
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_STALE);
	rule.allow_future = true;
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_VALID);
	request.now_ms = NOW;
	headers[0].value = "t=1699999991,v1=" TIMED;
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_WRONG);
	headers[0].value = "v1=" TIMED;
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_MISSING);
}

/* RFC 8032, section 7.1, test 2: its message is one byte. */
static void
ed25519_is_judged(void **state)
{
	static const char key[] = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

	(void) state;
	begin(INTEG_SIGNATURE_ED25519, "\x72");
	rule.key_encoding = INTEG_SIGNATURE_HEX;
	header("X-Signature", "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
						  "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
	assert_int_equal(verify(key, NULL), INTEG_SIGNATURE_VALID);
	assert_int_equal(verify("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", NULL),
					 INTEG_SIGNATURE_WRONG);
	assert_int_equal(verify("3d40", NULL), INTEG_SIGNATURE_WRONG);
	assert_int_equal(verify("xyz", NULL), INTEG_SIGNATURE_NO_KEY);
}

/* Whoever knows a public key could sign with it as a shared secret. */
static void
public_key_is_no_secret(void **state)
{
	(void) state;
	begin(INTEG_SIGNATURE_NONE, "{}");
	integ_signature_standard(&rule);
	header("webhook-id", "m1");
	header("webhook-timestamp", "1700000000");
	/* printf 'm1.1700000000.{}' | openssl dgst -sha256 -binary -hmac '0123456789abcdef0123456789abcdef' | base64 */
	header("webhook-signature", "v1,bjtN0M6J9iC7WTQ7gHLtC68l2VCFvkXpmF6HvtRoCis=");
	assert_int_equal(verify("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", NULL), INTEG_SIGNATURE_VALID);
	assert_int_equal(verify("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", NULL), INTEG_SIGNATURE_VALID);
	assert_int_equal(verify("whpk_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", NULL), INTEG_SIGNATURE_WRONG);
	assert_int_equal(verify("whsec_", NULL), INTEG_SIGNATURE_NO_KEY);
}

static void
tokens_are_compared(void **state)
{
	(void) state;
	begin(INTEG_SIGNATURE_EQUAL, "");
	header("X-Signature", "secret");
	assert_int_equal(verify("secret", NULL), INTEG_SIGNATURE_VALID);
	assert_int_equal(verify("secre", "secrets"), INTEG_SIGNATURE_WRONG);
	rule.prefix = "Bearer ";
	assert_int_equal(verify("secret", NULL), INTEG_SIGNATURE_WRONG);
	headers[0].value = "Bearer secret";
	assert_int_equal(verify("secret", NULL), INTEG_SIGNATURE_VALID);
	assert_int_equal(verify("", NULL), INTEG_SIGNATURE_NO_KEY);

	begin(INTEG_SIGNATURE_EQUAL, "");
	rule.place = (IntegInboundPlace){.query = "key"};
	request.query = "a=1&k%65y=s%20e+cret";
	assert_int_equal(verify("s e cret", NULL), INTEG_SIGNATURE_VALID);
	request.query = "a=1";
	assert_int_equal(verify("s e cret", NULL), INTEG_SIGNATURE_MISSING);

	begin(INTEG_SIGNATURE_EQUAL, "");
	rule.place = (IntegInboundPlace){.path = ".token"};
	assert_int_equal(verify("secret", NULL), INTEG_SIGNATURE_MISSING);
	body_values[n_body_values++] = "secret";
	assert_int_equal(verify("secret", NULL), INTEG_SIGNATURE_VALID);
	body_values[n_body_values++] = "another";
	assert_int_equal(verify("secret", NULL), INTEG_SIGNATURE_WRONG);
}

static void
basic_is_compared(void **state)
{
	(void) state;
	begin(INTEG_SIGNATURE_BASIC, "");
	assert_int_equal(verify("user:pass", NULL), INTEG_SIGNATURE_MISSING);
	header("Authorization", "Basic dXNlcjpwYXNz");
	assert_int_equal(verify("user:pass", NULL), INTEG_SIGNATURE_VALID);
	assert_int_equal(verify("user:other", NULL), INTEG_SIGNATURE_WRONG);
	headers[0].value = "Bearer dXNlcjpwYXNz";
	assert_int_equal(verify("user:pass", NULL), INTEG_SIGNATURE_MALFORMED);
}

/* The sender may have signed the URL with its default port or without. */
static void
forms_are_signed_by_field(void **state)
{
	(void) state;
	begin(INTEG_SIGNATURE_HMAC_SHA1, "b=2&a=x%20y&a=1");
	rule.template = "{url}{sorted_params}";
	header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
	/* printf 'https://hooks.example.com/ina1ax yb2' | openssl dgst -sha1 -hmac k */
	header("X-Signature", "9f877f8f99f7783213bd62fe8b1d3f813118163c");
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_VALID);
	request.url = "https://hooks.example.com:443/in";
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_VALID);
	request.url = "https://hooks.example.com:8443/in";
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_WRONG);
}

static void
body_has_its_digest_in_the_url(void **state)
{
	(void) state;
	begin(INTEG_SIGNATURE_HMAC_SHA1, "{\"a\":1}");
	rule.template = "{url}";
	rule.body_digest = "bodySHA256";
	/* printf '{"a":1}' | openssl dgst -sha256 */
	request.query = "bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
	request.url = "https://h/x?bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
	header("X-Signature", "cb721ee597b65223f1c5b3d23ca4fd54e930c803");
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_VALID);
	request.body = "{\"a\":2}";
	assert_int_equal(verify("k", NULL), INTEG_SIGNATURE_WRONG);
}

static void
times_are_read(void **state)
{
	static const struct
	{
		const char *text;
		IntegSignatureUnit unit;
		int64_t expected; /* -1: it is none */
	} cases[] = {
		{"1700000000", INTEG_SENT_S, NOW},
		{"1700000000000", INTEG_SENT_MS, NOW},
		{"", INTEG_SENT_S, -1},
		{"-1", INTEG_SENT_S, -1},
		{"1e9", INTEG_SENT_S, -1},
		{" 1", INTEG_SENT_S, -1},
		{"99999999999999999999", INTEG_SENT_S, -1},
		{"999999999999999", INTEG_SENT_S, -1},
		{"2023-11-14T22:13:20Z", INTEG_SENT_ISO8601, NOW},
		{"2023-11-14T22:13:20.123456Z", INTEG_SENT_ISO8601, NOW + 123},
		{"2023-11-14T14:13:20-08:00", INTEG_SENT_ISO8601, NOW},
		{"2024-02-29T00:00:00Z", INTEG_SENT_ISO8601, INT64_C(1709164800000)},
		{"2023-11-14T22:13:20", INTEG_SENT_ISO8601, -1},
		{"2023-11-14", INTEG_SENT_ISO8601, -1},
		{"2023-13-14T22:13:20Z", INTEG_SENT_ISO8601, -1},
		{"2023-11-14T22:13:20.Z", INTEG_SENT_ISO8601, -1},
		{"2023-11-14T22:13:20Zx", INTEG_SENT_ISO8601, -1},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int64_t found = -1;

		if (!integ_signature_time(cases[i].text, cases[i].unit, &found))
			found = -1;
		if (found != cases[i].expected)
			fail_msg("%s: %lld", cases[i].text, (long long) found);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hmac_is_judged),
		cmocka_unit_test(what_is_no_signature_is_refused),
		cmocka_unit_test(time_is_signed_and_checked),
		cmocka_unit_test(ed25519_is_judged),
		cmocka_unit_test(public_key_is_no_secret),
		cmocka_unit_test(tokens_are_compared),
		cmocka_unit_test(basic_is_compared),
		cmocka_unit_test(forms_are_signed_by_field),
		cmocka_unit_test(body_has_its_digest_in_the_url),
		cmocka_unit_test(times_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
