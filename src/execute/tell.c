/*
 * integ.action.executed.
 */
#include "execute/tell.h"

#include "core/json.h"
#include "core/uuid.h"
#include "endpoints/events.h"
#include "mb/pg_wchar.h"
#include "utils/timestamp.h"

/* Of an error's message: a service's own words may be long. */
#define MESSAGE_MAX 2048

Jsonb *
integ_action_describe(const IntegAction *action)
{
	const IntegRecordSubject *subject = action->subject;
	IntegJsonBuilder payload;

	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "call", integ_uuid_text(&subject->call_id));
	integ_json_add_known(&payload, "method", subject->method);
	integ_json_add_known(&payload, "definition", subject->definition_id);
	integ_json_add_known(&payload, "instance_id", subject->instance_id);
	integ_json_add_known(&payload, "user", subject->user_id);
	integ_json_add_bool(&payload, "is_write", action->is_write);
	integ_json_add_string(&payload, "state", action->state);
	integ_json_add_int(&payload, "attempts", action->attempts);
	if (action->duration_us >= 0)
		integ_json_add_int(&payload, "duration_us", action->duration_us);
	if (action->sqlerrcode != 0)
		integ_json_add_string(&payload, "sqlstate", unpack_sql_state(action->sqlerrcode));
	if (action->message != NULL)
		integ_json_add_string(&payload, "error",
							  pnstrdup(action->message,
									   pg_mbcliplen(action->message, (int) strlen(action->message), MESSAGE_MAX)));
	return integ_json_end(&payload);
}

static const char *
state_of(const IntegCall *call, const IntegOutcome *outcome)
{
	if (outcome->sqlerrcode == 0)
		return "succeeded";
	/* Of an answer that was broken off while it was read there is no outcome yet. */
	if (call->flight != NULL)
		return call->exchange->is_write ? "unknown" : "failed";
	if (call->response != NULL && call->exchange->is_write && strcmp(integ_call_write_outcome(call), "unknown") == 0)
		return "unknown";
	return "failed";
}

static bool
is_asked_for(const IntegCall *call)
{
	return !call->raw && integ_own_event_asked_for(call->subject.client_id, INTEG_ACTION_EXECUTED);
}

/* Needs no table, so that an error which is still to be raised on may be told of. */
static void
tell(const IntegCall *call, const IntegOutcome *outcome)
{
	IntegAction action = {.subject = &call->subject,
						  .is_write = call->method->is_write,
						  .state = state_of(call, outcome),
						  .attempts = 1,
						  .duration_us = GetCurrentTimestamp() - call->began_at,
						  .sqlerrcode = outcome->sqlerrcode,
						  .message = outcome->message};

	if ((!call->has_left && !call->method->is_function) || call->stale)
		return;
	integ_record_event(INTEG_ACTION_EXECUTED, call->subject.client_id, call->subject.instance,
					   integ_action_describe(&action), false);
}

void
integ_call_tell(const IntegCall *call, const IntegOutcome *outcome)
{
	if (is_asked_for(call))
		tell(call, outcome);
}

const Jsonb *
integ_call_carry_out_telling(IntegCall *call, const Jsonb *(*carry_out)(IntegCall *call))
{
	MemoryContext context = CurrentMemoryContext;
	const Jsonb *result = NULL;

	if (!is_asked_for(call))
		return carry_out(call);
	PG_TRY();
	{
		result = carry_out(call);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		tell(call, &(IntegOutcome){.sqlerrcode = error->sqlerrcode, .message = error->message});
		ReThrowError(error);
	}
	PG_END_TRY();
	tell(call, &call->outcome);
	return result;
}
