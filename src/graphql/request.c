/*
 * From an exchange to the body of a GraphQL request, and from an answer to its data.
 */
#include "graphql/graphql.h"

#include "core/json.h"

const Jsonb *
integ_graphql_body(const IntegCall *call)
{
	const IntegExchange *exchange = call->exchange;
	const Jsonb *variables = call->input;
	IntegJsonBuilder builder;

	if (exchange->graphql_variables != NULL)
		variables = integ_template_json(exchange->graphql_variables, &call->scope);
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "query", exchange->graphql_document);
	integ_json_add_known(&builder, "operationName", exchange->graphql_operation);
	if (variables != NULL)
		integ_json_add_jsonb(&builder, "variables", variables);
	return integ_json_end(&builder);
}

const Jsonb *
integ_graphql_data(const Jsonb *body)
{
	JsonbValue data;

	if (!JB_ROOT_IS_OBJECT(body) || !integ_json_get(&body->root, "data", &data) || data.type == jbvNull)
		return NULL;
	return integ_json_value_jsonb(&data);
}
