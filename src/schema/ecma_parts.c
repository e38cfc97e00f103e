/*
 * Escapes, sets and classes of ECMA-262 patterns.
 */
#include "schema/ecma_parts.h"

#include <string.h>

#define SPACES "\\t\\n\\v\\f\\r\\u0020\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
#define NOT_SPACES                                                                               \
	"\\u0000-\\u0008\\u000e-\\u001f\\u0021-\\u009f\\u00a1-\\u167f\\u1681-\\u1fff\\u200b-\\u2027" \
	"\\u202a-\\u202e\\u2030-\\u205e\\u2060-\\u2fff\\u3001-\\ufefe\\uff00-\\U0010ffff"
#define SEPARATORS "\\u0020\\u00a0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000"

typedef struct NamedSet
{
	const char *name;
	const char *ranges;
} NamedSet;

/* Unicode properties that PostgreSQL's classes or plain ranges express exactly. */
static const NamedSet properties[] = {
	{"L", "[:alpha:]"},
	{"Letter", "[:alpha:]"},
	{"Alphabetic", "[:alpha:]"},
	{"Alpha", "[:alpha:]"},
	{"Lu", "[:upper:]"},
	{"Uppercase_Letter", "[:upper:]"},
	{"Uppercase", "[:upper:]"},
	{"Upper", "[:upper:]"},
	{"Ll", "[:lower:]"},
	{"Lowercase_Letter", "[:lower:]"},
	{"Lowercase", "[:lower:]"},
	{"Lower", "[:lower:]"},
	{"Nd", "[:digit:]"},
	{"Decimal_Number", "[:digit:]"},
	{"digit", "[:digit:]"},
	{"P", "[:punct:]"},
	{"Punctuation", "[:punct:]"},
	{"punct", "[:punct:]"},
	{"White_Space", "[:space:]"},
	{"space", "[:space:]"},
	{"Zs", SEPARATORS},
	{"Space_Separator", SEPARATORS},
	{"Z", SEPARATORS "\\u2028\\u2029"},
	{"Separator", SEPARATORS "\\u2028\\u2029"},
	{"Cc", "\\u0000-\\u001f\\u007f-\\u009f"},
	{"Control", "\\u0000-\\u001f\\u007f-\\u009f"},
	{"cntrl", "\\u0000-\\u001f\\u007f-\\u009f"},
	{"ASCII", "\\u0000-\\u007f"},
	{"Any", "\\u0000-\\U0010ffff"},
};

uint32_t
ecma_read_code_point(EcmaReader *r)
{
	const unsigned char *s = (const unsigned char *) r->pattern + r->at;
	size_t left = r->len - r->at;
	int more = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2
							  : s[0] >= 0xc0   ? 1
											   : 0;
	uint32_t c = more == 0 ? s[0] : s[0] & (0x3f >> more);

	if (left < (size_t) more + 1)
	{
		r->at++;
		return s[0];
	}
	for (int i = 1; i <= more; i++)
		c = c << 6 | (s[i] & 0x3f);
	r->at += more + 1;
	return c;
}

