/*
 * Counters and gates in shared memory.
 *
 * Both tables have a fixed size. What is idle makes room for what is new: a counter
 * that counts nothing, a gate whose breaker is closed and that has learned
 * nothing. What is in use is never dropped.
 */
#include "limits/table.h"

#include <time.h>

#include "common/hashfn.h"
#include "core/guc.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

/* Far from zero, so that times before the machine started are positive as well. */
#define CLOCK_BASE (INT64CONST(1) << 50)

#define EVICT_PAUSE USECS_PER_SEC

/* A gate may be dropped when nothing was sent through it for so long. */
#define GATE_IDLE (10 * USECS_PER_SEC)

IntegLimitTable *integ_limit_table;
static HTAB *counters;
static HTAB *gates;

Size
integ_limits_shmem_size(void)
{
	Size size = MAXALIGN(sizeof(IntegLimitTable));

	size = add_size(size, hash_estimate_size(integ_max_rate_limits, sizeof(IntegCounter)));
	return add_size(size, hash_estimate_size(integ_max_rate_limits, sizeof(IntegGate)));
}

static HTAB *
make_table(const char *name, Size keysize, Size entrysize)
{
	HASHCTL control = {.keysize = keysize, .entrysize = entrysize};

	return ShmemInitHash(name, integ_max_rate_limits, integ_max_rate_limits, &control,
						 HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
}

void
integ_limits_shmem_init(struct LWLock *lock)
{
	bool found;

	integ_limit_table = ShmemInitStruct("integ limits", sizeof(IntegLimitTable), &found);
	if (!found)
	{
		memset(integ_limit_table, 0, sizeof(IntegLimitTable));
		integ_limit_table->lock = lock;
		integ_limit_table->started = integ_limits_clock();
		ConditionVariableInit(&integ_limit_table->changed);
		pg_atomic_init_u32(&integ_limit_table->waiting, 0);
	}
	counters = make_table("integ rate limits", sizeof(IntegCounterKey), sizeof(IntegCounter));
	gates = make_table("integ circuit breakers", sizeof(IntegGateKey), sizeof(IntegGate));
}

int64
integ_limits_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return CLOCK_BASE + (int64) now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

TimestampTz
integ_limits_to_time(int64 clock)
{
	return GetCurrentTimestamp() + (clock - integ_limits_clock());
}

int64
integ_limits_from_time(TimestampTz time)
{
	return integ_limits_clock() + (time - GetCurrentTimestamp());
}

void
integ_limit_clip(char *to, const char *from, Size size)
{
	int length = from == NULL ? 0 : (int) strlen(from);

	if (length >= size)
		length = pg_mbcliplen(from, length, (int) size - 1);
	memcpy(to, from == NULL ? "" : from, length);
	to[length] = '\0';
}

/* 128 bits: keys are told apart by them alone. */
static void
add_to_hash(IntegCounterKey *key, const void *part, Size length)
{
	key->hash[0] = hash_combine64(key->hash[0], hash_bytes_extended(part, (int) length, UINT64CONST(0x1d2f)));
	key->hash[1] = hash_combine64(key->hash[1], hash_bytes_extended(part, (int) length, UINT64CONST(0x9e37)));
}

IntegCounterKey
integ_counter_key(IntegCounterKind kind, int64 number, const pg_uuid_t *instance, const char *first,
				  const char *second, const char *third)
{
	static const pg_uuid_t none;
	const char *const texts[] = {first, second, third};
	IntegCounterKey key;

	memset(&key, 0, sizeof(key));
	key.database = MyDatabaseId;
	key.kind = kind;
	add_to_hash(&key, &number, sizeof(number));
	add_to_hash(&key, instance != NULL ? instance : &none, sizeof(pg_uuid_t));
	for (size_t i = 0; i < lengthof(texts); i++)
	{
		/* Absent is not empty. */
		add_to_hash(&key, texts[i] == NULL ? "n" : "y", 1);
		if (texts[i] != NULL)
			add_to_hash(&key, texts[i], strlen(texts[i]));
	}
	return key;
}

IntegGateKey
integ_gate_key_of_instance(const pg_uuid_t *instance)
{
	IntegGateKey key;

	memset(&key, 0, sizeof(key));
	key.database = MyDatabaseId;
	key.id = *instance;
	return key;
}

IntegGateKey
integ_gate_key_of_host(const char *origin)
{
	IntegCounterKey hashed = integ_counter_key(INTEG_COUNTER_WINDOW, -1, NULL, origin, NULL, NULL);
	IntegGateKey key;

	memset(&key, 0, sizeof(key));
	key.database = MyDatabaseId;
	memcpy(&key.id, hashed.hash, sizeof(key.id));
	return key;
}

static bool
is_idle(IntegCounter *counter, int64 now)
{
	if (counter->window.in_flight > 0)
		return false;
	if (counter->key.kind == INTEG_COUNTER_LEARNED)
		return counter->closed_until <= now && counter->reset_at <= now;
	return integ_window_reset(&counter->window, now) <= now && counter->block.pending_since == 0;
}

static void
evict_counters(int64 now)
{
	HASH_SEQ_STATUS scan;
	IntegCounter *counter;

	hash_seq_init(&scan, counters);
	while ((counter = hash_seq_search(&scan)) != NULL)
	{
		if (!is_idle(counter, now))
			continue;
		if (counter->key.kind == INTEG_COUNTER_LEARNED)
			integ_counter_forget(counter);
		else
			(void) hash_search(counters, &counter->key, HASH_REMOVE, NULL);
	}
}

static void
evict_gates(int64 now)
{
	HASH_SEQ_STATUS scan;
	IntegGate *gate;

	hash_seq_init(&scan, gates);
	while ((gate = hash_seq_search(&scan)) != NULL)
		if (pg_atomic_read_u32(&gate->attention) == 0 && now - gate->used_at > GATE_IDLE)
		{
			pg_atomic_write_u64(&gate->serial, 0);
			(void) hash_search(gates, &gate->key, HASH_REMOVE, NULL);
		}
}

/* Makes room, if it was not tried just now. */
static bool
evict(void)
{
	int64 now = integ_limits_clock();

	if (now < integ_limit_table->next_evict)
		return false;
	integ_limit_table->next_evict = now + EVICT_PAUSE;
	evict_counters(now);
	evict_gates(now);
	return true;
}

IntegCounter *
integ_counter_find(const IntegCounterKey *key)
{
	return hash_search(counters, key, HASH_FIND, NULL);
}

/* No client takes more than half of the room, so that windows of a year of many keys leave others theirs. */
static bool
has_its_share(uint64 owner)
{
	long share = Max(integ_max_rate_limits / 2, 1), count = 0;
	HASH_SEQ_STATUS scan;
	const IntegCounter *counter;

	if (owner == 0 || hash_get_num_entries(counters) < share)
		return false;
	hash_seq_init(&scan, counters);
	while ((counter = hash_seq_search(&scan)) != NULL)
		count += counter->label.owner == owner ? 1 : 0;
	return count >= share;
}

IntegCounter *
integ_counter_make(const IntegCounterKey *key, const IntegCounterLabel *label, bool *made)
{
	bool found = false;
	IntegCounter *counter = hash_search(counters, key, HASH_FIND, NULL);

	*made = false;
	if (counter != NULL)
		return counter;
	if (has_its_share(label->owner) && (!evict() || has_its_share(label->owner)))
		return NULL;
	counter = hash_search(counters, key, HASH_ENTER_NULL, &found);
	if (counter == NULL && evict())
		counter = hash_search(counters, key, HASH_ENTER_NULL, &found);
	*made = counter != NULL && !found;
	if (!*made)
		return counter;
	memset((char *) counter + sizeof(IntegCounterKey), 0, sizeof(IntegCounter) - sizeof(IntegCounterKey));
	counter->label = *label;
	counter->remaining = -1;
	counter->learned_limit = -1;
	return counter;
}

IntegGate *
integ_gate_find(const IntegGateKey *key)
{
	return hash_search(gates, key, HASH_FIND, NULL);
}

IntegGate *
integ_gate_make(const IntegGateKey *key, bool is_host, const char *name)
{
	bool found = false;
	IntegGate *gate = hash_search(gates, key, HASH_ENTER_NULL, &found);

	if (gate == NULL && evict())
		gate = hash_search(gates, key, HASH_ENTER_NULL, &found);
	if (gate == NULL)
		return NULL;
	if (!found)
	{
		memset((char *) gate + sizeof(IntegGateKey), 0, sizeof(IntegGate) - sizeof(IntegGateKey));
		pg_atomic_init_u64(&gate->serial, ++integ_limit_table->next_serial);
		pg_atomic_init_u32(&gate->attention, 0);
		gate->is_host = is_host;
		integ_limit_clip(gate->name, name, sizeof(gate->name));
	}
	gate->used_at = integ_limits_clock();
	return gate;
}

void
integ_gate_settle(IntegGate *gate)
{
	bool attention = gate->breaker.state != INTEG_BREAKER_CLOSED || gate->breaker.failures > 0 || gate->learned > 0;

	pg_atomic_write_u32(&gate->attention, attention ? 1 : 0);
}

void
integ_counter_forget(IntegCounter *counter)
{
	IntegGateKey key;
	IntegGate *gate;

	memset(&key, 0, sizeof(key));
	key.database = counter->key.database;
	key.id = counter->label.instance;
	gate = integ_gate_find(&key);
	if (gate != NULL && gate->learned > 0)
	{
		gate->learned--;
		integ_gate_settle(gate);
	}
	(void) hash_search(counters, &counter->key, HASH_REMOVE, NULL);
}

long
integ_counter_count(void)
{
	return hash_get_num_entries(counters);
}

void
integ_counter_visit(void (*visit)(IntegCounter *counter, void *arg), void *arg)
{
	HASH_SEQ_STATUS scan;
	IntegCounter *counter;

	hash_seq_init(&scan, counters);
	while ((counter = hash_seq_search(&scan)) != NULL)
		if (counter->key.database == MyDatabaseId)
			visit(counter, arg);
}

void
integ_gate_visit(void (*visit)(IntegGate *gate, void *arg), void *arg)
{
	HASH_SEQ_STATUS scan;
	IntegGate *gate;

	hash_seq_init(&scan, gates);
	while ((gate = hash_seq_search(&scan)) != NULL)
		if (gate->key.database == MyDatabaseId)
			visit(gate, arg);
}

const char *
integ_counter_source(const IntegCounter *counter)
{
	if (counter->key.kind == INTEG_COUNTER_LEARNED)
		return "learned";
	if (counter->label.scope == INTEG_LIMIT_OF_HOST)
		return "setting";
	switch (counter->label.source)
	{
		case INTEG_LIMIT_BY_MANIFEST:
			return "manifest";
		case INTEG_LIMIT_BY_INSTANCE:
			return "instance";
		case INTEG_LIMIT_BY_PLAN:
			return "plan";
	}
	return NULL;
}

void
integ_limits_broadcast(void)
{
	if (pg_atomic_read_u32(&integ_limit_table->waiting) > 0)
		ConditionVariableBroadcast(&integ_limit_table->changed);
}
