/*
 * Reading the parts of a schema: every one is what it must be, or IG400 names it.
 */
#include "convert/plan.h"
#include "convert/scan.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/text.h"
#include "template/scan.h"
#include "utils/builtins.h"

void
convert_invalid(const ConvertCompile *compile, const char *hint, const char *format, ...)
{
	char *detail;
	va_list args;

	va_start(args, format);
	detail = integ_text_va(format, args);
	va_end(args);
	ereport(ERROR,
			(errcode(ERRCODE_INTEG_INVALID),
			 errmsg("%s of conversion schema \"%s\" is not valid", compile->what, compile->schema),
			 errdetail("%s.", detail), errhint("%s", hint != NULL ? hint : "docs/conversion.md describes schemas.")));
}

static bool
is_listed(const char *keys, const char *key, int len)
{
	while (*keys != '\0')
	{
		int word = strcspn(keys, " ");

		if (word == len && memcmp(keys, key, len) == 0)
			return true;
		keys += word;
		keys += strspn(keys, " ");
	}
	return false;
}

void
convert_check_keys(ConvertCompile *compile, const JsonbContainer *object, const char *what, const char *keys)
{
	IntegJsonWalk walk;
	JsonbValue key, value;

	if (object == NULL)
		return;
	integ_json_walk_begin(&walk, object);
	while (integ_json_walk_pair(&walk, &key, &value))
		if (!is_listed(keys, key.val.string.val, key.val.string.len))
			convert_invalid(compile, keys[0] == '\0' ? "It takes none." : psprintf("Known keys: %s.", keys),
							"The key \"%.*s\" of %s is unknown", key.val.string.len, key.val.string.val, what);
}

const char *
convert_text(ConvertCompile *compile, const JsonbContainer *object, const char *key, bool needed)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value) || value.type == jbvNull)
	{
		if (needed)
			convert_invalid(compile, NULL, "\"%s\" is missing", key);
		return NULL;
	}
	if (value.type != jbvString)
		convert_invalid(compile, NULL, "\"%s\" must be a string", key);
	return pnstrdup(value.val.string.val, value.val.string.len);
}

bool
convert_int(ConvertCompile *compile, const JsonbContainer *object, const char *key, int64 min, int64 max, int64 *result)
{
	JsonbValue value;
	char *text, *end;

	if (!integ_json_get(object, key, &value) || value.type == jbvNull)
		return false;
	errno = 0;
	text = value.type == jbvNumeric ? numeric_normalize(value.val.numeric) : "";
	*result = strtoll(text, &end, 10);
	if (text[0] == '\0' || errno != 0 || *end != '\0' || *result < min || *result > max)
		convert_invalid(compile, NULL, "\"%s\" must be an integer from " INT64_FORMAT " to " INT64_FORMAT, key, min, max);
	return true;
}

bool
convert_flag(ConvertCompile *compile, const JsonbContainer *object, const char *key)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value) || value.type == jbvNull)
		return false;
	if (value.type != jbvBool)
		convert_invalid(compile, NULL, "\"%s\" must be true or false", key);
	return value.val.boolean;
}

const JsonbContainer *
convert_object(ConvertCompile *compile, const JsonbValue *value, const char *what)
{
	if (!integ_json_is_object(value))
		convert_invalid(compile, NULL, "It has %s that is no object", what);
	return value->val.binary.data;
}

const JsonbContainer *
convert_list(ConvertCompile *compile, const JsonbContainer *object, const char *key, int max, bool needed)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value) || value.type == jbvNull)
	{
		if (needed)
			convert_invalid(compile, NULL, "\"%s\" is missing", key);
		return NULL;
	}
	if (!integ_json_is_array(&value))
		convert_invalid(compile, NULL, "\"%s\" must be a list", key);
	if (JsonContainerSize(value.val.binary.data) > max)
		convert_invalid(compile, NULL, "\"%s\" has %u elements, more than %d", key,
						JsonContainerSize(value.val.binary.data), max);
	return value.val.binary.data;
}

/* --- paths --- */

/* NULL where the steps are fine, else a phrase that continues "the path …". */
static const char *
read_steps(const char *source, int len, ConvertPath *path)
{
	IntegSteps steps;
	int room = 4;

	path->nsteps = 0;
	path->steps = palloc(room * sizeof(ConvertPathStep));
	integ_steps_begin(&steps, source, len);
	while (integ_steps_next(&steps))
	{
		ConvertPathStep *step;

		if (path->nsteps == CONVERT_MAX_PATH)
			return "has too many steps";
		if (path->nsteps == room)
			path->steps = repalloc(path->steps, (room *= 2) * sizeof(ConvertPathStep));
		step = &path->steps[path->nsteps++];
		*step = (ConvertPathStep){.index = steps.index};
		if (steps.key != NULL)
		{
			char *key = palloc(steps.len + 1);

			step->len = integ_steps_unescape(&steps, key);
			key[step->len] = '\0';
			step->key = key;
		}
	}
	if (steps.problem == NULL && path->nsteps == 0)
		return "is empty";
	return steps.problem;
}

