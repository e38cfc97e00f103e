/*
 * A raw request as a document and back: what an approval keeps of it.
 */
#include "gateway/gateway.h"

#include "core/errors.h"
#include "core/json.h"

static void
add_document(IntegJsonBuilder *builder, const char *key, const Jsonb *value)
{
	if (value != NULL)
		integ_json_add_jsonb(builder, key, value);
}

Jsonb *
integ_raw_document(const IntegRawRequest *request)
{
	IntegJsonBuilder builder;

	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, "method", request->http_method);
	integ_json_add_string(&builder, "path", request->path);
	add_document(&builder, "query", request->query);
	add_document(&builder, "headers", request->headers);
	add_document(&builder, "body", request->body);
	if (request->encoding != NULL)
		integ_json_add_string(&builder, "encoding", request->encoding);
	return integ_json_end(&builder);
}

static const Jsonb *
document_of(const Jsonb *document, const char *key)
{
	JsonbValue value;

	return integ_json_get(&document->root, key, &value) ? integ_json_value_jsonb(&value) : NULL;
}

IntegMethod *
integ_raw_method_of(const Jsonb *document)
{
	IntegRawRequest request = {.http_method = integ_json_get_string(&document->root, "method"),
							   .path = integ_json_get_string(&document->root, "path"),
							   .query = document_of(document, "query"),
							   .headers = document_of(document, "headers"),
							   .body = document_of(document, "body"),
							   .encoding = integ_json_get_string(&document->root, "encoding")};

	if (request.http_method == NULL || request.path == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the input is not that of integ_request")));
	return integ_raw_method(&request);
}
