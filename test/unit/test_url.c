/* sources: src/http/url.c */
/* libs: -lcurl */
/*
 * URLs that try to be something else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/url.h"

static void
expect_origin(const char *url, const char *wanted)
{
	char problem[128] = "";
	char *origin = integ_url_origin(url, problem, sizeof(problem));

	if (origin == NULL || strcmp(origin, wanted) != 0)
		fail_msg("the origin of %s is %s (%s), not %s", url, origin != NULL ? origin : "none", problem, wanted);
	free(origin);
}

static void
expect_no_origin(const char *url, const char *sentence)
{
	char problem[128] = "";
	char *origin = integ_url_origin(url, problem, sizeof(problem));

	if (origin != NULL)
		fail_msg("%s has the origin %s, but should be refused", url, origin);
	if (strstr(problem, sentence) == NULL)
		fail_msg("%s is refused with \"%s\", which does not say \"%s\"", url, problem, sentence);
}

static void
origins(void **state)
{
	(void) state;
	expect_origin("https://example.com", "https://example.com");
	expect_origin("https://example.com/", "https://example.com");
	expect_origin("HTTPS://EXAMPLE.com/Path?Q#F", "https://example.com");
	expect_origin("https://example.com:443/x", "https://example.com");
	expect_origin("https://example.com:80/x", "https://example.com:80");
	expect_origin("http://example.com:80", "http://example.com");
	expect_origin("http://example.com:443", "http://example.com:443");
	expect_origin("http://example.com:", "http://example.com");
	expect_origin("http://example.com:00080/", "http://example.com");
	expect_origin("http://example.com:65535/", "http://example.com:65535");
	expect_origin("http://a_b.example-c.com", "http://a_b.example-c.com");
	expect_origin("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example");
	expect_origin("http://[::1]:8080/", "http://[::1]:8080");
	expect_origin("http://[0:0:0:0:0:0:0:1]/", "http://[::1]");
	expect_origin("http://[2600:0::1]/", "http://[2600::1]");
	expect_origin("http://[FD00::A]/", "http://[fd00::a]");
	/* An @ behind the authority is a character like any other. */
	expect_origin("https://example.com/@evil.example", "https://example.com");
	expect_origin("https://example.com?x=@evil.example", "https://example.com");
	expect_origin("https://example.com#@evil.example", "https://example.com");
	/* A number is the address it stands for, so that a rename cannot hide it. */
	expect_origin("http://127.1/", "http://127.0.0.1");
	expect_origin("http://0x7f000001/", "http://127.0.0.1");
}

