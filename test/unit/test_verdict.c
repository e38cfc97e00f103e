/* sources: src/calls/verdict.c */
/*
 * What becomes of a durable call after an attempt: the table of docs/errors.md, and when it is tried again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "calls/verdict.h"
#include "core/errors.h"

#define NOW (1000 * USECS_PER_SEC)

/* What was sent, and what came back. */
typedef enum Course
{
	NOT_SENT,
	ANSWER_LOST,
	ANSWERED,
	ANSWERED_5XX,
	COURSES
} Course;

static IntegAttempt
attempt_of(int sqlerrcode, Course course, bool repeatable)
{
	return (IntegAttempt){.sqlerrcode = sqlerrcode,
						  .answered = course >= ANSWERED,
						  .server_error = course == ANSWERED_5XX,
						  .maybe_sent = course != NOT_SENT,
						  .repeatable = repeatable,
						  .counted = 1,
						  .max_attempts = 3,
						  .now = NOW,
						  .delay_ms = 1000,
						  .max_delay_ms = 60000,
						  .random = 0.5};
}

static void
expect(const char *what, const IntegAttempt *attempt, IntegVerdictKind wanted)
{
	IntegVerdict verdict = integ_call_verdict(attempt);

	if (verdict.kind != wanted)
		fail_msg("%s: verdict %d, not %d", what, (int) verdict.kind, (int) wanted);
	if ((wanted == INTEG_VERDICT_DEAD || wanted == INTEG_VERDICT_UNKNOWN) != (verdict.reason != NULL))
		fail_msg("%s: DEAD and UNKNOWN have a reason, others none", what);
}

static const struct
{
	const char *what;
	int sqlerrcode;
	Course course;
	IntegVerdictKind once;		 /* of a write that must not be repeated */
	IntegVerdictKind repeatable; /* of anything else */
} cases[] = {
	{"success", 0, ANSWERED, INTEG_VERDICT_SUCCEEDED, INTEG_VERDICT_SUCCEEDED},
	{"bad input", ERRCODE_INTEG_INVALID, NOT_SENT, INTEG_VERDICT_FAILED, INTEG_VERDICT_FAILED},
	{"401", ERRCODE_INTEG_UNAUTHENTICATED, ANSWERED, INTEG_VERDICT_FAILED, INTEG_VERDICT_FAILED},
	{"no credential", ERRCODE_INTEG_UNAUTHENTICATED, NOT_SENT, INTEG_VERDICT_FAILED, INTEG_VERDICT_FAILED},
	{"blocked address", ERRCODE_INTEG_FORBIDDEN, NOT_SENT, INTEG_VERDICT_FAILED, INTEG_VERDICT_FAILED},
	{"no such instance", ERRCODE_INTEG_NOT_FOUND, NOT_SENT, INTEG_VERDICT_FAILED, INTEG_VERDICT_FAILED},
	{"422", ERRCODE_INTEG_REFUSED, ANSWERED, INTEG_VERDICT_FAILED, INTEG_VERDICT_FAILED},
	{"429 of the service", ERRCODE_INTEG_RATE_LIMIT, ANSWERED, INTEG_VERDICT_RETRY, INTEG_VERDICT_RETRY},
	{"our rate limit", ERRCODE_INTEG_RATE_LIMIT, NOT_SENT, INTEG_VERDICT_RETRY, INTEG_VERDICT_RETRY},
	{"500", ERRCODE_INTEG_BAD_ANSWER, ANSWERED_5XX, INTEG_VERDICT_UNKNOWN, INTEG_VERDICT_RETRY},
	{"invalid answer", ERRCODE_INTEG_BAD_ANSWER, ANSWERED, INTEG_VERDICT_FAILED, INTEG_VERDICT_FAILED},
	{"half an answer", ERRCODE_INTEG_BAD_ANSWER, ANSWER_LOST, INTEG_VERDICT_UNKNOWN, INTEG_VERDICT_RETRY},
	{"certificate", ERRCODE_INTEG_BAD_ANSWER, NOT_SENT, INTEG_VERDICT_FAILED, INTEG_VERDICT_FAILED},
	{"circuit open", ERRCODE_INTEG_CIRCUIT_OPEN, NOT_SENT, INTEG_VERDICT_RETRY, INTEG_VERDICT_RETRY},
	{"no connection", ERRCODE_INTEG_UNREACHABLE, NOT_SENT, INTEG_VERDICT_RETRY, INTEG_VERDICT_RETRY},
	{"timeout", ERRCODE_INTEG_UNREACHABLE, ANSWER_LOST, INTEG_VERDICT_UNKNOWN, INTEG_VERDICT_RETRY},
	{"out of memory before", ERRCODE_OUT_OF_MEMORY, NOT_SENT, INTEG_VERDICT_RETRY, INTEG_VERDICT_RETRY},
	{"out of memory behind", ERRCODE_OUT_OF_MEMORY, ANSWER_LOST, INTEG_VERDICT_UNKNOWN, INTEG_VERDICT_FAILED},
	{"serialization failure", ERRCODE_T_R_SERIALIZATION_FAILURE, NOT_SENT, INTEG_VERDICT_RETRY, INTEG_VERDICT_RETRY},
	{"shutdown", ERRCODE_ADMIN_SHUTDOWN, NOT_SENT, INTEG_VERDICT_RETRY, INTEG_VERDICT_RETRY},
	{"a bug", ERRCODE_INTERNAL_ERROR, NOT_SENT, INTEG_VERDICT_FAILED, INTEG_VERDICT_FAILED},
	{"no master key", ERRCODE_INTEG_INSTALLATION, NOT_SENT, INTEG_VERDICT_FAILED, INTEG_VERDICT_FAILED},
};

