/*
 * integ_execute: one synchronous call.
 */
#include "core/errors.h"
#include "core/options.h"
#include "execute/call.h"
#include "execute/download.h"
#include "execute/tell.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_execute);

/* The options of every function that calls a method, and the most that one may have with them. */
#define COMMON_OPTIONS 3
#define MAX_OPTIONS 16

static IntegOutputCheck
parse_output_check(const char *value, const char *function)
{
	if (value == NULL || strcmp(value, "off") == 0)
		return INTEG_OUTPUT_OFF;
	if (strcmp(value, "warn") == 0)
		return INTEG_OUTPUT_WARN;
	if (strcmp(value, "error") == 0)
		return INTEG_OUTPUT_ERROR;
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
					errmsg("option \"validate_output\" of %s must be \"off\", \"warn\" or \"error\"", function)));
}

void
integ_call_options_parse(const Jsonb *options, const IntegOption *own, int nown, const char *function,
						 IntegCallOptions *parsed)
{
	char *validate_output;
	IntegOption known[MAX_OPTIONS] = {
		{"timeout", INTEG_OPTION_DURATION_MS, &parsed->timeout_ms},
		{"max_wait", INTEG_OPTION_DURATION_MS, &parsed->max_wait_ms},
		{"validate_output", INTEG_OPTION_TEXT, &validate_output},
	};

	Assert(nown <= MAX_OPTIONS - COMMON_OPTIONS);
	if (nown > 0)
		memcpy(known + COMMON_OPTIONS, own, nown * sizeof(IntegOption));
	memset(parsed, 0, sizeof(*parsed));
	parsed->timeout_ms = PG_INT64_MIN;
	integ_options_parse(options, known, COMMON_OPTIONS + nown, function);
	parsed->validate_output = parse_output_check(validate_output, function);
	if (parsed->timeout_ms == PG_INT64_MIN)
		parsed->timeout_ms = 0;
	else if (parsed->timeout_ms <= 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("option \"timeout\" of %s must be positive", function)));
	if (parsed->max_wait_ms < 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("option \"max_wait\" of %s must not be negative", function)));
}

static void
require_known_target(const char *into)
{
	if (into == NULL)
		return;
	if (strcmp(into, "large_object") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("option \"into\" of integ_execute must be \"large_object\"")));
	PreventCommandIfReadOnly("integ_execute into a large object");
}

static void
require_known_fallback(const char *fallback, const char *into)
{
	if (fallback == NULL)
		return;
	if (strcmp(fallback, "stale") != 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("option \"fallback\" of integ_execute must be \"stale\"")));
	if (into != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("integ_execute keeps no answers that go into a large object"),
						errhint("Leave out the option \"fallback\".")));
}

static const Jsonb *
carry_out(IntegCall *call)
{
	integ_call_carry_out(call);
	integ_call_consult(call);
	integ_call_raise(call);
	return call->outcome.result;
}

Datum
integ_execute(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "call methods");
	IntegCallOptions options;
	IntegCall *call;
	const Jsonb *result;
	Jsonb *copy = NULL;
	char *into = NULL;
	char *fallback = NULL;
	const IntegOption own[] = {{"into", INTEG_OPTION_TEXT, &into}, {"fallback", INTEG_OPTION_TEXT, &fallback}};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("integ_execute needs an instance and a method"),
						errhint("SELECT integ_execute('instance', 'method', '{\"input\": …}').")));
	integ_call_options_parse(PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3), own, lengthof(own), "integ_execute", &options);
	require_known_target(into);
	require_known_fallback(fallback, into);
	options.fallback_stale = fallback != NULL;

	call = integ_call_begin(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)),
							PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2), &options);
	integ_call_open(call);
	result = integ_call_carry_out_telling(call, into != NULL ? integ_download : carry_out);
	if (result != NULL)
	{
		copy = palloc(VARSIZE(result));
		memcpy(copy, result, VARSIZE(result));
	}
	integ_call_end(call);
	if (copy == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(copy);
}
