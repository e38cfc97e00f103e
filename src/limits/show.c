/*
 * What people see of limits and breakers.
 *
 * Shared memory knows no roles: what is shown is what belongs to the instances whose rows the caller sees.
 */
#include "limits/grant.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/guc.h"
#include "core/query.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(integ_rate_limits_now);
PG_FUNCTION_INFO_V1(integ_circuit_breakers_now);

#define LIMIT_COLUMNS 13
#define BREAKER_COLUMNS 10

typedef struct Visible
{
	pg_uuid_t id; /* first: sorted and searched by it */
	pg_uuid_t counted;
	char *instance_id;
	char *definition;
	char *client;
	char *origin; /* or NULL */
} Visible;

typedef struct Seen
{
	const IntegActor *actor;
	int count;
	Visible *instances;
	IntegCounter *counters;
	int ncounters;
	int max_counters;
} Seen;

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

/* The instances whose rows the caller sees, as row-level security says. */
static void
read_visible(Seen *seen)
{
	static IntegQuery query = {
		"SELECT id, coalesce(borrows, id), instance_id, definition, client_id, origin FROM integ.instances", 0};
	MemoryContext context = CurrentMemoryContext;
	uint64 count;

	seen->actor = integ_actor_current();
	SPI_connect();
	count = integ_query(&query, NULL, NULL);
	seen->instances = MemoryContextAllocHuge(context, Max(count, 1) * sizeof(Visible));
	seen->count = (int) count;
	for (uint64 i = 0; i < count; i++)
	{
		bool isnull;

		seen->instances[i] = (Visible){.id = *DatumGetUUIDP(integ_result_datum(i, 1, &isnull)),
									   .counted = *DatumGetUUIDP(integ_result_datum(i, 2, &isnull)),
									   .instance_id = integ_result_text(i, 3, context),
									   .definition = integ_result_text(i, 4, context),
									   .client = integ_result_text(i, 5, context),
									   .origin = integ_result_text(i, 6, context)};
	}
	SPI_finish();
	qsort(seen->instances, seen->count, sizeof(Visible), compare_ids);
}

static const Visible *
find_visible(const Seen *seen, const pg_uuid_t *id)
{
	return bsearch(id, seen->instances, seen->count, sizeof(Visible), compare_ids);
}

static bool
sees_definition(const Seen *seen, const char *definition)
{
	for (int i = 0; i < seen->count; i++)
		if (strncmp(seen->instances[i].definition, definition, INTEG_LIMIT_TEXT - 1) == 0)
			return true;
	return false;
}

static bool
sees_all(const Seen *seen)
{
	return seen->actor->level == INTEG_LEVEL_SUPERADMIN;
}

static bool
sees_counter(const Seen *seen, const IntegCounter *counter)
{
	const IntegCounterLabel *label = &counter->label;

	if (sees_all(seen))
		return true;
	if (label->scope == INTEG_LIMIT_OF_CLIENT)
		return seen->actor->client != NULL && strncmp(seen->actor->client, label->client, INTEG_LIMIT_TEXT - 1) == 0;
	if (label->scope == INTEG_LIMIT_OF_DEFINITION)
		return sees_definition(seen, label->definition);
	return find_visible(seen, &label->instance) != NULL;
}

static void
copy_counter(IntegCounter *counter, void *arg)
{
	Seen *seen = arg;

	if (seen->ncounters < seen->max_counters)
		seen->counters[seen->ncounters++] = *counter;
}

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL || text[0] == '\0';
	values[column] = nulls[column] ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
set_int(Datum *values, bool *nulls, int column, int64 value, bool known)
{
	nulls[column] = !known;
	values[column] = Int64GetDatum(value);
}

static void
set_time(Datum *values, bool *nulls, int column, int64 clock, bool known)
{
	nulls[column] = !known;
	values[column] = known ? TimestampTzGetDatum(integ_limits_to_time(clock)) : (Datum) 0;
}

static void
put_numbers(IntegCounter *counter, int64 now, Datum *values, bool *nulls)
{
	IntegWindow *window = &counter->window;
	int64 room = integ_window_room(window, now);
	int64 next = integ_window_next(window, 1, now), reset = integ_window_reset(window, now);
	Interval *length = palloc0(sizeof(Interval));

	length->time = window->per_us;
	nulls[6] = window->per_us == 0;
	values[6] = IntervalPGetDatum(length);
	set_int(values, nulls, 7, window->limit, true);
	set_int(values, nulls, 8, (int64) window->used + window->in_flight, true);
	set_int(values, nulls, 9, room, true);
	set_time(values, nulls, 10, reset, reset > now);
	set_time(values, nulls, 11, next, room == 0 && next > now);
}

static void
put_learned(const IntegCounter *counter, int64 now, Datum *values, bool *nulls)
{
	bool closed = counter->closed_until > now;
	bool known = counter->reset_at > now && counter->remaining >= 0;
	int64 left = closed ? 0 : Max(counter->remaining - counter->window.in_flight, 0);
	int64 reset = Max(counter->closed_until, known ? counter->reset_at : 0);

	nulls[6] = true;
	set_int(values, nulls, 7, counter->learned_limit, counter->learned_limit >= 0);
	set_int(values, nulls, 8, counter->learned_limit - left, known && counter->learned_limit >= 0);
	set_int(values, nulls, 9, left, closed || known);
	set_time(values, nulls, 10, reset, reset > now);
	set_time(values, nulls, 11, reset, left == 0 && reset > now);
}

