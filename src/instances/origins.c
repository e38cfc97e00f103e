/*
 * Where an instance's requests go.
 */
#include "instances/instance.h"

#include "core/json.h"
#include "instances/site.h"
#include "nodes/pg_list.h"

typedef struct Search
{
	const IntegInstance *instance;
	List *origins;
} Search;

/* The origin of the request's own base URL. */
static void
add_request(const JsonbContainer *request, void *arg)
{
	Search *search = arg;
	IntegSite site = {.config = search->instance->config};
	JsonbValue source;

	if (!integ_json_get(request, "baseUrl", &source))
		return;
	integ_site_url(integ_template_compile(&source, "baseUrl"), integ_json_value_text(&source),
				   search->instance->token_fields, search->instance->instance_id, &site);
	if (site.origin != NULL)
		search->origins = lappend(search->origins, site.origin);
}

const char **
integ_instance_origins(const IntegInstance *instance, int *count)
{
	const IntegDefinition *definition = integ_instance_definition(instance);
	Search search = {.instance = instance};
	const char **origins;

	if (instance->origin != NULL)
		search.origins = lappend(search.origins, unconstify(char *, instance->origin));
	for (int i = 0; i < definition->nmethods; i++)
		integ_method_each_request(&definition->methods[i], add_request, &search);
	for (int i = 0; i < instance->nmethods; i++)
		integ_method_each_request(&instance->methods[i], add_request, &search);
	*count = list_length(search.origins);
	origins = palloc(sizeof(char *) * (*count + 1));
	for (int i = 0; i < *count; i++)
		origins[i] = list_nth(search.origins, i);
	return origins;
}
