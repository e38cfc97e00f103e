/*
 * Patterns on PostgreSQL's regular expression engine.
 */
#include "schema/pattern.h"

#include "catalog/pg_collation.h"
#include "core/collation.h"
#include "core/compat.h"
#include "core/errors.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "schema/ecma.h"

struct SchemaPattern
{
	pg_regex_t regex;
	MemoryContextCallback release;
	char *source;
};

/* The engine's memory is malloc'ed before PostgreSQL 16, and belongs to the context since. */
static void
release_regex(void *arg)
{
	pg_regfree((pg_regex_t *) arg);
}

static char *
translate(const char *pattern, int len, IntegEcmaResult *result, const char **problem)
{
	char *text;

	if (!integ_ecma_translate(pattern, len, NULL, 0, result))
	{
		*problem = psprintf("%s (at byte %zu)", result->problem, result->offset + 1);
		return NULL;
	}
	text = palloc(result->length + 1);
	(void) integ_ecma_translate(pattern, len, text, result->length, result);
	text[result->length] = '\0';
	return text;
}

SchemaPattern *
schema_pattern_compile(const char *pattern, int len, const char **problem)
{
	SchemaPattern *compiled = palloc0(sizeof(SchemaPattern));
	IntegEcmaResult result;
	char *text = translate(pattern, len, &result, problem);
	pg_wchar *wide;
	int wide_len, flags, code;
	Oid collation;

	if (text == NULL)
		return NULL;
	wide = palloc((result.length + 1) * sizeof(pg_wchar));
	wide_len = pg_mb2wchar_with_len(text, wide, result.length);
	flags = REG_ADVANCED | (result.has_references ? 0 : REG_NOSUB);
	collation = result.has_classes ? integ_unicode_collation() : C_COLLATION_OID;
	code = pg_regcomp(&compiled->regex, wide, wide_len, flags, collation);
	if (code != REG_OKAY)
	{
		char reason[100];

		CHECK_FOR_INTERRUPTS();
		pg_regerror(code, &compiled->regex, reason, sizeof(reason));
		*problem = psprintf("does not compile: %s", reason);
		return NULL;
	}
	pfree(wide);
	pfree(text);
	compiled->source = pnstrdup(pattern, len);
	compiled->release.func = release_regex;
	compiled->release.arg = &compiled->regex;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &compiled->release);
	return compiled;
}

bool
schema_pattern_matches(const SchemaPattern *pattern, const char *text, int len)
{
	pg_wchar few[128];
	pg_wchar *wide = len < lengthof(few) ? few : palloc((len + 1) * sizeof(pg_wchar));
	int wide_len = pg_mb2wchar_with_len(text, wide, len);
	pg_regmatch_t whole[1];
	int code;

	code = pg_regexec((pg_regex_t *) &pattern->regex, wide, wide_len, 0, NULL, 0, whole, 0);
	if (wide != few)
		pfree(wide);
	if (code != REG_OKAY && code != REG_NOMATCH)
	{
		char reason[100];

		CHECK_FOR_INTERRUPTS();
		pg_regerror(code, &pattern->regex, reason, sizeof(reason));
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("a value cannot be matched with a pattern of its schema"),
						errdetail("The pattern \"%s\": %s.", pattern->source, reason),
						errhint("Simplify the pattern.")));
	}
	return code == REG_OKAY;
}

const char *
schema_pattern_source(const SchemaPattern *pattern)
{
	return pattern->source;
}
