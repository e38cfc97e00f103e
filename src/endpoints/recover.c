/*
 * What a dispatcher that is no more was sending is sent again: whether it arrived nobody knows, and who gets it twice
 * knows it by its webhook-id.
 */
#include "endpoints/deliver.h"
#include "endpoints/done.h"

#include "catalog/pg_type.h"
#include "core/query.h"
#include "endpoints/work.h"
#include "utils/timestamp.h"

/* A delivery that this many dispatchers did not survive is not tried again. */
#define MAX_INTERRUPTIONS "20"

#define KEYS_PER_SWEEP "10000"

void
integ_deliveries_give_back(int64 lease)
{
	static IntegQuery end = {
		"WITH ended AS (DELETE FROM integ.deliveries_open o WHERE o.state = 'sending' AND o.lease = $1"
		" AND (o.cancel_requested OR o.interrupted >= " MAX_INTERRUPTIONS ")"
		" RETURNING o.*, CASE WHEN o.cancel_requested THEN 'cancelled' ELSE 'dead' END AS end_state,"
		" NULL::integer AS end_status, 'the dispatcher ended while it sent the delivery, too often' AS end_error,"
		" 1 AS end_interrupted)" INTEG_DELIVERIES_DONE,
		1,
		{INT8OID}};
	static IntegQuery again = {
		"UPDATE integ.deliveries_open o SET state = 'queued', lease = NULL, interrupted = o.interrupted + 1,"
		" next_attempt_at = $2 WHERE o.state = 'sending' AND o.lease = $1",
		2,
		{INT8OID, TIMESTAMPTZOID}};
	Datum values[] = {Int64GetDatum(lease), TimestampTzGetDatum(GetCurrentTimestamp())};

	(void) integ_query(&end, values, NULL);
	(void) integ_query(&again, values, NULL);
}

void
integ_message_keys_sweep(void)
{
	static IntegQuery sweep = {
		"DELETE FROM integ.message_keys WHERE ctid = ANY (ARRAY("
		" SELECT ctid FROM integ.message_keys WHERE expires_at < pg_catalog.clock_timestamp()"
		" ORDER BY expires_at LIMIT " KEYS_PER_SWEEP " FOR UPDATE SKIP LOCKED))",
		0};

	integ_sweep(&sweep);
}
