/*
 * Taking a grant: every limit that applies has a slot, and the breakers let the
 * request pass, or nothing is taken.
 */
#include "limits/grant.h"

#include "core/errors.h"
#include "core/guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A slot that only an answer frees is asked for again after a share of the window, within these. */
#define ANSWER_WAIT_MIN (50 * INT64CONST(1000))
#define ANSWER_WAIT_MAX USECS_PER_SEC

/* From this share of the limit on it is approached, which is told again once it was below the other. */
#define APPROACHING_PERCENT 80
#define RELAXED_PERCENT 60
#define TELL_AGAIN USECS_PER_MINUTE

/* How long a block of grants may take to be recorded. */
#define BLOCK_WAIT (5 * USECS_PER_SEC)
#define BLOCK_LOOK_MS 50

/* What a process knows of the gates of an instance. */
typedef struct KnownGates
{
	pg_uuid_t instance; /* hash key */
	char origin[INTEG_LIMIT_NAME];
	IntegGate *gates[INTEG_GATES];
	uint64 serials[INTEG_GATES];
} KnownGates;

#define KNOWN_GATES_MAX 4096

static HTAB *known_gates;

/* Why the attempt under way does not succeed. */
typedef struct Obstacle
{
	bool block; /* a block has to be recorded first */
	bool breaker;
	bool full; /* shared memory */
	int64 at;
	const IntegWanted *wanted;
	IntegCounter counter; /* a copy */
	IntegGate gate;
} Obstacle;

/* What is to be done once the lock is free. */
typedef struct Aftermath
{
	int nrows;
	IntegBlockRow *rows;
	int nevents;
	IntegLimitEvent *events;
} Aftermath;

static dlist_head held_grants = DLIST_STATIC_INIT(held_grants);

static void
release_at_exit(int code, Datum arg)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &held_grants)
		integ_grant_release(dlist_container(IntegGrant, node, iter.cur));
}

void
integ_grant_hold(IntegGrant *grant)
{
	static bool registered = false;

	if (!registered)
		before_shmem_exit(release_at_exit, (Datum) 0);
	registered = true;
	grant->held = true;
	dlist_push_tail(&held_grants, &grant->node);
}

static void
release_with_context(void *arg)
{
	integ_grant_release(arg);
}

