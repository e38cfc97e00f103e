/*
 * Cutting dotted paths into steps.
 */
#include "template/scan.h"

#define MAX_INDEX 100000000

void
integ_steps_begin(IntegSteps *steps, const char *source, size_t len)
{
	*steps = (IntegSteps){.source = source, .source_len = len};
}

static bool
fail(IntegSteps *steps, const char *problem)
{
	steps->problem = problem;
	return false;
}

static bool
is_plain(unsigned char c)
{
	return c > ' ' && c != 0x7f && c != '.' && c != '[' && c != ']' && c != '{' && c != '}' && c != '"';
}

/* "odd key", from its quote. */
static bool
read_quoted(IntegSteps *steps)
{
	size_t at = steps->at + 1;

	steps->key = steps->source + at;
	steps->escaped = false;
	for (; at < steps->source_len && steps->source[at] != '"'; at++)
		if (steps->source[at] == '\\')
		{
			steps->escaped = true;
			if (++at == steps->source_len || (steps->source[at] != '"' && steps->source[at] != '\\'))
				return fail(steps, "has a backslash before something else than a quote or a backslash");
		}
	if (at >= steps->source_len)
		return fail(steps, "has a quoted key that is not closed");
	steps->len = steps->source + at - steps->key;
	steps->at = at + 1;
	return true;
}

static bool
read_plain(IntegSteps *steps)
{
	size_t at = steps->at;

	while (at < steps->source_len && is_plain((unsigned char) steps->source[at]))
		at++;
	if (at == steps->at)
		return fail(steps, "has an empty key or a character that needs quotes");
	steps->key = steps->source + steps->at;
	steps->len = at - steps->at;
	steps->escaped = false;
	steps->at = at;
	return true;
}

/* [3], [-1] or ["odd key"], from its bracket. */
static bool
read_bracket(IntegSteps *steps)
{
	size_t at = steps->at + 1;
	bool negative = at < steps->source_len && steps->source[at] == '-';
	size_t first;

	if (at < steps->source_len && steps->source[at] == '"')
	{
		steps->at = at;
		if (!read_quoted(steps))
			return false;
		if (steps->at == steps->source_len || steps->source[steps->at] != ']')
			return fail(steps, "has a bracket that is not closed");
		steps->at++;
		return true;
	}
	steps->key = NULL;
	steps->len = 0;
	steps->index = 0;
	if (negative)
		at++;
	for (first = at; at < steps->source_len && steps->source[at] >= '0' && steps->source[at] <= '9'; at++)
	{
		steps->index = steps->index * 10 + (steps->source[at] - '0');
		if (steps->index > MAX_INDEX)
			return fail(steps, "has an index that is too large");
	}
	if (at == first || at == steps->source_len || steps->source[at] != ']' || (negative && steps->index == 0))
		return fail(steps, "has a bracket that holds no index and no quoted key");
	if (negative)
		steps->index = -steps->index;
	steps->at = at + 1;
	return true;
}

bool
integ_steps_next(IntegSteps *steps)
{
	bool first = steps->at == 0;

	if (steps->problem != NULL || steps->at == steps->source_len)
		return false;
	if (steps->source[steps->at] == '[')
		return read_bracket(steps);
	if (!first)
	{
		if (steps->source[steps->at] != '.')
			return fail(steps, "has something between two steps");
		steps->at++;
		if (steps->at < steps->source_len && steps->source[steps->at] == '[')
			return fail(steps, "has a dot before a bracket");
	}
	if (steps->at < steps->source_len && steps->source[steps->at] == '"')
		return read_quoted(steps);
	return read_plain(steps);
}

size_t
integ_steps_unescape(const IntegSteps *steps, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < steps->len; i++)
	{
		if (steps->escaped && steps->key[i] == '\\')
			i++;
		out[n++] = steps->key[i];
	}
	return n;
}
