/*
 * What a page's request has besides the method's own: the parameter of its style, the page size, or another URL.
 */
#include "core/errors.h"
#include "core/json.h"
#include "fetch/pages_private.h"
#include "http/url.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

static char *
encode(const char *text)
{
	char *encoded = integ_url_encode(text, strlen(text));
	char *copy;

	if (encoded == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	copy = pstrdup(encoded);
	free(encoded);
	return copy;
}

/* The value of a parameter in an encoded query, still encoded; NULL where it is absent. */
static char *
find_pair(const char *query, const char *name)
{
	char *encoded = encode(name);
	size_t len = strlen(encoded);

	for (const char *pair = query; pair != NULL && *pair != '\0';)
	{
		size_t pair_len = strcspn(pair, "&");

		if (pair_len > len && strncmp(pair, encoded, len) == 0 && pair[len] == '=')
			return pnstrdup(pair + len + 1, pair_len - len - 1);
		pair += pair_len + (pair[pair_len] == '&');
	}
	return NULL;
}

/* The query without the parameter, which may be spelled encoded or plain. */
static char *
drop_pair(const char *query, const char *name)
{
	char *encoded = encode(name);
	char *kept = palloc(strlen(query) + 1), *end = kept;

	for (const char *pair = query; *pair != '\0';)
	{
		size_t len = strcspn(pair, "&"), name_len = strcspn(pair, "=&");

		if (!((name_len == strlen(encoded) && strncmp(pair, encoded, name_len) == 0) ||
			  (name_len == strlen(name) && strncmp(pair, name, name_len) == 0)))
		{
			if (end > kept)
				*end++ = '&';
			memcpy(end, pair, len);
			end += len;
		}
		pair += len + (pair[len] == '&');
	}
	*end = '\0';
	return kept;
}

static void
set_query(IntegCall *call, const char *name, const char *value)
{
	if (call->query != NULL)
	{
		call->query = drop_pair(call->query, name);
		if (call->query[0] == '\0')
			call->query = NULL;
		else if (call->secrets != NULL)
			integ_call_wipe_later(call, call->query, strlen(call->query));
	}
	integ_call_add_query(call, psprintf("%s=%s", encode(name), encode(value)));
}

/* The object with the value at a dotted name; objects on the way that are missing are made. */
static const Jsonb *
with_member(const Jsonb *object, const char *name, const JsonbValue *value)
{
	size_t len = strcspn(name, ".");
	char *key = pnstrdup(name, len);
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	if (name[len] == '\0')
		integ_json_add(&builder, key, value);
	else
	{
		const Jsonb *inner = integ_json_empty_object();
		JsonbValue child;

		if (integ_json_get(&object->root, key, &child) && child.type == jbvBinary)
			inner = integ_json_value_jsonb(&child);
		if (!JB_ROOT_IS_OBJECT(inner))
			inner = integ_json_empty_object();
		integ_json_add_jsonb(&builder, key, with_member(inner, name + len + 1, value));
	}
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(object),
											  JsonbPGetDatum(integ_json_end(&builder))));
}

static const char *
value_text(const JsonbValue *value)
{
	const char *text = integ_json_value_text(value);

	return text != NULL ? text : "";
}

/* The value at a dotted name of the body, false where there is none. */
static bool
find_member(const Jsonb *body, const char *name, JsonbValue *value)
{
	const JsonbContainer *object = &body->root;

	for (;;)
	{
		size_t len = strcspn(name, ".");

		if (!integ_json_get(object, pnstrdup(name, len), value))
			return false;
		if (name[len] == '\0')
			return true;
		if (value->type != jbvBinary)
			return false;
		object = value->val.binary.data;
		name += len + 1;
	}
}

/* Where a parameter is in the body: GraphQL's are variables. */
static char *
body_name(const IntegCall *call, const char *name)
{
	return call->exchange->is_graphql ? psprintf("variables.%s", name) : pstrdup(name);
}

static const Jsonb *
body_document(const IntegCall *call)
{
	const Jsonb *body = call->document != NULL ? call->document : integ_json_empty_object();

	if (!JB_ROOT_IS_OBJECT(body) || call->request.body != NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the request body of %s cannot take the page's parameter", integ_call_name(call)),
						errdetail("It is no object."), errhint("Correct the method's pagination.")));
	return body;
}

