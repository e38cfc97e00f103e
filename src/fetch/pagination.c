/*
 * From a method's "pagination" to what its pages need.
 */
#include "fetch/pagination.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "definitions/compile.h"

static const char *const styles[] = {
	[INTEG_PAGE_NONE] = "none",
	[INTEG_PAGE_CURSOR] = "cursor",
	[INTEG_PAGE_NUMBER] = "page",
	[INTEG_PAGE_OFFSET] = "offset",
	[INTEG_PAGE_LINK] = "link",
	[INTEG_PAGE_NEXT_URL] = "next_url",
	[INTEG_PAGE_GRAPHQL] = "graphql",
	[INTEG_PAGE_LAST_ID] = "last_id",
};

static const char *const places[] = {
	[INTEG_PAGE_IN_QUERY] = "query",
	[INTEG_PAGE_IN_BODY] = "body",
	[INTEG_PAGE_IN_HEADER] = "header",
	[INTEG_PAGE_IN_URL] = "url",
	[INTEG_PAGE_IN_TEMPLATE] = "template",
};

static const char *const sources[] = {
	[INTEG_PAGE_FROM_BODY] = "body",
	[INTEG_PAGE_FROM_HEADER] = "header",
	[INTEG_PAGE_FROM_LAST_RECORD] = "lastRecord",
};

const char *
integ_page_style_name(IntegPageStyle style)
{
	return styles[style];
}

