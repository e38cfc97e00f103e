/*
 * Walking the entries of a jsonb container in place: no copy, no allocation,
 * one pass over the offsets.
 *
 * PostgreSQL's own iterator allocates a state for each level and hands out
 * keys and values in turn; validation and rendering visit every field of every
 * request, so they read the layout that utils/jsonb.h documents.
 */
#ifndef INTEG_CORE_JSON_WALK_H
#define INTEG_CORE_JSON_WALK_H

#include "postgres.h"

#include "utils/jsonb.h"

/* The values of an array in order, or the pairs of an object in jsonb's key order. */
typedef struct IntegJsonWalk
{
	const JsonbContainer *container;
	const char *data; /* what the entries' offsets count from */
	uint32 count;	  /* elements or pairs */
	uint32 next;	  /* index of the entry that comes next */
	uint32 key_offset;
	uint32 value_offset;
	bool object;
} IntegJsonWalk;

/* Reads one entry that starts at *offset, and moves *offset behind it. The value points into the container. */
static inline void
integ_json_walk_entry(const JsonbContainer *container, const char *data, uint32 index, uint32 *offset,
					  JsonbValue *value)
{
	JEntry entry = container->children[index];
	uint32 start = *offset;

	JBE_ADVANCE_OFFSET(*offset, entry);
	/* No value is left half set: callers look at the type and the compiler does not know. */
	value->val.binary.data = NULL;
	switch (entry & JENTRY_TYPEMASK)
	{
		case JENTRY_ISSTRING:
			value->type = jbvString;
			value->val.string.val = (char *) data + start;
			value->val.string.len = *offset - start;
			break;
		case JENTRY_ISNUMERIC:
			value->type = jbvNumeric;
			value->val.numeric = (Numeric) (data + INTALIGN(start));
			break;
		case JENTRY_ISBOOL_FALSE:
		case JENTRY_ISBOOL_TRUE:
			value->type = jbvBool;
			value->val.boolean = JBE_ISBOOL_TRUE(entry);
			break;
		case JENTRY_ISCONTAINER:
			value->type = jbvBinary;
			value->val.binary.data = (JsonbContainer *) (data + INTALIGN(start));
			value->val.binary.len = *offset - INTALIGN(start);
			break;
		default:
			value->type = jbvNull;
			break;
	}
}

static inline void
integ_json_walk_begin(IntegJsonWalk *walk, const JsonbContainer *container)
{
	walk->container = container;
	walk->count = JsonContainerSize(container);
	walk->object = JsonContainerIsObject(container);
	walk->data = (const char *) &container->children[walk->object ? walk->count * 2 : walk->count];
	walk->next = 0;
	walk->key_offset = 0;
	walk->value_offset = walk->object && walk->count > 0 ? getJsonbOffset(container, walk->count) : 0;
}

/* The next element of an array; false at its end. */
static inline bool
integ_json_walk_element(IntegJsonWalk *walk, JsonbValue *value)
{
	if (walk->next == walk->count)
		return false;
	integ_json_walk_entry(walk->container, walk->data, walk->next++, &walk->value_offset, value);
	return true;
}

/* The next pair of an object; false at its end. */
static inline bool
integ_json_walk_pair(IntegJsonWalk *walk, JsonbValue *key, JsonbValue *value)
{
	uint32 start;

	if (walk->next == walk->count)
		return false;
	key->type = jbvString;
	key->val.string.val = (char *) walk->data + walk->key_offset;
	start = walk->key_offset;
	JBE_ADVANCE_OFFSET(walk->key_offset, walk->container->children[walk->next]);
	key->val.string.len = walk->key_offset - start;
	integ_json_walk_entry(walk->container, walk->data, walk->count + walk->next, &walk->value_offset, value);
	walk->next++;
	return true;
}

/* The element at an index, which must be below the array's size. */
static inline void
integ_json_walk_at(const JsonbContainer *array, uint32 index, JsonbValue *value)
{
	uint32 offset = getJsonbOffset(array, index);

	integ_json_walk_entry(array, (const char *) &array->children[JsonContainerSize(array)], index, &offset, value);
}

/* jsonb's order of keys: by length, then by bytes. */
static inline int
integ_json_key_compare(const char *a, int a_len, const char *b, int b_len)
{
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a, b, a_len);
}

static inline bool
integ_json_is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

static inline bool
integ_json_is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
}

/* The whole of a document as a value that points into it. */
static inline void
integ_json_root(const Jsonb *document, JsonbValue *value)
{
	if (JB_ROOT_IS_SCALAR(document))
		integ_json_walk_at(&document->root, 0, value);
	else
	{
		value->type = jbvBinary;
		value->val.binary.data = (JsonbContainer *) &document->root;
		value->val.binary.len = VARSIZE(document) - VARHDRSZ;
	}
}

#endif /* INTEG_CORE_JSON_WALK_H */