static void
the_table(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		IntegAttempt once = attempt_of(cases[i].sqlerrcode, cases[i].course, false);
		IntegAttempt repeatable = attempt_of(cases[i].sqlerrcode, cases[i].course, true);

		expect(cases[i].what, &once, cases[i].once);
		expect(cases[i].what, &repeatable, cases[i].repeatable);
	}
}

/* Whatever else is true of it, a write that may have arrived and is not known to have failed is never sent again. */
static void
never_twice(void **state)
{
	static const int codes[] = {ERRCODE_INTEG_UNREACHABLE, ERRCODE_INTEG_BAD_ANSWER, ERRCODE_INTEG_INSTALLATION,
								ERRCODE_OUT_OF_MEMORY, ERRCODE_ADMIN_SHUTDOWN, ERRCODE_QUERY_CANCELED};

	(void) state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		for (int course = ANSWER_LOST; course < COURSES; course++)
			for (int flags = 0; flags < 4; flags++)
			{
				IntegAttempt attempt = attempt_of(codes[i], (Course) course, false);

				attempt.held = (flags & 1) != 0;
				attempt.interrupted = (flags & 2) != 0;
				if (course == ANSWERED)
					continue; /* a whole answer that says no */
				expect("sent", &attempt, INTEG_VERDICT_UNKNOWN);
			}
}

static void
held_and_interrupted(void **state)
{
	IntegAttempt attempt = attempt_of(ERRCODE_INTEG_INSTALLATION, NOT_SENT, false);
	IntegVerdict verdict;

	(void) state;
	attempt.held = true;
	attempt.counted = attempt.max_attempts;
	verdict = integ_call_verdict(&attempt);
	assert_int_equal(verdict.kind, INTEG_VERDICT_RETRY);
	assert_false(verdict.counts);
	assert_true(verdict.retry_at > NOW);

	attempt.held = false;
	attempt.interrupted = true;
	verdict = integ_call_verdict(&attempt);
	assert_int_equal(verdict.kind, INTEG_VERDICT_RETRY);
	assert_false(verdict.counts);
	assert_true(verdict.retry_at == NOW);
}

static void
when_it_ends(void **state)
{
	IntegAttempt attempt = attempt_of(ERRCODE_INTEG_UNREACHABLE, NOT_SENT, false);
	IntegVerdict verdict = integ_call_verdict(&attempt);

	(void) state;
	assert_int_equal(verdict.kind, INTEG_VERDICT_RETRY);
	assert_true(verdict.counts);
	assert_true(verdict.retry_at == NOW + USECS_PER_SEC / 2);

	/* The service's word is kept, and no attempt is made behind the end. */
	attempt.retry_after = NOW + 10 * USECS_PER_SEC;
	verdict = integ_call_verdict(&attempt);
	assert_true(verdict.retry_at == NOW + 10 * USECS_PER_SEC);
	attempt.expires_at = NOW + 10 * USECS_PER_SEC;
	expect("behind its end", &attempt, INTEG_VERDICT_DEAD);
	attempt.expires_at++;
	expect("before its end", &attempt, INTEG_VERDICT_RETRY);

	attempt.counted = attempt.max_attempts;
	expect("no attempt left", &attempt, INTEG_VERDICT_DEAD);
	attempt.counted--;
	expect("one attempt left", &attempt, INTEG_VERDICT_RETRY);
}

static void
delays(void **state)
{
	(void) state;
	assert_true(integ_retry_backoff(NOW, 1, 1000, 60000, 0) == NOW);
	assert_true(integ_retry_backoff(NOW, 1, 1000, 60000, 1) == NOW + USECS_PER_SEC);
	assert_true(integ_retry_backoff(NOW, 2, 1000, 60000, 1) == NOW + 2 * USECS_PER_SEC);
	assert_true(integ_retry_backoff(NOW, 5, 1000, 60000, 1) == NOW + 16 * USECS_PER_SEC);
	assert_true(integ_retry_backoff(NOW, 7, 1000, 60000, 1) == NOW + 60 * USECS_PER_SEC);
	/* However often it failed: no overflow, and not beyond the longest delay. */
	assert_true(integ_retry_backoff(NOW, INT32_MAX, 1000, 60000, 1) == NOW + 60 * USECS_PER_SEC);
	assert_true(integ_retry_backoff(NOW, 3, 90000, 60000, 1) == NOW + 60 * USECS_PER_SEC);
}

static void
words(void **state)
{
	(void) state;
	assert_string_equal(integ_verdict_state(INTEG_VERDICT_SUCCEEDED), "succeeded");
	assert_string_equal(integ_verdict_state(INTEG_VERDICT_FAILED), "failed");
	assert_string_equal(integ_verdict_state(INTEG_VERDICT_DEAD), "dead");
	assert_string_equal(integ_verdict_state(INTEG_VERDICT_UNKNOWN), "unknown");
	assert_null(integ_verdict_state(INTEG_VERDICT_RETRY));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table),
		cmocka_unit_test(never_twice),
		cmocka_unit_test(held_and_interrupted),
		cmocka_unit_test(when_it_ends),
		cmocka_unit_test(delays),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
