/*
 * Maps: a document of paths, evaluated on an answer.
 */
#include "core/errors.h"
#include "core/json.h"
#include "core/json_walk.h"
#include "miscadmin.h"
#include "template/node.h"
#include "utils/memutils.h"

typedef enum MapKind
{
	MAP_LITERAL,
	MAP_PATH,
	MAP_OBJECT,
	MAP_ARRAY,
	MAP_EACH
} MapKind;

typedef struct MapNode
{
	MapKind kind;
	JsonbValue literal;
	IntegPath *path; /* of each: the list */
	int count;
	JsonbValue *keys;
	struct MapNode **children; /* of each: one, for an element */
} MapNode;

struct IntegMap
{
	const char *where;
	MapNode *root;
};

/* An evaluation under way. */
typedef struct MapEval
{
	MemoryContext scratch; /* of one jsonpath, made for the first */
} MapEval;

static MapNode *compile_value(const JsonbValue *value, const char *where, int depth);
static bool eval(MapEval *run, const MapNode *node, const JsonbValue *document, JsonbValue *out);

static void
malformed(const char *where, const char *problem)
{
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s is not a valid map", where), errdetail("%s.", problem),
					errhint("docs/templates.md describes maps.")));
}

static MapNode *
make_node(MapKind kind)
{
	MapNode *node = palloc0(sizeof(MapNode));

	node->kind = kind;
	return node;
}

static MapNode *
compile_literal(const JsonbValue *value)
{
	MapNode *node = make_node(MAP_LITERAL);
	Size ignored = 0;

	template_unpack(value, &node->literal, &ignored);
	return node;
}

/* {"$each": path, "do": map} */
static MapNode *
compile_each(const JsonbContainer *object, const char *where, int depth)
{
	MapNode *node = make_node(MAP_EACH);
	char *path = integ_json_get_string(object, "$each");
	JsonbValue body;

	if (path == NULL || !integ_json_get(object, "do", &body) || JsonContainerSize(object) != 2)
		malformed(where, "A list is written {\"$each\": path, \"do\": map}");
	node->path = integ_path_compile(path, where);
	node->count = 1;
	node->children = palloc(sizeof(MapNode *));
	node->children[0] = compile_value(&body, where, depth);
	return node;
}

static MapNode *
compile_container(const JsonbContainer *container, const char *where, int depth)
{
	bool object = JsonContainerIsObject(container);
	MapNode *node = make_node(object ? MAP_OBJECT : MAP_ARRAY);
	IntegJsonWalk walk;
	JsonbValue key, value;

	integ_json_walk_begin(&walk, container);
	node->keys = object ? palloc(Max(walk.count, 1) * sizeof(JsonbValue)) : NULL;
	node->children = palloc(Max(walk.count, 1) * sizeof(MapNode *));
	while (object ? integ_json_walk_pair(&walk, &key, &value) : integ_json_walk_element(&walk, &value))
	{
		if (object)
			node->keys[node->count] = key;
		node->children[node->count++] = compile_value(&value, where, depth);
	}
	return node;
}

static MapNode *
compile_value(const JsonbValue *value, const char *where, int depth)
{
	MapNode *node;
	JsonbValue directive;

	if (depth > TEMPLATE_MAX_DEPTH)
		malformed(where, "It is nested too deeply");
	if (value->type == jbvString)
	{
		node = make_node(MAP_PATH);
		node->path = integ_path_compile(pnstrdup(value->val.string.val, value->val.string.len), where);
		return node;
	}
	if (value->type != jbvBinary)
		return compile_literal(value);
	if (integ_json_get(value->val.binary.data, "$literal", &directive))
	{
		if (JsonContainerSize(value->val.binary.data) != 1)
			malformed(where, "Nothing goes with \"$literal\"");
		return compile_literal(&directive);
	}
	if (integ_json_get(value->val.binary.data, "$each", &directive))
		return compile_each(value->val.binary.data, where, depth + 1);
	return compile_container(value->val.binary.data, where, depth + 1);
}

IntegMap *
integ_map_compile(const Jsonb *source, const char *where)
{
	IntegMap *map = palloc(sizeof(IntegMap));
	Jsonb *copy = palloc(VARSIZE(source));
	JsonbValue root;

	memcpy(copy, source, VARSIZE(source));
	integ_json_root(copy, &root);
	map->where = pstrdup(where);
	map->root = compile_value(&root, map->where, 0);
	return map;
}

