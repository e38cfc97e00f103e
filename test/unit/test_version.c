/* sources: src/definitions/version.c */
/*
 * Semantic versions: what is one, and which comes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "definitions/version.h"

static void
versions_are_parsed(void **state)
{
	IntegVersion version;

	(void) state;
	assert_true(integ_version_parse("1.20.300-beta.1+build.7", &version));
	assert_int_equal(version.major, 1);
	assert_int_equal(version.minor, 20);
	assert_int_equal(version.patch, 300);
	assert_int_equal(version.prerelease_len, 6);
	assert_memory_equal(version.prerelease, "beta.1", 6);
}

static void
others_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"1",
		"1.0",
		"1.0.0.0",
		"v1.0.0",
		"01.0.0",
		"1.00.0",
		"1.0.00",
		"1.0.0-",
		"1.0.0-a..b",
		"1.0.0-01",
		"1.0.0+",
		"1.0.0+a..b",
		"1.0.0-a_b",
		"-1.0.0",
		"1.0.0 ",
		" 1.0.0",
		"1.a.0",
		"1..0",
		"1.0.0-é",
		"1.0.0\n",
		"99999999999999999999.0.0",
	};
	IntegVersion version;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (integ_version_parse(bad[i], &version))
			fail_msg("\"%s\" is taken for a version", bad[i]);
}

/* semver.org, section 11, in ascending order. */
static void
versions_have_an_order(void **state)
{
	static const char *const ascending[] = {
		"0.9.9",
		"1.0.0-alpha",
		"1.0.0-alpha.1",
		"1.0.0-alpha.beta",
		"1.0.0-beta",
		"1.0.0-beta.2",
		"1.0.0-beta.11",
		"1.0.0-rc.1",
		"1.0.0",
		"1.0.1",
		"1.2.0",
		"1.10.0",
		"2.0.0-1",
		"2.0.0-a",
		"2.0.0",
		"10.0.0",
	};
	size_t count = sizeof(ascending) / sizeof(ascending[0]);
	IntegVersion a, b;

	(void) state;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++)
		{
			int order;

			assert_true(integ_version_parse(ascending[i], &a) && integ_version_parse(ascending[j], &b));
			order = integ_version_compare(&a, &b);
			if ((order > 0) != (i > j) || (order < 0) != (i < j))
				fail_msg("%s against %s gives %d", ascending[i], ascending[j], order);
		}
}

static void
build_metadata_has_no_order(void **state)
{
	IntegVersion a, b;

	(void) state;
	assert_true(integ_version_parse("1.0.0-rc.1+a", &a) && integ_version_parse("1.0.0-rc.1+b", &b));
	assert_int_equal(integ_version_compare(&a, &b), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_are_parsed),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(versions_have_an_order),
		cmocka_unit_test(build_metadata_has_no_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
