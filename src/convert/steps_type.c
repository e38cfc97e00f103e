/*
 * Conversions of type, and the owner's own expression.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "convert/plan.h"
#include "core/json.h"
#include "utils/builtins.h"

static void
apply_to_string(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	convert_to_text(value);
}

static void
apply_to_number(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	if (value->json.type == jbvBool)
		convert_set_number(value, int64_to_numeric(value->json.val.boolean ? 1 : 0));
	else
		(void) convert_take_number(eval, step->type->name, value);
}

/* Whether the text, without white space around, is one of the words (in lower case). */
static bool
is_word(const char *text, int len, const char *const *words, int nwords)
{
	while (len > 0 && isspace((unsigned char) text[0]))
		text++, len--;
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	for (int i = 0; i < nwords; i++)
		if (strlen(words[i]) == len && pg_strncasecmp(text, words[i], len) == 0)
			return true;
	return false;
}

static void
apply_to_boolean(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	static const char *const yes[] = {"true", "t", "yes", "y", "on", "1"};
	static const char *const no[] = {"false", "f", "no", "n", "off", "0"};

	if (value->json.type == jbvBool)
		return;
	if (value->json.type == jbvNumeric)
	{
		convert_set_bool(value, !DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(value->json.val.numeric),
																  NumericGetDatum(int64_to_numeric(0)))));
		return;
	}
	if (value->json.type == jbvString)
	{
		const char *text = value->json.val.string.val;
		int len = value->json.val.string.len;

		if (len == 0)
			convert_set_null(value);
		else if (is_word(text, len, yes, lengthof(yes)))
			convert_set_bool(value, true);
		else if (is_word(text, len, no, lengthof(no)))
			convert_set_bool(value, false);
		else
			convert_fail(eval, value, false, "to_boolean cannot read %s", convert_quote(value));
		return;
	}
	convert_fail(eval, value, false, "to_boolean takes true, false, a number or a text, not %s", convert_quote(value));
}

/* A list stays, anything else becomes a list of one. */
static void
apply_to_array(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	JsonbParseState *state = NULL;

	if (value->json.type == jbvBinary && JsonContainerIsArray(value->json.val.binary.data))
		return;
	if (value->json.type == jbvDatetime)
		convert_to_text(value);
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	pushJsonbValue(&state, WJB_ELEM, &value->json);
	convert_set_document(value, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)));
}

/* --- custom --- */

static void
compile_custom(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	static const Oid types[3] = {JSONBOID, JSONBOID, JSONBOID};

	step->text = convert_text(compile, config, "expression", true);
	convert_sql_check(compile, step->text);
	step->sql = palloc0(sizeof(ConvertSql));
	convert_sql_init(compile, step->sql, 3, types,
					 psprintf("SELECT pg_catalog.to_jsonb((%s\n)) FROM (SELECT $1::pg_catalog.jsonb AS value, "
							  "$2::pg_catalog.jsonb AS record, $3::pg_catalog.jsonb AS task) AS integ",
							  step->text));
}

static void
apply_custom(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	Datum values[3] = {(Datum) 0};
	char nulls[3] = {' ', ' ', ' '};
	bool several;

	if (value->state == INTEG_FIELD_VALUE)
	{
		if (value->json.type == jbvDatetime)
			convert_to_text(value);
		values[0] = JsonbPGetDatum(integ_json_value_jsonb(&value->json));
	}
	else
		nulls[0] = 'n';
	values[1] = JsonbPGetDatum(integ_json_value_jsonb(eval->record));
	values[2] = JsonbPGetDatum(eval->run->task_document);
	if (convert_sql(eval, step->sql, values, nulls, value, &several) && several)
		convert_fail(eval, value, false, "the expression gives several rows");
}

const ConvertStepType convert_type_steps[] = {
	{"to_string", "", NULL, apply_to_string},
	{"to_number", "", NULL, apply_to_number},
	{"to_boolean", "", NULL, apply_to_boolean},
	{"to_array", "", NULL, apply_to_array},
	{"custom", "expression", compile_custom, apply_custom, true},
};
const int convert_type_steps_count = lengthof(convert_type_steps);
