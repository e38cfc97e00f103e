/*
 * What the files that compile a schema share. Private to src/schema/.
 */
#ifndef INTEG_SCHEMA_COMPILE_H
#define INTEG_SCHEMA_COMPILE_H

#include "postgres.h"

#include "core/compat.h"
#include "nodes/pg_list.h"
#include "schema/node.h"
#include "utils/hsearch.h"

typedef enum SchemaDialect
{
	SCHEMA_DRAFT_7 = 1,
	SCHEMA_2020_12 = 2
} SchemaDialect;

#define SCHEMA_ANY_DIALECT (SCHEMA_DRAFT_7 | SCHEMA_2020_12)

/* A schema with its own $id, which $refs within it are relative to; the document itself is the first. */
typedef struct SchemaResource
{
	const char *uri; /* without a fragment; "" where the document has no $id */
	const JsonbContainer *root;
	SchemaDialect dialect;
} SchemaResource;

typedef struct SchemaAnchor
{
	const SchemaResource *resource;
	const char *name;
	const JsonbContainer *schema;
	bool dynamic;
} SchemaAnchor;

/* What is known of one place of the source that holds a schema. */
typedef struct SchemaPlace
{
	const JsonbContainer *source; /* the key */
	const SchemaResource *resource;
	SchemaNode *node;
	const char *pointer; /* to it, for messages; in scratch */
} SchemaPlace;

/* The way to the place being compiled: by key; by index, with key NULL; with index -1 a jump to the pointer in key. */
typedef struct SchemaFrame
{
	const struct SchemaFrame *parent;
	const char *key;
	int len;
	int index;
} SchemaFrame;

typedef struct SchemaCompiler
{
	const char *where;
	MemoryContext scratch; /* what only the compilation needs */
	const JsonbContainer *root;
	HTAB *places;
	List *resources;
	List *anchors;
	List *nodes; /* all, parents before children */
	const SchemaFrame *at;
	SchemaNode *always;
	SchemaNode *never;
	int depth;
} SchemaCompiler;

/* What a keyword's value holds, for finding the schemas in it. */
typedef enum SchemaShape
{
	SCHEMA_PLAIN,
	SCHEMA_ONE,
	SCHEMA_SOME,		/* array of schemas */
	SCHEMA_NAMED,		/* object of schemas */
	SCHEMA_ONE_OR_SOME, /* items */
	SCHEMA_NAMED_OR_NOT /* dependencies: object of schemas and of arrays of strings */
} SchemaShape;

typedef struct SchemaKeyword
{
	const char *name;
	int dialects;
	SchemaShape shape;
	void (*compile)(SchemaCompiler *c, SchemaNode *node, const JsonbValue *value); /* NULL: read with another keyword */
} SchemaKeyword;

/* The keyword of a name in a dialect; NULL for annotations. */
extern const SchemaKeyword *schema_keyword_find(const char *name, int len, SchemaDialect dialect);

/* Raises IG400 with the pointer of the current place in the detail. */
pg_noreturn extern void schema_compile_fail(SchemaCompiler *c, const char *format, ...) pg_attribute_printf(2, 3);

/* Compiles a value that must be a schema; the frame says where it is below c->at. */
extern SchemaNode *schema_compile_at(SchemaCompiler *c, const JsonbValue *value, SchemaFrame *frame);
extern SchemaNode *schema_compile_key(SchemaCompiler *c, const JsonbValue *value, const char *key, int len);
extern void schema_compile_list(SchemaCompiler *c, const JsonbValue *value, const char *key, SchemaList *list);

/* Registers the schema and those within it with their $ids and anchors. */
extern void schema_reference_index(SchemaCompiler *c, const JsonbContainer *schema, const SchemaResource *resource);
extern SchemaPlace *schema_reference_place(SchemaCompiler *c, const JsonbContainer *schema);

/* The node that a $ref (or $dynamicRef) of a place leads to. */
extern SchemaNode *schema_reference_follow(SchemaCompiler *c, const SchemaPlace *place, const JsonbValue *reference,
										   bool dynamic);

/* The keywords of objects and arrays that depend on each other. */
extern void schema_compile_properties(SchemaCompiler *c, SchemaNode *node);
extern void schema_compile_items(SchemaCompiler *c, SchemaNode *node, SchemaDialect dialect);
extern SchemaObjectRules *schema_object_rules(SchemaNode *node);
extern SchemaArrayRules *schema_array_rules(SchemaNode *node);

/* Checks after all is compiled: cycles of $ref; and which nodes may insert defaults. */
extern void schema_check_cycles(SchemaCompiler *c);
extern void schema_find_defaults(SchemaCompiler *c);

#endif /* INTEG_SCHEMA_COMPILE_H */
