/*
 * From an item that the service lists to an entity and methods of the instance.
 */
#include "discovery/discovery.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "definitions/check.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"

/* What templates of "discovery" see: {item.x}, {fields}, {field_names}, {config.x}. */
static IntegTemplateScope
item_scope(const IntegInstance *instance, const Jsonb *item, const IntegRecordSchema *record)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_jsonb(&builder, "item", item);
	if (record != NULL)
	{
		integ_json_add_jsonb(&builder, "fields", record->names);
		integ_json_add_string(&builder, "field_names", record->names_text);
	}
	return (IntegTemplateScope){.input = &integ_json_end(&builder)->root, .config = &instance->config->root};
}

static const Jsonb *
concat(const Jsonb *a, const Jsonb *b)
{
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(a), JsonbPGetDatum(b)));
}

static const Jsonb *
single(const char *key, const Jsonb *value)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_jsonb(&builder, key, value);
	return integ_json_end(&builder);
}

static const Jsonb *
object_under(const JsonbContainer *object, const char *key)
{
	JsonbValue value;

	if (!integ_json_get(object, key, &value) || value.type != jbvBinary ||
		!JsonContainerIsObject(value.val.binary.data))
		return integ_json_empty_object();
	return integ_json_value_jsonb(&value);
}

/* {"const": value, "default": value}: nobody needs to give it, and nobody can give another. */
static const Jsonb *
fixed_property(const JsonbValue *value)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add(&builder, "const", value);
	integ_json_add(&builder, "default", value);
	return integ_json_end(&builder);
}

/* The base's inputSchema with what is fixed, and with the record where one belongs. */
static const Jsonb *
input_schema(const IntegDiscoveredMethod *method, const JsonbContainer *base, const Jsonb *fixed,
			 const IntegRecordSchema *record)
{
	const Jsonb *schema = object_under(base, "inputSchema");
	const Jsonb *properties = object_under(&schema->root, "properties");
	IntegJsonWalk walk;
	JsonbValue key, value;

	if (fixed != NULL)
	{
		integ_json_walk_begin(&walk, &fixed->root);
		while (integ_json_walk_pair(&walk, &key, &value))
		{
			char *name = pnstrdup(key.val.string.val, key.val.string.len);

			properties = concat(properties, single(name, fixed_property(&value)));
		}
	}
	if (method->record != NULL && record != NULL)
		properties = concat(properties,
							single(method->record, method->record_required ? record->required : record->writable));
	return concat(schema, single("properties", properties));
}

static const Jsonb *
output_schema(const IntegDiscoveredMethod *method, const JsonbContainer *base, const IntegRecordSchema *record)
{
	IntegJsonBuilder builder;

	if (method->returns == NULL || record == NULL)
		return object_under(base, "outputSchema");
	if (strcmp(method->returns, "record") == 0)
		return record->schema;
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "type", "array");
	integ_json_add_jsonb(&builder, "items", record->schema);
	return integ_json_end(&builder);
}

static const Jsonb *
method_of(const IntegDiscoveredMethod *method, const IntegDefinition *definition, const IntegTemplateScope *scope,
		  const IntegRecordSchema *record)
{
	const IntegMethod *base = integ_definition_method(definition, method->base);
	const Jsonb *fixed = method->input == NULL ? NULL : integ_template_json(method->input, scope);
	const Jsonb *heading = integ_template_json(method->heading, scope);
	const JsonbContainer *methods = integ_json_get_array(&definition->manifest->root, "methods");
	const Jsonb *made;

	if (base == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("definition \"%s\" has no method \"%s\", from which others are made", definition->id,
							   method->base)));
	made = integ_json_value_jsonb(getIthJsonbValueFromContainer((JsonbContainer *) methods, base->index));
	if (heading != NULL)
		made = concat(made, heading);
	made = concat(made, single("inputSchema", input_schema(method, base->manifest, fixed, record)));
	return concat(made, single("outputSchema", output_schema(method, base->manifest, record)));
}

void
integ_discovery_item(const IntegDiscovery *discovery, const IntegInstance *instance,
					 const IntegDefinition *definition, const Jsonb *item, const IntegRecordSchema *record,
					 IntegDiscovered *found)
{
	IntegTemplateScope scope = item_scope(instance, item, record);
	const Jsonb *entity = discovery->entity == NULL ? NULL : integ_template_json(discovery->entity, &scope);

	for (int i = 0; i < discovery->nmethods; i++)
		found->methods =
			lappend(found->methods, (void *) method_of(&discovery->methods[i], definition, &scope, record));
	if (entity == NULL)
		return;
	if (record != NULL)
		entity = concat(entity, single("schema", record->schema));
	found->entities = lappend(found->entities, (void *) entity);
}

static bool
has_id(const List *list, const char *id)
{
	ListCell *cell;

	foreach (cell, list)
	{
		const char *other = integ_json_get_string(&((const Jsonb *) lfirst(cell))->root, "id");

		if (other != NULL && strcmp(other, id) == 0)
			return true;
	}
	return false;
}

/* What was found, and what the definition has besides. */
static void
add_list(IntegJsonBuilder *builder, const char *key, const List *found, const JsonbContainer *manifest)
{
	const JsonbContainer *own = integ_json_get_array(manifest, key);
	ListCell *cell;

	integ_json_open_array(builder, key);
	foreach (cell, found)
		integ_json_add_jsonb(builder, NULL, lfirst(cell));
	for (uint32 i = 0; own != NULL && i < JsonContainerSize(own); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer((JsonbContainer *) own, i);

		if (!has_id(found, integ_json_get_string(value->val.binary.data, "id")))
			integ_json_add(builder, NULL, value);
	}
	integ_json_close(builder);
}

void
integ_discovery_check(const IntegDefinition *definition, const List *methods, const List *entities)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	add_list(&builder, "methods", methods, &definition->manifest->root);
	add_list(&builder, "entities", entities, &definition->manifest->root);
	integ_manifest_check(concat(definition->manifest, integ_json_end(&builder)));
}
