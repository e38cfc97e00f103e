/*
 * From a template to the bytes of a body.
 *
 * A body that is a document (json, form, multipart) stays one until the credentials are in it, then bytes are made of
 * it; others are bytes from the start.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/uuid.h"
#include "execute/call.h"
#include "execute/content.h"
#include "execute/multipart.h"
#include "graphql/graphql.h"
#include "http/compress.h"
#include "utils/fmgrprotos.h"

static void
wipe_later(IntegCall *call, char *text, size_t len)
{
	/* It may hold credentials that the template names. */
	if (call->secrets != NULL)
		integ_call_wipe_later(call, text, len);
}

static void
use_text(IntegCall *call, char *text)
{
	if (text == NULL)
		return;
	call->request.body = text;
	call->request.body_len = strlen(text);
	wipe_later(call, text, call->request.body_len);
}

/* The key by which the service knows a repeated write, where it wants that in the body. */
static const Jsonb *
add_idempotency_key(const IntegCall *call, const Jsonb *body)
{
	const char *key = integ_call_idempotency_key(call, "body");
	IntegJsonBuilder builder;

	if (key == NULL || !JB_ROOT_IS_OBJECT(body))
		return body;
	integ_json_begin_object(&builder);
	integ_json_add_string(&builder, call->method->idempotency_name, key);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(body),
											  JsonbPGetDatum(integ_json_end(&builder))));
}

/* requestTransform: {body} is what the method sends, {input} what it was called with, {method} its id. */
static const Jsonb *
transform(IntegCall *call, const Jsonb *body)
{
	IntegTemplateScope scope = call->scope;
	IntegJsonBuilder builder;

	if (call->definition->request_transform == NULL)
		return body;
	integ_json_begin_object(&builder);
	integ_json_add_jsonb(&builder, "body", body);
	integ_json_add_jsonb(&builder, "input", call->input);
	integ_json_add_string(&builder, "method", call->method->id);
	scope.input = &integ_json_end(&builder)->root;
	return integ_template_json(call->definition->request_transform, &scope);
}

static void
render_document(IntegCall *call)
{
	const Jsonb *document = call->exchange->graphql_document != NULL
								? integ_graphql_body(call)
								: integ_template_json(call->exchange->body, &call->scope);

	if (document == NULL)
		return;
	call->document = transform(call, add_idempotency_key(call, document));
}

/* A string is base64; an object says what its bytes are. */
static void
render_binary(IntegCall *call)
{
	static const char what[] = "the body";
	const Jsonb *document = integ_template_json(call->exchange->body, &call->scope);
	IntegContent content = {0};
	JsonbValue root;

	if (document == NULL)
		return;
	integ_json_root(document, &root);
	if (root.type == jbvString)
		integ_content_decode(call, root.val.string.val, root.val.string.len, what, &content);
	else if (integ_json_is_object(&root) && integ_content_is(root.val.binary.data))
		integ_content_read(call, root.val.binary.data, what, &content);
	else
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("%s of %s cannot be sent", what, integ_call_name(call)),
						errdetail("It is neither a string in base64 nor an object that says what its bytes are."),
						errhint("Give bytes as {\"base64\": …}, {\"hex\": …}, {\"text\": …} or {\"loid\": …}.")));
	call->request.body = content.data;
	call->request.body_len = content.len;
	integ_call_add_header(call, "Content-Type", content.type != NULL ? content.type : "application/octet-stream");
}

void
integ_call_render_body(IntegCall *call)
{
	const IntegExchange *exchange = call->exchange;

	if (exchange->body == NULL && exchange->graphql_document == NULL)
		return;
	switch (exchange->body_encoding)
	{
		case INTEG_SEND_JSON:
			integ_call_add_header(call, "Content-Type", "application/json");
			render_document(call);
			break;
		case INTEG_SEND_FORM:
			integ_call_add_header(call, "Content-Type", "application/x-www-form-urlencoded");
			render_document(call);
			break;
		case INTEG_SEND_MULTIPART:
			render_document(call);
			break;
		case INTEG_SEND_TEXT:
			integ_call_add_header(call, "Content-Type", "text/plain; charset=utf-8");
			use_text(call, integ_template_text(exchange->body, &call->scope, INTEG_TEMPLATE_RAW));
			break;
		case INTEG_SEND_XML:
			integ_call_add_header(call, "Content-Type", "application/xml; charset=utf-8");
			use_text(call, integ_template_text(exchange->body, &call->scope, INTEG_TEMPLATE_XML));
			break;
		case INTEG_SEND_BINARY:
			render_binary(call);
			break;
	}
}

