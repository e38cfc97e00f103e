/*
 * What steps and jobs have in common: how a call goes from one exchange to the next.
 */
#include "course/course.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/text.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Of what one exchange brought, in the trace. */
#define EXCERPT_BYTES 200

bool
integ_course_ended(const IntegCall *call)
{
	return call->course == NULL || call->course->ended;
}

const Jsonb *
integ_course_keep(const IntegCourse *course, const Jsonb *document)
{
	Jsonb *copy;

	if (document == NULL)
		return NULL;
	copy = MemoryContextAlloc(course->context, VARSIZE(document));
	memcpy(copy, document, VARSIZE(document));
	return copy;
}

void
integ_course_note(IntegCourse *course, const char *format, ...)
{
	va_list args;

	if (course->trace.len > 0)
		appendStringInfoString(&course->trace, "; ");
	va_start(args, format);
	integ_text_append_va(&course->trace, format, args);
	va_end(args);
}

void
integ_course_fail(IntegCall *call, int sqlerrcode, char *message, char *detail, char *hint)
{
	call->outcome =
		(IntegOutcome){.sqlerrcode = sqlerrcode, .message = message, .detail = detail, .hint = hint};
	call->course->failed = true;
}

/* Steps that were not reached, as a list; NULL where there are none. */
static char *
not_begun(const IntegCall *call)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = call->course->at + 1; i < call->method->nsteps; i++)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", call->method->steps[i].exchange->step);
	return list.len > 0 ? list.data : NULL;
}

char *
integ_course_explain(const IntegCall *call, const char *detail)
{
	const IntegCourse *course = call->course;
	StringInfoData text;
	char *rest;

	if (course == NULL)
		return detail == NULL ? NULL : pstrdup(detail);
	initStringInfo(&text);
	if (detail != NULL)
		appendStringInfo(&text, "%s%s ", detail, detail[0] != '\0' && detail[strlen(detail) - 1] == '.' ? "" : ".");
	if (course->trace.len > 0)
		appendStringInfo(&text, "Before it: %s.", course->trace.data);
	else
		appendStringInfoString(&text, "It was the first of several requests.");
	rest = not_begun(call);
	if (rest != NULL)
		appendStringInfo(&text, " Not begun: %s.", rest);
	return text.data;
}

const IntegExchange *
integ_course_exchange(const IntegMethod *method, int number)
{
	if (method->job != NULL)
		return number <= INTEG_JOB_DOWNLOAD ? integ_job_exchange(method->job, number) : NULL;
	if (method->nsteps > 0)
		return number < method->nsteps ? method->steps[number].exchange : NULL;
	return number == 0 ? method->exchange : NULL;
}

