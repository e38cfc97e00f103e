/*
 * Transformations of texts.
 *
 * Numbers, booleans and dates are taken as their text; lists and objects are
 * refused.
 */
#include "convert/plan.h"
#include "core/collation.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/formatting.h"

/* Where the next one goes. An absent text has no bytes at all. */
static char *
put(char *to, const char *bytes, size_t len)
{
	if (len > 0)
		memcpy(to, bytes, len);
	return to + len;
}

static bool
take_text(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	if (value->json.type == jbvBinary)
	{
		convert_fail(eval, value, false, "%s takes a text, not %s", step->type->name, convert_quote(value));
		return false;
	}
	convert_to_text(value);
	return true;
}

/* False, and failed, where the text would be longer than any value may be. */
static bool
fits(ConvertEval *eval, const ConvertStep *step, ConvertValue *value, int64 len)
{
	if (len <= INTEG_CONVERT_MAX_VALUE)
		return true;
	convert_fail(eval, value, false, "%s makes a text of more than %d MB", step->type->name,
				 INTEG_CONVERT_MAX_VALUE / (1024 * 1024));
	return false;
}

static void
set_buffer(ConvertValue *value, const StringInfoData *buffer)
{
	convert_set_text(value, buffer->data, buffer->len);
}

/* --- case --- */

static bool
is_ascii(const char *text, int len)
{
	for (int i = 0; i < len; i++)
		if (IS_HIGHBIT_SET(text[i]))
			return false;
	return true;
}

static void
change_case(ConvertEval *eval, const ConvertStep *step, ConvertValue *value, bool upper)
{
	const char *text;
	char *changed;
	int len;

	if (!take_text(eval, step, value))
		return;
	text = value->json.val.string.val;
	len = value->json.val.string.len;
	if (!is_ascii(text, len))
	{
		changed = upper ? str_toupper(text, len, integ_unicode_collation())
						: str_tolower(text, len, integ_unicode_collation());
		convert_set_text(value, changed, strlen(changed));
		return;
	}
	changed = palloc(len + 1);
	for (int i = 0; i < len; i++)
	{
		char c = text[i], first = upper ? 'a' : 'A';

		changed[i] = c >= first && c <= first + 25 ? c ^ 0x20 : c;
	}
	convert_set_text(value, changed, len);
}

static void
apply_uppercase(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	change_case(eval, step, value, true);
}

static void
apply_lowercase(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	change_case(eval, step, value, false);
}

/* --- trim: what Unicode calls White_Space, and the byte order mark --- */

static bool
is_white(pg_wchar c)
{
	return c == ' ' || (c >= 0x09 && c <= 0x0d) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
		   (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000 ||
		   c == 0xfeff;
}

static void
apply_trim(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	const char *start, *end;

	if (!take_text(eval, step, value))
		return;
	start = value->json.val.string.val;
	end = start + value->json.val.string.len;
	while (start < end && is_white(utf8_to_unicode((const unsigned char *) start)))
		start += pg_utf_mblen((const unsigned char *) start);
	while (end > start)
	{
		const char *last = end - 1;

		while (last > start && (*last & 0xc0) == 0x80)
			last--;
		if (!is_white(utf8_to_unicode((const unsigned char *) last)))
			break;
		end = last;
	}
	convert_set_text(value, start, end - start);
}

/* --- truncate --- */

static void
compile_truncate(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	if (!convert_int(compile, config, "maxLength", 0, PG_INT32_MAX, &step->number))
		convert_invalid(compile, NULL, "The transformation \"truncate\" needs \"maxLength\"");
}

static void
apply_truncate(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	if (!take_text(eval, step, value))
		return;
	value->json.val.string.len =
		pg_mbcharcliplen(value->json.val.string.val, value->json.val.string.len, (int) step->number);
}

/* --- replace --- */

static void
compile_replace(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	step->text = convert_text(compile, config, "search", true);
	step->text2 = convert_text(compile, config, "replace", true);
	step->text_len = strlen(step->text);
	step->text2_len = strlen(step->text2);
	if (step->text_len == 0)
		convert_invalid(compile, NULL, "The transformation \"replace\" cannot search for an empty text");
}

/* How often the text is in another, from its first place on. */
static int64
count_found(const char *found, const char *end, const ConvertStep *step)
{
	int64 count = 0;

	for (; found != NULL; found = memmem(found, end - found, step->text, step->text_len))
	{
		count++;
		found += step->text_len;
	}
	return count;
}

static void
apply_replace(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	const char *text, *end, *found;
	char *result, *out;
	int64 len;

	if (!take_text(eval, step, value))
		return;
	text = value->json.val.string.val;
	end = text + value->json.val.string.len;
	found = memmem(text, end - text, step->text, step->text_len);
	if (found == NULL)
		return;
	len = end - text;
	if (step->text2_len > step->text_len)
		len += count_found(found, end, step) * (step->text2_len - step->text_len);
	if (!fits(eval, step, value, len))
		return;
	result = out = palloc(len);
	for (; found != NULL; found = memmem(text, end - text, step->text, step->text_len))
	{
		out = put(put(out, text, found - text), step->text2, step->text2_len);
		text = found + step->text_len;
	}
	memcpy(out, text, end - text);
	convert_set_text(value, result, out - result + (end - text));
}

/* --- regex_replace --- */

static void
compile_regex_replace(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	const char *problem;

	step->text = convert_text(compile, config, "pattern", true);
	step->text2 = convert_text(compile, config, "replace", true);
	step->regex = convert_regex(compile, step->text);
	step->replacement = convert_regex_replacement(step->regex, step->text2, &problem);
	if (step->replacement == NULL)
		convert_invalid(compile, "Groups are written \\1 to \\9, the whole match \\&.",
						"The replacement \"%s\" does not fit the pattern \"%s\": %s", step->text2, step->text, problem);
}

static void
apply_regex_replace(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	StringInfoData out;
	const char *problem;

	if (!take_text(eval, step, value))
		return;
	initStringInfo(&out);
	if (convert_regex_replace(step->regex, step->replacement, value->json.val.string.val, value->json.val.string.len,
							  INTEG_CONVERT_MAX_VALUE, &out, &problem))
		set_buffer(value, &out);
	else
		convert_fail(eval, value, false, "regex_replace with \"%s\" gave up: %s", step->text, problem);
}

/* --- split --- */

static void
compile_split(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	step->text = convert_text(compile, config, "separator", true);
	step->text_len = strlen(step->text);
	step->has_number = convert_int(compile, config, "index", PG_INT32_MIN, PG_INT32_MAX, &step->number);
	if (step->text_len == 0)
		convert_invalid(compile, NULL, "The transformation \"split\" needs a separator that is not empty");
}

/* Every piece, as a list. */
static void
split_all(const ConvertStep *step, ConvertValue *value)
{
	const char *text = value->json.val.string.val, *end = text + value->json.val.string.len, *found;
	JsonbParseState *state = NULL;
	JsonbValue piece = {.type = jbvString};

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	do
	{
		found = memmem(text, end - text, step->text, step->text_len);
		piece.val.string.val = (char *) text;
		piece.val.string.len = (found == NULL ? end : found) - text;
		pushJsonbValue(&state, WJB_ELEM, &piece);
		text = found + step->text_len;
	} while (found != NULL);
	convert_set_document(value, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)));
}

