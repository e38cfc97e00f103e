/*
 * What the loops of the background workers have in common.
 */
#include "worker.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "core/compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#define BACKOFF_MAX (5 * USECS_PER_MINUTE)

StaticAssertDecl(sizeof(IntegWorkerExtra) <= BGW_EXTRALEN, "what a worker is started with must fit bgw_extra");

bool
integ_worker_start(const char *function, const char *title, const IntegWorkerExtra *extra,
				   BackgroundWorkerHandle **handle)
{
	return integ_worker_start_module("integ", function, title, extra, handle);
}

bool
integ_worker_start_module(const char *module, const char *function, const char *title, const IntegWorkerExtra *extra,
						  BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, module, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function, sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "integ %s", title);
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "integ %s", title);
	memcpy(worker.bgw_extra, extra, sizeof(*extra));
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

bool
integ_worker_start_for(const char *function, const char *title, Oid owner, int number, int ticket,
					   BackgroundWorkerHandle **handle)
{
	IntegWorkerExtra extra = *integ_worker_extra();
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	if (*handle != NULL)
		pfree(*handle);
	*handle = NULL;
	extra.owner = owner;
	extra.number = number;
	extra.total = ticket;
	if (!integ_worker_start(function, title, &extra, handle))
		*handle = NULL;
	MemoryContextSwitchTo(old);
	return *handle != NULL;
}

bool
integ_worker_has_stopped(BackgroundWorkerHandle *handle)
{
	pid_t pid;

	return handle != NULL && GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;
}

const IntegWorkerExtra *
integ_worker_extra(void)
{
	return (const IntegWorkerExtra *) MyBgworkerEntry->bgw_extra;
}

/* What a database or role may have set must not change what our workers do. */
static void
pin_settings(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	} settings[] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"row_security", "on"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"lock_timeout", "10s"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"session_replication_role", "origin"},
		{"jit", "off"},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i].name, settings[i].value, PGC_SUSET, PGC_S_OVERRIDE);
}

/* Durable is what a write waits for; a stricter value stays. */
static void
require_durable_commits(void)
{
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		SetConfigOption("synchronous_commit", "on", PGC_SUSET, PGC_S_OVERRIDE);
}

void
integ_worker_connect(void)
{
	const IntegWorkerExtra *extra = integ_worker_extra();

	BackgroundWorkerInitializeConnectionByOid(extra->database, extra->owner, 0);
	pin_settings();
	require_durable_commits();
}

void
integ_worker_connect_as_owner(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	} settings[] = {
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"session_replication_role", "origin"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
	};
	const IntegWorkerExtra *extra = integ_worker_extra();

	BackgroundWorkerInitializeConnectionByOid(extra->database, extra->owner, INTEG_WORKER_ANY_ROLE);
	for (size_t i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i].name, settings[i].value, PGC_SUSET, PGC_S_OVERRIDE);
	require_durable_commits();
}

void
integ_worker_forget_session(void)
{
	StartTransactionCommand();
	PortalHashTableDeleteAll();
	SetPGVariable("session_authorization", NIL, false);
	ResetAllOptions();
	DropAllPreparedStatements();
	LockReleaseAll(USER_LOCKMETHOD, true);
	ResetTempTableNamespace();
	ResetSequenceCaches();
	CommitTransactionCommand();
}

bool
integ_worker_guard(IntegStep step, void *arg, char *error, Size size)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		step(arg);
		done = true;
	}
	PG_CATCH();
	{
		ErrorData *data;

		MemoryContextSwitchTo(context);
		data = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		LWLockReleaseAll();
		ConditionVariableCancelSleep();
		pgstat_report_wait_end();
		strlcpy(error, data->message, size);
		FreeErrorData(data);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return done;
}

int64
integ_worker_backoff(int failures)
{
	return Min(USECS_PER_SEC << Min(Max(failures - 1, 0), 16), BACKOFF_MAX);
}

long
integ_worker_timeout(TimestampTz until, long limit)
{
	TimestampTz now = GetCurrentTimestamp();

	if (until <= now)
		return 0;
	return (until - now) / 1000 >= limit ? limit : (long) ((until - now) / 1000 + 1);
}
