/*
 * A run, and a record's way through it: filters, fields, relations, checks.
 */
#include "convert/plan.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/text.h"
#include "miscadmin.h"
#include "utils/memutils.h"

IntegConversionRun *
integ_conversion_begin(const IntegConversion *conversion, const Jsonb *task, const char *client)
{
	IntegConversionRun *run = palloc0(sizeof(IntegConversionRun));
	const ConvertPlan *plan = conversion->plan;
	ListCell *cell;

	run->conversion = conversion;
	run->plan = plan;
	run->context = CurrentMemoryContext;
	run->client = pstrdup(strcmp(conversion->client_id, INTEG_GLOBAL_CLIENT) == 0 ? client : conversion->client_id);
	run->task_document =
		task == NULL ? integ_json_empty_object() : (Jsonb *) PG_DETOAST_DATUM_COPY(PointerGetDatum(task));
	integ_json_root(run->task_document, &run->task_root);
	run->operands = palloc0(Max(plan->nconstants, 1) * sizeof(ConvertOperand));
	for (int i = 0; i < plan->nconstants; i++)
	{
		convert_constant_value(&plan->constants[i], &run->task_root, &run->operands[i].value);
		convert_operand(&run->operands[i]);
	}
	foreach (cell, plan->sqls)
		convert_sql_prepare(lfirst(cell));
	return run;
}

static void
note(ConvertEval *eval, const char *field, const char *reason, bool recoverable)
{
	if (eval->out->nerrors < INTEG_CONVERT_MAX_ERRORS)
		eval->out->errors[eval->out->nerrors++] = (IntegFieldError){field, reason, recoverable};
}

void
convert_fail(ConvertEval *eval, ConvertValue *value, bool recoverable, const char *format, ...)
{
	char *reason;
	va_list args;

	va_start(args, format);
	reason = integ_text_va(format, args);
	va_end(args);
	value->state = INTEG_FIELD_FAILED;
	note(eval, eval->field, reason, recoverable);
}

static bool
is_filtered(ConvertEval *eval)
{
	for (int i = 0; i < eval->plan->nfilters; i++)
	{
		ConvertValue value;

		convert_read(eval, &eval->plan->filters[i].path, eval->record, &value);
		if (!convert_holds(eval, &eval->plan->filters[i], &value))
			return true;
	}
	return false;
}

static void
require(ConvertEval *eval, ConvertValue *value)
{
	if (value->state == INTEG_FIELD_MISSING || value->state == INTEG_FIELD_NULL ||
		(convert_is_text(value) && value->json.val.string.len == 0))
		convert_fail(eval, value, false, "the field is required and the record has %s for it",
					 value->state == INTEG_FIELD_VALUE ? "an empty text" : convert_quote(value));
}

static void
apply_field(ConvertEval *eval, int index, ConvertValue *value)
{
	const ConvertField *field = &eval->plan->fields[index];

	eval->field = field->target;
	if (eval->trace != NULL)
		convert_tell_field(eval->trace, field->target, convert_kind_name(field->kind));
	convert_map(eval, index, value);
	if (field->required && value->state != INTEG_FIELD_FAILED)
		require(eval, value);
	if (field->nchecks > 0 && value->state == INTEG_FIELD_VALUE)
		convert_check(eval, field, value);
	if (OidIsValid(field->column.type) && value->state != INTEG_FIELD_FAILED)
		convert_fit(eval, field, value);
	convert_trace_result(eval->trace, value);
}

static void
apply_relation(ConvertEval *eval, int index)
{
	const ConvertRelation *relation = &eval->plan->relations[index];
	IntegRelationValue *found = &eval->out->relations[index];
	ConvertValue value = {.state = INTEG_FIELD_MISSING};

	eval->field = relation->target == NULL ? relation->relation_type : relation->target;
	if (eval->trace != NULL)
		convert_tell_field(eval->trace, eval->field, "relation");
	*found = (IntegRelationValue){.relation_type = relation->relation_type,
								  .field = relation->target,
								  .target_type = relation->record_type,
								  .target_table = relation->lookup.table,
								  .target_relation = relation->lookup.relation,
								  .by_external_id = relation->by_external_id,
								  .key_field = relation->by_external_id ? NULL : relation->lookup.key_field,
								  .value_field = relation->lookup.value_field};
	convert_relate(eval, relation, found, &value);
	if (relation->required && value.state != INTEG_FIELD_FAILED && !found->found)
		convert_fail(eval, &value, found->key != NULL, "the relation is required and %s",
					 found->key == NULL ? "the record names nothing for it"
										: psprintf("\"%s\" has not arrived", found->key));
	found->value = value.json;
	if (value.state != INTEG_FIELD_VALUE)
		found->value.type = jbvNull;
	if (relation->field >= 0)
	{
		eval->out->states[relation->field] = value.state;
		eval->out->values[relation->field] = value.json;
	}
	convert_trace_result(eval->trace, &value);
}

