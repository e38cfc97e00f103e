/*
 * Instances by the actor and the name they are called by, cached per backend.
 */
#include "instances/instance.h"

#include "core/cache.h"
#include "core/errors.h"
#include "instances/lookup.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* Longer keys (a very long user id) are looked up each time. */
#define KEY_LENGTH 512

typedef struct CacheEntry
{
	char key[KEY_LENGTH]; /* hash key: level, client, user, name */
	IntegInstance *instance;
} CacheEntry;

static HTAB *cache;
static uint64 cache_generation;

/* An entry holds parts of the definition and of the client's plan too. */
static uint64
current_generation(void)
{
	return integ_cache_generation(INTEG_CACHE_INSTANCES) + integ_cache_generation(INTEG_CACHE_DEFINITIONS) +
		   integ_cache_generation(INTEG_CACHE_CLIENTS);
}

static void
forget_all(void)
{
	HASH_SEQ_STATUS scan;
	CacheEntry *entry;

	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		integ_pinned_retire(&entry->instance->pinned);
		hash_search(cache, entry->key, HASH_REMOVE, NULL);
	}
}

static void
prepare_cache(void)
{
	uint64 generation = current_generation();
	HASHCTL control = {.keysize = KEY_LENGTH, .entrysize = sizeof(CacheEntry)};

	if (cache == NULL)
	{
		control.hcxt = CacheMemoryContext;
		cache = hash_create("integ instances", 16, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	else if (cache_generation != generation)
		forget_all();
	cache_generation = generation;
}

/* Unit separators cannot be part of ids. False where the key is too long. */
static bool
make_key(const IntegActor *actor, const char *name, char *key)
{
	return snprintf(key, KEY_LENGTH, "%d\x1f%s\x1f%s\x1f%s", (int) actor->level, actor->client,
					actor->user == NULL ? "" : actor->user, name) < KEY_LENGTH;
}

static void
require_member(const IntegActor *actor)
{
	if (actor->level == INTEG_LEVEL_NONE)
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("this role may not use instances"),
						errdetail("The role belongs to no client of integ."),
						errhint("Add a row to integ.members, or call integ_act_as first if the role is granted integ_impersonate.")));
}

const IntegInstance *
integ_instance_resolve(const IntegActor *actor, const char *name)
{
	char key[KEY_LENGTH];
	CacheEntry *entry;
	IntegInstance *instance;
	bool fits;

	require_member(actor);
	fits = make_key(actor, name, key);
	prepare_cache();
	entry = fits ? hash_search(cache, key, HASH_FIND, NULL) : NULL;
	if (entry != NULL)
	{
		integ_pinned_hold(&entry->instance->pinned);
		return entry->instance;
	}

	instance = integ_instance_lookup(actor, name, INTEG_LOOKUP_CALL);
	/* Below the caller's context until here: an error frees it. What came in meanwhile makes it this caller's only. */
	if (fits && current_generation() == cache_generation)
	{
		MemoryContextSetParent(instance->pinned.context, CacheMemoryContext);
		integ_pinned_hold(&instance->pinned);
		entry = hash_search(cache, key, HASH_ENTER, NULL);
		entry->instance = instance;
	}
	return instance;
}
