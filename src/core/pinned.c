/*
 * Objects of a cache that callers hold while the cache moves on.
 */
#include "core/pinned.h"

#include "utils/memutils.h"
#include "utils/palloc.h"

static void
release(void *arg)
{
	IntegPinned *object = arg;

	Assert(object->pins > 0);
	if (--object->pins == 0 && object->retired)
		MemoryContextDelete(object->context);
}

void
integ_pinned_hold(IntegPinned *object)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	callback->func = release;
	callback->arg = object;
	object->pins++;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
}

void
integ_pinned_retire(IntegPinned *object)
{
	Assert(!object->retired);
	object->retired = true;
	if (object->pins == 0)
		MemoryContextDelete(object->context);
}

/* More objects than this in one backend: begin anew rather than grow without end. */
#define MAX_ENTRIES 4096

typedef struct TableEntry
{
	char key[INTEG_PINNED_KEY]; /* hash key */
	IntegPinned *object;
} TableEntry;

static void
forget_all(IntegPinnedTable *table)
{
	HASH_SEQ_STATUS scan;
	TableEntry *entry;

	hash_seq_init(&scan, table->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		IntegPinned *object = entry->object;

		hash_search(table->entries, entry->key, HASH_REMOVE, NULL);
		integ_pinned_retire(object);
	}
}

static void
prepare(IntegPinnedTable *table, uint64 generation)
{
	HASHCTL control = {.keysize = INTEG_PINNED_KEY, .entrysize = sizeof(TableEntry), .hcxt = CacheMemoryContext};

	if (table->entries == NULL)
		table->entries = hash_create(table->name, 16, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	else if (table->generation != generation || hash_get_num_entries(table->entries) >= MAX_ENTRIES)
		forget_all(table);
	table->generation = generation;
}

void *
integ_pinned_find(IntegPinnedTable *table, uint64 generation, const char *key)
{
	TableEntry *entry;

	prepare(table, generation);
	entry = strlen(key) < INTEG_PINNED_KEY ? hash_search(table->entries, key, HASH_FIND, NULL) : NULL;
	if (entry == NULL)
		return NULL;
	integ_pinned_hold(entry->object);
	return entry->object;
}

void
integ_pinned_keep(IntegPinnedTable *table, uint64 generation, const char *key, IntegPinned *object)
{
	TableEntry *entry;
	bool found;

	if (table->generation != generation || strlen(key) >= INTEG_PINNED_KEY)
		return;
	/* In this order, so that running out of memory in between frees nothing that is pinned. */
	MemoryContextSetParent(object->context, CacheMemoryContext);
	integ_pinned_hold(object);
	entry = hash_search(table->entries, key, HASH_ENTER, &found);
	if (found)
		integ_pinned_retire(entry->object);
	entry->object = object;
}
