/*
 * Tasks whose time has come: each slot of a schedule becomes an execution, or
 * leaves one that says why it did not; next_run_at moves on in the same
 * transaction.
 *
 * A slot is missed where nothing ran here when it came: another one is due
 * already, or it is late by more than a minute. What becomes of it, the task's
 * catchup_policy says; of one that is due while an execution has not ended, its
 * overlap_policy.
 */
#include "sync/lifecycle.h"

#include "access/actor.h"
#include "access/xact.h"
#include "calls/verdict.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/owner.h"
#include "core/query.h"
#include "core/uuid.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "schedule/schedule.h"
#include "sync/task.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(integ_sync_schedule);

/* Tasks in one transaction. */
#define BATCH 200

/* Later than this, a slot was missed. */
#define ON_TIME USECS_PER_MINUTE

/* Of the slots that a task has missed, so many leave an execution each; one stands for the rest. */
#define ROWS_MAX 1000

/* Missed slots are counted up to this. */
#define COUNT_MAX 100000

/* A clock is corrected by so much without having been set back. */
#define CLOCK_SLACK USECS_PER_SEC

typedef struct Due
{
	pg_uuid_t id;
	TimestampTz slot;
	const Jsonb *schedule;
	TimestampTz end_at;
	int64 jitter;
	char *overlap;
	char *catchup;
} Due;

/* The slots of a task up to now: the first ones, how many follow that are not listed, and the last. */
typedef struct Slots
{
	int count;
	TimestampTz times[ROWS_MAX];
	int64 unlisted;
	TimestampTz last;
	TimestampTz next; /* 0: none */
} Slots;

static void
collect_slots(const Due *task, TimestampTz now, Slots *slots)
{
	const IntegSchedule *schedule = integ_schedule_parse(task->schedule);
	TimestampTz slot = task->slot;
	bool more = true;

	slots->count = 0;
	slots->unlisted = 0;
	for (int i = 0; more && slot <= now && i < COUNT_MAX; i++)
	{
		slots->last = slot;
		if (slots->count < ROWS_MAX)
			slots->times[slots->count++] = slot;
		else
			slots->unlisted++;
		more = integ_schedule_next(schedule, slot, &slot) && slot < task->end_at;
	}
	/* So long ago that they are not counted. */
	if (more && slot <= now)
		more = integ_schedule_next(schedule, now, &slot) && slot < task->end_at;
	slots->next = more ? slot : 0;
}

/* Spread by what does not change, so that it is the same whenever it is asked. */
static TimestampTz
with_jitter(const Due *task, TimestampTz slot)
{
	uint64 hash;

	if (task->jitter <= 0)
		return slot;
	hash = hash_bytes_extended(task->id.data, UUID_LEN, (uint64) slot);
	return slot + (int64) (hash % (uint64) task->jitter);
}

/* Of what was queued in this call. */
static TimestampTz first_queued;

static void
queue(const Due *task, TimestampTz slot)
{
	static IntegQuery insert = {
		"INSERT INTO integ.sync_executions_open (task, task_id, client_id, context_id, instance, owner, direction, trigger,"
		" scheduled_for, run_at) SELECT id, task_id, client_id, context_id, instance, owner, direction, 'schedule', $2, $3"
		" FROM integ.sync_tasks WHERE id = $1",
		3,
		{UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID}};
	TimestampTz run_at = with_jitter(task, slot);
	Datum values[] = {UUIDPGetDatum(&task->id), TimestampTzGetDatum(slot), TimestampTzGetDatum(run_at)};

	(void) integ_query(&insert, values, NULL);
	first_queued = Min(first_queued, run_at);
}

