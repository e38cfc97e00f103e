/*
 * Polls: their rows, when they are due, and what follows where a person changes one.
 */
#include "webhooks/poll.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/owner.h"
#include "core/query.h"
#include "executor/spi.h"
#include "schedule/schedule.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_tg_poll_changed);

#define DEFAULT_INTERVAL_S 60

/* It never ends by itself. */
#define ATTEMPTS 1000000

static IntegPoll *
read_row(MemoryContext context)
{
	IntegPoll *poll = MemoryContextAllocZero(context, sizeof(IntegPoll));
	bool isnull;
	Datum call;

	poll->id = *DatumGetUUIDP(integ_result_datum(0, 1, &isnull));
	poll->client_id = integ_result_text(0, 2, context);
	poll->definition = integ_result_text(0, 3, context);
	poll->instance = *DatumGetUUIDP(integ_result_datum(0, 4, &isnull));
	poll->trigger = integ_result_text(0, 5, context);
	poll->schedule = (const Jsonb *) integ_result_varlena(0, 6, context);
	poll->input = (const Jsonb *) integ_result_varlena(0, 7, context);
	poll->from_now = integ_result_bool(0, 8);
	poll->filter = integ_result_varlena(0, 9, context);
	poll->handler = integ_result_text(0, 10, context);
	poll->owner = (Oid) integ_result_int8(0, 11);
	poll->user_id = integ_result_text(0, 12, context);
	poll->is_active = integ_result_bool(0, 13);
	call = integ_result_datum(0, 14, &isnull);
	poll->has_call = !isnull;
	if (!isnull)
		poll->call = *DatumGetUUIDP(call);
	poll->primed = integ_result_bool(0, 15);
	poll->mark = integ_result_text(0, 16, context);
	poll->delta = integ_result_text(0, 17, context);
	poll->failures = DatumGetInt32(integ_result_datum(0, 18, &isnull));
	return poll;
}

#define POLL                                                                                                \
	"SELECT id, client_id, definition, instance, trigger, schedule, input, start = 'now', filter, handler," \
	" owner::oid::bigint, user_id, is_active, call, primed, high_water_mark, delta_token, failures"         \
	" FROM integ.polls WHERE "

IntegPoll *
integ_poll_load(const pg_uuid_t *id)
{
	static IntegQuery load = {POLL "id = $1 FOR UPDATE", 1, {UUIDOID}};
	MemoryContext context = CurrentMemoryContext;
	Datum value = UUIDPGetDatum(id);

	return integ_query(&load, &value, NULL) == 0 ? NULL : read_row(context);
}

const JsonbContainer *
integ_poll_trigger(const IntegDefinition *definition, const char *id)
{
	const JsonbContainer *triggers = integ_json_get_array(&definition->manifest->root, "triggers");

	for (uint32 i = 0; triggers != NULL && i < JsonContainerSize(triggers); i++)
	{
		JsonbValue trigger;

		integ_json_walk_at(triggers, i, &trigger);
		if (strcmp(integ_json_get_string(trigger.val.binary.data, "id"), id) == 0)
			return integ_json_get_object(trigger.val.binary.data, "poll") == NULL ? NULL : trigger.val.binary.data;
	}
	return NULL;
}

TimestampTz
integ_poll_next(const IntegPoll *poll, const JsonbContainer *trigger, TimestampTz now)
{
	const JsonbContainer *manifest = integ_json_get_object(trigger, "poll");
	TimestampTz next;

	if (poll->schedule == NULL)
		return now + integ_json_get_int(manifest, "intervalSeconds", DEFAULT_INTERVAL_S) * USECS_PER_SEC;
	if (!integ_schedule_next(integ_schedule_parse(poll->schedule), now, &next))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the schedule of the poll \"%s\" is never due", poll->trigger),
						errhint("Give it an interval or a cron expression; is_active = false switches it off.")));
	return next;
}

