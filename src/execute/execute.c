/*
 * integ_execute: one synchronous call.
 */
#include "core/errors.h"
#include "core/options.h"
#include "execute/call.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_execute);

static IntegOutputCheck
parse_output_check(const char *value)
{
	if (value == NULL || strcmp(value, "off") == 0)
		return INTEG_OUTPUT_OFF;
	if (strcmp(value, "warn") == 0)
		return INTEG_OUTPUT_WARN;
	if (strcmp(value, "error") == 0)
		return INTEG_OUTPUT_ERROR;
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
					errmsg("option \"validate_output\" of integ_execute must be \"off\", \"warn\" or \"error\"")));
}

static void
parse_options(const Jsonb *options, IntegCallOptions *parsed)
{
	char *validate_output;
	const IntegOption known[] = {
		{"timeout", INTEG_OPTION_DURATION_MS, &parsed->timeout_ms},
		{"max_wait", INTEG_OPTION_DURATION_MS, &parsed->max_wait_ms},
		{"validate_output", INTEG_OPTION_TEXT, &validate_output},
	};

	memset(parsed, 0, sizeof(*parsed));
	parsed->timeout_ms = PG_INT64_MIN;
	integ_options_parse(options, known, lengthof(known), "integ_execute");
	parsed->validate_output = parse_output_check(validate_output);
	if (parsed->timeout_ms == PG_INT64_MIN)
		parsed->timeout_ms = 0;
	else if (parsed->timeout_ms <= 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"timeout\" of integ_execute must be positive")));
	if (parsed->max_wait_ms < 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"max_wait\" of integ_execute must not be negative")));
}

Datum
integ_execute(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "call methods");
	MemoryContext caller = CurrentMemoryContext;
	IntegCallOptions options;
	IntegCall *call;
	Jsonb *result = NULL;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("integ_execute needs an instance and a method"),
						errhint("SELECT integ_execute('instance', 'method', '{\"input\": …}').")));
	parse_options(PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3), &options);

	call = integ_call_begin(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)),
							PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2), &options);
	integ_call_run(call);
	integ_call_raise(call);
	if (call->outcome.result != NULL)
	{
		result = MemoryContextAlloc(caller, VARSIZE(call->outcome.result));
		memcpy(result, call->outcome.result, VARSIZE(call->outcome.result));
	}
	integ_call_end(call);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(result);
}
