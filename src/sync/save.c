/*
 * What a run writes of itself while it goes on, and whether it is to go on.
 */
#include "sync/lifecycle.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/guc.h"
#include "core/owner.h"
#include "core/query.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

static IntegDatabase *my_database;
static IntegSyncSlot *my_slot;

void
integ_sync_attach_slot(IntegDatabase *database, IntegSyncSlot *slot)
{
	my_database = database;
	my_slot = slot;
}

const char *
integ_sync_phase_name(IntegSyncPhase phase)
{
	switch (phase)
	{
		case INTEG_SYNC_FETCHING:
			return "fetching";
		case INTEG_SYNC_TRANSFORMING:
			return "transforming";
		case INTEG_SYNC_SAVING:
			return "saving";
		case INTEG_SYNC_COMPLETE:
			break;
	}
	return "complete";
}

bool
integ_sync_should_stop(IntegSyncRun *run)
{
	run->stop = INTEG_SYNC_GO_ON;
	if (my_slot == NULL)
		return false;
	/* integ.hold, for one, is to be noticed before the run is over. */
	if (ConfigReloadPending && !IsTransactionState())
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (my_slot->cancel || run->lost)
		run->stop = INTEG_SYNC_CANCELLED;
	else if (ProcDiePending || integ_hold || my_database->held != INTEG_HELD_NO ||
			 my_database->state != INTEG_DATABASE_RUNNING)
		run->stop = INTEG_SYNC_YIELD;
	return run->stop != INTEG_SYNC_GO_ON;
}

bool
integ_sync_save(IntegSyncRun *run)
{
	static IntegQuery save = {
		"UPDATE integ.sync_executions_open SET progressed_at = pg_catalog.clock_timestamp(), phase = $3,"
		" reason = CASE WHEN cancel_requested THEN reason ELSE $4 END,"
		" difference = $5, pages = $6, total_records = CASE WHEN $7 >= 0 THEN $7 END, processed_records = $8,"
		" fetched = $9, created = $10, updated = $11, unchanged = $12, skipped = $13, deleted = $14, failed = $15,"
		" stalled = CASE WHEN $6 > pages THEN 0 ELSE stalled END WHERE id = $1 AND lease = $2",
		15,
		{UUIDOID, INT8OID, TEXTOID, TEXTOID, JSONBOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID,
		 INT8OID, INT8OID, INT8OID}};
	const IntegSyncCounters *counters = &run->counters;
	char nulls[] = "               ";
	Datum values[] = {UUIDPGetDatum(&run->id),
					  Int64GetDatum(run->lease),
					  CStringGetTextDatum(integ_sync_phase_name(run->phase)),
					  integ_value_text(run->reason, &nulls[3]),
					  JsonbPGetDatum(run->difference),
					  Int64GetDatum(counters->pages),
					  Int64GetDatum(counters->total),
					  Int64GetDatum(counters->processed),
					  Int64GetDatum(counters->fetched),
					  Int64GetDatum(counters->created),
					  Int64GetDatum(counters->updated),
					  Int64GetDatum(counters->unchanged),
					  Int64GetDatum(counters->skipped),
					  Int64GetDatum(counters->deleted),
					  Int64GetDatum(counters->failed)};
	IntegOwnerScope scope;

	nulls[4] = run->difference == NULL ? 'n' : ' ';
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	integ_sync_limit_waits();
	PG_TRY();
	{
		run->lost = integ_query(&save, values, nulls) == 0;
	}
	PG_CATCH();
	{
		integ_sync_raise_locked(&run->id);
	}
	PG_END_TRY();
	integ_owner_leave(&scope);
	return !run->lost;
}

void
integ_sync_log(const IntegSyncRun *run, const char *level, const char *message, const Jsonb *data)
{
	static IntegQuery insert = {
		"INSERT INTO integ.sync_logs (execution, task, client_id, context_id, level, message, data)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7)",
		7,
		{UUIDOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID}};
	char nulls[] = "       ";
	Datum values[] = {UUIDPGetDatum(&run->id),
					  UUIDPGetDatum(&run->task),
					  CStringGetTextDatum(run->client_id),
					  integ_value_text(run->context_id, &nulls[3]),
					  CStringGetTextDatum(level),
					  CStringGetTextDatum(message),
					  JsonbPGetDatum(data)};
	IntegOwnerScope scope;

	nulls[6] = data == NULL ? 'n' : ' ';
	integ_owner_enter(&scope);
	(void) integ_query(&insert, values, nulls);
	integ_owner_leave(&scope);
}

void
integ_sync_error_add(const IntegSyncRun *run, const IntegSyncError *error)
{
	static IntegQuery insert = {
		"INSERT INTO integ.sync_errors (execution, task, client_id, context_id, instance, phase, record_id, external_type,"
		" external_id, field, sqlstate, reason, details, recoverable, raw_record)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
		15,
		{UUIDOID, UUIDOID, TEXTOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		 JSONBOID, BOOLOID, JSONBOID}};
	bool keeps_raw = error->raw_record != NULL && VARSIZE(error->raw_record) <= INTEG_SYNC_RAW_MAX;
	char nulls[] = "               ";
	Datum values[15] = {UUIDPGetDatum(&run->id), UUIDPGetDatum(&run->task), CStringGetTextDatum(run->client_id)};
	IntegOwnerScope scope;

	values[3] = integ_value_text(run->context_id, &nulls[3]);
	values[4] = UUIDPGetDatum(error->instance);
	nulls[4] = error->instance == NULL ? 'n' : ' ';
	values[5] = CStringGetTextDatum(integ_sync_phase_name(error->phase));
	values[6] = integ_value_text(error->record_id, &nulls[6]);
	values[7] = integ_value_text(error->external_type, &nulls[7]);
	values[8] = integ_value_text(error->external_id, &nulls[8]);
	values[9] = integ_value_text(error->field, &nulls[9]);
	values[10] = integ_value_text(error->sqlerrcode == 0 ? NULL : unpack_sql_state(error->sqlerrcode), &nulls[10]);
	values[11] = CStringGetTextDatum(error->reason);
	values[12] = JsonbPGetDatum(error->details);
	nulls[12] = error->details == NULL ? 'n' : ' ';
	values[13] = BoolGetDatum(error->recoverable);
	values[14] = JsonbPGetDatum(error->raw_record);
	nulls[14] = keeps_raw ? ' ' : 'n';
	integ_owner_enter(&scope);
	(void) integ_query(&insert, values, nulls);
	integ_owner_leave(&scope);
}
