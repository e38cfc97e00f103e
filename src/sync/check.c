/*
 * What a task must be when it is written, and what follows from a change. Only
 * the row is looked at, so that a restore's COPY succeeds.
 */
#include "sync/lifecycle.h"

#include "access/row_owner.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/options.h"
#include "core/owner.h"
#include "core/query.h"
#include "executor/spi.h"
#include "handlers/handlers.h"
#include "miscadmin.h"
#include "operate/operate.h"
#include "sync/task.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_tg_sync_task_check);
PG_FUNCTION_INFO_V1(integ_tg_sync_task_changed);
PG_FUNCTION_INFO_V1(integ_tg_sync_wake);

#define RETRIES_MAX 100
#define RETRY_DELAY_MAX (7 * 24 * 3600)

/* What the row's transaction changes in it, besides what its writer wrote. */
typedef struct Changes
{
	int count;
	int numbers[4];
	Datum values[4];
	bool nulls[4];
} Changes;

typedef struct Row
{
	TupleDesc columns;
	HeapTuple tuple;
} Row;

static Datum
value_of(Row row, const char *name, bool *isnull)
{
	return SPI_getbinval(row.tuple, row.columns, SPI_fnumber(row.columns, name), isnull);
}

static const char *
text_of(Row row, const char *name)
{
	bool isnull;
	Datum value = value_of(row, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static TimestampTz
time_of(Row row, const char *name, TimestampTz fallback)
{
	bool isnull;
	Datum value = value_of(row, name, &isnull);

	return isnull ? fallback : DatumGetTimestampTz(value);
}

static const Jsonb *
json_of(Row row, const char *name)
{
	bool isnull;
	Datum value = value_of(row, name, &isnull);

	return isnull ? integ_json_empty_object() : DatumGetJsonbP(value);
}

static bool
is_null(Row row, const char *name)
{
	bool isnull;

	(void) value_of(row, name, &isnull);
	return isnull;
}

static bool
differs(Row before, Row after, const char *name)
{
	int number = SPI_fnumber(after.columns, name);
	Form_pg_attribute attribute = TupleDescAttr(after.columns, number - 1);
	bool old_null, new_null;
	Datum old_value = SPI_getbinval(before.tuple, before.columns, number, &old_null);
	Datum new_value = SPI_getbinval(after.tuple, after.columns, number, &new_null);

	if (old_null || new_null)
		return old_null != new_null;
	return !datum_image_eq(old_value, new_value, attribute->attbyval, attribute->attlen);
}

static bool
any_differs(Row before, Row after, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (differs(before, after, names[i]))
			return true;
	return false;
}

static void
change(Changes *changes, Row row, const char *name, Datum value, bool isnull)
{
	changes->numbers[changes->count] = SPI_fnumber(row.columns, name);
	changes->values[changes->count] = value;
	changes->nulls[changes->count++] = isnull;
}

static void
require_range(const char *column, const char *key, int64 value, int64 least, int64 most)
{
	if (value < least || value > most)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("\"%s\" in %s of a sync task must be from " INT64_FORMAT " to " INT64_FORMAT, key, column,
							   least, most),
						errdetail("It is " INT64_FORMAT ".", value)));
}

static void
check_retry_config(const Jsonb *config)
{
	int64 retries = 0, delay = 0;
	bool doubles;
	IntegOption known[] = {
		{"maxRetries", INTEG_OPTION_INT, &retries},
		{"retryDelaySeconds", INTEG_OPTION_INT, &delay},
		{"exponentialBackoff", INTEG_OPTION_BOOL, &doubles},
	};

	integ_options_parse(config, known, lengthof(known), "integ.sync_tasks.retry_config");
	require_range("retry_config", "maxRetries", retries, 0, RETRIES_MAX);
	require_range("retry_config", "retryDelaySeconds", delay, 0, RETRY_DELAY_MAX);
}

