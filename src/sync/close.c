/*
 * Executions that end without having run, or are given back.
 */
#include "sync/lifecycle.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/owner.h"
#include "core/query.h"
#include "operate/operate.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

void
integ_sync_close(const pg_uuid_t *execution, const char *status, const char *reason)
{
	static IntegQuery close = {
		"WITH gone AS (DELETE FROM integ.sync_executions_open WHERE id = $1 AND status = 'queued' RETURNING *)"
		" INSERT INTO integ.sync_executions_done (" INTEG_SYNC_COLUMNS ", status, reason, phase, completed_at, duration)"
		" SELECT " INTEG_SYNC_COLUMNS ", $2, $3, phase, pg_catalog.clock_timestamp(),"
		" pg_catalog.clock_timestamp() - started_at FROM gone",
		3,
		{UUIDOID, TEXTOID, TEXTOID}};
	Datum values[] = {UUIDPGetDatum(execution), CStringGetTextDatum(status), CStringGetTextDatum(reason)};

	(void) integ_query(&close, values, NULL);
	integ_sync_seen_forget(execution);
}

void
integ_sync_close_task(const pg_uuid_t *task, const char *reason)
{
	static IntegQuery waiting = {
		"WITH gone AS (DELETE FROM integ.sync_executions_open WHERE task = $1 AND status = 'queued' RETURNING *)"
		" INSERT INTO integ.sync_executions_done (" INTEG_SYNC_COLUMNS ", status, reason, phase, completed_at, duration)"
		" SELECT " INTEG_SYNC_COLUMNS ", 'cancelled', $2, phase, pg_catalog.clock_timestamp(),"
		" pg_catalog.clock_timestamp() - started_at FROM gone",
		2,
		{UUIDOID, TEXTOID}};
	static IntegQuery running = {
		"UPDATE integ.sync_executions_open SET cancel_requested = true, reason = $2"
		" WHERE task = $1 AND status = 'running' AND NOT cancel_requested",
		2,
		{UUIDOID, TEXTOID}};
	static IntegQuery seen = {"DELETE FROM integ.sync_seen s WHERE task = $1 AND NOT EXISTS"
							  " (SELECT FROM integ.sync_executions_open o WHERE o.id = s.execution)",
							  1,
							  {UUIDOID}};
	Datum values[] = {UUIDPGetDatum(task), CStringGetTextDatum(reason)};

	(void) integ_query(&waiting, values, NULL);
	(void) integ_query(&seen, values, NULL);
	(void) integ_query(&running, values, NULL);
}

void
integ_sync_release(const pg_uuid_t *execution, int64 lease, const char *message)
{
	static IntegQuery back = {
		"UPDATE integ.sync_executions_open SET status = 'queued', lease = NULL, resumed = resumed + 1,"
		" stalled = stalled + CASE WHEN $3 IS NULL THEN 0 ELSE 1 END, reason = $3,"
		" run_at = pg_catalog.clock_timestamp() + CASE WHEN $3 IS NULL THEN interval '0'"
		"  ELSE pg_catalog.power(2, least(stalled, 10)) * interval '1 second' END"
		" WHERE id = (SELECT id FROM integ.sync_executions_open WHERE id = $1 AND lease = $2 FOR UPDATE NOWAIT)",
		3,
		{UUIDOID, INT8OID, TEXTOID}};
	char nulls[] = "   ";
	Datum values[] = {UUIDPGetDatum(execution), Int64GetDatum(lease), (Datum) 0};
	IntegOwnerScope scope;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	values[2] = integ_value_text(message, &nulls[2]);
	integ_owner_enter(&scope);
	(void) integ_query(&back, values, nulls);
	integ_owner_leave(&scope);
	integ_wake_at_commit(INTEG_WAKE_SYNC);
	PopActiveSnapshot();
	CommitTransactionCommand();
}
