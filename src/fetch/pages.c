/*
 * The pages of a list, one after the other.
 */
#include "fetch/pages.h"

#include "common/hashfn.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "fetch/pages_private.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* Pages without a record in a row after which a list that says that it goes on is not believed. */
#define MOST_EMPTY 100

/* The same page in a row: once more may be chance in a list without ids. */
#define MOST_SAME 3

/* Of a page's records, as much from the beginning and the end makes its fingerprint. */
#define FINGERPRINT_BYTES 4096

/* --- stored positions --- */

const Jsonb *
integ_pages_state(const IntegPages *pages)
{
	const IntegPagePosition *position = &pages->position;
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "style", integ_page_style_name(pages->pagination->style));
	if (position->url != NULL)
		integ_json_add_string(&builder, "url", position->url);
	else if (position->cursor != NULL)
		integ_json_add_jsonb(&builder, "cursor", position->cursor);
	else
		integ_json_add_int(&builder, "number", position->number);
	if (position->carried != NULL)
		integ_json_add_jsonb(&builder, "carried", position->carried);
	integ_json_add_int(&builder, "pages", pages->npages);
	integ_json_add_int(&builder, "records", pages->nrecords);
	return integ_json_end(&builder);
}

bool
integ_pages_restore(IntegPages *pages, const Jsonb *state)
{
	IntegPagePosition *position = &pages->position;
	const char *style = integ_json_get_string(&state->root, "style");
	JsonbValue cursor, carried;

	if (style == NULL || strcmp(style, integ_page_style_name(pages->pagination->style)) != 0)
		return false;
	position->set = true;
	position->url = integ_json_get_string(&state->root, "url");
	if (integ_json_get(&state->root, "cursor", &cursor))
		position->cursor = integ_json_value_jsonb(&cursor);
	if (integ_json_get(&state->root, "carried", &carried) && integ_json_is_object(&carried))
		position->carried = integ_json_value_jsonb(&carried);
	position->number = integ_json_get_int(&state->root, "number", -1);
	pages->npages = integ_json_get_int(&state->root, "pages", 0);
	pages->nrecords = integ_json_get_int(&state->root, "records", 0);
	switch (pages->pagination->style)
	{
		case INTEG_PAGE_NONE:
			return false;
		case INTEG_PAGE_NUMBER:
		case INTEG_PAGE_OFFSET:
			return position->number >= 0;
		case INTEG_PAGE_LINK:
		case INTEG_PAGE_NEXT_URL:
			return position->url != NULL;
		default:
			return position->cursor != NULL;
	}
}

/* --- opening --- */

static void
refuse(const IntegCall *call, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
					errmsg("the pages of %s cannot be fetched like that", integ_call_name(call)),
					errdetail("%s", detail), hint != NULL ? errhint("%s", hint) : 0));
}

static void
check_size(const IntegPages *pages)
{
	const IntegPagination *pagination = pages->pagination;
	int64 size = pages->options.page_size;

	if (size == 0)
		return;
	if (pagination->page_size_param == NULL && !pagination->names_size)
		refuse(pages->call, "Its pagination has no pageSizeParam, so nothing can ask for a page size.",
			   "Leave the option \"page_size\" out, or use the method's input.");
	if (pagination->max_page_size > 0 && size > pagination->max_page_size)
		refuse(pages->call,
			   psprintf("The option \"page_size\" is %lld; the service gives at most %lld records a page.", (long long) size,
						(long long) pagination->max_page_size),
			   NULL);
}

static void
begin_with_delta(IntegPages *pages)
{
	const IntegPagination *pagination = pages->pagination;

	if (pages->options.delta == NULL)
		return;
	if (pagination->delta == NULL || (pagination->delta_param == NULL && pagination->delta_in != INTEG_PAGE_IN_URL))
		refuse(pages->call, "Its pagination does not say which parameter takes a delta token.",
			   "Give the token in the method's input, or complete pagination.delta in the definition.");
	if (pagination->delta_in != INTEG_PAGE_IN_URL)
		return;
	pages->position.set = true;
	pages->position.url = pages->options.delta;
}

