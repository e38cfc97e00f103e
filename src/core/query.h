/*
 * SQL from C: one way to run a statement on our own tables.
 *
 * A statement is a static IntegQuery with its text and argument types; values
 * are always parameters. Plans are prepared once a backend and kept, generic, and
 * made as if our tables were large: what is fast for ten rows only is no plan of ours. So a statement must have an
 * index for what it looks up, and one that is to read a whole table must want all of it.
 */
#ifndef INTEG_CORE_QUERY_H
#define INTEG_CORE_QUERY_H

#include "postgres.h"

#include "executor/spi.h"

#define INTEG_QUERY_MAX_ARGS 32

typedef struct IntegQuery
{
	const char *sql;
	int nargs;
	Oid types[INTEG_QUERY_MAX_ARGS];
	SPIPlanPtr plan; /* prepared at first use; leave it NULL */
} IntegQuery;

/*
 * Runs the statement inside an owner scope (or any SPI connection), in the
 * transaction's snapshot with its own changes visible. A NULL in nulls is
 * given as 'n' as in SPI; nulls may be NULL. Returns SPI_processed; results
 * are in SPI_tuptable until the next statement. Raises what the statement
 * raises.
 */
extern uint64 integ_query(IntegQuery *query, const Datum *values, const char *nulls);

/*
 * As integ_query, read only and in a fresh snapshot, whatever the isolation of
 * the transaction: for what is cached beyond it.
 */
extern uint64 integ_query_latest(IntegQuery *query, const Datum *values, const char *nulls);

/*
 * Until the owner scope or nest level of settings ends, plans go by the indexes that are there for them, in their
 * order. A plan is made once, perhaps while its table is empty: left to the costs of then, it would scan that table,
 * or sort it, for as long as the process lives.
 */
extern void integ_query_by_indexes(void);

/*
 * Values of statements, in CurrentMemoryContext: a text with its flag in nulls (NULL: SQL NULL), and an array of texts.
 */
extern Datum integ_value_text(const char *value, char *null);
extern Datum integ_value_texts(const char *const *texts, int count);

/*
 * Columns of the results, by position from 1. Text and jsonb are copied to the
 * context given; a NULL column gives NULL (0 and false for the scalars).
 */
extern char *integ_result_text(uint64 row, int column, MemoryContext context);
extern struct varlena *integ_result_varlena(uint64 row, int column, MemoryContext context);
extern Datum integ_result_datum(uint64 row, int column, bool *isnull);
extern bool integ_result_bool(uint64 row, int column);
extern int64 integ_result_int8(uint64 row, int column);
extern TimestampTz integ_result_time(uint64 row, int column);

#endif /* INTEG_CORE_QUERY_H */
