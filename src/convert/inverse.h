/*
 * What the push direction does with each mapping. Private to src/convert/.
 */
#ifndef INTEG_CONVERT_INVERSE_H
#define INTEG_CONVERT_INVERSE_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef struct ConvertInverse
{
	const char *source; /* our field */
	const char *target; /* theirs, or NULL where there is no one place */
	Jsonb *mapping;		/* derived, or NULL */
	const char *note;	/* why there is none, or what to know of it; or NULL */
	bool by_hand;		/* a mapping by hand takes its place */
} ConvertInverse;

/*
 * The inverse of each mapping of a valid list, in CurrentMemoryContext. columns: our fields are columns of a table,
 * else places in a record.
 */
extern ConvertInverse *convert_inverses(const Jsonb *mappings, const Jsonb *by_hand, bool columns, int *count);

/* The field_mappings of the push direction. */
extern Jsonb *convert_inverse(const Jsonb *mappings, const Jsonb *by_hand, bool columns);

#endif /* INTEG_CONVERT_INVERSE_H */
