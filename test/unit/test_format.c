/*
 * sources: src/schema/format.c src/schema/format_time.c src/schema/format_net.c
 * sources: src/schema/format_uri.c src/schema/ecma.c src/schema/ecma_parts.c
 *
 * Formats: what the official suite leaves open, and the edges of each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schema/format.h"

typedef struct Case
{
	const char *format;
	const char *text;
	bool valid;
} Case;

static void
check(const Case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		IntegFormat format = integ_format_find(cases[i].format, strlen(cases[i].format));

		assert_int_not_equal(format, INTEG_FORMAT_NONE);
		if (integ_format_valid(format, cases[i].text, strlen(cases[i].text)) != cases[i].valid)
			fail_msg("%s \"%s\" should be %s", cases[i].format, cases[i].text, cases[i].valid ? "valid" : "invalid");
	}
}

#define CHECK(...)                                      \
	do                                                  \
	{                                                   \
		static const Case cases[] = {__VA_ARGS__};      \
		check(cases, sizeof(cases) / sizeof(cases[0])); \
	} while (0)

static void
names_are_found_and_unknown_ones_are_annotations(void **state)
{
	assert_int_equal(integ_format_find("date", 4), INTEG_FORMAT_DATE);
	assert_int_equal(integ_format_find("date-time", 4), INTEG_FORMAT_DATE);
	assert_int_equal(integ_format_find("int32", 5), INTEG_FORMAT_NONE);
	assert_string_equal(integ_format_name(INTEG_FORMAT_DATE_TIME), "date-time");
	assert_string_equal(integ_format_name(INTEG_FORMAT_NONE), "any");
	assert_true(integ_format_valid(INTEG_FORMAT_NONE, "anything", 8));
}

static void
dates_follow_the_calendar(void **state)
{
	CHECK({"date", "2024-02-29", true}, {"date", "2023-02-29", false}, {"date", "1900-02-29", false},
		  {"date", "2000-02-29", true}, {"date", "2024-04-31", false}, {"date", "2024-00-01", false},
		  {"date", "2024-13-01", false}, {"date", "2024-1-01", false}, {"date", "2024-01-01 ", false},
		  {"date", "", false}, {"date", "20240101", false}, {"date", "0000-01-01", true});
}

static void
times_have_a_zone_and_a_leap_second_in_utc(void **state)
{
	CHECK({"time", "00:00:00Z", true}, {"time", "00:00:00", false}, {"time", "24:00:00Z", false},
		  {"time", "23:59:60Z", true}, {"time", "22:59:60Z", false}, {"time", "00:29:60+00:30", true},
		  {"time", "15:59:60-08:00", true}, {"time", "00:00:61Z", false}, {"time", "00:00:00.Z", false},
		  {"time", "00:00:00.123456789Z", true}, {"time", "00:00:00+24:00", false}, {"time", "00:00:00+0100", false},
		  {"time", "0:00:00Z", false}, {"date-time", "2024-01-01T00:00:00z", true},
		  {"date-time", "2024-01-01t00:00:00+01:00", true}, {"date-time", "2024-01-01 00:00:00Z", false},
		  {"date-time", "2024-01-01T", false}, {"date-time", "2024-01-01", false});
}

static void
durations_name_adjacent_units(void **state)
{
	CHECK({"duration", "P1Y", true}, {"duration", "P1Y2M3DT4H5M6S", true}, {"duration", "PT5M", true},
		  {"duration", "P2W", true}, {"duration", "P2W1D", false}, {"duration", "P1Y2D", false},
		  {"duration", "PT1H2S", false}, {"duration", "P", false}, {"duration", "PT", false}, {"duration", "P1DT", false},
		  {"duration", "1D", false}, {"duration", "P1", false}, {"duration", "P1.5D", false}, {"duration", "PT1D", false});
}

static void
hosts_and_addresses(void **state)
{
	CHECK({"hostname", "a", true}, {"hostname", "a.b-c.d1", true}, {"hostname", "-a", false}, {"hostname", "a-", false},
		  {"hostname", "a..b", false}, {"hostname", ".", false}, {"hostname", "", false},
		  {"hostname", "0123456789012345678901234567890123456789012345678901234567890123", false},
		  {"hostname", "012345678901234567890123456789012345678901234567890123456789012", true},
		  {"ipv4", "0.0.0.0", true}, {"ipv4", "255.255.255.255", true}, {"ipv4", "1.2.3", false}, {"ipv4", "1.2.3.4.", false},
		  {"ipv4", "01.2.3.4", false}, {"ipv4", "1.2.3.256", false}, {"ipv4", "1.2.3.4 ", false}, {"ipv4", "", false},
		  {"ipv6", "::", true}, {"ipv6", "::1", true}, {"ipv6", "1::", true}, {"ipv6", "1:2:3:4:5:6:7:8", true},
		  {"ipv6", "1:2:3:4:5:6:7", false}, {"ipv6", "1:2:3:4:5:6:7:8:9", false}, {"ipv6", "1::2::3", false},
		  {"ipv6", "::1.2.3.4", true}, {"ipv6", "::1.2.3", false}, {"ipv6", "1:2:3:4:5:6:1.2.3.4", true},
		  {"ipv6", "12345::", false}, {"ipv6", ":", false}, {"ipv6", ":1", false}, {"ipv6", "1:", false},
		  {"ipv6", "fe80::1%eth0", false}, {"ipv6", "1:2:3:4:5:6:7::", true}, {"ipv6", "1:2:3:4::5:6:7:8", false});
}

static void
mailboxes(void **state)
{
	CHECK({"email", "a@b", true}, {"email", "a.b+c@example.org", true}, {"email", "\"a b\"@example.org", true},
		  {"email", "\"a\\\"b\"@example.org", true}, {"email", "\"a\"b\"@example.org", false},
		  {"email", "\"a\\\"@example.org", false}, {"email", "a@[127.0.0.1]", true}, {"email", "a@[IPv6:::1]", true},
		  {"email", "a@[ipv6:::1]", true}, {"idn-email", "a@-b", false}, {"idn-email", "a@b-.c", false},
		  {"idn-email", "a@b.-c", false}, {"idn-email", "a@b-", false}, {"idn-email", "a@ü-b.c", true},
		  {"email", "a@[300.0.0.1]", false}, {"email", "a@", false}, {"email", "@b", false}, {"email", "a", false},
		  {"email", ".a@b", false}, {"email", "a.@b", false}, {"email", "a..b@c", false}, {"email", "a b@c", false},
		  {"email", "a@b@c", false}, {"email", "ü@b", false}, {"idn-email", "ü@bücher.example", true},
		  {"idn-email", "a@b..c", false}, {"idn-email", "a@b_c", false},
		  {"email", "01234567890123456789012345678901234567890123456789012345678901234@b", false});
}

static void
uris(void **state)
{
	CHECK({"uri", "https://u:p@h.example:8080/p;x/q?r=1&s#f", true}, {"uri", "urn:isbn:0451450523", true},
		  {"uri", "mailto:a@b", true}, {"uri", "file:///etc", true}, {"uri", "http://[::1]:80/", true},
		  {"uri", "http://[v1.a:b]/", true}, {"uri", "http://[::1/", false}, {"uri", "http://a b/", false},
		  {"uri", "http://h/%zz", false}, {"uri", "http://h/%4", false}, {"uri", "//h/p", false}, {"uri", "p", false},
		  {"uri", "1http://h", false}, {"uri", "http://h:80a/", false}, {"uri", "http://h/\\", false},
		  {"uri", "http://h/ü", false}, {"uri", "http://h/#a#b", false}, {"iri", "http://h/ü", true},
		  {"uri-reference", "p/q?r#f", true}, {"uri-reference", "", true}, {"uri-reference", "a:b:c", true},
		  {"uri-reference", "1a:b", false}, {"uri-reference", "./a:b", true}, {"uri-reference", "\\\\h\\p", false},
		  {"iri-reference", "ü", true});
	CHECK({"uri-template", "http://h/{a}{?b,c*,d:3}", true}, {"uri-template", "{", false}, {"uri-template", "}", false},
		  {"uri-template", "{}", false}, {"uri-template", "{a:0}", false}, {"uri-template", "{a:12345}", false},
		  {"uri-template", "{a b}", false}, {"uri-template", "a<b", false}, {"uri-template", "{a..b}", false},
		  {"uri-template", "{a.}", false}, {"uri-template", "{a.*}", false}, {"uri-template", "{a.b}", true},
		  {"uri-template", "{%41}", true}, {"uri-template", "{%4}", false}, {"uri-template", "%", false});
}

static void
other_formats(void **state)
{
	CHECK({"uuid", "018F2C3E-0000-7000-8000-000000000000", true}, {"uuid", "018f2c3e00007000800000000000000000", false},
		  {"uuid", "018f2c3e-0000-7000-8000-00000000000g", false}, {"json-pointer", "", true},
		  {"json-pointer", "/a~0b~1c/0", true}, {"json-pointer", "a", false}, {"json-pointer", "/~", false},
		  {"json-pointer", "/~2", false}, {"relative-json-pointer", "0", true}, {"relative-json-pointer", "1/a", true},
		  {"relative-json-pointer", "2#", true}, {"relative-json-pointer", "01", false},
		  {"relative-json-pointer", "/a", false}, {"relative-json-pointer", "0##", false}, {"byte", "", true},
		  {"byte", "aGVsbG8=", true}, {"byte", "aGVsbA==", true}, {"byte", "aGVsb===", false}, {"byte", "aGVsbG8", false},
		  {"byte", "aGVs bG8=", false}, {"regex", "^a{1,3}$", true}, {"regex", "[a", false});
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found_and_unknown_ones_are_annotations),
		cmocka_unit_test(dates_follow_the_calendar),
		cmocka_unit_test(times_have_a_zone_and_a_leap_second_in_utc),
		cmocka_unit_test(durations_name_adjacent_units),
		cmocka_unit_test(hosts_and_addresses),
		cmocka_unit_test(mailboxes),
		cmocka_unit_test(uris),
		cmocka_unit_test(other_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
