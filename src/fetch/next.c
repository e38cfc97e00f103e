/*
 * What an answer says of the next page: where it is, or that there is none.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "fetch/pages_private.h"
#include "http/link.h"
#include "http/url.h"

/* Anything but false, null, an empty string and an empty list or object. */
static bool
is_something(const Jsonb *value)
{
	JsonbValue scalar;

	if (value == NULL)
		return false;
	if (!JB_ROOT_IS_SCALAR(value))
		return JB_ROOT_COUNT(value) > 0;
	integ_json_root(value, &scalar);
	switch (scalar.type)
	{
		case jbvNull:
			return false;
		case jbvBool:
			return scalar.val.boolean;
		case jbvString:
			return scalar.val.string.len > 0;
		default:
			return true;
	}
}

static bool
holds(IntegPath *path, const Jsonb *body)
{
	return is_something(integ_path_get(path, body));
}

/* The whole number at a path, or in a text there; -1 where there is none. */
static int64
number_at(const IntegPath *path, const Jsonb *body)
{
	const Jsonb *found = path != NULL ? integ_path_get(path, body) : NULL;
	JsonbValue value;
	char *text, *end;
	int64 number;

	if (found == NULL || !JB_ROOT_IS_SCALAR(found))
		return -1;
	integ_json_root(found, &value);
	text = integ_json_value_text(&value);
	if (text == NULL)
		return -1;
	errno = 0;
	number = strtoll(text, &end, 10);
	return end == text || *end != '\0' || errno != 0 ? -1 : number;
}

/* Whether what the answer says of the whole list means that this was its last page. */
static bool
is_last(const IntegPages *pages, const Jsonb *records)
{
	const IntegPagination *pagination = pages->pagination;
	const Jsonb *body = pages->call->body;
	IntegPageStyle style = pagination->style;
	int64 count = JB_ROOT_COUNT(records);
	int64 total, total_pages;

	if (body == NULL)
		return true;
	if (pagination->end != NULL && holds(pagination->end, body))
		return true;
	if (pagination->more != NULL && !holds(pagination->more, body))
		return true;
	if (pagination->short_page && pages->asked > 0 && count < pages->asked)
		return true;
	total = number_at(pagination->total, body);
	if (total >= 0 && style == INTEG_PAGE_OFFSET && pages->position.number - pagination->start + count >= total)
		return true;
	/*
	 * Pages that were skipped are not counted: then the list ends with its first empty page. Where the service itself
	 * says whether there is a next page the count decides nothing: it is wrong where a page came twice.
	 */
	if (total >= 0 && (style == INTEG_PAGE_NUMBER || style == INTEG_PAGE_LAST_ID) && pages->nrecords + count >= total)
		return true;
	total_pages = number_at(pagination->total_pages, body);
	return total_pages >= 0 && style == INTEG_PAGE_NUMBER &&
		   pages->position.number - pagination->start + 1 >= total_pages;
}

static const Jsonb *
from_last_record(const IntegPages *pages, const Jsonb *records)
{
	const IntegPagination *pagination = pages->pagination;
	int count = JB_ROOT_COUNT(records);
	JsonbValue record, found;

	if (count == 0)
		return NULL;
	integ_json_walk_at(&records->root, count - 1, &record);
	if (pagination->next_path != NULL)
		return integ_path_find(pagination->next_path, &record, &found) ? integ_json_value_jsonb(&found) : NULL;
	if (record.type != jbvBinary || !integ_json_get(record.val.binary.data, pagination->next, &found))
		return NULL;
	return integ_json_value_jsonb(&found);
}

/* The value of the next page, as the service gave it; NULL where there is none. */
static const Jsonb *
find_value(const IntegPages *pages, const Jsonb *records)
{
	const IntegPagination *pagination = pages->pagination;
	const char *header;

	switch (pagination->from)
	{
		case INTEG_PAGE_FROM_HEADER:
			header = integ_http_response_header(pages->call->response, pagination->next);
			return header != NULL ? integ_json_string(header, strlen(header)) : NULL;
		case INTEG_PAGE_FROM_LAST_RECORD:
			return from_last_record(pages, records);
		default:
			return integ_path_get(pagination->next_path, pages->call->body);
	}
}

/* The target of the Link header with the pagination's relation, NULL where there is none. */
static const char *
find_link(const IntegPages *pages)
{
	const IntegHttpResponse *response = pages->call->response;
	const char *target;
	size_t len;

	for (int i = 0; i < response->nheaders; i++)
		if (strcmp(response->headers[i].name, "link") == 0 &&
			integ_link_find(response->headers[i].value, pages->pagination->rel, &target, &len))
			return pnstrdup(target, len);
	return NULL;
}

