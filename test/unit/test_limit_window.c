/* sources: src/limits/window.c */
/*
 * The rolling window: never more requests in any window than the limit, as a
 * service counts them, and not much fewer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "limits/window.h"

#define START INT64_C(1000000000000)
#define SECOND INT64_C(1000000)

static uint64_t random_state = 88172645463325252u;

static uint32_t
random_below(uint32_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t) (random_state % bound);
}

/* One request of the model: it reaches the service somewhere between grant and answer. */
typedef struct Request
{
	int64_t seen;
	int64_t answered;
	bool done;
} Request;

static int
compare_times(const void *a, const void *b)
{
	int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

	return x < y ? -1 : x > y;
}

/* Sends as fast as the window lets it for that long; returns how many requests the service has seen. */
static int
simulate(uint32_t limit, int64_t per_us, int64_t latency_max, int64_t duration)
{
	static Request requests[20000];
	static int64_t seen[20000];
	IntegWindow window;
	int count = 0, open = 0;

	integ_window_init(&window, limit, per_us);
	for (int64_t now = START; now < START + duration; now += 1 + random_below((uint32_t) (per_us / 500) + 1))
	{
		for (int i = open; i < count; i++)
			if (!requests[i].done && requests[i].answered <= now)
			{
				/* The answer is noticed a little later than it came. */
				integ_window_answered(&window, now);
				requests[i].done = true;
			}
		while (open < count && requests[open].done)
			open++;
		while (integ_window_room(&window, now) > 0 && count < 20000)
		{
			int64_t latency = random_below((uint32_t) latency_max) + 1;

			integ_window_take(&window);
			if (random_below(20) == 0)
			{
				integ_window_give_back(&window);
				break;
			}
			requests[count] = (Request){.seen = now + random_below((uint32_t) latency), .answered = now + latency};
			seen[count] = requests[count].seen;
			count++;
		}
	}
	qsort(seen, count, sizeof(int64_t), compare_times);
	for (int i = 0; i + (int) limit < count; i++)
		assert_true(seen[i + limit] - seen[i] >= per_us);
	return count;
}

static void
never_more_than_the_limit(void **state)
{
	static const struct
	{
		uint32_t limit;
		int64_t per_us;
	} limits[] = {{1, SECOND}, {3, SECOND}, {10, 7 * SECOND + 3}, {60, 6 * SECOND}, {600, 60 * SECOND}, {5, 37}};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
	{
		int64_t duration = limits[i].per_us * 20;
		int most = (int) limits[i].limit * 20;
		int slow;

		int count = simulate(limits[i].limit, limits[i].per_us, limits[i].per_us / 200 + 1, duration);

		if (limits[i].per_us >= 1000)
			assert_true(count >= most * 95 / 100);
		/* With answers that take longer than the window there are fewer, and never more. */
		slow = simulate(limits[i].limit, limits[i].per_us, limits[i].per_us * 2, duration);
		assert_true(slow > 0 && slow < most);
	}
}

static void
next_says_when(void **state)
{
	IntegWindow window;
	int64_t first, second;

	integ_window_init(&window, 2, 10 * SECOND);
	assert_int_equal(integ_window_next(&window, 1, START), START);
	integ_window_take(&window);
	integ_window_take(&window);
	assert_int_equal(integ_window_next(&window, 1, START), -1);
	integ_window_answered(&window, START);
	integ_window_answered(&window, START + 3 * SECOND);
	first = integ_window_next(&window, 1, START + 3 * SECOND);
	second = integ_window_next(&window, 2, START + 3 * SECOND);
	assert_true(first >= START + 10 * SECOND && first <= START + 10 * SECOND + 10 * SECOND / 32);
	assert_true(second >= START + 13 * SECOND && second <= START + 13 * SECOND + 10 * SECOND / 32);
	assert_int_equal(integ_window_room(&window, first - 1), 0);
	assert_int_equal(integ_window_room(&window, first), 1);
	assert_int_equal(integ_window_reset(&window, first), second);
	assert_int_equal(integ_window_room(&window, second), 2);
	assert_int_equal(integ_window_reset(&window, second), second);
}

static void
concurrency_is_a_window_of_no_length(void **state)
{
	IntegWindow window;

	integ_window_init(&window, 2, 0);
	integ_window_take(&window);
	integ_window_take(&window);
	assert_int_equal(integ_window_room(&window, START), 0);
	assert_int_equal(integ_window_next(&window, 1, START), -1);
	integ_window_answered(&window, START);
	assert_int_equal(integ_window_room(&window, START), 1);
	integ_window_give_back(&window);
	integ_window_give_back(&window);
	assert_int_equal(integ_window_room(&window, START), 2);
}

static void
what_is_counted_later_ends_in_time(void **state)
{
	IntegWindow window;

	integ_window_init(&window, 10, 64 * SECOND);
	integ_window_count(&window, 4, START - 60 * SECOND, START);
	integ_window_count(&window, 3, START - 200 * SECOND, START);
	assert_int_equal(integ_window_room(&window, START), 6);
	assert_int_equal(integ_window_room(&window, START + 6 * SECOND), 10);
	/* A limit that becomes smaller. */
	integ_window_count(&window, 8, START + 6 * SECOND, START + 6 * SECOND);
	window.limit = 5;
	assert_int_equal(integ_window_room(&window, START + 6 * SECOND), 0);
	assert_int_equal(integ_window_next(&window, 9, START + 6 * SECOND),
					 integ_window_reset(&window, START + 6 * SECOND));
}

/* A clock that stands still, jumps ahead, or comes a little late: no slot is lost or invented. */
static void
clocks_that_jump(void **state)
{
	IntegWindow window;

	integ_window_init(&window, 3, SECOND);
	for (int i = 0; i < 3; i++)
		integ_window_take(&window);
	integ_window_answered(&window, START);
	integ_window_answered(&window, START - SECOND / 10);
	integ_window_answered(&window, START + 1);
	assert_int_equal(integ_window_room(&window, START), 0);
	assert_int_equal(integ_window_room(&window, START + 1000000 * SECOND), 3);
	integ_window_take(&window);
	integ_window_answered(&window, START);
	assert_int_equal(integ_window_room(&window, START + 1000000 * SECOND), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_more_than_the_limit),
		cmocka_unit_test(next_says_when),
		cmocka_unit_test(concurrency_is_a_window_of_no_length),
		cmocka_unit_test(what_is_counted_later_ends_in_time),
		cmocka_unit_test(clocks_that_jump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
