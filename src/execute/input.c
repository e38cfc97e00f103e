/*
 * Inputs that integ fills in by itself.
 */
#include "execute/input.h"

#include "core/json_walk.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"

const JsonbContainer *
integ_input_properties(const IntegMethod *method)
{
	const JsonbContainer *schema = integ_json_get_object(method->manifest, "inputSchema");

	return schema == NULL ? NULL : integ_json_get_object(schema, "properties");
}

/* JSON's own spelling of a number: anything else stays a text, and the input's schema says what is wrong with it. */
static bool
is_number(const char *text)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	size_t count = strspn(digits, "0123456789");

	if (count == 0 || (count > 1 && digits[0] == '0'))
		return false;
	if (digits[count] == '.')
	{
		size_t decimals = strspn(digits + count + 1, "0123456789");

		return decimals > 0 && digits[count + 1 + decimals] == '\0';
	}
	return digits[count] == '\0';
}

void
integ_input_add_text(IntegJsonBuilder *builder, const JsonbContainer *properties, const char *name, const char *text)
{
	const JsonbContainer *property = properties == NULL ? NULL : integ_json_get_object(properties, name);
	const char *type = property == NULL ? NULL : integ_json_get_string(property, "type");

	if (type != NULL && (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0) && is_number(text))
		integ_json_add_jsonb(builder, name, integ_json_parse(text));
	else
		integ_json_add_string(builder, name, text);
}

const Jsonb *
integ_input_with(const Jsonb *base, const Jsonb *over)
{
	if (over == NULL)
		return base;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(base), JsonbPGetDatum(over)));
}

const Jsonb *
integ_input_known(const Jsonb *given, const JsonbContainer *properties)
{
	IntegJsonBuilder builder;
	IntegJsonWalk walk;
	JsonbValue key, value, property;

	if (properties == NULL)
		return given;
	integ_json_begin_object(&builder);
	integ_json_walk_begin(&walk, &given->root);
	while (integ_json_walk_pair(&walk, &key, &value))
	{
		char *name = pnstrdup(key.val.string.val, key.val.string.len);

		if (integ_json_get(properties, name, &property))
			integ_json_add(&builder, name, &value);
	}
	return integ_json_end(&builder);
}
