/*
 * Checking a manifest: a pagination has what its style needs.
 */
#include "definitions/check.h"

#include "core/json.h"
#include "core/json_walk.h"

#define NEEDS_PARAM 1
#define NEEDS_NEXT 2
#define NEEDS_RECORDS 4

static const struct
{
	const char *style;
	int needs;
} styles[] = {
	{"none", 0},
	{"cursor", NEEDS_NEXT},
	{"page", NEEDS_PARAM | NEEDS_RECORDS},
	{"offset", NEEDS_PARAM | NEEDS_RECORDS},
	{"link", 0},
	{"next_url", NEEDS_NEXT},
	{"graphql", NEEDS_PARAM | NEEDS_NEXT},
	{"last_id", NEEDS_PARAM | NEEDS_NEXT | NEEDS_RECORDS},
};

static bool
equals(const char *text, const char *other)
{
	return text != NULL && strcmp(text, other) == 0;
}

static int
needs_of(const char *style)
{
	for (size_t i = 0; i < lengthof(styles); i++)
		if (strcmp(styles[i].style, style) == 0)
			return styles[i].needs;
	return 0; /* the schema lists the styles */
}

/* "next" is a path into the body, unless a header or the last record has it. */
static void
check_next(IntegManifestCheck *check, const JsonbContainer *pagination, const char *style, const char *where)
{
	char *next = integ_json_get_string(pagination, "next");
	char *from = integ_json_get_string(pagination, "from");

	if (next == NULL)
		return;
	if (equals(from, "header"))
		return;
	if (equals(from, "lastRecord") || equals(style, "last_id"))
		return;
	if (next[0] != '.' && next[0] != '$')
		integ_manifest_problem(check, psprintf("%s/next", where),
							   "\"%s\" is no path into the body: a path starts with a dot or $", next);
	else
		(void) integ_compile_path(pagination, "next", where);
}

static void
check_delta(const JsonbContainer *pagination, const char *where)
{
	const JsonbContainer *delta = integ_json_get_object(pagination, "delta");

	if (delta != NULL)
		(void) integ_compile_path(delta, "next", psprintf("%s/delta", where));
	else
		(void) integ_compile_path(pagination, "delta", where);
}

static bool
has(const JsonbContainer *object, const char *key)
{
	JsonbValue value;

	return integ_json_get(object, key, &value);
}

/* A short page proves the end only where it is known how long a full one is. */
static void
check_size(IntegManifestCheck *check, const JsonbContainer *pagination, const char *where)
{
	int64 size = integ_json_get_int(pagination, "pageSize", 0), most = integ_json_get_int(pagination, "maxPageSize", 0);

	if (integ_json_get_bool(pagination, "shortPage", false) &&
		(size == 0 || (has(pagination, "pageSizeParam") && most == 0)))
		integ_manifest_problem(check, psprintf("%s/shortPage", where),
							   "needs \"pageSize\", and beside \"pageSizeParam\" also \"maxPageSize\": else the service's own limit "
							   "would end the list");
	if (most > 0 && size > most)
		integ_manifest_problem(check, psprintf("%s/pageSize", where), "is above maxPageSize");
}

static void
check_place(IntegManifestCheck *check, const IntegMethod *method, const char *style, const char *where)
{
	char *in = integ_json_get_string(method->pagination, "in");

	if (equals(in, "url") && !equals(style, "cursor") && !equals(style, "next_url") && !equals(style, "link"))
		integ_manifest_problem(check, psprintf("%s/in", where), "style \"%s\" needs a parameter, which a URL is not", style);
	if (equals(in, "url") && equals(style, "cursor") && !has(method->pagination, "path"))
		integ_manifest_problem(check, where, "a cursor in the URL needs the \"path\" that {cursor} is in");
	if (equals(in, "body") && method->exchange != NULL && !method->exchange->is_graphql &&
		method->exchange->body_encoding != INTEG_SEND_JSON && method->exchange->body_encoding != INTEG_SEND_FORM)
		integ_manifest_problem(check, psprintf("%s/in", where), "only a JSON or form body takes a parameter");
	if (equals(in, "body") && (method->exchange != NULL &&
							   (equals(method->exchange->http_method, "GET") || equals(method->exchange->http_method, "HEAD"))))
		integ_manifest_problem(check, psprintf("%s/in", where), "a %s request has no body", method->exchange->http_method);
}

