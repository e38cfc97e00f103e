/*
 * Checked options.
 */
#include "core/options.h"

#include "core/errors.h"
#include "core/json.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

static const char *const type_names[] = {
	[INTEG_OPTION_TEXT] = "a string",
	[INTEG_OPTION_BOOL] = "true or false",
	[INTEG_OPTION_INT] = "an integer",
	[INTEG_OPTION_OBJECT] = "an object",
	[INTEG_OPTION_ARRAY] = "an array",
	[INTEG_OPTION_DURATION_MS] = "milliseconds or an interval such as \"30 seconds\"",
	[INTEG_OPTION_TIME] = "a finite time such as \"2026-01-31 12:00+00\"",
};

static bool
to_int(const JsonbValue *value, int64 *result)
{
	char *text, *end;

	if (value->type != jbvNumeric)
		return false;
	text = numeric_normalize(value->val.numeric);
	errno = 0;
	*result = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0';
}

/* What an input function makes of a text: false where it refuses it, which leaves nothing behind. */
static bool
read_text(PGFunction input, char *text, Datum *result)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool valid = false;

	PG_TRY();
	{
		*result = DirectFunctionCall3(input, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		valid = true;
	}
	PG_CATCH();
	{
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return valid;
}

Interval *
integ_read_interval(char *text)
{
	Datum datum;

	return read_text(interval_in, text, &datum) ? DatumGetIntervalP(datum) : NULL;
}

static bool
to_duration(const JsonbValue *value, int64 *result)
{
	const Interval *interval;
	Datum datum;

	if (to_int(value, result))
		return true;
	if (value->type != jbvString || !read_text(interval_in, integ_json_value_text(value), &datum))
		return false;
	interval = DatumGetIntervalP(datum);
	*result = ((int64) interval->month * DAYS_PER_MONTH + interval->day) * INT64CONST(86400000) +
			  interval->time / 1000;
	return true;
}

static bool
to_time(const JsonbValue *value, TimestampTz *result)
{
	Datum datum;

	if (value->type != jbvString || !read_text(timestamptz_in, integ_json_value_text(value), &datum))
		return false;
	*result = DatumGetTimestampTz(datum);
	return !TIMESTAMP_NOT_FINITE(*result);
}

static bool
is_container(const JsonbValue *value, uint32 flag)
{
	return value->type == jbvBinary && (value->val.binary.data->header & flag) != 0;
}

/* Stores the value in the option's target; false where its type is wrong. */
static bool
assign(const IntegOption *option, const JsonbValue *value)
{
	switch (option->type)
	{
		case INTEG_OPTION_TEXT:
			if (value->type != jbvString)
				return false;
			*(char **) option->target = integ_json_value_text(value);
			return true;
		case INTEG_OPTION_BOOL:
			if (value->type != jbvBool)
				return false;
			*(bool *) option->target = value->val.boolean;
			return true;
		case INTEG_OPTION_INT:
			return to_int(value, (int64 *) option->target);
		case INTEG_OPTION_DURATION_MS:
			return to_duration(value, (int64 *) option->target);
		case INTEG_OPTION_TIME:
			return to_time(value, (TimestampTz *) option->target);
		case INTEG_OPTION_OBJECT:
		case INTEG_OPTION_ARRAY:
			if (!is_container(value, option->type == INTEG_OPTION_OBJECT ? JB_FOBJECT : JB_FARRAY))
				return false;
			*(Jsonb **) option->target = integ_json_value_jsonb(value);
			return true;
	}
	return false;
}

static char *
known_names(const IntegOption *known, int nknown)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < nknown; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", known[i].name);
	return names.data;
}

static const IntegOption *
find(const IntegOption *known, int nknown, const char *name)
{
	for (int i = 0; i < nknown; i++)
		if (strcmp(known[i].name, name) == 0)
			return &known[i];
	return NULL;
}

void
integ_options_parse(const Jsonb *options, const IntegOption *known, int nknown, const char *function)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue key, value;

	for (int i = 0; i < nknown; i++)
	{
		if (known[i].type == INTEG_OPTION_TEXT)
			*(char **) known[i].target = NULL;
		else if (known[i].type == INTEG_OPTION_OBJECT || known[i].type == INTEG_OPTION_ARRAY)
			*(Jsonb **) known[i].target = NULL;
	}
	if (options == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the options of %s must be a JSON object", function),
						errhint("Known options: %s.", known_names(known, nknown))));

	iterator = JsonbIteratorInit((JsonbContainer *) &options->root);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		const IntegOption *option;
		char *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(key.val.string.val, key.val.string.len);
		(void) JsonbIteratorNext(&iterator, &value, true);
		option = find(known, nknown, name);
		if (option == NULL)
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("%s has no option \"%s\"", function, name),
							errhint("Known options: %s.", known_names(known, nknown))));
		if (value.type != jbvNull && !assign(option, &value))
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("option \"%s\" of %s has the wrong type", name, function),
							errdetail("It must be %s.", type_names[option->type])));
	}
}
