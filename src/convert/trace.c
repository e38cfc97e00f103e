/*
 * What integ_convert_explain tells: each field's steps, in the order they were taken.
 */
#include "convert/trace.h"

#include "core/json.h"

struct ConvertTrace
{
	IntegJsonBuilder builder; /* {"fields": […]}, open until it is finished */
	bool in_field;
};

ConvertTrace *
convert_trace_begin(void)
{
	ConvertTrace *trace = palloc0(sizeof(ConvertTrace));

	integ_json_begin_object(&trace->builder);
	integ_json_open_array(&trace->builder, "fields");
	return trace;
}

static const char *const states[] = {
	[INTEG_FIELD_MISSING] = "missing",
	[INTEG_FIELD_NULL] = "null",
	[INTEG_FIELD_VALUE] = "value",
	[INTEG_FIELD_FAILED] = "failed",
};

static void
add_value(ConvertTrace *trace, const ConvertValue *value)
{
	ConvertValue copy = *value;

	integ_json_add_string(&trace->builder, "state", states[value->state]);
	if (copy.state != INTEG_FIELD_VALUE)
		return;
	if (copy.json.type == jbvDatetime)
		convert_to_text(&copy);
	integ_json_add(&trace->builder, "value", &copy.json);
}

void
convert_tell_field(ConvertTrace *trace, const char *field, const char *kind)
{
	integ_json_open_object(&trace->builder, NULL);
	integ_json_add_string(&trace->builder, "field", field);
	integ_json_add_string(&trace->builder, "mapping", kind);
	integ_json_open_array(&trace->builder, "steps");
	trace->in_field = true;
}

static void
add_step(ConvertTrace *trace, const char *what, const char *name, const ConvertValue *value)
{
	if (!trace->in_field)
		return;
	integ_json_open_object(&trace->builder, NULL);
	integ_json_add_string(&trace->builder, what, name);
	add_value(trace, value);
	integ_json_close(&trace->builder);
}

void
convert_tell_read(ConvertTrace *trace, const char *path, const ConvertValue *value)
{
	add_step(trace, "read", path, value);
}

void
convert_tell_step(ConvertTrace *trace, const char *step, const ConvertValue *value)
{
	add_step(trace, "step", step, value);
}

void
convert_tell_result(ConvertTrace *trace, const ConvertValue *value)
{
	if (!trace->in_field)
		return;
	integ_json_close(&trace->builder);
	add_value(trace, value);
	integ_json_close(&trace->builder);
	trace->in_field = false;
}

IntegJsonBuilder *
convert_trace_end(ConvertTrace *trace)
{
	Assert(!trace->in_field);
	integ_json_close(&trace->builder);
	return &trace->builder;
}
