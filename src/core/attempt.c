/*
 * A step that may fail without taking the transaction with it.
 */
#include "core/attempt.h"

#include "access/xact.h"
#include "utils/elog.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

bool
integ_error_is_of_data(int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	return category != ERRCODE_TO_CATEGORY(ERRCODE_QUERY_CANCELED) && category != ERRCODE_INSUFFICIENT_RESOURCES &&
		   category != ERRCODE_SYSTEM_ERROR && category != ERRCODE_INTERNAL_ERROR &&
		   category != ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

ErrorData *
integ_attempt(IntegStep step, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!integ_error_is_of_data(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}
