/*
 * The maintenance job "oauth_flows".
 */
#include "postgres.h"

#include "access/xact.h"
#include "core/query.h"
#include "oauth/oauth.h"
#include "utils/snapmgr.h"

void
integ_oauth_sweep(void)
{
	static IntegQuery expire = {
		"UPDATE integ.oauth_flows SET status = 'expired', finished_at = pg_catalog.clock_timestamp(), next_poll_at = NULL "
		"WHERE status IN ('pending', 'exchanging') AND expires_at < pg_catalog.clock_timestamp() - interval '5 minutes'",
		0,
		{0}};
	static IntegQuery secrets = {"DELETE FROM integ.credentials WHERE owner_kind = 'oauth_flow' "
								 "AND expires_at < pg_catalog.clock_timestamp() - interval '5 minutes'",
								 0,
								 {0}};
	static IntegQuery old = {
		"DELETE FROM integ.oauth_flows WHERE created_at < pg_catalog.clock_timestamp() - interval '30 days'", 0, {0}};

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	(void) integ_query(&expire, NULL, NULL);
	(void) integ_query(&secrets, NULL, NULL);
	(void) integ_query(&old, NULL, NULL);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}
