/*
 * Whose request it is, behind proxies.
 */
#include "ingress/forwarded.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The only header of that name; NULL where there is none. *several: there are more. */
static const char *
only_header(const IntegServerRequest *request, const char *name, bool *several)
{
	const char *value = NULL;

	for (int i = 0; i < request->nheaders; i++)
	{
		if (strcasecmp(request->headers[i].name, name) != 0)
			continue;
		*several |= value != NULL;
		value = request->headers[i].value;
	}
	return value;
}

static void
trim(const char **text, size_t *len)
{
	while (*len > 0 && strchr(" \t", (*text)[0]) != NULL)
		(*text)++, (*len)--;
	while (*len > 0 && strchr(" \t", (*text)[*len - 1]) != NULL)
		(*len)--;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80"; false for anything else. */
static bool
read_node(const char *text, size_t len, char *address)
{
	const char *end;

	trim(&text, &len);
	if (len > 1 && text[0] == '"' && text[len - 1] == '"')
		text++, len -= 2;
	end = memchr(text, ':', len);
	if (len > 0 && text[0] == '[')
	{
		end = memchr(text, ']', len);
		if (end == NULL)
			return false;
		text++;
		len = (size_t) (end - text);
	}
	else if (end != NULL && memchr(end + 1, ':', len - (size_t) (end + 1 - text)) == NULL)
		len = (size_t) (end - text);
	if (len == 0 || len >= INTEG_ADDRESS_TEXT_SIZE)
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	return integ_address_normal(address, INTEG_ADDRESS_TEXT_SIZE);
}

/* The "for" of one element of Forwarded: parameters with semicolons between them (RFC 7239, section 4). */
static bool
read_element(const char *text, size_t len, char *address)
{
	const char *at = text, *end = text + len;

	while (at < end)
	{
		const char *stop = memchr(at, ';', (size_t) (end - at));
		const char *parameter = at;
		size_t size = (size_t) ((stop == NULL ? end : stop) - at);

		trim(&parameter, &size);
		if (size > 4 && strncasecmp(parameter, "for=", 4) == 0)
			return read_node(parameter + 4, size - 4, address);
		at = stop == NULL ? end : stop + 1;
	}
	return false;
}

void
integ_forwarded_address(const IntegServerRequest *request, const char *trusted, char *address)
{
	bool several = false;
	const char *list = only_header(request, "x-forwarded-for", &several);
	const char *elements = only_header(request, "forwarded", &several);
	bool (*read)(const char *, size_t, char *) = list != NULL ? read_node : read_element;
	const char *header = list != NULL ? list : elements;
	size_t end = header == NULL ? 0 : strlen(header);
	char next[INTEG_ADDRESS_TEXT_SIZE];

	snprintf(address, INTEG_ADDRESS_TEXT_SIZE, "%s", request->address);
	if (several || (list != NULL && elements != NULL))
		return;
	/* Each proxy adds whom it was asked by at the end: only what a trusted one has added counts. */
	while (end > 0 && integ_address_listed(address, trusted))
	{
		size_t begin = end;

		while (begin > 0 && header[begin - 1] != ',')
			begin--;
		if (!read(header + begin, end - begin, next))
			return;
		strcpy(address, next);
		end = begin > 0 ? begin - 1 : 0;
	}
}