bool
integ_poll_begin(IntegPoll *poll, TimestampTz run_at)
{
	IntegErrandCall call = {.purpose = integ_poll_errand.purpose,
							.subject = &poll->id,
							.instance = &poll->instance,
							.method = poll->trigger,
							.repeatable = true,
							.owner = poll->owner,
							.client_id = poll->client_id,
							.user_id = poll->user_id,
							.run_at = run_at,
							.max_attempts = ATTEMPTS};

	poll->has_call = integ_errand_enqueue(&call, &poll->call);
	return poll->has_call;
}

void
integ_polls_restart(void)
{
	static IntegQuery stopped = {POLL "is_active AND call IS NULL LIMIT 1 FOR UPDATE SKIP LOCKED", 0};
	static IntegQuery note = {"UPDATE integ.polls SET call = $2 WHERE id = $1", 2, {UUIDOID, UUIDOID}};
	MemoryContext context = CurrentMemoryContext;

	while (integ_query(&stopped, NULL, NULL) > 0)
	{
		IntegPoll *poll = read_row(context);
		Datum values[2];

		if (!integ_poll_begin(poll, GetCurrentTimestamp()))
			return;
		values[0] = UUIDPGetDatum(&poll->id);
		values[1] = UUIDPGetDatum(&poll->call);
		(void) integ_query(&note, values, NULL);
	}
}

/* --- a person changes one --- */

static IntegPoll
describe_row(TupleDesc columns, HeapTuple row)
{
	IntegPoll poll = {0};
	bool isnull;
	Datum value;

#define COLUMN(name) SPI_getbinval(row, columns, SPI_fnumber(columns, name), &isnull)
	poll.id = *DatumGetUUIDP(COLUMN("id"));
	poll.instance = *DatumGetUUIDP(COLUMN("instance"));
	poll.owner = DatumGetObjectId(COLUMN("owner"));
	poll.is_active = DatumGetBool(COLUMN("is_active"));
	value = COLUMN("call");
	poll.has_call = !isnull;
	if (!isnull)
		poll.call = *DatumGetUUIDP(value);
	value = COLUMN("schedule");
	poll.schedule = isnull ? NULL : DatumGetJsonbP(value);
#undef COLUMN
	poll.client_id = SPI_getvalue(row, columns, SPI_fnumber(columns, "client_id"));
	poll.user_id = SPI_getvalue(row, columns, SPI_fnumber(columns, "user_id"));
	poll.trigger = SPI_getvalue(row, columns, SPI_fnumber(columns, "trigger"));
	return poll;
}

/*
 * BEFORE UPDATE OF is_active, schedule: the call goes, or is made anew and runs at once. One that runs just now finds
 * that it is not the poll's any more. AFTER DELETE: it goes too.
 */
Datum
integ_tg_poll_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool deleted = CALLED_AS_TRIGGER(fcinfo) && TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
	TupleDesc columns;
	HeapTuple row;
	IntegPoll poll;
	IntegOwnerScope scope;
	Datum value;
	bool isnull;
	int number;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "integ.tg_poll_changed must be called as a trigger");
	columns = trigger->tg_relation->rd_att;
	row = deleted ? trigger->tg_trigtuple : trigger->tg_newtuple;
	poll = describe_row(columns, row);
	if (!deleted && poll.schedule != NULL)
		(void) integ_poll_next(&poll, NULL, GetCurrentTimestamp());
	integ_owner_enter(&scope);
	if (poll.has_call)
		integ_errand_take_back(&poll.call);
	poll.has_call = false;
	if (!deleted && poll.is_active)
		(void) integ_poll_begin(&poll, GetCurrentTimestamp());
	integ_owner_leave(&scope);
	if (deleted)
		return PointerGetDatum(NULL);
	number = SPI_fnumber(columns, "call");
	value = UUIDPGetDatum(&poll.call);
	isnull = !poll.has_call;
	return PointerGetDatum(heap_modify_tuple_by_cols(row, columns, 1, &number, &value, &isnull));
}