static KnownGates *
known_gates_of(const IntegLimitSubject *subject)
{
	KnownGates *known;
	bool found;

	if (known_gates != NULL && hash_get_num_entries(known_gates) >= KNOWN_GATES_MAX)
	{
		hash_destroy(known_gates);
		known_gates = NULL;
	}
	if (known_gates == NULL)
	{
		HASHCTL control = {.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(KnownGates), .hcxt = TopMemoryContext};

		known_gates = hash_create("integ known gates", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	known = hash_search(known_gates, subject->instance, HASH_ENTER, &found);
	if (!found || strncmp(known->origin, subject->origin, sizeof(known->origin) - 1) != 0)
	{
		strlcpy(known->origin, subject->origin, sizeof(known->origin));
		memset(known->gates, 0, sizeof(known->gates));
	}
	return known;
}

static bool
is_current(const KnownGates *known, int i)
{
	return known->gates[i] != NULL && pg_atomic_read_u64(&known->gates[i]->serial) == known->serials[i];
}

/* Under the exclusive lock: both gates, made where there is none; NULL where there is no room for one. */
static void
open_gates(const IntegLimitSubject *subject, KnownGates *known, int64 now)
{
	for (int i = 0; i < INTEG_GATES; i++)
	{
		if (is_current(known, i))
		{
			known->gates[i]->used_at = now;
			continue;
		}
		known->gates[i] = integ_gate_of_subject(subject, i);
		known->serials[i] = known->gates[i] != NULL ? pg_atomic_read_u64(&known->gates[i]->serial) : 0;
	}
}

/* Whether the limit holds for the request: an instance may have limits of its own. */
static bool
applies(const IntegLimitSubject *subject, const IntegLimit *limit, IntegLimitSource source)
{
	return source != INTEG_LIMIT_BY_MANIFEST || subject->of_instance == NULL ||
		   limit->scope != INTEG_LIMIT_OF_INSTANCE;
}

static void
add_wanted(IntegGrant *grant, const IntegLimitSubject *subject, const IntegLimits *limits, IntegLimitSource source)
{
	for (int i = 0; limits != NULL && i < limits->count; i++)
	{
		const IntegLimit *limit = &limits->items[i];
		const char *value = NULL;

		if (!applies(subject, limit, source))
			continue;
		/* A window of a key that this request has no value of does not concern it. */
		if (limit->key != NULL)
			value = integ_template_text(limit->key, subject->values, INTEG_TEMPLATE_RAW);
		if (limit->key == NULL || value != NULL)
			grant->wanted[grant->nwanted++] = integ_wanted_window(subject, limit, value, source);
	}
}

static int
count_of(const IntegLimitSubject *subject, const IntegLimits *limits, IntegLimitSource source)
{
	int count = 0;

	for (int i = 0; limits != NULL && i < limits->count; i++)
		count += applies(subject, &limits->items[i], source) ? 1 : 0;
	return count;
}

/* What applies to the request besides what answers have taught. */
static int
count_limits(const IntegLimitSubject *subject)
{
	return count_of(subject, subject->of_definition, INTEG_LIMIT_BY_MANIFEST) +
		   count_of(subject, subject->of_instance, INTEG_LIMIT_BY_INSTANCE) +
		   count_of(subject, subject->of_method, INTEG_LIMIT_BY_MANIFEST) +
		   count_of(subject, subject->of_plan, INTEG_LIMIT_BY_PLAN) + (integ_host_concurrency > 0 ? 1 : 0);
}

/* The windows that may stand in the way of this request, with room for what answers have taught. */
static void
collect_wanted(IntegGrant *grant, const IntegLimitSubject *subject)
{
	int count = count_limits(subject);

	if (count > INTEG_WANTED_MAX)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("more than %d rate limits apply to %s.%s", INTEG_WANTED_MAX, subject->instance_id, subject->method),
						errhint("Let its definition, the instance and the plan have fewer windows.")));
	grant->wanted = palloc((count + INTEG_LEARNED_MAX) * sizeof(IntegWanted));
	grant->counters = palloc0((count + INTEG_LEARNED_MAX) * sizeof(IntegCounter *));
	add_wanted(grant, subject, subject->of_definition, INTEG_LIMIT_BY_MANIFEST);
	add_wanted(grant, subject, subject->of_instance, INTEG_LIMIT_BY_INSTANCE);
	add_wanted(grant, subject, subject->of_method, INTEG_LIMIT_BY_MANIFEST);
	add_wanted(grant, subject, subject->of_plan, INTEG_LIMIT_BY_PLAN);
	if (integ_host_concurrency > 0)
		grant->wanted[grant->nwanted++] = integ_wanted_of_host(subject, integ_host_concurrency);
}

/* Counters that are not in shared memory are made with what an earlier server has left of them. */
static bool
make_counters(IntegGrant *grant)
{
	for (int i = 0; i < grant->nwanted; i++)
	{
		IntegWanted *wanted = &grant->wanted[i];
		IntegWindow window;
		IntegCounter *counter;
		bool found, made;

		LWLockAcquire(integ_limit_table->lock, LW_SHARED);
		found = integ_counter_find(&wanted->key) != NULL;
		LWLockRelease(integ_limit_table->lock);
		if (found)
			continue;
		integ_window_init(&window, wanted->limit, wanted->per_us);
		if (wanted->per_us > 0)
			(void) integ_block_load(&wanted->key, &window);
		LWLockAcquire(integ_limit_table->lock, LW_EXCLUSIVE);
		counter = integ_counter_make(&wanted->key, &wanted->label, &made);
		if (made)
			counter->window = window;
		LWLockRelease(integ_limit_table->lock);
		if (counter == NULL)
			return false;
	}
	return true;
}

/* Between two places in the order: slots are free again a little later than the window is long. */
static int64
spacing(const IntegWindow *window)
{
	return (window->per_us + window->per_us / 32) / Max(window->limit, 1);
}

static int64
answer_wait(const IntegWindow *window)
{
	return Min(Max(spacing(window), ANSWER_WAIT_MIN), ANSWER_WAIT_MAX);
}

/* When to come again, after all that were told to come before. */
static int64
book(IntegCounter *counter, const IntegLimitSubject *subject, int64 at)
{
	int64 *until = subject->returning ? &counter->returned_until : &counter->booked_until;

	if (!subject->asynchronous)
		return at;
	at = Max(at, *until);
	*until = at + spacing(&counter->window);
	return at;
}

