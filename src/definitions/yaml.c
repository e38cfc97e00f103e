/*
 * YAML documents as JSON text. Free of PostgreSQL.
 *
 * libyaml's events are written out as they come; an alias copies the JSON that
 * its anchor became, so that the cap on the output also caps what aliases of
 * aliases can grow to.
 */
#include "definitions/yaml.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MAX_LEVELS 128
#define MAX_ANCHORS 1000
#define MAX_KEYS 10000

/* The JSON of an anchored node; end is 0 while the node is being written. */
typedef struct Anchor
{
	char *name;
	size_t start;
	size_t end;
} Anchor;

typedef struct Reader
{
	yaml_parser_t parser;
	char *out;
	size_t len, room, max;
	Anchor anchors[MAX_ANCHORS];
	int nanchors;
	int level;
	char *problem; /* filled once */
	size_t problem_size;
} Reader;

static bool write_node(Reader *reader, const yaml_event_t *event);

static bool
fail(Reader *reader, const yaml_mark_t *mark, const char *sentence)
{
	snprintf(reader->problem, reader->problem_size, "Line %zu, column %zu: %s.", mark->line + 1, mark->column + 1,
			 sentence);
	return false;
}

static bool
put(Reader *reader, const char *bytes, size_t len)
{
	if (len > reader->max - reader->len)
	{
		snprintf(reader->problem, reader->problem_size, "The document is larger than %zu bytes as JSON.", reader->max);
		return false;
	}
	if (reader->len + len + 1 > reader->room)
	{
		size_t room = (reader->len + len + 1) * 2;
		char *out = realloc(reader->out, room);

		if (out == NULL)
		{
			snprintf(reader->problem, reader->problem_size, "Out of memory.");
			return false;
		}
		reader->out = out;
		reader->room = room;
	}
	memmove(reader->out + reader->len, bytes, len);
	reader->len += len;
	reader->out[reader->len] = '\0';
	return true;
}

static bool
put_string(Reader *reader, const char *text, size_t len)
{
	bool good = put(reader, "\"", 1);

	for (size_t i = 0; i < len && good; i++)
	{
		unsigned char c = (unsigned char) text[i];
		char escape[8];

		if (c == '"' || c == '\\')
			snprintf(escape, sizeof(escape), "\\%c", c);
		else if (c < 0x20)
			snprintf(escape, sizeof(escape), "\\u%04x", c);
		else
			snprintf(escape, sizeof(escape), "%c", c);
		good = put(reader, escape, strlen(escape));
	}
	return good && put(reader, "\"", 1);
}

static bool
next(Reader *reader, yaml_event_t *event)
{
	if (yaml_parser_parse(&reader->parser, event))
		return true;
	snprintf(reader->problem, reader->problem_size, "Line %zu, column %zu: %s.", reader->parser.problem_mark.line + 1,
			 reader->parser.problem_mark.column + 1,
			 reader->parser.problem != NULL ? reader->parser.problem : "not YAML");
	return false;
}

static bool
is_one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

/* A decimal number of the core schema as JSON writes it; false where the text is none. */
static bool
put_decimal(Reader *reader, const char *text, bool *number)
{
	bool negative = *text == '-';
	const char *start, *fraction = NULL, *exponent = NULL;
	size_t whole, decimals = 0;
	bool good;

	*number = false;
	if (*text == '-' || *text == '+')
		text++;
	start = text;
	whole = strspn(text, "0123456789");
	text += whole;
	if (*text == '.')
	{
		fraction = ++text;
		decimals = strspn(text, "0123456789");
		text += decimals;
	}
	if (whole + decimals == 0)
		return true;
	if (*text == 'e' || *text == 'E')
	{
		exponent = ++text;
		if (*text == '-' || *text == '+')
			text++;
		if (strspn(text, "0123456789") == 0)
			return true;
		text += strspn(text, "0123456789");
	}
	if (*text != '\0')
		return true;

	*number = true;
	while (whole > 1 && *start == '0')
	{
		start++;
		whole--;
	}
	good = (!negative || put(reader, "-", 1)) && (whole > 0 ? put(reader, start, whole) : put(reader, "0", 1));
	if (good && decimals > 0)
		good = put(reader, ".", 1) && put(reader, fraction, decimals);
	if (good && exponent != NULL)
		good = put(reader, "e", 1) && put(reader, exponent, strlen(exponent));
	return good;
}

