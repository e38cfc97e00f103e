/*
 * Ending a grant: its slots are free again, what the service has said of its limits
 * is kept, and the breakers learn how it went.
 */
#include "limits/grant.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

/* What a service says without telling until when holds for this long; so does a 429 that does not say. */
#define UNTOLD (USECS_PER_SEC)

/* A window that ends so much later than the one that is known is another one. */
#define SAME_WINDOW (1500 * INT64CONST(1000))

/* What an answer says, read before the lock is taken. */
typedef struct Lesson
{
	int count;
	IntegLearned learned[INTEG_LEARNED_MAX];
	bool any;
	bool refused;	 /* it takes no requests now */
	int64 closed_us; /* for so long */
	bool told;		 /* by the service */
} Lesson;

typedef struct Events
{
	int count;
	IntegLimitEvent items[INTEG_GATES + 1];
} Events;

static void
read_headers(const IntegGrant *grant, const IntegLimitAnswer *answer, Lesson *lesson)
{
	const IntegLimits *limits = integ_learned_limits(&grant->subject);
	int64 epoch_us = GetCurrentTimestamp() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;

	lesson->count = integ_learned_count(&grant->subject);
	for (int i = 0; i < lesson->count; i++)
	{
		IntegLearned *learned = &lesson->learned[i];

		*learned = (IntegLearned){-1, -1, -1, -1};
		if (answer->header == NULL)
			continue;
		if (limits != NULL && limits->nheaders > 0)
			lesson->any |= integ_limit_headers_read(&limits->headers[i], answer->header, answer->header_arg, epoch_us,
													learned);
		if (i == 0 && learned->remaining < 0)
			lesson->any |= integ_limit_headers_read_standard(answer->header, answer->header_arg, epoch_us, learned);
	}
}

/* How long the service takes no requests, as its answer says. */
static void
read_refusal(const IntegGrant *grant, const IntegLimitAnswer *answer, Lesson *lesson)
{
	const IntegLimits *limits = integ_learned_limits(&grant->subject);

	lesson->closed_us = -1;
	for (int i = 0; i < lesson->count; i++)
		lesson->closed_us = Max(lesson->closed_us, lesson->learned[i].retry_us);
	lesson->told = lesson->closed_us >= 0;
	lesson->refused = answer->status == 429 || (lesson->told && (answer->status == 403 || answer->status == 503));
	if (!lesson->refused || lesson->told)
		return;
	for (int i = 0; i < lesson->count; i++)
		if (lesson->learned[i].remaining == 0)
			lesson->closed_us = Max(lesson->closed_us, lesson->learned[i].reset_us);
	lesson->told = lesson->closed_us >= 0;
	if (lesson->told)
		return;
	lesson->closed_us = limits != NULL && limits->retry_after_us > 0 ? limits->retry_after_us : UNTOLD;
	lesson->told = limits != NULL && limits->retry_after_us > 0;
}

/* The grant's gate, made again where it was dropped. */
static IntegGate *
gate_of(IntegGrant *grant, int i)
{
	if (grant->gates[i] != NULL && pg_atomic_read_u64(&grant->gates[i]->serial) == grant->serials[i])
		return grant->gates[i];
	grant->gates[i] = integ_gate_of_subject(&grant->subject, i);
	if (grant->gates[i] == NULL)
		return NULL;
	grant->serials[i] = pg_atomic_read_u64(&grant->gates[i]->serial);
	grant->passes[i] = (IntegBreakerPass){.epoch = grant->gates[i]->breaker.epoch};
	return grant->gates[i];
}

static IntegCounter *
learned_counter(IntegGrant *grant, int number)
{
	IntegWanted wanted = integ_wanted_learned(&grant->subject, number);
	IntegGate *gate = gate_of(grant, INTEG_GATE_INSTANCE);
	IntegCounter *counter;
	bool made;

	if (gate == NULL)
		return NULL;
	counter = integ_counter_make(&wanted.key, &wanted.label, &made);
	if (made)
		gate->learned++;
	return counter;
}

/*
 * The least that is left of a window that the service counts: answers may overtake each other, so within one
 * window what is left only falls. What is in flight is taken off when a request wants to leave.
 */
static void
keep_remaining(IntegCounter *counter, const IntegLearned *learned, int64 now)
{
	int64 reset_at = now + (learned->reset_us >= 0 ? learned->reset_us : UNTOLD);
	bool over = counter->remaining < 0 || now >= counter->reset_at;
	bool another = learned->remaining > counter->remaining && reset_at > counter->reset_at + SAME_WINDOW;

	if (learned->limit >= 0)
		counter->learned_limit = learned->limit;
	if (over || another)
	{
		counter->remaining = learned->remaining;
		counter->reset_at = reset_at;
		return;
	}
	counter->remaining = Min(counter->remaining, learned->remaining);
	counter->reset_at = Max(counter->reset_at, reset_at);
}

/* An answer that does not say what is left has cost one of it. */
static void
keep_lesson(IntegGrant *grant, const Lesson *lesson, int64 now)
{
	for (int i = 0; i < lesson->count; i++)
	{
		const IntegLearned *learned = &lesson->learned[i];
		IntegWanted wanted = integ_wanted_learned(&grant->subject, i);
		bool closes = i == 0 && lesson->refused;
		IntegCounter *counter = learned->remaining >= 0 || closes ? learned_counter(grant, i)
																  : integ_counter_find(&wanted.key);

		if (counter == NULL)
			continue;
		if (learned->remaining >= 0)
			keep_remaining(counter, learned, now);
		else if (counter->remaining > 0)
			counter->remaining--;
		if (closes)
			counter->closed_until = Max(counter->closed_until, now + lesson->closed_us);
	}
}

