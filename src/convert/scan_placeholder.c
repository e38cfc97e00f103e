/*
 * Cutting texts into literals and placeholders.
 */
#include "convert/scan.h"

#include <string.h>

static const char task_start[] = "{{task.";

static bool
starts(const IntegPlaceholderScan *scan, size_t at, const char *word)
{
	size_t len = strlen(word);

	return scan->source_len - at >= len && memcmp(scan->source + at, word, len) == 0;
}

/* Where the closing word begins, or the end of the source. */
static size_t
find(const IntegPlaceholderScan *scan, size_t at, const char *word)
{
	size_t len = strlen(word);

	for (; at + len <= scan->source_len; at++)
		if (memcmp(scan->source + at, word, len) == 0)
			return at;
	return scan->source_len;
}

static IntegPlaceholder
placeholder(IntegPlaceholderScan *scan, size_t opening, const char *closing, IntegPlaceholder kind)
{
	size_t start = scan->at + opening, end = find(scan, start, closing);

	scan->text = scan->source + scan->at;
	scan->len = scan->source_len - scan->at;
	if (end == scan->source_len)
	{
		scan->at = scan->source_len;
		return INTEG_PLACEHOLDER_UNCLOSED;
	}
	scan->text = scan->source + start;
	scan->len = end - start;
	scan->at = end + strlen(closing);
	return kind;
}

static bool
at_placeholder(const IntegPlaceholderScan *scan, size_t at)
{
	return (scan->fields && (starts(scan, at, "${") || starts(scan, at, "$${"))) || starts(scan, at, task_start);
}

IntegPlaceholder
integ_placeholder_next(IntegPlaceholderScan *scan)
{
	size_t start = scan->at;

	if (start == scan->source_len)
		return INTEG_PLACEHOLDER_END;
	if (scan->fields && starts(scan, start, "${"))
		return placeholder(scan, 2, "}", INTEG_PLACEHOLDER_FIELD);
	if (starts(scan, start, task_start))
		return placeholder(scan, strlen(task_start), "}}", INTEG_PLACEHOLDER_TASK);
	if (scan->fields && starts(scan, start, "$${"))
	{
		/* What is left of it is literal. */
		scan->text = scan->source + start + 1;
		scan->len = 2;
		scan->at = start + 3;
		return INTEG_PLACEHOLDER_LITERAL;
	}
	do
		scan->at++;
	while (scan->at < scan->source_len && !at_placeholder(scan, scan->at));
	scan->text = scan->source + start;
	scan->len = scan->at - start;
	return INTEG_PLACEHOLDER_LITERAL;
}