/* The index of the word under the key among words, fallback where the key is absent. */
static int
word(const JsonbContainer *object, const char *key, const char *const *words, int count, int fallback)
{
	char *text = integ_json_get_string(object, key);

	for (int i = 0; text != NULL && i < count; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	return fallback;
}

static bool
is_path(const char *text)
{
	return text != NULL && (text[0] == '.' || text[0] == '$');
}

/* Relay's connections say so themselves: "endCursor" stands beside "hasNextPage". */
static IntegPath *
relay_more(const IntegPagination *pagination, const char *where)
{
	static const char cursor[] = ".endCursor";
	size_t len = pagination->next == NULL ? 0 : strlen(pagination->next);

	if (pagination->style != INTEG_PAGE_GRAPHQL || len < strlen(cursor) || pagination->next[0] != '.' ||
		strcmp(pagination->next + len - strlen(cursor), cursor) != 0)
		return NULL;
	return integ_path_compile(psprintf("%.*s.hasNextPage", (int) (len - strlen(cursor)), pagination->next), where);
}

static void
compile_delta(const JsonbContainer *source, const char *where, IntegPagination *pagination)
{
	const JsonbContainer *delta = integ_json_get_object(source, "delta");

	if (delta == NULL)
	{
		pagination->delta = integ_compile_path(source, "delta", where);
		return;
	}
	pagination->delta = integ_compile_path(delta, "next", where);
	pagination->delta_param = integ_json_get_string(delta, "param");
	pagination->delta_in = word(delta, "in", places, lengthof(places),
								pagination->in == INTEG_PAGE_IN_TEMPLATE ? INTEG_PAGE_IN_QUERY : pagination->in);
}

/*
 * The exchange of the pages behind the first where they have a path of their own. Without "repeat" their
 * requests carry nothing of the first one's query and body.
 */
static IntegExchange *
compile_further(const JsonbContainer *source, const IntegMethod *method, const char *where)
{
	IntegTemplate *path = integ_compile_template(source, "path", where);
	IntegExchange *further;

	if (path == NULL || method->exchange == NULL)
		return NULL;
	further = palloc(sizeof(IntegExchange));
	*further = *method->exchange;
	further->path = path;
	further->path_source = integ_json_get_string(source, "path");
	if (integ_json_get_bool(source, "repeat", false))
		return further;
	further->query = NULL;
	if (further->body != NULL)
	{
		JsonbValue nothing = {.type = jbvBinary};
		Jsonb *empty = integ_json_empty_object();

		nothing.val.binary.data = &empty->root;
		nothing.val.binary.len = VARSIZE(empty) - VARHDRSZ;
		further->body = integ_template_compile(&nothing, where);
	}
	return further;
}

static char *
lower_case(char *name)
{
	for (char *c = name; *c != '\0'; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	return name;
}

static void
compile_carry(const JsonbContainer *source, const char *where, IntegPagination *pagination)
{
	const JsonbContainer *carry = integ_json_get_object(source, "carry");
	IntegJsonWalk walk;
	JsonbValue name, value;

	if (carry == NULL)
		return;
	pagination->carry = palloc0(sizeof(IntegPageCarry) * JsonContainerSize(carry));
	integ_json_walk_begin(&walk, carry);
	while (integ_json_walk_pair(&walk, &name, &value))
	{
		IntegPageCarry *item = &pagination->carry[pagination->ncarry++];

		item->name = pnstrdup(name.val.string.val, name.val.string.len);
		if (value.type == jbvBinary)
			item->header = lower_case(integ_json_get_string(value.val.binary.data, "header"));
		else
			item->path = integ_path_compile(pnstrdup(value.val.string.val, value.val.string.len),
											psprintf("%s/carry/%s", where, item->name));
	}
}

/* What requests say of the page themselves. */
static void
compile_names(const JsonbContainer *source, const IntegMethod *method, const char *where, IntegPagination *pagination)
{
	pagination->is_named = integ_pagination_is_named(source);
	pagination->word = integ_pagination_word(source);
	pagination->names_size = pagination->word != NULL && integ_exchange_names_page(method->exchange, "size");
	compile_carry(source, where, pagination);
}

IntegPagination *
integ_pagination_compile(const IntegMethod *method)
{
	const JsonbContainer *source = method->pagination;
	const char *where = psprintf("method \"%s\" /pagination", method->id);
	IntegPagination *pagination = palloc0(sizeof(IntegPagination));

	pagination->rel = "next";
	if (source == NULL)
		return pagination;
	pagination->style = word(source, "style", styles, lengthof(styles), INTEG_PAGE_NONE);
	pagination->in = word(source, "in", places, lengthof(places),
						  pagination->style == INTEG_PAGE_GRAPHQL ? INTEG_PAGE_IN_BODY : INTEG_PAGE_IN_QUERY);
	pagination->from = word(source, "from", sources, lengthof(sources),
							pagination->style == INTEG_PAGE_LAST_ID ? INTEG_PAGE_FROM_LAST_RECORD
																	: INTEG_PAGE_FROM_BODY);
	pagination->param = integ_json_get_string(source, "param");
	pagination->next = integ_json_get_string(source, "next");
	if (pagination->from == INTEG_PAGE_FROM_HEADER && pagination->next != NULL)
		(void) lower_case((char *) pagination->next);
	else if (is_path(pagination->next))
		pagination->next_path = integ_path_compile(pagination->next, where);
	if (integ_json_get_string(source, "rel") != NULL)
		pagination->rel = integ_json_get_string(source, "rel");
	pagination->further = compile_further(source, method, where);
	pagination->end = integ_compile_path(source, "end", where);
	pagination->more = integ_compile_path(source, "more", where);
	if (pagination->more == NULL)
		pagination->more = relay_more(pagination, where);
	pagination->total = integ_compile_path(source, "total", where);
	pagination->total_pages = integ_compile_path(source, "totalPages", where);
	pagination->start = integ_pagination_start(source);
	pagination->page_size_param = integ_json_get_string(source, "pageSizeParam");
	pagination->page_size = integ_json_get_int(source, "pageSize", 0);
	pagination->max_page_size = integ_json_get_int(source, "maxPageSize", 0);
	pagination->short_page = integ_json_get_bool(source, "shortPage", false);
	pagination->max_pages = integ_json_get_int(source, "maxPages", 0);
	compile_delta(source, where, pagination);
	compile_names(source, method, where, pagination);
	return pagination;
}
