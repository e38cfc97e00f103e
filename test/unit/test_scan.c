/* sources: src/template/scan.c src/template/steps.c */
/*
 * The scanner of text templates and of paths.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "template/scan.h"

/* Tokens in one line: 'literal' <placeholder> <+placeholder> [ ] or !problem. */
static const char *
tokens(const char *source)
{
	static char out[1024];
	size_t n = 0;
	IntegScan scan;
	IntegScanToken token;

	out[0] = '\0';
	integ_scan_begin(&scan, source, strlen(source));
	while ((token = integ_scan_next(&scan)) != INTEG_SCAN_END)
	{
		static const char *const shapes[] = {
			[INTEG_SCAN_LITERAL] = "'%.*s'", [INTEG_SCAN_PLACEHOLDER] = "<%.*s>", [INTEG_SCAN_OPEN] = "%.*s", [INTEG_SCAN_CLOSE] = "%.*s"};

		if (token == INTEG_SCAN_MALFORMED)
		{
			snprintf(out + n, sizeof(out) - n, "!%zu", scan.at);
			return out;
		}
		n += snprintf(out + n, sizeof(out) - n, token == INTEG_SCAN_PLACEHOLDER && scan.keep_slashes ? "<+%.*s>" : shapes[token],
					  (int) scan.len, scan.text);
	}
	return out;
}

static void
texts_are_cut(void **state)
{
	assert_string_equal(tokens(""), "");
	assert_string_equal(tokens("plain"), "'plain'");
	assert_string_equal(tokens("{a}"), "<a>");
	assert_string_equal(tokens("/x/{+p}?q={r}"), "'/x/'<+p>'?q='<r>");
	assert_string_equal(tokens("a[&b={b}]c"), "'a'['&b='<b>]'c'");
	assert_string_equal(tokens("{a[0].\"x}y\"}"), "<a[0].\"x}y\">");
}

static void
escapes_and_literal_brackets(void **state)
{
	assert_string_equal(tokens("{{a}}"), "'{''a''}'");
	assert_string_equal(tokens("[[{a}]]"), "'['<a>']'");
	assert_string_equal(tokens("[a]"), "'[''a'']'");
	assert_string_equal(tokens("a]b"), "'a'']''b'");
	assert_string_equal(tokens("x[1]={v}"), "'x''[''1'']''='<v>");
	assert_string_equal(tokens("[q[[{a}]]=1]"), "['q''['<a>']''=1']");
	assert_string_equal(tokens("[{{no}}]"), "'[''{''no''}'']'");
	assert_string_equal(tokens("[abc"), "'[''abc'");
	assert_string_equal(tokens("[a[b]c]"), "'[''a''[''b'']''c'']'");
}

static void
malformed_texts_are_refused_where_they_are(void **state)
{
	assert_string_equal(tokens("a{b"), "'a'!1");
	assert_string_equal(tokens("{}"), "!0");
	assert_string_equal(tokens("{+}"), "!0");
	assert_string_equal(tokens("a}"), "'a'!1");
	assert_string_equal(tokens("[a{b}"), "!0");
	assert_string_equal(tokens("[a[b]{c}]"), "!0");
	assert_string_equal(tokens("[{a}]]"), "!0");
	assert_string_equal(tokens("{a\"}"), "!0");
}

/* Steps in one line: key, #index, or !problem. */
static const char *
steps(const char *source)
{
	static char out[1024];
	char key[256];
	size_t n = 0;
	IntegSteps s;

	out[0] = '\0';
	integ_steps_begin(&s, source, strlen(source));
	while (integ_steps_next(&s))
	{
		if (s.key == NULL)
			n += snprintf(out + n, sizeof(out) - n, "#%d ", s.index);
		else
			n += snprintf(out + n, sizeof(out) - n, "%.*s ", (int) integ_steps_unescape(&s, key), key);
	}
	if (s.problem != NULL)
		snprintf(out + n, sizeof(out) - n, "!");
	return out;
}

static void
paths_are_cut(void **state)
{
	assert_string_equal(steps(""), "");
	assert_string_equal(steps("a"), "a ");
	assert_string_equal(steps("data.items[0].id"), "data items #0 id ");
	assert_string_equal(steps("[-1]"), "#-1 ");
	assert_string_equal(steps("a[0][1]"), "a #0 #1 ");
	assert_string_equal(steps("\"odd key\".b"), "odd key b ");
	assert_string_equal(steps("a[\"odd ] key\"]"), "a odd ] key ");
	assert_string_equal(steps("\"a\\\"b\\\\c\""), "a\"b\\c ");
	assert_string_equal(steps("x-y.$z.ü"), "x-y $z ü ");
	assert_string_equal(steps("\"\""), " ");
}

static void
malformed_paths_are_refused(void **state)
{
	static const char *const wrong[] = {".", "a.", "a..b", "a b", "a[", "a[]", "a[x]", "a[1", "a[-]",
										"a[-0]", "a.[0]", "a[0]b", "\"a", "\"a\\n\"", "\"a\"b", "a{b", "a\x01", "a[999999999999]",
										"a[\"b\"", "a[\"b", "a]"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (strchr(steps(wrong[i]), '!') == NULL)
			fail_msg("\"%s\" was accepted", wrong[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_cut),
		cmocka_unit_test(escapes_and_literal_brackets),
		cmocka_unit_test(malformed_texts_are_refused_where_they_are),
		cmocka_unit_test(paths_are_cut),
		cmocka_unit_test(malformed_paths_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
