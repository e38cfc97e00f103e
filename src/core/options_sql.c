/*
 * Checked options for functions that are written in SQL.
 */
#include "postgres.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "core/options.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_options_check);

/* What an option is, by the name of its type in SQL's call; unknown names are a mistake of ours. */
static IntegOptionType
option_type(const char *name)
{
	static const struct
	{
		const char *name;
		IntegOptionType type;
	} types[] = {
		{"text", INTEG_OPTION_TEXT},
		{"boolean", INTEG_OPTION_BOOL},
		{"integer", INTEG_OPTION_INT},
		{"object", INTEG_OPTION_OBJECT},
		{"array", INTEG_OPTION_ARRAY},
	};

	for (int i = 0; i < lengthof(types); i++)
		if (strcmp(types[i].name, name) == 0)
			return types[i].type;
	elog(ERROR, "there is no type of options \"%s\"", name);
}

/* integ.options_check(options jsonb, known jsonb, function text) → void: known is {"name": "type"}. */
Datum
integ_options_check(PG_FUNCTION_ARGS)
{
	const Jsonb *known = PG_GETARG_JSONB_P(1);
	int count = 0;
	IntegOption *list = palloc(Max(JB_ROOT_COUNT(known), 1) * sizeof(IntegOption));
	IntegJsonWalk walk;
	JsonbValue name, type;

	integ_json_walk_begin(&walk, &known->root);
	while (integ_json_walk_pair(&walk, &name, &type))
		list[count++] = (IntegOption){
			.name = integ_json_value_text(&name),
			.type = option_type(integ_json_value_text(&type)),
			/* The value is not wanted; this is large enough for each type. */
			.target = palloc0(sizeof(int64)),
		};
	integ_options_parse(PG_GETARG_JSONB_P(0), list, count, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	PG_RETURN_VOID();
}
