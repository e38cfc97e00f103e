/*
 * The result as a document.
 *
 * The keys of a result are known when the schema is compiled, in the order that
 * jsonb keeps them. So the document is written in one go in the layout that
 * utils/jsonb.h documents: no parse state, no sorting, and what came out of the
 * record as a container is copied as it is.
 */
#include "convert/plan.h"
#include "core/json_walk.h"

/* A document under way. Offsets count from the start of data, which is aligned. */
typedef struct Writer
{
	const IntegConverted *converted;
	char *data;
	Size len;
	Size room;
	bool too_large;
} Writer;

static char *
grow(Writer *writer, Size more)
{
	Size at = writer->len;

	if (writer->len + more > JENTRY_OFFLENMASK)
	{
		writer->too_large = true;
		return NULL;
	}
	if (writer->len + more > writer->room)
	{
		while (writer->len + more > writer->room)
			writer->room *= 2;
		writer->data = repalloc(writer->data, writer->room);
	}
	writer->len += more;
	return writer->data + at;
}

static void
append(Writer *writer, const void *bytes, Size len)
{
	char *to = grow(writer, len);

	/* An empty one may have no bytes at all. */
	if (to != NULL && len > 0)
		memcpy(to, bytes, len);
}

static void
pad(Writer *writer)
{
	Size padding = INTALIGN(writer->len) - writer->len;
	char *to = grow(writer, padding);

	if (to != NULL)
		memset(to, 0, padding);
}

/* Whether the node brings a key: a field that has a value or is null, an object with any of them. */
static bool has_present_child(const Writer *writer, const ConvertNode *node);

static inline bool
is_present(const Writer *writer, const ConvertNode *node)
{
	if (node->field < 0)
		return has_present_child(writer, node);
	return writer->converted->states[node->field] == INTEG_FIELD_VALUE ||
		   writer->converted->states[node->field] == INTEG_FIELD_NULL;
}

static bool
has_present_child(const Writer *writer, const ConvertNode *node)
{
	for (int i = 0; i < node->nchildren; i++)
		if (is_present(writer, &node->children[i]))
			return true;
	return false;
}

/* Writes a value and returns the type of its entry. */
static JEntry
write_value(Writer *writer, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			append(writer, value->val.string.val, value->val.string.len);
			return JENTRY_ISSTRING;
		case jbvNumeric:
			pad(writer);
			append(writer, value->val.numeric, VARSIZE_ANY(value->val.numeric));
			return JENTRY_ISNUMERIC;
		case jbvBool:
			return value->val.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
		case jbvBinary:
			pad(writer);
			append(writer, value->val.binary.data, value->val.binary.len);
			return JENTRY_ISCONTAINER;
		default:
			return JENTRY_ISNULL;
	}
}

/* Sets the entry at an index of the object whose entries start at `entries`: a length, now and then an offset. */
static void
set_entry(Writer *writer, Size entries, uint32 index, JEntry type, Size len, Size total)
{
	JEntry entry = (index % JB_OFFSET_STRIDE) == 0 ? type | (uint32) total | JENTRY_HAS_OFF : type | (uint32) len;

	memcpy(writer->data + entries + index * sizeof(JEntry), &entry, sizeof(JEntry));
}

static void
write_object(Writer *writer, const ConvertNode *node)
{
	uint32 count = 0, index = 0, header;
	Size entries, start;

	for (int i = 0; i < node->nchildren; i++)
		count += is_present(writer, &node->children[i]);
	header = count | JB_FOBJECT;
	pad(writer);
	append(writer, &header, sizeof(header));
	entries = writer->len;
	if (grow(writer, 2 * count * sizeof(JEntry)) == NULL)
		return;
	start = writer->len;
	for (int i = 0; i < node->nchildren && !writer->too_large; i++)
	{
		if (!is_present(writer, &node->children[i]))
			continue;
		append(writer, node->children[i].key, node->children[i].len);
		if (!writer->too_large)
			set_entry(writer, entries, index++, JENTRY_ISSTRING, node->children[i].len, writer->len - start);
	}
	for (int i = 0; i < node->nchildren && !writer->too_large; i++)
	{
		const ConvertNode *child = &node->children[i];
		Size before = writer->len;
		JEntry type = JENTRY_ISCONTAINER;

		if (!is_present(writer, child))
			continue;
		if (child->field < 0)
			write_object(writer, child);
		else if (writer->converted->states[child->field] == INTEG_FIELD_NULL)
			type = JENTRY_ISNULL;
		else
			type = write_value(writer, &writer->converted->values[child->field]);
		if (!writer->too_large)
			set_entry(writer, entries, index++, type, writer->len - before, writer->len - start);
	}
}

Jsonb *
integ_converted_jsonb(const IntegConversionRun *run, const IntegConverted *converted)
{
	Writer writer = {.converted = converted, .room = 512};

	if (converted->document != NULL)
		return converted->document;
	writer.data = palloc(writer.room);
	(void) grow(&writer, VARHDRSZ);
	write_object(&writer, &run->plan->root);
	if (writer.too_large)
	{
		pfree(writer.data);
		return NULL;
	}
	SET_VARSIZE(writer.data, writer.len);
	return (Jsonb *) writer.data;
}
