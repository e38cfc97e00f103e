/*
 * How lists and objects are written as parameters, from a manifest's words.
 */
#include "core/errors.h"
#include "core/json.h"
#include "template/template.h"

static const char *const array_styles[] = {
	[INTEG_ARRAY_REPEAT] = "repeat",
	[INTEG_ARRAY_COMMA] = "comma",
	[INTEG_ARRAY_SPACE] = "space",
	[INTEG_ARRAY_PIPE] = "pipe",
	[INTEG_ARRAY_BRACKETS] = "brackets",
	[INTEG_ARRAY_INDEXES] = "indexes",
	[INTEG_ARRAY_JSON] = "json",
};
static const char *const object_styles[] = {
	[INTEG_OBJECT_REFUSED] = "refused",
	[INTEG_OBJECT_BRACKETS] = "brackets",
	[INTEG_OBJECT_DOTS] = "dots",
	[INTEG_OBJECT_JSON] = "json",
};

/* The index of the name under the key, or that of what holds without it. */
static int
read_name(const JsonbContainer *source, const char *key, const char *const *names, int count, int otherwise,
		  const char *where)
{
	char *name = integ_json_get_string(source, key);

	if (name == NULL)
		return otherwise;
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s/%s: there is no style \"%s\"", where, key, name),
					errhint("Lists: repeat, comma, space, pipe, brackets, indexes, json. Objects: refused, brackets, "
							"dots, json.")));
}

void
integ_parameter_style_read(const JsonbContainer *source, const char *where, IntegParameterStyle *style)
{
	style->arrays = (IntegArrayStyle) read_name(source, "arrays", array_styles, lengthof(array_styles), style->arrays,
												where);
	style->objects = (IntegObjectStyle) read_name(source, "objects", object_styles, lengthof(object_styles),
												  style->objects, where);
}
