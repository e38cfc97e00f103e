/*
 * Jobs: one request starts something that takes its time, one asks how far it
 * is until it has ended, and one fetches what it brought.
 *
 * Asking and fetching change nothing at the service, whatever their HTTP
 * method: they are repeated freely. What starts the job is a write where the method is one.
 */
#include "course/course.h"

#include "core/errors.h"
#include "core/guc.h"
#include "core/json.h"
#include "limits/headers.h"
#include "utils/timestamp.h"

const IntegExchange *
integ_job_exchange(const IntegMethodJob *job, int phase)
{
	switch (phase)
	{
		case INTEG_JOB_SUBMIT:
			return job->submit;
		case INTEG_JOB_POLL:
			return job->poll;
		default:
			return job->download;
	}
}

void
integ_job_begin_at(IntegCall *call, int phase)
{
	call->course->at = phase;
	call->exchange = integ_job_exchange(call->method->job, phase);
}

/* {"job": {"id": …, "submit": …, "status": …, "download": …}}: what this exchange brought, under its name. */
static void
collect(const IntegCall *call)
{
	static const char *const names[] = {
		[INTEG_JOB_SUBMIT] = "submit", [INTEG_JOB_POLL] = "status", [INTEG_JOB_DOWNLOAD] = "download"};
	IntegCourse *course = call->course;
	const JsonbContainer *before =
		course->earlier == NULL ? NULL : integ_json_get_object(&course->earlier->root, "job");
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_open_object(&builder, "job");
	if (course->job_id != NULL)
		integ_json_add_jsonb(&builder, "id", course->job_id);
	for (int i = INTEG_JOB_SUBMIT; i <= INTEG_JOB_DOWNLOAD; i++)
	{
		JsonbValue kept;

		if (i == course->at)
		{
			if (course->last != NULL)
				integ_json_add_jsonb(&builder, names[i], course->last);
		}
		else if (before != NULL && integ_json_get(before, names[i], &kept))
			integ_json_add(&builder, names[i], &kept);
	}
	integ_json_close(&builder);
	course->earlier = integ_json_end(&builder);
}

/* The job's id as a person reads it. */
static char *
id_text(const IntegCourse *course)
{
	JsonbValue scalar;

	if (course->job_id == NULL)
		return pstrdup("(without an id)");
	if (JB_ROOT_IS_SCALAR(course->job_id) && JsonbExtractScalar((JsonbContainer *) &course->job_id->root, &scalar))
		return integ_json_value_text(&scalar);
	return integ_json_print(course->job_id);
}

/* How long the whole job may take: a caller that waits in its transaction does so no longer than the setting allows. */
static int64
limit_ms(const IntegCall *call)
{
	int64 limit = call->method->job->limit_ms;

	if (call->options.asynchronous)
		return limit;
	if (call->options.timeout_ms > 0)
		limit = Min(limit, call->options.timeout_ms);
	return Min(limit, integ_max_sync_wait);
}

/*
 * Before it is asked for again: as long as the manifest says, or longer where the answer wants that (RFC 9110, section
 * 10.2.3), though not so long that it would not be asked for once more in its time.
 */
static int64
pause_us(const IntegCall *call)
{
	int64 pause = call->method->job->interval_ms * INT64CONST(1000), wanted;
	const char *value = integ_http_response_header(call->response, "retry-after");
	TimestampTz now = GetCurrentTimestamp();

	if (value != NULL &&
		integ_limit_time(value, INTEG_TIME_AUTO, timestamptz_to_time_t(now) * INT64CONST(1000000), &wanted))
		pause = Max(pause, Min(wanted, call->course->deadline - now));
	return pause;
}

/* What a header says the id is; of a URL or path below the base URL the part behind it: "/{+job.id}" asks for it. */
static const Jsonb *
id_of_header(const IntegCall *call, const char *name)
{
	const char *value = integ_http_response_header(call->response, name);
	const char *base = call->base_url, *path;
	size_t origin = strlen(call->origin), len = strlen(base);

	if (value == NULL || value[0] == '\0')
		return NULL;
	while (len > 0 && base[len - 1] == '/')
		len--;
	path = len > origin ? base + origin : "";
	if (strncmp(value, base, len) == 0 && value[len] == '/')
		value += len;
	else if (len > origin && strncmp(value, path, len - origin) == 0 && value[len - origin] == '/')
		value += len - origin;
	while (*value == '/')
		value++;
	return *value == '\0' ? NULL : integ_json_string(value, strlen(value));
}

static const Jsonb *
find_id(const IntegCall *call)
{
	const IntegMethodJob *job = call->method->job;

	if (job->id_header != NULL)
		return id_of_header(call, job->id_header);
	return job->id != NULL && call->body != NULL ? integ_path_get(job->id, call->body) : NULL;
}

static void
submitted(IntegCall *call)
{
	const IntegMethodJob *job = call->method->job;
	IntegCourse *course = call->course;
	TimestampTz now = GetCurrentTimestamp();
	JsonbValue scalar;

	course->submitted = true;
	course->job_id = find_id(call);
	if (course->job_id != NULL && JB_ROOT_IS_SCALAR(course->job_id) &&
		JsonbExtractScalar((JsonbContainer *) &course->job_id->root, &scalar) && scalar.type == jbvNull)
		course->job_id = NULL;
	if ((job->id != NULL || job->id_header != NULL) && course->job_id == NULL)
	{
		integ_course_fail(call, ERRCODE_INTEG_BAD_ANSWER,
						  psprintf("the answer to %s has no id of a job", integ_call_name(call)),
						  pstrdup("The job may have been started, and cannot be asked for."),
						  pstrdup("Correct \"id\" of the job in the definition."));
		return;
	}
	collect(call);
	integ_course_note(course, "job %s was submitted", id_text(course));
	course->deadline = now + limit_ms(call) * INT64CONST(1000);
	course->due = now + pause_us(call);
	integ_job_begin_at(call, INTEG_JOB_POLL);
}

