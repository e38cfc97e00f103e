/*
 * Lanes: what the dispatcher knows of instances; and the ordering keys under way.
 */
#include "calls/dispatch.h"

#include "common/hashfn.h"
#include "core/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define ORDERING_KEY_MAX 512

/*
 * An ordering key of a client for an instance, as a hash key: zeroed before it is filled. Of the client it has a hash:
 * where those of two were the same, their calls would wait for one another.
 */
typedef struct OrderedKey
{
	pg_uuid_t instance;
	uint64 client;
	char key[ORDERING_KEY_MAX + 1];
} OrderedKey;

typedef struct OrderedNext
{
	dlist_node node;
	pg_uuid_t instance;
	char *client;
	char key[FLEXIBLE_ARRAY_MEMBER];
} OrderedNext;

static OrderedKey *
ordered_key(const pg_uuid_t *instance, const char *client, const char *key)
{
	static OrderedKey buffer;

	memset(&buffer, 0, sizeof(buffer));
	buffer.instance = *instance;
	buffer.client = hash_bytes_extended((const unsigned char *) client, (int) strlen(client), 0);
	strlcpy(buffer.key, key, sizeof(buffer.key));
	return &buffer;
}

static HTAB *
make_table(IntegDispatcher *dispatcher, const char *name, Size keysize, Size entrysize)
{
	HASHCTL control = {.keysize = keysize, .entrysize = entrysize, .hcxt = dispatcher->context};

	return hash_create(name, 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

IntegLane *
integ_lane_get(IntegDispatcher *dispatcher, const pg_uuid_t *instance)
{
	IntegLane *lane;
	bool found;

	if (dispatcher->lanes == NULL)
		dispatcher->lanes = make_table(dispatcher, "integ lanes", sizeof(pg_uuid_t), sizeof(IntegLane));
	lane = hash_search(dispatcher->lanes, instance, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) lane + sizeof(pg_uuid_t), 0, sizeof(IntegLane) - sizeof(pg_uuid_t));
		dlist_init(&lane->promises);
		/* The first call tells how many its definition allows at once. */
		lane->limit = 1;
	}
	return lane;
}

int
integ_lane_free(const IntegLane *lane, TimestampTz now)
{
	int limit = lane->cautious ? 1 : lane->limit;

	int room = limit - lane->running;

	if (lane->host != NULL && integ_host_concurrency > 0)
		room = Min(room, integ_host_concurrency - lane->host->running);
	return lane->paused_until > now ? 0 : Max(room, 0);
}

int
integ_lane_part(const IntegDispatcher *dispatcher, int most)
{
	return Max(most / dispatcher->total + (dispatcher->number < most % dispatcher->total ? 1 : 0), 1);
}

void
integ_lane_take(IntegLane *lane)
{
	lane->running++;
	if (lane->host != NULL)
		lane->host->running++;
}

void
integ_lane_give(IntegLane *lane)
{
	lane->running--;
	if (lane->host != NULL)
		lane->host->running--;
}

static void
leave_host(IntegDispatcher *dispatcher, IntegLane *lane)
{
	if (lane->host == NULL)
		return;
	lane->host->running -= lane->running;
	if (--lane->host->lanes == 0)
		(void) hash_search(dispatcher->hosts, lane->host->origin, HASH_REMOVE, NULL);
	lane->host = NULL;
}

