/*
 * Bodies of several parts.
 */
#include "execute/multipart.h"

#include <openssl/evp.h>

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

struct IntegMultipart
{
	StringInfoData body;
	const char *type;	 /* form-data, related, mixed */
	List *boundary_ends; /* of int: where a boundary, once it is known, is written up to */
};

#define BOUNDARY_PREFIX "integ-"
#define BOUNDARY_HEX 40
#define BOUNDARY_SIZE (sizeof(BOUNDARY_PREFIX) - 1 + BOUNDARY_HEX)

static void
refuse(const IntegCall *call, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("the parts of %s cannot be sent", integ_call_name(call)),
					errdetail("%s", problem), errhint("docs/calls.md describes bodies of several parts.")));
}

/* Room for more, so that a secret leaves no copy behind and the whole stays within its limit. */
static void
reserve(const IntegCall *call, IntegMultipart *multipart, size_t more)
{
	StringInfo body = &multipart->body;
	size_t needed = (size_t) body->len + more + 1;
	char *larger;

	if (needed > INTEG_MAX_REQUEST_BODY)
		refuse(call, psprintf("Together they have more than %d MB.", INTEG_MAX_REQUEST_BODY / (1024 * 1024)));
	if (needed <= (size_t) body->maxlen)
		return;
	larger = palloc(needed * 2);
	memcpy(larger, body->data, body->len + 1);
	explicit_bzero(body->data, body->len);
	pfree(body->data);
	body->data = larger;
	body->maxlen = (int) (needed * 2);
}

/* A name within quotes, as browsers write it (WHATWG HTML, "multipart/form-data encoding algorithm"). */
static void
append_quoted(IntegMultipart *multipart, const char *key, const char *value)
{
	appendStringInfo(&multipart->body, "; %s=\"", key);
	for (const char *c = value; *c != '\0'; c++)
	{
		if (*c == '"')
			appendStringInfoString(&multipart->body, "%22");
		else if (*c == '\r')
			appendStringInfoString(&multipart->body, "%0D");
		else if (*c == '\n')
			appendStringInfoString(&multipart->body, "%0A");
		else
			appendStringInfoCharMacro(&multipart->body, *c);
	}
	appendStringInfoChar(&multipart->body, '"');
}

