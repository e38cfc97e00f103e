/*
 * The order in which rows of sync are locked: the task, then its executions. A person's UPDATE or DELETE of a task does
 * so too, by its trigger.
 */
#include "sync/lifecycle.h"

#include "catalog/pg_type.h"
#include "core/query.h"

void
integ_sync_lock(const pg_uuid_t *execution)
{
	static IntegQuery task = {"SELECT FROM integ.sync_tasks WHERE id ="
							  " (SELECT task FROM integ.sync_executions_open WHERE id = $1) FOR NO KEY UPDATE",
							  1,
							  {UUIDOID}};
	static IntegQuery row = {"SELECT FROM integ.sync_executions_open WHERE id = $1 FOR UPDATE", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(execution);

	(void) integ_query(&task, &value, NULL);
	(void) integ_query(&row, &value, NULL);
}

bool
integ_sync_try_lock(const pg_uuid_t *execution)
{
	static IntegQuery task = {
		"WITH e AS MATERIALIZED (SELECT task FROM integ.sync_executions_open WHERE id = $1), l AS MATERIALIZED ("
		"  SELECT id FROM integ.sync_tasks WHERE id = (SELECT task FROM e) FOR NO KEY UPDATE SKIP LOCKED)"
		" SELECT EXISTS (SELECT FROM l) OR NOT EXISTS ("
		"  SELECT FROM integ.sync_tasks WHERE id = (SELECT task FROM e))",
		1,
		{UUIDOID}};
	static IntegQuery row = {
		"WITH l AS MATERIALIZED ("
		"  SELECT id FROM integ.sync_executions_open WHERE id = $1 FOR UPDATE SKIP LOCKED)"
		" SELECT EXISTS (SELECT FROM l) OR NOT EXISTS (SELECT FROM integ.sync_executions_open WHERE id = $1)",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(execution);

	(void) integ_query(&task, &value, NULL);
	if (!integ_result_bool(0, 1))
		return false;
	(void) integ_query(&row, &value, NULL);
	return integ_result_bool(0, 1);
}
