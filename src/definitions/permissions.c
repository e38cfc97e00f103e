/*
 * integ_permissions: what a definition reaches, for whoever agrees to it.
 */
#include "definitions/definition.h"

#include "core/errors.h"
#include "core/json.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(integ_permissions);

/* Adds the strings of an array to the open array, each once. */
static void
add_new(IntegJsonBuilder *builder, List **seen, const JsonbContainer *list)
{
	for (uint32 i = 0; list != NULL && i < JsonContainerSize(list); i++)
	{
		char *text = integ_json_value_text(getIthJsonbValueFromContainer((JsonbContainer *) list, i));
		ListCell *cell;
		bool known = false;

		foreach (cell, *seen)
			known = known || strcmp(lfirst(cell), text) == 0;
		if (known)
			continue;
		*seen = lappend(*seen, text);
		integ_json_add_string(builder, NULL, text);
	}
}

static void
add_declared(IntegJsonBuilder *builder, const JsonbContainer *permissions, const char *key)
{
	List *seen = NIL;

	integ_json_open_array(builder, key);
	if (permissions != NULL)
		add_new(builder, &seen, integ_json_get_array(permissions, key));
	integ_json_close(builder);
}

/* Declared scopes, those asked for at the consent screen, and those of single methods. */
static void
add_scopes(IntegJsonBuilder *builder, const IntegDefinition *definition, const JsonbContainer *permissions)
{
	List *seen = NIL;

	integ_json_open_array(builder, "scopes");
	if (permissions != NULL)
		add_new(builder, &seen, integ_json_get_array(permissions, "scopes"));
	for (int i = 0; i < definition->nauths; i++)
		if (definition->auths[i].oauth2 != NULL)
			add_new(builder, &seen, integ_json_get_array(definition->auths[i].oauth2, "scopes"));
	for (int i = 0; i < definition->nmethods; i++)
		add_new(builder, &seen, integ_json_get_array(definition->methods[i].manifest, "requiredScopes"));
	integ_json_close(builder);
}

static void
add_methods(IntegJsonBuilder *builder, const IntegDefinition *definition, const char *key, bool writes, bool approval)
{
	integ_json_open_array(builder, key);
	for (int i = 0; i < definition->nmethods; i++)
		if (definition->methods[i].is_write == writes && (!approval || definition->methods[i].approval_required))
			integ_json_add_string(builder, NULL, definition->methods[i].id);
	integ_json_close(builder);
}

typedef struct BaseUrls
{
	IntegJsonBuilder *builder;
	List *seen;
} BaseUrls;

static void
add_base_url(const JsonbContainer *request, void *arg)
{
	BaseUrls *urls = arg;
	char *url = integ_json_get_string(request, "baseUrl");
	ListCell *cell;

	if (url == NULL)
		return;
	foreach (cell, urls->seen)
		if (strcmp(lfirst(cell), url) == 0)
			return;
	urls->seen = lappend(urls->seen, url);
	integ_json_add_string(urls->builder, NULL, url);
}

/* Where single requests go instead of the base URL: credentials go there too. */
static void
add_base_urls(IntegJsonBuilder *builder, const IntegDefinition *definition)
{
	BaseUrls urls = {.builder = builder};

	integ_json_open_array(builder, "further_base_urls");
	for (int i = 0; i < definition->nmethods; i++)
		integ_method_each_request(&definition->methods[i], add_base_url, &urls);
	integ_json_close(builder);
}

Datum
integ_permissions(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "read definitions");
	char *id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const IntegDefinition *definition = integ_definition_get(id, NULL);
	const JsonbContainer *permissions;
	IntegJsonBuilder builder;

	if (definition == NULL || !integ_definition_visible(definition, actor))
		integ_definition_unknown(id);
	permissions = integ_json_get_object(&definition->manifest->root, "permissions");
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "base_url", definition->base_url_source);
	add_base_urls(&builder, definition);
	add_declared(&builder, permissions, "hosts");
	add_declared(&builder, permissions, "data");
	add_scopes(&builder, definition, permissions);
	add_methods(&builder, definition, "reads", false, false);
	add_methods(&builder, definition, "writes", true, false);
	add_methods(&builder, definition, "approval_required", true, true);
	PG_RETURN_JSONB_P(integ_json_end(&builder));
}