static IntegPages *
make(IntegCall *call, const IntegPagesOptions *options)
{
	MemoryContext context = AllocSetContextCreate(call->context, "integ pages", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	IntegPages *pages = palloc0(sizeof(IntegPages));

	pages->context = context;
	pages->call = call;
	pages->input = call->input;
	pages->options = *options;
	if (options->delta != NULL)
		pages->options.delta = pstrdup(options->delta);
	pages->pagination = integ_pagination_compile(call->method);
	pages->page_context = AllocSetContextCreate(context, "integ page", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < lengthof(pages->position_contexts); i++)
		pages->position_contexts[i] = AllocSetContextCreate(context, "integ position", ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(pages->position_contexts[0]);
	if (options->state != NULL && !integ_pages_restore(pages, options->state))
		refuse(call,
			   psprintf("The state is not one of pages of style \"%s\".",
						integ_page_style_name(pages->pagination->style)),
			   "A state is what an earlier page of the same method gave.");
	MemoryContextSwitchTo(old);
	return pages;
}

void
integ_pages_require_read(const IntegCall *call)
{
	if (call->method->is_write)
		refuse(call, "The method writes, and what is fetched may be asked for more than once.",
			   "Call it with integ_execute or integ_execute_many.");
}

IntegPages *
integ_pages_open(IntegCall *call, const IntegPagesOptions *options)
{
	IntegPages *pages;

	integ_pages_require_read(call);
	pages = make(call, options);
	check_size(pages);
	begin_with_delta(pages);
	return pages;
}

/* --- a page --- */

/* The input that a path of further pages is rendered with: {cursor} stands for where they are. */
static const Jsonb *
input_with_cursor(const IntegPages *pages)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_jsonb(&builder, "cursor", pages->position.cursor);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(pages->input),
											  JsonbPGetDatum(integ_json_end(&builder))));
}

/* Points the call to the page of the position; false behind the last one. */
static bool
turn(IntegPages *pages)
{
	IntegCall *call = pages->call;
	MemoryContext old;

	if (pages->finished)
		return false;
	integ_call_rewind(call);
	MemoryContextReset(pages->page_context);
	call->amend = integ_pages_turn;
	call->amend_arg = pages;
	call->input = pages->input;
	old = MemoryContextSwitchTo(pages->page_context);
	call->page = integ_pages_named(pages);
	MemoryContextSwitchTo(old);
	call->asked_after = false;
	if (call->course == NULL)
		call->exchange = call->method->exchange;
	if (pages->position.set && pages->position.url == NULL && pages->pagination->further != NULL)
	{
		call->exchange = pages->pagination->further;
		old = MemoryContextSwitchTo(pages->page_context);
		if (pages->position.cursor != NULL)
			call->input = input_with_cursor(pages);
		MemoryContextSwitchTo(old);
	}
	return true;
}

/* What a call gave as a list: an array as it is, anything else as its only record, nothing as none. */
static const Jsonb *
as_records(const Jsonb *result)
{
	JsonbParseState *state = NULL;
	JsonbValue root;

	if (result == NULL)
		return integ_json_empty_array();
	if (JB_ROOT_IS_ARRAY(result) && !JB_ROOT_IS_SCALAR(result))
		return memcpy(palloc(VARSIZE(result)), result, VARSIZE(result));
	integ_json_root(result, &root);
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	pushJsonbValue(&state, WJB_ELEM, &root);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static void
distrust(const IntegPages *pages, const char *what, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_BAD_ANSWER), errmsg("the pages of %s %s", integ_call_name(pages->call), what),
					errdetail("%s", detail),
					errhint("The service, or the pagination in the definition, is wrong.")));
}

static uint64
hash_text(const void *text, int len, uint64 seed)
{
	return DatumGetUInt64(hash_any_extended(text, len, seed));
}

