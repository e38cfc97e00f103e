/* sources: src/schema/uri.c */
/*
 * References between schemas: the examples of RFC 3986, section 5.4, and what schemas do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schema/uri.h"

static void
expect(const char *base, const char *reference, const char *result)
{
	char out[256];

	assert_true(INTEG_URI_ROOM(strlen(base), strlen(reference)) <= sizeof(out));
	integ_uri_resolve(base, reference, out);
	assert_string_equal(out, result);
}

static void
examples_of_the_rfc(void **state)
{
	static const char *const examples[][2] = {
		{"g:h", "g:h"},
		{"g", "http://a/b/c/g"},
		{"./g", "http://a/b/c/g"},
		{"g/", "http://a/b/c/g/"},
		{"/g", "http://a/g"},
		{"//g", "http://g"},
		{"?y", "http://a/b/c/d;p?y"},
		{"g?y", "http://a/b/c/g?y"},
		{"#s", "http://a/b/c/d;p?q#s"},
		{"g#s", "http://a/b/c/g#s"},
		{"g?y#s", "http://a/b/c/g?y#s"},
		{";x", "http://a/b/c/;x"},
		{"", "http://a/b/c/d;p?q"},
		{".", "http://a/b/c/"},
		{"./", "http://a/b/c/"},
		{"..", "http://a/b/"},
		{"../", "http://a/b/"},
		{"../g", "http://a/b/g"},
		{"../..", "http://a/"},
		{"../../g", "http://a/g"},
		{"../../../g", "http://a/g"},
		{"/./g", "http://a/g"},
		{"/../g", "http://a/g"},
		{"g.", "http://a/b/c/g."},
		{"..g", "http://a/b/c/..g"},
		{"./../g", "http://a/b/g"},
		{"g/./h", "http://a/b/c/g/h"},
		{"g/../h", "http://a/b/c/h"},
		{"g;x=1/../y", "http://a/b/c/y"},
	};

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
		expect("http://a/b/c/d;p?q", examples[i][0], examples[i][1]);
}

static void
bases_of_schemas(void **state)
{
	expect("", "#/a", "#/a");
	expect("", "a.json", "a.json");
	expect("http://h", "a", "http://h/a");
	expect("urn:x:y", "#frag", "urn:x:y#frag");
	expect("http://h/a#old", "#new", "http://h/a#new");
}

static void
escapes_are_decoded_in_place(void **state)
{
	char text[] = "a%20b%2Fc%zz%4";
	size_t len = integ_uri_decode(text, strlen(text));

	assert_int_equal(len, strlen("a b/c%zz%4"));
	assert_memory_equal(text, "a b/c%zz%4", len);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_of_the_rfc),
		cmocka_unit_test(bases_of_schemas),
		cmocka_unit_test(escapes_are_decoded_in_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
