/*
 * What is read: instance, entity and method of a source, and the input that the method gets.
 */
#include "sync/engine.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/uuid.h"
#include "discovery/discovery.h"
#include "execute/input.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#define DEFAULT_OVERLAP_SECONDS 60
#define DEFAULT_MAX_ERRORS 10000
#define DEFAULT_MAX_DELETE_PERCENT 30

/* Keys of a task's config that are the engine's, and never a method's input of the same name. */
static const char *const own_keys[] = {"incrementalSync", "modifiedSinceField", "overlapSeconds", "maxResults",
									   "pageSize", "maxErrors", "maxDeletePercent", "input",
									   "conflictResolution", "pushChangesFrom", "pullChangesFrom", "card"};

pg_noreturn static void
refuse(const SyncEngine *engine, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
					errmsg("the sync task \"%s\" cannot run as it is", engine->run->task_id),
					errdetail_internal("%s", detail), errhint("%s", hint)));
}

/* --- the task's config --- */

static int64
number_of(const SyncEngine *engine, const Jsonb *config, const char *key, int64 fallback, int64 min, int64 max)
{
	int64 number = integ_json_get_int(&config->root, key, fallback);
	JsonbValue value;

	if (!integ_json_get(&config->root, key, &value) || value.type == jbvNull)
		return fallback;
	number = integ_json_get_int(&config->root, key, min - 1);
	if (number < min || number > max)
		refuse(engine,
			   psprintf("\"%s\" of its config must be a whole number from %lld to %lld.", key, (long long) min,
						(long long) max),
			   "UPDATE integ.sync_tasks SET config = …");
	return number;
}

static void
read_options(const SyncEngine *engine, const Jsonb *config, SyncConfig *options)
{
	JsonbValue input;

	options->incremental = integ_json_get_bool(&config->root, "incrementalSync", false);
	options->modified_field = integ_json_get_string(&config->root, "modifiedSinceField");
	options->overlap_ms = 1000 * number_of(engine, config, "overlapSeconds", DEFAULT_OVERLAP_SECONDS, 0, 366 * 86400);
	options->max_results = number_of(engine, config, "maxResults", 0, 0, PG_INT64_MAX);
	options->page_size = number_of(engine, config, "pageSize", 0, 0, 1000000);
	options->max_errors = number_of(engine, config, "maxErrors", DEFAULT_MAX_ERRORS, 0, PG_INT64_MAX);
	options->max_delete_percent = number_of(engine, config, "maxDeletePercent", DEFAULT_MAX_DELETE_PERCENT, 0, 100);
	if (!integ_json_get(&config->root, "input", &input) || input.type == jbvNull)
		return;
	if (!integ_json_is_object(&input))
		refuse(engine, "\"input\" of its config is no object.", "It is what the method is called with.");
	options->input = integ_json_value_jsonb(&input);
}

/* --- the source --- */

static IntegPath *
path_of(const char *field, const char *key)
{
	return integ_path_compile(field[0] == '.' || field[0] == '$' ? field : psprintf(".%s", field), key);
}

static IntegPath *
path_at(const JsonbContainer *entity, const char *key)
{
	const char *field = entity == NULL ? NULL : integ_json_get_string(entity, key);

	return field == NULL ? NULL : path_of(field, key);
}

static void
read_entity(SyncSource *source, const JsonbContainer *entity)
{
	const char *field = source->options.modified_field;
	const JsonbContainer *input = entity == NULL ? NULL : integ_json_get_object(entity, "input");
	JsonbValue value = {.type = jbvBinary};

	source->id = path_at(entity, "idField");
	source->deleted = path_at(entity, "deletedField");
	source->modified = field == NULL ? path_at(entity, "modifiedField") : path_of(field, "modifiedSinceField");
	if (entity == NULL)
		return;
	source->modified_param = integ_json_get_string(entity, "modifiedParam");
	source->delta_param = integ_json_get_string(entity, "deltaParam");
	source->page_size_param = integ_json_get_string(entity, "pageSizeParam");
	source->deleted_method = integ_json_get_string(entity, "deleted");
	source->get_method = integ_json_get_string(entity, "get");
	source->id_param = integ_json_get_string(entity, "idParam");
	if (source->id_param == NULL)
		source->id_param = "id";
	if (source->method == NULL)
		source->method = integ_json_get_string(entity, "list");
	if (input == NULL)
		return;
	integ_json_get(entity, "input", &value);
	source->entity_input = integ_json_value_jsonb(&value);
}

static void
require_external_id(const SyncEngine *engine, const SyncSource *source, const IntegConversion *conversion)
{
	if (!integ_conversion_has_external_id(conversion) && source->id == NULL)
		refuse(engine,
			   psprintf("Neither the schema \"%s\" (deduplication.externalIdField) nor the entity \"%s\" (idField) says "
						"where a record's id is.",
						conversion->schema_id, source->entity),
			   "Add externalIdField to the schema's deduplication.");
}

const IntegMethod *
sync_source_method(const SyncEngine *engine, const SyncSource *source, const char *name)
{
	const IntegInstance *instance = integ_instance_resolve(engine->actor, source->instance_text);
	const IntegMethod *method = integ_instance_method(instance, integ_instance_definition(instance), name);

	if (method == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_NOT_FOUND), errmsg("\"%s\" has no method \"%s\"", instance->instance_id, name),
						errhint("SELECT * FROM integ_methods('%s').", instance->instance_id)));
	return method;
}

