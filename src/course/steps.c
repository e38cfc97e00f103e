/*
 * Steps: requests of a method in their order, later ones using what earlier ones brought.
 */
#include "course/course.h"

#include "core/json.h"

/* Whether the step's condition holds, with what is known so far. */
static bool
is_wanted(const IntegCall *call, const IntegMethodStep *step)
{
	const IntegCourse *course = call->course;
	IntegTemplateScope scope = {
		.input = &call->input->root,
		.config = &call->instance->config->root,
		.earlier = course->earlier == NULL ? NULL : &course->earlier->root,
	};

	return step->when == NULL || integ_template_json(step->when, &scope) != NULL;
}

void
integ_steps_begin_at(IntegCall *call, int first)
{
	const IntegMethod *method = call->method;
	IntegCourse *course = call->course;

	for (course->at = first; course->at < method->nsteps; course->at++)
	{
		const IntegMethodStep *step = &method->steps[course->at];

		if (is_wanted(call, step))
		{
			call->exchange = step->exchange;
			return;
		}
		integ_course_note(course, "%s was left out", step->exchange->step);
	}
	integ_course_end(call);
}

/* {"steps": {ID: what it brought}} */
static void
collect(const IntegCall *call)
{
	const IntegMethod *method = call->method;
	IntegCourse *course = call->course;
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_open_object(&builder, "steps");
	for (int i = 0; i < method->nsteps; i++)
		if (course->results[i] != NULL)
			integ_json_add_jsonb(&builder, method->steps[i].exchange->step, course->results[i]);
	integ_json_close(&builder);
	course->earlier = integ_json_end(&builder);
}

void
integ_steps_finish(IntegCall *call)
{
	IntegCourse *course = call->course;

	course->results[course->at] = course->last;
	integ_course_note_success(call);
	collect(call);
	integ_steps_begin_at(call, course->at + 1);
}

bool
integ_steps_resume(IntegCall *call, const char *next, const Jsonb *earlier)
{
	const IntegMethod *method = call->method;
	const JsonbContainer *results = integ_json_get_object(&earlier->root, "steps");
	IntegCourse *course = call->course;

	if (results == NULL)
		return false;
	for (int i = 0; i < method->nsteps; i++)
	{
		JsonbValue result;

		if (strcmp(method->steps[i].exchange->step, next) == 0)
		{
			collect(call);
			course->at = i;
			call->exchange = method->steps[i].exchange;
			return true;
		}
		if (!integ_json_get(results, method->steps[i].exchange->step, &result))
			continue;
		course->results[i] = integ_json_value_jsonb(&result);
		course->last = course->results[i];
	}
	return false;
}