static void
add_event(Aftermath *after, const char *kind, const IntegCounter *counter, int64 at)
{
	const IntegWindow *window = &counter->window;

	if (after->nevents == INTEG_WANTED_MAX)
		return;
	after->events[after->nevents++] = (IntegLimitEvent){.kind = kind,
														.source = integ_counter_source(counter),
														.label = counter->label,
														.limit = window->limit,
														.used = window->used + window->in_flight,
														.per_us = window->per_us,
														.at = at};
}

static void
tell_hit(IntegCounter *counter, int64 now, int64 at, Aftermath *after)
{
	if (now - counter->told_hit < Max(counter->window.per_us, TELL_AGAIN) && counter->told_hit != 0)
		return;
	counter->told_hit = now;
	add_event(after, "rate_limit.hit", counter, at);
}

static void
tell_approaching(IntegCounter *counter, int64 now, Aftermath *after)
{
	const IntegWindow *window = &counter->window;
	uint64 taken = (uint64) window->used + window->in_flight;

	if (window->per_us == 0 || taken >= window->limit)
		return;
	if (taken * 100 < (uint64) window->limit * RELAXED_PERCENT)
		counter->approaching = false;
	if (counter->approaching || taken * 100 < (uint64) window->limit * APPROACHING_PERCENT ||
		(counter->told_approaching != 0 && now - counter->told_approaching < Max(window->per_us, TELL_AGAIN)))
		return;
	counter->approaching = true;
	counter->told_approaching = now;
	add_event(after, "rate_limit.approaching", counter, 0);
}

static void
hinder(Obstacle *obstacle, const IntegCounter *counter, const IntegWanted *wanted, int64 at)
{
	if (obstacle->at >= at)
		return;
	obstacle->at = at;
	obstacle->wanted = wanted;
	obstacle->counter = *counter;
}

/* A window of the manifest or plan. False where it has no slot now. */
static bool
check_window(IntegCounter *counter, const IntegWanted *wanted, const IntegLimitSubject *subject, int64 now,
			 Obstacle *obstacle, Aftermath *after)
{
	IntegWindow *window = &counter->window;
	int64 at;

	window->limit = wanted->limit;
	counter->label.source = wanted->label.source;
	if (integ_window_room(window, now) == 0)
	{
		at = integ_window_next(window, 1, now);
		if (at < 0)
			at = now + answer_wait(window);
		at = book(counter, subject, at);
		tell_hit(counter, now, at, after);
		hinder(obstacle, counter, wanted, at);
		return false;
	}
	if (integ_block_soon_needed(counter, now))
		integ_block_ask(counter, now, &after->rows[after->nrows++]);
	if (!integ_block_needed(counter, now))
		return true;
	obstacle->block = true;
	return false;
}

/* What the service has said. */
static bool
check_learned(IntegCounter *counter, const IntegWanted *wanted, int64 now, Obstacle *obstacle, Aftermath *after)
{
	int64 at = 0;

	if (counter->closed_until > now)
		at = counter->closed_until;
	else if (counter->reset_at > now && counter->remaining >= 0 && counter->window.in_flight >= counter->remaining)
		at = counter->remaining > 0 ? Min(counter->reset_at, now + ANSWER_WAIT_MIN) : counter->reset_at;
	if (at == 0)
		return true;
	tell_hit(counter, now, at, after);
	hinder(obstacle, counter, wanted, at);
	return false;
}

/* Learned counters of this request, as far as there are any; what is over is forgotten. */
static void
find_learned(IntegGrant *grant, const IntegLimitSubject *subject, int64 now)
{
	grant->ncounters = grant->nwanted;
	if (grant->gates[INTEG_GATE_INSTANCE] == NULL || grant->gates[INTEG_GATE_INSTANCE]->learned == 0)
		return;
	for (int i = 0; i < integ_learned_count(subject); i++)
	{
		IntegWanted wanted = integ_wanted_learned(subject, i);
		IntegCounter *counter = integ_counter_find(&wanted.key);

		if (counter == NULL)
			continue;
		if (counter->window.in_flight == 0 && counter->closed_until <= now && counter->reset_at <= now)
			integ_counter_forget(counter);
		else
		{
			grant->wanted[grant->ncounters] = wanted;
			grant->counters[grant->ncounters++] = counter;
		}
	}
}

