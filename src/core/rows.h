/*
 * Many rows for one statement, which unnests its parameters: an array each, with an element a row.
 */
#ifndef INTEG_CORE_ROWS_H
#define INTEG_CORE_ROWS_H

#include "postgres.h"

#include "core/query.h"

/* Rows that together have more bytes are better given in several statements. */
#define INTEG_ROWS_BYTES (1024 * 1024)

typedef struct IntegRows
{
	const Oid *types; /* of the elements, as long as the rows live */
	int ncolumns;
	int count, room;
	size_t bytes;  /* of the values that are not fixed in size */
	Datum *values; /* row after row */
	bool *nulls;
	MemoryContext context;
} IntegRows;

/* No rows yet, in CurrentMemoryContext; at most INTEG_QUERY_MAX_ARGS columns. */
extern void integ_rows_begin(IntegRows *rows, const Oid *types, int ncolumns);

/* A text as such a value; NULL is SQL's NULL. In CurrentMemoryContext. */
extern Datum integ_rows_text(const char *text, bool *isnull);

/* Copies one row's array of values (not what they point to) and of nulls into the rows. */
extern void integ_rows_add(IntegRows *rows, const Datum *values, const bool *nulls);

/*
 * Runs the statement, whose parameters are the columns and nothing else, for these rows, and empties them; nothing is
 * run for none. As integ_query.
 */
extern uint64 integ_rows_query(IntegRows *rows, IntegQuery *query);

#endif /* INTEG_CORE_ROWS_H */
