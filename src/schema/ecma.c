/*
 * ECMA-262 patterns to PostgreSQL's: a recursive descent over the pattern
 * that writes the translation as it goes.
 *
 * The two dialects look alike and differ in what matters: in PostgreSQL "."
 * matches a newline, \d and \w depend on the collation, \x takes any number of
 * digits, a bracket may hold [:classes:], a repetition ends at 255, and a pattern may
 * start with options. So nothing is passed through that was not read and understood.
 */
#include "schema/ecma.h"

#include <stdint.h>
#include <string.h>

#include "schema/ecma_parts.h"

#define MAX_DEPTH 200
#define PG_MAX_REPEAT 255
#define MAX_REPEAT 5000
#define WORD "[A-Za-z0-9_]"

static bool alternatives(EcmaReader *r, int depth, bool in_lookaround);

bool
ecma_fail(EcmaReader *r, const char *problem)
{
	if (r->problem == NULL)
	{
		r->problem = problem;
		r->problem_at = r->at;
	}
	return false;
}

bool
ecma_emit(EcmaReader *r, const char *text, size_t len)
{
	if (r->written + len > INTEG_ECMA_MAX_BYTES)
		return ecma_fail(r, "is too complex");
	if (r->out != NULL && r->written + len <= r->size)
		memcpy(r->out + r->written, text, len);
	r->written += len;
	return true;
}

bool
ecma_emit_text(EcmaReader *r, const char *text)
{
	return ecma_emit(r, text, strlen(text));
}