/* Sets the member at a dot path to a string, making the objects on the way. */
static JsonbValue *
add_member(JsonbParseState **state, const JsonbContainer *object, const char *name, const char *secret)
{
	size_t len = strcspn(name, ".");
	const char *rest = name[len] == '.' ? name + len + 1 : NULL;
	const JsonbContainer *below = NULL;
	IntegJsonWalk walk;
	JsonbValue key = {.type = jbvString}, value = {.type = jbvString};

	(void) pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	if (object != NULL)
	{
		JsonbValue member, found;

		integ_json_walk_begin(&walk, object);
		while (integ_json_walk_pair(&walk, &member, &found))
		{
			if ((size_t) member.val.string.len == len && memcmp(member.val.string.val, name, len) == 0)
			{
				if (integ_json_is_object(&found))
					below = found.val.binary.data;
				continue;
			}
			(void) pushJsonbValue(state, WJB_KEY, &member);
			(void) pushJsonbValue(state, WJB_VALUE, &found);
		}
	}
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = (int) len;
	(void) pushJsonbValue(state, WJB_KEY, &key);
	if (rest != NULL)
		(void) add_member(state, below, rest, secret);
	else
	{
		value.val.string.val = unconstify(char *, secret);
		value.val.string.len = (int) strlen(secret);
		(void) pushJsonbValue(state, WJB_VALUE, &value);
	}
	return pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

static void
add_to_document(IntegCall *call, const char *name, const char *secret)
{
	JsonbParseState *state = NULL;
	Jsonb *document;

	if (call->document != NULL && !JB_ROOT_IS_OBJECT(call->document))
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the body of %s cannot take the credential \"%s\"", integ_call_name(call), name),
						errdetail("It is no object."), errhint("Correct the definition.")));
	document = JsonbValueToJsonb(
		add_member(&state, call->document == NULL ? NULL : &call->document->root, name, secret));
	integ_call_wipe_later(call, (char *) document, VARSIZE(document));
	call->document = document;
}

static bool
carries_no_body(const char *http_method)
{
	return strcmp(http_method, "GET") == 0 || strcmp(http_method, "HEAD") == 0;
}

void
integ_call_add_to_body(IntegCall *call, const char *name, const char *secret)
{
	const IntegExchange *exchange = call->exchange;
	IntegBodyEncoding encoding = exchange->body_encoding;

	if (carries_no_body(exchange->http_method) || encoding == INTEG_SEND_TEXT || encoding == INTEG_SEND_XML ||
		encoding == INTEG_SEND_BINARY)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID),
						errmsg("the request of %s cannot take the credential \"%s\" in its body", integ_call_name(call),
							   name),
						errdetail("It is a %s request without a body that has members.", exchange->http_method),
						errhint("Give the definition an authentication that fits, or the method another request.")));
	if (exchange->body == NULL && encoding != INTEG_SEND_MULTIPART)
		integ_call_add_header(call, "Content-Type",
							  encoding == INTEG_SEND_FORM ? "application/x-www-form-urlencoded" : "application/json");
	if (encoding != INTEG_SEND_MULTIPART)
	{
		add_to_document(call, name, secret);
		return;
	}
	if (call->multipart == NULL)
		call->multipart = integ_multipart_begin(call, call->document != NULL ? call->document
																			 : integ_json_empty_object());
	integ_multipart_add(call, call->multipart, name, secret);
}

static void
write_multipart(IntegCall *call)
{
	const char *type;

	if (call->multipart == NULL)
		call->multipart = integ_multipart_begin(call, call->document);
	call->request.body = integ_multipart_end(call->multipart, &call->request.body_len, &type);
	/* Whatever headers the manifest has: without the boundary nobody could read it. */
	integ_call_add_header(call, "Content-Type", type);
	wipe_later(call, (char *) call->request.body, call->request.body_len);
}

static void
compress(IntegCall *call)
{
	size_t len;
	char *compressed, *copy;

	/* A person who is asked to approve it is shown what is in it. */
	if (!call->exchange->compress || call->request.body_len < INTEG_COMPRESS_MIN || call->names_secrets)
		return;
	compressed = integ_compress(call->request.body, call->request.body_len, &len);
	if (compressed == NULL && len > 0)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (compressed == NULL)
		return;
	copy = MemoryContextAllocExtended(CurrentMemoryContext, len, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (copy != NULL)
		memcpy(copy, compressed, len);
	explicit_bzero(compressed, len);
	free(compressed);
	if (copy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	call->request.body = copy;
	call->request.body_len = len;
	wipe_later(call, copy, len);
	integ_call_add_header(call, "Content-Encoding", "gzip");
}

static void
drop_header(IntegCall *call, const char *name)
{
	for (int i = 0; i < call->nheaders; i++)
	{
		if (pg_strcasecmp(call->headers[i].name, name) != 0)
			continue;
		memmove(&call->headers[i], &call->headers[i + 1], (call->nheaders - i - 1) * sizeof(IntegHttpHeader));
		call->nheaders--;
		return;
	}
}

/* For messages. */
static const char *
body_name(const IntegCall *call)
{
	return psprintf("the body of %s", integ_call_name(call));
}

void
integ_call_write_body(IntegCall *call)
{
	if (call->exchange->body_encoding == INTEG_SEND_MULTIPART && (call->document != NULL || call->multipart != NULL))
		write_multipart(call);
	else if (call->document != NULL && call->exchange->body_encoding == INTEG_SEND_FORM)
		use_text(call, integ_form_encode(call->document, integ_call_style(call), body_name(call)));
	else if (call->document != NULL)
		use_text(call, integ_json_print(call->document));
	if (call->request.body == NULL)
	{
		if (call->exchange->body != NULL)
			drop_header(call, "Content-Type");
		return;
	}
	if (call->request.body_len > INTEG_MAX_REQUEST_BODY)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s is too large", body_name(call)),
						errdetail("It has %zu bytes; the limit is %d.", call->request.body_len, INTEG_MAX_REQUEST_BODY),
						errhint("Send the data in several requests.")));
	compress(call);
}
