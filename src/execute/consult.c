/*
 * Step: what the definition's own SQL functions say to a call.
 *
 *   before   gives the input that is used, or refuses the call
 *   auth     gives what authenticates the request: a secret
 *   after    gives the result
 *
 * They are called in a handler worker as the role that defined this version of
 * the definition. A backend waits for the answer; the dispatcher asks, and goes on
 * with others meanwhile.
 */
#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "course/course.h"
#include "execute/call.h"
#include "utils/memutils.h"

/* Whether somebody answers for the function: nobody does for those of a method that only an instance has. */
static bool
has_definer(const IntegCall *call, IntegQuestion question)
{
	const IntegDefinition *definition = call->definition;
	bool is_own = question == INTEG_QUESTION_AUTH || (call->method >= definition->methods &&
													  call->method < definition->methods + definition->nmethods);

	return is_own && OidIsValid(definition->owner);
}

IntegQuestion
integ_call_question(const IntegCall *call)
{
	bool is_function = call->method->is_function;

	if (call->response == NULL && call->method->before != NULL && !call->asked_before)
		return INTEG_QUESTION_BEFORE;
	if (call->response == NULL && call->auth->function != NULL && call->auth_answer == NULL && !is_function)
		return INTEG_QUESTION_AUTH;
	if ((call->response != NULL || is_function) && call->method->after != NULL && !call->asked_after &&
		call->outcome.sqlerrcode == 0 && integ_course_ended(call))
		return INTEG_QUESTION_AFTER;
	return INTEG_QUESTION_NONE;
}

static const char *
function_of(const IntegCall *call, IntegQuestion question)
{
	switch (question)
	{
		case INTEG_QUESTION_BEFORE:
			return call->method->before;
		case INTEG_QUESTION_AUTH:
			return call->auth->function;
		case INTEG_QUESTION_AFTER:
			return call->method->after;
		case INTEG_QUESTION_NONE:
			break;
	}
	return NULL;
}

static Jsonb *
argument_of(const IntegCall *call, IntegQuestion question)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "instance", call->instance->instance_id);
	integ_json_add_string(&builder, "method", call->method->id);
	integ_json_add_string(&builder, "client", call->actor->client);
	integ_json_add_string(&builder, "user", call->actor->user);
	integ_json_add_jsonb(&builder, "config", call->instance->config);
	if (question != INTEG_QUESTION_AUTH)
		integ_json_add_jsonb(&builder, "input", call->input);
	if (question == INTEG_QUESTION_AFTER && call->outcome.result != NULL)
		integ_json_add_jsonb(&builder, "result", call->outcome.result);
	else if (question == INTEG_QUESTION_AFTER)
		integ_json_add_null(&builder, "result");
	return integ_json_end(&builder);
}

static int64
timeout_ms(const IntegCall *call)
{
	return call->options.asynchronous ? integ_handler_timeout : Min(integ_handler_timeout, integ_max_sync_wait);
}

/* What is said of an exchange goes with it, so that pages, of which each is asked about, leave nothing behind. */
static MemoryContext
context_of(IntegCall *call, IntegQuestion question)
{
	return question == INTEG_QUESTION_AFTER ? call->exchange_context : call->context;
}

IntegHandlerTicket *
integ_call_ask(IntegCall *call, IntegQuestion question)
{
	/* For itself: whom the call is made for stands in the argument. */
	IntegHandlerSubject subject = {.owner = call->definition->owner};
	MemoryContext old = MemoryContextSwitchTo(context_of(call, question));
	IntegHandlerTicket *ticket;

	if (!has_definer(call, question))
		ereport(ERROR, (errcode(ERRCODE_INTEG_FORBIDDEN),
						errmsg("%s needs the function %s, which nobody answers for", integ_call_name(call),
							   function_of(call, question)),
						errdetail("A function is called as the role that defined the integration; this method, or this version, has none."),
						errhint("Define the integration anew with integ_define.")));
	ticket = integ_handler_ask(&subject, function_of(call, question), argument_of(call, question), timeout_ms(call));
	MemoryContextSwitchTo(old);
	return ticket;
}

/* An exception without a code of its own says no; any other error keeps its code. */
static int
sqlerrcode_of(IntegQuestion question, int sqlerrcode)
{
	if (sqlerrcode != ERRCODE_RAISE_EXCEPTION)
		return sqlerrcode;
	switch (question)
	{
		case INTEG_QUESTION_AUTH:
			return ERRCODE_INTEG_UNAUTHENTICATED;
		case INTEG_QUESTION_AFTER:
			return ERRCODE_INTEG_REFUSED;
		default:
			return ERRCODE_INTEG_INVALID;
	}
}

