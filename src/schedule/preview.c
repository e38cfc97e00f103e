/*
 * What SQL sees of schedules: integ_next_runs.
 */
#include "postgres.h"

#include "access/xact.h"
#include "core/errors.h"
#include "fmgr.h"
#include "funcapi.h"
#include "schedule/schedule.h"
#include "utils/timestamp.h"

#define MAX_COUNT 100000

PG_FUNCTION_INFO_V1(integ_next_runs);

typedef struct Preview
{
	IntegSchedule *schedule;
	TimestampTz after;
} Preview;

static Preview *
begin(FunctionCallInfo fcinfo)
{
	Preview *preview = palloc0(sizeof(Preview));
	int32 count = PG_ARGISNULL(2) ? 5 : PG_GETARG_INT32(2);

	if (count < 0 || count > MAX_COUNT)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("integ_next_runs gives 0 to %d times, not %d", MAX_COUNT, count)));
	preview->schedule = integ_schedule_parse(PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0));
	preview->after = PG_ARGISNULL(1) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(1);
	return preview;
}

/* integ_next_runs(schedule jsonb, after timestamptz, count integer) → setof timestamptz */
Datum
integ_next_runs(PG_FUNCTION_ARGS)
{
	FuncCallContext *function;
	Preview *preview;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext outer;

		function = SRF_FIRSTCALL_INIT();
		outer = MemoryContextSwitchTo(function->multi_call_memory_ctx);
		function->user_fctx = begin(fcinfo);
		function->max_calls = PG_ARGISNULL(2) ? 5 : PG_GETARG_INT32(2);
		MemoryContextSwitchTo(outer);
	}
	function = SRF_PERCALL_SETUP();
	preview = function->user_fctx;
	if (function->call_cntr >= function->max_calls ||
		!integ_schedule_next(preview->schedule, preview->after, &preview->after))
		SRF_RETURN_DONE(function);
	SRF_RETURN_NEXT(function, TimestampTzGetDatum(preview->after));
}
