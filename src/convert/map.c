/*
 * The mapping types.
 */
#include "convert/plan.h"

void
convert_run_steps(ConvertEval *eval, const ConvertSteps *steps, ConvertValue *value)
{
	for (int i = 0; i < steps->count && value->state != INTEG_FIELD_FAILED; i++)
	{
		const ConvertStep *step = &steps->steps[i];

		/* What is missing or null stays so. */
		if (value->state == INTEG_FIELD_VALUE || step->type->takes_null)
			step->type->apply(eval, step, value);
		convert_trace_step(eval->trace, step->type->name, value);
	}
}

static void
read_path(ConvertEval *eval, const ConvertPath *path, ConvertValue *value)
{
	convert_read(eval, path, eval->record, value);
	convert_trace_read(eval->trace, path->source, value);
}

static void
constant(ConvertEval *eval, int slot, ConvertValue *value)
{
	if (slot < 0)
		value->state = INTEG_FIELD_MISSING;
	else
		*value = eval->run->operands[slot].value;
}

static void
map_conditional(ConvertEval *eval, const ConvertField *field, ConvertValue *value)
{
	int read_as = -1;
	ConvertValue read;

	for (int i = 0; i < field->nrules; i++)
	{
		const ConvertRule *rule = &field->rules[i];

		/* Conditions on one field, one after the other, read it once. */
		if (read_as < 0 || rule->condition.shares != read_as)
		{
			read_path(eval, &rule->condition.path, &read);
			read_as = rule->condition.shares;
		}
		if (read.state == INTEG_FIELD_FAILED)
		{
			*value = read;
			return;
		}
		if (!convert_holds(eval, &rule->condition, &read))
			continue;
		if (rule->constant >= 0)
			constant(eval, rule->constant, value);
		else
		{
			read_path(eval, &rule->path, value);
			convert_run_steps(eval, &rule->steps, value);
		}
		return;
	}
	constant(eval, field->constant, value);
}

void
convert_map(ConvertEval *eval, int index, ConvertValue *value)
{
	const ConvertField *field = &eval->plan->fields[index];

	switch (field->kind)
	{
		case CONVERT_DIRECT:
		case CONVERT_FLATTEN:
			read_path(eval, &field->path, value);
			break;
		case CONVERT_TRANSFORM:
			read_path(eval, &field->path, value);
			convert_run_steps(eval, &field->steps, value);
			break;
		case CONVERT_CONDITIONAL:
			map_conditional(eval, field, value);
			break;
		case CONVERT_DEFAULT:
			constant(eval, field->constant, value);
			break;
		case CONVERT_COMPOSITE:
			if (field->has_template)
				convert_compose(eval, &field->text, value);
			else
				convert_join(eval, field, value);
			break;
		case CONVERT_LOOKUP:
			read_path(eval, &field->path, value);
			convert_lookup(eval, field, value);
			break;
	}
	if (value->state == INTEG_FIELD_VALUE && value->json.type == jbvDatetime)
		convert_to_text(value);
}