static void
fail(IntegCall *call, int sqlerrcode, char *message, char *detail, char *hint)
{
	call->outcome = (IntegOutcome){.sqlerrcode = sqlerrcode, .message = message, .detail = detail, .hint = hint};
}

static void
take_error(IntegCall *call, IntegQuestion question, const IntegHandlerAnswer *answer)
{
	bool is_done = question == INTEG_QUESTION_AFTER && call->response != NULL;
	char *detail = answer->detail != NULL ? pstrdup(answer->detail) : NULL;

	if (detail == NULL)
		detail = psprintf("%s said so.%s", function_of(call, question),
						  is_done ? " The service has answered already: what a write was to do is done." : "");
	fail(call, sqlerrcode_of(question, answer->sqlerrcode),
		 psprintf("%s: %s", integ_call_name(call), answer->message), detail,
		 answer->hint != NULL ? pstrdup(answer->hint) : NULL);
}

static void
take_before(IntegCall *call, const Jsonb *result)
{
	call->asked_before = true;
	if (result == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(result))
	{
		fail(call, ERRCODE_INTEG_INVALID, psprintf("%s: %s must return an object", integ_call_name(call), call->method->before),
			 "It returns the input that is used, or NULL to leave it as it is.", NULL);
		return;
	}
	call->input = result;
	integ_call_validate(call);
}

static void
wipe_answer(void *arg)
{
	IntegCall *call = arg;

	explicit_bzero((void *) call->auth_answer, VARSIZE(call->auth_answer));
}

static void
take_auth(IntegCall *call, const Jsonb *result)
{
	MemoryContextCallback *wipe;

	if (result == NULL)
	{
		fail(call, ERRCODE_INTEG_UNAUTHENTICATED,
			 psprintf("%s: %s gave nothing to authenticate with", integ_call_name(call), call->auth->function), NULL,
			 "It returns a string, or an object of headers and query.");
		return;
	}
	wipe = MemoryContextAlloc(call->context, sizeof(MemoryContextCallback));
	wipe->func = wipe_answer;
	wipe->arg = call;
	call->auth_answer = result;
	MemoryContextRegisterResetCallback(call->context, wipe);
}

/* A method that only its functions carry out leaves its trace like one that sends something. */
static void
record_function(IntegCall *call)
{
	IntegAuditEntry entry = {.subject = &call->subject,
							 .action = "call.write",
							 .outcome = call->outcome.sqlerrcode == 0 ? "succeeded" : "failed"};

	if (!call->method->is_function || integ_call_question(call) != INTEG_QUESTION_NONE)
		return;
	if (call->method->is_write)
		integ_record_audit(&entry);
	integ_record_used(&call->instance->id, call->outcome.sqlerrcode == 0);
}

void
integ_call_answer(IntegCall *call, IntegQuestion question, const IntegHandlerAnswer *answer)
{
	MemoryContext old = MemoryContextSwitchTo(context_of(call, question));

	if (question == INTEG_QUESTION_AFTER)
		call->asked_after = true;
	if (answer->sqlerrcode != 0)
		take_error(call, question, answer);
	else if (question == INTEG_QUESTION_BEFORE)
		take_before(call, answer->result);
	else if (question == INTEG_QUESTION_AUTH)
		take_auth(call, answer->result);
	else
		call->outcome.result = answer->result;
	record_function(call);
	MemoryContextSwitchTo(old);
}

static void
wait_for_answer(IntegCall *call, IntegQuestion question)
{
	MemoryContext old = MemoryContextSwitchTo(context_of(call, question));
	IntegHandlerTicket *ticket = integ_call_ask(call, question);
	IntegHandlerAnswer answer;

	integ_handler_wait(ticket, &answer);
	integ_handler_drop(ticket);
	integ_call_answer(call, question, &answer);
	MemoryContextSwitchTo(old);
}

void
integ_call_consult_first(IntegCall *call)
{
	IntegQuestion question;

	while (call->outcome.sqlerrcode == 0 && (question = integ_call_question(call)) != INTEG_QUESTION_NONE &&
		   question != INTEG_QUESTION_AFTER)
		wait_for_answer(call, question);
}

void
integ_call_consult(IntegCall *call)
{
	IntegQuestion question;

	while (call->outcome.sqlerrcode == 0 && (question = integ_call_question(call)) != INTEG_QUESTION_NONE)
		wait_for_answer(call, question);
}

void
integ_call_consult_before(IntegCall *call)
{
	if (integ_call_question(call) == INTEG_QUESTION_BEFORE)
		wait_for_answer(call, INTEG_QUESTION_BEFORE);
	integ_call_raise(call);
}
