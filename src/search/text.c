/*
 * What of a record full-text search looks at.
 *
 * The index has the words of all of a record's texts and numbers, since which fields count is a matter of its type and
 * may change; a search looks at the fields again. Both read no more than the first SEARCH_TEXT_MAX bytes: a record
 * that is too long for a tsvector could else not be stored.
 */
#include "search/search.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "core/collation.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"

PG_FUNCTION_INFO_V1(integ_search_text);
PG_FUNCTION_INFO_V1(integ_search_vector);
PG_FUNCTION_INFO_V1(integ_search_vector_fields);

#define SEARCH_TEXT_MAX (250 * 1000)

/* Longer words are no words: what is encoded in base64 is not looked for, and PostgreSQL says so of each. */
#define SEARCH_WORD_MAX 500

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Appends the words of a text, each with a space behind. */
static void
add_text(StringInfo out, const char *text, int len)
{
	int at = 0;

	while (at < len)
	{
		int start = at;

		while (at < len && !is_space(text[at]))
			at++;
		if (at - start > SEARCH_WORD_MAX)
			start = at;
		if (out->len + (at - start) + 1 > SEARCH_TEXT_MAX)
			return;
		appendBinaryStringInfo(out, text + start, at - start);
		while (at < len && is_space(text[at]))
			at++;
		appendStringInfoChar(out, ' ');
	}
}

static void
add_value(StringInfo out, const JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;
	char *number;

	if (value->type == jbvString)
		add_text(out, value->val.string.val, value->val.string.len);
	else if (value->type == jbvNumeric)
	{
		number = integ_json_value_text(value);
		add_text(out, number, strlen(number));
		pfree(number);
	}
	if (value->type != jbvBinary)
		return;
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &item, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_VALUE || token == WJB_ELEM)
			add_value(out, &item);
	}
}

static void
add_fields(StringInfo out, const Jsonb *data, ArrayType *fields)
{
	Datum *names;
	bool *nulls;
	int count;
	JsonbValue value;

	deconstruct_array(fields, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i] && integ_json_get(&data->root, TextDatumGetCString(names[i]), &value))
			add_value(out, &value);
}

char *
integ_search_fold(const char *text, int len)
{
	return str_tolower(text, len, integ_unicode_collation());
}

static Datum
vector_of(StringInfo words)
{
	static Oid simple = InvalidOid;
	char *folded = integ_search_fold(words->data, words->len);

	if (!OidIsValid(simple))
		simple = get_ts_config_oid(list_make2(makeString("pg_catalog"), makeString("simple")), false);
	return DirectFunctionCall2(to_tsvector_byid, ObjectIdGetDatum(simple), CStringGetTextDatum(folded));
}

/* integ.search_text(data jsonb, fields text[]) → text: the words of those fields of the record. */
Datum
integ_search_text(PG_FUNCTION_ARGS)
{
	StringInfoData words;

	initStringInfo(&words);
	add_fields(&words, PG_GETARG_JSONB_P(0), PG_GETARG_ARRAYTYPE_P(1));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(words.data, words.len));
}

/* integ.search_vector(data jsonb, fields text[]) → tsvector: the same, to be looked for. */
Datum
integ_search_vector_fields(PG_FUNCTION_ARGS)
{
	StringInfoData words;

	initStringInfo(&words);
	add_fields(&words, PG_GETARG_JSONB_P(0), PG_GETARG_ARRAYTYPE_P(1));
	PG_RETURN_DATUM(vector_of(&words));
}

/* integ.search_vector(data jsonb) → tsvector: the words of the whole record, as its index has them. */
Datum
integ_search_vector(PG_FUNCTION_ARGS)
{
	StringInfoData words;
	JsonbValue root;

	initStringInfo(&words);
	integ_json_root(PG_GETARG_JSONB_P(0), &root);
	add_value(&words, &root);
	PG_RETURN_DATUM(vector_of(&words));
}
