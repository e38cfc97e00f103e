/* sources: src/http/address.c */
/*
 * The address guard: lists, special-purpose ranges, addresses inside addresses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "http/address.h"

static bool
allowed(const char *text, const char *list)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return integ_address_allowed((struct sockaddr *) &v4, list);
	assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return integ_address_allowed((struct sockaddr *) &v6, list);
}

static void
expect(bool wanted, const char *const *addresses, const char *list)
{
	for (; *addresses != NULL; addresses++)
		if (allowed(*addresses, list) != wanted)
			fail_msg("%s should%s be allowed with the list \"%s\"", *addresses, wanted ? "" : " not",
					 list != NULL ? list : "(null)");
}

static void
public_addresses_are_allowed(void **state)
{
	static const char *const public[] = {
		"8.8.8.8", "1.0.0.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
		"128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0",
		"192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0",
		"223.255.255.255", "168.63.129.15", "168.63.129.17",
		"2600::1", "2001:4860:4860::8888", "2a00:1450::1", "2001:200::1", "3ffe::1", "2620:4f:8000::1",
		"::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2600::5efe:808:808", NULL};

	(void) state;
	expect(true, public, "");
	expect(true, public, NULL);
	expect(true, public, "10.0.0.0/8");
}

static void
special_addresses_are_not(void **state)
{
	static const char *const special[] = {
		"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "100.100.100.200",
		"127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.0.0", "169.254.169.254", "169.254.255.255",
		"172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.0",
		"192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.255", "224.0.0.1",
		"239.255.255.255", "240.0.0.0", "255.255.255.255",
		"::", "::1", "::2", "::127.0.0.1", "::8.8.8.8", "100::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
		"ff02::1", "2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:808:808::1",
		"3fff::1", "3fff:fff::1", "5f00::1", "4000::1", "64:ff9b:1::808:808", "::ffff:0:808:808",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
		"2600::5efe:10.0.0.1", "2600::200:5efe:7f00:1", NULL};

	(void) state;
	expect(false, special, "");
	expect(false, special, NULL);
	/* A list that says something else allows none of them, nor does a malformed one. */
	expect(false, special, "172.20.5.5/32");
	expect(false, special, "0.0.0.0/0, ::/0, nonsense");
	expect(false, special, "nonsense, 0.0.0.0/0, ::/0");
}

static void
list_names_networks(void **state)
{
	(void) state;
	assert_true(allowed("10.1.2.3", "10.0.0.0/8"));
	assert_true(allowed("11.1.2.3", "172.16.0.0/12"));
	assert_true(allowed("127.0.0.1", " 10.0.0.0/8 , 127.0.0.1 "));
	assert_false(allowed("127.0.0.2", "10.0.0.0/8,127.0.0.1"));
	assert_true(allowed("127.0.0.2", "127.0.0.0/8,::1/128"));
	assert_true(allowed("::1", "127.0.0.0/8,::1/128"));
	assert_false(allowed("::1", "127.0.0.0/8"));
	assert_true(allowed("fd12::5", "fd00::/8"));
	assert_true(allowed("fe80::5", "fe80::/10"));
	assert_false(allowed("fec0::5", "fe80::/10"));
	assert_true(allowed("172.16.5.5", "172.16.5.4/31"));
	assert_false(allowed("172.16.5.6", "172.16.5.4/31"));
	/* The mapped form is the IPv4 address, in the list as in the socket. */
	assert_true(allowed("::ffff:10.0.0.1", "10.0.0.0/8"));
	assert_true(allowed("10.0.0.1", "::ffff:10.0.0.0/104"));
	/* All of IPv6 is not all of IPv4. */
	assert_true(allowed("fd00::1", "::/0"));
	assert_false(allowed("10.0.0.1", "::/0"));
	assert_true(allowed("10.0.0.1", "0.0.0.0/0"));
	assert_false(allowed("fd00::1", "0.0.0.0/0"));
}

static void
carried_addresses_are_judged_too(void **state)
{
	(void) state;
	/* The translator's prefix being allowed does not allow what is behind it. */
	assert_false(allowed("64:ff9b::10.0.0.1", "64:ff9b::/96"));
	assert_true(allowed("64:ff9b::10.0.0.1", "10.0.0.0/8"));
	assert_false(allowed("2002:a00:1::1", "2002::/16"));
	assert_false(allowed("2002:a00:1::1", "10.0.0.0/8"));
	assert_true(allowed("2002:a00:1::1", "2002::/16, 10.0.0.0/8"));
	assert_true(allowed("2002:808:808::1", "2002::/16"));
	/* Teredo: server 8.8.8.8 and client 10.0.0.1 inverted; then the other way round. */
	assert_false(allowed("2001:0:808:808:0:0:f5ff:fffe", "2001::/32"));
	assert_true(allowed("2001:0:808:808:0:0:f5ff:fffe", "2001::/32,10.0.0.1"));
	assert_false(allowed("2001:0:a00:1:0:0:f7f7:f7f7", "2001::/32"));
	assert_true(allowed("2001:0:808:808:0:0:f7f7:f7f7", "2001::/32"));
	/* NAT64 for local use, in its /96 form and in its /48 form (RFC 6052, section 2.2). */
	assert_false(allowed("64:ff9b:1::a00:1", "64:ff9b:1::/48"));
	assert_true(allowed("64:ff9b:1::808:808", "64:ff9b:1::/48"));
	assert_false(allowed("64:ff9b:1:a00:0:100::", "64:ff9b:1::/48"));
	assert_true(allowed("64:ff9b:1:808:8:800::", "64:ff9b:1::/48"));
	assert_false(allowed("::10.0.0.1", "::/96"));
	assert_true(allowed("::8.8.8.8", "::/96"));
}

