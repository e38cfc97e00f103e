/*
 * Violations, and the marks that unevaluated… needs.
 */
#include "core/json_walk.h"
#include "core/text.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "schema/validate.h"

/* Appends the JSON Pointer of a step. A key of a stranger's document is cut where it is long. */
static void
append_path(StringInfo out, const SchemaStep *step)
{
	int len;

	if (step == NULL)
		return;
	append_path(out, step->parent);
	if (step->key == NULL)
	{
		appendStringInfo(out, "/%u", step->index);
		return;
	}
	len = step->len <= SCHEMA_MAX_SHOWN ? step->len : pg_mbcliplen(step->key, step->len, SCHEMA_MAX_SHOWN);
	appendStringInfoChar(out, '/');
	for (int i = 0; i < len; i++)
	{
		if (step->key[i] == '~' || step->key[i] == '/')
			appendStringInfoString(out, step->key[i] == '~' ? "~0" : "~1");
		else
			appendStringInfoChar(out, step->key[i]);
	}
	if (len < step->len)
		appendStringInfoString(out, "…");
}

bool
schema_problem(SchemaWalk *walk, const SchemaStep *at, const char *format, ...)
{
	IntegSchemaProblem *problem;
	StringInfoData path;
	va_list args;

	if (schema_enough(walk))
		return false;
	initStringInfo(&path);
	append_path(&path, at);
	problem = &walk->problems->items[walk->problems->count++];
	problem->path = path.data;
	va_start(args, format);
	problem->message = integ_text_va(format, args);
	va_end(args);
	return false;
}

void
schema_marks_begin(SchemaMarks *marks, uint32 count)
{
	marks->count = count;
	marks->few = 0;
	marks->words = count <= 64 ? &marks->few : palloc0((count + 63) / 64 * sizeof(uint64));
}

void
schema_marks_end(SchemaMarks *marks)
{
	if (marks->words != &marks->few)
		pfree(marks->words);
}

void
schema_marks_merge(SchemaMarks *into, const SchemaMarks *from)
{
	for (uint32 i = 0; i < (into->count + 63) / 64; i++)
		into->words[i] |= from->words[i];
}
