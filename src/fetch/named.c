/*
 * Pages that requests name themselves, {pagination.offset} in a query text, and what travels from one to the next.
 */
#include "core/json.h"
#include "core/json_walk.h"
#include "fetch/pages_private.h"
#include "utils/numeric.h"

int64
integ_pages_size(const IntegPages *pages)
{
	return pages->options.page_size != 0 ? pages->options.page_size : pages->pagination->page_size;
}

/* The place of the position; false where it has none that could be named: the first page of a cursor, a URL. */
static bool
find_place(const IntegPages *pages, JsonbValue *place)
{
	const IntegPagination *pagination = pages->pagination;
	const IntegPagePosition *position = &pages->position;

	if (pagination->style == INTEG_PAGE_NUMBER || pagination->style == INTEG_PAGE_OFFSET)
	{
		place->type = jbvNumeric;
		place->val.numeric = int64_to_numeric(position->set ? position->number : pagination->start);
		return true;
	}
	if (position->cursor == NULL)
		return false;
	integ_json_root(position->cursor, place);
	return true;
}

const Jsonb *
integ_pages_named(const IntegPages *pages)
{
	const Jsonb *carried = pages->position.carried;
	const char *word = pages->pagination->word;
	JsonbValue place;

	if (!pages->pagination->is_named)
		return NULL;
	return integ_pagination_values(word, word != NULL && find_place(pages, &place) ? &place : NULL,
								   word != NULL ? integ_pages_size(pages) : 0, carried == NULL ? NULL : &carried->root);
}

/* What the answer has of it; NULL for nothing. */
static const Jsonb *
find_carried(const IntegPages *pages, const IntegPageCarry *carry)
{
	const char *header;

	if (carry->path != NULL)
		return pages->call->body == NULL ? NULL : integ_path_get(carry->path, pages->call->body);
	header = integ_http_response_header(pages->call->response, carry->header);
	return header == NULL ? NULL : integ_json_string(header, strlen(header));
}

const Jsonb *
integ_pages_carry(const IntegPages *pages)
{
	const IntegPagination *pagination = pages->pagination;
	const Jsonb *before = pages->position.carried;
	IntegJsonBuilder builder;

	if (pagination->ncarry == 0)
		return NULL;
	integ_json_begin_object(&builder);
	for (int i = 0; i < pagination->ncarry; i++)
	{
		const char *name = pagination->carry[i].name;
		const Jsonb *found = find_carried(pages, &pagination->carry[i]);
		JsonbValue value;

		if (found != NULL)
			integ_json_root(found, &value);
		if (found != NULL && value.type != jbvNull)
			integ_json_add_jsonb(&builder, name, found);
		else if (before != NULL && integ_json_get(&before->root, name, &value))
			integ_json_add(&builder, name, &value);
	}
	return integ_json_end(&builder);
}
