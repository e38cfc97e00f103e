/*
 * integ_convert_suggest: mappings from an entity to a target, by name and type.
 *
 * A suggestion is a beginning that a person edits: it maps what is called the
 * same, and says what is left on both sides.
 */
#include "convert/suggest.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "discovery/discovery.h"
#include "instances/instance.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_convert_suggest);

/*
 * Letters and digits of the last part of a path in lower case, without the
 * suffix that some services give to custom fields.
 */
static char *
plain_name(const char *path)
{
	const char *last = strrchr(path, '.');
	char *name = pstrdup(last == NULL ? path : last + 1), *out = name;
	int len = strlen(name);

	if (len > 3 && strcmp(name + len - 3, "__c") == 0)
		name[len - 3] = '\0';
	for (const char *c = name; *c != '\0'; c++)
		if (isalnum((unsigned char) *c) || IS_HIGHBIT_SET(*c))
			*out++ = tolower((unsigned char) *c);
	*out = '\0';
	return name;
}

/* The source of a name that is not taken yet: one at the top before one within an object. */
static SuggestField *
find_source(SuggestFields *sources, const char *name)
{
	SuggestField *found = NULL;

	for (int i = 0; i < sources->count; i++)
	{
		SuggestField *field = &sources->fields[i];

		if (field->taken || strcmp(plain_name(field->name), name) != 0)
			continue;
		if (found == NULL || (strchr(found->name, '.') != NULL && strchr(field->name, '.') == NULL))
			found = field;
	}
	return found;
}

/* The transformation that makes one kind of value fit another; NULL: none is needed. */
static const char *
transformation(SuggestKind from, SuggestKind to)
{
	if (from == to || to == SUGGEST_ANY || from == SUGGEST_ANY)
		return NULL;
	switch (to)
	{
		case SUGGEST_TEXT:
			return from == SUGGEST_DATE ? NULL : "to_string";
		case SUGGEST_NUMBER:
			return "to_number";
		case SUGGEST_BOOLEAN:
			return "to_boolean";
		case SUGGEST_DATE:
			return "to_date";
		case SUGGEST_LIST:
			return "to_array";
		default:
			return NULL;
	}
}

/* Whether values of one kind can become another at all. */
static bool
can_become(SuggestKind from, SuggestKind to)
{
	if (from == to || to == SUGGEST_ANY || from == SUGGEST_ANY || to == SUGGEST_LIST)
		return true;
	return from != SUGGEST_OBJECT && from != SUGGEST_LIST && to != SUGGEST_OBJECT;
}

static void
begin_mapping(IntegJsonBuilder *builder, const char *target, const char *type)
{
	integ_json_open_object(builder, NULL);
	integ_json_add_string(builder, "targetField", target);
	integ_json_add_string(builder, "mappingType", type);
	integ_json_open_object(builder, "config");
	integ_json_add_string(builder, "type", type);
}

static void
end_mapping(IntegJsonBuilder *builder)
{
	integ_json_close(builder);
	integ_json_close(builder);
}

static void
suggest_one(IntegJsonBuilder *builder, SuggestField *source, SuggestField *target)
{
	const char *step = transformation(source->kind, target->kind);

	begin_mapping(builder, target->name, step == NULL ? "direct" : "transform");
	integ_json_add_string(builder, "sourceField", source->name);
	if (step != NULL)
	{
		integ_json_open_array(builder, "transformations");
		integ_json_open_object(builder, NULL);
		integ_json_add_string(builder, "type", step);
		integ_json_close(builder);
		integ_json_close(builder);
	}
	end_mapping(builder);
	source->taken = target->taken = true;
}

/* A name of a person, of its parts, which may be wanted by themselves as well. */
static void
suggest_name(IntegJsonBuilder *builder, SuggestFields *sources, SuggestFields *targets)
{
	SuggestField *first = find_source(sources, "firstname"), *last = find_source(sources, "lastname");

	if (first == NULL || last == NULL || find_source(sources, "name") != NULL)
		return;
	for (int i = 0; i < targets->count; i++)
	{
		SuggestField *target = &targets->fields[i];

		if (!target->writable || !can_become(SUGGEST_TEXT, target->kind) || strcmp(plain_name(target->name), "name") != 0)
			continue;
		begin_mapping(builder, target->name, "composite");
		integ_json_open_array(builder, "sourceFields");
		integ_json_add_string(builder, NULL, first->name);
		integ_json_add_string(builder, NULL, last->name);
		integ_json_close(builder);
		integ_json_add_string(builder, "template", psprintf("${%s} ${%s}", first->name, last->name));
		end_mapping(builder);
		target->taken = first->used = last->used = true;
	}
}

