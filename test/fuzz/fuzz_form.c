/* sources: src/http/form.c */
/*
 * A form: every field lies within the text, behind the one before it, and decodes to no more bytes than it has; decoded
 * in its own place it is the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const char *text, size_t len)
{
	char *out = malloc(len + 1), *own = malloc(len + 1);
	size_t n;

	if (out == NULL || own == NULL)
		abort();
	memcpy(own, text, len);
	n = integ_form_decode(text, len, out);
	if (n > len || integ_form_decode(own, len, own) != n || memcmp(own, out, n) != 0)
		abort();
	free(out);
	free(own);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size == 0 ? 1 : size);
	const char *at, *end, *last;
	IntegFormField field;

	if (text == NULL)
		abort();
	at = last = text;
	end = text + size;
	memcpy(text, data, size);
	while (integ_form_next(&at, end, &field))
	{
		if (field.name < last || field.value < field.name + field.name_len || field.value + field.value_len > end ||
			at > end || at <= last)
			abort();
		last = at;
		check(field.name, field.name_len);
		check(field.value, field.value_len);
	}
	if (at != end)
		abort();
	free(text);
	return 0;
}
