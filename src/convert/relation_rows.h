/*
 * Rows of users' tables that relations start or end at. Private to src/convert.
 *
 * Rows are meant by key: a JSON object with a member for each column of it. What is called here runs as the current
 * user, with its rights and its search_path; every name and operator in it is qualified.
 */
#ifndef INTEG_CONVERT_RELATION_ROWS_H
#define INTEG_CONVERT_RELATION_ROWS_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Whether two keys name the same columns. */
extern bool convert_same_columns(const Jsonb *a, const Jsonb *b);

/*
 * Sets a column of each of the rows with these keys, all of the same columns; rows that are gone or have the value
 * already are left alone. Raises what the statement raises (constraints, triggers, rights), and 42703 where a column
 * is missing.
 */
extern void convert_rows_set(Oid table, const char *column, Jsonb *const *keys, Jsonb *const *values, int count);

/*
 * What the rows with these keys have in two columns: the first as the text that integ.record_relations.to_value holds,
 * the second as jsonb; arrays in CurrentMemoryContext, rows with a null in either left out. False where a column is
 * missing or the current user may not read it.
 */
extern bool convert_rows_read(Oid table, Jsonb *const *keys, int count, const char *looked_up, const char *referred_to,
							  Datum *texts, Datum *values);

#endif /* INTEG_CONVERT_RELATION_ROWS_H */