static void
check_notifications(const Jsonb *notifications)
{
	bool on_success, on_failure, on_partial;
	Jsonb *recipients = NULL;
	char *endpoint = NULL;
	IntegOption known[] = {
		{"onSuccess", INTEG_OPTION_BOOL, &on_success},
		{"onFailure", INTEG_OPTION_BOOL, &on_failure},
		{"onPartial", INTEG_OPTION_BOOL, &on_partial},
		{"recipients", INTEG_OPTION_ARRAY, &recipients},
		{"endpoint", INTEG_OPTION_TEXT, &endpoint},
	};
	IntegJsonWalk walk;
	JsonbValue recipient;

	integ_options_parse(notifications, known, lengthof(known), "integ.sync_tasks.notifications");
	if (recipients == NULL)
		return;
	integ_json_walk_begin(&walk, &recipients->root);
	while (integ_json_walk_element(&walk, &recipient))
		if (recipient.type != jbvString || recipient.val.string.len == 0)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("\"recipients\" in notifications of a sync task must be texts"),
							errhint("Each is a user's id, or an address; an empty list means the administrators of the client.")));
}

static void
check_owner(Row row)
{
	bool isnull;
	Oid owner = DatumGetObjectId(value_of(row, "owner", &isnull));

	if (!isnull)
		integ_row_owner_check(owner, psprintf("sync task \"%s\"", text_of(row, "task_id")));
}

/* A superuser may restore what cannot run here (yet). */
static void
check_login(Row row)
{
	bool isnull;
	Oid owner = DatumGetObjectId(value_of(row, "owner", &isnull));
	char *problem = isnull ? NULL : integ_handler_role_problem(owner);

	if (problem == NULL)
		return;
	ereport(superuser() ? WARNING : ERROR,
			(errcode(ERRCODE_INTEG_FORBIDDEN), errmsg("sync task \"%s\" cannot run: %s", text_of(row, "task_id"), problem),
			 errdetail("A task is run by a worker whose session user is its owner."),
			 errhint("ALTER ROLE … LOGIN (a password is not needed) and GRANT CONNECT ON DATABASE;"
					 " or give it another owner.")));
}

static TimestampTz
first_slot(Row row)
{
	bool isnull;
	Datum schedule = value_of(row, "schedule", &isnull);

	return isnull ? 0
				  : integ_sync_next_slot(DatumGetJsonbP(schedule), GetCurrentTimestamp(),
										 time_of(row, "start_at", DT_NOBEGIN), time_of(row, "end_at", DT_NOEND));
}

static bool
is_status(Row row, const char *status)
{
	const char *value = text_of(row, "status");

	return value != NULL && strcmp(value, status) == 0;
}

static void
check_insert(Row row, Changes *changes)
{
	TimestampTz slot = first_slot(row);

	check_retry_config(json_of(row, "retry_config"));
	check_notifications(json_of(row, "notifications"));
	check_owner(row);
	check_login(row);
	if (is_null(row, "next_run_at") && is_status(row, "active") && slot != 0)
		change(changes, row, "next_run_at", TimestampTzGetDatum(slot), false);
}

static Jsonb *
missing_part(Row row)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "message",
						  is_null(row, "instance") ? "its instance was deleted" : "its conversion schema was deleted");
	integ_json_add_string(&builder, "timestamp", timestamptz_to_str(GetCurrentTimestamp()));
	return integ_json_end(&builder);
}

/* What a run is made of: whoever changes it needs the rights that it runs with, and it may run again afterwards. */
static const char *const definition[] = {"instance", "schema", "entity", "method", "direction", "config", "owner"};

/* When it runs. */
static const char *const timing[] = {"schedule", "start_at", "end_at"};

