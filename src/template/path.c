/*
 * Paths into a document: dotted ones by our own steps, "$…" by PostgreSQL's jsonpath.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "fmgr.h"
#include "template/node.h"
#include "template/scan.h"
#include "utils/builtins.h"
#include "utils/jsonpath.h"

TemplateSteps
template_steps_compile(const char *source, size_t len, const char **problem)
{
	TemplateSteps compiled = {0, NULL};
	IntegSteps steps;
	int room = 4;

	compiled.steps = palloc(room * sizeof(TemplateStep));
	integ_steps_begin(&steps, source, len);
	while (integ_steps_next(&steps))
	{
		TemplateStep *step;

		if (compiled.count == TEMPLATE_MAX_DEPTH)
		{
			*problem = "has too many steps";
			return compiled;
		}
		if (compiled.count == room)
			compiled.steps = repalloc(compiled.steps, (room *= 2) * sizeof(TemplateStep));
		step = &compiled.steps[compiled.count++];
		step->index = steps.index;
		step->key = NULL;
		step->len = 0;
		if (steps.key != NULL)
		{
			char *key = palloc(steps.len + 1);

			step->len = integ_steps_unescape(&steps, key);
			key[step->len] = '\0';
			step->key = key;
		}
	}
	*problem = steps.problem;
	return compiled;
}

bool
template_steps_follow(const TemplateStep *steps, int count, const JsonbValue *from, JsonbValue *found)
{
	JsonbValue at = *from;

	for (int i = 0; i < count; i++)
	{
		const JsonbContainer *container = at.val.binary.data;

		if (at.type != jbvBinary)
			return false;
		if (steps[i].key != NULL)
		{
			JsonbValue inner;

			if (!JsonContainerIsObject(container) ||
				getKeyJsonValueFromContainer((JsonbContainer *) container, steps[i].key, steps[i].len, &inner) == NULL)
				return false;
			at = inner;
		}
		else
		{
			int64 size = JsonContainerSize(container);
			int64 index = steps[i].index < 0 ? size + steps[i].index : steps[i].index;

			if (!JsonContainerIsArray(container) || index < 0 || index >= size)
				return false;
			integ_json_walk_at(container, index, &at);
		}
	}
	*found = at;
	return true;
}

static void
malformed(const char *where, const char *source, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s is not a valid path", where),
					errdetail("The path \"%s\" %s.", source, problem),
					errhint("Write a dot path such as .data.items[0].id, or a jsonpath that starts with $.")));
}

/* Parses a jsonpath; a syntax error becomes IG400 with what PostgreSQL says. */
static struct varlena *
parse_jsonpath(const char *source, const char *where)
{
	MemoryContext context = CurrentMemoryContext;
	Datum parsed = (Datum) 0;

	PG_TRY();
	{
		parsed = DirectFunctionCall1(jsonpath_in, CStringGetDatum(source));
	}
	PG_CATCH();
	{
		ErrorData *error;
		bool ours;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		ours = ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR) ||
			   ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION);
		if (!ours)
			PG_RE_THROW();
		FlushErrorState();
		malformed(where, source, psprintf("is no jsonpath: %s", error->message));
	}
	PG_END_TRY();
	return (struct varlena *) DatumGetPointer(parsed);
}

/* Whether the outermost item of a jsonpath is a predicate: then its one result is true, false or null. */
static bool
is_predicate(struct varlena *jsonpath)
{
	JsonPathItem item;

	jspInit(&item, (JsonPath *) jsonpath);
	switch (item.type)
	{
		case jpiAnd:
		case jpiOr:
		case jpiNot:
		case jpiIsUnknown:
		case jpiEqual:
		case jpiNotEqual:
		case jpiLess:
		case jpiGreater:
		case jpiLessOrEqual:
		case jpiGreaterOrEqual:
		case jpiExists:
		case jpiStartsWith:
		case jpiLikeRegex:
			return true;
		default:
			return false;
	}
}

/*
 * A variable would be missing only where a document leads to it. In what a jsonpath prints as, names of variables and
 * of keys and texts are in quotes, and only those of variables follow a "$".
 */
