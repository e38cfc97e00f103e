/*
 * Step: from the service's answer to the method's result.
 */
#include "core/errors.h"
#include "core/json.h"
#include "execute/answers.h"
#include "graphql/graphql.h"

static void
check_output(IntegCall *call, const Jsonb *result)
{
	IntegSchemaProblems problems = {0};
	char *detail;

	if (call->options.validate_output == INTEG_OUTPUT_OFF || call->method->output == NULL ||
		integ_schema_validate(call->method->output, result, &problems))
		return;
	detail = psprintf("\"%s\" %s", problems.items[0].path, problems.items[0].message);
	if (call->options.validate_output == INTEG_OUTPUT_WARN)
	{
		ereport(WARNING, (errcode(ERRCODE_INTEG_BAD_ANSWER),
						  errmsg("the result of %s does not match its outputSchema", integ_call_name(call)),
						  errdetail("%s", detail)));
		return;
	}
	call->outcome.sqlerrcode = ERRCODE_INTEG_BAD_ANSWER;
	call->outcome.message = psprintf("the result of %s does not match its outputSchema", integ_call_name(call));
	call->outcome.detail = detail;
	call->outcome.hint = "Call with options.validate_output \"off\" to get it as it is.";
}

void
integ_call_result(IntegCall *call, const Jsonb *result)
{
	call->outcome.result = result;
	if (result != NULL)
		check_output(call, result);
}

void
integ_call_map(IntegCall *call)
{
	const IntegExchange *exchange = call->exchange;
	const Jsonb *result = call->body;

	if (exchange->partial.items != NULL && !call->unchanged)
	{
		if (integ_call_sort_partial(call))
			check_output(call, call->outcome.result);
		return;
	}
	if (call->unchanged)
		result = call->stored != NULL ? call->stored->result : NULL;
	else if (result != NULL && exchange->map != NULL)
		result = integ_map_eval(exchange->map, result);
	else if (result != NULL && exchange->records != NULL)
	{
		result = integ_path_get(exchange->records, result);
		if (result == NULL && exchange->records_optional)
			result = integ_json_empty_array();
		if (result == NULL)
		{
			call->outcome.sqlerrcode = ERRCODE_INTEG_BAD_ANSWER;
			call->outcome.message = psprintf("the answer to %s has no records", integ_call_name(call));
			call->outcome.detail = psprintf("Nothing is at the path of response.records of method \"%s\".", call->method->id);
			call->outcome.hint = "Correct the path in the definition, or say \"recordsOptional\" where the service leaves out an empty list.";
			return;
		}
	}
	else if (result != NULL && exchange->is_graphql)
		result = integ_graphql_data(result);
	/* Of several, what this one brought is not the method's result yet. */
	if (call->course != NULL)
		call->outcome.result = result;
	else
		integ_call_result(call, result);
}
