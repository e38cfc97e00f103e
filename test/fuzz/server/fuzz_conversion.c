/*
 * libFuzzer inside a server: conversion as a whole, coverage guided.
 *
 * An input is a schema's mappings, relations and filters, a record, and a task's
 * config: JSON texts with a NUL between them. What is no schema is refused with
 * IG400 or 22…; what is one converts, the same each time, to a document that is
 * what its text says. Nothing else may happen. SQL of an owner is left out,
 * since it is not the evaluator's.
 */
#include "fuzz.h"

#include "convert/inverse.h"
#include "convert/plan.h"
#include "convert/trace.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fuzz_conversion);

enum
{
	PART_MAPPINGS,
	PART_RELATIONS,
	PART_FILTERS,
	PART_RECORD,
	PART_TASK,
	PARTS
};

/* The parts of an input; false where they are not all there. */
static bool
split(const char *data, size_t size, const char **parts)
{
	const char *at = data, *end = data + size;

	for (int i = 0; i < PARTS; i++)
	{
		const char *stop = i == PARTS - 1 ? end : memchr(at, '\0', end - at);

		if (stop == NULL)
			return false;
		parts[i] = pnstrdup(at, stop - at);
		if (strlen(parts[i]) != stop - at)
			return false;
		at = stop + 1;
	}
	return true;
}

/* Two documents are one, also by their text. */
static void
compare(const Jsonb *first, const Jsonb *second)
{
	need((first == NULL) == (second == NULL), "a record converts the same twice");
	if (first == NULL)
		return;
	need(compareJsonbContainers((JsonbContainer *) &first->root, (JsonbContainer *) &second->root) == 0,
		 "a record becomes the same twice");
	second = integ_json_parse(integ_json_print(first));
	need(compareJsonbContainers((JsonbContainer *) &first->root, (JsonbContainer *) &second->root) == 0,
		 "what it becomes is what its text says");
}

static Jsonb *
apply(IntegConversionRun *run, const JsonbValue *record, ConvertTrace *trace)
{
	IntegConverted converted;

	convert_apply(run, record, &converted, trace);
	need(converted.nerrors >= 0 && converted.nerrors <= INTEG_CONVERT_MAX_ERRORS, "errors are bounded");
	if (converted.filtered || converted.nerrors > 0)
		return NULL;
	for (int i = 0; i < run->conversion->nfields; i++)
		need(converted.states[i] != INTEG_FIELD_FAILED, "a field that fails has an error");
	return integ_converted_jsonb(run, &converted);
}

static void
convert(const ConvertSource *source, IntegDirection direction, const JsonbValue *record, const Jsonb *task)
{
	IntegConversion *conversion = palloc0(sizeof(IntegConversion));
	IntegConversionRun *run;
	ConvertTrace *trace = convert_trace_begin();

	conversion->client_id = "*";
	convert_compile(conversion, source, direction, false);
	if (conversion->runs_code)
		return;
	run = integ_conversion_begin(conversion, task, "*");
	compare(apply(run, record, NULL), apply(run, record, trace));
	need(integ_json_end(convert_trace_end(trace)) != NULL, "the trace is complete");
}

static void
convert_input(const char *data, size_t size)
{
	const char *parts[PARTS];
	JsonbValue record;
	Jsonb *task;
	ConvertSource source = {.schema_id = "fuzz", .target_type = "fuzz", .client_id = "*"};

	if (!split(data, size, parts))
		return;
	source.mappings = integ_json_parse(parts[PART_MAPPINGS]);
	source.relationships = integ_json_parse(parts[PART_RELATIONS]);
	source.filters = integ_json_parse(parts[PART_FILTERS]);
	source.deduplication = integ_json_parse("{\"strategy\": \"external_id\", \"externalIdField\": \"id\"}");
	integ_json_root(integ_json_parse(parts[PART_RECORD]), &record);
	task = integ_json_parse(parts[PART_TASK]);
	if (!JB_ROOT_IS_OBJECT(task))
		return;
	convert(&source, INTEG_PULL, &record, task);
	source.mappings = convert_inverse(source.mappings, integ_json_empty_array(), false);
	convert(&source, INTEG_PUSH, &record, task);
}

/* fuzz_conversion(arguments text) */
Datum
fuzz_conversion(PG_FUNCTION_ARGS)
{
	fuzz_run(text_to_cstring(PG_GETARG_TEXT_PP(0)), "fuzz_conversion", convert_input);
	PG_RETURN_VOID();
}
