/*
 * A circuit breaker.
 */
#include "limits/breaker.h"

const IntegBreakerPolicy integ_breaker_default = {
	.failure_threshold = 5, .half_open_max = 1, .reset_us = INT64_C(60000000)};

/* While all probes are under way, others look again after a tenth of the time it stays open, within these. */
#define PROBE_WAIT_MIN INT64_C(100000)

static void
change(IntegBreaker *breaker, IntegBreakerState state, int64_t now)
{
	breaker->state = state;
	breaker->failures = 0;
	breaker->probes = 0;
	breaker->epoch++;
	breaker->changed_at = now;
}

static int64_t
probe_wait(const IntegBreakerPolicy *policy)
{
	int64_t wait = policy->reset_us / 10;

	if (wait < PROBE_WAIT_MIN)
		return PROBE_WAIT_MIN;
	return wait > INTEG_PROBE_WAIT_MAX ? INTEG_PROBE_WAIT_MAX : wait;
}

bool
integ_breaker_pass(IntegBreaker *breaker, const IntegBreakerPolicy *policy, int64_t now, IntegBreakerPass *pass,
				   int64_t *at, bool *half_opened)
{
	if (breaker->state == INTEG_BREAKER_OPEN && now < breaker->half_open_at)
	{
		*at = breaker->half_open_at;
		return false;
	}
	if (breaker->state == INTEG_BREAKER_OPEN)
	{
		change(breaker, INTEG_BREAKER_HALF_OPEN, now);
		*half_opened = true;
	}
	if (breaker->state == INTEG_BREAKER_HALF_OPEN && breaker->probes >= policy->half_open_max &&
		now < breaker->probed_at + policy->reset_us)
	{
		*at = now + probe_wait(policy);
		return false;
	}
	pass->epoch = breaker->epoch;
	pass->probe = breaker->state == INTEG_BREAKER_HALF_OPEN;
	if (pass->probe)
	{
		breaker->probes++;
		breaker->probed_at = now;
	}
	return true;
}

bool
integ_breaker_succeeded(IntegBreaker *breaker, IntegBreakerPass pass, int64_t now)
{
	if (pass.epoch != breaker->epoch)
		return false;
	breaker->failures = 0;
	if (!pass.probe)
		return false;
	change(breaker, INTEG_BREAKER_CLOSED, now);
	return true;
}

bool
integ_breaker_failed(IntegBreaker *breaker, const IntegBreakerPolicy *policy, IntegBreakerPass pass, int64_t now)
{
	uint32_t failures;

	if (pass.epoch != breaker->epoch)
		return false;
	breaker->failures++;
	if (!pass.probe && breaker->failures < policy->failure_threshold)
		return false;
	failures = breaker->failures;
	change(breaker, INTEG_BREAKER_OPEN, now);
	breaker->failures = failures;
	breaker->half_open_at = now + policy->reset_us;
	return true;
}

void
integ_breaker_give_back(IntegBreaker *breaker, IntegBreakerPass pass)
{
	if (pass.epoch == breaker->epoch && pass.probe && breaker->probes > 0)
		breaker->probes--;
}

void
integ_breaker_close(IntegBreaker *breaker, int64_t now)
{
	change(breaker, INTEG_BREAKER_CLOSED, now);
}
