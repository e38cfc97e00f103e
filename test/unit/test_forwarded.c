/* Whose request it is, behind proxies.
 * sources: src/ingress/forwarded.c src/http/address.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/forwarded.h"

static void
check(const char *peer, const char *trusted, const char *name, const char *value, const char *expected)
{
	IntegHttpHeader headers[] = {{"Host", "x"}, {name, value}};
	IntegServerRequest request = {.address = peer, .headers = headers, .nheaders = name == NULL ? 1 : 2};
	char address[INTEG_ADDRESS_TEXT_SIZE];

	integ_forwarded_address(&request, trusted, address);
	assert_string_equal(address, expected);
}

#define XFF "X-Forwarded-For"
#define PROXIES "10.0.0.0/8, ::1"

static void
test_untrusted(void **state)
{
	check("192.0.2.1", "", NULL, NULL, "192.0.2.1");
	check("192.0.2.1", "", XFF, "198.51.100.7", "192.0.2.1");
	check("192.0.2.1", PROXIES, XFF, "198.51.100.7", "192.0.2.1");
	check("", PROXIES, XFF, "198.51.100.7", "");
}

static void
test_list(void **state)
{
	check("10.0.0.1", PROXIES, NULL, NULL, "10.0.0.1");
	check("10.0.0.1", PROXIES, XFF, "198.51.100.7", "198.51.100.7");
	check("::1", PROXIES, "x-forwarded-for", "198.51.100.7", "198.51.100.7");
	/* The service writes what it likes; only the last address is the proxy's word. */
	check("10.0.0.1", PROXIES, XFF, "6.6.6.6, 198.51.100.7", "198.51.100.7");
	check("10.0.0.1", PROXIES, XFF, "6.6.6.6, 198.51.100.7 ,10.0.0.2", "198.51.100.7");
	check("10.0.0.1", PROXIES, XFF, "10.0.0.3,10.0.0.2", "10.0.0.3");
	check("10.0.0.1", PROXIES, XFF, "198.51.100.7:4711", "198.51.100.7");
	check("10.0.0.1", PROXIES, XFF, "2001:DB8::1", "2001:db8::1");
	check("10.0.0.1", PROXIES, XFF, "[2001:db8::1]:80", "2001:db8::1");
	check("10.0.0.1", PROXIES, XFF, "::ffff:198.51.100.7", "198.51.100.7");
}

static void
test_forwarded(void **state)
{
	check("10.0.0.1", PROXIES, "Forwarded", "for=198.51.100.7", "198.51.100.7");
	check("10.0.0.1", PROXIES, "Forwarded", "for=6.6.6.6, proto=https; For=\"[2001:db8::1]:4711\" ;by=10.0.0.1",
		  "2001:db8::1");
	check("10.0.0.1", PROXIES, "Forwarded", "for=198.51.100.7, for=10.0.0.2", "198.51.100.7");
	check("10.0.0.1", PROXIES, "Forwarded", "for=_hidden", "10.0.0.1");
	check("10.0.0.1", PROXIES, "Forwarded", "proto=https", "10.0.0.1");
}

/* What cannot be read ends it: the last address that is sure counts. */
static void
test_malformed(void **state)
{
	check("10.0.0.1", PROXIES, XFF, "", "10.0.0.1");
	check("10.0.0.1", PROXIES, XFF, ",", "10.0.0.1");
	check("10.0.0.1", PROXIES, XFF, "unknown", "10.0.0.1");
	check("10.0.0.1", PROXIES, XFF, "198.51.100.7,", "10.0.0.1");
	check("10.0.0.1", PROXIES, XFF, "198.51.100.7, x, 10.0.0.2", "10.0.0.2");
	check("10.0.0.1", PROXIES, XFF, "[2001:db8::1", "10.0.0.1");
	check("10.0.0.1", PROXIES, XFF, "\"", "10.0.0.1");
	check("10.0.0.1", PROXIES, XFF, ":", "10.0.0.1");
	check("10.0.0.1", PROXIES, XFF,
		  "1111111111111111111111111111111111111111111111111111111111111111111111111111111111111", "10.0.0.1");
	check("10.0.0.1", "no list", XFF, "198.51.100.7", "10.0.0.1");
}

/* Nobody knows which of two the proxy wrote. */
static void
test_several(void **state)
{
	IntegHttpHeader both[] = {{XFF, "198.51.100.7"}, {"Forwarded", "for=198.51.100.8"}};
	IntegHttpHeader twice[] = {{XFF, "198.51.100.7"}, {XFF, "198.51.100.8"}};
	IntegServerRequest request = {.address = "10.0.0.1", .headers = both, .nheaders = 2};
	char address[INTEG_ADDRESS_TEXT_SIZE];

	integ_forwarded_address(&request, PROXIES, address);
	assert_string_equal(address, "10.0.0.1");
	request.headers = twice;
	integ_forwarded_address(&request, PROXIES, address);
	assert_string_equal(address, "10.0.0.1");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_untrusted),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_forwarded),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_several),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
