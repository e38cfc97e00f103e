/*
 * The SQL functions of conversion.
 */
#include "convert/cache.h"
#include "convert/plan.h"
#include "convert/trace.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(integ_convert);
PG_FUNCTION_INFO_V1(integ_convert_explain);
PG_FUNCTION_INFO_V1(integ_convert_test);

/* A run that a call site keeps, and what it was begun for. */
typedef struct KeptRun
{
	MemoryContext context; /* holds all of it */
	struct varlena *schema;
	struct varlena *task;
	struct varlena *direction;
	IntegActor actor;
	uint64 generation;
	IntegConversionRun *run;
} KeptRun;

static bool
same_bytes(const struct varlena *a, const struct varlena *b)
{
	return VARSIZE_ANY(a) == VARSIZE_ANY(b) && memcmp(a, b, VARSIZE_ANY(a)) == 0;
}

static struct varlena *
copy_bytes(const struct varlena *source)
{
	return memcpy(palloc(VARSIZE_ANY(source)), source, VARSIZE_ANY(source));
}

static bool
same_name(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
is_current(const KeptRun *kept, const IntegActor *actor, const struct varlena *schema, const struct varlena *task,
		   const struct varlena *direction)
{
	return kept->generation == convert_cache_generation() && same_bytes(kept->schema, schema) &&
		   same_bytes(kept->task, task) && same_bytes(kept->direction, direction) && kept->actor.role == actor->role &&
		   kept->actor.level == actor->level && same_name(kept->actor.client, actor->client) &&
		   same_name(kept->actor.user, actor->user);
}

static IntegDirection
parse_direction(const struct varlena *direction)
{
	const char *name = text_to_cstring((const text *) direction);

	if (strcmp(name, "pull") == 0)
		return INTEG_PULL;
	if (strcmp(name, "push") == 0)
		return INTEG_PUSH;
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the direction \"%s\" is unknown", name),
					errhint("Known directions: pull (theirs to ours), push (ours to theirs).")));
}

/* Begins the run that a call names, in CurrentMemoryContext. */
static IntegConversionRun *
begin(const IntegActor *actor, const struct varlena *schema, const Jsonb *task, const struct varlena *direction)
{
	const IntegConversion *conversion = integ_conversion_resolve(actor, text_to_cstring((const text *) schema),
																 parse_direction(direction));

	if (!JB_ROOT_IS_OBJECT(task))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the config of a task must be a JSON object")));
	integ_conversion_require_runnable(conversion);
	return integ_conversion_begin(conversion, task, actor->client);
}

/* The run of a call site: that of the call before, where it asks for the same. */
static IntegConversionRun *
run_of(FunctionCallInfo fcinfo)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "convert records");
	KeptRun *kept = fcinfo->flinfo->fn_extra;
	struct varlena *schema = (struct varlena *) PG_GETARG_TEXT_PP(0);
	Jsonb *task = PG_GETARG_JSONB_P(2);
	struct varlena *direction = (struct varlena *) PG_GETARG_TEXT_PP(3);
	MemoryContext outer;
	uint64 generation;

	if (kept != NULL && is_current(kept, actor, schema, (struct varlena *) task, direction))
		return kept->run;
	fcinfo->flinfo->fn_extra = NULL;
	if (kept != NULL)
		MemoryContextDelete(kept->context);

	/* A child of the current context until it is complete, so that an error frees it. */
	generation = convert_cache_generation();
	outer = MemoryContextSwitchTo(
		AllocSetContextCreate(CurrentMemoryContext, "integ conversion run", ALLOCSET_SMALL_SIZES));
	kept = palloc0(sizeof(KeptRun));
	kept->context = CurrentMemoryContext;
	kept->schema = copy_bytes(schema);
	kept->task = copy_bytes((struct varlena *) task);
	kept->direction = copy_bytes(direction);
	kept->actor = *actor;
	kept->actor.client = pstrdup(actor->client);
	kept->actor.user = actor->user == NULL ? NULL : pstrdup(actor->user);
	kept->generation = generation;
	kept->run = begin(actor, schema, task, direction);
	MemoryContextSetParent(kept->context, fcinfo->flinfo->fn_mcxt);
	fcinfo->flinfo->fn_extra = kept;
	MemoryContextSwitchTo(outer);
	return kept->run;
}

static void
raise_errors(const IntegConversionRun *run, const IntegConverted *converted)
{
	StringInfoData detail;

	initStringInfo(&detail);
	for (int i = 0; i < converted->nerrors; i++)
		appendStringInfo(&detail, "%s%s%s%s", i > 0 ? "\n" : "", converted->errors[i].field,
						 converted->errors[i].field[0] == '\0' ? "" : ": ", converted->errors[i].reason);
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
					errmsg("the record cannot be converted by \"%s\"", run->conversion->schema_id),
					errdetail("%s", detail.data),
					errhint("integ_convert_explain shows each step; integ_convert_test converts a list and goes on after an error.")));
}

/* integ_convert(schema text, record jsonb, task_config jsonb, direction text) → jsonb */
Datum
integ_convert(PG_FUNCTION_ARGS)
{
	IntegConversionRun *run = run_of(fcinfo);
	IntegConverted converted;
	JsonbValue record;
	Jsonb *document;

	integ_json_root(PG_GETARG_JSONB_P(1), &record);
	integ_conversion_apply(run, &record, &converted);
	if (converted.filtered)
		PG_RETURN_NULL();
	document = converted.nerrors > 0 ? NULL : integ_converted_jsonb(run, &converted);
	if (document == NULL)
		raise_errors(run, &converted);
	PG_RETURN_JSONB_P(document);
}