/* 0o17 and 0x1F, up to 64 bits. */
static bool
put_based(Reader *reader, const char *text, bool *number)
{
	char decimal[32], *end;
	int base = strncmp(text, "0x", 2) == 0 ? 16 : strncmp(text, "0o", 2) == 0 ? 8
																			  : 0;

	*number = false;
	if (base == 0 || strspn(text + 2, base == 16 ? "0123456789abcdefABCDEF" : "01234567") != strlen(text + 2) ||
		text[2] == '\0' || strlen(text + 2) > (base == 16 ? 15 : 20))
		return true;
	*number = true;
	snprintf(decimal, sizeof(decimal), "%llu", strtoull(text + 2, &end, base));
	return put(reader, decimal, strlen(decimal));
}

static bool
write_plain(Reader *reader, const yaml_event_t *event)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};
	static const char *const infinite[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf",
										   "-.INF", ".nan", ".NaN", ".NAN", NULL};
	const char *text = (const char *) event->data.scalar.value;
	size_t len = event->data.scalar.length;
	bool number;

	if (strlen(text) != len)
		return put_string(reader, text, len);
	if (is_one_of(text, nulls))
		return put(reader, "null", 4);
	if (is_one_of(text, trues))
		return put(reader, "true", 4);
	if (is_one_of(text, falses))
		return put(reader, "false", 5);
	if (is_one_of(text, infinite))
		return fail(reader, &event->start_mark, "JSON has no infinity and no NaN");
	if (!put_decimal(reader, text, &number) || (!number && !put_based(reader, text, &number)))
		return false;
	return number || put_string(reader, text, len);
}

