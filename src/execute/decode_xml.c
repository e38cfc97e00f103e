/*
 * XML: an element becomes its text, or an object of its attributes ("@name"), its children by name and its text
 * ("#text").
 *
 * libxml2's reader is pulled node by node, so that no code of ours runs inside it. Nothing is loaded from anywhere,
 * entities are not expanded, and a document that declares any is refused.
 */
#include "execute/decode.h"

#include <libxml/xmlreader.h>

#include "core/errors.h"
#include "core/json.h"
#include "core/names.h"
#include "http/body.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

/* As deep as JSON may be. */
#define MAX_DEPTH INTEG_BODY_MAX_DEPTH

typedef struct Element
{
	const char *name;
	IntegNames members;	 /* lists of JsonbValue, in the order of the document */
	StringInfoData text; /* of one element after the other */
} Element;

typedef struct Reader
{
	char *problem; /* why it is refused */
	xmlTextReaderPtr xml;
	const JsonbContainer *lists; /* names of elements that are lists also where there is one, or NULL */
	Element elements[MAX_DEPTH + 1];
	int depth;
} Reader;

static void
free_reader(void *xml)
{
	xmlFreeTextReader(xml);
}

static bool
refuse(Reader *reader, char *detail)
{
	reader->problem = detail;
	return false;
}

static char *
copy_string(const xmlChar *string)
{
	return string != NULL ? pstrdup((const char *) string) : pstrdup("");
}

static JsonbValue *
make_string(const char *text, int len)
{
	JsonbValue *value = palloc(sizeof(JsonbValue));

	value->type = jbvString;
	value->val.string.val = (char *) text;
	value->val.string.len = len;
	return value;
}

static void
add_member(Element *element, const char *name, JsonbValue *value)
{
	List **values = (List **) integ_names_at(&element->members, name);

	*values = lappend(*values, value);
}

/* Whether the manifest calls elements of that name a list. */
static bool
is_list(const Reader *reader, const char *name)
{
	for (uint32 i = 0; reader->lists != NULL && i < JsonContainerSize(reader->lists); i++)
	{
		JsonbValue *listed = getIthJsonbValueFromContainer((JsonbContainer *) reader->lists, i);

		if (listed->val.string.len == strlen(name) && memcmp(listed->val.string.val, name, strlen(name)) == 0)
			return true;
	}
	return false;
}

static void
push_member(Reader *reader, JsonbParseState **state, const IntegName *member)
{
	bool list = list_length(member->value) > 1 || is_list(reader, member->name);
	ListCell *cell;

	pushJsonbValue(state, WJB_KEY, make_string(member->name, strlen(member->name)));
	if (list)
		pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach (cell, (List *) member->value)
		pushJsonbValue(state, list ? WJB_ELEM : WJB_VALUE, lfirst(cell));
	if (list)
		pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
trim(StringInfo text)
{
	char *start = text->data;
	int len = text->len;

	while (len > 0 && strchr(" \t\r\n", start[len - 1]) != NULL)
		len--;
	while (len > 0 && strchr(" \t\r\n", *start) != NULL)
		start++, len--;
	memmove(text->data, start, len);
	text->data[len] = '\0';
	text->len = len;
}

/* What the element came to. */
static JsonbValue *
make_value(Reader *reader, Element *element)
{
	JsonbParseState *state = NULL;
	JsonbValue *value;

	if (element->members.count == 0)
	{
		value = make_string(pnstrdup(element->text.data, element->text.len), element->text.len);
		if (element->text.len == 0)
			value->type = jbvNull;
		return value;
	}
	/* White space between children is layout. */
	trim(&element->text);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < element->members.count; i++)
		push_member(reader, &state, &element->members.items[i]);
	if (element->text.len > 0)
	{
		pushJsonbValue(&state, WJB_KEY, make_string("#text", 5));
		pushJsonbValue(&state, WJB_VALUE,
					   make_string(pnstrdup(element->text.data, element->text.len), element->text.len));
	}
	integ_names_free(&element->members);
	return pushJsonbValue(&state, WJB_END_OBJECT, NULL);
}

static void
end_element(Reader *reader)
{
	Element *element = &reader->elements[reader->depth--];

	add_member(&reader->elements[reader->depth], element->name, make_value(reader, element));
}

