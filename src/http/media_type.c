/*
 * Media types: what a body says it is, and what it looks like where it says nothing.
 */
#include "http/body.h"

#include <string.h>
#include <strings.h>

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
}

/* Copies in lower case; leaves the target empty where the source does not fit. */
static void
copy_lower(char *target, size_t size, const char *source, size_t len)
{
	if (len >= size)
		len = 0;
	for (size_t i = 0; i < len; i++)
		target[i] = lower(source[i]);
	target[len] = '\0';
}

/* Moves behind a parameter's value, which may be a quoted string; its bounds without the quotes. */
static const char *
parameter_value(const char *p, const char **value, size_t *len)
{
	if (*p == '"')
	{
		*value = ++p;
		p += strcspn(p, "\"");
		*len = (size_t) (p - *value);
		return *p == '"' ? p + 1 : p;
	}
	*value = p;
	p += strcspn(p, "; \t");
	*len = (size_t) (p - *value);
	return p;
}

void
integ_media_type_parse(const char *content_type, IntegMediaType *type)
{
	const char *p = content_type;
	size_t len;

	type->name[0] = type->charset[0] = '\0';
	if (p == NULL)
		return;
	p += strspn(p, " \t");
	len = strcspn(p, "; \t,");
	if (memchr(p, '/', len) == NULL)
		return;
	copy_lower(type->name, sizeof(type->name), p, len);
	p += len;
	while ((p = strchr(p, ';')) != NULL)
	{
		static const char name[] = "charset=";
		const char *value;

		p++;
		p += strspn(p, " \t");
		if (strncasecmp(p, name, sizeof(name) - 1) != 0)
		{
			/* A semicolon inside a quoted value begins no parameter. */
			p += strcspn(p, "=;");
			if (*p == '=')
				p = parameter_value(p + 1, &value, &len);
			continue;
		}
		p = parameter_value(p + sizeof(name) - 1, &value, &len);
		if (type->charset[0] == '\0')
			copy_lower(type->charset, sizeof(type->charset), value, len);
	}
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static bool
is_one_of(const char *name, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

/* Nobody said what it is: JSON begins like JSON, text has no control characters. */
static IntegBodyKind
sniff(const char *body, size_t len)
{
	size_t look = len < 512 ? len : 512;
	size_t i = 0;

	if (len >= 3 && memcmp(body, "\xEF\xBB\xBF", 3) == 0)
		i = 3;
	while (i < look && strchr(" \t\r\n", body[i]) != NULL && body[i] != '\0')
		i++;
	if (i < look && (body[i] == '{' || body[i] == '['))
		return INTEG_BODY_JSON;
	for (; i < look; i++)
	{
		unsigned char c = (unsigned char) body[i];

		if ((c < 0x20 && strchr("\t\r\n\f", c) == NULL) || c == 0 || c == 0x7f)
			return INTEG_BODY_BINARY;
	}
	return INTEG_BODY_TEXT;
}

IntegBodyKind
integ_body_kind(const char *content_type, const char *body, size_t len)
{
	static const char *const json[] = {"application/json", "text/json", "application/x-json", NULL};
	static const char *const text[] = {
		"application/xml", "application/javascript", "application/x-javascript", "application/ecmascript",
		"application/x-www-form-urlencoded", "application/x-ndjson", "application/ndjson", "application/jsonl",
		"application/json-seq", "application/graphql", "application/yaml", "application/x-yaml",
		"application/sql", "application/csv", "application/rtf", "application/toml", NULL};
	IntegMediaType type;

	if (len == 0)
		return INTEG_BODY_EMPTY;
	integ_media_type_parse(content_type, &type);
	if (type.name[0] == '\0')
		return sniff(body, len);
	if (is_one_of(type.name, json) || ends_with(type.name, "+json"))
		return INTEG_BODY_JSON;
	if (strncmp(type.name, "text/", 5) == 0 || ends_with(type.name, "+xml") || ends_with(type.name, "+yaml") ||
		is_one_of(type.name, text))
		return INTEG_BODY_TEXT;
	return INTEG_BODY_BINARY;
}
