/* sources: src/schema/ecma.c src/schema/ecma_parts.c */
/*
 * Patterns of ECMA-262 in PostgreSQL's words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schema/ecma.h"

static void
expect(const char *pattern, const char *translation)
{
	char out[INTEG_ECMA_MAX_BYTES + 1];
	IntegEcmaResult result;

	if (!integ_ecma_translate(pattern, strlen(pattern), NULL, 0, &result))
		fail_msg("\"%s\" %s", pattern, result.problem);
	assert_true(integ_ecma_translate(pattern, strlen(pattern), out, sizeof(out), &result));
	out[result.length] = '\0';
	assert_string_equal(out, translation);
}

static void
expect_problem(const char *pattern, const char *problem, size_t offset)
{
	IntegEcmaResult result;

	if (integ_ecma_translate(pattern, strlen(pattern), NULL, 0, &result))
		fail_msg("\"%s\" was accepted", pattern);
	assert_string_equal(result.problem, problem);
	assert_int_equal(result.offset, offset);
}

static void
what_is_the_same_stays(void **state)
{
	expect("^ab|c$", "^ab|c$");
	expect("(?:a)(?=b)(?!c)(?<=d)(?<!e)", "(?:a)(?=b)(?!c)(?<=d)(?<!e)");
	expect("a*b+c?d{2}e{2,}f{2,3}", "a*b+c?d{2}e{2,}f{2,3}");
	expect("", "");
	expect("()|", "(?:)|");
}

static void
literals_cannot_be_taken_for_syntax(void **state)
{
	expect("a#b ]}", "a\\u0023b\\u0020\\u005d\\u007d");
	expect("x{a", "x\\u007ba");
	expect("\\/\\.\\-", "\\u002f\\u002e\\u002d");
	expect("[[:alpha:]]", "[\\u005b\\u003aalpha\\u003a]\\u005d");
	expect("é", "\\u00e9");
	expect("\\u{1f432}\\ud83d\\udc32", "\\U0001f432\\U0001f432");
	expect("\\x41B\\cJ\\0\\n", "AB\\u000a\\u0000\\u000a");
	expect("\\ud83dx", "\\ud83dx");
}

static void
sets_do_not_depend_on_the_locale(void **state)
{
	expect("\\d\\D\\w", "[0-9][^0-9][0-9A-Za-z_]");
	expect("[\\d-x]", "[0-9\\u002dx]");
	expect("[a-\\d]", "[a\\u002d0-9]");
	expect("[^\\Da-c\\b]", "[^\\u0000-\\u002f\\u003a-\\U0010ffffa-c\\u0008]");
	expect(".", "[^\\n\\r\\u2028\\u2029]");
	expect("[]", "[^\\u0000-\\U0010ffff]");
	expect("[^]", "[\\u0000-\\U0010ffff]");
	expect("\\p{L}\\P{Lu}\\p{gc=Nd}", "[[:alpha:]][^[:upper:]][[:digit:]]");
	expect("[\\p{General_Category=Letter}_-]", "[[:alpha:]\\u005f\\u002d]");
}

static void
lazy_is_the_same_as_greedy(void **state)
{
	expect("a*?b+?c??d{1,2}?", "a*b+c?d{1,2}");
}

static void
long_repetitions_are_written_out(void **state)
{
	expect("a{300}", "a{255}a{45}");
	expect("a{0,500}", "a{0,255}a{0,245}");
	expect("a{300,500}", "a{255}a{45,245}");
	expect("a{256,}", "a{255}a{1,}");
	expect("(bc){256}", "(?:bc){255}(?:bc){1}");
	expect("a{255,256}", "a{255}a{0,1}");
	expect("a{0}", "a{0}");
}

static void
groups_and_references(void **state)
{
	IntegEcmaResult result;

	expect("(a)\\1", "(a)(?:\\1)");
	expect("(?<n>a)(b)\\k<n>", "(a)(b)(?:\\1)");
	expect("(?<n>a)", "(?:a)");
	assert_true(integ_ecma_translate("(a)\\1", 5, NULL, 0, &result));
	assert_true(result.has_references);
	assert_true(integ_ecma_translate("\\p{L}", 5, NULL, 0, &result));
	assert_true(result.has_classes);
	assert_false(result.has_references);
}

static void
what_is_wrong_is_said(void **state)
{
	expect_problem("(a", "has a group that is not closed", 2);
	expect_problem("a)", "has a parenthesis too many", 1);
	expect_problem("*a", "repeats nothing", 0);
	expect_problem("a|*", "repeats nothing", 2);
	expect_problem("a**", "repeats nothing", 2);
	expect_problem("{2}", "repeats nothing", 3);
	expect_problem("^*", "repeats nothing", 1);
	expect_problem("(?=a)*", "repeats nothing", 5);
	expect_problem("***:x", "repeats nothing", 0);
	expect_problem("(?i)a", "has a group that ECMA-262 does not know", 1);
	expect_problem("[a", "has a bracket that is not closed", 2);
	expect_problem("[b-a]", "has a range that is out of order", 4);
	expect_problem("a{3,2}", "has a repetition whose bounds are out of order", 6);
	expect_problem("a{5001}", "repeats more than 5000 times", 7);
	expect_problem("a{99999999999999999999}", "repeats more than 5000 times", 23);
	expect_problem("\\A", "has an escape that ECMA-262 does not know", 1);
	expect_problem("\\Z", "has an escape that ECMA-262 does not know", 1);
	expect_problem("\\", "ends in a backslash", 1);
	expect_problem("\\x4", "has a malformed \\x escape", 2);
	expect_problem("\\u12", "has a malformed \\u escape", 2);
	expect_problem("\\u{110000}", "has a malformed \\u escape", 9);
	expect_problem("\\c1", "has a malformed \\c escape", 1);
	expect_problem("\\01", "has an octal escape", 1);
	expect_problem("\\p{Nope}", "uses a Unicode property that is not supported", 2);
	expect_problem("\\pL", "has a malformed \\p escape", 2);
	expect_problem("[\\P{L}]", "has \\P within brackets", 6);
	expect_problem("\\1", "refers to a group that it does not have", 2);
	expect_problem("(?<a>x)\\k<b>", "refers to a group that it does not have", 12);
	expect_problem("\\k", "has a reference without a proper name", 1);
	expect_problem("(?<1>x)", "has a group without a proper name", 1);
	expect_problem("(?=(a))\\1", "has a group within a lookaround and references to groups", 4);
	expect_problem("(a)\\1{300}", "repeats more than 255 times and has references to groups", 10);
}

static void
it_does_not_grow_without_an_end(void **state)
{
	char deep[1001];
	IntegEcmaResult result;

	memset(deep, '(', 1000);
	deep[1000] = '\0';
	expect_problem(deep, "is nested too deeply", 201);
	assert_false(integ_ecma_translate("(((a{5000}){5000}){5000}){5000}", 31, NULL, 0, &result));
	assert_string_equal(result.problem, "is too complex");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_the_same_stays),
		cmocka_unit_test(literals_cannot_be_taken_for_syntax),
		cmocka_unit_test(sets_do_not_depend_on_the_locale),
		cmocka_unit_test(lazy_is_the_same_as_greedy),
		cmocka_unit_test(long_repetitions_are_written_out),
		cmocka_unit_test(groups_and_references),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(it_does_not_grow_without_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
