/*
 * $ref, $id and anchors, within one document: what leaves it is refused,
 * because validating must never fetch.
 */
#include "schema/compile.h"

#include "core/json.h"
#include "core/json_walk.h"
#include "miscadmin.h"
#include "schema/uri.h"

SchemaPlace *
schema_reference_place(SchemaCompiler *c, const JsonbContainer *schema)
{
	return hash_search(c->places, &schema, HASH_FIND, NULL);
}

static char *
resolve(const char *base, const char *reference)
{
	char *uri = palloc(INTEG_URI_ROOM(strlen(base), strlen(reference)));

	integ_uri_resolve(base, reference, uri);
	return uri;
}

static void
add_anchor(SchemaCompiler *c, const SchemaResource *resource, const char *name, const JsonbContainer *schema,
		   bool dynamic)
{
	SchemaAnchor *anchor = palloc(sizeof(SchemaAnchor));

	anchor->resource = resource;
	anchor->name = name;
	anchor->schema = schema;
	anchor->dynamic = dynamic;
	c->anchors = lappend(c->anchors, anchor);
}

/* The dialect of an embedded schema, which may have a "$schema" of its own. */
static SchemaDialect
embedded_dialect(const JsonbContainer *schema, SchemaDialect outer)
{
	char *uri = integ_json_get_string(schema, "$schema");

	if (uri == NULL)
		return outer;
	return strstr(uri, "draft-0") != NULL ? SCHEMA_DRAFT_7 : SCHEMA_2020_12;
}

/* Registers what a schema calls itself, and returns the resource it belongs to. */
static const SchemaResource *
index_names(SchemaCompiler *c, const JsonbContainer *schema, const SchemaResource *resource)
{
	char *id = integ_json_get_string(schema, "$id");
	char *anchor;
	JsonbValue ignored;

	/* In draft 7 nothing beside a $ref counts, and an $id of a fragment only is an anchor. */
	if (resource->dialect == SCHEMA_DRAFT_7 && integ_json_get(schema, "$ref", &ignored))
		return resource;
	if (id != NULL && id[0] == '#')
	{
		if (resource->dialect == SCHEMA_DRAFT_7 && id[1] != '\0')
			add_anchor(c, resource, id + 1, schema, false);
	}
	else if (id != NULL)
	{
		SchemaResource *own = palloc(sizeof(SchemaResource));
		char *uri = resolve(resource->uri, id);
		char *fragment = strchr(uri, '#');

		own->uri = uri;
		if (fragment != NULL)
			*fragment = '\0';
		own->root = schema;
		own->dialect = embedded_dialect(schema, resource->dialect);
		c->resources = lappend(c->resources, own);
		if (fragment != NULL && fragment[1] != '\0' && own->dialect == SCHEMA_DRAFT_7)
			add_anchor(c, own, pstrdup(fragment + 1), schema, false);
		resource = own;
	}
	if (resource->dialect == SCHEMA_2020_12)
	{
		anchor = integ_json_get_string(schema, "$anchor");
		if (anchor != NULL)
			add_anchor(c, resource, anchor, schema, false);
		anchor = integ_json_get_string(schema, "$dynamicAnchor");
		if (anchor != NULL)
			add_anchor(c, resource, anchor, schema, true);
	}
	return resource;
}

static void
index_value(SchemaCompiler *c, const JsonbValue *value, const SchemaResource *resource)
{
	if (integ_json_is_object(value))
		schema_reference_index(c, value->val.binary.data, resource);
}

/* The schemas in a keyword's value. A value of the wrong type is left to the compiler. */
static void
index_keyword(SchemaCompiler *c, SchemaShape shape, const JsonbValue *value, const SchemaResource *resource)
{
	bool some = shape == SCHEMA_SOME || shape == SCHEMA_ONE_OR_SOME;
	bool named = shape == SCHEMA_NAMED || shape == SCHEMA_NAMED_OR_NOT;
	IntegJsonWalk walk;
	JsonbValue key, element;

	if (some && integ_json_is_array(value))
	{
		integ_json_walk_begin(&walk, value->val.binary.data);
		while (integ_json_walk_element(&walk, &element))
			index_value(c, &element, resource);
	}
	else if (named && integ_json_is_object(value))
	{
		integ_json_walk_begin(&walk, value->val.binary.data);
		while (integ_json_walk_pair(&walk, &key, &element))
			index_value(c, &element, resource);
	}
	else if (shape == SCHEMA_ONE || shape == SCHEMA_ONE_OR_SOME)
		index_value(c, value, resource);
}

void
schema_reference_index(SchemaCompiler *c, const JsonbContainer *schema, const SchemaResource *resource)
{
	SchemaPlace *place;
	IntegJsonWalk walk;
	JsonbValue key, value;
	bool known;

	check_stack_depth();
	place = hash_search(c->places, &schema, HASH_ENTER, &known);
	if (known)
		return;
	resource = index_names(c, schema, resource);
	place->resource = resource;
	place->node = NULL;
	place->pointer = "";
	integ_json_walk_begin(&walk, schema);
	while (integ_json_walk_pair(&walk, &key, &value))
	{
		const SchemaKeyword *keyword = schema_keyword_find(key.val.string.val, key.val.string.len, resource->dialect);

		if (keyword != NULL)
			index_keyword(c, keyword->shape, &value, resource);
	}
}

