/*
 * How long a client's audit is kept: the key "audit" of its plan's limits is a
 * retention class, true for the standard one, or false for the shortest without
 * reading it.
 */
#include "record/recorder.h"

#include "core/cache.h"
#include "core/owner.h"
#include "core/query.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define DEFAULT_CLASS "standard"
#define CLIENT_MAX 512 /* as entries clip it */

typedef struct ClientClass
{
	char client[CLIENT_MAX + 1]; /* hash key */
	char class[16];
} ClientClass;

static HTAB *classes; /* clients whose class is not the default */

void
integ_retention_load(void)
{
	static IntegQuery others = {
		"SELECT c.id, CASE WHEN p.limits -> 'audit' = 'false' THEN 'short' ELSE p.limits ->> 'audit' END"
		" FROM integ.clients c JOIN integ.plans p ON p.id = c.plan"
		" WHERE p.limits -> 'audit' IN ('false', '\"short\"', '\"long\"')",
		0};
	static MemoryContext context;
	static uint64 generation;
	uint64 now = integ_cache_generation(INTEG_CACHE_CLIENTS);
	HASHCTL control = {.keysize = CLIENT_MAX + 1, .entrysize = sizeof(ClientClass)};
	IntegOwnerScope scope;
	uint64 count;

	if (classes != NULL && generation == now)
		return;
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "integ retention", ALLOCSET_SMALL_SIZES);
	classes = NULL;
	MemoryContextReset(context);
	control.hcxt = context;
	integ_owner_enter(&scope);
	count = integ_query(&others, NULL, NULL);
	classes = hash_create("integ retention", Max(count, 16), &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	for (uint64 i = 0; i < count; i++)
	{
		char *client = integ_result_text(i, 1, CurrentMemoryContext);
		ClientClass *entry = hash_search(classes, client, HASH_ENTER, NULL);

		strlcpy(entry->class, integ_result_text(i, 2, CurrentMemoryContext), sizeof(entry->class));
	}
	integ_owner_leave(&scope);
	generation = now;
}

const char *
integ_retention_class(const char *client, int length)
{
	char key[CLIENT_MAX + 1];
	ClientClass *entry;

	if (hash_get_num_entries(classes) == 0)
		return DEFAULT_CLASS;
	strlcpy(key, client, Min(length, CLIENT_MAX) + 1);
	entry = hash_search(classes, key, HASH_FIND, NULL);
	return entry == NULL ? DEFAULT_CLASS : entry->class;
}
