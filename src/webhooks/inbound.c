/*
 * Reading an inbound request.
 */
#include "webhooks/signature.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/form.h"

const char *
integ_inbound_header(const IntegInbound *request, const char *name)
{
	const char *value = NULL;

	for (int i = 0; i < request->nheaders; i++)
	{
		if (strcasecmp(request->headers[i].name, name) != 0)
			continue;
		/* Which of the two a proxy before us has looked at is anybody's guess. */
		if (value != NULL)
			return NULL;
		value = request->headers[i].value;
	}
	return value;
}

char *
integ_inbound_query(const IntegInbound *request, const char *name)
{
	const char *at = request->query, *end = at == NULL ? NULL : at + strlen(at);
	IntegFormField field;

	while (at != NULL && integ_form_next(&at, end, &field))
	{
		char *text = malloc(field.name_len + field.value_len + 1);
		size_t len;

		if (text == NULL)
			return NULL;
		len = integ_form_decode(field.name, field.name_len, text);
		if (len == strlen(name) && memcmp(text, name, len) == 0)
		{
			text[integ_form_decode(field.value, field.value_len, text)] = '\0';
			return text;
		}
		free(text);
	}
	return NULL;
}

bool
integ_inbound_is_form(const IntegInbound *request)
{
	static const char form[] = "application/x-www-form-urlencoded";
	const char *type = integ_inbound_header(request, "content-type");

	return type != NULL && strncasecmp(type, form, sizeof(form) - 1) == 0 &&
		   strchr("; \t", type[sizeof(form) - 1]) != NULL;
}
