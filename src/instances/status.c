/*
 * The status of an instance.
 */
#include "instances/instance.h"

#include "catalog/pg_type.h"
#include "core/query.h"
#include "utils/builtins.h"

void
integ_instance_set_status(const pg_uuid_t *id, const char *status, const char *error, bool deactivate)
{
	static IntegQuery query = {
		"UPDATE integ.instances SET status = $2, "
		"last_error = coalesce($3, last_error), "
		"last_error_at = CASE WHEN $3 IS NULL THEN last_error_at ELSE pg_catalog.now() END, "
		"is_active = is_active AND NOT $4, "
		"deactivated_at = CASE WHEN $4 AND is_active THEN pg_catalog.now() ELSE deactivated_at END, "
		"deactivated_reason = CASE WHEN $4 AND is_active THEN $3 ELSE deactivated_reason END, "
		"connected_at = CASE WHEN $2 = 'active' THEN coalesce(connected_at, pg_catalog.now()) ELSE connected_at END, "
		"last_connected_at = CASE WHEN $2 = 'active' THEN pg_catalog.now() ELSE last_connected_at END "
		"WHERE id = $1",
		4,
		{UUIDOID, TEXTOID, TEXTOID, BOOLOID}};
	Datum values[4] = {UUIDPGetDatum(id), CStringGetTextDatum(status),
					   error == NULL ? (Datum) 0 : CStringGetTextDatum(error), BoolGetDatum(deactivate)};
	char nulls[4] = {' ', ' ', error == NULL ? 'n' : ' ', ' '};

	(void) integ_query(&query, values, nulls);
}

void
integ_instance_credentials_entered(const pg_uuid_t *id)
{
	static IntegQuery query = {
		"UPDATE integ.instances SET status = 'initializing', "
		"is_active = is_active OR deactivated_by IS NULL, "
		"deactivated_at = CASE WHEN deactivated_by IS NULL THEN NULL ELSE deactivated_at END, "
		"deactivated_reason = CASE WHEN deactivated_by IS NULL THEN NULL ELSE deactivated_reason END, "
		"failures = 0, failing_since = NULL "
		"WHERE id = $1 AND (status IN ('reauth_required', 'token_expired', 'error') "
		"OR NOT is_active AND deactivated_by IS NULL AND status <> 'disconnected')",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(id);

	(void) integ_query(&query, &value, NULL);
}