static void
give_back_passes(IntegGrant *grant, int count)
{
	for (int i = 0; i < count; i++)
		if (grant->gates[i] != NULL)
			integ_breaker_give_back(&grant->gates[i]->breaker, grant->passes[i]);
}

static bool
check_gates(IntegGrant *grant, const IntegLimitSubject *subject, int64 now, Obstacle *obstacle, Aftermath *after)
{
	for (int i = 0; i < INTEG_GATES; i++)
	{
		IntegGate *gate = grant->gates[i];
		bool half_opened = false;
		int64 at = 0;
		bool passed;

		if (gate == NULL)
			continue;
		gate->policy = integ_gate_policy(subject, i);
		passed = integ_breaker_pass(&gate->breaker, &gate->policy, now, &grant->passes[i], &at, &half_opened);
		integ_gate_settle(gate);
		if (half_opened && after->nevents < INTEG_WANTED_MAX)
			after->events[after->nevents++] = integ_breaker_event("breaker.half_opened", gate, subject);
		if (passed)
			continue;
		obstacle->breaker = true;
		obstacle->at = at;
		obstacle->gate = *gate;
		give_back_passes(grant, i);
		return false;
	}
	return true;
}

static bool
check_counters(IntegGrant *grant, const IntegLimitSubject *subject, int64 now, Obstacle *obstacle, Aftermath *after)
{
	bool all = true;

	for (int i = 0; i < grant->nwanted; i++)
	{
		grant->counters[i] = integ_counter_find(&grant->wanted[i].key);
		/* Dropped since it was made: it was idle. */
		if (grant->counters[i] == NULL)
		{
			obstacle->full = true;
			return false;
		}
	}
	find_learned(grant, subject, now);
	for (int i = 0; i < grant->ncounters; i++)
		all &= i < grant->nwanted ? check_window(grant->counters[i], &grant->wanted[i], subject, now, obstacle, after)
								  : check_learned(grant->counters[i], &grant->wanted[i], now, obstacle, after);
	return all;
}

/* Under the lock: all or nothing. */
static bool
try_take(IntegGrant *grant, const IntegLimitSubject *subject, KnownGates *known, Obstacle *obstacle, Aftermath *after)
{
	int64 now = integ_limits_clock();

	open_gates(subject, known, now);
	for (int i = 0; i < INTEG_GATES; i++)
	{
		grant->gates[i] = known->gates[i];
		grant->serials[i] = known->serials[i];
	}
	if (!check_gates(grant, subject, now, obstacle, after))
		return false;
	if (!check_counters(grant, subject, now, obstacle, after))
	{
		give_back_passes(grant, INTEG_GATES);
		return false;
	}
	for (int i = 0; i < grant->ncounters; i++)
	{
		integ_window_take(&grant->counters[i]->window);
		if (i < grant->nwanted && grant->counters[i]->block.left > 0)
			grant->counters[i]->block.left--;
		if (i < grant->nwanted)
			tell_approaching(grant->counters[i], now, after);
	}
	return true;
}

static void
attend(const Aftermath *after)
{
	for (int i = 0; i < after->nrows; i++)
		integ_block_queue(&after->rows[i]);
	for (int i = 0; i < after->nevents; i++)
		integ_limits_tell(&after->events[i]);
}

static void
wait_for_change(int64 milliseconds)
{
	pg_atomic_fetch_add_u32(&integ_limit_table->waiting, 1);
	PG_TRY();
	{
		ConditionVariablePrepareToSleep(&integ_limit_table->changed);
		(void) ConditionVariableTimedSleep(&integ_limit_table->changed, (long) milliseconds, PG_WAIT_EXTENSION);
		ConditionVariableCancelSleep();
	}
	PG_FINALLY();
	{
		pg_atomic_fetch_sub_u32(&integ_limit_table->waiting, 1);
	}
	PG_END_TRY();
}

void
integ_limits_wait(TimestampTz until)
{
	int64 left = until - GetCurrentTimestamp();

	CHECK_FOR_INTERRUPTS();
	if (left > 0)
		wait_for_change(Min(left / 1000 + 1, 1000));
	CHECK_FOR_INTERRUPTS();
}

