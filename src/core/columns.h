/*
 * Parameters that a statement unnests: many rows in one statement, a column each.
 */
#ifndef INTEG_CORE_COLUMNS_H
#define INTEG_CORE_COLUMNS_H

#include "postgres.h"

typedef struct IntegColumn
{
	Oid type; /* of the elements */
	int count;
	int room;
	Datum *values;
	bool *nulls;
} IntegColumn;

/* An empty column of that type with room for so many values, in CurrentMemoryContext. */
extern void integ_column_begin(IntegColumn *column, Oid type, int room);

/* Adds a value, which must stay until integ_column_end; a NULL text is SQL's NULL. There must be room. */
extern void integ_column_add(IntegColumn *column, Datum value);
extern void integ_column_add_null(IntegColumn *column);
extern void integ_column_add_text(IntegColumn *column, const char *value);

/* The array, in CurrentMemoryContext. */
extern Datum integ_column_end(const IntegColumn *column);

#endif /* INTEG_CORE_COLUMNS_H */
