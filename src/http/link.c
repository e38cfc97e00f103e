/*
 * The Link header (RFC 8288).
 */
#include "http/link.h"

#include <string.h>
#include <strings.h>

typedef struct Parameter
{
	const char *name;
	size_t name_len;
	const char *value; /* of a quoted string: without its quotes, escapes as they are */
	size_t value_len;
} Parameter;

static const char *
skip_space(const char *p)
{
	return p + strspn(p, " \t");
}

/* Behind a quoted string that starts at its quote; its bounds. NULL where it does not end. */
static const char *
read_quoted(const char *p, Parameter *parameter)
{
	parameter->value = ++p;
	for (; *p != '"'; p++)
	{
		if (*p == '\\' && p[1] != '\0')
			p++;
		if (*p == '\0')
			return NULL;
	}
	parameter->value_len = (size_t) (p - parameter->value);
	return p + 1;
}

/* Behind the parameter that starts at p, which stands behind a semicolon; NULL where it is malformed. */
static const char *
read_parameter(const char *p, Parameter *parameter)
{
	p = skip_space(p);
	parameter->name = p;
	parameter->name_len = strcspn(p, " \t=;,");
	parameter->value = "";
	parameter->value_len = 0;
	p = skip_space(p + parameter->name_len);
	if (*p != '=')
		return p;
	p = skip_space(p + 1);
	if (*p == '"')
	{
		p = read_quoted(p, parameter);
		return p == NULL ? NULL : skip_space(p);
	}
	parameter->value = p;
	parameter->value_len = strcspn(p, " \t;,");
	return skip_space(p + parameter->value_len);
}

static bool
is_named(const Parameter *parameter, const char *name)
{
	return parameter->name_len == strlen(name) && strncasecmp(parameter->name, name, parameter->name_len) == 0;
}

/* Whether the value, relation types with spaces between them, has this one. */
static bool
has_relation(const Parameter *parameter, const char *rel)
{
	const char *p = parameter->value, *end = p + parameter->value_len;
	size_t rel_len = strlen(rel);

	while (p < end)
	{
		const char *from = p;

		while (p < end && *p != ' ' && *p != '\t')
			p++;
		if ((size_t) (p - from) == rel_len && strncasecmp(from, rel, rel_len) == 0)
			return true;
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
	}
	return false;
}

/* Behind the parameters of one link; NULL where they are malformed. */
static const char *
read_parameters(const char *p, const char *rel, bool *matches)
{
	bool named = false, anchored = false;

	*matches = false;
	for (p = skip_space(p); *p == ';'; p = skip_space(p))
	{
		Parameter parameter;

		p = read_parameter(p + 1, &parameter);
		if (p == NULL)
			return NULL;
		anchored = anchored || is_named(&parameter, "anchor");
		if (!is_named(&parameter, "rel") || named)
			continue;
		named = true;
		*matches = has_relation(&parameter, rel);
	}
	*matches = *matches && !anchored;
	return p;
}

bool
integ_link_find(const char *value, const char *rel, const char **target, size_t *len)
{
	const char *p = value;

	for (;;)
	{
		bool matches;

		p += strspn(p, " \t,");
		if (*p != '<')
			return false;
		*target = ++p;
		*len = strcspn(p, ">");
		p += *len;
		if (*p != '>')
			return false;
		p = read_parameters(p + 1, rel, &matches);
		if (p == NULL)
			return false;
		if (matches)
			return true;
		if (*p != ',')
			return false;
	}
}
