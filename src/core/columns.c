/*
 * Parameters that a statement unnests.
 */
#include "core/columns.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

void
integ_column_begin(IntegColumn *column, Oid type, int room)
{
	*column = (IntegColumn){.type = type,
							.room = room,
							.values = palloc(Max(room, 1) * sizeof(Datum)),
							.nulls = palloc(Max(room, 1) * sizeof(bool))};
}

void
integ_column_add(IntegColumn *column, Datum value)
{
	Assert(column->count < column->room);
	column->nulls[column->count] = false;
	column->values[column->count++] = value;
}

void
integ_column_add_null(IntegColumn *column)
{
	Assert(column->count < column->room);
	column->nulls[column->count] = true;
	column->values[column->count++] = (Datum) 0;
}

void
integ_column_add_text(IntegColumn *column, const char *value)
{
	if (value == NULL)
		integ_column_add_null(column);
	else
		integ_column_add(column, CStringGetTextDatum(value));
}

Datum
integ_column_end(const IntegColumn *column)
{
	int dims[1] = {column->count}, lower[1] = {1};
	int16 length;
	bool by_value;
	char align;

	get_typlenbyvalalign(column->type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(column->values, column->nulls, 1, dims, lower, column->type, length,
											  by_value, align));
}
