/*
 * Rows of a small batch, inserted into the partition they belong to.
 */
#ifndef INTEG_RECORD_INSERT_H
#define INTEG_RECORD_INSERT_H

#include "postgres.h"

#include "record/entry.h"
#include "utils/rel.h"

/* Batches of more rows of a table than this are COPY's. */
#define INTEG_INSERT_MAX 16

/*
 * Inserts the entries of one kind into partitions of log, the table of that kind (locked by the caller), with ids from
 * sequence; inside a transaction after integ_retention_load. All or none: false where a row's partition is missing or
 * is no plain one (triggers, columns or indexes that are not ours), and the caller is to use COPY. Raises what an
 * INSERT raises; where the partition does not take a row, what COPY raises: a check violation without a constraint.
 */
extern bool integ_log_insert(Relation log, Oid sequence, IntegEntry *const *entries, int count);

#endif /* INTEG_RECORD_INSERT_H */
