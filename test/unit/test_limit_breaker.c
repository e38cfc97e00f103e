/* sources: src/limits/breaker.c */
/*
 * The circuit breaker's life, on a clock of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "limits/breaker.h"

#define SECOND INT64_C(1000000)

static const IntegBreakerPolicy policy = {.failure_threshold = 3, .half_open_max = 2, .reset_us = 10 * SECOND};
static IntegBreaker breaker;
static int64_t at;
static bool half_opened;

static bool
pass(int64_t now, IntegBreakerPass *out)
{
	half_opened = false;
	return integ_breaker_pass(&breaker, &policy, now, out, &at, &half_opened);
}

static int
setup(void **state)
{
	breaker = (IntegBreaker){0};
	return 0;
}

static void
fail_times(int times, int64_t now)
{
	IntegBreakerPass out;

	for (int i = 0; i < times; i++)
	{
		assert_true(pass(now, &out));
		(void) integ_breaker_failed(&breaker, &policy, out, now);
	}
}

static void
opens_after_failures_in_a_row(void **state)
{
	IntegBreakerPass out;

	fail_times(2, 0);
	assert_true(pass(0, &out));
	assert_false(integ_breaker_succeeded(&breaker, out, 0));
	fail_times(2, 0);
	assert_int_equal(breaker.state, INTEG_BREAKER_CLOSED);
	assert_true(pass(SECOND, &out));
	assert_true(integ_breaker_failed(&breaker, &policy, out, SECOND));
	assert_int_equal(breaker.state, INTEG_BREAKER_OPEN);
	assert_false(pass(2 * SECOND, &out));
	assert_int_equal(at, 11 * SECOND);
	assert_false(pass(11 * SECOND - 1, &out));
	assert_int_equal(breaker.state, INTEG_BREAKER_OPEN);
}

static void
half_open_lets_a_few_through(void **state)
{
	IntegBreakerPass first, second, third;

	fail_times(3, 0);
	assert_true(pass(10 * SECOND, &first));
	assert_true(half_opened);
	assert_true(pass(10 * SECOND, &second));
	assert_false(half_opened);
	assert_false(pass(10 * SECOND, &third));
	assert_true(at > 10 * SECOND && at <= 15 * SECOND);
	integ_breaker_give_back(&breaker, first);
	assert_true(pass(10 * SECOND, &third));
	assert_true(integ_breaker_succeeded(&breaker, second, 11 * SECOND));
	assert_int_equal(breaker.state, INTEG_BREAKER_CLOSED);
	/* What was sent before it closed says nothing any more. */
	assert_false(integ_breaker_failed(&breaker, &policy, third, 11 * SECOND));
	assert_int_equal(breaker.failures, 0);
}

static void
a_probe_without_an_answer_keeps_back_nobody_for_ever(void **state)
{
	IntegBreakerPass first, second, third;

	fail_times(3, 0);
	assert_true(pass(10 * SECOND, &first));
	assert_true(pass(12 * SECOND, &second));
	assert_false(pass(22 * SECOND - 1, &third));
	assert_true(pass(22 * SECOND, &third));
	assert_true(third.probe);
	assert_false(half_opened);
	assert_false(pass(22 * SECOND, &third));
	assert_true(integ_breaker_succeeded(&breaker, second, 23 * SECOND));
	assert_int_equal(breaker.state, INTEG_BREAKER_CLOSED);
}

static void
a_failed_probe_opens_it_again(void **state)
{
	IntegBreakerPass out, late;

	fail_times(3, 0);
	assert_true(pass(10 * SECOND, &out));
	assert_true(pass(10 * SECOND, &late));
	assert_true(integ_breaker_failed(&breaker, &policy, out, 12 * SECOND));
	assert_int_equal(breaker.state, INTEG_BREAKER_OPEN);
	assert_false(pass(21 * SECOND, &out));
	assert_int_equal(at, 22 * SECOND);
	/* The other probe, answered after that, does not close it. */
	assert_false(integ_breaker_succeeded(&breaker, late, 13 * SECOND));
	assert_int_equal(breaker.state, INTEG_BREAKER_OPEN);
}

static void
answers_from_before_do_not_count(void **state)
{
	IntegBreakerPass early, out;

	assert_true(pass(0, &early));
	fail_times(3, 0);
	assert_false(integ_breaker_succeeded(&breaker, early, SECOND));
	assert_int_equal(breaker.state, INTEG_BREAKER_OPEN);
	integ_breaker_close(&breaker, 2 * SECOND);
	assert_true(pass(2 * SECOND, &out));
	assert_false(out.probe);
	integ_breaker_give_back(&breaker, early);
	assert_int_equal(breaker.probes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(opens_after_failures_in_a_row, setup),
		cmocka_unit_test_setup(half_open_lets_a_few_through, setup),
		cmocka_unit_test_setup(a_probe_without_an_answer_keeps_back_nobody_for_ever, setup),
		cmocka_unit_test_setup(a_failed_probe_opens_it_again, setup),
		cmocka_unit_test_setup(answers_from_before_do_not_count, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