/* A line of a part's head: what is in it must not end it. */
static void
append_header(const IntegCall *call, IntegMultipart *multipart, const char *name, const char *value)
{
	for (const char *c = name; *c != '\0'; c++)
		if (!((*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') || *c == '-' || *c == '_'))
			refuse(call, psprintf("\"%s\" is no name of a header.", name));
	for (const char *c = value; *c != '\0'; c++)
		if (((unsigned char) *c < 0x20 && *c != '\t') || *c == 0x7f)
			refuse(call, psprintf("The header \"%s\" of a part contains a control character.", name));
	appendStringInfo(&multipart->body, "%s: %s\r\n", name, value);
}

static void
append_headers(const IntegCall *call, IntegMultipart *multipart, const JsonbContainer *headers)
{
	IntegJsonWalk walk;
	JsonbValue key, value;

	if (headers == NULL)
		return;
	integ_json_walk_begin(&walk, headers);
	while (integ_json_walk_pair(&walk, &key, &value))
	{
		char *text = integ_json_value_text(&value);

		if (text != NULL)
			append_header(call, multipart, pnstrdup(key.val.string.val, key.val.string.len), text);
	}
}

static size_t
length(const char *text)
{
	return text == NULL ? 0 : strlen(text) * 3;
}

/* Leaves room for the boundary. */
static void
append_boundary(IntegMultipart *multipart)
{
	appendStringInfoString(&multipart->body, "--");
	appendStringInfoSpaces(&multipart->body, (int) BOUNDARY_SIZE);
	multipart->boundary_ends = lappend_int(multipart->boundary_ends, multipart->body.len);
}

/* name, type and filename may be NULL. */
static void
append_part(const IntegCall *call, IntegMultipart *multipart, const char *name, const IntegContent *content)
{
	StringInfo body = &multipart->body;
	bool form = strcmp(multipart->type, "form-data") == 0;

	if (form && (name == NULL || name[0] == '\0'))
		refuse(call, "A part of a form needs a name.");
	reserve(call, multipart, content->len + length(name) + length(content->filename) + length(content->type) + 512);
	append_boundary(multipart);
	appendStringInfoString(body, "\r\n");
	if (form || content->filename != NULL)
	{
		appendStringInfoString(body, form ? "Content-Disposition: form-data" : "Content-Disposition: attachment");
		if (name != NULL)
			append_quoted(multipart, "name", name);
		if (content->filename != NULL)
			append_quoted(multipart, "filename", content->filename);
		appendStringInfoString(body, "\r\n");
	}
	if (content->type != NULL)
		append_header(call, multipart, "Content-Type", content->type);
	append_headers(call, multipart, content->headers);
	appendStringInfoString(body, "\r\n");
	appendBinaryStringInfo(body, content->data, (int) content->len);
	appendStringInfoString(body, "\r\n");
}

/* A part that is a value: a scalar as text, a document as JSON. */
static void
append_value(const IntegCall *call, IntegMultipart *multipart, const char *name, const JsonbValue *value)
{
	IntegContent content = {0};
	char *text = integ_json_value_text(value);

	if (text == NULL)
		return;
	content.data = text;
	content.len = strlen(text);
	content.type = value->type == jbvBinary ? "application/json; charset=utf-8" : NULL;
	append_part(call, multipart, name, &content);
}

static void
append_content(const IntegCall *call, IntegMultipart *multipart, const char *name, const JsonbContainer *object)
{
	IntegContent content;

	integ_content_read(call, object, name == NULL ? "a part" : psprintf("the part \"%s\"", name), &content);
	if (content.type == NULL)
		content.type = content.is_text ? "text/plain; charset=utf-8" : "application/octet-stream";
	append_part(call, multipart, name, &content);
}

static void
append_named(const IntegCall *call, IntegMultipart *multipart, const char *name, const JsonbValue *value)
{
	IntegJsonWalk walk;
	JsonbValue element;

	if (integ_json_is_object(value) && integ_content_is(value->val.binary.data))
		append_content(call, multipart, name, value->val.binary.data);
	else if (integ_json_is_array(value))
	{
		integ_json_walk_begin(&walk, value->val.binary.data);
		while (integ_json_walk_element(&walk, &element))
			append_named(call, multipart, name, &element);
	}
	else
		append_value(call, multipart, name, value);
}

/* An element of a list of parts: content, or {"name": …, "value": …}. */
static void
append_element(const IntegCall *call, IntegMultipart *multipart, const JsonbValue *element)
{
	const JsonbContainer *object;
	JsonbValue value;
	char *name;

	if (!integ_json_is_object(element))
		refuse(call, "An element of the list of parts is no object.");
	object = element->val.binary.data;
	name = integ_json_get_string(object, "name");
	if (integ_content_is(object))
		append_content(call, multipart, name, object);
	else if (integ_json_get(object, "value", &value))
		append_named(call, multipart, name, &value);
	else
		refuse(call, "An element of the list of parts has neither \"value\" nor base64, hex, text or loid.");
}

IntegMultipart *
integ_multipart_begin(IntegCall *call, const Jsonb *document)
{
	IntegMultipart *multipart = palloc0(sizeof(IntegMultipart));
	IntegJsonWalk walk;
	JsonbValue key, value;

	multipart->type = call->exchange->multipart_type;
	initStringInfo(&multipart->body);
	if (JB_ROOT_IS_SCALAR(document))
		refuse(call, "The body is neither an object nor a list of parts.");
	integ_json_walk_begin(&walk, &document->root);
	if (JB_ROOT_IS_OBJECT(document))
	{
		while (integ_json_walk_pair(&walk, &key, &value))
			append_named(call, multipart, pnstrdup(key.val.string.val, key.val.string.len), &value);
	}
	else
	{
		while (integ_json_walk_element(&walk, &value))
			append_element(call, multipart, &value);
	}
	return multipart;
}

void
integ_multipart_add(IntegCall *call, IntegMultipart *multipart, const char *name, const char *text)
{
	IntegContent content = {.data = text, .len = strlen(text)};

	append_part(call, multipart, name, &content);
}

/*
 * The boundary is the hash of all parts: no part can hold it, whoever wrote it, and the same parts make the same bytes,
 * which is what an approval is for.
 */
const char *
integ_multipart_end(IntegMultipart *multipart, size_t *len, const char **type)
{
	StringInfo body = &multipart->body;
	unsigned char digest[EVP_MAX_MD_SIZE];
	char boundary[BOUNDARY_SIZE + 1] = BOUNDARY_PREFIX;
	ListCell *cell;

	append_boundary(multipart);
	appendStringInfoString(body, "--\r\n");
	if (EVP_Digest(body->data, body->len, digest, NULL, EVP_sha256(), NULL) != 1)
		ereport(ERROR, (errcode(ERRCODE_INTEG_INSTALLATION), errmsg("OpenSSL could not compute a hash")));
	for (int i = 0; i < BOUNDARY_HEX / 2; i++)
		snprintf(boundary + sizeof(BOUNDARY_PREFIX) - 1 + 2 * i, 3, "%02x", digest[i]);
	foreach (cell, multipart->boundary_ends)
		memcpy(body->data + lfirst_int(cell) - BOUNDARY_SIZE, boundary, BOUNDARY_SIZE);
	*len = body->len;
	*type = psprintf("multipart/%s; boundary=%s", multipart->type, boundary);
	return body->data;
}