/* Exactly n hexadecimal digits. */
static bool
read_hex(EcmaReader *r, int n, uint32_t *value)
{
	*value = 0;
	if (r->len - r->at < (size_t) n)
		return false;
	for (int i = 0; i < n; i++)
	{
		char c = r->pattern[r->at + i];

		if (c >= '0' && c <= '9')
			*value = *value << 4 | (uint32_t) (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*value = *value << 4 | (uint32_t) ((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	r->at += n;
	return true;
}

/* \u0041, \u{1f432} or a pair of surrogates, behind the "u". */
static bool
read_unicode(EcmaReader *r, uint32_t *c)
{
	uint32_t low;
	size_t digits = 0;

	if (r->at < r->len && r->pattern[r->at] == '{')
	{
		const char *end = memchr(r->pattern + r->at, '}', r->len - r->at);

		r->at++;
		digits = end == NULL ? 0 : (size_t) (end - (r->pattern + r->at));
		if (digits == 0 || digits > 6 || !read_hex(r, (int) digits, c) || *c > 0x10ffff)
			return ecma_fail(r, "has a malformed \\u escape");
		r->at++;
		return true;
	}
	if (!read_hex(r, 4, c))
		return ecma_fail(r, "has a malformed \\u escape");
	if (*c >= 0xd800 && *c <= 0xdbff && r->len - r->at >= 6 && memcmp(r->pattern + r->at, "\\u", 2) == 0)
	{
		size_t back = r->at;

		r->at += 2;
		if (read_hex(r, 4, &low) && low >= 0xdc00 && low <= 0xdfff)
			*c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
		else
			r->at = back;
	}
	return true;
}

bool
ecma_read_escape(EcmaReader *r, uint32_t *c)
{
	static const char names[] = "tnvfr";
	static const char values[] = "\t\n\v\f\r";
	char e;
	const char *name;

	if (r->at == r->len)
		return ecma_fail(r, "ends in a backslash");
	e = r->pattern[r->at];
	if ((name = e == '\0' ? NULL : strchr(names, e)) != NULL)
	{
		r->at++;
		*c = (uint32_t) values[name - names];
		return true;
	}
	switch (e)
	{
		case 'u':
			r->at++;
			return read_unicode(r, c);
		case 'x':
			r->at++;
			return read_hex(r, 2, c) || ecma_fail(r, "has a malformed \\x escape");
		case 'c':
			if (r->len - r->at < 2 || (r->pattern[r->at + 1] | 0x20) < 'a' || (r->pattern[r->at + 1] | 0x20) > 'z')
				return ecma_fail(r, "has a malformed \\c escape");
			*c = (uint32_t) r->pattern[r->at + 1] & 0x1f;
			r->at += 2;
			return true;
		case '0':
			if (r->at + 1 < r->len && r->pattern[r->at + 1] >= '0' && r->pattern[r->at + 1] <= '9')
				return ecma_fail(r, "has an octal escape");
			r->at++;
			*c = 0;
			return true;
		default:
			if ((e >= '0' && e <= '9') || ((e | 0x20) >= 'a' && (e | 0x20) <= 'z'))
				return ecma_fail(r, "has an escape that ECMA-262 does not know");
			*c = ecma_read_code_point(r);
			return true;
	}
}

/* \p{Letter}, \p{gc=L}, behind the "p". */
static bool
read_property(EcmaReader *r, EcmaSet *set)
{
	const char *name = r->pattern + r->at + 1;
	const char *end = NULL, *equals;
	size_t len;

	if (r->at < r->len && r->pattern[r->at] == '{')
		end = memchr(name, '}', r->len - r->at - 1);
	if (end == NULL)
		return ecma_fail(r, "has a malformed \\p escape");
	len = end - name;
	equals = memchr(name, '=', len);
	if (equals != NULL && ((equals - name == 2 && memcmp(name, "gc", 2) == 0) ||
						   (equals - name == 16 && memcmp(name, "General_Category", 16) == 0)))
	{
		len -= equals + 1 - name;
		name = equals + 1;
	}
	for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++)
		if (strlen(properties[i].name) == len && memcmp(properties[i].name, name, len) == 0)
		{
			r->at = end + 1 - r->pattern;
			set->ranges = properties[i].ranges;
			set->complement = NULL;
			if (set->ranges[0] == '[')
				r->has_classes = true;
			return true;
		}
	return ecma_fail(r, "uses a Unicode property that is not supported");
}

bool
ecma_read_set(EcmaReader *r, EcmaSet *set)
{
	char e = r->at < r->len ? r->pattern[r->at] : '\0';

	set->negated = e >= 'A' && e <= 'Z';
	switch (e | 0x20)
	{
		case 'd':
			set->ranges = "0-9";
			set->complement = "\\u0000-\\u002f\\u003a-\\U0010ffff";
			break;
		case 'w':
			set->ranges = "0-9A-Za-z_";
			set->complement = "\\u0000-\\u002f\\u003a-\\u0040\\u005b-\\u005e\\u0060\\u007b-\\U0010ffff";
			break;
		case 's':
			set->ranges = SPACES;
			set->complement = NOT_SPACES;
			break;
		case 'p':
			r->at++;
			return read_property(r, set);
		default:
			return false;
	}
	r->at++;
	return true;
}

/* One member of a class: a set (then *is_set) or a character. */
static bool
read_member(EcmaReader *r, EcmaSet *set, bool *is_set, uint32_t *c)
{
	*is_set = false;
	if (r->pattern[r->at] != '\\')
	{
		*c = ecma_read_code_point(r);
		return true;
	}
	r->at++;
	if (ecma_read_set(r, set))
	{
		*is_set = true;
		return true;
	}
	if (r->problem != NULL)
		return false;
	if (r->at < r->len && r->pattern[r->at] == 'b')
	{
		r->at++;
		*c = '\b';
		return true;
	}
	return ecma_read_escape(r, c);
}

static bool
emit_set(EcmaReader *r, const EcmaSet *set)
{
	if (!set->negated)
		return ecma_emit_text(r, set->ranges);
	if (set->complement == NULL)
		return ecma_fail(r, "has \\P within brackets");
	return ecma_emit_text(r, set->complement);
}

/* A character or a range; the reader is behind its first character. */
static bool
read_range(EcmaReader *r, uint32_t low)
{
	EcmaSet set;
	uint32_t high;
	bool is_set;

	if (r->len - r->at < 2 || r->pattern[r->at] != '-' || r->pattern[r->at + 1] == ']')
		return ecma_emit_code_point(r, low);
	r->at++;
	if (!read_member(r, &set, &is_set, &high))
		return false;
	/* "a-\d" is the three of them, as in browsers. */
	if (is_set)
		return ecma_emit_code_point(r, low) && ecma_emit_code_point(r, '-') && emit_set(r, &set);
	if (low > high)
		return ecma_fail(r, "has a range that is out of order");
	return ecma_emit_code_point(r, low) && ecma_emit_text(r, "-") && ecma_emit_code_point(r, high);
}

bool
ecma_read_class(EcmaReader *r)
{
	bool negated = r->at < r->len && r->pattern[r->at] == '^';

	if (negated)
		r->at++;
	if (r->at < r->len && r->pattern[r->at] == ']')
	{
		/* [] matches nothing, [^] anything; in PostgreSQL the bracket would go on. */
		r->at++;
		return ecma_emit_text(r, negated ? "[\\u0000-\\U0010ffff]" : "[^\\u0000-\\U0010ffff]");
	}
	if (!ecma_emit_text(r, negated ? "[^" : "["))
		return false;
	while (r->at < r->len && r->pattern[r->at] != ']')
	{
		EcmaSet set;
		uint32_t c;
		bool is_set;

		if (!read_member(r, &set, &is_set, &c) || !(is_set ? emit_set(r, &set) : read_range(r, c)))
			return false;
	}
	if (r->at == r->len)
		return ecma_fail(r, "has a bracket that is not closed");
	r->at++;
	return ecma_emit_text(r, "]");
}

size_t
ecma_group_name(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && (text[n] == '_' || text[n] == '$' || (unsigned char) text[n] >= 0x80 ||
					   (text[n] >= '0' && text[n] <= '9' && n > 0) ||
					   ((text[n] | 0x20) >= 'a' && (text[n] | 0x20) <= 'z')))
		n++;
	return n < len && text[n] == '>' ? n : 0;
}

int
ecma_find_group(const char *pattern, size_t len, const char *name, size_t name_len)
{
	int groups = 0;
	bool in_class = false;

	for (size_t i = 0; i < len; i++)
	{
		size_t n = 0;

		if (pattern[i] == '\\')
			i++;
		else if (pattern[i] == '[')
			in_class = true;
		else if (pattern[i] == ']')
			in_class = false;
		else if (pattern[i] == '(' && !in_class)
		{
			if (i + 2 < len && pattern[i + 1] == '?' && pattern[i + 2] == '<')
				n = ecma_group_name(pattern + i + 3, len - i - 3);
			if (n == 0 && i + 1 < len && pattern[i + 1] == '?')
				continue;
			groups++;
			if (name != NULL && n == name_len && memcmp(pattern + i + 3, name, n) == 0)
				return groups;
		}
	}
	return name == NULL ? groups : 0;
}

bool
ecma_has_references(const char *pattern, size_t len)
{
	bool in_class = false;

	for (size_t i = 0; i + 1 < len; i++)
	{
		if (pattern[i] == '\\')
		{
			i++;
			if (!in_class && (pattern[i] == 'k' || (pattern[i] >= '1' && pattern[i] <= '9')))
				return true;
		}
		else if (pattern[i] == '[')
			in_class = true;
		else if (pattern[i] == ']')
			in_class = false;
	}
	return false;
}