/* A literal, in a form that is one everywhere. */
bool
ecma_emit_code_point(EcmaReader *r, uint32_t c)
{
	static const char hex[] = "0123456789abcdef";
	char escape[10] = {'\\', c > 0xffff ? 'U' : 'u'};
	int digits = c > 0xffff ? 8 : 4;

	if (c < 0x80 && ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')))
	{
		escape[0] = (char) c;
		return ecma_emit(r, escape, 1);
	}
	for (int i = 0; i < digits; i++)
		escape[2 + i] = hex[(c >> (4 * (digits - 1 - i))) & 0xf];
	return ecma_emit(r, escape, 2 + digits);
}

/* Writes what was written since start once more. */
static bool
emit_again(EcmaReader *r, size_t start, size_t len)
{
	if (r->written + len > INTEG_ECMA_MAX_BYTES)
		return ecma_fail(r, "is too complex");
	if (r->out != NULL && r->written + len <= r->size)
		memcpy(r->out + r->written, r->out + start, len);
	r->written += len;
	return true;
}

static bool
emit_bound(EcmaReader *r, int low, int high)
{
	char text[16];
	size_t n = 0;
	int bounds[2] = {low, high};

	text[n++] = '{';
	for (int i = 0; i < 2; i++)
	{
		char digits[4];
		int count = 0;

		if (i == 1)
		{
			if (high == low)
				break;
			text[n++] = ',';
			if (high < 0)
				break;
		}
		do
			digits[count++] = (char) ('0' + bounds[i] % 10);
		while ((bounds[i] /= 10) > 0);
		while (count > 0)
			text[n++] = digits[--count];
	}
	text[n++] = '}';
	return ecma_emit(r, text, n);
}

/*
 * The repetition {low,high} (high -1: no end) of the atom written since start,
 * in pieces that PostgreSQL takes: a{300,500} is a{255}a{45}a{0,200}.
 */
static bool
emit_repeat(EcmaReader *r, size_t start, int low, int high)
{
	size_t len = r->written - start;
	bool first = true;

	if (low > MAX_REPEAT || high > MAX_REPEAT)
		return ecma_fail(r, "repeats more than 5000 times");
	if ((low > PG_MAX_REPEAT || high > PG_MAX_REPEAT) && r->has_references)
		return ecma_fail(r, "repeats more than 255 times and has references to groups");
	do
	{
		int piece = low > PG_MAX_REPEAT ? PG_MAX_REPEAT : low;
		bool last_fixed = low <= PG_MAX_REPEAT;
		int optional = last_fixed && high >= 0 ? high - low : 0;
		int piece_high = piece;

		/* The last fixed piece takes as much of the optional part as fits. */
		if (last_fixed && high < 0)
			piece_high = -1;
		else if (last_fixed)
			piece_high = piece + optional > PG_MAX_REPEAT ? PG_MAX_REPEAT : piece + optional;
		if (!first && !emit_again(r, start, len))
			return false;
		if (!emit_bound(r, piece, piece_high))
			return false;
		first = false;
		low -= piece;
		if (high >= 0)
			high -= piece_high;
		if (last_fixed)
			low = 0;
	} while (low > 0 || high > 0);
	return true;
}

/* Digits as a number, somewhere above MAX_REPEAT where it is larger; -1 where there are none. */
static int
read_number(EcmaReader *r)
{
	int value = 0;
	size_t start = r->at;

	while (r->at < r->len && r->pattern[r->at] >= '0' && r->pattern[r->at] <= '9')
	{
		value = value > MAX_REPEAT ? value : value * 10 + (r->pattern[r->at] - '0');
		r->at++;
	}
	return r->at == start ? -1 : value;
}

/* Reads "{2}", "{2,}" or "{2,5}" at the reader's place; otherwise leaves it and returns false: a literal brace. */
static bool
read_braces(EcmaReader *r, int *low, int *high)
{
	size_t start = r->at;

	r->at++;
	*low = *high = read_number(r);
	if (*low >= 0 && r->at < r->len && r->pattern[r->at] == ',')
	{
		r->at++;
		*high = r->at < r->len && r->pattern[r->at] == '}' ? -1 : read_number(r);
		if (*high < 0 && !(r->at < r->len && r->pattern[r->at] == '}' && r->pattern[r->at - 1] == ','))
			*low = -1;
	}
	if (*low >= 0 && r->at < r->len && r->pattern[r->at] == '}')
	{
		r->at++;
		return true;
	}
	r->at = start;
	return false;
}

/* The quantifier behind an atom, if there is one. Whether it is lazy does not change what matches. */
static bool
quantifier(EcmaReader *r, size_t atom)
{
	char c = r->at < r->len ? r->pattern[r->at] : '\0';
	int low, high;

	if (c == '*' || c == '+' || c == '?')
	{
		r->at++;
		if (!ecma_emit(r, &c, 1))
			return false;
	}
	else if (c == '{' && read_braces(r, &low, &high))
	{
		if (high >= 0 && low > high)
			return ecma_fail(r, "has a repetition whose bounds are out of order");
		if (!emit_repeat(r, atom, low, high))
			return false;
	}
	else
		return true;
	if (r->at < r->len && r->pattern[r->at] == '?')
		r->at++;
	return true;
}

/* Reads the opening of a group, behind "(", and writes PostgreSQL's. */
static bool
open_group(EcmaReader *r, bool *lookaround)
{
	static const char *const openings[] = {"?:", "?=", "?!", "?<=", "?<!"};
	const char *rest = r->pattern + r->at;
	size_t left = r->len - r->at;

	*lookaround = false;
	if (left == 0 || rest[0] != '?')
		return ecma_emit_text(r, r->has_references ? "(" : "(?:");
	for (size_t i = 0; i < sizeof(openings) / sizeof(openings[0]); i++)
	{
		size_t n = strlen(openings[i]);

		if (left >= n && memcmp(rest, openings[i], n) == 0)
		{
			*lookaround = i > 0;
			r->at += n;
			return ecma_emit_text(r, "(") && ecma_emit_text(r, openings[i]);
		}
	}
	if (left >= 2 && rest[1] == '<')
	{
		size_t n = ecma_group_name(rest + 2, left - 2);

		if (n == 0)
			return ecma_fail(r, "has a group without a proper name");
		r->at += n + 3;
		return ecma_emit_text(r, r->has_references ? "(" : "(?:");
	}
	return ecma_fail(r, "has a group that ECMA-262 does not know");
}

static bool
group(EcmaReader *r, int depth, bool in_lookaround, bool *quantifiable)
{
	bool lookaround;
	bool captures = r->at < r->len && r->pattern[r->at] != '?';

	if (!open_group(r, &lookaround))
		return false;
	/* PostgreSQL does not number groups in there. */
	if (captures && in_lookaround && r->has_references)
		return ecma_fail(r, "has a group within a lookaround and references to groups");
	if (!alternatives(r, depth + 1, in_lookaround || lookaround))
		return false;
	if (r->at == r->len)
		return ecma_fail(r, "has a group that is not closed");
	r->at++;
	*quantifiable = !lookaround;
	return ecma_emit_text(r, ")");
}

/* \1 … and \k<name>, behind the backslash. */
static bool
reference(EcmaReader *r)
{
	int number;

	if (r->pattern[r->at] == 'k')
	{
		size_t n = 0;

		if (r->at + 1 < r->len && r->pattern[r->at + 1] == '<')
			n = ecma_group_name(r->pattern + r->at + 2, r->len - r->at - 2);
		if (n == 0)
			return ecma_fail(r, "has a reference without a proper name");
		number = ecma_find_group(r->pattern, r->len, r->pattern + r->at + 2, n);
		r->at += n + 3;
	}
	else
		number = read_number(r);
	if (number < 1 || number > 99 || number > ecma_find_group(r->pattern, r->len, NULL, 0))
		return ecma_fail(r, "refers to a group that it does not have");
	return ecma_emit_text(r, "(?:\\") && (number < 10 || ecma_emit_code_point(r, '0' + number / 10)) &&
		   ecma_emit_code_point(r, '0' + number % 10) && ecma_emit_text(r, ")");
}

/* An escape outside brackets, behind the backslash. */
static bool
atom_escape(EcmaReader *r, bool *quantifiable)
{
	EcmaSet set;
	uint32_t c;

	*quantifiable = true;
	if (r->at == r->len)
		return ecma_fail(r, "ends in a backslash");
	switch (r->pattern[r->at])
	{
		case 'b':
		case 'B':
			*quantifiable = false;
			/* Both sides alike, or not: PostgreSQL's own \y depends on the collation. */
			return ecma_emit_text(r, r->pattern[r->at++] == 'b'
										 ? "(?:(?<=" WORD ")(?!" WORD ")|(?<!" WORD ")(?=" WORD "))"
										 : "(?:(?<=" WORD ")(?=" WORD ")|(?<!" WORD ")(?!" WORD "))");
		case 'k':
		case '1':
		case '2':
		case '3':
		case '4':
		case '5':
		case '6':
		case '7':
		case '8':
		case '9':
			return reference(r);
		default:
			break;
	}
	if (ecma_read_set(r, &set))
		return ecma_emit_text(r, set.negated ? "[^" : "[") && ecma_emit_text(r, set.ranges) && ecma_emit_text(r, "]");
	return ecma_read_escape(r, &c) && ecma_emit_code_point(r, c);
}

/* One assertion or atom with its quantifier. */
static bool
term(EcmaReader *r, int depth, bool in_lookaround)
{
	size_t atom = r->written;
	char c = r->pattern[r->at];
	bool quantifiable = true, ok;
	int low, high;

	switch (c)
	{
		case '^':
		case '$':
			r->at++;
			quantifiable = false;
			ok = ecma_emit(r, &c, 1);
			break;
		case '(':
			r->at++;
			ok = group(r, depth, in_lookaround, &quantifiable);
			break;
		case '[':
			r->at++;
			ok = ecma_read_class(r);
			break;
		case '.':
			r->at++;
			ok = ecma_emit_text(r, "[^\\n\\r\\u2028\\u2029]");
			break;
		case '\\':
			r->at++;
			ok = atom_escape(r, &quantifiable);
			break;
		case '*':
		case '+':
		case '?':
			return ecma_fail(r, "repeats nothing");
		case '{':
			if (read_braces(r, &low, &high))
				return ecma_fail(r, "repeats nothing");
			/* FALLTHROUGH */
		default:
			ok = ecma_emit_code_point(r, ecma_read_code_point(r));
			break;
	}
	if (!ok || r->problem != NULL)
		return false;
	return !quantifiable || quantifier(r, atom);
}

/* Branches up to a closing parenthesis or the end. */
static bool
alternatives(EcmaReader *r, int depth, bool in_lookaround)
{
	if (depth > MAX_DEPTH)
		return ecma_fail(r, "is nested too deeply");
	while (r->at < r->len)
	{
		if (r->pattern[r->at] == ')')
			return depth > 0 || ecma_fail(r, "has a parenthesis too many");
		if (r->pattern[r->at] == '|')
		{
			r->at++;
			if (!ecma_emit_text(r, "|"))
				return false;
		}
		else if (!term(r, depth, in_lookaround))
			return false;
	}
	return true;
}

bool
integ_ecma_translate(const char *pattern, size_t len, char *out, size_t size, IntegEcmaResult *result)
{
	EcmaReader reader = {.pattern = pattern, .len = len, .out = out, .size = size};
	bool ok;

	reader.has_references = ecma_has_references(pattern, len);
	ok = alternatives(&reader, 0, false);
	result->length = reader.written;
	result->has_references = reader.has_references;
	result->has_classes = reader.has_classes;
	result->problem = reader.problem;
	result->offset = reader.problem_at;
	return ok;
}
