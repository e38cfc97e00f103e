/*
 * Reading texts as numbers.
 */
#include "convert/scan.h"

#define MAX_LENGTH 1000
#define MAX_EXPONENT 1000

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t
skip_digits(const char *text, size_t at, size_t end)
{
	while (at < end && is_digit(text[at]))
		at++;
	return at;
}

/* Reads e±digits at *at; false where it is malformed or too large. */
static bool
scan_exponent(const char *text, size_t *at, size_t end)
{
	int exponent = 0;
	size_t first;

	if (*at == end || (text[*at] != 'e' && text[*at] != 'E'))
		return true;
	(*at)++;
	if (*at < end && (text[*at] == '+' || text[*at] == '-'))
		(*at)++;
	for (first = *at; *at < end && is_digit(text[*at]); (*at)++)
	{
		exponent = exponent * 10 + (text[*at] - '0');
		if (exponent > MAX_EXPONENT)
			return false;
	}
	return *at > first;
}

bool
integ_scan_number(const char *text, size_t len, size_t *start, size_t *length)
{
	size_t begin = 0, end = len, at, whole, fraction = 0;

	while (begin < end && is_space(text[begin]))
		begin++;
	while (end > begin && is_space(text[end - 1]))
		end--;
	if (end - begin > MAX_LENGTH)
		return false;
	if (begin < end && text[begin] == '+')
		begin++;
	at = begin;
	if (at == begin && at < end && text[at] == '-' && (begin == 0 || text[begin - 1] != '+'))
		at++;
	whole = skip_digits(text, at, end) - at;
	at += whole;
	if (at < end && text[at] == '.')
	{
		fraction = skip_digits(text, at + 1, end) - (at + 1);
		at += 1 + fraction;
	}
	if (whole + fraction == 0 || !scan_exponent(text, &at, end) || at != end)
		return false;
	if (start != NULL)
		*start = begin;
	if (length != NULL)
		*length = end - begin;
	return true;
}

bool
integ_scan_json_number(const char *text, size_t len)
{
	size_t start, length, digit;

	if (!integ_scan_number(text, len, &start, &length) || start != 0 || length != len)
		return false;
	digit = text[0] == '-' ? 1 : 0;
	/* .5, 5. and 05 are none. */
	if (digit == len || !is_digit(text[digit]))
		return false;
	if (text[digit] == '0' && digit + 1 < len && is_digit(text[digit + 1]))
		return false;
	for (size_t i = digit; i < len; i++)
		if (text[i] == '.' && (i + 1 == len || !is_digit(text[i + 1])))
			return false;
	return true;
}
