/*
 * Things by their names, in the order in which they came: for documents of anybody, which may have a million names.
 */
#ifndef INTEG_CORE_NAMES_H
#define INTEG_CORE_NAMES_H

#include "postgres.h"

typedef struct IntegName
{
	const char *name;
	void *value;
	uint32 hash;
} IntegName;

/* One that is all zero is empty. */
typedef struct IntegNames
{
	int count;
	int room;
	IntegName *items;
	int *slots; /* where items are found by their hash, as number + 1; NULL while there are few */
	uint32 mask;
} IntegNames;

/*
 * Where the value of a name is, until the next one is added; NULL is there where the name is new. The name is kept as
 * given, and what is allocated is in CurrentMemoryContext. Raises where the system gives no random bytes.
 */
extern void **integ_names_at(IntegNames *names, const char *name);

/* Empties it; the values are the caller's. */
extern void integ_names_free(IntegNames *names);

#endif /* INTEG_CORE_NAMES_H */
