/*
 * What one execution does.
 */
#include "sync/sync.h"

#include "core/errors.h"

IntegSyncOutcome
integ_sync_execute(IntegSyncRun *run)
{
	return (IntegSyncOutcome){.status = INTEG_SYNC_FAILED,
							  .sqlerrcode = ERRCODE_INTEG_INSTALLATION,
							  .message = "this version cannot run sync tasks yet",
							  .is_definition = false};
}