static void
suggest_mappings(IntegJsonBuilder *builder, SuggestFields *sources, SuggestFields *targets)
{
	integ_json_open_array(builder, "field_mappings");
	suggest_name(builder, sources, targets);
	for (int i = 0; i < targets->count; i++)
	{
		SuggestField *target = &targets->fields[i];
		SuggestField *source = target->taken ? NULL : find_source(sources, plain_name(target->name));

		if (source != NULL && target->writable && can_become(source->kind, target->kind))
			suggest_one(builder, source, target);
	}
	integ_json_close(builder);
}

static void
suggest_deduplication(IntegJsonBuilder *builder, const char *id_field, SuggestFields *sources)
{
	integ_json_open_object(builder, "deduplication");
	integ_json_add_string(builder, "strategy", "external_id");
	for (int i = 0; i < sources->count && id_field == NULL; i++)
		if (strcmp(plain_name(sources->fields[i].name), "id") == 0)
			id_field = sources->fields[i].name;
	integ_json_add_string(builder, "externalIdField", id_field == NULL ? "id" : id_field);
	integ_json_close(builder);
}

static void
list_left(IntegJsonBuilder *builder, const char *key, const SuggestFields *fields)
{
	integ_json_open_array(builder, key);
	for (int i = 0; i < fields->count; i++)
		if (!fields->fields[i].taken && !fields->fields[i].used && fields->fields[i].writable)
			integ_json_add_string(builder, NULL, fields->fields[i].name);
	integ_json_close(builder);
}

/* The entity of what a name means: a definition, or an instance with what only that has. */
static const JsonbContainer *
find_entity(const IntegActor *actor, const char *name, const char *id)
{
	const IntegDefinition *definition = integ_definition_get(name, NULL);
	const IntegInstance *instance = NULL;
	const JsonbContainer *entity;

	if (definition == NULL || !integ_definition_visible(definition, actor))
	{
		instance = integ_instance_resolve(actor, name);
		definition = integ_instance_definition(instance);
	}
	entity = integ_discovery_entity(instance, definition, id);
	if (entity == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("\"%s\" has no entity \"%s\"", name, id),
						errhint("SELECT * FROM integ_entities(%s) lists them.", quote_literal_cstr(name))));
	return entity;
}

/* integ_convert_suggest(definition text, entity text, target text, samples jsonb) → jsonb */
Datum
integ_convert_suggest(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "suggest mappings");
	const char *entity_id, *target;
	const JsonbContainer *entity;
	SuggestFields sources = {0}, targets = {0};
	IntegJsonBuilder builder;
	bool is_table;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	entity_id = text_to_cstring(PG_GETARG_TEXT_PP(1));
	target = text_to_cstring(PG_GETARG_TEXT_PP(2));
	entity = find_entity(actor, text_to_cstring(PG_GETARG_TEXT_PP(0)), entity_id);
	suggest_read_schema(integ_json_get_object(entity, "schema"), &sources);
	if (!PG_ARGISNULL(3))
		suggest_read_samples(PG_GETARG_JSONB_P(3), &sources);
	if (sources.count == 0)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("it is not known which fields a record of \"%s\" has", entity_id),
						errdetail("The definition has no schema for the entity."),
						errhint("Give some records as the argument \"samples\".")));
	is_table = suggest_read_target(actor, target, &targets);

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "source_entity", entity_id);
	integ_json_add_string(&builder, is_table ? "target_table" : "target_type", target);
	suggest_mappings(&builder, &sources, &targets);
	suggest_deduplication(&builder, integ_json_get_string(entity, "idField"), &sources);
	integ_json_open_object(&builder, "unmatched");
	list_left(&builder, "source", &sources);
	list_left(&builder, "target", &targets);
	integ_json_close(&builder);
	PG_RETURN_JSONB_P(integ_json_end(&builder));
}