/* One reference token of a JSON Pointer, unescaped in place ("~1" is "/", "~0" is "~"). */
static int
unescape_token(char *token, int len)
{
	int out = 0;

	for (int i = 0; i < len; i++)
	{
		if (token[i] == '~' && i + 1 < len && (token[i + 1] == '0' || token[i + 1] == '1'))
			token[out++] = token[++i] == '0' ? '~' : '/';
		else
			token[out++] = token[i];
	}
	return out;
}

/* Steps from a value to its member; false where it has none. */
static bool
step(JsonbValue *value, const char *token, int len)
{
	JsonbValue inner;

	if (value->type != jbvBinary)
		return false;
	if (JsonContainerIsObject(value->val.binary.data))
	{
		if (getKeyJsonValueFromContainer(value->val.binary.data, token, len, &inner) == NULL)
			return false;
	}
	else
	{
		uint64 index = 0;

		if (len == 0 || len > 9 || (token[0] == '0' && len > 1))
			return false;
		for (int i = 0; i < len; i++)
		{
			if (token[i] < '0' || token[i] > '9')
				return false;
			index = index * 10 + (token[i] - '0');
		}
		if (index >= JsonContainerSize(value->val.binary.data))
			return false;
		integ_json_walk_at(value->val.binary.data, index, &inner);
	}
	*value = inner;
	return true;
}

/* Follows a pointer from the root of a resource. The schemas on the way may be resources of their own. */
static bool
follow_pointer(SchemaCompiler *c, const SchemaResource *resource, char *pointer, JsonbValue *value,
			   const SchemaResource **reached)
{
	value->type = jbvBinary;
	value->val.binary.data = (JsonbContainer *) resource->root;
	*reached = resource;
	while (*pointer == '/')
	{
		char *token = pointer + 1;
		int len = strcspn(token, "/");
		SchemaPlace *place;

		pointer = token + len;
		if (!step(value, token, unescape_token(token, len)))
			return false;
		place = integ_json_is_object(value) ? schema_reference_place(c, value->val.binary.data) : NULL;
		if (place != NULL)
			*reached = place->resource;
	}
	return *pointer == '\0';
}

static const SchemaResource *
find_resource(SchemaCompiler *c, const char *uri)
{
	ListCell *cell;

	foreach (cell, c->resources)
		if (strcmp(((SchemaResource *) lfirst(cell))->uri, uri) == 0)
			return lfirst(cell);
	return NULL;
}

static const SchemaAnchor *
find_anchor(SchemaCompiler *c, const SchemaResource *resource, const char *name)
{
	ListCell *cell;

	foreach (cell, c->anchors)
	{
		const SchemaAnchor *anchor = lfirst(cell);

		if (strcmp(anchor->resource->uri, resource->uri) == 0 && strcmp(anchor->name, name) == 0)
			return anchor;
	}
	return NULL;
}

/* How many schemas of the document have the dynamic anchor: with one, $dynamicRef has only one meaning. */
static int
count_dynamic(SchemaCompiler *c, const char *name)
{
	ListCell *cell;
	int count = 0;

	foreach (cell, c->anchors)
		if (((SchemaAnchor *) lfirst(cell))->dynamic && strcmp(((SchemaAnchor *) lfirst(cell))->name, name) == 0)
			count++;
	return count;
}

/* The value a fragment of a resource stands for. */
static void
find_target(SchemaCompiler *c, const SchemaResource *resource, const char *reference, char *fragment, bool dynamic,
			JsonbValue *target)
{
	const SchemaAnchor *anchor;
	const SchemaResource *reached = resource;

	fragment[integ_uri_decode(fragment, strlen(fragment))] = '\0';
	if (fragment[0] == '\0' || fragment[0] == '/')
	{
		if (!follow_pointer(c, resource, fragment, target, &reached))
			schema_compile_fail(c, "the $ref \"%s\" points to nothing", reference);
		if (integ_json_is_object(target))
			schema_reference_index(c, target->val.binary.data, reached);
		return;
	}
	anchor = find_anchor(c, resource, fragment);
	if (anchor == NULL)
		schema_compile_fail(c, "the $ref \"%s\" names an anchor that does not exist", reference);
	if (dynamic && anchor->dynamic && count_dynamic(c, fragment) > 1)
		schema_compile_fail(c, "the $dynamicRef \"%s\" has several targets, which is not supported", reference);
	target->type = jbvBinary;
	target->val.binary.data = (JsonbContainer *) anchor->schema;
}

SchemaNode *
schema_reference_follow(SchemaCompiler *c, const SchemaPlace *place, const JsonbValue *value, bool dynamic)
{
	const SchemaFrame *outer = c->at;
	const SchemaResource *resource;
	char *reference, *uri, *fragment, *pointer;
	JsonbValue target;
	SchemaFrame frame;
	SchemaNode *node;

	if (value->type != jbvString)
		schema_compile_fail(c, "a $ref must be a string");
	reference = pnstrdup(value->val.string.val, value->val.string.len);
	uri = resolve(place->resource->uri, reference);
	fragment = strchr(uri, '#');
	if (fragment != NULL)
		*fragment++ = '\0';
	else
		fragment = pstrdup("");
	resource = find_resource(c, uri);
	if (resource == NULL)
		schema_compile_fail(c, "the $ref \"%s\" leaves the document", reference);
	pointer = psprintf("%s#%s", resource->uri, fragment);
	find_target(c, resource, reference, fragment, dynamic, &target);

	frame = (SchemaFrame){NULL, pointer, strlen(pointer), -1};
	c->at = &frame;
	node = schema_compile_at(c, &target, NULL);
	c->at = outer;
	return node;
}