void
integ_course_begin(IntegCall *call)
{
	const IntegMethod *method = call->method;
	MemoryContext context, old;
	IntegCourse *course;

	if (call->course != NULL || (method->nsteps == 0 && method->job == NULL))
		return;
	context = AllocSetContextCreate(call->context, "integ course", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	course = palloc0(sizeof(IntegCourse));
	course->context = context;
	course->results = palloc0(Max(method->nsteps, 1) * sizeof(Jsonb *));
	initStringInfo(&course->trace);
	call->course = course;
	if (method->job != NULL)
		integ_job_begin_at(call, INTEG_JOB_SUBMIT);
	else
		integ_steps_begin_at(call, 0);
	MemoryContextSwitchTo(old);
}

void
integ_course_note_success(IntegCall *call)
{
	const IntegExchange *exchange = call->exchange;
	const Jsonb *result = call->course->last;
	char *text;
	int len;

	if (exchange->map == NULL || result == NULL)
	{
		integ_course_note(call->course, "%s gave HTTP %ld", exchange->step, call->response->status);
		return;
	}
	text = integ_json_print(result);
	len = pg_mbcliplen(text, (int) Min(strlen(text), EXCERPT_BYTES * 2), EXCERPT_BYTES);
	integ_course_note(call->course, "%s gave HTTP %ld and %.*s%s", exchange->step, call->response->status, len, text,
					  text[len] != '\0' ? " …" : "");
}

void
integ_course_finish(IntegCall *call)
{
	IntegCourse *course = call->course;
	MemoryContext old;

	if (call->outcome.sqlerrcode != 0)
	{
		call->outcome.detail = integ_course_explain(call, call->outcome.detail);
		return;
	}
	course->due = 0;
	course->written |= call->exchange->is_write && call->method->idempotency_in == NULL;
	course->last = integ_course_keep(course, call->outcome.result);
	call->outcome.result = NULL;
	old = MemoryContextSwitchTo(course->context);
	if (call->method->job != NULL)
		integ_job_finish(call);
	else
	{
		course->results[course->at] = course->last;
		integ_steps_finish(call);
	}
	MemoryContextSwitchTo(old);
}

void
integ_course_end(IntegCall *call)
{
	const IntegMethod *method = call->method;
	IntegCourse *course = call->course;
	const Jsonb *result = course->last;

	course->ended = true;
	if (method->map != NULL && course->earlier != NULL)
		result = integ_map_eval(method->map, course->earlier);
	else if (method->records != NULL && course->earlier != NULL)
		result = integ_path_get(method->records, course->earlier);
	integ_call_result(call, result);
}

/* Whether nothing is lost where another attempt begins anew: reads, and writes that the service knows again. */
static bool
may_begin_anew(const IntegCall *call)
{
	return !call->course->submitted && !call->course->written;
}

Jsonb *
integ_course_save(const IntegCall *call, bool all)
{
	const IntegCourse *course = call->course;
	IntegJsonBuilder builder;

	if (course->ended || course->trace.len == 0 || course->earlier == NULL || (!all && may_begin_anew(call)))
		return NULL;
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "next", call->exchange->step);
	integ_json_add_string(&builder, "trace", course->trace.data);
	integ_json_add_bool(&builder, "written", course->written);
	if (course->earlier != NULL)
		integ_json_add_jsonb(&builder, "earlier", course->earlier);
	if (course->deadline != 0)
		integ_json_add_int(&builder, "deadline_ms", timestamptz_to_time_t(course->deadline) * INT64CONST(1000));
	integ_json_add_int(&builder, "polls", course->polls);
	return integ_json_end(&builder);
}

pg_noreturn static void
refuse_progress(const IntegCall *call)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_CONFLICT),
					errmsg("%s cannot go on where its last attempt stopped", integ_call_name(call)),
					errdetail("Its definition has changed meanwhile, and no longer has the step that is next."),
					errhint("Look at the service what was done; integ_call_retry begins anew.")));
}

void
integ_course_resume(IntegCall *call, const Jsonb *progress)
{
	IntegCourse *course = call->course;
	JsonbValue earlier;
	MemoryContext old;
	char *next, *trace;
	const Jsonb *before;
	bool fits;

	if (progress == NULL)
		return;
	next = integ_json_get_string(&progress->root, "next");
	if (course == NULL || next == NULL || !integ_json_get(&progress->root, "earlier", &earlier) ||
		earlier.type != jbvBinary)
		refuse_progress(call);
	old = MemoryContextSwitchTo(course->context);
	trace = integ_json_get_string(&progress->root, "trace");
	resetStringInfo(&course->trace);
	appendStringInfoString(&course->trace, trace == NULL ? "" : trace);
	course->written = integ_json_get_bool(&progress->root, "written", false);
	course->polls = integ_json_get_int(&progress->root, "polls", 0);
	course->deadline = time_t_to_timestamptz(integ_json_get_int(&progress->root, "deadline_ms", 0) / 1000);
	course->ended = false;
	call->outcome.result = NULL;
	before = integ_json_value_jsonb(&earlier);
	fits = call->method->job != NULL ? integ_job_resume(call, next, before) : integ_steps_resume(call, next, before);
	if (!fits)
		refuse_progress(call);
	MemoryContextSwitchTo(old);
}
