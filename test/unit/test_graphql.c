/* sources: src/graphql/document.c */
/*
 * What a GraphQL document asks for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "graphql/document.h"

static void
one_operation(void **state)
{
	assert_int_equal(integ_graphql_kind("{ viewer { login } }", NULL), INTEG_GRAPHQL_QUERY);
	assert_int_equal(integ_graphql_kind("query { a }", NULL), INTEG_GRAPHQL_QUERY);
	assert_int_equal(integ_graphql_kind("query Q($id: ID! = \"}\") @cached(ttl: 3) { node(id: $id) { id } }", NULL),
					 INTEG_GRAPHQL_QUERY);
	assert_int_equal(integ_graphql_kind("mutation M($i: [In!]!) { make(in: $i) { id } }", NULL), INTEG_GRAPHQL_MUTATION);
	assert_int_equal(integ_graphql_kind("mutation{a}", NULL), INTEG_GRAPHQL_MUTATION);
	assert_int_equal(integ_graphql_kind("subscription { s }", NULL), INTEG_GRAPHQL_SUBSCRIPTION);
	assert_int_equal(integ_graphql_kind("fragment F on User { id } query Q { u { ...F } }", NULL), INTEG_GRAPHQL_QUERY);
}

static void
words_that_are_no_keywords(void **state)
{
	assert_int_equal(integ_graphql_kind("# mutation { x }\nquery { mutation }", NULL), INTEG_GRAPHQL_QUERY);
	assert_int_equal(integ_graphql_kind("query { a(b: \"mutation { \\\" }\") }", NULL), INTEG_GRAPHQL_QUERY);
	assert_int_equal(integ_graphql_kind("query { a(b: \"\"\"mutation { \\\"\"\" }\"\"\") }", NULL), INTEG_GRAPHQL_QUERY);
	assert_int_equal(integ_graphql_kind("mutation query { x }", NULL), INTEG_GRAPHQL_MUTATION);
	assert_int_equal(integ_graphql_kind("mutation @mutation { x }", "mutation"), INTEG_GRAPHQL_NONE);
}

static void
several_operations(void **state)
{
	const char *two = "query Read { a } mutation Write { b }";

	assert_int_equal(integ_graphql_kind(two, NULL), INTEG_GRAPHQL_SEVERAL);
	assert_int_equal(integ_graphql_kind(two, "Read"), INTEG_GRAPHQL_QUERY);
	assert_int_equal(integ_graphql_kind(two, "Write"), INTEG_GRAPHQL_MUTATION);
	assert_int_equal(integ_graphql_kind(two, "Rea"), INTEG_GRAPHQL_NONE);
	assert_int_equal(integ_graphql_kind("{ a }", "Read"), INTEG_GRAPHQL_NONE);
}

static void
no_documents(void **state)
{
	static const char *const bad[] = {"{", "}", "query", "query Q", "{ a ) }", "{ a(b: \"x) }", "hello { a }", "(a)",
									  "{ a(b: \"\"\"x\") }", "query Q { a } }", "{ a } [", "\"x\" { a", "{ a(b: \"x\\"};
	char deep[1024];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(integ_graphql_kind(bad[i], NULL), INTEG_GRAPHQL_MALFORMED);
	assert_int_equal(integ_graphql_kind("", NULL), INTEG_GRAPHQL_NONE);
	assert_int_equal(integ_graphql_kind("# nothing", NULL), INTEG_GRAPHQL_NONE);
	assert_int_equal(integ_graphql_kind("fragment F on User { id }", NULL), INTEG_GRAPHQL_NONE);
	memset(deep, '{', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(integ_graphql_kind(deep, NULL), INTEG_GRAPHQL_MALFORMED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_operation),
		cmocka_unit_test(words_that_are_no_keywords),
		cmocka_unit_test(several_operations),
		cmocka_unit_test(no_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