static void
check_update(Row before, Row after, Changes *changes)
{
	bool redefined = any_differs(before, after, definition, lengthof(definition));
	bool retimed = any_differs(before, after, timing, lengthof(timing));
	bool lost = (is_null(after, "instance") && !is_null(before, "instance")) ||
				(is_null(after, "schema") && !is_null(before, "schema"));
	bool mended = (redefined || retimed) && !lost && is_status(before, "error") && is_status(after, "error");
	bool active = is_status(after, "active") || mended;
	bool activated = active && !is_status(before, "active");

	if (differs(before, after, "retry_config"))
		check_retry_config(json_of(after, "retry_config"));
	if (differs(before, after, "notifications"))
		check_notifications(json_of(after, "notifications"));
	if (redefined)
		check_owner(after);
	if (differs(before, after, "owner"))
		check_login(after);
	/* A foreign key took away what it is made of. */
	if (lost && GetUserId() == integ_owner_oid() && active)
	{
		change(changes, after, "status", CStringGetTextDatum("error"), false);
		change(changes, after, "last_error", JsonbPGetDatum(missing_part(after)), false);
		return;
	}
	if (mended)
		change(changes, after, "status", CStringGetTextDatum("active"), false);
	if ((retimed || activated) && !differs(before, after, "next_run_at"))
	{
		TimestampTz slot = first_slot(after);

		change(changes, after, "next_run_at", TimestampTzGetDatum(slot), slot == 0);
	}
	if (GetUserId() != integ_owner_oid())
		change(changes, after, "updated_at", TimestampTzGetDatum(GetCurrentTimestamp()), false);
}

/* Of the statement under way: its rows were looked at here; some of them may be due at another time than before. */
static bool checked;
static bool retimes;

/* BEFORE INSERT OR UPDATE on integ.sync_tasks. */
Datum
integ_tg_sync_task_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Changes changes = {0};
	Row before, after;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_sync_task_check must be called as a trigger");
	before = (Row){.columns = trigger->tg_relation->rd_att, .tuple = trigger->tg_trigtuple};
	after = before;
	checked = true;
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		check_insert(after, &changes);
		retimes = true;
	}
	else
	{
		after.tuple = trigger->tg_newtuple;
		check_update(before, after, &changes);
		retimes |= changes.count > 0 || differs(before, after, "next_run_at") || differs(before, after, "status");
	}
	if (changes.count == 0)
		return PointerGetDatum(after.tuple);
	return PointerGetDatum(heap_modify_tuple_by_cols(after.tuple, after.columns, changes.count, changes.numbers,
													 changes.values, changes.nulls));
}

/* AFTER UPDATE OR DELETE on integ.sync_tasks: what waits or runs of a task that is not to run any more ends. */
Datum
integ_tg_sync_task_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *reason = NULL;
	Row before, after;
	IntegOwnerScope scope;
	bool isnull;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_sync_task_changed must be called as a trigger");
	before = (Row){.columns = trigger->tg_relation->rd_att, .tuple = trigger->tg_trigtuple};
	after = before;
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		reason = "the task was deleted";
	else
	{
		after.tuple = trigger->tg_newtuple;
		if (is_null(after, "instance") && !is_null(before, "instance"))
			reason = "the instance of the task was deleted";
		else if (is_null(after, "schema") && !is_null(before, "schema"))
			reason = "the conversion schema of the task was deleted";
		else if (is_status(after, "paused") && !is_status(before, "paused"))
			reason = "the task was paused";
		else if (is_status(after, "disabled") && !is_status(before, "disabled"))
			reason = "the task was disabled";
	}
	if (reason == NULL)
		return PointerGetDatum(NULL);
	integ_owner_enter(&scope);
	integ_sync_close_task(DatumGetUUIDP(value_of(before, "id", &isnull)), reason);
	integ_owner_leave(&scope);
	return PointerGetDatum(NULL);
}

/*
 * Statement trigger of what the keeper acts on; with an argument, of tasks. The keeper knows what it changed itself. A
 * run that has ended changes its task, but not when it is due. An execution is queued for now or later, but may be
 * given any time afterwards.
 */
Datum
integ_tg_sync_wake(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;
	const IntegDatabase *database = integ_shmem_mine();
	uint32 what = INTEG_WAKE_SYNC;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_sync_wake must be called as a trigger");
	if (trigger->tg_trigger->tgnargs > 0)
	{
		if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event) && (retimes || !checked))
			what |= INTEG_WAKE_SYNC_TASKS;
		checked = retimes = false;
	}
	else
		what |= TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? INTEG_WAKE_SYNC_QUEUE : INTEG_WAKE_SYNC_MOVED;
	if (database != NULL && database->keeper_pid != MyProcPid)
		integ_wake_at_commit(what);
	return PointerGetDatum(NULL);
}