static bool
write_scalar(Reader *reader, const yaml_event_t *event)
{
	const char *tag = (const char *) event->data.scalar.tag;

	if (tag != NULL && strcmp(tag, "!") != 0 && strcmp(tag, YAML_STR_TAG) != 0)
		return fail(reader, &event->start_mark, "only the tag !!str is understood");
	if (tag != NULL || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return put_string(reader, (const char *) event->data.scalar.value, event->data.scalar.length);
	return write_plain(reader, event);
}

/* Appends what stands earlier in the output, which put may move. */
static bool
copy_out(Reader *reader, size_t start, size_t len)
{
	char *copy = malloc(len + 1);
	bool good;

	if (copy == NULL)
	{
		snprintf(reader->problem, reader->problem_size, "Out of memory.");
		return false;
	}
	memcpy(copy, reader->out + start, len);
	good = put(reader, copy, len);
	free(copy);
	return good;
}

static bool
write_alias(Reader *reader, const yaml_event_t *event)
{
	const char *name = (const char *) event->data.alias.anchor;

	for (int i = reader->nanchors - 1; i >= 0; i--)
	{
		const Anchor *anchor = &reader->anchors[i];

		if (strcmp(anchor->name, name) != 0)
			continue;
		if (anchor->end == 0)
			return fail(reader, &event->start_mark, "an alias inside of what it stands for");
		return copy_out(reader, anchor->start, anchor->end - anchor->start);
	}
	return fail(reader, &event->start_mark, "an alias without its anchor");
}

static bool
write_sequence(Reader *reader)
{
	bool first = true;

	if (!put(reader, "[", 1))
		return false;
	for (;;)
	{
		yaml_event_t event;
		bool end, good;

		if (!next(reader, &event))
			return false;
		end = event.type == YAML_SEQUENCE_END_EVENT;
		good = end || ((first || put(reader, ",", 1)) && write_node(reader, &event));
		yaml_event_delete(&event);
		if (end || !good)
			return good && put(reader, "]", 1);
		first = false;
	}
}

/* The keys of a mapping so far, to notice one that comes again. */
typedef struct Keys
{
	char **names;
	int count;
} Keys;

static bool
remember_key(Reader *reader, Keys *keys, const yaml_event_t *event)
{
	const char *name = (const char *) event->data.scalar.value;
	char **names;

	for (int i = 0; i < keys->count; i++)
		if (strcmp(keys->names[i], name) == 0)
			return fail(reader, &event->start_mark, "a key comes twice");
	if (keys->count == MAX_KEYS)
		return fail(reader, &event->start_mark, "a mapping has too many keys");
	names = realloc(keys->names, sizeof(char *) * (size_t) (keys->count + 1));
	if (names == NULL)
		return fail(reader, &event->start_mark, "out of memory");
	keys->names = names;
	keys->names[keys->count] = strdup(name);
	if (keys->names[keys->count] == NULL)
		return fail(reader, &event->start_mark, "out of memory");
	keys->count++;
	return true;
}

static bool
write_pair(Reader *reader, Keys *keys, const yaml_event_t *key)
{
	yaml_event_t value;
	bool good;

	if (key->type != YAML_SCALAR_EVENT)
		return fail(reader, &key->start_mark, "a key must be a scalar");
	if (strlen((const char *) key->data.scalar.value) != key->data.scalar.length)
		return fail(reader, &key->start_mark, "a key contains a null character");
	if ((keys->count > 0 && !put(reader, ",", 1)) || !remember_key(reader, keys, key) ||
		!put_string(reader, (const char *) key->data.scalar.value, key->data.scalar.length) || !put(reader, ":", 1) ||
		!next(reader, &value))
		return false;
	good = write_node(reader, &value);
	yaml_event_delete(&value);
	return good;
}

static bool
write_mapping(Reader *reader)
{
	Keys keys = {0};
	bool end = false, good = put(reader, "{", 1);

	while (good && !end)
	{
		yaml_event_t event;

		if (!next(reader, &event))
		{
			good = false;
			break;
		}
		end = event.type == YAML_MAPPING_END_EVENT;
		good = end || write_pair(reader, &keys, &event);
		yaml_event_delete(&event);
	}
	for (int i = 0; i < keys.count; i++)
		free(keys.names[i]);
	free(keys.names);
	return good && put(reader, "}", 1);
}

/* The anchor of a node, NULL where it has none. */
static const char *
anchor_of(const yaml_event_t *event)
{
	switch (event->type)
	{
		case YAML_SCALAR_EVENT:
			return (const char *) event->data.scalar.anchor;
		case YAML_SEQUENCE_START_EVENT:
			return (const char *) event->data.sequence_start.anchor;
		case YAML_MAPPING_START_EVENT:
			return (const char *) event->data.mapping_start.anchor;
		default:
			return NULL;
	}
}

static bool
write_content(Reader *reader, const yaml_event_t *event)
{
	bool good;

	switch (event->type)
	{
		case YAML_SCALAR_EVENT:
			return write_scalar(reader, event);
		case YAML_ALIAS_EVENT:
			return write_alias(reader, event);
		case YAML_SEQUENCE_START_EVENT:
		case YAML_MAPPING_START_EVENT:
			if (++reader->level > MAX_LEVELS)
				return fail(reader, &event->start_mark, "too many levels");
			good = event->type == YAML_MAPPING_START_EVENT ? write_mapping(reader) : write_sequence(reader);
			reader->level--;
			return good;
		default:
			return fail(reader, &event->start_mark, "a value is missing");
	}
}

static bool
write_node(Reader *reader, const yaml_event_t *event)
{
	const char *name = anchor_of(event);
	Anchor *anchor = NULL;

	if (name != NULL)
	{
		if (reader->nanchors == MAX_ANCHORS)
			return fail(reader, &event->start_mark, "too many anchors");
		anchor = &reader->anchors[reader->nanchors];
		anchor->name = strdup(name);
		if (anchor->name == NULL)
			return fail(reader, &event->start_mark, "out of memory");
		anchor->start = reader->len;
		anchor->end = 0;
		reader->nanchors++;
	}
	if (!write_content(reader, event))
		return false;
	if (anchor != NULL)
		anchor->end = reader->len;
	return true;
}

/* Skips the event that must come; false where another one does. */
static bool
expect(Reader *reader, yaml_event_type_t type, const char *sentence)
{
	yaml_event_t event;
	bool good;

	if (!next(reader, &event))
		return false;
	good = event.type == type || fail(reader, &event.start_mark, sentence);
	yaml_event_delete(&event);
	return good;
}

static bool
write_document(Reader *reader)
{
	yaml_event_t event;
	bool good;

	if (!expect(reader, YAML_STREAM_START_EVENT, "not YAML") ||
		!expect(reader, YAML_DOCUMENT_START_EVENT, "there is no document") || !next(reader, &event))
		return false;
	good = write_node(reader, &event);
	yaml_event_delete(&event);
	return good && expect(reader, YAML_DOCUMENT_END_EVENT, "the document does not end") &&
		   expect(reader, YAML_STREAM_END_EVENT, "there is more than one document");
}

char *
integ_yaml_to_json(const char *text, size_t len, size_t max, char *problem, size_t size)
{
	Reader *reader = calloc(1, sizeof(Reader));
	char *result = NULL;

	if (reader == NULL || !yaml_parser_initialize(&reader->parser))
	{
		snprintf(problem, size, "Out of memory.");
		free(reader);
		return NULL;
	}
	reader->max = max;
	reader->problem = problem;
	reader->problem_size = size;
	yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader->parser, (const unsigned char *) text, len);
	if (write_document(reader))
		result = reader->out;
	else
		free(reader->out);
	for (int i = 0; i < reader->nanchors; i++)
		free(reader->anchors[i].name);
	yaml_parser_delete(&reader->parser);
	free(reader);
	return result;
}
