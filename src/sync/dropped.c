/*
 * What is left of tables that were dropped: links, cursors and foreign keys that wait. A run takes them for nothing,
 * since they know their table and not its name; but a dump has its number alone, which may be another table's where it
 * is restored.
 */
#include "sync/lifecycle.h"

#include "core/query.h"
#include "operate/operate.h"

/* Rows in one transaction. */
#define BATCH "10000"

/* The first of the tables in a column that are not there any more, an index probe for each table in it. */
#define FIRST_DROPPED(table, column)                                                                       \
	"(WITH RECURSIVE t (oid) AS ("                                                                         \
	"  (SELECT " column "::oid FROM " table " WHERE " column " IS NOT NULL ORDER BY " column " LIMIT 1)"   \
	"  UNION ALL SELECT n.oid FROM t, LATERAL (SELECT " column "::oid AS oid FROM " table " WHERE " column \
	"   > t.oid ORDER BY " column " LIMIT 1) n)"                                                           \
	" SELECT oid FROM t WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = t.oid) LIMIT 1)"

#define DELETE_DROPPED(table, column)                                                                             \
	"DELETE FROM " table " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " table " WHERE " column " = " FIRST_DROPPED( \
		table, column) " LIMIT " BATCH "))"

void
integ_sync_dropped_forget(void)
{
	static IntegQuery links = {DELETE_DROPPED("integ.record_links", "target_table"), 0};
	static IntegQuery relations = {DELETE_DROPPED("integ.record_relations", "from_table"), 0};
	static IntegQuery cursors = {
		"DELETE FROM integ.sync_cursors s WHERE target_table IS NOT NULL"
		" AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.target_table)",
		0};

	integ_job_delete(&links, NULL);
	integ_job_delete(&relations, NULL);
	integ_job_delete(&cursors, NULL);
}