/* A counted list whose parameter the service ignores gives its first page for ever. */
static void
check_progress(IntegPages *pages, const Jsonb *records)
{
	int size = VARSIZE(records), part = Min(size, FINGERPRINT_BYTES);
	uint64 fingerprint = hash_text(records, part, hash_text((const char *) records + size - part, part, size));

	if (JB_ROOT_COUNT(records) > 0)
		pages->nempty = 0;
	else if (++pages->nempty >= MOST_EMPTY)
		distrust(pages, "do not end",
				 psprintf("The last %d pages had no records, and still the service names a next one.", pages->nempty));
	if (pages->pagination->style != INTEG_PAGE_NUMBER && pages->pagination->style != INTEG_PAGE_OFFSET)
		return;
	pages->nsame = JB_ROOT_COUNT(records) > 0 && fingerprint == pages->fingerprint ? pages->nsame + 1 : 1;
	pages->fingerprint = fingerprint;
	if (pages->nsame >= MOST_SAME)
		distrust(pages, "are all the same",
				 psprintf("The last %d pages had the same records: the service seems to ignore the parameter \"%s\".",
						  pages->nsame, pages->pagination->param));
}

/* Raises where the list goes in a circle: the next page is one that was asked for already. */
static void
check_circle(IntegPages *pages, const IntegPagePosition *next)
{
	uint64 hash;

	if (next->url != NULL)
		hash = hash_text(next->url, strlen(next->url), 1);
	else if (next->cursor != NULL)
		hash = hash_text(next->cursor, VARSIZE(next->cursor), 2);
	else
		return;
	if (pages->mark_page > 0 && hash == pages->mark)
		distrust(pages, "go in a circle",
				 psprintf("Page %lld names as its next one the same as page %lld.", (long long) pages->npages,
						  (long long) pages->mark_page));
	if (pages->npages < pages->mark_until)
		return;
	pages->mark = hash;
	pages->mark_page = pages->npages;
	pages->mark_until = Max(pages->npages + 1, pages->mark_until * 2);
}

/* Moves the position to the next page, in the context that the present one is not in; false where there is none. */
static bool
advance(IntegPages *pages, const Jsonb *records)
{
	int other = 1 - pages->position_context;
	MemoryContext old = MemoryContextSwitchTo(pages->position_contexts[other]);
	IntegPagePosition next;
	bool more = integ_pages_find_next(pages, records, &next);

	pages->npages++;
	pages->nrecords += JB_ROOT_COUNT(records);
	if (more)
	{
		check_circle(pages, &next);
		pages->position = next;
		pages->position_context = other;
		MemoryContextReset(pages->position_contexts[1 - other]);
	}
	MemoryContextSwitchTo(old);
	return more;
}

static bool
reached(int64 count, int64 limit)
{
	return limit > 0 && count >= limit;
}

const IntegPage *
integ_pages_receive(IntegPages *pages)
{
	MemoryContext old = MemoryContextSwitchTo(pages->page_context);
	IntegPage *page = &pages->page;
	bool more;

	integ_call_raise(pages->call);
	memset(page, 0, sizeof(*page));
	page->records = as_records(pages->call->outcome.result);
	check_progress(pages, page->records);
	more = advance(pages, page->records);
	page->number = pages->npages;
	page->total = integ_pages_find_total(pages);
	if (more)
		page->state = integ_pages_state(pages);
	else
		page->delta = integ_pages_find_delta(pages);
	page->cut_short = more && reached(pages->npages, pages->pagination->max_pages);
	pages->finished = !more || page->cut_short || reached(pages->npages, pages->options.max_pages);
	/* The answer and the secrets of its request do not wait for the next one. */
	integ_call_rewind_often(pages->call);
	MemoryContextSwitchTo(old);
	return page;
}

const IntegPage *
integ_pages_next(IntegPages *pages)
{
	if (!turn(pages))
		return NULL;
	integ_call_carry_out(pages->call);
	integ_call_consult(pages->call);
	return integ_pages_receive(pages);
}

bool
integ_pages_build(IntegPages *pages)
{
	if (!turn(pages))
		return false;
	if (pages->call->method->exchange == NULL)
		refuse(pages->call, "The method has several requests, and a list that a worker reads is one of pages.",
			   "Read it with a method of one request.");
	integ_call_build(pages->call);
	return true;
}

void
integ_pages_send(IntegPages *pages)
{
	integ_call_send(pages->call);
}

const IntegPage *
integ_pages_take(IntegPages *pages)
{
	integ_call_finish(pages->call);
	integ_call_consult(pages->call);
	return integ_pages_receive(pages);
}
