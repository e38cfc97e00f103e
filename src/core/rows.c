/*
 * Many rows for one statement.
 */
#include "core/rows.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define FIRST_ROOM 64

void
integ_rows_begin(IntegRows *rows, const Oid *types, int ncolumns)
{
	Assert(ncolumns <= INTEG_QUERY_MAX_ARGS);
	*rows = (IntegRows){.types = types, .ncolumns = ncolumns, .room = FIRST_ROOM, .context = CurrentMemoryContext};
	rows->values = palloc(sizeof(Datum) * ncolumns * rows->room);
	rows->nulls = palloc(sizeof(bool) * ncolumns * rows->room);
}

Datum
integ_rows_text(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

void
integ_rows_add(IntegRows *rows, const Datum *values, const bool *nulls)
{
	int at = rows->count * rows->ncolumns;

	if (rows->count == rows->room)
	{
		rows->room *= 2;
		rows->values = repalloc_huge(rows->values, sizeof(Datum) * rows->ncolumns * rows->room);
		rows->nulls = repalloc_huge(rows->nulls, sizeof(bool) * rows->ncolumns * rows->room);
	}
	for (int i = 0; i < rows->ncolumns; i++)
	{
		rows->values[at + i] = values[i];
		rows->nulls[at + i] = nulls[i];
		if (!nulls[i] && get_typlen(rows->types[i]) == -1)
			rows->bytes += VARSIZE_ANY(DatumGetPointer(values[i]));
	}
	rows->count++;
}

static Datum
column_array(const IntegRows *rows, int column, Datum *values, bool *nulls)
{
	int dims[1] = {rows->count}, lower[1] = {1};
	int16 length;
	bool by_value;
	char align;

	get_typlenbyvalalign(rows->types[column], &length, &by_value, &align);
	for (int i = 0; i < rows->count; i++)
	{
		values[i] = rows->values[i * rows->ncolumns + column];
		nulls[i] = rows->nulls[i * rows->ncolumns + column];
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lower, rows->types[column], length, by_value,
											  align));
}

uint64
integ_rows_query(IntegRows *rows, IntegQuery *query)
{
	MemoryContext old = MemoryContextSwitchTo(rows->context);
	Datum arrays[INTEG_QUERY_MAX_ARGS];
	Datum *values = palloc(sizeof(Datum) * Max(rows->count, 1));
	bool *nulls = palloc(sizeof(bool) * Max(rows->count, 1));
	uint64 found = 0;

	if (rows->count > 0)
	{
		for (int i = 0; i < rows->ncolumns; i++)
			arrays[i] = column_array(rows, i, values, nulls);
		found = integ_query(query, arrays, NULL);
		for (int i = 0; i < rows->ncolumns; i++)
			pfree(DatumGetPointer(arrays[i]));
	}
	pfree(values);
	pfree(nulls);
	rows->count = 0;
	rows->bytes = 0;
	MemoryContextSwitchTo(old);
	return found;
}
