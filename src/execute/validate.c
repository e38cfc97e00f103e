/*
 * Step: fill the input's defaults and check it.
 */
#include "core/errors.h"
#include "core/json.h"
#include "execute/call.h"
#include "utils/fmgrprotos.h"

/* The defaults of the method in the instance's config, below what the caller gave. */
static const Jsonb *
fill_from_config(const IntegCall *call)
{
	const JsonbContainer *defaults = integ_json_get_object(&call->instance->config->root, "defaults");
	JsonbValue own;

	if (defaults == NULL || !integ_json_get(defaults, call->method->id, &own) || own.type != jbvBinary)
		return call->input;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(integ_json_value_jsonb(&own)),
											  JsonbPGetDatum(call->input)));
}

void
integ_call_validate(IntegCall *call)
{
	if (!JB_ROOT_IS_OBJECT(call->input))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the input of %s must be a JSON object", integ_call_name(call))));
	call->input = fill_from_config(call);
	if (call->method->input == NULL)
		return;
	call->input = integ_schema_fill(call->method->input, call->input);
	if (!integ_schema_validate(call->method->input, call->input, NULL))
		integ_schema_require(call->method->input, call->input,
							 psprintf("input of %s", integ_call_name(call)));
}