static void
set_body(IntegCall *call, const char *name, const JsonbValue *value)
{
	bool form = call->exchange->body_encoding == INTEG_SEND_FORM;
	JsonbValue text = {.type = jbvString};

	if (form)
	{
		text.val.string.val = unconstify(char *, value_text(value));
		text.val.string.len = (int) strlen(text.val.string.val);
	}
	call->document = with_member(body_document(call), body_name(call, name), form ? &text : value);
	/* It may hold credentials that the template names. */
	if (call->secrets != NULL)
		integ_call_wipe_later(call, (char *) unconstify(Jsonb *, call->document), VARSIZE(call->document));
	if (call->exchange->body == NULL && call->exchange->graphql_document == NULL)
		integ_call_add_header(call, "Content-Type", form ? "application/x-www-form-urlencoded" : "application/json");
}

static void
set(IntegCall *call, IntegPagePlace place, const char *name, const JsonbValue *value)
{
	switch (place)
	{
		case INTEG_PAGE_IN_QUERY:
			set_query(call, name, value_text(value));
			break;
		case INTEG_PAGE_IN_BODY:
			set_body(call, name, value);
			break;
		case INTEG_PAGE_IN_HEADER:
			integ_call_add_header(call, pstrdup(name), value_text(value));
			break;
		case INTEG_PAGE_IN_URL:
		case INTEG_PAGE_IN_TEMPLATE:
			break; /* rendered already */
	}
}

static void
set_number(IntegCall *call, IntegPagePlace place, const char *name, int64 number)
{
	JsonbValue value = {.type = jbvNumeric};

	value.val.numeric = int64_to_numeric(number);
	set(call, place, name, &value);
}

/* The whole number that the rendered request already has for a parameter; false where it has none. */
static bool
get_number(const IntegCall *call, IntegPagePlace place, const char *name, int64 *number)
{
	const char *text = NULL;
	JsonbValue value;
	char *end;

	if (place == INTEG_PAGE_IN_QUERY)
		text = find_pair(call->query, name);
	else if (place == INTEG_PAGE_IN_BODY && find_member(body_document(call), body_name(call, name), &value))
		text = value_text(&value);
	if (text == NULL)
		return false;
	errno = 0;
	*number = strtoll(text, &end, 10);
	return end != text && *end == '\0' && errno == 0 && *number >= 0;
}

/* The page size goes where the page's parameter goes; beside a URL it goes into the query. */
static IntegPagePlace
size_place(const IntegPagination *pagination)
{
	return pagination->in == INTEG_PAGE_IN_URL ? INTEG_PAGE_IN_QUERY : pagination->in;
}

static void
set_size(IntegCall *call, IntegPages *pages)
{
	const IntegPagination *pagination = pages->pagination;
	int64 wanted = integ_pages_size(pages);

	pages->asked = pagination->names_size ? wanted : pagination->page_size;
	if (pagination->page_size_param == NULL)
		return;
	/* What the caller's input asked for goes before the definition's. */
	if (pages->options.page_size == 0 &&
		get_number(call, size_place(pagination), pagination->page_size_param, &pages->asked))
		return;
	if (wanted == 0)
		return;
	set_number(call, size_place(pagination), pagination->page_size_param, wanted);
	pages->asked = wanted;
}

static const char *
without_pair(const char *url, const char *name)
{
	const char *query = strchr(url, '?');
	char *kept;

	if (query == NULL)
		return url;
	kept = drop_pair(query + 1, name);
	return psprintf("%.*s%s%s", (int) (query - url), url, kept[0] != '\0' ? "?" : "", kept);
}

/* Whether a parameter is what was left of a secret that the answer echoed: asterisks, plain or encoded. */
static bool
is_masked(const char *pair, size_t len)
{
	int run = 0;

	for (const char *at = pair; at < pair + len; at++)
	{
		bool encoded = pair + len - at >= 3 && pg_strncasecmp(at, "%2A", 3) == 0;

		run = *at == '*' || encoded ? run + 1 : 0;
		at += encoded ? 2 : 0;
		if (run == INTEG_SHORTEST_MASKED)
			return true;
	}
	return false;
}

static const char *
without_masked_pairs(const char *url)
{
	const char *query = strchr(url, '?');
	StringInfoData kept;

	if (query == NULL)
		return url;
	initStringInfo(&kept);
	appendBinaryStringInfo(&kept, url, query - url);
	for (const char *pair = query + 1, *before = "?"; *pair != '\0';)
	{
		size_t len = strcspn(pair, "&");

		if (!is_masked(pair, len))
		{
			appendStringInfo(&kept, "%s%.*s", before, (int) len, pair);
			before = "&";
		}
		pair += len + (pair[len] == '&');
	}
	return kept.data;
}