static void
read_method(const SyncEngine *engine, SyncSource *source)
{
	const IntegMethod *method;
	JsonbValue delta;

	if (source->method == NULL)
		refuse(engine,
			   psprintf("The entity \"%s\" of \"%s\" names no method that lists its records.", source->entity,
						source->name),
			   "Give the task a method: UPDATE integ.sync_tasks SET method = …");
	method = sync_source_method(engine, source, source->method);
	if (method->is_write)
		refuse(engine, psprintf("The method \"%s\" writes.", source->method), "Give it one that lists records.");
	if (method->exchange == NULL)
		refuse(engine,
			   psprintf("The method \"%s\" has several requests, and a list is read with one a page.", source->method),
			   "Give it a method of one request.");
	source->has_delta = method->pagination != NULL && integ_json_get(method->pagination, "delta", &delta);
}

/* Whatever the target is, it is looked at before anything is fetched. */
static void
check_target(const SyncEngine *engine, SyncSource *source)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "integ sync check", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	SyncTarget *target = sync_target_open(&source->schema);
	const char *entity = target->conversion->source_entity;

	if (target->conversion->has_instance && memcmp(&target->conversion->instance, &source->instance, UUID_LEN) != 0)
		refuse(engine, psprintf("Its schema \"%s\" is for another instance.", target->conversion->schema_id),
			   "Give both the same instance, or the schema none.");
	source->removes = target->conversion->delete_if_removed;
	MemoryContextSwitchTo(old);
	if (source->entity == NULL)
		source->entity = pstrdup(entity);
	MemoryContextDelete(scratch);
}

SyncSource *
sync_source_plan(SyncEngine *engine, const IntegSyncSource *given)
{
	SyncSource *source = palloc0(sizeof(SyncSource));
	const IntegInstance *instance;

	if (!given->has_instance)
		refuse(engine, "It has no instance.", "UPDATE integ.sync_tasks SET instance = …");
	if (!given->has_schema && engine->card == NULL)
		refuse(engine, "It has no conversion schema.", "UPDATE integ.sync_tasks SET schema = …");
	source->position = given->position;
	source->instance = given->instance;
	source->instance_text = integ_uuid_text(&given->instance);
	source->schema = given->schema;
	source->entity = given->entity;
	source->method = given->method;
	source->config = given->config;
	read_options(engine, given->config, &source->options);
	if (engine->card == NULL)
		check_target(engine, source);
	instance = integ_instance_resolve(engine->actor, source->instance_text);
	source->name = given->name != NULL ? given->name : pstrdup(instance->instance_id);
	if (source->entity == NULL && source->method == NULL)
		refuse(engine, psprintf("Its source \"%s\" has no method.", source->name),
			   "UPDATE integ.sync_task_sources SET method = …");
	if (source->entity != NULL)
		read_entity(source, integ_discovery_entity(instance, integ_instance_definition(instance), source->entity));
	if (engine->card == NULL)
		require_external_id(engine, source, integ_conversion_get(&source->schema, INTEG_PULL));
	read_method(engine, source);
	return source;
}

/* --- the input --- */

static bool
is_own_key(const JsonbValue *key)
{
	for (size_t i = 0; i < lengthof(own_keys); i++)
		if (integ_json_key_compare(own_keys[i], strlen(own_keys[i]), key->val.string.val, key->val.string.len) == 0)
			return true;
	return false;
}

/* Keys of the config that are names of the method's input. */
static const Jsonb *
input_of_config(const SyncSource *source, const JsonbContainer *properties)
{
	IntegJsonBuilder builder;
	IntegJsonWalk walk;
	JsonbValue key, property, value;

	integ_json_begin_object(&builder);
	if (properties != NULL)
	{
		integ_json_walk_begin(&walk, properties);
		while (integ_json_walk_pair(&walk, &key, &property))
		{
			const char *name = pnstrdup(key.val.string.val, key.val.string.len);

			if (!is_own_key(&key) && integ_json_get(&source->config->root, name, &value))
				integ_json_add(&builder, name, &value);
		}
	}
	return integ_json_end(&builder);
}

/* A run that takes so many records need not ask for pages that are larger. */
static int64
wanted_size(const SyncConfig *options)
{
	if (options->max_results > 0 && options->page_size > 0)
		return Min(options->max_results, options->page_size);
	return options->page_size;
}

const Jsonb *
sync_source_input(const SyncSource *source, const IntegMethod *method, const char *since, const char *delta,
				  const char *id)
{
	const JsonbContainer *properties = integ_input_properties(method);
	const Jsonb *input = integ_input_with(integ_json_empty_object(), source->entity_input);
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	if (since != NULL && source->modified_param != NULL)
		integ_input_add_text(&builder, properties, source->modified_param, since);
	if (delta != NULL && source->delta_param != NULL)
		integ_input_add_text(&builder, properties, source->delta_param, delta);
	if (wanted_size(&source->options) > 0 && source->page_size_param != NULL && id == NULL)
		integ_json_add_int(&builder, source->page_size_param, wanted_size(&source->options));
	if (id != NULL)
		integ_input_add_text(&builder, properties, source->id_param, id);
	input = integ_input_with(input, input_of_config(source, properties));
	input = integ_input_with(input, source->options.input);
	return integ_input_with(input, integ_json_end(&builder));
}

int64
sync_source_page_size(const SyncSource *source, const IntegMethod *method)
{
	if (source->page_size_param != NULL || method->pagination == NULL ||
		integ_json_get_string(method->pagination, "pageSizeParam") == NULL)
		return 0;
	return wanted_size(&source->options);
}
