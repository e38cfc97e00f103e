/*
 * Regular expressions: PostgreSQL's engine and dialect (ARE), compiled once.
 */
#include "convert/regex.h"

#include "core/collation.h"
#include "core/compat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "utils/memutils.h"

#define MAX_GROUPS 10 /* the match and \1 to \9 */

struct ConvertRegex
{
	pg_regex_t regex;
	MemoryContextCallback release;
};

/* A piece of a replacement: literal text, or a group. */
typedef struct Piece
{
	const char *text; /* NULL: a group */
	int len;
	int group;
} Piece;

struct ConvertRegexReplacement
{
	int npieces;
	Piece *pieces;
};

/* The engine's memory is malloc'ed before PostgreSQL 16, and belongs to the context since. */
static void
release_regex(void *arg)
{
	pg_regfree((pg_regex_t *) arg);
}

static char *
describe(int code, const pg_regex_t *regex)
{
	char *reason = palloc(100);

	/* A cancel ends the engine with a code of its own. */
	CHECK_FOR_INTERRUPTS();
	pg_regerror(code, regex, reason, 100);
	return reason;
}

ConvertRegex *
convert_regex_compile(const char *pattern, const char **problem)
{
	ConvertRegex *compiled = palloc0(sizeof(ConvertRegex));
	int len = strlen(pattern), wide_len, code;
	pg_wchar *wide = palloc((len + 1) * sizeof(pg_wchar));

	wide_len = pg_mb2wchar_with_len(pattern, wide, len);
	code = pg_regcomp(&compiled->regex, wide, wide_len, REG_ADVANCED, integ_unicode_collation());
	pfree(wide);
	if (code != REG_OKAY)
	{
		*problem = describe(code, &compiled->regex);
		return NULL;
	}
	compiled->release.func = release_regex;
	compiled->release.arg = &compiled->regex;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &compiled->release);
	return compiled;
}

/* The text in the engine's characters; few has room for short ones. NULL where it is too long. */
static pg_wchar *
widen(const char *text, int len, pg_wchar *few, int room, int *wide_len, const char **problem)
{
	pg_wchar *wide = few;

	if (len >= room)
	{
		if (len >= MaxAllocSize / sizeof(pg_wchar) - 1)
		{
			*problem = "the text is too long";
			return NULL;
		}
		wide = palloc((len + 1) * sizeof(pg_wchar));
	}
	*wide_len = pg_mb2wchar_with_len(text, wide, len);
	return wide;
}

static bool
search(const ConvertRegex *regex, const pg_wchar *wide, int wide_len, int from, pg_regmatch_t *match, int nmatch,
	   const char **problem)
{
	int code = pg_regexec((pg_regex_t *) &regex->regex, wide, wide_len, from, NULL, nmatch, match, 0);

	if (code != REG_OKAY && code != REG_NOMATCH)
		*problem = describe(code, &regex->regex);
	return code == REG_OKAY;
}

bool
convert_regex_matches(const ConvertRegex *regex, const char *text, int len, const char **problem)
{
	pg_wchar few[128];
	int wide_len;
	pg_wchar *wide;
	pg_regmatch_t match[1];
	bool found;

	*problem = NULL;
	wide = widen(text, len, few, lengthof(few), &wide_len, problem);
	if (wide == NULL)
		return false;
	found = search(regex, wide, wide_len, 0, match, 1, problem);
	if (wide != few)
		pfree(wide);
	return found;
}

ConvertRegexReplacement *
convert_regex_replacement(const ConvertRegex *regex, const char *text, const char **problem)
{
	ConvertRegexReplacement *replacement = palloc0(sizeof(ConvertRegexReplacement));
	int len = strlen(text);

	replacement->pieces = palloc((len + 1) * sizeof(Piece));
	for (int at = 0; at < len;)
	{
		Piece *piece = &replacement->pieces[replacement->npieces++];
		int start = at;

		if (text[at] == '\\' && at + 1 < len && (text[at + 1] == '&' || (text[at + 1] >= '1' && text[at + 1] <= '9')))
		{
			*piece = (Piece){.group = text[at + 1] == '&' ? 0 : text[at + 1] - '0'};
			if (piece->group > (int) regex->regex.re_nsub)
			{
				*problem = psprintf("the pattern has no group %d", piece->group);
				return NULL;
			}
			at += 2;
			continue;
		}
		/* An escaped backslash stands for one; before anything else it stands for itself. */
		if (text[at] == '\\' && at + 1 < len && text[at + 1] == '\\')
			start = ++at;
		at++;
		while (at < len && text[at] != '\\')
			at++;
		*piece = (Piece){.text = pnstrdup(text + start, at - start), .len = at - start};
	}
	return replacement;
}

static void
append_wide(StringInfo out, const pg_wchar *wide, int from, int to)
{
	int room = (to - from) * MAX_MULTIBYTE_CHAR_LEN;

	if (to <= from)
		return;
	enlargeStringInfo(out, room + 1);
	out->len += pg_wchar2mb_with_len(wide + from, out->data + out->len, to - from);
}

static void
append_replacement(StringInfo out, const ConvertRegexReplacement *replacement, const pg_wchar *wide,
				   const pg_regmatch_t *match)
{
	for (int i = 0; i < replacement->npieces; i++)
	{
		const Piece *piece = &replacement->pieces[i];

		if (piece->text != NULL)
			appendBinaryStringInfo(out, piece->text, piece->len);
		else if (match[piece->group].rm_so >= 0)
			append_wide(out, wide, match[piece->group].rm_so, match[piece->group].rm_eo);
	}
}

bool
convert_regex_replace(const ConvertRegex *regex, const ConvertRegexReplacement *replacement, const char *text, int len,
					  int max, StringInfo out, const char **problem)
{
	pg_regmatch_t match[MAX_GROUPS];
	pg_wchar few[128];
	int wide_len, copied = 0, from = 0;
	pg_wchar *wide;

	*problem = NULL;
	wide = widen(text, len, few, lengthof(few), &wide_len, problem);
	if (wide == NULL)
		return false;
	while (from <= wide_len && search(regex, wide, wide_len, from, match, MAX_GROUPS, problem))
	{
		int start = match[0].rm_so, end = match[0].rm_eo;

		CHECK_FOR_INTERRUPTS();
		/* A match of nothing goes before the character that comes next, which is copied with what follows. */
		append_wide(out, wide, copied, start);
		append_replacement(out, replacement, wide, match);
		copied = end;
		from = end > start ? end : end + 1;
		if (out->len > max)
		{
			*problem = "the result would be too long";
			break;
		}
	}
	if (*problem == NULL)
		append_wide(out, wide, copied, wide_len);
	if (wide != few)
		pfree(wide);
	return *problem == NULL;
}