static void
fail_job(IntegCall *call)
{
	const IntegMethodJob *job = call->method->job;
	const Jsonb *reason = job->message != NULL ? integ_path_get(job->message, call->body) : NULL;
	char *text = NULL;
	JsonbValue scalar;

	if (reason != NULL && JB_ROOT_IS_SCALAR(reason) &&
		JsonbExtractScalar((JsonbContainer *) &reason->root, &scalar))
		text = integ_json_value_text(&scalar);
	integ_course_fail(call, ERRCODE_INTEG_REFUSED,
					  psprintf("the job of %s.%s failed%s%s", call->instance->instance_id, call->method_id,
							   text != NULL ? ": " : "", text != NULL ? text : ""),
					  psprintf("The service says so of job %s.", id_text(call->course)), NULL);
}

static void
ask_again(IntegCall *call)
{
	IntegCourse *course = call->course;

	course->due = GetCurrentTimestamp() + pause_us(call);
	if (course->due <= course->deadline)
		return;
	integ_course_fail(call, ERRCODE_INTEG_UNREACHABLE,
					  psprintf("the job of %s.%s did not end in time", call->instance->instance_id, call->method_id),
					  psprintf("Job %s was asked for %lld times and still runs at the service.", id_text(course),
							   (long long) course->polls),
					  pstrdup(call->options.asynchronous
								  ? "The job's poll.timeoutMs in the definition says how long it may take."
								  : "Use integ_enqueue: it may take longer than integ.max_sync_wait there."));
}

/* Where the result is; false where the answer does not say. */
static bool
find_download(IntegCall *call)
{
	const IntegMethodJob *job = call->method->job;
	const Jsonb *url = integ_path_get(job->download_url, call->body);
	JsonbValue scalar;

	if (url != NULL && JB_ROOT_IS_SCALAR(url) && JsonbExtractScalar((JsonbContainer *) &url->root, &scalar) &&
		scalar.type == jbvString)
	{
		call->course->download_url = pnstrdup(scalar.val.string.val, scalar.val.string.len);
		return true;
	}
	integ_course_fail(call, ERRCODE_INTEG_BAD_ANSWER,
					  psprintf("the answer to %s does not say where the result is", integ_call_name(call)),
					  psprintf("Job %s has ended, and no URL is where the definition expects it.", id_text(call->course)),
					  pstrdup("Correct \"url\" of the job's download in the definition."));
	return false;
}

static void
asked(IntegCall *call)
{
	const IntegMethodJob *job = call->method->job;
	IntegCourse *course = call->course;

	course->polls++;
	if (call->body == NULL || JB_ROOT_IS_SCALAR(call->body))
	{
		integ_course_fail(call, ERRCODE_INTEG_BAD_ANSWER,
						  psprintf("the answer to %s says nothing of the job", integ_call_name(call)),
						  psprintf("It is neither an object nor a list; job %s may still run.", id_text(course)),
						  pstrdup("The service, or a proxy before it, sent something else than its definition promises."));
		return;
	}
	collect(call);
	if (job->failed != NULL && integ_path_exists(job->failed, call->body))
		fail_job(call);
	else if (!integ_path_exists(job->done, call->body))
		ask_again(call);
	else if (job->download_url != NULL && !find_download(call))
		return;
	else if (job->download != NULL)
	{
		integ_course_note(course, "it ended after it was asked for %lld times", (long long) course->polls);
		integ_job_begin_at(call, INTEG_JOB_DOWNLOAD);
	}
	else
		integ_course_end(call);
}

void
integ_job_finish(IntegCall *call)
{
	switch (call->course->at)
	{
		case INTEG_JOB_SUBMIT:
			submitted(call);
			break;
		case INTEG_JOB_POLL:
			asked(call);
			break;
		default:
			collect(call);
			integ_course_end(call);
	}
	if (call->outcome.sqlerrcode != 0)
		call->outcome.detail = integ_course_explain(call, call->outcome.detail);
}

bool
integ_job_resume(IntegCall *call, const char *next, const Jsonb *earlier)
{
	const IntegMethodJob *job = call->method->job;
	const JsonbContainer *known = integ_json_get_object(&earlier->root, "job");
	IntegCourse *course = call->course;
	JsonbValue id;

	if (known == NULL)
		return false;
	course->submitted = true;
	course->job_id = integ_json_get(known, "id", &id) ? integ_json_value_jsonb(&id) : NULL;
	course->earlier = earlier;
	for (int phase = INTEG_JOB_POLL; phase <= INTEG_JOB_DOWNLOAD; phase++)
	{
		const IntegExchange *exchange = integ_job_exchange(job, phase);

		if (exchange == NULL || strcmp(exchange->step, next) != 0)
			continue;
		/* Where it is was not kept; asking says it again. */
		integ_job_begin_at(call, exchange->is_elsewhere ? INTEG_JOB_POLL : phase);
		return true;
	}
	return false;
}
