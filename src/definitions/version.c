/*
 * Semantic versions (semver.org 2.0.0). Free of PostgreSQL.
 */
#include "definitions/version.h"

#include <string.h>

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_identifier(char c)
{
	return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-';
}

/* A number without a leading zero; moves the text behind it. */
static bool
parse_number(const char **text, uint64_t *number)
{
	const char *start = *text;

	*number = 0;
	while (is_digit(**text))
	{
		if (*number > (UINT64_MAX - 9) / 10)
			return false;
		*number = *number * 10 + (uint64_t) (**text - '0');
		(*text)++;
	}
	return *text > start && (*start != '0' || *text == start + 1);
}

static bool
is_numeric(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_digit(text[i]))
			return false;
	return true;
}

/* Identifiers between dots, none empty; moves the text behind them. */
static bool
parse_identifiers(const char **text, bool leading_zeros)
{
	for (;;)
	{
		const char *start = *text;
		size_t len;

		while (is_identifier(**text))
			(*text)++;
		len = (size_t) (*text - start);
		if (len == 0 || (!leading_zeros && len > 1 && *start == '0' && is_numeric(start, len)))
			return false;
		if (**text != '.')
			return true;
		(*text)++;
	}
}

bool
integ_version_parse(const char *text, IntegVersion *version)
{
	version->prerelease = NULL;
	version->prerelease_len = 0;
	if (!parse_number(&text, &version->major) || *text++ != '.' ||
		!parse_number(&text, &version->minor) || *text++ != '.' ||
		!parse_number(&text, &version->patch))
		return false;
	if (*text == '-')
	{
		version->prerelease = ++text;
		if (!parse_identifiers(&text, false))
			return false;
		version->prerelease_len = (size_t) (text - version->prerelease);
	}
	if (*text == '+')
	{
		text++;
		if (!parse_identifiers(&text, true))
			return false;
	}
	return *text == '\0';
}

static int
compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* Numeric identifiers precede others; among themselves they compare by value: no leading zeros, so by length first. */
static int
compare_identifiers(const char *a, size_t alen, const char *b, size_t blen)
{
	bool anumeric = is_numeric(a, alen);
	bool bnumeric = is_numeric(b, blen);
	int order;

	if (anumeric != bnumeric)
		return anumeric ? -1 : 1;
	if (anumeric && alen != blen)
		return alen < blen ? -1 : 1;
	order = memcmp(a, b, alen < blen ? alen : blen);
	return order != 0 ? order : compare_numbers(alen, blen);
}

static size_t
identifier_length(const char *text, size_t len)
{
	const char *dot = memchr(text, '.', len);

	return dot == NULL ? len : (size_t) (dot - text);
}

static int
compare_prereleases(const char *a, size_t alen, const char *b, size_t blen)
{
	if (alen == 0 || blen == 0)
		return compare_numbers(alen == 0, blen == 0); /* a release follows its prereleases */
	for (;;)
	{
		size_t an = identifier_length(a, alen);
		size_t bn = identifier_length(b, blen);
		int order = compare_identifiers(a, an, b, bn);

		if (order != 0)
			return order;
		if (an == alen || bn == blen)
			return compare_numbers(alen - an, blen - bn);
		a += an + 1;
		alen -= an + 1;
		b += bn + 1;
		blen -= bn + 1;
	}
}

int
integ_version_compare(const IntegVersion *a, const IntegVersion *b)
{
	int order = compare_numbers(a->major, b->major);

	if (order == 0)
		order = compare_numbers(a->minor, b->minor);
	if (order == 0)
		order = compare_numbers(a->patch, b->patch);
	if (order == 0)
		order = compare_prereleases(a->prerelease, a->prerelease_len, b->prerelease, b->prerelease_len);
	return order;
}