static void
refuse_url(const IntegCall *call, int sqlerrcode, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(sqlerrcode), errmsg("the next page of %s cannot be asked for", integ_call_name(call)),
					errdetail("%s", detail), hint != NULL ? errhint("%s", hint) : 0));
}

void
integ_pages_require_origin(const IntegCall *call, const char *url)
{
	char problem[256];
	char *origin = integ_url_origin(url, problem, sizeof(problem));
	char *copy;

	if (origin == NULL)
		refuse_url(call, ERRCODE_INTEG_BAD_ANSWER, psprintf("The service names no usable URL for it: %s", problem),
				   "If the pagination's \"next\" names something else, correct it in the definition.");
	copy = pstrdup(origin);
	free(origin);
	if (strcmp(copy, call->origin) != 0)
		refuse_url(call, ERRCODE_INTEG_FORBIDDEN,
				   psprintf("It is at %s, while the instance is at %s.", copy, call->origin),
				   "Credentials belong to one origin, so pages elsewhere are not followed.");
}

/* An absolute or relative URL against the one of this page. */
static const char *
resolve(const IntegCall *call, const char *reference)
{
	char problem[256];
	char *target = integ_url_resolve(call->request.url, reference, problem, sizeof(problem));
	char *copy, *masked;

	if (target == NULL)
		refuse_url(call, ERRCODE_INTEG_BAD_ANSWER, psprintf("The service names no usable URL for it: %s", problem),
				   "If the pagination's \"next\" names something else, correct it in the definition.");
	copy = pstrdup(target);
	explicit_bzero(target, strlen(target));
	free(target);
	/* A relative one has inherited this page's path. */
	masked = pstrdup(copy);
	integ_call_mask_text(call, masked, strlen(masked));
	if (strcmp(masked, copy) != 0)
	{
		explicit_bzero(copy, strlen(copy));
		refuse_url(call, ERRCODE_INTEG_BAD_ANSWER, "Its URL would carry a credential, which a page's state must not.",
				   "Let the definition send the credential in a header, or page by a cursor.");
	}
	return copy;
}

static bool
find_url(const IntegPages *pages, const Jsonb *records, IntegPagePosition *position)
{
	const char *reference = NULL;

	if (pages->pagination->style == INTEG_PAGE_LINK)
		reference = find_link(pages);
	else
	{
		const Jsonb *value = find_value(pages, records);
		JsonbValue scalar;

		if (!is_something(value))
			return false;
		integ_json_root(value, &scalar);
		if (scalar.type != jbvString)
			refuse_url(pages->call, ERRCODE_INTEG_BAD_ANSWER, "What the answer gives as its URL is no text.", NULL);
		reference = pnstrdup(scalar.val.string.val, scalar.val.string.len);
	}
	if (reference == NULL || reference[0] == '\0')
		return false;
	position->url = resolve(pages->call, reference);
	return true;
}

bool
integ_pages_find_next(IntegPages *pages, const Jsonb *records, IntegPagePosition *position)
{
	int64 count = JB_ROOT_COUNT(records);

	memset(position, 0, sizeof(*position));
	position->set = true;
	if (is_last(pages, records))
		return false;
	position->carried = integ_pages_carry(pages);
	switch (pages->pagination->style)
	{
		case INTEG_PAGE_NONE:
			return false;
		case INTEG_PAGE_NUMBER:
			position->number = pages->position.number + 1;
			return count > 0;
		case INTEG_PAGE_OFFSET:
			position->number = pages->position.number + count;
			return count > 0;
		case INTEG_PAGE_LINK:
		case INTEG_PAGE_NEXT_URL:
			return find_url(pages, records, position);
		default:
			position->cursor = find_value(pages, records);
			return is_something(position->cursor);
	}
}

int64
integ_pages_find_total(const IntegPages *pages)
{
	return pages->call->body == NULL ? -1 : number_at(pages->pagination->total, pages->call->body);
}

const char *
integ_pages_find_delta(const IntegPages *pages)
{
	const Jsonb *found = NULL;
	JsonbValue scalar;

	if (pages->pagination->delta != NULL && pages->call->body != NULL)
		found = integ_path_get(pages->pagination->delta, pages->call->body);
	if (!is_something(found) || !JB_ROOT_IS_SCALAR(found))
		return NULL;
	integ_json_root(found, &scalar);
	return integ_json_value_text(&scalar);
}
