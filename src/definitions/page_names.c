/*
 * What a request can name of the page that it asks for: {pagination.…}.
 */
#include "definitions/definition.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "utils/numeric.h"

typedef struct Search
{
	const char *name; /* of a placeholder, behind INTEG_PAGINATION_NAMES */
	bool found;
} Search;

static bool
is_in_template(const JsonbContainer *pagination)
{
	char *in = integ_json_get_string(pagination, "in");

	return in != NULL && strcmp(in, "template") == 0;
}

const char *
integ_pagination_word(const JsonbContainer *pagination)
{
	char *style = integ_json_get_string(pagination, "style");

	if (!is_in_template(pagination))
		return NULL;
	if (strcmp(style, "graphql") == 0 || strcmp(style, "last_id") == 0)
		return "cursor";
	return strcmp(style, "page") == 0 || strcmp(style, "offset") == 0 || strcmp(style, "cursor") == 0 ? style : NULL;
}

bool
integ_pagination_is_named(const JsonbContainer *pagination)
{
	return pagination != NULL && (is_in_template(pagination) || integ_json_get_object(pagination, "carry") != NULL);
}

int64
integ_pagination_start(const JsonbContainer *pagination)
{
	char *style = integ_json_get_string(pagination, "style");

	return integ_json_get_int(pagination, "start", strcmp(style, "page") == 0 ? 1 : 0);
}

static void
visit_name(const char *name, void *arg)
{
	Search *search = arg;
	size_t prefix = strlen(INTEG_PAGINATION_NAMES ".");
	size_t len = strlen(search->name);

	if (strncmp(name, INTEG_PAGINATION_NAMES ".", prefix) == 0 && strncmp(name + prefix, search->name, len) == 0)
		search->found |= strchr(".[", name[prefix + len]) != NULL; /* its end counts */
}

bool
integ_exchange_names_page(const IntegExchange *exchange, const char *name)
{
	const IntegTemplate *const templates[] = {exchange->path, exchange->query, exchange->headers, exchange->body,
											  exchange->graphql_variables};
	Search search = {.name = name};

	for (size_t i = 0; i < lengthof(templates); i++)
		if (templates[i] != NULL)
			integ_template_visit(templates[i], visit_name, &search);
	return search.found;
}

const Jsonb *
integ_pagination_values(const char *word, const JsonbValue *place, int64 size, const JsonbContainer *carried)
{
	IntegJsonBuilder builder;
	IntegJsonWalk walk;
	JsonbValue name, value;

	integ_json_begin_object(&builder);
	integ_json_open_object(&builder, INTEG_PAGINATION_NAMES);
	if (carried != NULL)
	{
		integ_json_walk_begin(&walk, carried);
		while (integ_json_walk_pair(&walk, &name, &value))
			integ_json_add(&builder, pnstrdup(name.val.string.val, name.val.string.len), &value);
	}
	if (word != NULL && place != NULL)
		integ_json_add(&builder, word, place);
	if (size > 0)
		integ_json_add_int(&builder, "size", size);
	integ_json_close(&builder);
	return integ_json_end(&builder);
}

const Jsonb *
integ_pagination_first(const JsonbContainer *pagination)
{
	const char *word;
	JsonbValue start = {.type = jbvNumeric};
	bool counts;

	if (!integ_pagination_is_named(pagination))
		return NULL;
	word = integ_pagination_word(pagination);
	counts = word != NULL && strcmp(word, "cursor") != 0;
	start.val.numeric = int64_to_numeric(integ_pagination_start(pagination));
	return integ_pagination_values(word, counts ? &start : NULL,
								   word == NULL ? 0 : integ_json_get_int(pagination, "pageSize", 0), NULL);
}
