/*
 * Whether a credential is one that the instance's definition knows, and of the
 * form that it asks for.
 */
#include "vault/input.h"

#include "core/errors.h"
#include "core/json.h"
#include "definitions/definition.h"
#include "lib/stringinfo.h"
#include "schema/schema.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* The credentialSchema of the way to authenticate that the instance uses, or NULL. */
static const JsonbContainer *
credential_schema(const IntegDefinition *definition, const IntegInstance *instance)
{
	const JsonbContainer *root = &definition->manifest->root;
	const JsonbContainer *methods = integ_json_get_array(root, "authMethods");
	uint32 count = methods == NULL ? 0 : JsonContainerSize(methods);

	for (uint32 i = 0; i < count; i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer((JsonbContainer *) methods, i);
		char *id = item->type != jbvBinary ? NULL : integ_json_get_string(item->val.binary.data, "id");

		/* An instance that stores none uses the first. */
		if (id != NULL && (instance->auth_method == NULL || strcmp(id, instance->auth_method) == 0))
			return integ_json_get_object(item->val.binary.data, "credentialSchema");
	}
	return integ_json_get_object(root, "credentialSchema");
}

static char *
list_keys(const JsonbContainer *object)
{
	JsonbIterator *iterator = JsonbIteratorInit((JsonbContainer *) object);
	JsonbIteratorToken token;
	StringInfoData list;
	JsonbValue value;

	initStringInfo(&list);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
			appendStringInfo(&list, "%s%.*s", list.len > 0 ? ", " : "", value.val.string.len, value.val.string.val);
	return list.data;
}

static bool
is_number(const char *value)
{
	char *end;

	errno = 0;
	(void) strtod(value, &end);
	return end != value && *end == '\0' && errno == 0 && strspn(value, "+-0123456789.eE") == strlen(value);
}

/*
 * The entered text as the JSON value that the property's type wants: a
 * credential is entered as text even if it is a port or a flag.
 */
static Jsonb *
as_json(const JsonbContainer *property, const char *value, size_t len)
{
	char *type = integ_json_get_string(property, "type");
	JsonbValue scalar = {.type = jbvString, .val.string = {(int) len, (char *) value}};

	if (type != NULL && strcmp(type, "boolean") == 0 && (strcmp(value, "true") == 0 || strcmp(value, "false") == 0))
	{
		scalar.type = jbvBool;
		scalar.val.boolean = value[0] == 't';
	}
	else if (type != NULL && (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0) && is_number(value))
	{
		scalar.type = jbvNumeric;
		scalar.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(value),
																 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	return JsonbValueToJsonb(&scalar);
}

void
integ_credential_check(const IntegInstance *instance, const char *name, const char *value, size_t len)
{
	const IntegDefinition *definition = integ_instance_definition(instance);
	const JsonbContainer *schema = definition == NULL ? NULL : credential_schema(definition, instance);
	const JsonbContainer *properties = schema == NULL ? NULL : integ_json_get_object(schema, "properties");
	JsonbValue property;
	IntegSchema *compiled;

	if (properties == NULL)
		return;
	if (!integ_json_get(properties, name, &property))
	{
		const IntegAuth *auth = integ_definition_auth(definition, instance->auth_method);

		if (auth != NULL && integ_auth_brings(auth, name))
			return;
		if (!integ_json_get_bool(schema, "additionalProperties", false))
			ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
							errmsg("definition \"%s\" has no credential \"%s\"", definition->id, name),
							errdetail("Its credentials are: %s.", list_keys(properties)),
							errhint("Its manifest's credentialSchema says what each is.")));
		return;
	}
	if (property.type != jbvBinary)
		return; /* true: anything */
	compiled = integ_schema_compile(integ_json_value_jsonb(&property), psprintf("credentialSchema of definition %s", definition->id));
	/* The validator's own sentences may quote the value: only the rule is shown. */
	if (!integ_schema_validate(compiled, as_json(property.val.binary.data, value, len), NULL))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the value of the credential \"%s\" is not what definition \"%s\" asks for", name,
							   definition->id),
						errdetail("Its credentialSchema has: %s",
								  integ_json_print(integ_json_value_jsonb(&property)))));
}
