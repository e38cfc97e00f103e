/*
 * Calls of a database that goes on where another one was: a standby that was promoted, a copy that was resumed.
 *
 * The one before may have sent, after the last that this one has seen of it, what is open here. Reads, and writes
 * that the service knows again by their key, are simply made; errands that look at the service before they repeat a
 * write are told to look; other writes become unknown.
 */
#include "calls/manage.h"

#include "calls/done.h"
#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "core/query.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

void
integ_calls_abandon(const char *why)
{
	/* Whoever the errand is for is to see that it may have been sent. */
	static IntegQuery mark = {
		"UPDATE integ.calls_open SET sent_at = $1 WHERE is_write AND purpose IS NOT NULL AND NOT repeatable"
		" AND sent_at IS NULL AND state IN ('queued', 'waiting') AND run_at <= $1",
		1,
		{TIMESTAMPTZOID}};
	/* A write that is to run later, or waits for a decision, has not been sent by anybody. */
	static IntegQuery abandon = {
		"WITH ended AS (DELETE FROM integ.calls_open o WHERE o.is_write AND o.state IN ('queued', 'waiting', 'running')"
		" AND o.run_at <= $2 AND NOT o.repeatable"
		" AND NOT EXISTS (SELECT FROM integ.definitions d WHERE d.id = o.definition_id"
		"  AND d.manifest @> pg_catalog.jsonb_build_object('methods',"
		"   pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('id', o.method, 'idempotency', '{}'::jsonb))))"
		" RETURNING o.*, 'unknown' AS end_state, 'IG504' AS end_sqlstate, $1 AS end_error,"
		" 'The database before it may have sent the request since the last change that this one has of it.' AS end_detail,"
		" 'Look at the service whether it was carried out; integ_call_retry with {\"confirm\": true} repeats it,"
		" integ_calls_retry many.' AS end_hint, NULL::jsonb AS end_result,"
		" CASE WHEN o.state = 'running' THEN 1 ELSE 0 END AS end_interrupted)" INTEG_CALLS_TOLD,
		2,
		{TEXTOID, TIMESTAMPTZOID}};
	/* As if an attempt had been broken off here: the next one is not the first, and looks. */
	static IntegQuery look = {
		"UPDATE integ.calls_open SET attempt = 1, interrupted = 1"
		" WHERE is_write AND repeatable AND state IN ('queued', 'waiting') AND attempt = 0 AND run_at <= $1",
		1,
		{TIMESTAMPTZOID}};
	Datum values[] = {CStringGetTextDatum(why), TimestampTzGetDatum(GetCurrentTimestamp())};
	uint64 abandoned;

	(void) integ_query(&mark, &values[1], NULL);
	abandoned = integ_query(&abandon, values, NULL);
	integ_ended_tell(abandoned);
	if (abandoned + integ_query(&look, &values[1], NULL) > 0)
		integ_wake_note_all();
}
