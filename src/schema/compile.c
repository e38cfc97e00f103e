/*
 * Compiling a schema: one pass over the places that a document can reach, a
 * table of keywords, nodes remembered by their place so that $ref makes a graph.
 */
#include "schema/compile.h"

#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "core/text.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Appends the JSON Pointer (RFC 6901) of a frame. */
static void
append_pointer(StringInfo out, const SchemaFrame *frame)
{
	if (frame == NULL)
		return;
	append_pointer(out, frame->parent);
	if (frame->key == NULL)
	{
		appendStringInfo(out, "/%d", frame->index);
		return;
	}
	if (frame->index < 0)
	{
		/* the pointer that a $ref jumped to */
		appendBinaryStringInfo(out, frame->key, frame->len);
		return;
	}
	appendStringInfoChar(out, '/');
	for (int i = 0; i < frame->len; i++)
	{
		if (frame->key[i] == '~' || frame->key[i] == '/')
			appendStringInfoString(out, frame->key[i] == '~' ? "~0" : "~1");
		else
			appendStringInfoChar(out, frame->key[i]);
	}
}

/* The pointer of the current place, for as long as the compilation lasts. */
static char *
current_pointer(SchemaCompiler *c)
{
	MemoryContext outer = MemoryContextSwitchTo(c->scratch);
	StringInfoData pointer;

	initStringInfo(&pointer);
	append_pointer(&pointer, c->at);
	MemoryContextSwitchTo(outer);
	return pointer.data;
}

void
schema_compile_fail(SchemaCompiler *c, const char *format, ...)
{
	char *problem;
	va_list args;

	va_start(args, format);
	problem = integ_text_va(format, args);
	va_end(args);
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s is not a JSON Schema that integ can use", c->where),
					errdetail("At \"%s\": %s.", current_pointer(c), problem),
					errhint("docs/json-schema.md lists the keywords and what they take.")));
}

SchemaObjectRules *
schema_object_rules(SchemaNode *node)
{
	if (node->object == NULL)
	{
		node->object = palloc0(sizeof(SchemaObjectRules));
		node->object->max_properties = -1;
	}
	return node->object;
}

SchemaArrayRules *
schema_array_rules(SchemaNode *node)
{
	if (node->array == NULL)
	{
		node->array = palloc0(sizeof(SchemaArrayRules));
		node->array->max_items = -1;
		node->array->min_contains = 1;
		node->array->max_contains = -1;
	}
	return node->array;
}

static SchemaNode *
make_node(SchemaCompiler *c, const JsonbContainer *source)
{
	SchemaNode *node = palloc0(sizeof(SchemaNode));

	node->nenum = -1;
	node->source = source;
	c->nodes = lappend(c->nodes, node);
	return node;
}

/* Whether nothing was compiled into the node, so that it accepts every value. */
static bool
accepts_anything(const SchemaNode *node)
{
	return node->types == 0 && node->constant == NULL && node->nenum < 0 && node->number == NULL &&
		   node->string == NULL && node->array == NULL && node->object == NULL && node->ref == NULL &&
		   node->all_of.count == 0 && node->any_of.count == 0 && node->one_of.count == 0 && node->not == NULL &&
		   node->condition == NULL && node->unevaluated_items == NULL && node->unevaluated_properties == NULL;
}

static void
compile_keywords(SchemaCompiler *c, SchemaNode *node, SchemaPlace *place)
{
	SchemaDialect dialect = place->resource->dialect;
	IntegJsonWalk walk;
	JsonbValue key, value;

	integ_json_walk_begin(&walk, node->source);
	while (integ_json_walk_pair(&walk, &key, &value))
	{
		const SchemaKeyword *keyword = schema_keyword_find(key.val.string.val, key.val.string.len, dialect);
		SchemaFrame frame = {c->at, key.val.string.val, key.val.string.len, 0};

		if (keyword == NULL || keyword->compile == NULL)
			continue;
		c->at = &frame;
		keyword->compile(c, node, &value);
		c->at = frame.parent;
	}
	schema_compile_properties(c, node);
	schema_compile_items(c, node, dialect);
}

static SchemaNode *
compile_container(SchemaCompiler *c, const JsonbContainer *source)
{
	SchemaPlace *place = schema_reference_place(c, source);
	SchemaNode *node;
	JsonbValue reference;

	Assert(place != NULL);
	if (place->node != NULL)
		return place->node;
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (++c->depth > SCHEMA_MAX_DEPTH)
		schema_compile_fail(c, "schemas are nested more than %d levels deep", SCHEMA_MAX_DEPTH);
	node = place->node = make_node(c, source);
	place->pointer = current_pointer(c);
	if (integ_json_get(source, "$ref", &reference))
		node->ref = schema_reference_follow(c, place, &reference, false);
	/* In draft 7 a $ref stands alone. */
	if (node->ref == NULL || place->resource->dialect != SCHEMA_DRAFT_7)
		compile_keywords(c, node, place);
	node->anything = accepts_anything(node);
	c->depth--;
	return node;
}