static void
refuse(const IntegLimitSubject *subject, const Obstacle *obstacle, IntegRefusal *refusal)
{
	refusal->at = integ_limits_to_time(obstacle->at);
	refusal->limit = obstacle->breaker ? 0 : obstacle->counter.key.hash[0];
	if (obstacle->breaker)
		integ_refusal_of_gate(refusal, subject, &obstacle->gate);
	else
		integ_refusal_of_counter(refusal, subject, obstacle->wanted, &obstacle->counter);
}

static void
refuse_unrecorded(const IntegLimitSubject *subject, IntegRefusal *refusal)
{
	/* A durable call comes again. */
	refusal->sqlerrcode = subject->asynchronous ? ERRCODE_INTEG_RATE_LIMIT : ERRCODE_INTEG_INSTALLATION;
	refusal->at = GetCurrentTimestamp() + USECS_PER_SEC;
	refusal->limit = 0;
	refusal->message = psprintf("a slot for %s.%s could not be recorded", subject->instance_id, subject->method);
	refusal->detail = pstrdup("The recorder did not write its row of integ.rate_limit_blocks in time; nothing was sent.");
	refusal->hint = pstrdup("SELECT * FROM integ_status() says what the recorder does.");
}

static void
raise_full(void)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION),
					errmsg("shared memory has no room for another rate limit"),
					errdetail("integ.max_rate_limits (%d) of them are in use, or half of them by this client.",
							  integ_max_rate_limits),
					errhint("Raise integ.max_rate_limits and restart the server.")));
}

/* Tries until it is decided, waiting only for blocks to be recorded. */
static bool
take(IntegGrant *grant, const IntegLimitSubject *subject, KnownGates *known, IntegRefusal *refusal)
{
	static IntegBlockRow rows[INTEG_WANTED_MAX];
	static IntegLimitEvent events[INTEG_WANTED_MAX];
	TimestampTz deadline = GetCurrentTimestamp() + BLOCK_WAIT;

	for (;;)
	{
		Aftermath after = {.rows = rows, .events = events};
		Obstacle obstacle = {0};
		bool taken;

		if (!make_counters(grant))
			raise_full();
		LWLockAcquire(integ_limit_table->lock, LW_EXCLUSIVE);
		taken = try_take(grant, subject, known, &obstacle, &after);
		LWLockRelease(integ_limit_table->lock);
		if (taken)
			integ_grant_hold(grant);
		attend(&after);
		if (taken)
			return true;
		if (obstacle.full)
			continue;
		if (obstacle.at != 0)
		{
			refuse(subject, &obstacle, refusal);
			return false;
		}
		if (GetCurrentTimestamp() >= deadline)
		{
			refuse_unrecorded(subject, refusal);
			return false;
		}
		CHECK_FOR_INTERRUPTS();
		wait_for_change(BLOCK_LOOK_MS);
	}
}

static IntegGrant *
make_grant(const IntegLimitSubject *subject)
{
	IntegGrant *grant = palloc0(sizeof(IntegGrant));

	grant->subject = *subject;
	grant->release.func = release_with_context;
	grant->release.arg = grant;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &grant->release);
	return grant;
}

IntegGrant *
integ_limits_take(const IntegLimitSubject *subject, IntegRefusal *refusal)
{
	KnownGates *known = known_gates_of(subject);
	IntegGrant *grant = make_grant(subject);
	bool alert = !is_current(known, INTEG_GATE_INSTANCE) || !is_current(known, INTEG_GATE_HOST);

	for (int i = 0; i < INTEG_GATES && !alert; i++)
		alert = pg_atomic_read_u32(&known->gates[i]->attention) != 0;
	if (!alert && count_limits(subject) == 0)
	{
		for (int i = 0; i < INTEG_GATES; i++)
		{
			grant->gates[i] = known->gates[i];
			grant->serials[i] = known->serials[i];
			grant->passes[i].epoch = known->gates[i]->breaker.epoch;
		}
		return grant;
	}
	collect_wanted(grant, subject);
	if (!take(grant, subject, known, refusal))
	{
		grant->ended = true;
		return NULL;
	}
	/* They need not last as long as the grant. */
	grant->subject.of_plan = NULL;
	grant->subject.of_instance = NULL;
	grant->subject.values = NULL;
	return grant;
}
