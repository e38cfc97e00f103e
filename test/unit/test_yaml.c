/* sources: src/definitions/yaml.c */
/* libs: -lyaml */
/*
 * YAML as JSON: the core schema's scalars, and documents that mean harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "definitions/yaml.h"

#define MAX_BYTES 10000

static void
expect_json(const char *yaml, const char *json)
{
	char problem[256] = "";
	char *result = integ_yaml_to_json(yaml, strlen(yaml), MAX_BYTES, problem, sizeof(problem));

	if (result == NULL || strcmp(result, json) != 0)
		fail_msg("%s\ngives %s (%s), not %s", yaml, result != NULL ? result : "nothing", problem, json);
	free(result);
}

static void
expect_problem(const char *yaml, size_t len, const char *sentence)
{
	char problem[256] = "";
	char *result = integ_yaml_to_json(yaml, len, MAX_BYTES, problem, sizeof(problem));

	if (result != NULL || strstr(problem, sentence) == NULL)
		fail_msg("%s\ngives %s (%s), not the problem \"%s\"", yaml, result != NULL ? result : "nothing", problem,
				 sentence);
	free(result);
}

static void
structures(void **state)
{
	(void) state;
	expect_json("a: 1\nb:\n  - x\n  - {c: d}\n", "{\"a\":1,\"b\":[\"x\",{\"c\":\"d\"}]}");
	expect_json("--- []\n...\n", "[]");
	expect_json("text", "\"text\"");
	expect_json("a: |\n  two\n  lines\nb: >\n  one\n  line\n", "{\"a\":\"two\\u000alines\\u000a\",\"b\":\"one line\\u000a\"}");
	expect_json("1: a\ntrue: b\n", "{\"1\":\"a\",\"true\":\"b\"}");
	expect_json("{\"a\": \"q\\\"\\\\\\t\\u00e9\"}", "{\"a\":\"q\\\"\\\\\\u0009\xc3\xa9\"}");
}

static void
scalars(void **state)
{
	static const char *const pairs[][2] = {
		{"null", "null"},
		{"~", "null"},
		{"", "null"},
		{"True", "true"},
		{"FALSE", "false"},
		{"yes", "\"yes\""},
		{"no", "\"no\""},
		{"0", "0"},
		{"-12", "-12"},
		{"+12", "12"},
		{"007", "7"},
		{"000", "0"},
		{"0o17", "15"},
		{"0xFf", "255"},
		{"0xg", "\"0xg\""},
		{"1.50", "1.50"},
		{".5", "0.5"},
		{"5.", "5"},
		{"-.5e-3", "-0.5e-3"},
		{"1e3", "1e3"},
		{"1e", "\"1e\""},
		{".", "\".\""},
		{"-", "[null]"},
		{"1.0.0", "\"1.0.0\""},
		{"12a", "\"12a\""},
		{"'12'", "\"12\""},
		{"\"true\"", "\"true\""},
		{"!!str 12", "\"12\""},
		{"2026-01-01", "\"2026-01-01\""},
		{"0x10000000000000000", "\"0x10000000000000000\""},
	};
	char yaml[64], json[64];

	(void) state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		snprintf(yaml, sizeof(yaml), "a:%s%s\n", strcmp(pairs[i][0], "-") == 0 ? "\n" : " ", pairs[i][0]);
		snprintf(json, sizeof(json), "{\"a\":%s}", pairs[i][1]);
		expect_json(yaml, json);
	}
}

static void
aliases(void **state)
{
	(void) state;
	expect_json("a: &x {b: 1}\nc: *x\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1}}");
	expect_json("- &x 1\n- &x 2\n- *x\n", "[1,2,2]");
	expect_problem("a: *x\n", 6, "Line 1, column 4: an alias without its anchor");
	expect_problem("a: &x [*x]\n", 11, "an alias inside of what it stands for");
}

static void
harm(void **state)
{
	static const char laughs[] = "a: &a [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
								 "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n";
	char deep[600];

	(void) state;
	memset(deep, '[', sizeof(deep));
	expect_problem(deep, 300, "too many levels");
	expect_problem(laughs, strlen(laughs), "larger than 10000 bytes");
	expect_problem("a: 1\nb: 2\na: 3\n", 15, "Line 3, column 1: a key comes twice");
	expect_problem("? [a]\n: b\n", 10, "a key must be a scalar");
	expect_problem("a: .inf\n", 8, "no infinity");
	expect_problem("a: !!binary x\n", 14, "only the tag !!str");
	expect_problem("a: !exec x\n", 11, "only the tag !!str");
	expect_problem("a\n---\nb\n", 8, "more than one document");
	expect_problem("", 0, "there is no document");
	expect_problem("a: [1\n", 6, "Line 2");
	expect_problem("a: \xff\n", 5, "Line ");
	expect_problem("a: \"x\\0y\": 1\n", 13, "Line 1");
	expect_problem("\"x\\0y\": 1\n", 10, "null character");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(structures),
		cmocka_unit_test(scalars),
		cmocka_unit_test(aliases),
		cmocka_unit_test(harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
