/*
 * The body of a request as a document.
 */
#include "webhooks/webhook.h"

#include "core/json.h"
#include "core/names.h"
#include "execute/decode.h"
#include "http/body.h"
#include "http/decode.h"
#include "http/form.h"

/* Nested names deeper than this stay one name. */
#define MAX_FORM_DEPTH 8

/* One with more fields is no document: each costs more memory than the few bytes that it takes to send. */
#define MAX_FORM_FIELDS 100000

/* A field's name in its parts: "data[merges][FNAME]" has three. */
typedef struct FieldName
{
	int count;
	char *parts[MAX_FORM_DEPTH];
} FieldName;

/* A field of a form, or what has fields below it. */
typedef struct FormNode
{
	const char *name;
	const char *value; /* NULL: it has children */
	List *children;
	IntegNames named; /* the last child of each name */
} FormNode;

/* Text that jsonb takes: valid UTF-8 without NUL. */
static char *
readable(const char *text, size_t len)
{
	char *copy = pnstrdup(text, len);
	IntegBodyText read;

	if (memchr(text, '\0', len) == NULL &&
		integ_body_decode(copy, len, "text/plain; charset=utf-8", false, &read) == INTEG_BODY_OK)
		return pnstrdup(read.text, read.len);
	return pstrdup("\xef\xbf\xbd");
}

static void
split_name(char *name, FieldName *parts)
{
	char *bracket = strchr(name, '[');

	parts->count = 1;
	parts->parts[0] = name;
	while (bracket != NULL && bracket != name && parts->count < MAX_FORM_DEPTH)
	{
		char *close = strchr(bracket, ']');

		if (close == NULL || (close[1] != '[' && close[1] != '\0'))
			return;
		parts->parts[parts->count++] = pnstrdup(bracket + 1, (Size) (close - bracket - 1));
		*bracket = '\0';
		bracket = close[1] == '[' ? close + 1 : NULL;
	}
}

static FormNode *
child_of(FormNode *node, const char *name)
{
	/* "a[]" adds a member each time. */
	void **place = *name == '\0' ? NULL : integ_names_at(&node->named, name);
	FormNode *child = place == NULL ? NULL : *place;

	if (child != NULL && child->value == NULL)
		return child;
	child = palloc0(sizeof(FormNode));
	child->name = name;
	node->children = lappend(node->children, child);
	if (place != NULL)
		*place = child;
	return child;
}

static void
add_nodes(IntegJsonBuilder *builder, const FormNode *node, bool in_array)
{
	ListCell *cell;

	foreach (cell, node->children)
	{
		const FormNode *child = lfirst(cell);
		const char *key = in_array ? NULL : child->name;

		if (child->value != NULL)
			integ_json_add_string(builder, key, child->value);
		else
		{
			const FormNode *first = linitial(child->children);
			bool array = *first->name == '\0';

			if (array)
				integ_json_open_array(builder, key);
			else
				integ_json_open_object(builder, key);
			add_nodes(builder, child, array);
			integ_json_close(builder);
		}
	}
}

/*
 * Its fields; or, where "payload" is the only one and is JSON, what that says (GitHub, Slack). NULL where there are too
 * many.
 */
static const Jsonb *
read_form(const IntegInbound *request)
{
	const char *at = request->body, *end = request->body + request->body_len;
	FormNode root = {0};
	IntegFormField field;
	IntegJsonBuilder builder;
	FormNode *only;
	int count = 0;

	while (integ_form_next(&at, end, &field))
	{
		char *name = palloc(field.name_len + 1), *value = palloc(field.value_len + 1);
		FormNode *node = &root;
		FieldName parts;

		if (++count > MAX_FORM_FIELDS)
			return NULL;
		split_name(readable(name, integ_form_decode(field.name, field.name_len, name)), &parts);
		for (int i = 0; i < parts.count; i++)
			node = child_of(node, parts.parts[i]);
		if (node->children == NIL)
			node->value = readable(value, integ_form_decode(field.value, field.value_len, value));
	}
	only = list_length(root.children) == 1 ? linitial(root.children) : NULL;
	if (only != NULL && only->value != NULL && strcmp(only->name, "payload") == 0)
	{
		char *unused;
		const Jsonb *document = integ_decode_json(only->value, strlen(only->value), &unused);

		if (document != NULL)
			return document;
	}
	integ_json_begin_object(&builder);
	add_nodes(&builder, &root, false);
	return integ_json_end(&builder);
}

const Jsonb *
integ_webhook_document(const IntegInbound *request)
{
	const char *type = integ_inbound_header(request, "content-type");
	IntegMediaType media;
	char *unused;

	if (request->body_len == 0)
		return NULL;
	if (integ_inbound_is_form(request))
		return read_form(request);
	integ_media_type_parse(type, &media);
	if (strcmp(media.name, "text/xml") == 0 || strcmp(media.name, "application/xml") == 0 ||
		(strlen(media.name) > 4 && strcmp(media.name + strlen(media.name) - 4, "+xml") == 0))
		return integ_decode_xml_text(request->body, request->body_len, type, NULL, &unused);
	/* Services call JSON by many names. */
	return integ_decode_json(request->body, request->body_len, &unused);
}