static void
add_errors(IntegJsonBuilder *builder, const char *key, const IntegConverted *converted)
{
	integ_json_open_array(builder, key);
	for (int i = 0; i < converted->nerrors; i++)
	{
		integ_json_open_object(builder, NULL);
		integ_json_add_string(builder, "field", converted->errors[i].field);
		integ_json_add_string(builder, "reason", converted->errors[i].reason);
		integ_json_add_bool(builder, "recoverable", converted->errors[i].recoverable);
		integ_json_close(builder);
	}
	integ_json_close(builder);
}

static void
add_relations(IntegJsonBuilder *builder, const IntegConverted *converted)
{
	integ_json_open_array(builder, "relations");
	for (int i = 0; i < converted->nrelations; i++)
	{
		const IntegRelationValue *relation = &converted->relations[i];

		integ_json_open_object(builder, NULL);
		integ_json_add_string(builder, "relation", relation->relation_type);
		integ_json_add_string(builder, "to",
							  relation->target_type != NULL ? relation->target_type : relation->target_table);
		integ_json_add_string(builder, "by", relation->by_external_id ? "external id" : relation->key_field);
		integ_json_add_string(builder, "key", relation->key);
		integ_json_add_string(builder, "state",
							  relation->key == NULL ? "none" : relation->found ? "found"
																			   : "pending");
		integ_json_close(builder);
	}
	integ_json_close(builder);
}

/* integ_convert_explain(schema text, record jsonb, task_config jsonb, direction text) → jsonb */
Datum
integ_convert_explain(PG_FUNCTION_ARGS)
{
	IntegConversionRun *run = run_of(fcinfo);
	ConvertTrace *trace = convert_trace_begin();
	IntegJsonBuilder *builder;
	IntegConverted converted;
	JsonbValue record;
	Jsonb *document = NULL;

	integ_json_root(PG_GETARG_JSONB_P(1), &record);
	convert_apply(run, &record, &converted, trace);
	builder = convert_trace_end(trace);
	integ_json_add_bool(builder, "filtered", converted.filtered);
	if (!converted.filtered)
	{
		if (converted.nerrors == 0)
			document = integ_converted_jsonb(run, &converted);
		integ_json_add_string(builder, "external_id",
							  converted.external_id_len == 0
								  ? NULL
								  : pnstrdup(converted.external_id, converted.external_id_len));
		add_relations(builder, &converted);
		add_errors(builder, "errors", &converted);
		if (document == NULL)
			integ_json_add_null(builder, "result");
		else
			integ_json_add_jsonb(builder, "result", document);
	}
	PG_RETURN_JSONB_P(integ_json_end(builder));
}

static void
test_record(IntegConversionRun *run, const JsonbValue *record, int number, ReturnSetInfo *result)
{
	IntegConverted converted;
	Jsonb *document = NULL;
	Datum values[5] = {Int32GetDatum(number)};
	bool nulls[5] = {false, false, true, true, true};

	integ_conversion_apply(run, record, &converted);
	if (converted.filtered)
		values[1] = CStringGetTextDatum("filtered");
	else
	{
		if (converted.nerrors == 0)
			document = integ_converted_jsonb(run, &converted);
		values[1] = CStringGetTextDatum(document == NULL ? "failed" : "converted");
		nulls[2] = converted.external_id_len == 0;
		if (!nulls[2])
			values[2] = PointerGetDatum(cstring_to_text_with_len(converted.external_id, converted.external_id_len));
		nulls[3] = document == NULL;
		values[3] = JsonbPGetDatum(document);
		nulls[4] = converted.nerrors == 0;
		if (converted.nerrors > 0)
		{
			IntegJsonBuilder builder;
			JsonbValue errors;

			integ_json_begin_object(&builder);
			add_errors(&builder, "errors", &converted);
			(void) integ_json_get(&integ_json_end(&builder)->root, "errors", &errors);
			values[4] = JsonbPGetDatum(integ_json_value_jsonb(&errors));
		}
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* integ_convert_test(schema text, records jsonb, task_config jsonb, direction text) → table */
Datum
integ_convert_test(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "convert records");
	IntegConversionRun *run = begin(actor, (struct varlena *) PG_GETARG_TEXT_PP(0), PG_GETARG_JSONB_P(2),
									(struct varlena *) PG_GETARG_TEXT_PP(3));
	JsonbValue records, record;
	IntegJsonWalk walk;
	MemoryContext scratch, outer;
	int number = 1;

	InitMaterializedSRF(fcinfo, 0);
	integ_json_root(PG_GETARG_JSONB_P(1), &records);
	scratch = AllocSetContextCreate(CurrentMemoryContext, "integ conversion test", ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(scratch);
	if (!integ_json_is_array(&records))
		test_record(run, &records, 1, (ReturnSetInfo *) fcinfo->resultinfo);
	else
	{
		integ_json_walk_begin(&walk, records.val.binary.data);
		while (integ_json_walk_element(&walk, &record))
		{
			test_record(run, &record, number++, (ReturnSetInfo *) fcinfo->resultinfo);
			MemoryContextReset(scratch);
		}
	}
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(scratch);
	return (Datum) 0;
}
