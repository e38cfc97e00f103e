/*
 * Things by their names: a list, and an open hash table over it once it is long.
 */
#include "core/names.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#define FIRST_ROOM 8

/* Fewer are looked through. */
#define FEW 16

/* Of a kind that nobody can foretell, so that nobody sends names that are all in one place. */
static uint32
hash_of(const char *name)
{
	static uint64 seed = 0;

	while (seed == 0)
		if (!pg_strong_random(&seed, sizeof(seed)))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes")));
	return (uint32) hash_bytes_extended((const unsigned char *) name, (int) strlen(name), seed);
}

static void
place(IntegNames *names, int item)
{
	uint32 slot = names->items[item].hash & names->mask;

	while (names->slots[slot] != 0)
		slot = (slot + 1) & names->mask;
	names->slots[slot] = item + 1;
}

/* At most half of the slots are taken, so that a search ends soon. */
static void
grow(IntegNames *names)
{
	Size nslots;

	names->room = names->room == 0 ? FIRST_ROOM : names->room * 2;
	names->items = names->items == NULL ? palloc(names->room * sizeof(IntegName))
										: repalloc_huge(names->items, names->room * sizeof(IntegName));
	if (names->room <= FEW)
		return;
	nslots = (Size) names->room * 2;
	if (names->slots != NULL)
		pfree(names->slots);
	names->slots = palloc_extended(nslots * sizeof(int), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	names->mask = (uint32) nslots - 1;
	for (int i = 0; i < names->count; i++)
		place(names, i);
}

static IntegName *
find(const IntegNames *names, const char *name, uint32 hash)
{
	if (names->slots == NULL)
	{
		for (int i = 0; i < names->count; i++)
			if (names->items[i].hash == hash && strcmp(names->items[i].name, name) == 0)
				return &names->items[i];
		return NULL;
	}
	for (uint32 slot = hash & names->mask; names->slots[slot] != 0; slot = (slot + 1) & names->mask)
	{
		IntegName *item = &names->items[names->slots[slot] - 1];

		if (item->hash == hash && strcmp(item->name, name) == 0)
			return item;
	}
	return NULL;
}

void
integ_names_free(IntegNames *names)
{
	if (names->items != NULL)
		pfree(names->items);
	if (names->slots != NULL)
		pfree(names->slots);
	*names = (IntegNames){0};
}

void **
integ_names_at(IntegNames *names, const char *name)
{
	uint32 hash = hash_of(name);
	IntegName *item = find(names, name, hash);

	if (item == NULL)
	{
		if (names->count == names->room)
			grow(names);
		item = &names->items[names->count++];
		*item = (IntegName){.name = name, .hash = hash};
		if (names->slots != NULL)
			place(names, names->count - 1);
	}
	return &item->value;
}
