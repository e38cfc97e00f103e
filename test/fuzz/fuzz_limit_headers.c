/* sources: src/limits/headers.c src/limits/times.c */
/*
 * "name: value" lines as the headers of an answer, read by every name and in every unit: what comes out is
 * within its bounds.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "limits/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The value of the first line with that name; the text's lines are NUL-terminated. */
typedef struct Lines
{
	char *text;
	size_t size;
} Lines;

static const char *
get(void *arg, const char *name)
{
	const Lines *lines = arg;
	size_t length = strlen(name);

	for (size_t at = 0; at < lines->size; at += strlen(lines->text + at) + 1)
		if (strncmp(lines->text + at, name, length) == 0 && lines->text[at + length] == ':')
			return lines->text + at + length + 1;
	return NULL;
}

static void
check(const IntegLearned *learned)
{
	if (learned->limit < -1 || learned->remaining < -1 || learned->reset_us < -1 || learned->retry_us < -1 ||
		learned->reset_us > INTEG_LIMIT_TIME_MAX || learned->retry_us > INTEG_LIMIT_TIME_MAX)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int64_t now = INT64_C(1768478400) * 1000000;
	IntegLimitHeaders named = {.limit = "l#k", .remaining = "r", .used = "u", .usage = "a#b", .reset = "t", .retry_after = "w"};
	Lines lines = {malloc(size + 1), size};
	IntegLearned learned = {-1, -1, -1, -1};

	memcpy(lines.text, data, size);
	lines.text[size] = '\0';
	for (size_t i = 0; i < size; i++)
		if (lines.text[i] == '\n')
			lines.text[i] = '\0';
	(void) integ_limit_headers_read_standard(get, &lines, now, &learned);
	check(&learned);
	for (int unit = INTEG_TIME_AUTO; unit <= INTEG_TIME_INTERVAL_MS; unit++)
	{
		learned = (IntegLearned){-1, -1, -1, -1};
		named.reset_unit = named.retry_after_unit = (IntegTimeUnit) unit;
		(void) integ_limit_headers_read(&named, get, &lines, now, &learned);
		check(&learned);
	}
	free(lines.text);
	return 0;
}