/* Slots that no execution runs for leave one each; count is what each stands for. */
static void
skip(const Due *task, const TimestampTz *slots, int nslots, int64 count, const char *reason)
{
	static IntegQuery insert = {
		"INSERT INTO integ.sync_executions_done (" INTEG_SYNC_COLUMNS ", status, reason, completed_at)"
		" SELECT integ.uuid_generate(), pg_catalog.clock_timestamp(), t.id, t.task_id, t.client_id, t.context_id,"
		" t.instance, t.owner, t.direction, 'schedule', NULL, s.slot, $3, s.slot, NULL, NULL, 0, false, '{}', NULL,"
		" 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 'skipped', $4, pg_catalog.clock_timestamp()"
		" FROM integ.sync_tasks t, pg_catalog.unnest($2) WITH ORDINALITY s (slot, number) WHERE t.id = $1 ORDER BY s.number",
		4,
		{UUIDOID, TIMESTAMPTZARRAYOID, INT8OID, TEXTOID}};
	Datum *times = palloc(Max(nslots, 1) * sizeof(Datum));
	Datum values[] = {UUIDPGetDatum(&task->id), (Datum) 0, Int64GetDatum(count), CStringGetTextDatum(reason)};

	if (nslots == 0)
		return;
	for (int i = 0; i < nslots; i++)
		times[i] = TimestampTzGetDatum(slots[i]);
	values[1] = PointerGetDatum(construct_array(times, nslots, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	(void) integ_query(&insert, values, NULL);
}

/* What waits or runs of the task. A retry that waits gives way to a slot; a run for named records is over soon. */
typedef struct Open
{
	bool running;
	bool waiting;
	pg_uuid_t id; /* of one that runs, else of one that waits */
} Open;

/* What somebody else is about to change is not waited for: the task is looked at again later. */
static void
lock_open(const Due *task)
{
	static IntegQuery lock = {"SELECT FROM integ.sync_executions_open WHERE task = $1 FOR UPDATE NOWAIT", 1, {UUIDOID}};
	Datum value = UUIDPGetDatum(&task->id);

	(void) integ_query(&lock, &value, NULL);
}

static Open
find_open(const Due *task)
{
	static IntegQuery find = {
		"SELECT id, status = 'running', trigger = 'retry' FROM integ.sync_executions_open"
		" WHERE task = $1 AND NOT cancel_requested AND trigger <> 'webhook' ORDER BY status = 'running' DESC, id",
		1,
		{UUIDOID}};
	Datum value = UUIDPGetDatum(&task->id);
	uint64 count = integ_query(&find, &value, NULL);
	SPITupleTable *rows = SPI_tuptable;
	Open open = {0};
	bool isnull;

	for (uint64 i = 0; i < count; i++)
	{
		pg_uuid_t id = *DatumGetUUIDP(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		bool running = DatumGetBool(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull));
		bool retry = DatumGetBool(SPI_getbinval(rows->vals[i], rows->tupdesc, 3, &isnull));

		if (!running && retry)
		{
			lock_open(task);
			integ_sync_close(&id, "cancelled", "the next slot of the schedule took its place");
			continue;
		}
		if (!open.running && !open.waiting)
			open.id = id;
		open.running |= running;
		open.waiting |= !running;
	}
	return open;
}

static void
run_slot(const Due *task, TimestampTz slot)
{
	Open open = find_open(task);

	if (!open.running && !open.waiting)
		queue(task, slot);
	else if (strcmp(task->overlap, "cancel") == 0)
	{
		lock_open(task);
		integ_sync_close_task(&task->id, "the next slot of the schedule took its place (overlap_policy is cancel)");
		queue(task, slot);
	}
	else if (strcmp(task->overlap, "queue") == 0 && !open.waiting)
		queue(task, slot);
	else
		skip(task, &slot, 1, 1,
			 psprintf("execution %s had not %s (overlap_policy is %s)", integ_uuid_text(&open.id),
					  open.running ? "ended" : "begun", task->overlap));
}

static void
run_slots(const Due *task, const Slots *slots, TimestampTz now)
{
	bool on_time = now - slots->last <= ON_TIME;
	bool all = strcmp(task->catchup, "all") == 0;
	bool runs = on_time || strcmp(task->catchup, "none") != 0;
	int before = slots->unlisted > 0 ? slots->count : slots->count - 1;

	if (all)
		for (int i = 0; i < before; i++)
			queue(task, slots->times[i]);
	else
		skip(task, slots->times, before, 1,
			 psprintf("it was missed, and %s (catchup_policy is %s)",
					  runs ? "a later slot runs" : "is not made up for", task->catchup));
	if (slots->unlisted > 1)
		skip(task, &slots->times[slots->count - 1], 1, slots->unlisted - 1,
			 psprintf("the slots that followed, up to the last, were missed too; no more than %d are listed", ROWS_MAX));
	if (!runs)
		skip(task, &slots->last, 1, 1, "it was missed, and is not made up for (catchup_policy is none)");
	else if (all && before > 0)
		queue(task, slots->last);
	else
		run_slot(task, slots->last);
}

static void
move_on(const Due *task, TimestampTz next)
{
	static IntegQuery update = {
		"UPDATE integ.sync_tasks SET next_run_at = $2 WHERE id = $1", 2, {UUIDOID, TIMESTAMPTZOID}};
	Datum values[] = {UUIDPGetDatum(&task->id), TimestampTzGetDatum(next)};

	(void) integ_query(&update, values, next == 0 ? " n" : NULL);
}

static void
give_up(const Due *task, const ErrorData *error)
{
	static IntegQuery update = {
		"UPDATE integ.sync_tasks SET status = 'error', last_error = pg_catalog.jsonb_build_object('message', $2,"
		" 'timestamp', pg_catalog.clock_timestamp(), 'details', pg_catalog.jsonb_strip_nulls("
		" pg_catalog.jsonb_build_object('sqlstate', $3, 'detail', $4, 'hint', $5)))"
		" WHERE id = $1",
		5,
		{UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}};
	char nulls[] = "     ";
	Datum values[] = {UUIDPGetDatum(&task->id), CStringGetTextDatum(error->message),
					  CStringGetTextDatum(unpack_sql_state(error->sqlerrcode)),
					  integ_value_text(error->detail, &nulls[3]), integ_value_text(error->hint, &nulls[4])};

	(void) integ_query(&update, values, nulls);
}

static bool
is_lock_error(int sqlerrcode)
{
	return ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
		   ERRCODE_TO_CATEGORY(sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK;
}

/*
 * One task that cannot be scheduled does not stop the others: it is in error then. What the server lacks is no fault of
 * the task, and one whose rows somebody has locked stays due.
 */
static void
make_executions(const Due *task, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Slots *slots = palloc(sizeof(Slots));

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		collect_slots(task, now, slots);
		run_slots(task, slots, now);
		move_on(task, slots->next);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (!is_lock_error(error->sqlerrcode))
		{
			if (integ_passes_by_itself(error->sqlerrcode) ||
				ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_SYSTEM_ERROR)
				ReThrowError(error);
			give_up(task, error);
		}
	}
	PG_END_TRY();
	pfree(slots);
}

static void
read_due(Due *task, uint64 row)
{
	MemoryContext context = CurrentMemoryContext;
	bool isnull;
	Datum end_at;

	task->id = *DatumGetUUIDP(integ_result_datum(row, 1, &isnull));
	task->slot = DatumGetTimestampTz(integ_result_datum(row, 2, &isnull));
	task->schedule = (Jsonb *) integ_result_varlena(row, 3, context);
	end_at = integ_result_datum(row, 4, &isnull);
	task->end_at = isnull ? DT_NOEND : DatumGetTimestampTz(end_at);
	task->jitter = integ_result_int8(row, 5);
	task->overlap = integ_result_text(row, 6, context);
	task->catchup = integ_result_text(row, 7, context);
}

static uint64
make_batch(TimestampTz now, TimestampTz mark)
{
	static IntegQuery find = {
		"SELECT id, next_run_at, schedule, end_at, (extract(epoch FROM jitter) * 1000000)::bigint, overlap_policy,"
		" catchup_policy FROM integ.sync_tasks WHERE status = 'active' AND next_run_at IS NOT NULL"
		" AND next_run_at BETWEEN $3 AND $1 ORDER BY next_run_at, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
		3,
		{TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID}};
	Datum values[] = {TimestampTzGetDatum(now), Int64GetDatum(BATCH), TimestampTzGetDatum(mark)};
	uint64 count = integ_query(&find, values, NULL);
	Due *tasks = palloc(Max(count, 1) * sizeof(Due));

	for (uint64 i = 0; i < count; i++)
		read_due(&tasks[i], i);
	for (uint64 i = 0; i < count; i++)
		make_executions(&tasks[i], now);
	return count;
}

/* When the first task is due, whoever has locked it; DT_NOEND: none is. */
static TimestampTz
first_due(TimestampTz mark)
{
	static IntegQuery first = {"SELECT next_run_at FROM integ.sync_tasks WHERE status = 'active'"
							   " AND next_run_at IS NOT NULL AND next_run_at >= $1 ORDER BY next_run_at LIMIT 1",
							   1,
							   {TIMESTAMPTZOID}};
	Datum value = TimestampTzGetDatum(mark);
	bool isnull;

	return integ_query(&first, &value, NULL) == 0 ? DT_NOEND : DatumGetTimestampTz(integ_result_datum(0, 1, &isnull));
}

/* --- a clock that was set back --- */

/* False where somebody has locked the task. */
static bool
move_back(const Due *task, TimestampTz next)
{
	static IntegQuery update = {"UPDATE integ.sync_tasks SET next_run_at = $2 WHERE id ="
								" (SELECT id FROM integ.sync_tasks WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)",
								2,
								{UUIDOID, TIMESTAMPTZOID}};
	Datum values[] = {UUIDPGetDatum(&task->id), TimestampTzGetDatum(next)};

	return integ_query(&update, values, NULL) > 0;
}

/*
 * An interval is time that passes: where the clock was set back, it does not wait for the old time to come again. False
 * where it is to be done again, since somebody has locked a task.
 */
static bool
mend_intervals(TimestampTz now)
{
	static IntegQuery find = {
		"SELECT id, next_run_at, schedule, end_at, 0::bigint, overlap_policy, catchup_policy FROM integ.sync_tasks"
		" WHERE status = 'active' AND next_run_at > $1 AND last_run_at > $1",
		1,
		{TIMESTAMPTZOID}};
	Datum value = TimestampTzGetDatum(now + CLOCK_SLACK);
	uint64 count = integ_query(&find, &value, NULL);
	Due *tasks = palloc(Max(count, 1) * sizeof(Due));
	bool done = true;

	for (uint64 i = 0; i < count; i++)
		read_due(&tasks[i], i);
	for (uint64 i = 0; i < count; i++)
	{
		const IntegSchedule *schedule = integ_schedule_parse(tasks[i].schedule);
		TimestampTz next;

		if (schedule->type == INTEG_SCHEDULE_INTERVAL && integ_schedule_next(schedule, now, &next) &&
			next < tasks[i].slot)
			done &= move_back(&tasks[i], next);
	}
	return done;
}

/* What was queued by a clock that was ahead waits as long as it was to wait. False as above. */
static bool
mend_queue(TimestampTz now)
{
	static IntegQuery update = {
		"UPDATE integ.sync_executions_open SET run_at = run_at - (created_at - $1), created_at = $1 WHERE id IN"
		" (SELECT id FROM integ.sync_executions_open WHERE status = 'queued' AND run_at > $1 AND created_at > $2"
		"  FOR UPDATE SKIP LOCKED)",
		2,
		{TIMESTAMPTZOID, TIMESTAMPTZOID}};
	static IntegQuery left = {
		"SELECT FROM integ.sync_executions_open WHERE status = 'queued' AND run_at > $1 AND created_at > $2 LIMIT 1",
		2,
		{TIMESTAMPTZOID, TIMESTAMPTZOID}};
	Datum values[] = {TimestampTzGetDatum(now), TimestampTzGetDatum(now + CLOCK_SLACK)};

	(void) integ_query(&update, values, NULL);
	return integ_query(&left, values, NULL) == 0;
}

/* --- the whole --- */

static TimestampTz
make_due(TimestampTz now, IntegSyncHorizon *horizon)
{
	bool mended = true;
	TimestampTz next;

	if (horizon->clock == 0 || now + CLOCK_SLACK < horizon->clock)
	{
		horizon->mark = horizon->queue = DT_NOBEGIN;
		mended = mend_intervals(now);
		mended &= mend_queue(now);
	}
	if (mended)
		horizon->clock = now;
	horizon->mark = first_due(horizon->mark);
	if (horizon->mark <= now)
	{
		if (make_batch(now, horizon->mark) == BATCH)
			return now;
		horizon->mark = first_due(horizon->mark);
	}
	if (mended && horizon->mark > now)
		return horizon->mark;
	/* Others that are due meanwhile do not wait for one that is locked. */
	next = first_due(now + 1);
	return Min(next, now + INTEG_SYNC_LOCKED_PAUSE);
}

TimestampTz
integ_sync_make_due(TimestampTz now, IntegSyncHorizon *horizon)
{
	TimestampTz next;

	first_queued = DT_NOEND;
	next = make_due(now, horizon);
	horizon->queue = Min(horizon->queue, first_queued);
	return next;
}

/* integ.sync_schedule(at): what the keeper does by itself; the clock is an argument so that a test can set it. */
Datum
integ_sync_schedule(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	static TimestampTz clock = DT_NOBEGIN; /* of this session: the keeper has one of its own */
	IntegSyncHorizon horizon = {.clock = clock, .mark = DT_NOBEGIN, .queue = DT_NOBEGIN};
	IntegOwnerScope scope;
	TimestampTz next;

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the time must be finite")));
	(void) integ_actor_require(INTEG_LEVEL_SUPERADMIN, "schedule sync tasks");
	integ_owner_enter(&scope);
	integ_query_by_indexes();
	while ((next = integ_sync_make_due(at, &horizon)) == at)
		CHECK_FOR_INTERRUPTS();
	integ_owner_leave(&scope);
	clock = horizon.clock;
	PG_RETURN_TIMESTAMPTZ(next);
}