static bool
holds_secret(const IntegCall *call, const char *pair, size_t len)
{
	char *copy = pnstrdup(pair, len);

	integ_call_mask_text(call, copy, len);
	return strncmp(copy, pair, len) != 0;
}

/*
 * A URL may carry the credentials of its request, as the service echoed them and as they were masked in its answer:
 * what belongs there is added anew, of the request as it was rendered here, and later of the definition's auth.
 */
static void
set_url(IntegCall *call, const char *url)
{
	const char *rendered = call->query;
	bool secret = false;

	integ_pages_require_origin(call, url);
	call->url = url;
	call->query = NULL;
	for (const char *pair = rendered; pair != NULL && *pair != '\0';)
	{
		size_t len = strcspn(pair, "&");

		if (holds_secret(call, pair, len))
		{
			call->url = without_pair(call->url, pnstrdup(pair, strcspn(pair, "=&")));
			integ_call_add_query(call, pnstrdup(pair, len));
			secret = true;
		}
		pair += len + (pair[len] == '&');
	}
	for (int i = 0; i < call->auth->nparts; i++)
		if (call->auth->parts[i].place == INTEG_AUTH_QUERY)
		{
			call->url = without_pair(call->url, call->auth->parts[i].name);
			secret = true;
		}
	if (secret)
		call->url = without_masked_pairs(call->url);
}

static bool
has_pair(const char *query, const char *name)
{
	return query != NULL && strcmp(drop_pair(query, name), query) != 0;
}

/* The definition's query belongs to every request; a next URL mostly has it already. */
static void
keep_definition_query(IntegCall *call)
{
	const char *query = strchr(call->url, '?');
	const char *pair = call->definition->query != NULL
						   ? integ_template_query(call->definition->query, &call->scope, integ_call_style(call))
						   : NULL;

	while (pair != NULL && *pair != '\0')
	{
		size_t len = strcspn(pair, "&"), name_len = strcspn(pair, "=&");
		char *name = pnstrdup(pair, name_len);

		if (!has_pair(query != NULL ? query + 1 : NULL, name) && !has_pair(call->query, name))
			integ_call_add_query(call, pnstrdup(pair, len));
		pair += len + (pair[len] == '&');
	}
}

/* The first page of a list that counts: from where the input says, else from the beginning, which is said aloud. */
static void
begin_counting(IntegCall *call, IntegPages *pages)
{
	const IntegPagination *pagination = pages->pagination;

	if (pagination->in != INTEG_PAGE_IN_TEMPLATE &&
		get_number(call, pagination->in, pagination->param, &pages->position.number))
		return;
	pages->position.number = pagination->start;
	set_number(call, pagination->in, pagination->param, pagination->start);
}

static void
turn_first(IntegCall *call, IntegPages *pages)
{
	const IntegPagination *pagination = pages->pagination;
	JsonbValue token = {.type = jbvString};

	set_size(call, pages);
	if (pagination->style == INTEG_PAGE_NUMBER || pagination->style == INTEG_PAGE_OFFSET)
		begin_counting(call, pages);
	if (pages->options.delta == NULL)
		return;
	token.val.string.val = (char *) pages->options.delta;
	token.val.string.len = strlen(pages->options.delta);
	set(call, pagination->delta_in, pagination->delta_param, &token);
}

void
integ_pages_turn(IntegCall *call, void *arg)
{
	IntegPages *pages = arg;
	const IntegPagination *pagination = pages->pagination;
	const IntegPagePosition *position = &pages->position;
	JsonbValue cursor;

	if (position->url != NULL)
	{
		set_url(call, position->url);
		keep_definition_query(call);
		return;
	}
	if (!position->set)
	{
		turn_first(call, pages);
		return;
	}
	if (pagination->further == NULL || pagination->further->query != NULL || pagination->further->body == NULL)
		set_size(call, pages);
	if (position->cursor == NULL)
		set_number(call, pagination->in, pagination->param, position->number);
	else
	{
		if (JB_ROOT_IS_SCALAR(position->cursor))
			(void) JsonbExtractScalar((JsonbContainer *) &position->cursor->root, &cursor);
		else
		{
			cursor.type = jbvBinary;
			cursor.val.binary.data = (JsonbContainer *) &position->cursor->root;
			cursor.val.binary.len = VARSIZE(position->cursor) - VARHDRSZ;
		}
		set(call, pagination->in, pagination->param, &cursor);
	}
}
