/*
 * sources: src/schema/format.c src/schema/format_time.c src/schema/format_net.c
 * sources: src/schema/format_uri.c src/schema/ecma.c src/schema/ecma_parts.c src/schema/uri.c
 *
 * Every format on any bytes, the translation of patterns, the resolution of references.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/ecma.h"
#include "schema/format.h"
#include "schema/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
translate(const char *text, size_t len)
{
	IntegEcmaResult counted, written;
	char *out;

	if (!integ_ecma_translate(text, len, NULL, 0, &counted))
	{
		if (counted.problem == NULL || counted.offset > len)
			abort();
		return;
	}
	out = malloc(counted.length + 1);
	/* What was counted is what is written, and no more is needed. */
	if (!integ_ecma_translate(text, len, out, counted.length, &written) || written.length != counted.length)
		abort();
	free(out);
}

static void
resolve(const char *text, size_t len)
{
	size_t cut = memchr(text, '\n', len) != NULL ? (size_t) ((const char *) memchr(text, '\n', len) - text) : len;
	char *base = strndup(text, cut);
	char *reference = cut < len ? strndup(text + cut + 1, len - cut - 1) : strdup("");
	char *out = malloc(INTEG_URI_ROOM(strlen(base), strlen(reference)));

	integ_uri_resolve(base, reference, out);
	(void) integ_uri_decode(out, strlen(out));
	free(base);
	free(reference);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of the exact size, so that the sanitizer sees one byte too many. */
	char *exact = malloc(size > 0 ? size : 1);

	memcpy(exact, data, size);
	for (int format = INTEG_FORMAT_NONE; format <= INTEG_FORMAT_BYTE; format++)
		(void) integ_format_valid((IntegFormat) format, exact, size);
	translate(exact, size);
	resolve(exact, size);
	free(exact);
	return 0;
}