/* What the record has for an external id, or a text of length 0. */
static void
find_external_id(ConvertEval *eval, const char **id, int *len)
{
	ConvertValue value;

	convert_read(eval, &eval->plan->external_id, eval->record, &value);
	*len = 0;
	if (value.state != INTEG_FIELD_VALUE || (value.json.type != jbvString && value.json.type != jbvNumeric))
		return;
	convert_to_text(&value);
	*id = value.json.val.string.val;
	*len = value.json.val.string.len;
}

bool
integ_conversion_external_id(IntegConversionRun *run, const JsonbValue *record, const char **id, int *len)
{
	IntegConverted out = {0};
	ConvertEval eval = {.run = run, .plan = run->plan, .record = record, .out = &out, .field = ""};

	if (!run->plan->has_external_id || !integ_json_is_object(record))
		return false;
	find_external_id(&eval, id, len);
	return *len > 0 && *len <= INTEG_CONVERT_MAX_ID;
}

bool
integ_conversion_has_external_id(const IntegConversion *conversion)
{
	return conversion->plan->has_external_id;
}

int
integ_conversion_mappings(const IntegConversion *conversion)
{
	return conversion->plan->nfields;
}

static void
read_external_id(ConvertEval *eval)
{
	if (!eval->plan->has_external_id)
		return;
	eval->field = "";
	find_external_id(eval, &eval->out->external_id, &eval->out->external_id_len);
	if (eval->out->external_id_len == 0)
		note(eval, "", psprintf("the record has no external id in \"%s\"", eval->plan->external_id.source), false);
	else if (eval->out->external_id_len > INTEG_CONVERT_MAX_ID)
		note(eval, "",
			 psprintf("the external id in \"%s\" is longer than %d bytes", eval->plan->external_id.source,
					  INTEG_CONVERT_MAX_ID),
			 false);
}

/* What the record type's JSON Schema says of the whole. */
static void
check_type(ConvertEval *eval)
{
	IntegSchemaProblems *problems;
	Jsonb *document;

	if (eval->plan->record_schema == NULL || eval->out->nerrors > 0)
		return;
	document = eval->out->document = integ_converted_jsonb(eval->run, eval->out);
	if (document == NULL)
	{
		note(eval, "", "the record becomes too large", false);
		return;
	}
	if (integ_schema_validate(eval->plan->record_schema, document, NULL))
		return;
	problems = palloc0(sizeof(IntegSchemaProblems));
	(void) integ_schema_validate(eval->plan->record_schema, document, problems);
	for (int i = 0; i < problems->count; i++)
	{
		const char *path = problems->items[i].path;

		note(eval, path[0] == '/' ? path + 1 : path,
			 psprintf("the record type \"%s\" says: %s", eval->run->conversion->target_type,
					  problems->items[i].message),
			 false);
	}
}

void
convert_apply(IntegConversionRun *run, const JsonbValue *record, IntegConverted *out, ConvertTrace *trace)
{
	ConvertEval eval = {.run = run, .plan = run->plan, .record = record, .out = out, .field = "", .trace = trace};
	int nfields = run->conversion->nfields;

	CHECK_FOR_INTERRUPTS();
	out->filtered = false;
	out->nerrors = 0;
	out->external_id = NULL;
	out->external_id_len = 0;
	out->document = NULL;
	out->nrelations = 0;
	if (!integ_json_is_object(record))
	{
		out->states = palloc0(Max(nfields, 1) * sizeof(IntegFieldState));
		note(&eval, "", "the record is no object", false);
		return;
	}
	if (is_filtered(&eval) && out->nerrors == 0)
	{
		out->filtered = true;
		return;
	}
	out->values = palloc(Max(nfields, 1) * (sizeof(JsonbValue) + sizeof(IntegFieldState)));
	out->states = (IntegFieldState *) (out->values + nfields);
	for (int i = 0; i < run->plan->nfields; i++)
	{
		ConvertValue value;

		apply_field(&eval, i, &value);
		out->states[i] = value.state;
		out->values[i] = value.json;
	}
	out->nrelations = run->plan->nrelations;
	out->relations = out->nrelations == 0 ? NULL : palloc(out->nrelations * sizeof(IntegRelationValue));
	for (int i = 0; i < out->nrelations; i++)
		apply_relation(&eval, i);
	read_external_id(&eval);
	check_type(&eval);
}

void
integ_conversion_apply(IntegConversionRun *run, const JsonbValue *record, IntegConverted *converted)
{
	convert_apply(run, record, converted, NULL);
}
