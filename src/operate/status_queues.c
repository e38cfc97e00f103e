/*
 * integ_status(): what waits in this database, and what of it needs a look.
 */
#include "operate/status.h"

#include "catalog/pg_type.h"
#include "core/owner.h"
#include "core/query.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/* A delivery or poll that is due and still waits after this long is worth a look. */
#define LATE USECS_PER_MINUTE

/* A result of one row on its way into a line. */
typedef struct Look
{
	MemoryContext context;
	IntegOwnerScope scope;
} Look;

static void
look_begin(Look *look, IntegQuery *query, const IntegActor *actor)
{
	bool all = actor->level == INTEG_LEVEL_SUPERADMIN;
	Datum client = all ? (Datum) 0 : CStringGetTextDatum(actor->client);

	look->context = CurrentMemoryContext;
	integ_owner_enter(&look->scope);
	(void) integ_query(query, &client, all ? "n" : " ");
}

static void
look_end(Look *look)
{
	integ_owner_leave(&look->scope);
}

/* The first columns of each query: state, depth, oldest, last_error, hint. */
static void
take(IntegStatusLine *line, const Look *look)
{
	line->database = MyDatabaseId;
	line->state = integ_result_text(0, 1, look->context);
	line->depth = integ_result_int8(0, 2);
	line->oldest = integ_result_time(0, 3);
	line->last_error = integ_result_text(0, 4, look->context);
	line->hint = integ_result_text(0, 5, look->context);
}

/* A query with no more than those. */
static void
take_alone(IntegStatusLine *line, IntegQuery *query, const IntegActor *actor)
{
	Look look;

	look_begin(&look, query, actor);
	take(line, &look);
	look_end(&look);
}

static bool
is_late(const IntegStatusLine *line)
{
	return line->oldest != 0 && GetCurrentTimestamp() - line->oldest > LATE;
}

/* Each condition on client_id: $1 is a client, NULL for a superadmin. */

static void
put_sync(ReturnSetInfo *result, const IntegActor *actor)
{
	static IntegQuery query = {
		"SELECT e.running || ' running', e.waiting, e.oldest,"
		" (SELECT b.task_id || ': ' || (b.last_error ->> 'message') FROM integ.sync_tasks b"
		"  WHERE b.status = 'error' AND ($1 IS NULL OR b.client_id = $1)"
		"  ORDER BY b.last_error ->> 'timestamp' DESC LIMIT 1),"
		" CASE WHEN t.broken > 0 THEN t.broken || ' of integ.sync_tasks are in error: mend them (last_error says what),"
		" then integ_sync_resume.' END"
		" FROM (SELECT count(*) FILTER (WHERE status = 'running') AS running,"
		"   count(*) FILTER (WHERE status = 'queued' AND run_at <= now()) AS waiting,"
		"   min(run_at) FILTER (WHERE status = 'queued' AND run_at <= now()) AS oldest"
		"  FROM integ.sync_executions_open WHERE $1 IS NULL OR client_id = $1) AS e,"
		" (SELECT count(*) AS broken FROM integ.sync_tasks"
		"  WHERE status = 'error' AND ($1 IS NULL OR client_id = $1)) AS t",
		1,
		{TEXTOID}};
	IntegStatusLine line = {.component = "sync"};

	take_alone(&line, &query, actor);
	integ_status_put(result, &line);
}

static void
put_deliveries(ReturnSetInfo *result, const IntegActor *actor)
{
	static IntegQuery query = {
		"SELECT pg_catalog.format('%s being sent, %s wait for another attempt, %s for an endpoint that is not active',"
		"  count(*) FILTER (WHERE d.state = 'sending'),"
		"  count(*) FILTER (WHERE d.state = 'queued' AND d.attempt > 0 AND d.next_attempt_at > now()),"
		"  count(*) FILTER (WHERE e.status <> 'active')),"
		" count(*) FILTER (WHERE d.state = 'queued' AND d.next_attempt_at <= now() AND e.status = 'active'),"
		" min(d.next_attempt_at) FILTER (WHERE d.state = 'queued' AND d.next_attempt_at <= now()"
		"  AND e.status = 'active'), NULL::text, NULL::text"
		" FROM integ.deliveries_open d JOIN integ.endpoints e ON e.id = d.endpoint"
		" WHERE $1 IS NULL OR e.client_id = $1",
		1,
		{TEXTOID}};
	IntegStatusLine line = {.component = "deliveries"};

	take_alone(&line, &query, actor);
	if (is_late(&line))
		line.hint = "Deliveries are late: look at the dispatchers, and at rate_limit, concurrency and ordered of"
					" integ.endpoints.";
	integ_status_put(result, &line);
}

