/*
 * Reading a form.
 */
#include "http/form.h"

#include <string.h>

#include "core/hex.h"

bool
integ_form_next(const char **text, const char *end, IntegFormField *field)
{
	const char *start = *text, *stop, *equals;

	while (start < end && *start == '&')
		start++;
	if (start == end)
	{
		*text = end;
		return false;
	}
	stop = memchr(start, '&', (size_t) (end - start));
	if (stop == NULL)
		stop = end;
	equals = memchr(start, '=', (size_t) (stop - start));
	field->name = start;
	field->name_len = (size_t) ((equals == NULL ? stop : equals) - start);
	field->value = equals == NULL ? stop : equals + 1;
	field->value_len = (size_t) (stop - field->value);
	*text = stop;
	return true;
}

size_t
integ_form_decode(const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];

		if (c == '+')
			c = ' ';
		else if (c == '%' && len - i > 2 && integ_hex_value(text[i + 1]) >= 0 && integ_hex_value(text[i + 2]) >= 0)
		{
			c = (char) (integ_hex_value(text[i + 1]) << 4 | integ_hex_value(text[i + 2]));
			i += 2;
		}
		out[n++] = c;
	}
	return n;
}