static void
check_variables(const struct varlena *jsonpath, const char *source, const char *where, const char *const *names,
				int nnames)
{
	const char *text = DatumGetCString(DirectFunctionCall1(jsonpath_out, PointerGetDatum(jsonpath)));
	const char *end;

	for (const char *at = strchr(text, '"'); at != NULL; at = strchr(end + 1, '"'))
	{
		bool is_variable = at > text && at[-1] == '$', known = !is_variable;

		for (end = at + 1; *end != '"'; end++)
			if (*end == '\\')
				end++;
		for (int i = 0; i < nnames && !known; i++)
			known = strlen(names[i]) == end - at - 1 && strncmp(names[i], at + 1, end - at - 1) == 0;
		if (!known)
			malformed(where, source,
					  psprintf("has a variable that does not exist: $%.*s", (int) (end - at + 1), at));
	}
}

IntegPath *
integ_path_compile(const char *source, const char *where)
{
	return template_path_compile(source, where, NULL, 0);
}

IntegPath *
template_path_compile(const char *source, const char *where, const char *const *names, int nnames)
{
	IntegPath *path = palloc0(sizeof(IntegPath));
	const char *problem;

	path->source = pstrdup(source);
	if (source[0] == '$')
	{
		path->jsonpath = parse_jsonpath(source, where);
		check_variables(path->jsonpath, source, where, names, nnames);
		path->predicate = is_predicate(path->jsonpath);
		return path;
	}
	if (source[0] != '.')
		malformed(where, source, "starts with neither a dot nor $");
	path->steps = template_steps_compile(path->source + 1, strlen(source + 1), &problem);
	if (problem != NULL)
		malformed(where, source, problem);
	return path;
}

/* All that a jsonpath finds, as an array; errors of structure find nothing. */
static Jsonb *
query(const IntegPath *path, const Jsonb *document, const Jsonb *variables)
{
	if (variables == NULL)
		variables = integ_json_empty_object();
	return DatumGetJsonbP(DirectFunctionCall4(jsonb_path_query_array, JsonbPGetDatum(document),
											  PointerGetDatum(path->jsonpath), JsonbPGetDatum(variables),
											  BoolGetDatum(true)));
}

bool
integ_path_find(const IntegPath *path, const JsonbValue *document, JsonbValue *found)
{
	JsonbValue copy = *document;
	Jsonb *items;

	if (path->jsonpath == NULL)
		return template_steps_follow(path->steps.steps, path->steps.count, document, found);
	items = query(path, JsonbValueToJsonb(&copy), NULL);
	if (JB_ROOT_COUNT(items) == 0)
		return false;
	if (JB_ROOT_COUNT(items) == 1)
		integ_json_walk_at(&items->root, 0, found);
	else
		integ_json_root(items, found);
	return true;
}

Jsonb *
integ_path_get(const IntegPath *path, const Jsonb *document)
{
	JsonbValue root, found;
	Jsonb *items;

	if (path->jsonpath == NULL)
	{
		integ_json_root(document, &root);
		return integ_path_find(path, &root, &found) ? JsonbValueToJsonb(&found) : NULL;
	}
	items = query(path, document, NULL);
	if (JB_ROOT_COUNT(items) != 1)
		return JB_ROOT_COUNT(items) == 0 ? NULL : items;
	integ_json_walk_at(&items->root, 0, &found);
	return JsonbValueToJsonb(&found);
}

bool
integ_path_is_jsonpath(const IntegPath *path)
{
	return path->jsonpath != NULL;
}

char *
integ_path_text(const IntegPath *path, const Jsonb *document)
{
	JsonbValue root, found;

	integ_json_root(document, &root);
	if (!integ_path_find(path, &root, &found) || found.type == jbvBinary)
		return NULL;
	return integ_json_value_text(&found);
}

bool
template_path_holds(const IntegPath *path, const Jsonb *document, const Jsonb *variables)
{
	JsonbValue root, found;
	Jsonb *items;

	if (path->jsonpath == NULL)
	{
		integ_json_root(document, &root);
		return template_steps_follow(path->steps.steps, path->steps.count, &root, &found);
	}
	items = query(path, document, variables);
	if (JB_ROOT_COUNT(items) == 0)
		return false;
	if (!path->predicate)
		return true;
	integ_json_walk_at(&items->root, 0, &found);
	return found.type == jbvBool && found.val.boolean;
}

bool
integ_path_exists(const IntegPath *path, const Jsonb *document)
{
	return template_path_holds(path, document, NULL);
}
