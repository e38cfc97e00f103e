/*
 * Values of a request.
 */
#include "webhooks/webhook.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "definitions/compile.h"

bool
integ_webhook_source(const JsonbContainer *holder, const char *key, const char *where, IntegWebhookSource *source)
{
	const JsonbContainer *object = integ_json_get_object(holder, key);

	memset(source, 0, sizeof(*source));
	if (object == NULL)
	{
		source->path = integ_compile_path(holder, key, where);
		return source->path != NULL;
	}
	source->header = integ_json_get_string(object, "header");
	source->query = integ_json_get_string(object, "query");
	source->path = integ_compile_path(object, "path", psprintf("%s/%s", where, key));
	return true;
}

const char *
integ_webhook_value(const IntegWebhookSource *source, const IntegInbound *request, const Jsonb *document)
{
	JsonbValue root, found;

	if (source->header != NULL)
		return integ_inbound_header(request, source->header);
	if (source->query != NULL)
	{
		char *value = integ_inbound_query(request, source->query);
		char *copy = value == NULL ? NULL : pstrdup(value);

		free(value);
		return copy;
	}
	if (source->path == NULL || document == NULL)
		return NULL;
	integ_json_root(document, &root);
	if (!integ_path_find(source->path, &root, &found) || found.type == jbvNull)
		return NULL;
	return integ_json_value_text(&found);
}