static void
no_origins(void **state)
{
	char longer[INTEG_URL_MAX + 16];

	(void) state;
	expect_no_origin("", "begin with http");
	expect_no_origin("example.com", "begin with http");
	expect_no_origin("//example.com/", "begin with http");
	expect_no_origin("/path", "begin with http");
	expect_no_origin("ftp://example.com/", "begin with http");
	expect_no_origin("file:///etc/passwd", "begin with http");
	expect_no_origin("javascript:alert(1)", "begin with http");
	expect_no_origin("httpss://example.com/", "begin with http");
	expect_no_origin("http:example.com", "begin with http");
	expect_no_origin("http:/example.com", "begin with http");
	expect_no_origin("http:\\\\example.com", "backslash");
	expect_no_origin("http://", "no host");
	expect_no_origin("http:///path", "no host");
	expect_no_origin("http:////evil.example/", "no host");
	expect_no_origin("http://?x", "no host");
	expect_no_origin("http://#x", "no host");
	expect_no_origin("http://:80/", "no host");
	expect_no_origin("http://user@example.com/", "credentials");
	expect_no_origin("http://user:secret@example.com/", "credentials");
	expect_no_origin("http://@example.com/", "credentials");
	expect_no_origin("http://:@example.com/", "credentials");
	expect_no_origin("http://example.com:80@evil.example/", "credentials");
	expect_no_origin("http://example.com\\@evil.example/", "backslash");
	expect_no_origin("http://example.com\\evil", "backslash");
	expect_no_origin("http://exam ple.com/", "space");
	expect_no_origin(" http://example.com/", "space");
	expect_no_origin("http://example.com/ x", "space");
	expect_no_origin("http://exam\tple.com/", "control");
	expect_no_origin("http://example.com/\r\nHost: evil", "control");
	expect_no_origin("ht\ntp://example.com/", "control");
	expect_no_origin("http://example.com/\x7f", "control");
	expect_no_origin("http://example.com%2eevil.example/", "percent");
	expect_no_origin("http://%65xample.com/", "percent");
	expect_no_origin("http://example.com%00.evil.example/", "percent");
	expect_no_origin("http://[fe80::1%25eth0]/", "percent");
	expect_no_origin("http://b\xc3\xbc"
					 "cher.example/",
					 "ASCII");
	expect_no_origin("http://example.com\xef\xbc\x8f"
					 "evil.example/",
					 "ASCII");
	expect_no_origin("http://example\xe3\x80\x82"
					 "com/",
					 "ASCII");
	expect_no_origin("http://example.com:0/", "port");
	expect_no_origin("http://example.com:65536/", "port");
	expect_no_origin("http://example.com:99999999999/", "port");
	expect_no_origin("http://example.com:-1/", "port");
	expect_no_origin("http://example.com:8o/", "port");
	expect_no_origin("http://example..com/", "malformed");
	expect_no_origin("http://.example.com/", "malformed");
	expect_no_origin("http://./", "malformed");
	expect_no_origin("http://exa;mple.com/", "malformed");
	expect_no_origin("http://exa'mple.com/", "malformed");
	expect_no_origin("http://[::1/", "malformed");
	expect_no_origin("http://[::1]x/", "");
	expect_no_origin("http://[1:2:3]/", "malformed");
	expect_no_origin("http://[]/", "malformed");
	expect_no_origin("http://::1/", "");
	expect_no_origin("http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example/", "malformed");
	memset(longer, 'a', sizeof(longer));
	memcpy(longer, "http://example.com/", 19);
	longer[sizeof(longer) - 1] = '\0';
	expect_no_origin(longer, "too long");
	/* A host beyond what a name can be. */
	memcpy(longer, "http://", 7);
	for (int i = 7; i < 400; i++)
		longer[i] = i % 8 == 0 ? '.' : 'a';
	longer[400] = '\0';
	expect_no_origin(longer, "malformed");
}

static void
expect_url(const char *base, const char *path, const char *query, const char *wanted)
{
	char problem[128] = "";
	char *origin = integ_url_origin(base, problem, sizeof(problem));
	const char *const origins[] = {NULL, origin};

	for (int i = 0; i < 2; i++)
	{
		char *url = integ_url_compose(base, origins[i], path, query, problem, sizeof(problem));

		if (url == NULL || strcmp(url, wanted) != 0)
			fail_msg("%s with %s and %s gives %s (%s), not %s", base, path, query != NULL ? query : "(null)",
					 url != NULL ? url : "nothing", problem, wanted);
		free(url);
	}
	free(origin);
}

static void
expect_no_url(const char *base, const char *path, const char *query, const char *sentence)
{
	char problem[128] = "";
	char *url = integ_url_compose(base, NULL, path, query, problem, sizeof(problem));

	if (url != NULL)
		fail_msg("%s with %s and %s gives %s, but should be refused", base, path, query != NULL ? query : "(null)", url);
	if (strstr(problem, sentence) == NULL)
		fail_msg("%s with %s is refused with \"%s\", which does not say \"%s\"", base, path, problem, sentence);
}