static void
other_families_are_refused(void **state)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	char text[INTEG_ADDRESS_TEXT_SIZE];

	(void) state;
	assert_false(integ_address_allowed((struct sockaddr *) &local, "0.0.0.0/0, ::/0"));
	integ_address_text((struct sockaddr *) &local, text, sizeof(text));
	assert_string_equal(text, "?");
}

static void
addresses_are_written(void **state)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	char text[INTEG_ADDRESS_TEXT_SIZE];

	(void) state;
	integ_address_text((struct sockaddr *) &v4, text, sizeof(text));
	assert_string_equal(text, "127.0.0.1");
	integ_address_text((struct sockaddr *) &v6, text, sizeof(text));
	assert_string_equal(text, "::1");
}

static void
lists_are_checked(void **state)
{
	static const char *const good[] = {"", "  ", "10.0.0.0/8", "10.0.0.0/8,127.0.0.1/32", " ::1 ,\tfe80::/10\n",
									   "0.0.0.0/0", "::/0", "1.2.3.4", "::ffff:10.0.0.0/104"};
	static const struct
	{
		const char *list, *sentence;
	} bad[] = {{",", "empty"},
			   {"10.0.0.0/8,", "empty"},
			   {",10.0.0.0/8", "empty"},
			   {"10.0.0.0/8,,::1", "empty"},
			   {"10.0.0.1/8", "bits set"},
			   {"fe80::1/10", "bits set"},
			   {"10.0.0.0/33", "mask"},
			   {"::/129", "mask"},
			   {"10.0.0.0/", "mask"},
			   {"10.0.0.0/-1", "mask"},
			   {"10.0.0.0/+8", "mask"},
			   {"10.0.0.0/8x", "mask"},
			   {"10.0.0.0/99999999999999999999", "mask"},
			   {"10.0.0", "not an IPv4"},
			   {"010.0.0.0/8", "not an IPv4"},
			   {"10.0.0.0 /8", "not an IPv4"},
			   {"localhost", "not an IPv4"},
			   {"[::1]", "not an IPv4"},
			   {"fe80::1%eth0", "not an IPv4"},
			   {"10.0.0.0/8;127.0.0.1", "mask"},
			   {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "too long"}};
	char problem[128];

	(void) state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(integ_address_list_check(good[i], problem, sizeof(problem)));
	assert_true(integ_address_list_check(NULL, problem, sizeof(problem)));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		problem[0] = '\0';
		assert_false(integ_address_list_check(bad[i].list, problem, sizeof(problem)));
		if (strstr(problem, bad[i].sentence) == NULL)
			fail_msg("\"%s\" gives \"%s\", which does not say \"%s\"", bad[i].list, problem, bad[i].sentence);
	}
	/* A small buffer cuts the sentence and nothing else. */
	char small[8];

	assert_false(integ_address_list_check("nonsense", small, sizeof(small)));
	assert_int_equal(strlen(small), 7);
}

static void
hosts_are_judged_by_their_text(void **state)
{
	static const char *const refused[] = {"localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1", "[::1]",
										  "169.254.169.254", "[fe80::1]", "[::ffff:10.0.0.1]"};
	static const char *const unknown[] = {"example.com", "notlocalhost", "localhost.example", "8.8.8.8", "[2600::1]",
										  "", "[]",
										  "a-name-that-is-much-longer-than-any-literal-address-can-possibly-be.example"};

	(void) state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (integ_address_host_allowed(refused[i], ""))
			fail_msg("%s should be refused", refused[i]);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		if (!integ_address_host_allowed(unknown[i], ""))
			fail_msg("%s should be allowed", unknown[i]);
	assert_true(integ_address_host_allowed("localhost", "127.0.0.0/8"));
	assert_true(integ_address_host_allowed("[::1]", "::1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(public_addresses_are_allowed),
		cmocka_unit_test(special_addresses_are_not),
		cmocka_unit_test(list_names_networks),
		cmocka_unit_test(carried_addresses_are_judged_too),
		cmocka_unit_test(other_families_are_refused),
		cmocka_unit_test(addresses_are_written),
		cmocka_unit_test(lists_are_checked),
		cmocka_unit_test(hosts_are_judged_by_their_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
