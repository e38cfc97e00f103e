/*
 * Finding the record because of which a statement over many of them fails.
 */
#include "sync/engine.h"

#include "access/xact.h"
#include "core/json.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

bool
sync_error_passes(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED || sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
		   sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/* Errors that every record would meet: of the server, the session, the statement itself, the rights. */
static bool
concerns_all(int sqlerrcode)
{
	static const int classes[] = {ERRCODE_CONNECTION_EXCEPTION, ERRCODE_INVALID_TRANSACTION_STATE,
								  ERRCODE_INSUFFICIENT_RESOURCES, ERRCODE_OPERATOR_INTERVENTION, ERRCODE_SYSTEM_ERROR,
								  ERRCODE_CONFIG_FILE_ERROR, ERRCODE_INTERNAL_ERROR};

	for (size_t i = 0; i < lengthof(classes); i++)
		if (ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_TO_CATEGORY(classes[i]))
			return true;
	switch (sqlerrcode)
	{
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_INVALID_COLUMN_REFERENCE: /* ON CONFLICT without its index */
		case ERRCODE_READ_ONLY_SQL_TRANSACTION:
			return true;
		default:
			return sync_error_passes(sqlerrcode);
	}
}

static const Jsonb *
details_of(const ErrorData *error)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_known(&builder, "detail", error->detail);
	integ_json_add_known(&builder, "hint", error->hint);
	integ_json_add_known(&builder, "constraint", error->constraint_name);
	integ_json_add_known(&builder, "context", error->context);
	return integ_json_end(&builder);
}

static void
blame(SyncPage *page, SyncRecord *record, const ErrorData *error)
{
	bool integrity = ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;
	SyncProblem problem = {.phase = INTEG_SYNC_SAVING,
						   .field = error->column_name,
						   .sqlerrcode = error->sqlerrcode,
						   .reason = error->message,
						   .details = details_of(error),
						   .recoverable = integrity && error->sqlerrcode != ERRCODE_NOT_NULL_VIOLATION};

	sync_record_fail(page, record, &problem);
}

/* Constraints and triggers that were to wait for the commit speak now, where their error has a record. */
static void
run_deferred(const SyncTarget *target)
{
	if (target->deferrable)
		(void) SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0);
}

/*
 * The step in a subtransaction, as the session's user. NULL, or the error because of which nothing of it was done, in
 * the context that it was called in.
 */
static ErrorData *
try(SyncPage *page, SyncRecord **records, int count, SyncStep step)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;
	int guc_level;

	BeginInternalSubTransaction(NULL);
	guc_level = NewGUCNestLevel();
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		SPI_connect();
		step(page, records, count);
		run_deferred(page->engine->target);
		SPI_finish();
		/* A trigger's SET, of a role too, ends with the statement. */
		AtEOXact_GUC(false, guc_level);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

void
sync_isolate(SyncPage *page, SyncRecord **records, int count, SyncStep step)
{
	ErrorData *error;

	CHECK_FOR_INTERRUPTS();
	if (count == 0)
		return;
	error = try(page, records, count, step);
	if (error == NULL)
		return;
	for (int i = 0; i < count; i++)
		records[i]->outcome = SYNC_NOTHING;
	if (concerns_all(error->sqlerrcode))
		ReThrowError(error);
	if (count == 1)
	{
		blame(page, records[0], error);
		return;
	}
	sync_isolate(page, records, count / 2, step);
	sync_isolate(page, records + count / 2, count - count / 2, step);
}