SchemaNode *
schema_compile_at(SchemaCompiler *c, const JsonbValue *value, SchemaFrame *frame)
{
	const SchemaFrame *outer = c->at;
	SchemaNode *node;

	if (frame != NULL)
	{
		frame->parent = c->at;
		c->at = frame;
	}
	if (value->type == jbvBool)
		node = value->val.boolean ? c->always : c->never;
	else if (integ_json_is_object(value))
		node = compile_container(c, value->val.binary.data);
	else
		schema_compile_fail(c, "a schema must be an object or a boolean");
	c->at = outer;
	return node;
}

SchemaNode *
schema_compile_key(SchemaCompiler *c, const JsonbValue *value, const char *key, int len)
{
	SchemaFrame frame = {NULL, key, len, 0};

	return schema_compile_at(c, value, &frame);
}

void
schema_compile_list(SchemaCompiler *c, const JsonbValue *value, const char *key, SchemaList *list)
{
	SchemaFrame outer = {c->at, key, key != NULL ? strlen(key) : 0, 0};
	IntegJsonWalk walk;
	JsonbValue element;

	if (!integ_json_is_array(value))
		schema_compile_fail(c, "must be an array of schemas");
	if (key != NULL)
		c->at = &outer;
	integ_json_walk_begin(&walk, value->val.binary.data);
	list->count = 0;
	list->nodes = palloc(Max(walk.count, 1) * sizeof(SchemaNode *));
	while (integ_json_walk_element(&walk, &element))
	{
		SchemaFrame frame = {NULL, NULL, 0, list->count};

		list->nodes[list->count++] = schema_compile_at(c, &element, &frame);
	}
	c->at = outer.parent;
}

/* The dialect of "$schema", by the drafts that share its rules. */
static SchemaDialect
dialect_of(const JsonbContainer *schema, SchemaDialect inherited)
{
	char *uri = integ_json_get_string(schema, "$schema");

	if (uri == NULL)
		return inherited;
	if (strstr(uri, "draft-07/") != NULL || strstr(uri, "draft-06/") != NULL || strstr(uri, "draft-04/") != NULL)
		return SCHEMA_DRAFT_7;
	return SCHEMA_2020_12;
}

static void
begin(SchemaCompiler *c, const Jsonb *schema, const char *where)
{
	HASHCTL control = {.keysize = sizeof(JsonbContainer *), .entrysize = sizeof(SchemaPlace)};
	SchemaResource *document = palloc0(sizeof(SchemaResource));
	Jsonb *copy = palloc(VARSIZE(schema));

	memcpy(copy, schema, VARSIZE(schema));
	memset(c, 0, sizeof(*c));
	c->where = where;
	c->root = &copy->root;
	c->scratch = AllocSetContextCreate(CurrentMemoryContext, "schema compilation", ALLOCSET_SMALL_SIZES);
	control.hcxt = c->scratch;
	c->places = hash_create("schemas by place", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	c->always = make_node(c, NULL);
	c->always->anything = true;
	c->never = make_node(c, NULL);
	c->never->never = true;
	document->uri = "";
	document->root = c->root;
	document->dialect = SCHEMA_2020_12;
	if (JB_ROOT_IS_OBJECT(copy))
	{
		document->dialect = dialect_of(c->root, SCHEMA_2020_12);
		c->resources = list_make1(document);
		schema_reference_index(c, c->root, document);
	}
}

IntegSchema *
integ_schema_compile(const Jsonb *schema, const char *where)
{
	IntegSchema *compiled = palloc(sizeof(IntegSchema));
	SchemaCompiler compiler;
	JsonbValue root;

	compiled->where = pstrdup(where);
	begin(&compiler, schema, compiled->where);
	if (JsonContainerIsScalar(compiler.root))
		integ_json_walk_at(compiler.root, 0, &root);
	else
	{
		root.type = jbvBinary;
		root.val.binary.data = (JsonbContainer *) compiler.root;
	}
	compiled->root = schema_compile_at(&compiler, &root, NULL);
	schema_check_cycles(&compiler);
	schema_find_defaults(&compiler);
	MemoryContextDelete(compiler.scratch);
	return compiled;
}
