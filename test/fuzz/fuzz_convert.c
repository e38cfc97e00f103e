/* sources: src/convert/scan_number.c src/convert/scan_time.c src/convert/scan_placeholder.c */
/*
 * What conversion reads of a service's texts, on any bytes: numbers, dates and
 * templates. What they find lies within the text, is consistent, and ends.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "convert/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
need(bool condition)
{
	if (!condition)
		abort();
}

static void
numbers(const char *text, size_t size)
{
	size_t start = SIZE_MAX, length = 0;
	char *copy, *end;

	if (!integ_scan_number(text, size, &start, &length))
	{
		need(!integ_scan_json_number(text, size));
		return;
	}
	need(length > 0 && length <= 1000 && start <= size && length <= size - start);
	/* It is what C reads as a whole. */
	copy = strndup(text + start, length);
	(void) strtod(copy, &end);
	need(*end == '\0');
	free(copy);
	if (integ_scan_json_number(text, size))
		need(start == 0 && length == size && text[0] != '+');
}

static void
times(const char *text, size_t size)
{
	IntegIsoTime time;

	if (!integ_scan_iso_time(text, size, &time))
		return;
	need(size >= 10);
	need(time.year >= 1 && time.year <= 9999 && time.month >= 1 && time.month <= 12 && time.day >= 1 && time.day <= 31);
	need(time.has_time || (size == 10 && !time.has_zone && time.hour == 0));
	need(time.hour >= 0 && time.hour <= 24 && time.minute >= 0 && time.minute <= 59);
	need(time.second >= 0 && time.second <= 60 && time.microsecond >= 0 && time.microsecond <= 1000000);
	need(time.offset > -16 * 3600 && time.offset < 16 * 3600 && (time.has_zone || time.offset == 0));
}

/* The pieces in order make up the source but for the marks around placeholders. */
static void
placeholders(const char *text, size_t size, bool fields)
{
	IntegPlaceholderScan scan = {.source = text, .source_len = size, .fields = fields};
	IntegPlaceholder kind;
	size_t at = 0;

	while ((kind = integ_placeholder_next(&scan)) != INTEG_PLACEHOLDER_END)
	{
		need(scan.at > at && scan.at <= size);
		need(scan.text >= text + at && scan.text + scan.len <= text + scan.at);
		need(kind != INTEG_PLACEHOLDER_LITERAL || scan.len > 0);
		need(kind != INTEG_PLACEHOLDER_FIELD || fields);
		at = scan.at;
	}
	need(scan.at == size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size > 0 ? size : 1);

	memcpy(text, data, size);
	numbers(text, size);
	times(text, size);
	placeholders(text, size, true);
	placeholders(text, size, false);
	free(text);
	return 0;
}
