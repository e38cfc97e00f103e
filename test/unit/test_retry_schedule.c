/* sources: src/endpoints/retry_schedule.c */
/*
 * What becomes of a delivery after an attempt, and when the next one is made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "endpoints/retry_schedule.h"

#define NOW (1000 * USECS_PER_DAY)

/* 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h: the schedule that is recommended to senders of webhooks. */
static const IntegRetrySchedule usual = {.count = 7,
										 .delays = {5 * USECS_PER_SEC, 5 * USECS_PER_MINUTE, 30 * USECS_PER_MINUTE,
													2 * USECS_PER_HOUR, 5 * USECS_PER_HOUR, 10 * USECS_PER_HOUR,
													10 * USECS_PER_HOUR}};

static IntegDeliveryFate
fate(int counted, TimestampTz retry_after, double random, TimestampTz *at)
{
	*at = 0;
	return integ_delivery_fate(&usual, counted, NOW, retry_after, random, at);
}

static void
test_schedule(void **state)
{
	TimestampTz at, total = 0;

	for (int counted = 1; counted <= usual.count; counted++)
	{
		assert_int_equal(fate(counted, 0, 0, &at), INTEG_DELIVERY_AGAIN);
		assert_int_equal(at - NOW, usual.delays[counted - 1]);
		total += at - NOW;
	}
	assert_int_equal(total, 27 * USECS_PER_HOUR + 35 * USECS_PER_MINUTE + 5 * USECS_PER_SEC);
	assert_int_equal(fate(usual.count + 1, 0, 0, &at), INTEG_DELIVERY_DEAD);
	assert_int_equal(at, 0);
	/* Attempts that a stop broke off are not counted. */
	assert_int_equal(fate(0, 0, 0, &at), INTEG_DELIVERY_AGAIN);
	assert_int_equal(at - NOW, usual.delays[0]);
}

static void
test_no_schedule(void **state)
{
	IntegRetrySchedule none = {0};
	TimestampTz at;

	assert_int_equal(integ_delivery_fate(&none, 1, NOW, 0, 0.5, &at), INTEG_DELIVERY_DEAD);
	assert_int_equal(integ_delivery_fate(&none, 1, NOW, NOW + USECS_PER_HOUR, 0.5, &at), INTEG_DELIVERY_DEAD);
}

/* Never earlier than the schedule says, at most a tenth later, and more for more chance. */
static void
test_jitter(void **state)
{
	for (int counted = 1; counted <= usual.count; counted++)
	{
		int64 delay = usual.delays[counted - 1];
		TimestampTz at, before = 0;

		for (int i = 0; i < 1000; i++)
		{
			assert_int_equal(fate(counted, 0, i / 1000.0, &at), INTEG_DELIVERY_AGAIN);
			assert_true(at >= NOW + delay && at < NOW + delay + delay / 10);
			assert_true(at > before);
			before = at;
		}
		assert_true(before >= NOW + delay + delay * 99 / 1000);
	}
}

static void
test_retry_after(void **state)
{
	TimestampTz at;

	fate(1, NOW + USECS_PER_HOUR, 0.5, &at);
	assert_int_equal(at, NOW + USECS_PER_HOUR);
	/* One that is sooner than the schedule changes nothing, and nobody is obeyed for more than a day. */
	fate(4, NOW + USECS_PER_SEC, 0, &at);
	assert_int_equal(at, NOW + usual.delays[3]);
	fate(1, NOW + 365 * USECS_PER_DAY, 0.5, &at);
	assert_int_equal(at, NOW + USECS_PER_DAY);
	fate(1, NOW - USECS_PER_DAY, 0, &at);
	assert_int_equal(at, NOW + usual.delays[0]);
}

/* What was said by a status counts, whatever comes after it; what we ended ourselves was no answer. */
static void
test_accepted(void **state)
{
	static const struct
	{
		IntegHttpFailure failure;
		long status;
		bool accepted;
	} cases[] = {
		{INTEG_HTTP_OK, 200, true},
		{INTEG_HTTP_OK, 299, true},
		{INTEG_HTTP_OK, 302, false},
		{INTEG_HTTP_OK, 199, false},
		{INTEG_HTTP_OK, 410, false},
		{INTEG_HTTP_OK, 500, false},
		{INTEG_HTTP_TOO_LARGE, 200, true},
		{INTEG_HTTP_TIMEOUT, 204, true},
		{INTEG_HTTP_TIMEOUT, 0, false},
		{INTEG_HTTP_CANCELLED, 200, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		IntegHttpResponse response = {.failure = cases[i].failure, .status = cases[i].status};

		assert_int_equal(integ_delivery_accepted(&response), cases[i].accepted);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schedule), cmocka_unit_test(test_no_schedule), cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_retry_after), cmocka_unit_test(test_accepted)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
