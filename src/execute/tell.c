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

static void
add_text(IntegJsonBuilder *payload, const char *key, const char *text)
{
	if (text != NULL)
		integ_json_add_string(payload, key, text);
}

Jsonb *
integ_action_describe(const IntegAction *action)
{
	const IntegRecordSubject *subject = action->subject;
	IntegJsonBuilder payload;

	integ_json_begin_object(&payload);
	integ_json_add_string(&payload, "call", integ_uuid_text(&subject->call_id));
	add_text(&payload, "method", subject->method);
	add_text(&payload, "definition", subject->definition_id);
	add_text(&payload, "instance_id", subject->instance_id);
	add_text(&payload, "user", subject->user_id);
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
	if (call->response != NULL && call->exchange->is_write && strcmp(integ_call_write_outcome(call), "unknown") == 0)
		return "unknown";
	return "failed";
}

void
integ_call_tell(const IntegCall *call, const IntegOutcome *outcome)
{
	IntegAction action = {.subject = &call->subject,
						  .is_write = call->method->is_write,
						  .attempts = 1,
						  .duration_us = GetCurrentTimestamp() - call->began_at,
						  .sqlerrcode = outcome->sqlerrcode,
						  .message = outcome->message};

	if ((call->response == NULL && !call->method->is_function) || call->stale || call->raw)
		return;
	if (!integ_own_event_asked_for(call->subject.client_id, INTEG_ACTION_EXECUTED))
		return;
	action.state = state_of(call, outcome);
	integ_record_event(INTEG_ACTION_EXECUTED, call->subject.client_id, call->subject.instance,
					   integ_action_describe(&action), false);
}