void
integ_lane_learn(IntegDispatcher *dispatcher, IntegLane *lane, int limit, const char *origin)
{
	HASHCTL control = {.keysize = INTEG_LIMIT_NAME, .entrysize = sizeof(IntegHost), .hcxt = dispatcher->context};
	char name[INTEG_LIMIT_NAME];
	bool found;

	lane->limit = limit;
	if (origin == NULL)
		return;
	strlcpy(name, origin, sizeof(name));
	if (lane->host != NULL && strcmp(lane->host->origin, name) == 0)
		return;
	leave_host(dispatcher, lane);
	if (dispatcher->hosts == NULL)
		dispatcher->hosts = hash_create("integ hosts", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	lane->host = hash_search(dispatcher->hosts, name, HASH_ENTER, &found);
	if (!found)
		lane->host->lanes = lane->host->running = 0;
	lane->host->lanes++;
	lane->host->running += lane->running;
}

int
integ_lane_room(const IntegLane *lane, TimestampTz now)
{
	return Min(integ_lane_free(lane, now), INTEG_PROMISES_MAX - lane->npromises);
}

void
integ_lane_promise(IntegDispatcher *dispatcher, const IntegFlight *flight, TimestampTz at)
{
	IntegLane *lane = integ_lane_get(dispatcher, &flight->instance);
	IntegPromise *promise;
	dlist_node *before = NULL;
	dlist_iter iter;

	if (lane->npromises >= INTEG_PROMISES_MAX)
		return;
	promise = MemoryContextAlloc(dispatcher->context, sizeof(IntegPromise));
	promise->at = promise->told = at;
	promise->limit = flight->waits_for;
	promise->call = flight->id;
	dlist_foreach (iter, &lane->promises)
		if (dlist_container(IntegPromise, node, iter.cur)->at <= at)
			before = iter.cur;
	if (before != NULL)
		dlist_insert_after(before, &promise->node);
	else
		dlist_push_head(&lane->promises, &promise->node);
	if (lane->npromises++ == 0)
		dlist_push_tail(&dispatcher->promising, &lane->promising);
}

/* The oldest call that waits for the same limit takes the place of the one whose time has come. */
static void
let_older_pass(IntegLane *lane, IntegPromise *due)
{
	IntegPromise *oldest = due;
	pg_uuid_t call = due->call;
	TimestampTz told = due->told;
	dlist_iter iter;

	dlist_foreach (iter, &lane->promises)
	{
		IntegPromise *promise = dlist_container(IntegPromise, node, iter.cur);

		if (promise->limit == due->limit && memcmp(&promise->call, &oldest->call, UUID_LEN) < 0)
			oldest = promise;
	}
	due->call = oldest->call;
	due->told = oldest->told;
	oldest->call = call;
	oldest->told = told;
}

bool
integ_lane_promised(IntegDispatcher *dispatcher, IntegLane *lane, TimestampTz now, IntegPromise *promise)
{
	IntegPromise *due;

	if (lane->npromises == 0)
		return false;
	due = dlist_head_element(IntegPromise, node, &lane->promises);
	if (due->at > now)
		return false;
	let_older_pass(lane, due);
	*promise = *due;
	integ_lane_take_back(lane, due);
	return true;
}

void
integ_lane_take_back(IntegLane *lane, IntegPromise *promise)
{
	dlist_delete(&promise->node);
	pfree(promise);
	if (--lane->npromises == 0)
		dlist_delete(&lane->promising);
}

void
integ_lane_resume_all(IntegDispatcher *dispatcher)
{
	HASH_SEQ_STATUS scan;
	IntegLane *lane;

	if (dispatcher->lanes == NULL)
		return;
	hash_seq_init(&scan, dispatcher->lanes);
	while ((lane = hash_seq_search(&scan)) != NULL)
		lane->paused_until = 0;
}

void
integ_lane_backlog(IntegDispatcher *dispatcher, IntegLane *lane, int priority, const IntegMark *from)
{
	uint32 bit = UINT32_C(1) << priority;

	if (lane->backlog == 0)
		dlist_push_tail(&dispatcher->backlogged, &lane->node);
	if ((lane->backlog & bit) == 0 || from->at < lane->marks[priority].at ||
		(from->at == lane->marks[priority].at && memcmp(&from->id, &lane->marks[priority].id, UUID_LEN) < 0))
		lane->marks[priority] = *from;
	lane->backlog |= bit;
}

void
integ_lane_drained(IntegDispatcher *dispatcher, IntegLane *lane, int priority)
{
	if (lane->backlog == 0)
		return;
	lane->backlog &= ~(UINT32_C(1) << priority);
	if (lane->backlog == 0)
		dlist_delete(&lane->node);
}

void
integ_lane_enter(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	flight->lane = integ_lane_get(dispatcher, &flight->instance);
	integ_lane_take(flight->lane);
}

void
integ_lane_leave(IntegDispatcher *dispatcher, IntegFlight *flight)
{
	if (flight->lane != NULL)
		integ_lane_give(flight->lane);
	flight->lane = NULL;
}

void
integ_lane_sweep(IntegDispatcher *dispatcher)
{
	TimestampTz now = GetCurrentTimestamp();
	HASH_SEQ_STATUS scan;
	IntegLane *lane;

	if (dispatcher->lanes == NULL)
		return;
	hash_seq_init(&scan, dispatcher->lanes);
	while ((lane = hash_seq_search(&scan)) != NULL)
		if (lane->running == 0 && lane->backlog == 0 && lane->npromises == 0 && lane->failures == 0 &&
			lane->paused_until <= now)
		{
			leave_host(dispatcher, lane);
			(void) hash_search(dispatcher->lanes, &lane->instance, HASH_REMOVE, NULL);
		}
}

bool
integ_ordered_take(IntegDispatcher *dispatcher, const pg_uuid_t *instance, const char *client, const char *key)
{
	bool found;

	if (dispatcher->ordered == NULL)
		dispatcher->ordered = make_table(dispatcher, "integ ordering keys", sizeof(OrderedKey), sizeof(OrderedKey));
	(void) hash_search(dispatcher->ordered, ordered_key(instance, client, key), HASH_ENTER, &found);
	return !found;
}

void
integ_ordered_release(IntegDispatcher *dispatcher, const pg_uuid_t *instance, const char *client, const char *key)
{
	(void) hash_search(dispatcher->ordered, ordered_key(instance, client, key), HASH_REMOVE, NULL);
}

void
integ_ordered_unlock(IntegDispatcher *dispatcher, const pg_uuid_t *instance, const char *client, const char *key)
{
	OrderedNext *next = MemoryContextAlloc(dispatcher->context, offsetof(OrderedNext, key) + strlen(key) + 1);

	next->instance = *instance;
	next->client = MemoryContextStrdup(dispatcher->context, client);
	strcpy(next->key, key);
	dlist_push_tail(&dispatcher->unlocked, &next->node);
}

bool
integ_ordered_next(IntegDispatcher *dispatcher, pg_uuid_t *instance, char **client, char **key)
{
	OrderedNext *next;

	if (dlist_is_empty(&dispatcher->unlocked))
		return false;
	next = dlist_container(OrderedNext, node, dlist_pop_head_node(&dispatcher->unlocked));
	*instance = next->instance;
	*client = MemoryContextStrdup(dispatcher->scratch, next->client);
	*key = MemoryContextStrdup(dispatcher->scratch, next->key);
	pfree(next->client);
	pfree(next);
	return true;
}