/* As integ_path_find; of a jsonpath, which may be asked for each element of a list, only the result is left. */
static bool
find(MapEval *run, const IntegPath *path, const JsonbValue *document, JsonbValue *found)
{
	MemoryContext outer;
	Jsonb *kept = NULL;

	if (path->jsonpath == NULL)
		return integ_path_find(path, document, found);
	if (run->scratch == NULL)
		run->scratch = AllocSetContextCreate(CurrentMemoryContext, "integ map", ALLOCSET_SMALL_SIZES);
	outer = MemoryContextSwitchTo(run->scratch);
	if (integ_path_find(path, document, found))
	{
		MemoryContextSwitchTo(outer);
		kept = JsonbValueToJsonb(found);
		integ_json_root(kept, found);
	}
	MemoryContextSwitchTo(outer);
	MemoryContextReset(run->scratch);
	return kept != NULL;
}

static bool
eval_each(MapEval *run, const MapNode *node, const JsonbValue *document, JsonbValue *out)
{
	IntegJsonWalk walk;
	JsonbValue list, element;

	if (!find(run, node->path, document, &list) || list.type == jbvNull)
		return false;
	out->type = jbvArray;
	out->val.array.rawScalar = false;
	out->val.array.nElems = 0;
	/* One that is not a list counts as a list of one: services leave the brackets out. */
	if (!integ_json_is_array(&list))
	{
		out->val.array.elems = palloc(sizeof(JsonbValue));
		out->val.array.nElems = eval(run, node->children[0], &list, out->val.array.elems) ? 1 : 0;
		return true;
	}
	integ_json_walk_begin(&walk, list.val.binary.data);
	out->val.array.elems = MemoryContextAllocHuge(CurrentMemoryContext, Max(walk.count, 1) * sizeof(JsonbValue));
	while (integ_json_walk_element(&walk, &element))
	{
		CHECK_FOR_INTERRUPTS();
		if (eval(run, node->children[0], &element, &out->val.array.elems[out->val.array.nElems]))
			out->val.array.nElems++;
	}
	return true;
}

static bool
eval_object(MapEval *run, const MapNode *node, const JsonbValue *document, JsonbValue *out)
{
	JsonbPair *pair = palloc(Max(node->count, 1) * sizeof(JsonbPair));

	out->type = jbvObject;
	out->val.object.pairs = pair;
	for (int i = 0; i < node->count; i++)
		if (eval(run, node->children[i], document, &pair->value))
		{
			pair->key = node->keys[i];
			pair->order = 0;
			pair++;
		}
	out->val.object.nPairs = pair - out->val.object.pairs;
	return true;
}

static bool
eval_array(MapEval *run, const MapNode *node, const JsonbValue *document, JsonbValue *out)
{
	out->type = jbvArray;
	out->val.array.rawScalar = false;
	out->val.array.nElems = 0;
	out->val.array.elems = palloc(Max(node->count, 1) * sizeof(JsonbValue));
	for (int i = 0; i < node->count; i++)
		if (eval(run, node->children[i], document, &out->val.array.elems[out->val.array.nElems]))
			out->val.array.nElems++;
	return true;
}

/* Evaluates a node on a document; false where it finds nothing. */
static bool
eval(MapEval *run, const MapNode *node, const JsonbValue *document, JsonbValue *out)
{
	JsonbValue found;
	Size ignored = 0;

	switch (node->kind)
	{
		case MAP_LITERAL:
			*out = node->literal;
			return true;
		case MAP_PATH:
			if (!find(run, node->path, document, &found))
				return false;
			template_unpack(&found, out, &ignored);
			return true;
		case MAP_OBJECT:
			return eval_object(run, node, document, out);
		case MAP_ARRAY:
			return eval_array(run, node, document, out);
		case MAP_EACH:
			return eval_each(run, node, document, out);
	}
	return false;
}

Jsonb *
integ_map_eval(const IntegMap *map, const Jsonb *document)
{
	MapEval run = {NULL};
	JsonbValue root, out;
	Jsonb *mapped = NULL;

	integ_json_root(document, &root);
	if (eval(&run, map->root, &root, &out))
		mapped = JsonbValueToJsonb(&out);
	if (run.scratch != NULL)
		MemoryContextDelete(run.scratch);
	return mapped;
}
