/*
 * From the fields that a service describes to the JSON Schema of a record.
 */
#include "discovery/discovery.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/fmgrprotos.h"

/* Types that mean the same everywhere, for those that the manifest does not name. */
static const struct
{
	const char *type;
	const char *json_type;
	const char *format;
} common_types[] = {
	{"string", "string", NULL},
	{"text", "string", NULL},
	{"id", "string", NULL},
	{"boolean", "boolean", NULL},
	{"bool", "boolean", NULL},
	{"int", "integer", NULL},
	{"integer", "integer", NULL},
	{"long", "integer", NULL},
	{"number", "number", NULL},
	{"double", "number", NULL},
	{"float", "number", NULL},
	{"decimal", "number", NULL},
	{"currency", "number", NULL},
	{"percent", "number", NULL},
	{"date", "string", "date"},
	{"datetime", "string", "date-time"},
	{"email", "string", NULL},
	{"url", "string", NULL},
	{"phone", "string", NULL},
	{"array", "array", NULL},
	{"object", "object", NULL},
};

/* The schemas and names under way. */
typedef struct Building
{
	const IntegDiscoveredFields *fields;
	IntegJsonBuilder readable;
	IntegJsonBuilder writable;
	IntegJsonBuilder required; /* names */
	IntegJsonBuilder names;
	StringInfoData names_text;
} Building;

static char *
text_at(const IntegPath *path, const JsonbValue *field)
{
	JsonbValue found;

	return path != NULL && integ_path_find(path, field, &found) ? integ_json_value_text(&found) : NULL;
}

/* Found, and not false, null or empty. */
static bool
holds(const IntegPath *path, const JsonbValue *field)
{
	JsonbValue found;

	if (path == NULL || !integ_path_find(path, field, &found) || found.type == jbvNull)
		return false;
	return found.type == jbvBool ? found.val.boolean : found.type != jbvString || found.val.string.len > 0;
}

static void
add_type_names(IntegJsonBuilder *builder, const char *type, bool nullable)
{
	JsonbValue name = {.type = jbvString};

	if (!nullable)
	{
		integ_json_add_string(builder, "type", type);
		return;
	}
	integ_json_open_array(builder, "type");
	name.val.string.val = (char *) type;
	name.val.string.len = strlen(type);
	integ_json_add(builder, NULL, &name);
	integ_json_add_string(builder, NULL, "null");
	integ_json_close(builder);
}

/* The keywords of the manifest's schema for a type; its "type" may get a null beside. */
static void
add_named_type(IntegJsonBuilder *builder, const JsonbContainer *schema, bool nullable)
{
	IntegJsonWalk walk;
	JsonbValue key, value;

	integ_json_walk_begin(&walk, schema);
	while (integ_json_walk_pair(&walk, &key, &value))
	{
		char *name = pnstrdup(key.val.string.val, key.val.string.len);

		if (strcmp(name, "type") == 0 && value.type == jbvString)
			add_type_names(builder, pnstrdup(value.val.string.val, value.val.string.len), nullable);
		else
			integ_json_add(builder, name, &value);
	}
}

static void
add_type(IntegJsonBuilder *builder, const IntegDiscoveredFields *fields, const char *type, bool nullable)
{
	const JsonbContainer *named =
		type != NULL && fields->types != NULL ? integ_json_get_object(fields->types, type) : NULL;

	integ_json_add_known(builder, "x-type", type);
	if (named != NULL)
	{
		add_named_type(builder, named, nullable);
		return;
	}
	for (size_t i = 0; type != NULL && i < lengthof(common_types); i++)
	{
		if (pg_strcasecmp(type, common_types[i].type) != 0)
			continue;
		add_type_names(builder, common_types[i].json_type, nullable);
		integ_json_add_known(builder, "format", common_types[i].format);
		return;
	}
}

static void
add_property(IntegJsonBuilder *builder, const IntegDiscoveredFields *fields, const char *name, const JsonbValue *field,
			 bool read_only)
{
	char *title = text_at(fields->title, field);
	char *description = text_at(fields->description, field);

	integ_json_open_object(builder, name);
	integ_json_add_known(builder, "title", title);
	integ_json_add_known(builder, "description", description);
	if (read_only)
		integ_json_add_bool(builder, "readOnly", true);
	add_type(builder, fields, text_at(fields->type, field), holds(fields->nullable, field));
	integ_json_close(builder);
}

/* key: its name where the fields are an object, else NULL. A field without a name is none. */
static void
add_field(Building *building, const JsonbValue *key, const JsonbValue *field)
{
	const IntegDiscoveredFields *fields = building->fields;
	char *name = fields->name != NULL ? text_at(fields->name, field) : NULL;
	bool read_only = holds(fields->read_only, field);

	if (name == NULL && key != NULL)
		name = pnstrdup(key->val.string.val, key->val.string.len);
	if (name == NULL || name[0] == '\0')
		return;
	add_property(&building->readable, fields, name, field, read_only);
	if (!read_only)
	{
		add_property(&building->writable, fields, name, field, false);
		if (holds(fields->required, field))
			integ_json_add_string(&building->required, NULL, name);
	}
	integ_json_add_string(&building->names, NULL, name);
	appendStringInfo(&building->names_text, "%s%s", building->names_text.len > 0 ? "," : "", name);
}

static void
add_fields(Building *building, const JsonbValue *found)
{
	IntegJsonWalk walk;
	JsonbValue key, field;

	if (found->type != jbvBinary)
		return;
	integ_json_walk_begin(&walk, found->val.binary.data);
	if (JsonContainerIsObject(found->val.binary.data))
		while (integ_json_walk_pair(&walk, &key, &field))
			add_field(building, &key, &field);
	else
		while (integ_json_walk_element(&walk, &field))
			add_field(building, NULL, &field);
}

static void
begin_array(IntegJsonBuilder *builder)
{
	integ_json_begin_object(builder);
	integ_json_open_array(builder, "list");
}

static const Jsonb *
end_array(IntegJsonBuilder *builder)
{
	JsonbValue list;

	integ_json_close(builder);
	if (!integ_json_get(&integ_json_end(builder)->root, "list", &list))
		elog(ERROR, "a list was not built");
	return integ_json_value_jsonb(&list);
}

static void
begin_schema(IntegJsonBuilder *builder)
{
	integ_json_begin_object(builder);
	integ_json_add_string(builder, "type", "object");
	integ_json_open_object(builder, "properties");
}

void
integ_discovery_schema(const IntegDiscoveredFields *fields, const Jsonb *description, IntegRecordSchema *record)
{
	Building building = {.fields = fields};
	IntegJsonBuilder with_required;
	const Jsonb *required;
	JsonbValue root, found;

	initStringInfo(&building.names_text);
	begin_schema(&building.readable);
	begin_schema(&building.writable);
	begin_array(&building.required);
	begin_array(&building.names);
	integ_json_root(description, &root);
	if (integ_path_find(fields->in, &root, &found))
		add_fields(&building, &found);

	integ_json_close(&building.readable);
	integ_json_close(&building.writable);
	integ_json_add_bool(&building.writable, "additionalProperties", false);
	record->schema = integ_json_end(&building.readable);
	record->writable = integ_json_end(&building.writable);
	required = end_array(&building.required);
	integ_json_begin_object(&with_required);
	integ_json_add_jsonb(&with_required, "required", required);
	record->required = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(record->writable),
														  JsonbPGetDatum(integ_json_end(&with_required))));
	record->names = end_array(&building.names);
	record->names_text = building.names_text.data;
}