bool
convert_path_steps(const char *source, int len, ConvertPath *path)
{
	return read_steps(source, len, path) == NULL;
}

/* A dot before the first key may be written or left out; "." is the whole record. */
void
convert_path(ConvertCompile *compile, const char *source, ConvertPath *path)
{
	const char *problem;

	*path = (ConvertPath){.source = source};
	if (strcmp(source, ".") == 0)
		return;
	if (source[0] == '$' && (source[1] == '.' || source[1] == '[' || source[1] == '\0'))
	{
		path->jsonpath =
			integ_path_compile(source, psprintf("%s of conversion schema \"%s\"", compile->what, compile->schema));
		return;
	}
	if (source[0] == '.')
		source++;
	problem = read_steps(source, strlen(source), path);
	if (problem != NULL)
		convert_invalid(compile, "Write a field (Name), a dot path (Owner.Emails[0], \"odd name\".x) or a jsonpath ($.x).",
						"The path \"%s\" %s", source, problem);
}

/* The path of a config of flatten, below the field that it starts at. */
void
convert_path_under(ConvertCompile *compile, const JsonbContainer *object, const char *key, ConvertPath *path)
{
	const char *source = convert_text(compile, object, key, true);
	ConvertPath below;

	convert_path(compile, source, &below);
	path->source = psprintf("%s %s", path->source, source);
	if (path->jsonpath != NULL)
		convert_invalid(compile, NULL, "\"sourceField\" of a flatten mapping is a jsonpath; write it as \"path\"");
	path->jsonpath = below.jsonpath;
	if (below.nsteps == 0)
		return;
	path->steps = path->nsteps == 0
					  ? palloc(below.nsteps * sizeof(ConvertPathStep))
					  : repalloc(path->steps, (path->nsteps + below.nsteps) * sizeof(ConvertPathStep));
	memcpy(path->steps + path->nsteps, below.steps, below.nsteps * sizeof(ConvertPathStep));
	path->nsteps += below.nsteps;
}

/* --- texts and constants --- */

void
convert_text_template(ConvertCompile *compile, const char *source, int len, bool fields, ConvertText *text)
{
	IntegPlaceholderScan scan = {.source = source, .source_len = len, .fields = fields};
	IntegPlaceholder kind;
	int room = 4;

	text->npieces = 0;
	text->pieces = palloc(room * sizeof(ConvertPiece));
	while ((kind = integ_placeholder_next(&scan)) != INTEG_PLACEHOLDER_END)
	{
		ConvertPiece *piece;

		if (kind == INTEG_PLACEHOLDER_UNCLOSED)
			convert_invalid(compile, NULL, "A placeholder is not closed: \"%.*s\"", (int) scan.len, scan.text);
		if (text->npieces == room)
			text->pieces = repalloc(text->pieces, (room *= 2) * sizeof(ConvertPiece));
		piece = &text->pieces[text->npieces++];
		*piece = (ConvertPiece){.of_task = kind == INTEG_PLACEHOLDER_TASK};
		if (kind == INTEG_PLACEHOLDER_LITERAL)
		{
			piece->literal = pnstrdup(scan.text, scan.len);
			piece->len = scan.len;
		}
		else
		{
			convert_path(compile, pnstrdup(scan.text, scan.len), &piece->path);
			if (piece->of_task && piece->path.jsonpath != NULL)
				convert_invalid(compile, NULL, "{{task.…}} takes a dot path");
		}
	}
}

/* Whether a string takes something of the task; checks that it can be read. */
static bool
is_dynamic(ConvertCompile *compile, const JsonbValue *string)
{
	ConvertText text;

	if (memmem(string->val.string.val, string->val.string.len, "{{task.", 7) == NULL)
		return false;
	convert_text_template(compile, string->val.string.val, string->val.string.len, false, &text);
	return true;
}

int
convert_constant(ConvertCompile *compile, const JsonbValue *value)
{
	ConvertConstant *constant = palloc(sizeof(ConvertConstant));

	/* Points into the schema's document, which the plan keeps. */
	constant->json = *value;
	constant->dynamic = false;
	if (value->type == jbvString)
		constant->dynamic = is_dynamic(compile, value);
	else if (value->type == jbvBinary)
	{
		JsonbIterator *iterator = JsonbIteratorInit(value->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue item;

		while ((token = JsonbIteratorNext(&iterator, &item, false)) != WJB_DONE)
			if ((token == WJB_VALUE || token == WJB_ELEM) && item.type == jbvString && is_dynamic(compile, &item))
				constant->dynamic = true;
	}
	compile->constants = lappend(compile->constants, constant);
	return list_length(compile->constants) - 1;
}

ConvertRegex *
convert_regex(ConvertCompile *compile, const char *pattern)
{
	const char *problem;
	ConvertRegex *regex = convert_regex_compile(pattern, &problem);

	if (regex == NULL)
		convert_invalid(compile, "Patterns are PostgreSQL's advanced regular expressions (ARE).",
						"The pattern \"%s\" does not compile: %s", pattern, problem);
	return regex;
}
