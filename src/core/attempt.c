/*
 * A step that may fail without taking the transaction with it.
 */
#include "core/attempt.h"

#include "access/xact.h"
#include "utils/elog.h"
#include "utils/memutils.h"

bool
integ_error_is_of_data(int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	return category != ERRCODE_TO_CATEGORY(ERRCODE_QUERY_CANCELED) && category != ERRCODE_INSUFFICIENT_RESOURCES &&
		   category != ERRCODE_SYSTEM_ERROR && category != ERRCODE_INTERNAL_ERROR &&
		   category != ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

void
integ_attempts_end(IntegAttempts *attempts)
{
	MemoryContext context = CurrentMemoryContext;

	if (!attempts->open)
		return;
	attempts->open = false;
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = attempts->owner;
}

static void
begin(IntegAttempts *attempts)
{
	MemoryContext context = CurrentMemoryContext;

	if (attempts->open)
		return;
	attempts->owner = CurrentResourceOwner;
	BeginInternalSubTransaction(NULL);
	attempts->open = true;
	MemoryContextSwitchTo(context);
}

ErrorData *
integ_attempts_run(IntegAttempts *attempts, IntegStep step, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData *volatile error = NULL;

	begin(attempts);
	PG_TRY();
	{
		step(arg);
		/* What it has changed is not undone with a later one. */
		if (TransactionIdIsValid(GetCurrentTransactionIdIfAny()))
			integ_attempts_end(attempts);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		attempts->open = false;
		RollbackAndReleaseCurrentSubTransaction();
		CurrentResourceOwner = attempts->owner;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return error;
}

ErrorData *
integ_attempt(IntegStep step, void *arg)
{
	IntegAttempts attempts = {0};
	ErrorData *error = integ_attempts_run(&attempts, step, arg);

	integ_attempts_end(&attempts);
	if (error != NULL && !integ_error_is_of_data(error->sqlerrcode))
		ReThrowError(error);
	return error;
}
