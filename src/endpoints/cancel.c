/*
 * Ending deliveries before they are made.
 */
#include "endpoints/deliver.h"
#include "endpoints/done.h"

#include "calls/wake.h"
#include "catalog/pg_type.h"
#include "core/query.h"

void
integ_deliveries_abandon(const pg_uuid_t *endpoint)
{
	static IntegQuery end = {
		"WITH ended AS (DELETE FROM integ.deliveries_open o WHERE o.endpoint = $1 RETURNING o.*,"
		" 'cancelled' AS end_state, o.last_status AS end_status,"
		" coalesce(o.last_error, 'the endpoint was deleted') AS end_error, 0 AS end_interrupted)" INTEG_DELIVERIES_DONE,
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(endpoint);

	(void) integ_query(&end, &value, NULL);
}
