/*
 * Scanning the text of a template.
 */
#include "template/scan.h"

void
integ_scan_begin(IntegScan *scan, const char *source, size_t len)
{
	*scan = (IntegScan){.source = source, .source_len = len};
}

static bool
at_pair(const IntegScan *scan, size_t at, char c)
{
	return at + 1 < scan->source_len && scan->source[at] == c && scan->source[at + 1] == c;
}

/* Where the placeholder that opens at `at` closes; the end of the text where it does not. Quotes may hold a brace. */
static size_t
placeholder_end(const IntegScan *scan, size_t at)
{
	bool quoted = false;

	for (at++; at < scan->source_len; at++)
	{
		if (quoted && scan->source[at] == '\\')
			at++;
		else if (scan->source[at] == '"')
			quoted = !quoted;
		else if (!quoted && scan->source[at] == '}')
			return at;
	}
	return scan->source_len;
}

typedef struct Lookahead
{
	bool has_placeholder;
	bool nested;
	bool closed;
} Lookahead;

/* What the bracket that opens at `at` holds. */
static Lookahead
look_ahead(const IntegScan *scan, size_t at)
{
	Lookahead seen = {false, false, false};
	int depth = 1;

	for (at++; at < scan->source_len && !seen.closed; at++)
	{
		char c = scan->source[at];

		if ((c == '{' || c == '}' || c == '[' || c == ']') && at_pair(scan, at, c))
			at++;
		else if (c == '{')
		{
			seen.has_placeholder = true;
			at = placeholder_end(scan, at);
		}
		else if (c == '[')
		{
			seen.nested = true;
			depth++;
		}
		else if (c == ']')
			seen.closed = --depth == 0;
	}
	return seen;
}

static IntegScanToken
token(IntegScan *scan, IntegScanToken kind, size_t start, size_t len, size_t next)
{
	scan->text = scan->source + start;
	scan->len = len;
	scan->at = next;
	return kind;
}

static IntegScanToken
malformed(IntegScan *scan, const char *problem)
{
	scan->problem = problem;
	return INTEG_SCAN_MALFORMED;
}

static IntegScanToken
scan_placeholder(IntegScan *scan)
{
	size_t start = scan->at + 1, end = placeholder_end(scan, scan->at);

	if (end == scan->source_len)
		return malformed(scan, "has a placeholder that is not closed (a literal brace is written {{)");
	scan->keep_slashes = start < end && scan->source[start] == '+';
	if (scan->keep_slashes)
		start++;
	if (start == end)
		return malformed(scan, "has a placeholder without a name (a literal brace is written {{)");
	return token(scan, INTEG_SCAN_PLACEHOLDER, start, end - start, end + 1);
}

static IntegScanToken
scan_open(IntegScan *scan)
{
	Lookahead seen;

	if (scan->in_fragment)
		return malformed(scan, "has a fragment within a fragment (a literal bracket is written [[)");
	seen = look_ahead(scan, scan->at);
	if (!seen.has_placeholder)
		return token(scan, INTEG_SCAN_LITERAL, scan->at, 1, scan->at + 1);
	if (seen.nested)
		return malformed(scan, "has a fragment within a fragment (a literal bracket is written [[)");
	if (!seen.closed)
		return malformed(scan, "has a fragment that is not closed (a literal bracket is written [[)");
	scan->in_fragment = true;
	return token(scan, INTEG_SCAN_OPEN, scan->at, 1, scan->at + 1);
}

IntegScanToken
integ_scan_next(IntegScan *scan)
{
	size_t at = scan->at;
	char c;

	if (at == scan->source_len)
		return scan->in_fragment ? malformed(scan, "has a fragment that is not closed (a literal bracket is written [[)")
								 : INTEG_SCAN_END;
	c = scan->source[at];
	if ((c == '{' || c == '}' || c == '[' || c == ']') && at_pair(scan, at, c))
		return token(scan, INTEG_SCAN_LITERAL, at, 1, at + 2);
	switch (c)
	{
		case '{':
			return scan_placeholder(scan);
		case '}':
			return malformed(scan, "has a closing brace that opens nowhere (a literal brace is written }})");
		case '[':
			return scan_open(scan);
		case ']':
			if (scan->in_fragment)
			{
				scan->in_fragment = false;
				return token(scan, INTEG_SCAN_CLOSE, at, 1, at + 1);
			}
			return token(scan, INTEG_SCAN_LITERAL, at, 1, at + 1);
		default:
			break;
	}
	while (at < scan->source_len && scan->source[at] != '{' && scan->source[at] != '}' && scan->source[at] != '[' &&
		   scan->source[at] != ']')
		at++;
	return token(scan, INTEG_SCAN_LITERAL, scan->at, at - scan->at, at);
}
