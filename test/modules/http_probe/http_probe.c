/*
 * The HTTP layer of integ by itself, callable from SQL.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "http/client.h"
#include "http/decode.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include <sys/resource.h>

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(http_probe_send);
PG_FUNCTION_INFO_V1(http_probe_send_many);
PG_FUNCTION_INFO_V1(http_probe_decode);

static char *
text_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

static Datum
make_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc descriptor;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "a row was expected");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

/* One exchange; an interrupt is raised after it, as the call path does. */
Datum
http_probe_send(PG_FUNCTION_ARGS)
{
	IntegHttpRequest request = {.url = text_argument(fcinfo, 0),
								.method = text_argument(fcinfo, 1),
								.body = text_argument(fcinfo, 2),
								.timeout_ms = PG_GETARG_INT32(3),
								.connect_timeout_ms = PG_GETARG_INT32(3),
								.ca_file = text_argument(fcinfo, 4),
								.allowed_addresses = text_argument(fcinfo, 5),
								.max_response = 64 << 20,
								.max_redirects = 5};
	IntegHttpResponse *response;
	Datum values[6];
	bool nulls[6] = {false};

	request.body_len = request.body != NULL ? strlen(request.body) : 0;
	response = integ_http_send(&request);
	if (response->failure == INTEG_HTTP_CANCELLED)
		elog(LOG, "http_probe: the wait ended, maybe_sent %d", response->maybe_sent);
	CHECK_FOR_INTERRUPTS();
	values[0] = Int32GetDatum(response->failure);
	values[1] = CStringGetTextDatum(response->error);
	values[2] = BoolGetDatum(response->maybe_sent);
	values[3] = Int32GetDatum(response->status);
	nulls[4] = response->body == NULL;
	values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(response->body);
	values[5] = BoolGetDatum(response->reused_connection);
	return make_row(fcinfo, values, nulls);
}

static double
cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* Microseconds an exchange, by the clock and of this process's time, over count of them in a row. */
Datum
http_probe_send_many(PG_FUNCTION_ARGS)
{
	IntegHttpRequest request = {.url = text_argument(fcinfo, 0),
								.method = "GET",
								.timeout_ms = 30000,
								.connect_timeout_ms = 10000,
								.allowed_addresses = "127.0.0.0/8",
								.max_response = 64 << 20,
								.max_redirects = 5};
	int count = PG_GETARG_INT32(1);
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "http_probe", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(scratch);
	instr_time start, end;
	double cpu = cpu_us();
	Datum values[2];
	bool nulls[2] = {false};

	INSTR_TIME_SET_CURRENT(start);
	for (int i = 0; i < count; i++)
	{
		IntegHttpResponse *response = integ_http_send(&request);

		if (response->failure != INTEG_HTTP_OK)
			elog(ERROR, "%s", response->error);
		MemoryContextReset(scratch);
		CHECK_FOR_INTERRUPTS();
	}
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	MemoryContextSwitchTo(before);
	values[0] = Float8GetDatum(INSTR_TIME_GET_DOUBLE(end) * 1e6 / count);
	values[1] = Float8GetDatum((cpu_us() - cpu) / count);
	return make_row(fcinfo, values, nulls);
}

Datum
http_probe_decode(PG_FUNCTION_ARGS)
{
	bytea *body = PG_GETARG_BYTEA_PP(0);
	size_t len = VARSIZE_ANY_EXHDR(body);
	char *copy = palloc(len + 1);
	IntegBodyText text = {0};
	Datum values[3];
	bool nulls[3] = {false};

	memcpy(copy, VARDATA_ANY(body), len);
	copy[len] = '\0';
	values[0] = Int32GetDatum(integ_body_decode(copy, len, text_argument(fcinfo, 1), PG_GETARG_BOOL(2), &text));
	nulls[1] = nulls[2] = values[0] != INTEG_BODY_OK;
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(text.text);
	values[2] = BoolGetDatum(text.replaced);
	return make_row(fcinfo, values, nulls);
}
