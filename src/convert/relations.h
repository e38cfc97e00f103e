/*
 * Relations of a page: what its records lead to, and what waited for them.
 *
 * A relation whose target is not there yet is a row of integ.record_relations.
 * It is completed when the target arrives: the field of a record takes the id,
 * the column of a user's row (its foreign key) the key of the row that came.
 *
 * For a page, in the transaction that writes it, as the owner of the schema and
 * outside of an owner scope:
 *
 *   page = integ_relations_begin(conversion, client);
 *   for each record that was created or changed:
 *       integ_relations_add(page, &converted, &record_id, NULL);     (a record of integ.records)
 *       integ_relations_add(page, &converted, NULL, key);            (a row of the target table)
 *   … write the targets and their rows of integ.record_links …
 *   linked = integ_relations_finish(page);
 *
 * A page costs a fixed number of statements, however many records it has, and
 * one where neither it relates to anything nor anything waits. What other
 * owners' schemas wait for is completed, and their columns are set when they
 * run: integ_relations_fill at the begin of a run.
 */
#ifndef INTEG_CONVERT_RELATIONS_H
#define INTEG_CONVERT_RELATIONS_H

#include "convert/conversion.h"

typedef struct IntegRelationPage IntegRelationPage;

/*
 * In CurrentMemoryContext, which must outlive it. client is whose page it is; the conversion stays pinned by the
 * caller.
 */
extern PGDLLEXPORT IntegRelationPage *integ_relations_begin(const IntegConversion *conversion, const char *client);

/*
 * Adds what a record became: the id of a record, or (record NULL) the key of a row of the target table by column, as
 * its link says. Everything is copied. Call it once for a record or row.
 */
extern PGDLLEXPORT void integ_relations_add(IntegRelationPage *page, const IntegConverted *converted,
											const pg_uuid_t *record, const Jsonb *key);

/*
 * Remembers the page's relations in place of what was remembered of the same records, completes those that waited for
 * them, and sets the columns that now have a value. Returns how many relations were completed. A column that does not
 * take its value (a constraint, a trigger) is noted in the relation's row; raises what a cancel raises and, for the
 * caller to try again, a deadlock.
 */
extern PGDLLEXPORT uint64 integ_relations_finish(IntegRelationPage *page);

/*
 * Sets the columns of a client's rows, written by schemas of the current user, whose relations have been completed.
 * Returns how many relations are done. Errors as above.
 */
extern PGDLLEXPORT uint64 integ_relations_fill(const char *client);

#endif /* INTEG_CONVERT_RELATIONS_H */
