/*
 * Runs for named records: what a webhook says has changed.
 */
#include "sync/task.h"

#include "access/actor.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"

PG_FUNCTION_INFO_V1(integ_sync_records_sql);

/* Records that wait together in one execution. */
#define RECORDS_MAX 1000

static void
check_records(const Jsonb *records)
{
	IntegJsonWalk walk;
	JsonbValue record;

	if (!JB_ROOT_IS_ARRAY(records) || JB_ROOT_IS_SCALAR(records))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the records to be synchronized must be an array"),
						errhint("Each is an external id (a text) or a record (an object).")));
	integ_json_walk_begin(&walk, &records->root);
	while (integ_json_walk_element(&walk, &record))
		if (record.type != jbvString && !integ_json_is_object(&record))
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("a record to be synchronized must be an external id (a text) or an object")));
}

/* What waits already, and nobody is about to begin. */
static bool
add_to_waiting(const Datum *values)
{
	static IntegQuery add = {
		"UPDATE integ.sync_executions_open SET records = records || $2 WHERE id = ("
		" SELECT id FROM integ.sync_executions_open WHERE task = $1 AND status = 'queued' AND trigger = 'webhook'"
		" AND NOT cancel_requested AND pg_catalog.jsonb_array_length(records) < $3 LIMIT 1 FOR UPDATE SKIP LOCKED)",
		3,
		{UUIDOID, JSONBOID, INT4OID}};

	return integ_query(&add, values, NULL) > 0;
}

void
integ_sync_records(const pg_uuid_t *task, const Jsonb *records)
{
	static IntegQuery insert = {
		"INSERT INTO integ.sync_executions_open (task, task_id, client_id, context_id, instance, owner, direction, trigger,"
		" records) SELECT id, task_id, client_id, context_id, instance, owner, direction, 'webhook', $2"
		" FROM integ.sync_tasks WHERE id = $1 AND status = 'active'",
		2,
		{UUIDOID, JSONBOID}};
	Datum values[] = {UUIDPGetDatum(task), JsonbPGetDatum(records), Int32GetDatum(RECORDS_MAX)};

	check_records(records);
	if (JB_ROOT_COUNT(records) > 0 && !add_to_waiting(values))
		(void) integ_query(&insert, values, NULL);
}

/* integ.sync_records(task, records) */
Datum
integ_sync_records_sql(PG_FUNCTION_ARGS)
{
	pg_uuid_t *task = PG_GETARG_UUID_P(0);
	const Jsonb *records = PG_GETARG_JSONB_P(1);
	IntegOwnerScope scope;

	(void) integ_actor_require(INTEG_LEVEL_SUPERADMIN, "synchronize records");
	integ_owner_enter(&scope);
	integ_sync_records(task, records);
	integ_owner_leave(&scope);
	PG_RETURN_VOID();
}