static void
apply_split(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	const char *text, *end, *found;
	int64 wanted = step->number;

	if (!take_text(eval, step, value))
		return;
	if (!step->has_number)
	{
		split_all(step, value);
		return;
	}
	text = value->json.val.string.val;
	end = text + value->json.val.string.len;
	if (wanted < 0)
	{
		/* From the end: there is one piece more than separators. */
		wanted += count_found(memmem(text, end - text, step->text, step->text_len), end, step) + 1;
	}
	for (int64 i = 0; wanted >= 0; i++)
	{
		found = memmem(text, end - text, step->text, step->text_len);
		if (i == wanted)
		{
			convert_set_text(value, text, (found == NULL ? end : found) - text);
			return;
		}
		if (found == NULL)
			break;
		text = found + step->text_len;
	}
	convert_set_null(value);
}

/* --- concat --- */

static void
compile_concat(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	step->text = convert_text(compile, config, "prefix", false);
	step->text2 = convert_text(compile, config, "suffix", false);
	if (step->text == NULL && step->text2 == NULL)
		convert_invalid(compile, NULL, "The transformation \"concat\" needs \"prefix\", \"suffix\" or both");
	step->text_len = step->text == NULL ? 0 : strlen(step->text);
	step->text2_len = step->text2 == NULL ? 0 : strlen(step->text2);
}

static void
apply_concat(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	int64 len;
	char *text, *end;

	if (!take_text(eval, step, value))
		return;
	len = (int64) step->text_len + value->json.val.string.len + step->text2_len;
	if (!fits(eval, step, value, len))
		return;
	text = palloc(len + 1);
	end = put(put(put(text, step->text, step->text_len), value->json.val.string.val, value->json.val.string.len),
			  step->text2, step->text2_len);
	Assert(end == text + len);
	(void) end;
	convert_set_text(value, text, len);
}

/* --- strip_prefix, strip_suffix: what undoes a concat; not in schemas that people write --- */

static bool
same_bytes(const char *a, const char *b, size_t len)
{
	return len == 0 || memcmp(a, b, len) == 0;
}

static void
apply_unconcat(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	int len;

	if (!take_text(eval, step, value))
		return;
	len = value->json.val.string.len;
	if (len < step->text_len + step->text2_len || !same_bytes(value->json.val.string.val, step->text, step->text_len) ||
		!same_bytes(value->json.val.string.val + len - step->text2_len, step->text2, step->text2_len))
	{
		convert_fail(eval, value, false, "%s is not between \"%s\" and \"%s\"", convert_quote(value),
					 step->text_len == 0 ? "" : step->text, step->text2_len == 0 ? "" : step->text2);
		return;
	}
	convert_set_text(value, value->json.val.string.val + step->text_len, len - step->text_len - step->text2_len);
}

const ConvertStepType convert_text_steps[] = {
	{"uppercase", "", NULL, apply_uppercase},
	{"lowercase", "", NULL, apply_lowercase},
	{"trim", "", NULL, apply_trim},
	{"truncate", "maxLength", compile_truncate, apply_truncate},
	{"replace", "search replace", compile_replace, apply_replace},
	{"regex_replace", "pattern replace", compile_regex_replace, apply_regex_replace},
	{"split", "separator index", compile_split, apply_split},
	{"concat", "prefix suffix", compile_concat, apply_concat},
	{"unconcat", "prefix suffix", compile_concat, apply_unconcat},
};
const int convert_text_steps_count = lengthof(convert_text_steps);
