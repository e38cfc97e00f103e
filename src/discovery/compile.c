/*
 * From the manifest's "discovery" to what a run of it needs.
 */
#include "discovery/discovery.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "definitions/compile.h"

#define DEFAULT_LIMIT 1000
#define DEFAULT_REFRESH_SECONDS (24 * 60 * 60)

static IntegDiscoveredFields *
compile_fields(const JsonbContainer *discovery, const char *where)
{
	const JsonbContainer *manifest = integ_json_get_object(discovery, "fields");
	IntegDiscoveredFields *fields;

	if (manifest == NULL)
		return NULL;
	where = psprintf("%s/fields", where);
	fields = palloc0(sizeof(IntegDiscoveredFields));
	fields->in = integ_compile_path(manifest, "in", where);
	fields->name = integ_compile_path(manifest, "name", where);
	fields->type = integ_compile_path(manifest, "type", where);
	fields->title = integ_compile_path(manifest, "title", where);
	fields->description = integ_compile_path(manifest, "description", where);
	fields->nullable = integ_compile_path(manifest, "nullable", where);
	fields->required = integ_compile_path(manifest, "required", where);
	fields->read_only = integ_compile_path(manifest, "readOnly", where);
	fields->types = integ_json_get_object(manifest, "types");
	return fields;
}

/* {"id": …, "name": …, "description": …} of the object: what is rendered for each item. */
static IntegTemplate *
compile_heading(const JsonbContainer *method, const char *where)
{
	static const char *const keys[] = {"id", "name", "description"};
	IntegJsonBuilder builder;
	JsonbValue source;

	integ_json_begin_object(&builder);
	for (size_t i = 0; i < lengthof(keys); i++)
	{
		char *text = integ_json_get_string(method, keys[i]);

		integ_json_add_known(&builder, keys[i], text);
	}
	integ_json_root(integ_json_end(&builder), &source);
	return integ_template_compile(&source, where);
}

static void
compile_methods(const JsonbContainer *manifest, const char *where, IntegDiscovery *discovery)
{
	const JsonbContainer *list = integ_json_get_array(manifest, "methods");

	if (list == NULL)
		return;
	discovery->nmethods = (int) JsonContainerSize(list);
	discovery->methods = palloc0(discovery->nmethods * sizeof(IntegDiscoveredMethod));
	for (int i = 0; i < discovery->nmethods; i++)
	{
		const JsonbContainer *object = getIthJsonbValueFromContainer((JsonbContainer *) list, i)->val.binary.data;
		IntegDiscoveredMethod *method = &discovery->methods[i];
		char *path = psprintf("%s/methods/%d", where, i);

		method->base = integ_json_get_string(object, "base");
		method->heading = compile_heading(object, path);
		method->input = integ_compile_template(object, "input", path);
		method->record = integ_json_get_string(object, "record");
		method->record_required = integ_json_get_bool(object, "recordRequired", false);
		method->returns = integ_json_get_string(object, "returns");
	}
}

IntegDiscovery *
integ_discovery_compile(const JsonbContainer *manifest, const char *root)
{
	const JsonbContainer *object = integ_json_get_object(manifest, "discovery");
	const char *where = psprintf("%s/discovery", root);
	IntegDiscovery *discovery;
	const JsonbContainer *describe;
	JsonbValue input;

	if (object == NULL)
		return NULL;
	discovery = palloc0(sizeof(IntegDiscovery));
	discovery->method = integ_json_get_string(object, "method");
	if (integ_json_get(object, "input", &input))
		discovery->input = integ_json_value_jsonb(&input);
	discovery->items = integ_compile_path(object, "items", where);
	discovery->when = integ_compile_path(object, "when", where);
	describe = integ_json_get_object(object, "describe");
	if (describe != NULL)
	{
		discovery->describe = integ_json_get_string(describe, "method");
		discovery->describe_input = integ_compile_template(describe, "input", psprintf("%s/describe", where));
	}
	discovery->fields = compile_fields(object, where);
	discovery->entity = integ_compile_template(object, "entity", where);
	compile_methods(object, where, discovery);
	discovery->limit = (int) integ_json_get_int(object, "limit", DEFAULT_LIMIT);
	discovery->refresh_seconds = integ_json_get_int(object, "refreshSeconds", DEFAULT_REFRESH_SECONDS);
	return discovery;
}
