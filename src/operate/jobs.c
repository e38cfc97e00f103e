/*
 * Maintenance jobs: what they are, and running those that are due.
 */
#include "operate/operate.h"

#include "oauth/oauth.h"

#include "access/actor.h"
#include "access/xact.h"
#include "approvals/approval.h"
#include "catalog/pg_type.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "discovery/discovery.h"
#include "execute/answers.h"
#include "execute/health.h"
#include "limits/limits.h"
#include "handlers/worker.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "sync/lifecycle.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "webhooks/registration.h"
#include "webhooks/webhook.h"

/* A capability adds its jobs here. */
static const IntegJob jobs[] = {
	{"partitions", "1 day", "Makes the partitions of the coming days", integ_partitions_run},
	{"retention", "1 hour", "Drops partitions and notifications whose time is over", integ_retention_run},
	{"answers", "1 hour", "Deletes stored answers that are too old or too many", integ_answers_run},
	{"rate_limits", "1 hour", "Deletes records of rate limits that say nothing any more", integ_limits_sweep},
	{"handler_runs", "1 hour", "Forgets runs of handlers that succeeded long ago", integ_handler_runs_expire},
	{"webhook_keys", "1 hour", "Forgets deliveries of webhooks whose time is over", integ_webhook_keys_expire},
	{"sync_seen", "1 day", "Forgets what failed runs have seen, which nobody repeats any more", integ_sync_seen_expire},
	{"dropped_tables", "1 day", "Forgets links and cursors of sync tasks whose table was dropped",
	 integ_sync_dropped_forget},
	{"members", "1 day", "Forgets members whose role was dropped", integ_members_forget},
	{"webhooks", "1 minute", "Renews and checks registrations of webhooks, makes those of realtime tasks",
	 integ_webhooks_upkeep},
	{"discovery", "5 minutes", "Reads again what instances have, where refreshSeconds of the definition are over",
	 integ_discovery_refresh},
	{"approvals", "5 minutes",
	 "Expires approvals that nobody has decided about in time, and forgets those decided about long ago",
	 integ_approvals_run},
	{"oauth_flows", "10 minutes", "Ends authorizations whose time is over, and forgets old ones", integ_oauth_sweep},
	{"health", "5 minutes", "Calls the health check of every active instance", integ_health_run},
};

/* A job that failed is tried again after this, or after its interval if that is shorter. */
#define RETRY_AFTER "5 minutes"

static const IntegJob *
find_job(const char *name)
{
	for (size_t i = 0; i < lengthof(jobs); i++)
		if (strcmp(jobs[i].name, name) == 0)
			return &jobs[i];
	return NULL;
}

void
integ_job_delete(IntegQuery *query, const Datum *values)
{
	IntegOwnerScope scope;
	uint64 count;

	do
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		integ_owner_enter(&scope);
		count = integ_query(query, values, NULL);
		integ_owner_leave(&scope);
		PopActiveSnapshot();
		CommitTransactionCommand();
	} while (count > 0);
}

void
integ_jobs_seed(void)
{
	static IntegQuery insert = {
		"INSERT INTO integ.maintenance_jobs (name, schedule, description) SELECT $1, $2::pg_catalog.interval, $3"
		" WHERE NOT EXISTS (SELECT FROM integ.maintenance_jobs WHERE name = $1)",
		3,
		{TEXTOID, TEXTOID, TEXTOID}};
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	for (size_t i = 0; i < lengthof(jobs); i++)
	{
		Datum arguments[3] = {CStringGetTextDatum(jobs[i].name), CStringGetTextDatum(jobs[i].every),
							  CStringGetTextDatum(jobs[i].description)};

		integ_query(&insert, arguments, NULL);
	}
	integ_owner_leave(&scope);
}

TimestampTz
integ_jobs_due(void)
{
	static IntegQuery next = {
		"SELECT next_run_at FROM integ.maintenance_jobs WHERE is_active ORDER BY next_run_at LIMIT 1", 0};
	IntegOwnerScope scope;
	TimestampTz due = DT_NOEND;

	integ_owner_enter(&scope);
	if (integ_query(&next, NULL, NULL) > 0)
		due = (TimestampTz) integ_result_int8(0, 1);
	integ_owner_leave(&scope);
	return due;
}

void
integ_job_request(const char *name)
{
	static IntegQuery request = {
		"UPDATE integ.maintenance_jobs SET next_run_at = pg_catalog.now() WHERE name = $1", 1, {TEXTOID}};
	Datum argument = CStringGetTextDatum(name);
	IntegOwnerScope scope;

	integ_owner_enter(&scope);
	integ_query(&request, &argument, NULL);
	integ_owner_leave(&scope);
}

/*
 * Takes the job that is due longest and sets its next run, so that a job which
 * ends its worker does not run again at once. NULL where none is due; else its
 * name in context.
 */
static char *
claim(MemoryContext context)
{
	static IntegQuery take = {
		"UPDATE integ.maintenance_jobs SET last_run_at = pg_catalog.clock_timestamp(),"
		" next_run_at = pg_catalog.clock_timestamp() + schedule"
		" WHERE name = (SELECT name FROM integ.maintenance_jobs"
		"               WHERE is_active AND next_run_at <= pg_catalog.clock_timestamp()"
		"               ORDER BY next_run_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
		" RETURNING name",
		0};
	IntegOwnerScope scope;
	char *name = NULL;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	integ_owner_enter(&scope);
	if (integ_query(&take, NULL, NULL) > 0)
		name = integ_result_text(0, 1, context);
	integ_owner_leave(&scope);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return name;
}

static void
emit_failure(const char *name, const char *error)
{
	IntegJsonBuilder payload;

	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "job", name);
	integ_json_add_string(&payload, "error", error);
	integ_event_emit("maintenance.failed", NULL, NULL, integ_json_end(&payload));
}

/* Writes what became of the run; error NULL for success. */
static void
finish(const char *name, const char *error)
{
	static IntegQuery done = {
		"UPDATE integ.maintenance_jobs SET last_error = $2,"
		" last_duration = pg_catalog.clock_timestamp() - last_run_at,"
		" next_run_at = CASE WHEN $2 IS NULL THEN next_run_at"
		" ELSE least(next_run_at, pg_catalog.clock_timestamp() + interval '" RETRY_AFTER "') END"
		" WHERE name = $1",
		2,
		{TEXTOID, TEXTOID}};
	IntegOwnerScope scope;
	Datum arguments[2];

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	arguments[0] = CStringGetTextDatum(name);
	arguments[1] = error == NULL ? (Datum) 0 : CStringGetTextDatum(error);
	integ_owner_enter(&scope);
	integ_query(&done, arguments, error == NULL ? " n" : "  ");
	integ_owner_leave(&scope);
	if (error != NULL)
		emit_failure(name, error);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Runs the job; the message of its error in the context at the call, NULL for success. */
static char *
run_guarded(const IntegJob *job)
{
	MemoryContext context = CurrentMemoryContext;
	char *volatile message = NULL;

	PG_TRY();
	{
		job->run();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
		message = error->message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return message;
}

bool
integ_jobs_run_next(void)
{
	char *name = claim(CurrentMemoryContext);
	const IntegJob *job;
	char *error;

	if (name == NULL)
		return false;
	job = find_job(name);
	if (job == NULL)
		error = "this version of integ has no such job";
	else
	{
		pgstat_report_activity(STATE_RUNNING, name);
		error = run_guarded(job);
		pgstat_report_activity(STATE_IDLE, NULL);
	}
	finish(name, error);
	return true;
}