/* A page that the request names itself needs a place in it, and no parameter besides. */
static void
check_template(IntegManifestCheck *check, const IntegMethod *method, const char *style, const char *where)
{
	const JsonbContainer *pagination = method->pagination;
	const char *word = integ_pagination_word(pagination);
	static const char *const others[] = {"param", "pageSizeParam", "path"};

	if (!equals(integ_json_get_string(pagination, "in"), "template"))
		return;
	if (word == NULL)
	{
		integ_manifest_problem(check, psprintf("%s/in", where),
							   "pages of style \"%s\" have nothing that a request could name", style);
		return;
	}
	for (size_t i = 0; i < lengthof(others); i++)
		if (has(pagination, others[i]))
			integ_manifest_problem(check, psprintf("%s/%s", where, others[i]),
								   "with \"in\": \"template\" the request itself names {pagination.%s} and {pagination.size}", word);
	if (method->exchange != NULL && !integ_exchange_names_page(method->exchange, word))
		integ_manifest_problem(check, psprintf("%s/in", where), "nothing in the request names {pagination.%s}", word);
}

static void
check_carry(IntegManifestCheck *check, const IntegMethod *method, const char *where)
{
	static const char *const taken[] = {"page", "offset", "cursor", "size"};
	const JsonbContainer *carry = integ_json_get_object(method->pagination, "carry");
	IntegJsonWalk walk;
	JsonbValue key, value;

	if (carry == NULL)
		return;
	integ_json_walk_begin(&walk, carry);
	while (integ_json_walk_pair(&walk, &key, &value))
	{
		char *name = pnstrdup(key.val.string.val, key.val.string.len);

		(void) integ_compile_path(carry, name, psprintf("%s/carry", where));
		for (size_t i = 0; i < lengthof(taken); i++)
			if (strcmp(name, taken[i]) == 0)
				integ_manifest_problem(check, psprintf("%s/carry/%s", where, name), "{pagination.%s} is the page's own", name);
		if (method->exchange != NULL && !integ_exchange_names_page(method->exchange, name))
			integ_manifest_problem(check, psprintf("%s/carry/%s", where, name), "nothing in the request names {pagination.%s}",
								   name);
	}
}

void
integ_manifest_check_pagination(IntegManifestCheck *check, const IntegMethod *method, const char *where)
{
	static const char *const paths[] = {"end", "more", "total", "totalPages"};
	const JsonbContainer *pagination = method->pagination;
	char *style = pagination == NULL ? NULL : integ_json_get_string(pagination, "style");
	int needs;

	if (style == NULL)
		return;
	where = psprintf("%s/pagination", where);
	needs = needs_of(style);
	if (equals(style, "cursor") && !equals(integ_json_get_string(pagination, "in"), "url"))
		needs |= NEEDS_PARAM;
	if (equals(integ_json_get_string(pagination, "in"), "template"))
		needs &= ~NEEDS_PARAM;
	if ((needs & NEEDS_PARAM) && integ_json_get_string(pagination, "param") == NULL)
		integ_manifest_problem(check, where, "style \"%s\" needs \"param\"", style);
	if ((needs & NEEDS_NEXT) && integ_json_get_string(pagination, "next") == NULL)
		integ_manifest_problem(check, where, "style \"%s\" needs \"next\"", style);
	if ((needs & NEEDS_RECORDS) && (method->exchange == NULL || method->exchange->records == NULL))
		integ_manifest_problem(check, where, "style \"%s\" needs the method's response.records", style);
	if (equals(style, "graphql") && !method->is_graphql)
		integ_manifest_problem(check, where, "style \"graphql\" needs the protocol \"graphql\"");
	if (!equals(style, "none") && method->exchange == NULL)
		integ_manifest_problem(check, where, "only a method with a \"request\" of its own has pages");
	check_place(check, method, style, where);
	check_template(check, method, style, where);
	check_carry(check, method, where);
	check_next(check, pagination, style, where);
	check_delta(pagination, where);
	for (size_t i = 0; i < lengthof(paths); i++)
		(void) integ_compile_path(pagination, paths[i], where);
	check_size(check, pagination, where);
	integ_manifest_check_template(check, pagination, "path", where, INTEG_PLACEHOLDERS_PAGE, method);
}
