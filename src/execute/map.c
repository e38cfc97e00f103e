/*
 * Step: from the service's answer to the method's result.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
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
	if (problems.items[0].path[0] == '\0')
		detail = psprintf("It %s.", problems.items[0].message);
	else
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
	/* Nothing is checked as null is; that nothing has changed is no result. */
	if (result != NULL || !call->unchanged)
		check_output(call, result != NULL ? result : integ_json_null());
}

static bool
is_null(const Jsonb *document)
{
	JsonbValue value;

	integ_json_root(document, &value);
	return value.type == jbvNull;
}

/* The records of the answer; NULL, with the outcome set, where there is no list. */
static const Jsonb *
find_records(IntegCall *call)
{
	const IntegExchange *exchange = call->exchange;
	const Jsonb *found = integ_path_get(exchange->records, call->body);
	bool absent = found == NULL || is_null(found);

	if (absent && exchange->records_optional)
		return integ_json_empty_array();
	/* A jsonpath finds one record as well as many. */
	if (!absent && (!JB_ROOT_IS_SCALAR(found) || integ_path_is_jsonpath(exchange->records)))
		return found;
	call->outcome.sqlerrcode = ERRCODE_INTEG_BAD_ANSWER;
	call->outcome.message = psprintf("the answer to %s has no records", integ_call_name(call));
	call->outcome.detail = psprintf("%s at the path of response.records of method \"%s\".",
									absent ? "Nothing is" : "Neither a list nor a record is", call->method->id);
	call->outcome.hint = "Correct the path in the definition, or say \"recordsOptional\" where the service leaves out an "
						 "empty list.";
	return NULL;
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
		result = find_records(call);
		if (result == NULL)
			return;
	}
	else if (result != NULL && exchange->is_graphql)
		result = integ_graphql_data(result);
	/* Of several, what this one brought is not the method's result yet. */
	if (call->course != NULL)
		call->outcome.result = result;
	else
		integ_call_result(call, result);
}
