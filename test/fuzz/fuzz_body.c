/* sources: src/http/body.c src/http/media_type.c */
/*
 * A content type, a newline, a body: what comes out is valid UTF-8 without NUL, and
 * stays as it is the second time.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const char *body, size_t len, const char *content_type, int json)
{
	IntegBodyText text, again;
	char *copy;
	IntegBodyStatus status = json ? integ_body_to_json_text(body, len, content_type, &text)
								  : integ_body_to_text(body, len, content_type, &text);

	if (status != INTEG_BODY_OK)
		return;
	if (strlen(text.text) != text.len)
		abort();
	copy = strdup(text.text);
	integ_utf8_sanitize(copy, text.len);
	if (strcmp(copy, text.text) != 0)
		abort();
	free(copy);
	/* A second byte order mark would be taken for one. */
	if (strncmp(text.text, "\xEF\xBB\xBF", 3) != 0)
	{
		status = json ? integ_body_to_json_text(text.text, text.len, "application/json; charset=utf-8", &again)
					  : integ_body_to_text(text.text, text.len, NULL, &again);
		if (status != INTEG_BODY_OK || again.replaced || again.owned != NULL || again.text != text.text)
			abort();
	}
	free(text.owned);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	size_t type_len = newline != NULL ? (size_t) (newline - data) : 0;
	size_t start = newline != NULL ? type_len + 1 : 0;
	char *content_type = malloc(type_len + 1), *body = malloc(size - start + 1);

	memcpy(content_type, data, type_len);
	content_type[type_len] = '\0';
	memcpy(body, data + start, size - start);
	body[size - start] = '\0';
	integ_body_kind(content_type, body, size - start);
	for (int json = 0; json < 2; json++)
	{
		check(body, size - start, content_type, json);
		check(body, size - start, NULL, json);
	}
	free(body);
	free(content_type);
	return 0;
}
