/*
 * Checking a manifest: what discovery names exists.
 */
#include "core/json.h"
#include "core/json_walk.h"
#include "definitions/check.h"
#include "discovery/discovery.h"

static const IntegMethod *
find_method(const IntegManifestCheck *check, const char *id)
{
	for (int i = 0; i < check->definition->nmethods; i++)
		if (strcmp(check->definition->methods[i].id, id) == 0)
			return &check->definition->methods[i];
	return NULL;
}

/* A method that is asked while discovering: it exists, reads, and is one request. */
static const IntegMethod *
check_asked(IntegManifestCheck *check, const char *id, const char *where)
{
	const IntegMethod *method = id == NULL ? NULL : find_method(check, id);

	if (id == NULL)
		return NULL;
	if (method == NULL)
		integ_manifest_problem(check, where, "there is no method \"%s\"", id);
	else if (method->is_write)
		integ_manifest_problem(check, where, "the method \"%s\" writes; one that reads is needed", id);
	else if (integ_json_get_object(method->manifest, "request") == NULL)
		integ_manifest_problem(check, where, "the method \"%s\" has no request of its own", id);
	return method;
}

static void
check_input(IntegManifestCheck *check, const IntegMethod *method, const char *name, const char *where)
{
	if (!integ_schema_may_have(integ_json_get_object(method->manifest, "inputSchema"), name))
		integ_manifest_problem(check, where, "the method \"%s\" has no input \"%s\"", method->id, name);
}

/* That the keys of the object under "input" are inputs of the method. */
static void
check_inputs(IntegManifestCheck *check, const JsonbContainer *object, const IntegMethod *method, const char *where)
{
	const JsonbContainer *input = integ_json_get_object(object, "input");
	IntegJsonWalk walk;
	JsonbValue key, value;

	if (input == NULL || method == NULL)
		return;
	integ_json_walk_begin(&walk, input);
	while (integ_json_walk_pair(&walk, &key, &value))
		check_input(check, method, pnstrdup(key.val.string.val, key.val.string.len), psprintf("%s/input", where));
}

static void
check_made(IntegManifestCheck *check, const JsonbContainer *object, const char *where)
{
	static const char *const templates[] = {"id", "name", "description", "input"};
	char *base_id = integ_json_get_string(object, "base");
	char *record = integ_json_get_string(object, "record");
	const IntegMethod *base = find_method(check, base_id);

	if (base == NULL)
		integ_manifest_problem(check, psprintf("%s/base", where), "there is no method \"%s\"", base_id);
	for (size_t i = 0; i < lengthof(templates); i++)
		integ_manifest_check_template(check, object, templates[i], where, INTEG_PLACEHOLDERS_ITEM, NULL);
	check_inputs(check, object, base, where);
	if (record != NULL && base != NULL)
		check_input(check, base, record, psprintf("%s/record", where));
}

void
integ_manifest_check_discovery(IntegManifestCheck *check)
{
	const IntegDiscovery *discovery = integ_discovery_compile(check->root, "");
	const JsonbContainer *object = integ_json_get_object(check->root, "discovery");
	const JsonbContainer *describe;

	if (discovery == NULL)
		return;
	check_inputs(check, object, check_asked(check, discovery->method, "/discovery/method"), "/discovery");
	describe = integ_json_get_object(object, "describe");
	if (describe != NULL)
	{
		check_inputs(check, describe, check_asked(check, discovery->describe, "/discovery/describe/method"),
					 "/discovery/describe");
		integ_manifest_check_template(check, describe, "input", "/discovery/describe", INTEG_PLACEHOLDERS_ITEM, NULL);
	}
	integ_manifest_check_template(check, object, "entity", "/discovery", INTEG_PLACEHOLDERS_ITEM, NULL);
	integ_manifest_each(check, object, "methods", "/discovery", check_made);
}