static void
tell_breaker(IntegGrant *grant, int i, const IntegLimitAnswer *answer, int64 now, Events *events)
{
	IntegGate *gate = gate_of(grant, i);
	bool failed = i == INTEG_GATE_HOST ? answer->unreachable : answer->failed;
	bool changed = false;

	if (gate == NULL)
		return;
	gate->policy = integ_gate_policy(&grant->subject, i);
	if (failed)
	{
		gate->failed_at = now;
		integ_limit_clip(gate->error, answer->error, sizeof(gate->error));
		changed = integ_breaker_failed(&gate->breaker, &gate->policy, grant->passes[i], now);
	}
	else if (answer->status > 0 && !answer->inconclusive)
		changed = integ_breaker_succeeded(&gate->breaker, grant->passes[i], now);
	else
		integ_breaker_give_back(&gate->breaker, grant->passes[i]);
	integ_gate_settle(gate);
	if (changed)
		events->items[events->count++] =
			integ_breaker_event(failed ? "breaker.opened" : "breaker.closed", gate, &grant->subject);
}

static void
add_closing(IntegGrant *grant, const Lesson *lesson, int64 now, Events *events)
{
	IntegCounter *counter = learned_counter(grant, 0);

	if (counter == NULL || (counter->told_hit != 0 && now < counter->told_hit))
		return;
	/* Not again before it opens. */
	counter->told_hit = now + lesson->closed_us;
	events->items[events->count++] = (IntegLimitEvent){
		.kind = "rate_limit.hit", .source = "learned", .label = counter->label, .at = now + lesson->closed_us};
}

static void
end_grant(IntegGrant *grant)
{
	grant->ended = true;
	if (grant->held)
		dlist_delete(&grant->node);
	grant->held = false;
}

/* Nothing is held, nothing was said, nothing failed and nothing had failed before. */
static bool
is_uneventful(const IntegGrant *grant, const IntegLimitAnswer *answer, const Lesson *lesson)
{
	if (grant->held || lesson->any || lesson->refused || answer->failed || answer->unreachable)
		return false;
	for (int i = 0; i < INTEG_GATES; i++)
		if (grant->gates[i] != NULL && pg_atomic_read_u32(&grant->gates[i]->attention) != 0)
			return false;
	return true;
}

TimestampTz
integ_limits_answered(IntegGrant *grant, const IntegLimitAnswer *answer)
{
	Lesson lesson = {0};
	Events events = {0};
	int64 now;

	if (grant->ended)
		return 0;
	read_headers(grant, answer, &lesson);
	read_refusal(grant, answer, &lesson);
	if (!is_uneventful(grant, answer, &lesson))
	{
		LWLockAcquire(integ_limit_table->lock, LW_EXCLUSIVE);
		now = integ_limits_clock();
		for (int i = 0; i < grant->ncounters; i++)
			integ_window_answered(&grant->counters[i]->window, now);
		keep_lesson(grant, &lesson, now);
		for (int i = 0; i < INTEG_GATES; i++)
			tell_breaker(grant, i, answer, now, &events);
		if (lesson.refused)
			add_closing(grant, &lesson, now, &events);
		LWLockRelease(integ_limit_table->lock);
	}
	end_grant(grant);
	for (int i = 0; i < events.count; i++)
		integ_limits_tell(&events.items[i]);
	integ_limits_broadcast();
	return lesson.refused && lesson.told ? GetCurrentTimestamp() + lesson.closed_us : 0;
}

void
integ_limits_give_back(IntegGrant *grant)
{
	if (grant->ended)
		return;
	if (grant->held)
	{
		LWLockAcquire(integ_limit_table->lock, LW_EXCLUSIVE);
		for (int i = 0; i < grant->ncounters; i++)
		{
			integ_window_give_back(&grant->counters[i]->window);
			if (i < grant->nwanted && grant->wanted[i].per_us > 0)
				grant->counters[i]->block.left++;
		}
		for (int i = 0; i < INTEG_GATES; i++)
			if (grant->gates[i] != NULL && pg_atomic_read_u64(&grant->gates[i]->serial) == grant->serials[i])
				integ_breaker_give_back(&grant->gates[i]->breaker, grant->passes[i]);
		LWLockRelease(integ_limit_table->lock);
	}
	end_grant(grant);
	integ_limits_broadcast();
}

void
integ_limits_sent(IntegGrant *grant)
{
	grant->sent = true;
}

void
integ_grant_release(IntegGrant *grant)
{
	static const IntegLimitAnswer nobody_knows = {.inconclusive = true};

	if (grant->ended)
		return;
	if (grant->sent)
		(void) integ_limits_answered(grant, &nobody_knows);
	else
		integ_limits_give_back(grant);
}

void
integ_limits_close(const IntegLimitSubject *subject, TimestampTz until)
{
	IntegGrant grant = {.subject = *subject};
	IntegCounter *counter;
	int64 at = until != 0 ? integ_limits_from_time(until) : 0;
	IntegLimitEvent event = {.kind = "rate_limit.hit", .source = "learned"};
	const IntegLimits *limits = integ_learned_limits(subject);

	if (at == 0)
		at = integ_limits_clock() + (limits != NULL && limits->retry_after_us > 0 ? limits->retry_after_us : UNTOLD);
	event.at = at;
	LWLockAcquire(integ_limit_table->lock, LW_EXCLUSIVE);
	counter = learned_counter(&grant, 0);
	if (counter != NULL && at > counter->closed_until)
	{
		counter->closed_until = at;
		event.label = counter->label;
		integ_gate_settle(grant.gates[INTEG_GATE_INSTANCE]);
	}
	else
		counter = NULL;
	LWLockRelease(integ_limit_table->lock);
	if (counter != NULL)
		integ_limits_tell(&event);
}