static void
compositions(void **state)
{
	(void) state;
	expect_url("https://example.com", "", NULL, "https://example.com/");
	expect_url("https://example.com/", "", NULL, "https://example.com/");
	expect_url("https://example.com", "/a", NULL, "https://example.com/a");
	expect_url("https://example.com", "a", NULL, "https://example.com/a");
	expect_url("https://example.com/", "/a", NULL, "https://example.com/a");
	expect_url("https://example.com/v1", "/a", NULL, "https://example.com/v1/a");
	expect_url("https://example.com/v1/", "/a", NULL, "https://example.com/v1/a");
	expect_url("https://example.com/v1/", "a/", NULL, "https://example.com/v1/a/");
	expect_url("https://example.com/v1", "", NULL, "https://example.com/v1");
	expect_url("https://example.com/v1/", "", NULL, "https://example.com/v1/");
	expect_url("https://example.com/v1", "/", NULL, "https://example.com/v1/");
	expect_url("HTTPS://Example.COM:443/V1", "/A", NULL, "https://example.com/V1/A");
	expect_url("http://[::1]:8080/x", "/y", "z=1", "http://[::1]:8080/x/y?z=1");
	expect_url("https://example.com", "/a", "b=1&c=2", "https://example.com/a?b=1&c=2");
	expect_url("https://example.com", "/a", "", "https://example.com/a");
	expect_url("https://example.com", "", "b=1", "https://example.com/?b=1");
	expect_url("https://example.com", "?b=1", NULL, "https://example.com/?b=1");
	expect_url("https://example.com", "/a?b=1", "c=2", "https://example.com/a?b=1&c=2");
	expect_url("https://example.com/v1?key=k", "/a?b=1", "c=2", "https://example.com/v1/a?key=k&b=1&c=2");
	expect_url("https://example.com?key=k", "/a", NULL, "https://example.com/a?key=k");
	/* Characters that mean nothing here stay, others are encoded. */
	expect_url("https://example.com", "/@handle/x:y;z=1,2!$&'()*+~", NULL, "https://example.com/@handle/x:y;z=1,2!$&'()*+~");
	expect_url("https://example.com", "/caf\xc3\xa9/{x}|\"<>^`[]", NULL,
			   "https://example.com/caf%C3%A9/%7Bx%7D%7C%22%3C%3E%5E%60%5B%5D");
	expect_url("https://example.com", "/a", "q=\xc3\xa9&f[x]=1?/", "https://example.com/a?q=%C3%A9&f%5Bx%5D=1?/");
	expect_url("https://example.com", "/a%20b%2Fc%5Cd%00", "e=%0A", "https://example.com/a%20b%2Fc%5Cd%00?e=%0A");
	expect_url("https://example.com", "/a//b", NULL, "https://example.com/a//b");
	expect_url("https://example.com", "/...", NULL, "https://example.com/...");
	expect_url("https://example.com", "/.a/..b/c..", NULL, "https://example.com/.a/..b/c..");
	expect_url("https://example.com", "/v1.0/a.b", NULL, "https://example.com/v1.0/a.b");
	expect_url("https://example.com", "/%252e%252e/x", NULL, "https://example.com/%252e%252e/x");
	expect_url("https://example.com", "/cache/https://other.example/x", NULL, "https://example.com/cache/https://other.example/x");
	expect_url("https://example.com", "/x", "to=../../y", "https://example.com/x?to=../../y");
}

static void
no_compositions(void **state)
{
	static const char *const climbing[] = {
		"/../x", "/..", "..", ".", "/.", "/./x", "/a/../b", "/a/..", "/../", "/%2e%2e/x", "/%2E%2e", "/.%2e/x", "/%2e./x",
		"/%2e", "/a/%2e%2e%2fb", "/..%2fx", "/a%2f..%2fb", "/a%2f..", "/..%5cx", "/a%5c..%5cb", "/..;/x", "/..;a=b/x",
		"/%2e%2e;/x", "/.;/x", "/..//", "/a/..?b=1"};

	(void) state;
	for (size_t i = 0; i < sizeof(climbing) / sizeof(climbing[0]); i++)
	{
		expect_no_url("https://example.com/v1", climbing[i], NULL, "segment");
		expect_no_url("https://example.com", climbing[i], "a=1", "segment");
	}
	expect_no_url("https://example.com/v1/../x", "/a", NULL, "segment");
	expect_no_url("https://example.com", "@evil.example/", NULL, "@");
	expect_no_url("https://example.com", ":8080/", NULL, "@");
	expect_no_url("https://example.com", ":80@evil.example/", NULL, "@");
	expect_no_url("https://example.com", "//evil.example", NULL, "//");
	expect_no_url("https://example.com/v1", "//evil.example/x", NULL, "//");
	expect_no_url("https://example.com", "///evil.example/x", NULL, "//");
	expect_no_url("https://example.com", "https://evil.example/", NULL, "whole URL");
	expect_no_url("https://example.com", "file:///etc/passwd", NULL, "whole URL");
	expect_no_url("https://example.com", "\\\\evil.example", NULL, "backslash");
	expect_no_url("https://example.com", "/\\evil.example", NULL, "backslash");
	expect_no_url("https://example.com", "/a\\..\\b", NULL, "backslash");
	expect_no_url("https://example.com", "/a b", NULL, "space");
	expect_no_url("https://example.com", "/a\tb", NULL, "control");
	expect_no_url("https://example.com", "/a\r\nX: y", NULL, "control");
	expect_no_url("https://example.com", "/a#b", NULL, "%23");
	expect_no_url("https://example.com", "/a?b#c", NULL, "%23");
	expect_no_url("https://example.com", "/a", "b#c", "%23");
	expect_no_url("https://example.com", "/a", "b c", "space");
	expect_no_url("https://example.com", "/a", "b\nc", "control");
	expect_no_url("https://example.com", "/a", "b=%", "%25");
	expect_no_url("https://example.com", "/a", "b=%2", "%25");
	expect_no_url("https://example.com", "/a%", NULL, "%25");
	expect_no_url("https://example.com", "/a%zz", NULL, "%25");
	expect_no_url("https://example.com", "/a%2", NULL, "%25");
	expect_no_url("https://example.com#x", "/a", NULL, "fragment");
	expect_no_url("https://example.com/v1?a#x", "/a", NULL, "fragment");
	expect_no_url("https://user:pw@example.com", "/a", NULL, "credentials");
	expect_no_url("ftp://example.com", "/a", NULL, "http");
	expect_no_url("", "/a", NULL, "http");
}

