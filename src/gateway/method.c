/*
 * From a caller's raw request to a method that takes the path of a call.
 */
#include "gateway/gateway.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "http/http.h"

#define MAX_PATH 8192

pg_noreturn static void
refuse(const char *problem, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("integ_request cannot make this request"),
					errdetail("%s", problem), errhint("%s", hint)));
}

static const char *
known_method(const char *name)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

	for (size_t i = 0; i < lengthof(methods); i++)
		if (pg_strcasecmp(name, methods[i]) == 0)
			return methods[i];
	refuse(psprintf("\"%s\" is no HTTP method that it sends.", name), "GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.");
}

/* What the composed URL may not become is refused there; this is what a person means by a path. */
static void
check_path(const char *path)
{
	if (path[0] != '\0' && path[0] != '/')
		refuse(psprintf("The path \"%s\" does not start with a slash.", path),
			   "The path is appended to the base URL of the instance; no other host can be named.");
	if (path[0] == '/' && path[1] == '/')
		refuse(psprintf("The path \"%s\" starts with two slashes, which names a host.", path),
			   "The path is appended to the base URL of the instance; no other host can be named.");
	if (strpbrk(path, "?#") != NULL)
		refuse("The path has a query or a fragment.", "Parameters go into the argument \"query\", as an object.");
	if (strlen(path) > MAX_PATH)
		refuse(psprintf("The path has %zu bytes; the limit is %d.", strlen(path), MAX_PATH), "Use a shorter path.");
	for (const char *c = path; *c != '\0'; c++)
		if ((unsigned char) *c <= ' ' || *c == 0x7f || *c == '\\')
			refuse("The path has a space, a backslash or a control character.", "Write them percent-encoded (%20).");
}

/* A template that stands for the value as it is, whatever braces it holds. */
static IntegTemplate *
literal(const Jsonb *value, const char *where)
{
	IntegJsonBuilder builder;
	JsonbValue source;

	integ_json_begin_object(&builder);
	integ_json_add_jsonb(&builder, "$literal", value);
	integ_json_root(integ_json_end(&builder), &source);
	return integ_template_compile(&source, where);
}

static IntegTemplate *
literal_text(const char *text, const char *where)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = (char *) text;
	value.val.string.len = strlen(text);
	return literal(integ_json_value_jsonb(&value), where);
}

static IntegTemplate *
literal_object(const Jsonb *value, const char *name)
{
	if (value == NULL)
		return NULL;
	if (!JB_ROOT_IS_OBJECT(value))
		refuse(psprintf("\"%s\" is not an object.", name), "It has names and their values: {\"name\": \"value\"}.");
	return literal(value, psprintf("\"%s\" of integ_request", name));
}

static bool
is_string(const Jsonb *value)
{
	JsonbValue scalar;

	return JB_ROOT_IS_SCALAR(value) && JsonbExtractScalar((JsonbContainer *) &value->root, &scalar) &&
		   scalar.type == jbvString;
}

static IntegBodyEncoding
body_encoding(const IntegRawRequest *request)
{
	if (request->encoding == NULL || strcmp(request->encoding, "json") == 0)
		return INTEG_SEND_JSON;
	if (strcmp(request->encoding, "form") == 0)
	{
		if (request->body != NULL && !JB_ROOT_IS_OBJECT(request->body))
			refuse("The body of a form is not an object.", "It has names and their values: {\"name\": \"value\"}.");
		return INTEG_SEND_FORM;
	}
	if (strcmp(request->encoding, "text") == 0)
	{
		if (request->body != NULL && !is_string(request->body))
			refuse("The body of a text is not a JSON string.", "SELECT to_jsonb('the text'::text) makes one.");
		return INTEG_SEND_TEXT;
	}
	if (strcmp(request->encoding, "multipart") == 0)
	{
		if (request->body != NULL && JB_ROOT_IS_SCALAR(request->body))
			refuse("The body of several parts is neither an object nor a list.",
				   "It has a part by each member: {\"title\": \"a\", \"file\": {\"base64\": \"…\", \"filename\": \"a.pdf\"}}.");
		return INTEG_SEND_MULTIPART;
	}
	if (strcmp(request->encoding, "binary") == 0)
		return INTEG_SEND_BINARY;
	refuse(psprintf("The option \"encoding\" is \"%s\".", request->encoding),
		   "It is \"json\", \"form\", \"multipart\", \"text\" or \"binary\".");
}

IntegMethod *
integ_raw_method(const IntegRawRequest *request)
{
	IntegMethod *method = palloc0(sizeof(IntegMethod));
	IntegExchange *exchange = palloc0(sizeof(IntegExchange));

	check_path(request->path);
	exchange->http_method = known_method(request->http_method);
	exchange->is_write = strcmp(exchange->http_method, "GET") != 0 && strcmp(exchange->http_method, "HEAD") != 0;
	if (!exchange->is_write && request->body != NULL)
		refuse(psprintf("A %s request has no body.", exchange->http_method), "Parameters go into the argument \"query\".");
	exchange->path_source = request->path;
	exchange->path = literal_text(request->path, "\"path\" of integ_request");
	exchange->query = literal_object(request->query, "query");
	exchange->headers = literal_object(request->headers, "headers");
	exchange->body_encoding = body_encoding(request);
	exchange->multipart_type = "form-data";
	if (request->body != NULL)
		exchange->body = literal(request->body, "\"body\" of integ_request");
	method->id = "integ_request";
	method->is_write = exchange->is_write;
	method->exchange = exchange;
	method->compiled = true;
	return method;
}
