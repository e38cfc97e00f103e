/*
 * integ_fetch: the records of a list, a page at a time, while they are read.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/options.h"
#include "fetch/pages.h"
#include "fetch/stream.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(integ_fetch_records);

typedef struct Fetch
{
	IntegPages *pages;	 /* NULL where the answer is a stream */
	IntegStream *stream; /* … and then this is not */
	int64 records_left;	 /* -1: no limit */
	bool whole_pages;	 /* a row is a page */
	const IntegPage *page;
	IntegJsonWalk walk; /* over its records */
} Fetch;

typedef struct FetchOptions
{
	IntegCallOptions call;
	IntegPagesOptions pages;
	int64 max_records;
	bool records;
} FetchOptions;

static void
require_positive(int64 value, const char *name)
{
	if (value <= 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("option \"%s\" of integ_fetch must be positive", name)));
}

static void
parse_options(const Jsonb *options, FetchOptions *parsed)
{
	int64 page_size = PG_INT64_MAX, max_pages = PG_INT64_MAX;
	char *delta;
	Jsonb *state;
	const IntegOption own[] = {
		{"page_size", INTEG_OPTION_INT, &page_size},
		{"max_pages", INTEG_OPTION_INT, &max_pages},
		{"max_records", INTEG_OPTION_INT, &parsed->max_records},
		{"records", INTEG_OPTION_BOOL, &parsed->records},
		{"delta", INTEG_OPTION_TEXT, &delta},
		{"state", INTEG_OPTION_OBJECT, &state},
	};

	memset(parsed, 0, sizeof(*parsed));
	parsed->records = true;
	parsed->max_records = PG_INT64_MAX;
	integ_call_options_parse(options, own, lengthof(own), "integ_fetch", &parsed->call);
	require_positive(page_size, "page_size");
	require_positive(max_pages, "max_pages");
	require_positive(parsed->max_records, "max_records");
	parsed->pages.page_size = page_size == PG_INT64_MAX ? 0 : page_size;
	parsed->pages.max_pages = max_pages == PG_INT64_MAX ? 0 : max_pages;
	parsed->pages.delta = delta;
	parsed->pages.state = state;
	if (!parsed->records && parsed->max_records != PG_INT64_MAX)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("option \"max_records\" of integ_fetch counts records, not the pages of \"records\": false"),
						errhint("Use \"max_pages\".")));
}

/* A stream has no pages. */
static void
open_stream(Fetch *fetch, IntegCall *call, const FetchOptions *options)
{
	if (options->pages.page_size != 0 || options->pages.max_pages != 0 || options->pages.delta != NULL ||
		options->pages.state != NULL || !options->records)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s is a stream, which has no pages", integ_call_name(call)),
						errhint("Of the options max_records and timeout apply.")));
	integ_pages_require_read(call);
	fetch->stream = integ_stream_open(call);
}

static Fetch *
begin(FunctionCallInfo fcinfo)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "call methods");
	Fetch *fetch = palloc0(sizeof(Fetch));
	FetchOptions options;
	IntegCall *call;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_fetch needs an instance and a method"),
						errhint("SELECT * FROM integ_fetch('instance', 'method', '{\"input\": …}').")));
	parse_options(PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P_COPY(3), &options);
	fetch->records_left = options.max_records;
	fetch->whole_pages = !options.records;
	call = integ_call_begin(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)),
							PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P_COPY(2), &options.call);
	integ_call_open(call);
	if (call->method->stream == INTEG_STREAM_NONE)
		fetch->pages = integ_pages_open(call, &options.pages);
	else
		open_stream(fetch, call, &options);
	return fetch;
}

/* Asks for the next page; false behind the last. */
static bool
turn(Fetch *fetch)
{
	fetch->page = integ_pages_next(fetch->pages);
	if (fetch->page == NULL)
		return false;
	if (fetch->page->cut_short)
		ereport(WARNING, (errmsg("integ_fetch ends after %lld pages, although the list goes on",
								 (long long) fetch->page->number),
						  errdetail("The definition's pagination.maxPages says so."),
						  errhint("Fetch less at a time with the method's input.")));
	integ_json_walk_begin(&fetch->walk, &fetch->page->records->root);
	return true;
}

static Jsonb *
page_document(const IntegPage *page)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_int(&builder, "page", page->number);
	integ_json_add_jsonb(&builder, "records", page->records);
	if (page->state != NULL)
		integ_json_add_jsonb(&builder, "state", page->state);
	integ_json_add_known(&builder, "delta", page->delta);
	return integ_json_end(&builder);
}

static Jsonb *
next_event(Fetch *fetch)
{
	const Jsonb *event = integ_stream_next(fetch->stream);

	if (event == NULL)
		return NULL;
	fetch->records_left--;
	return memcpy(palloc(VARSIZE(event)), event, VARSIZE(event));
}

/* The next row, in CurrentMemoryContext; NULL behind the last. */
static Jsonb *
next_row(Fetch *fetch)
{
	JsonbValue record;

	if (fetch->whole_pages)
		return turn(fetch) ? page_document(fetch->page) : NULL;
	if (fetch->records_left == 0)
		return NULL;
	if (fetch->stream != NULL)
		return next_event(fetch);
	while (fetch->page == NULL || !integ_json_walk_element(&fetch->walk, &record))
		if (!turn(fetch))
			return NULL;
	fetch->records_left--;
	return integ_json_value_jsonb(&record);
}

Datum
integ_fetch_records(PG_FUNCTION_ARGS)
{
	FuncCallContext *function;
	Jsonb *row;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		function = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(function->multi_call_memory_ctx);
		function->user_fctx = begin(fcinfo);
		MemoryContextSwitchTo(old);
	}
	function = SRF_PERCALL_SETUP();
	row = next_row(function->user_fctx);
	if (row == NULL)
		SRF_RETURN_DONE(function);
	SRF_RETURN_NEXT(function, JsonbPGetDatum(row));
}
