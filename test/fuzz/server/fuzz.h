/*
 * libFuzzer inside a server: what its targets share. A target includes this, and calls fuzz_run with what is done with
 * an input.
 */
#ifndef INTEG_FUZZ_SERVER_FUZZ_H
#define INTEG_FUZZ_SERVER_FUZZ_H

#include "postgres.h"

#include "access/xact.h"
#include "core/errors.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

/* libFuzzer's own entry for programs that have a main. */
extern int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one)(const uint8_t *data, size_t size));

#define PATIENCE 2000 /* ms for an input: a regular expression may take for ever, and is cancelled then */

static MemoryContext scratch;
static void (*run_input)(const char *data, size_t size);

static void
need(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}

/* Whether an error is what bad input or a cancel may raise. */
static bool
is_expected(int sqlstate)
{
	return sqlstate == ERRCODE_INTEG_INVALID || sqlstate == ERRCODE_QUERY_CANCELED ||
		   sqlstate == ERRCODE_STATEMENT_TOO_COMPLEX || sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		   ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION);
}

static int
one(const uint8_t *data, size_t size)
{
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(scratch);
	enable_timeout_after(STATEMENT_TIMEOUT, PATIENCE);
	PG_TRY();
	{
		run_input((const char *) data, size);
		disable_timeout(STATEMENT_TIMEOUT, false);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		disable_timeout(STATEMENT_TIMEOUT, false);
		QueryCancelPending = false;
		MemoryContextSwitchTo(scratch);
		error = CopyErrorData();
		FlushErrorState();
		if (!is_expected(error->sqlerrcode))
		{
			fprintf(stderr, "%s: %s (%s:%d)\n", unpack_sql_state(error->sqlerrcode), error->message, error->filename,
					error->lineno);
			abort();
		}
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(scratch);
	MemoryContextReset(scratch);
	return 0;
}

/* Runs until libFuzzer's arguments, with spaces between them, have it end; ends the process. */
static void
fuzz_run(char *arguments, char *name, void (*input)(const char *data, size_t size))
{
	char **argv = palloc0((strlen(arguments) + 3) * sizeof(char *));
	int argc = 0;

	run_input = input;
	argv[argc++] = name;
	for (char *word = strtok(arguments, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	scratch = AllocSetContextCreate(TopMemoryContext, "fuzz", ALLOCSET_DEFAULT_SIZES);
	exit(LLVMFuzzerRunDriver(&argc, &argv, one));
}

#endif /* INTEG_FUZZ_SERVER_FUZZ_H */
