/*
 * What integ_sync_into asks of the engine before it makes a task.
 */
#include "sync/engine.h"

#include "fmgr.h"

PG_FUNCTION_INFO_V1(integ_sync_target_check);

/* integ.sync_target_check(schema uuid) → void: raises as the first run would, where records cannot be written. */
Datum
integ_sync_target_check(PG_FUNCTION_ARGS)
{
	sync_target_close(sync_target_open(PG_GETARG_UUID_P(0)));
	PG_RETURN_VOID();
}