/* Whatever a value is, once encoded it stays inside its segment. */
static void
values_stay_in_their_place(void **state)
{
	static const char *const values[] = {"../../admin", "a/b", "@evil.example", "//evil", "x?y=1#z", "\r\nHost: evil",
										 "%2e%2e", "caf\xc3\xa9", "a b", "\\..\\x", "http://evil.example/"};
	char problem[128];

	(void) state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
	{
		char *encoded = integ_url_encode(values[i], strlen(values[i]));
		char path[256], wanted[300], *url;

		snprintf(path, sizeof(path), "/items/%s/detail", encoded);
		url = integ_url_compose("https://example.com/v1", NULL, path, NULL, problem, sizeof(problem));
		snprintf(wanted, sizeof(wanted), "https://example.com/v1%s", path);
		if (url != NULL)
			assert_string_equal(url, wanted);
		else
			assert_non_null(strstr(problem, "segment"));
		free(url);
		free(encoded);
	}
}

static void
encoding(void **state)
{
	char *encoded = integ_url_encode("aZ09-._~ /?#[]@!$&'()*+,;=%\"\xc3\xa9\0x", 32);

	(void) state;
	assert_string_equal(encoded, "aZ09-._~%20%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D%25%22%C3%A9%00x");
	free(encoded);
	encoded = integ_url_encode("", 0);
	assert_string_equal(encoded, "");
	free(encoded);
}

static void
expect_target(const char *url, const char *location, const char *wanted)
{
	char problem[128] = "";
	char *target = integ_url_resolve(url, location, problem, sizeof(problem));

	if (wanted == NULL ? target != NULL : target == NULL || strcmp(target, wanted) != 0)
		fail_msg("%s against %s gives %s (%s), not %s", location, url, target != NULL ? target : "nothing", problem,
				 wanted != NULL ? wanted : "nothing");
	if (wanted == NULL)
		assert_true(problem[0] != '\0');
	free(target);
}

static void
redirects(void **state)
{
	char longer[INTEG_URL_MAX + 16];

	(void) state;
	expect_target("https://example.com/a/b?c", "/d", "https://example.com/d");
	expect_target("https://example.com/a/b?c", "d", "https://example.com/a/d");
	expect_target("https://example.com/a/b?c", "../d?e#f", "https://example.com/d?e");
	expect_target("https://example.com/a/b", "?x=1", "https://example.com/a/b?x=1");
	expect_target("https://example.com/a", "https://example.com:443/z", "https://example.com:443/z");
	expect_target("https://example.com/a", "http://169.254.169.254/", "http://169.254.169.254/");
	expect_target("https://example.com/a", "//evil.example/x", "https://evil.example/x");
	expect_target("https://example.com/a", "https://user:pw@example.com/", NULL);
	expect_target("https://example.com/a", "//user@example.com/", NULL);
	expect_target("https://example.com/a", "file:///etc/passwd", NULL);
	expect_target("https://example.com/a", "ftp://example.com/", NULL);
	expect_target("https://example.com/a", "gopher://example.com/", NULL);
	expect_target("https://example.com/a", "/x\r\ny", NULL);
	expect_target("https://example.com/a", "/x y", NULL);
	expect_target("https://example.com/a", "/\\evil.example", NULL);
	expect_target("not a url", "/x", NULL);
	memset(longer, '/', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	expect_target("https://example.com/a", longer, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(origins),
		cmocka_unit_test(no_origins),
		cmocka_unit_test(compositions),
		cmocka_unit_test(no_compositions),
		cmocka_unit_test(encoding),
		cmocka_unit_test(values_stay_in_their_place),
		cmocka_unit_test(redirects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
