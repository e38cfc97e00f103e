/*
 * Transformations of numbers: exact decimals.
 *
 * A text that is a number counts as one; an empty text as null.
 */
#include "convert/plan.h"
#include "utils/builtins.h"
#include "utils/date.h"

bool
convert_take_number(ConvertEval *eval, const char *step, ConvertValue *value)
{
	Numeric number;

	if (value->json.type == jbvNumeric)
		return true;
	if (value->json.type == jbvString && value->json.val.string.len == 0)
	{
		convert_set_null(value);
		return false;
	}
	number = value->json.type == jbvString ? convert_number_of(value->json.val.string.val, value->json.val.string.len)
										   : NULL;
	if (number == NULL)
	{
		convert_fail(eval, value, false, "%s takes a number, not %s", step, convert_quote(value));
		return false;
	}
	convert_set_number(value, number);
	return true;
}

static bool
take_number(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	return convert_take_number(eval, step->type->name, value);
}

/* Zeros at the end, which a division brings, go. */
static Numeric
trim_zeros(Numeric number, bool error)
{
	return error ? number : DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(number)));
}

static void
finish(ConvertEval *eval, const ConvertStep *step, ConvertValue *value, Numeric result, bool error)
{
	if (error)
		convert_fail(eval, value, false, "%s of %s is not a number that can be stored", step->type->name,
					 convert_quote(value));
	else
		convert_set_number(value, result);
}

/* A number in the config, as a JSON number or a text for decimals that a JSON library would round. */
static void
read_numeric(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config, const char *key)
{
	JsonbValue *found = config == NULL
							? NULL
							: getKeyJsonValueFromContainer((JsonbContainer *) config, key, strlen(key), NULL);

	if (found != NULL && found->type == jbvNumeric)
		step->numeric = DatumGetNumericCopy(NumericGetDatum(found->val.numeric));
	else if (found != NULL && found->type == jbvString)
		step->numeric = convert_number_of(found->val.string.val, found->val.string.len);
	if (step->numeric == NULL)
		convert_invalid(compile, NULL, "The transformation \"%s\" needs a number as \"%s\"", step->type->name, key);
}

static void
compile_round(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	(void) convert_int(compile, config, "decimals", -100, 100, &step->number);
}

/* Half away from zero. */
static void
apply_round(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	if (take_number(eval, step, value))
		convert_set_number(value, DatumGetNumeric(DirectFunctionCall2(numeric_round,
																	  NumericGetDatum(value->json.val.numeric),
																	  Int32GetDatum((int32) step->number))));
}

static void
compile_multiply(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	read_numeric(compile, step, config, "factor");
}

static void
apply_multiply(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	bool error = false;
	Numeric result;

	if (!take_number(eval, step, value))
		return;
	result = numeric_mul_opt_error(value->json.val.numeric, step->numeric, &error);
	finish(eval, step, value, result, error);
}

static void
compile_divide(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	read_numeric(compile, step, config, "divisor");
	if (DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(step->numeric),
										 NumericGetDatum(int64_to_numeric(0)))))
		convert_invalid(compile, NULL, "The transformation \"divide\" cannot divide by 0");
}

static void
apply_divide(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	bool error = false;
	Numeric result;

	if (!take_number(eval, step, value))
		return;
	result = numeric_div_opt_error(value->json.val.numeric, step->numeric, &error);
	finish(eval, step, value, trim_zeros(result, error), error);
}

/* --- currency_convert --- */

static const char *
read_currency(ConvertCompile *compile, const JsonbContainer *config, const char *key, bool needed)
{
	const char *code = convert_text(compile, config, key, needed);

	if (code != NULL && (strlen(code) != 3 || strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3))
		convert_invalid(compile, "Currencies are codes of ISO 4217, such as EUR.",
						"\"%s\" of \"currency_convert\" is \"%s\", which is no currency", key, code);
	return code;
}

static ConvertPath *
read_path(ConvertCompile *compile, const JsonbContainer *config, const char *key)
{
	const char *source = convert_text(compile, config, key, false);
	ConvertPath *path;

	if (source == NULL)
		return NULL;
	path = palloc0(sizeof(ConvertPath));
	convert_path(compile, source, path);
	return path;
}

static void
compile_currency(ConvertCompile *compile, ConvertStep *step, const JsonbContainer *config)
{
	step->text = read_currency(compile, config, "from", false);
	step->text2 = read_currency(compile, config, "to", true);
	step->path = read_path(compile, config, "fromField");
	step->path2 = read_path(compile, config, "dateField");
	if ((step->text == NULL) == (step->path == NULL))
		convert_invalid(compile, NULL, "The transformation \"currency_convert\" needs \"from\" or \"fromField\"");
}

/* The day whose rate counts: that of the record, or the transaction's. False where the record has none that is a date. */
static bool
rate_date(ConvertEval *eval, const ConvertStep *step, ConvertValue *value, DateADT *date)
{
	ConvertValue read;

	if (step->path2 == NULL)
		convert_set_instant(&read, GetCurrentTransactionStartTimestamp());
	else
		convert_read(eval, step->path2, eval->record, &read);
	if (read.state == INTEG_FIELD_VALUE && convert_read_time(&read, NULL) && convert_local_day(&read, date))
		return true;
	convert_fail(eval, value, false, "currency_convert needs a date in \"%s\", which has %s", step->path2->source,
				 convert_quote(&read));
	return false;
}

static void
apply_currency(ConvertEval *eval, const ConvertStep *step, ConvertValue *value)
{
	const char *from = step->text;
	bool error = false;
	DateADT date;
	Numeric rate, result;

	if (!take_number(eval, step, value))
		return;
	if (from == NULL)
	{
		ConvertValue read;

		convert_read(eval, step->path, eval->record, &read);
		if (!convert_is_text(&read) || read.json.val.string.len != 3)
		{
			convert_fail(eval, value, false, "currency_convert needs a currency in \"%s\", which has %s",
						 step->path->source, convert_quote(&read));
			return;
		}
		from = pnstrdup(read.json.val.string.val, 3);
	}
	if (strcmp(from, step->text2) == 0 || !rate_date(eval, step, value, &date))
		return;
	if (!convert_rate(eval, from, step->text2, date, &rate))
	{
		convert_fail(eval, value, true, "integ.currency_rates has no rate from %s to %s on or before %s", from,
					 step->text2, DatumGetCString(DirectFunctionCall1(date_out, DateADTGetDatum(date))));
		return;
	}
	result = numeric_mul_opt_error(value->json.val.numeric, rate, &error);
	finish(eval, step, value, trim_zeros(result, error), error);
}

const ConvertStepType convert_number_steps[] = {
	{"round", "decimals", compile_round, apply_round},
	{"multiply", "factor", compile_multiply, apply_multiply},
	{"divide", "divisor", compile_divide, apply_divide},
	{"currency_convert", "from to fromField dateField", compile_currency, apply_currency},
};
const int convert_number_steps_count = lengthof(convert_number_steps);