static void
put_endpoints(ReturnSetInfo *result, const IntegActor *actor)
{
	static IntegQuery query = {
		"SELECT pg_catalog.format('%s active, %s of them failing, %s paused, %s disabled',"
		"  count(*) FILTER (WHERE e.status = 'active'),"
		"  count(*) FILTER (WHERE e.status = 'active' AND e.failing_since IS NOT NULL),"
		"  count(*) FILTER (WHERE e.status = 'paused'), count(*) FILTER (WHERE e.status = 'disabled')),"
		" -1::bigint, NULL::timestamptz,"
		" (SELECT b.endpoint_id || ': '"
		"   || coalesce(CASE WHEN b.status = 'disabled' THEN b.status_reason END, b.last_error)"
		"  FROM integ.endpoints b"
		"  WHERE (b.status = 'disabled' OR b.failing_since IS NOT NULL) AND ($1 IS NULL OR b.client_id = $1)"
		"  ORDER BY greatest(b.status_changed_at, b.failing_since) DESC LIMIT 1), NULL::text,"
		" min(e.failing_since) FILTER (WHERE e.status = 'active'), coalesce(bool_or(e.status = 'disabled'), false)"
		" FROM integ.endpoints e WHERE $1 IS NULL OR e.client_id = $1",
		1,
		{TEXTOID}};
	IntegStatusLine line = {.component = "endpoints"};
	bool any_disabled;
	Look look;

	look_begin(&look, &query, actor);
	take(&line, &look);
	line.since = integ_result_time(0, 6);
	any_disabled = integ_result_bool(0, 7);
	look_end(&look);
	if (any_disabled)
		line.hint = "SELECT endpoint_id, status_reason FROM integ.endpoints WHERE status = 'disabled'; once it is mended:"
					" UPDATE … SET status = 'active', or DELETE.";
	else if (line.since != 0)
		line.hint = "SELECT endpoint_id, failing_since, failures, last_error FROM integ.endpoints WHERE failing_since IS"
					" NOT NULL; one that fails for integ.endpoint_disable_after is disabled.";
	integ_status_put(result, &line);
}

static void
put_registrations(ReturnSetInfo *result, const IntegActor *actor)
{
	static IntegQuery query = {
		"SELECT pg_catalog.format('%s active, %s under way, %s need a look',"
		"  count(*) FILTER (WHERE r.status = 'active'),"
		"  count(*) FILTER (WHERE r.status IN ('registering', 'unregistering')),"
		"  count(*) FILTER (WHERE r.status IN ('failing', 'lost', 'failed', 'unknown')))"
		"  || coalesce('; next renewal ' || pg_catalog.date_trunc('second', min(r.renew_at)), ''),"
		" count(*) FILTER (WHERE r.renew_at <= now()), min(r.renew_at) FILTER (WHERE r.renew_at <= now()),"
		" min(worst.error), min(worst.hint)"
		" FROM integ.webhook_registrations r"
		" LEFT JOIN (SELECT w.webhook_id || ': ' || coalesce(b.last_error, b.status) AS error,"
		"   coalesce(b.hint, 'SELECT webhook_id, status, last_error, hint FROM integ.webhook_status;"
		" integ_webhook_register registers it again.') AS hint"
		"  FROM integ.webhook_registrations b JOIN integ.webhooks w ON w.id = b.webhook"
		"  WHERE b.status IN ('failing', 'lost', 'failed', 'unknown') AND ($1 IS NULL OR b.client_id = $1)"
		"  ORDER BY b.status = 'failing' DESC, b.expires_at NULLS LAST, b.webhook LIMIT 1) AS worst ON true"
		" WHERE $1 IS NULL OR r.client_id = $1",
		1,
		{TEXTOID}};
	IntegStatusLine line = {.component = "registrations"};

	take_alone(&line, &query, actor);
	if (line.hint == NULL && is_late(&line))
		line.hint = "Renewals are late: look at the job \"webhooks\" in integ.maintenance_jobs, and at the dispatchers.";
	integ_status_put(result, &line);
}

static void
put_polls(ReturnSetInfo *result, const IntegActor *actor)
{
	static IntegQuery query = {
		"SELECT pg_catalog.format('%s active, %s of them failing, %s stopped', count(*) FILTER (WHERE p.is_active),"
		"  count(*) FILTER (WHERE p.is_active AND p.failures > 0), count(*) FILTER (WHERE NOT p.is_active)),"
		" count(*) FILTER (WHERE p.is_active AND p.next_poll_at <= now()),"
		" min(p.next_poll_at) FILTER (WHERE p.is_active AND p.next_poll_at <= now()),"
		" min(worst.error), min(worst.hint)"
		" FROM integ.polls p"
		" LEFT JOIN (SELECT b.definition || '.' || b.trigger || ': ' || b.last_error AS error,"
		"   coalesce(b.hint, 'SELECT trigger, failures, last_error, hint FROM integ.polls WHERE failures > 0;"
		" it is asked again at next_poll_at.') AS hint"
		"  FROM integ.polls b WHERE b.is_active AND b.failures > 0 AND ($1 IS NULL OR b.client_id = $1)"
		"  ORDER BY b.failures DESC, b.id LIMIT 1) AS worst ON true"
		" WHERE $1 IS NULL OR p.client_id = $1",
		1,
		{TEXTOID}};
	IntegStatusLine line = {.component = "polls"};

	take_alone(&line, &query, actor);
	if (line.hint == NULL && is_late(&line))
		line.hint = "Polls are late: look at the dispatchers, and at the limits of their instances.";
	integ_status_put(result, &line);
}

void
integ_status_put_queues(ReturnSetInfo *result, const IntegActor *actor)
{
	put_sync(result, actor);
	put_deliveries(result, actor);
	put_endpoints(result, actor);
	put_registrations(result, actor);
	put_polls(result, actor);
}