static bool
begin_element(Reader *reader)
{
	bool empty = xmlTextReaderIsEmptyElement(reader->xml) == 1;
	Element *element;

	if (reader->depth == MAX_DEPTH)
		return refuse(reader, psprintf("Its elements are nested more than %d levels deep.", MAX_DEPTH));
	element = &reader->elements[++reader->depth];
	element->name = copy_string(xmlTextReaderConstName(reader->xml));
	if (element->text.data == NULL)
		initStringInfo(&element->text);
	resetStringInfo(&element->text);
	while (xmlTextReaderMoveToNextAttribute(reader->xml) == 1)
	{
		const char *value;

		if (xmlTextReaderIsNamespaceDecl(reader->xml) == 1)
			continue;
		value = copy_string(xmlTextReaderConstValue(reader->xml));
		add_member(element, psprintf("@%s", (const char *) xmlTextReaderConstName(reader->xml)),
				   make_string(value, strlen(value)));
	}
	if (empty)
		end_element(reader);
	return true;
}

/* Only its name: what it declares could stand for anything. */
static bool
check_doctype(Reader *reader)
{
	xmlNodePtr node = xmlTextReaderCurrentNode(reader->xml);

	if (node != NULL && node->type == XML_DTD_NODE && ((xmlDtdPtr) node)->entities != NULL)
		return refuse(reader, pstrdup("It declares entities, which are not expanded."));
	return true;
}

/* The node that the reader stands at; false where it is refused. */
static bool
read_node(Reader *reader)
{
	switch (xmlTextReaderNodeType(reader->xml))
	{
		case XML_READER_TYPE_ELEMENT:
			return begin_element(reader);
		case XML_READER_TYPE_END_ELEMENT:
			end_element(reader);
			return true;
		case XML_READER_TYPE_TEXT:
		case XML_READER_TYPE_CDATA:
		case XML_READER_TYPE_WHITESPACE:
		case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
			if (reader->depth > 0)
				appendStringInfoString(&reader->elements[reader->depth].text,
									   (const char *) xmlTextReaderConstValue(reader->xml));
			return true;
		case XML_READER_TYPE_DOCUMENT_TYPE:
			return check_doctype(reader);
		case XML_READER_TYPE_ENTITY_REFERENCE:
			return refuse(reader, pstrdup("It has a reference to an entity, which is not expanded."));
		default:
			return true; /* comments and processing instructions */
	}
}

/* libxml2 2.12 made its errors constant. */
#if LIBXML_VERSION >= 21200
typedef const xmlError *ErrorPointer;
#else
typedef xmlErrorPtr ErrorPointer;
#endif

static void
ignore_error(void *arg, ErrorPointer error)
{
}

/* Says where libxml2 stopped, in its words. */
static void
refuse_syntax(Reader *reader)
{
	ErrorPointer error = xmlGetLastError();
	char *words = pstrdup(error != NULL && error->message != NULL ? error->message : "it is malformed");

	/* They quote the document. */
	integ_utf8_sanitize(words, strlen(words));
	for (char *c = words; *c != '\0'; c++)
		if ((unsigned char) *c < ' ')
			*c = ' ';
	refuse(reader, psprintf("Line %d: %.200s", error != NULL ? error->line : 0, words));
}

static void
open_reader(Reader *reader, const char *text, size_t len, const char *encoding)
{
	MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

	reader->xml = xmlReaderForMemory(text, (int) len, NULL, encoding,
									 XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (reader->xml == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	callback->func = free_reader;
	callback->arg = reader->xml;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	/* Else it prints to the server's log, whatever the options say. */
	xmlTextReaderSetStructuredErrorHandler(reader->xml, ignore_error, NULL);
}

const Jsonb *
integ_decode_xml_text(const char *text, size_t len, const char *content_type, const JsonbContainer *lists,
					  char **problem)
{
	Reader *reader = palloc0(sizeof(Reader));
	JsonbParseState *state = NULL;
	IntegMediaType type;
	int status = 0;

	integ_media_type_parse(content_type, &type);
	reader->lists = lists;
	initStringInfo(&reader->elements[0].text);
	xmlResetLastError();
	open_reader(reader, text, len, type.charset[0] != '\0' ? type.charset : NULL);
	while (reader->problem == NULL && (status = xmlTextReaderRead(reader->xml)) == 1)
	{
		(void) read_node(reader);
		CHECK_FOR_INTERRUPTS();
	}
	if (reader->problem == NULL && (status < 0 || reader->depth != 0 || reader->elements[0].members.count == 0))
		refuse_syntax(reader);
	*problem = reader->problem;
	if (reader->problem != NULL)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_member(reader, &state, &reader->elements[0].members.items[0]);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

void
integ_decode_xml(IntegCall *call)
{
	const IntegHttpResponse *response = call->response;
	char *problem;

	call->body = integ_decode_xml_text(response->body, response->body_len,
									   integ_http_response_header(response, "content-type"),
									   integ_json_get_array(call->exchange->xml, "lists"), &problem);
	if (problem != NULL)
		integ_decode_refuse(call, "is not the XML that it should be", problem);
}
