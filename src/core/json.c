/*
 * Reading and building jsonb from C.
 */
#include "core/json.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

bool
integ_json_get(const JsonbContainer *object, const char *key, JsonbValue *value)
{
	if (object == NULL || !JsonContainerIsObject(object))
		return false;
	return getKeyJsonValueFromContainer((JsonbContainer *) object, key, strlen(key), value) != NULL;
}

char *
integ_json_get_string(const JsonbContainer *object, const char *key)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value) || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

bool
integ_json_get_bool(const JsonbContainer *object, const char *key, bool fallback)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value) || value.type != jbvBool)
		return fallback;
	return value.val.boolean;
}

int64
integ_json_get_int(const JsonbContainer *object, const char *key, int64 fallback)
{
	JsonbValue value;
	char *text, *end;
	int64 result;

	if (!integ_json_get(object, key, &value) || value.type != jbvNumeric)
		return fallback;
	text = numeric_normalize(value.val.numeric);
	errno = 0;
	result = strtoll(text, &end, 10);
	return errno != 0 || *end != '\0' ? fallback : result;
}

static const JsonbContainer *
get_container(const JsonbContainer *object, const char *key, uint32 flag)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value) || value.type != jbvBinary ||
		(value.val.binary.data->header & flag) == 0)
		return NULL;
	return value.val.binary.data;
}

const JsonbContainer *
integ_json_get_object(const JsonbContainer *object, const char *key)
{
	return get_container(object, key, JB_FOBJECT);
}

const JsonbContainer *
integ_json_get_array(const JsonbContainer *object, const char *key)
{
	return get_container(object, key, JB_FARRAY);
}

char *
integ_json_value_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return NULL;
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		case jbvBinary:
			return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
		default:
			return integ_json_print(JsonbValueToJsonb((JsonbValue *) value));
	}
}

Jsonb *
integ_json_value_jsonb(const JsonbValue *value)
{
	return JsonbValueToJsonb((JsonbValue *) value);
}

Jsonb *
integ_json_parse(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

Jsonb *
integ_json_string(const char *text, size_t len)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = unconstify(char *, text);
	value.val.string.len = (int) len;
	return integ_json_value_jsonb(&value);
}

Jsonb *
integ_json_empty_object(void)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	return integ_json_end(&builder);
}

Jsonb *
integ_json_null(void)
{
	JsonbValue value = {.type = jbvNull};

	return JsonbValueToJsonb(&value);
}

Jsonb *
integ_json_empty_array(void)
{
	JsonbValue value = {.type = jbvArray};

	value.val.array.rawScalar = false;
	return JsonbValueToJsonb(&value);
}

char *
integ_json_print(const Jsonb *document)
{
	return JsonbToCString(NULL, (JsonbContainer *) &document->root, VARSIZE(document));
}

static void
push_key(IntegJsonBuilder *builder, const char *key)
{
	JsonbValue value;

	if (key == NULL)
		return;
	value.type = jbvString;
	value.val.string.len = strlen(key);
	value.val.string.val = pnstrdup(key, value.val.string.len);
	pushJsonbValue(&builder->state, WJB_KEY, &value);
}

static bool
in_object(const IntegJsonBuilder *builder)
{
	return builder->state->contVal.type == jbvObject;
}

static void
push(IntegJsonBuilder *builder, const char *key, JsonbValue *value)
{
	bool object = in_object(builder);

	Assert(object == (key != NULL));
	push_key(builder, key);
	builder->root = pushJsonbValue(&builder->state, object ? WJB_VALUE : WJB_ELEM, value);
}

void
integ_json_begin_object(IntegJsonBuilder *builder)
{
	builder->state = NULL;
	builder->root = pushJsonbValue(&builder->state, WJB_BEGIN_OBJECT, NULL);
}

void
integ_json_open_object(IntegJsonBuilder *builder, const char *key)
{
	push_key(builder, key);
	builder->root = pushJsonbValue(&builder->state, WJB_BEGIN_OBJECT, NULL);
}

void
integ_json_open_array(IntegJsonBuilder *builder, const char *key)
{
	push_key(builder, key);
	builder->root = pushJsonbValue(&builder->state, WJB_BEGIN_ARRAY, NULL);
}

void
integ_json_close(IntegJsonBuilder *builder)
{
	builder->root = pushJsonbValue(&builder->state, in_object(builder) ? WJB_END_OBJECT : WJB_END_ARRAY, NULL);
}

void
integ_json_add(IntegJsonBuilder *builder, const char *key, const JsonbValue *value)
{
	JsonbValue copy = *value;

	push(builder, key, &copy);
}

void
integ_json_add_jsonb(IntegJsonBuilder *builder, const char *key, const Jsonb *value)
{
	JsonbValue copy;

	if (JB_ROOT_IS_SCALAR(value))
	{
		if (!JsonbExtractScalar((JsonbContainer *) &value->root, &copy))
			elog(ERROR, "malformed jsonb scalar");
	}
	else
	{
		copy.type = jbvBinary;
		copy.val.binary.data = (JsonbContainer *) &value->root;
		copy.val.binary.len = VARSIZE(value) - VARHDRSZ;
	}
	push(builder, key, &copy);
}

void
integ_json_add_string(IntegJsonBuilder *builder, const char *key, const char *value)
{
	JsonbValue string;

	if (value == NULL)
	{
		integ_json_add_null(builder, key);
		return;
	}
	string.type = jbvString;
	string.val.string.len = strlen(value);
	string.val.string.val = pnstrdup(value, string.val.string.len);
	push(builder, key, &string);
}

void
integ_json_add_known(IntegJsonBuilder *builder, const char *key, const char *value)
{
	if (value != NULL)
		integ_json_add_string(builder, key, value);
}

void
integ_json_add_int(IntegJsonBuilder *builder, const char *key, int64 value)
{
	JsonbValue number;

	number.type = jbvNumeric;
	number.val.numeric = int64_to_numeric(value);
	push(builder, key, &number);
}

void
integ_json_add_bool(IntegJsonBuilder *builder, const char *key, bool value)
{
	JsonbValue boolean;

	boolean.type = jbvBool;
	boolean.val.boolean = value;
	push(builder, key, &boolean);
}

void
integ_json_add_time(IntegJsonBuilder *builder, const char *key, TimestampTz value)
{
	char text[MAXDATELEN + 1];
	int utc = 0;

	integ_json_add_string(builder, key, JsonEncodeDateTime(text, TimestampTzGetDatum(value), TIMESTAMPTZOID, &utc));
}

void
integ_json_add_null(IntegJsonBuilder *builder, const char *key)
{
	JsonbValue null;

	null.type = jbvNull;
	push(builder, key, &null);
}

Jsonb *
integ_json_end(IntegJsonBuilder *builder)
{
	integ_json_close(builder);
	Assert(builder->state == NULL);
	return JsonbValueToJsonb(builder->root);
}