static void
put_counter(ReturnSetInfo *result, const Seen *seen, IntegCounter *counter, int64 now)
{
	const IntegCounterLabel *label = &counter->label;
	const Visible *instance = find_visible(seen, &label->instance);
	bool of_instance = label->scope == INTEG_LIMIT_OF_INSTANCE || label->scope == INTEG_LIMIT_OF_METHOD;
	bool own = sees_all(seen) || (instance != NULL && seen->actor->client != NULL &&
								  strcmp(instance->client, seen->actor->client) == 0);
	Datum values[LIMIT_COLUMNS] = {0};
	bool nulls[LIMIT_COLUMNS] = {false};

	nulls[0] = !of_instance;
	values[0] = UUIDPGetDatum(&label->instance);
	set_text(values, nulls, 1, instance != NULL ? instance->instance_id : NULL);
	set_text(values, nulls, 2, label->definition);
	if (label->scope == INTEG_LIMIT_OF_CLIENT)
		set_text(values, nulls, 3, label->client);
	else
		set_text(values, nulls, 3, instance != NULL ? instance->client : NULL);
	set_text(values, nulls, 4, label->method);
	/* What others ask a shared instance for is not shown. */
	set_text(values, nulls, 5, own ? label->key : NULL);
	if (counter->key.kind == INTEG_COUNTER_LEARNED)
		put_learned(counter, now, values, nulls);
	else
		put_numbers(counter, now, values, nulls);
	set_text(values, nulls, 12, integ_counter_source(counter));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Where the rows go, and whose the caller sees; NULL where there can be none, since integ is not preloaded. */
static ReturnSetInfo *
begin_rows(FunctionCallInfo fcinfo, Seen *seen)
{
	InitMaterializedSRF(fcinfo, 0);
	if (integ_limit_table == NULL)
		return NULL;
	memset(seen, 0, sizeof(*seen));
	read_visible(seen);
	return (ReturnSetInfo *) fcinfo->resultinfo;
}

Datum
integ_rate_limits_now(PG_FUNCTION_ARGS)
{
	Seen seen;
	ReturnSetInfo *result = begin_rows(fcinfo, &seen);
	int64 now = integ_limits_clock();

	if (result == NULL)
		return (Datum) 0;
	/* What is new meanwhile is seen the next time. */
	seen.max_counters = (int) integ_counter_count();
	seen.counters = MemoryContextAllocHuge(CurrentMemoryContext, Max(seen.max_counters, 1) * sizeof(IntegCounter));
	LWLockAcquire(integ_limit_table->lock, LW_SHARED);
	integ_counter_visit(copy_counter, &seen);
	LWLockRelease(integ_limit_table->lock);
	for (int i = 0; i < seen.ncounters; i++)
		if (sees_counter(&seen, &seen.counters[i]))
			put_counter(result, &seen, &seen.counters[i], now);
	return (Datum) 0;
}

static const char *
state_name(const IntegBreaker *breaker, int64 now)
{
	switch (breaker->state)
	{
		case INTEG_BREAKER_CLOSED:
			return "closed";
		case INTEG_BREAKER_OPEN:
			/* The next request probes it. */
			return now >= breaker->half_open_at ? "half_open" : "open";
		case INTEG_BREAKER_HALF_OPEN:
			return "half_open";
	}
	return NULL;
}

/*
 * Copies of an instance's gates; false where it has none. Of its own and its host's, the one that stops it comes
 * first.
 */
static bool
copy_gates(const pg_uuid_t *instance, const char *origin, IntegGate *first)
{
	IntegGateKey own = integ_gate_key_of_instance(instance);
	const IntegGate *gate, *host = NULL;
	bool found;

	LWLockAcquire(integ_limit_table->lock, LW_SHARED);
	gate = integ_gate_find(&own);
	if (origin != NULL)
	{
		IntegGateKey key = integ_gate_key_of_host(origin);

		host = integ_gate_find(&key);
	}
	if (gate == NULL || (host != NULL && host->breaker.state != INTEG_BREAKER_CLOSED &&
						 gate->breaker.state == INTEG_BREAKER_CLOSED))
		gate = host;
	found = gate != NULL;
	if (found)
		*first = *gate;
	LWLockRelease(integ_limit_table->lock);
	return found;
}

static void
put_breaker(ReturnSetInfo *result, const Visible *instance, const IntegGate *gate, int64 now)
{
	const IntegBreaker *breaker = &gate->breaker;
	Datum values[BREAKER_COLUMNS] = {0};
	bool nulls[BREAKER_COLUMNS] = {false};

	values[0] = UUIDPGetDatum(&instance->id);
	set_text(values, nulls, 1, instance->instance_id);
	set_text(values, nulls, 2, instance->origin);
	set_text(values, nulls, 3, state_name(breaker, now));
	set_text(values, nulls, 4, breaker->state == INTEG_BREAKER_CLOSED ? NULL : gate->is_host ? "host"
																							 : "instance");
	values[5] = Int32GetDatum((int32) breaker->failures);
	nulls[6] = gate->policy.failure_threshold == 0;
	values[6] = Int32GetDatum((int32) gate->policy.failure_threshold);
	set_time(values, nulls, 7, breaker->changed_at, breaker->changed_at != 0);
	set_time(values, nulls, 8, breaker->half_open_at, breaker->state == INTEG_BREAKER_OPEN);
	set_text(values, nulls, 9, gate->error);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
integ_circuit_breakers_now(PG_FUNCTION_ARGS)
{
	Seen seen;
	ReturnSetInfo *result = begin_rows(fcinfo, &seen);
	int64 now = integ_limits_clock();

	for (int i = 0; result != NULL && i < seen.count; i++)
	{
		IntegGate gate;

		if (copy_gates(&seen.instances[i].counted, seen.instances[i].origin, &gate))
			put_breaker(result, &seen.instances[i], &gate, now);
	}
	return (Datum) 0;
}
