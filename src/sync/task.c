/*
 * Tasks as people name and manage them.
 */
#include "sync/task.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/errors.h"
#include "core/owner.h"
#include "core/query.h"
#include "schedule/schedule.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

bool
integ_sync_may_manage(const IntegActor *actor, const char *client, const char *context)
{
	if (actor->level == INTEG_LEVEL_SUPERADMIN)
		return true;
	if (actor->client == NULL || strcmp(actor->client, client) != 0)
		return false;
	return actor->level == INTEG_LEVEL_ADMIN ||
		   (context != NULL && actor->user != NULL && strcmp(context, actor->user) == 0);
}

typedef struct Found
{
	pg_uuid_t id;
	TransactionId xmin;
	char *client;
	char *context;
	bool exists;
	bool ambiguous;
} Found;

static Found
find(const IntegActor *actor, const char *name, MemoryContext context)
{
	static IntegQuery query = {
		"SELECT id, xmin, client_id, context_id, client_id = $2 OR client_id = '*' FROM integ.sync_tasks"
		" WHERE (task_id = $1 OR id::text = $1)"
		" AND ($3 OR client_id = '*' OR client_id = $2 AND ($4 OR context_type = 'client' OR context_id = $5))"
		" ORDER BY client_id = $2 DESC, context_id IS NOT DISTINCT FROM $5 DESC,"
		" pg_catalog.array_position('{client,global,user}', context_type), id LIMIT 2",
		5,
		{TEXTOID, TEXTOID, BOOLOID, BOOLOID, TEXTOID}};
	char nulls[] = "     ";
	Datum values[] = {CStringGetTextDatum(name), integ_value_text(actor->client, &nulls[1]),
					  BoolGetDatum(actor->level == INTEG_LEVEL_SUPERADMIN),
					  BoolGetDatum(actor->level == INTEG_LEVEL_ADMIN), integ_value_text(actor->user, &nulls[4])};
	Found found = {0};
	IntegOwnerScope scope;
	uint64 count;
	bool isnull;

	integ_owner_enter(&scope);
	count = integ_query_latest(&query, values, nulls);
	if (count > 0)
	{
		found.exists = true;
		found.id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
		found.xmin = DatumGetTransactionId(integ_result_datum(0, 2, &isnull));
		found.client = integ_result_text(0, 3, context);
		found.context = integ_result_text(0, 4, context);
		/* Of other clients' tasks, which only a superadmin sees, none comes before another. */
		found.ambiguous = count > 1 && !integ_result_bool(0, 5);
	}
	integ_owner_leave(&scope);
	return found;
}

pg_uuid_t
integ_sync_task_require(const IntegActor *actor, const char *name, const char *action, bool committed)
{
	Found found = find(actor, name, CurrentMemoryContext);

	if (!found.exists)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("there is no sync task \"%s\"", name),
						errhint("SELECT task_id, name FROM integ.sync_tasks shows those that you see.")));
	if (found.ambiguous)
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT), errmsg("several clients have a sync task \"%s\"", name),
						errhint("Give its id: SELECT id, client_id FROM integ.sync_tasks WHERE task_id = …")));
	if (!integ_sync_may_manage(actor, found.client, found.context))
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("you may not %s sync task \"%s\"", action, name),
						errdetail("It belongs to the client \"%s\"%s.", found.client,
								  strcmp(found.client, INTEG_GLOBAL_CLIENT) == 0 ? ", which is global" : ""),
						errhint("Ask an administrator of the client.")));
	if (committed && TransactionIdIsCurrentTransactionId(found.xmin))
		ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
						errmsg("sync task \"%s\" was made or changed in this transaction", name),
						errdetail("What has not committed does not run."), errhint("COMMIT first.")));
	return found.id;
}

TimestampTz
integ_sync_next_slot(const Jsonb *schedule, TimestampTz after, TimestampTz start_at, TimestampTz end_at)
{
	IntegSchedule *parsed = integ_schedule_parse(schedule);
	TimestampTz next;

	/* An interval begins when it is said to begin; a clock strikes at or after that. */
	if (start_at > after && parsed->type == INTEG_SCHEDULE_INTERVAL)
		next = start_at;
	else if (!integ_schedule_next(parsed, Max(after, start_at == DT_NOBEGIN ? after : start_at - 1), &next))
		return 0;
	return next < end_at ? next : 0;
}
