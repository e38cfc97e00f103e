/*
 * What becomes of a call after an attempt.
 */
#include "calls/verdict.h"

#include "core/errors.h"

/* A call that nothing may be sent for is looked at again after this. */
#define HELD_DELAY (5 * USECS_PER_SEC)

/* One whose token is being refreshed, after this: the others of its instance wait with it. */
#define TOKEN_DELAY (100 * INT64CONST(1000))

static IntegVerdict
verdict(IntegVerdictKind kind, const char *reason)
{
	return (IntegVerdict){.kind = kind, .reason = reason};
}

TimestampTz
integ_retry_backoff(TimestampTz now, int counted, int64 delay_ms, int64 max_delay_ms, double random)
{
	int64 delay = delay_ms;

	for (int i = 1; i < counted && delay < max_delay_ms; i++)
		delay *= 2;
	delay = Min(delay, max_delay_ms);
	return now + (int64) (random * delay * 1000);
}

static TimestampTz
backoff(const IntegAttempt *attempt)
{
	return integ_retry_backoff(attempt->now, attempt->counted, attempt->delay_ms, attempt->max_delay_ms,
							   attempt->random);
}

static IntegVerdict
retry(const IntegAttempt *attempt)
{
	IntegVerdict result = {.kind = INTEG_VERDICT_RETRY, .counts = true};

	if (attempt->counted >= attempt->max_attempts)
		return verdict(INTEG_VERDICT_DEAD, "All attempts are used up.");
	result.retry_at = Max(backoff(attempt), attempt->retry_after);
	if (attempt->expires_at != 0 && result.retry_at >= attempt->expires_at)
		return verdict(INTEG_VERDICT_DEAD, "The next attempt would be after expires_at.");
	return result;
}

static IntegVerdict
retry_uncounted(TimestampTz at)
{
	return (IntegVerdict){.kind = INTEG_VERDICT_RETRY, .retry_at = at};
}

static IntegVerdict
wait_for_slot(const IntegAttempt *attempt)
{
	if (attempt->expires_at != 0 && attempt->retry_after >= attempt->expires_at)
		return verdict(INTEG_VERDICT_DEAD, "The next slot would be after expires_at.");
	return (IntegVerdict){.kind = INTEG_VERDICT_RETRY, .retry_at = attempt->retry_after, .waits = true};
}

bool
integ_passes_by_itself(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case MAKE_SQLSTATE('4', '0', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '5', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):
			return true;
		default:
			return false;
	}
}

static bool
is_transient(const IntegAttempt *attempt)
{
	switch (attempt->sqlerrcode)
	{
		case ERRCODE_INTEG_RATE_LIMIT:
		case ERRCODE_INTEG_CIRCUIT_OPEN:
		case ERRCODE_INTEG_UNREACHABLE:
			return true;
		case ERRCODE_INTEG_BAD_ANSWER:
			/* Half an answer may be whole next time; a whole one that is not what it promised stays so. */
			return attempt->server_error || (!attempt->answered && attempt->maybe_sent);
		default:
			return !attempt->maybe_sent && integ_passes_by_itself(attempt->sqlerrcode);
	}
}

IntegVerdict
integ_call_verdict(const IntegAttempt *attempt)
{
	/* A service that limits the rate has not done what it was asked. */
	bool done_perhaps = attempt->maybe_sent && !attempt->repeatable &&
						attempt->sqlerrcode != ERRCODE_INTEG_RATE_LIMIT;

	if (attempt->sqlerrcode == 0)
		return verdict(INTEG_VERDICT_SUCCEEDED, NULL);
	if (done_perhaps && (!attempt->answered || attempt->server_error))
		return verdict(INTEG_VERDICT_UNKNOWN, attempt->answered
												  ? "The service failed and may have carried the write out: look before you repeat it."
												  : "The request may have been received, and its answer is lost: look before you repeat it.");
	if (attempt->waits)
		return wait_for_slot(attempt);
	if (attempt->held)
		return retry_uncounted(attempt->now + HELD_DELAY);
	if (attempt->token_pending)
		return retry_uncounted(attempt->now + TOKEN_DELAY);
	if (attempt->interrupted)
		return retry_uncounted(attempt->now);
	if (is_transient(attempt) && (attempt->repeatable || !attempt->answered ||
								  attempt->sqlerrcode == ERRCODE_INTEG_RATE_LIMIT))
		return retry(attempt);
	return verdict(INTEG_VERDICT_FAILED, NULL);
}

const char *
integ_verdict_state(IntegVerdictKind kind)
{
	switch (kind)
	{
		case INTEG_VERDICT_SUCCEEDED:
			return "succeeded";
		case INTEG_VERDICT_FAILED:
			return "failed";
		case INTEG_VERDICT_DEAD:
			return "dead";
		case INTEG_VERDICT_UNKNOWN:
			return "unknown";
		case INTEG_VERDICT_RETRY:
		case INTEG_VERDICT_NEXT:
			break;
	}
	return NULL;
}
