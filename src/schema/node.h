/*
 * The compiled tree of a JSON Schema. Private to src/schema/.
 *
 * Everything lives in the memory context the schema was compiled in, and points
 * into the copy of the source that is kept there. A node stands for one place of
 * the source; $ref makes the tree a graph, in which every cycle passes
 * through a step into the document (checked at compile), so a walk ends.
 */
#ifndef INTEG_SCHEMA_NODE_H
#define INTEG_SCHEMA_NODE_H

#include "postgres.h"

#include "schema/format.h"
#include "schema/schema.h"
#include "utils/jsonb.h"

/* How deep schemas, documents and inserted defaults may nest. */
#define SCHEMA_MAX_DEPTH 500
#define SCHEMA_MAX_DEFAULT_DEPTH 32

/* How many schemas may be applied to a document: in proportion to its size. */
static inline int64
schema_steps(const Jsonb *document)
{
	return INT64CONST(1000000) + INT64CONST(100) * VARSIZE(document);
}

/* How much of a key a message shows. */
#define SCHEMA_MAX_SHOWN 200

typedef struct SchemaNode SchemaNode;
typedef struct SchemaPattern SchemaPattern;

typedef struct SchemaList
{
	int count;
	SchemaNode **nodes;
} SchemaList;

typedef enum SchemaType
{
	SCHEMA_NULL = 1 << 0,
	SCHEMA_BOOLEAN = 1 << 1,
	SCHEMA_INTEGER = 1 << 2,
	SCHEMA_NUMBER = 1 << 3,
	SCHEMA_STRING = 1 << 4,
	SCHEMA_ARRAY = 1 << 5,
	SCHEMA_OBJECT = 1 << 6
} SchemaType;

/* Absent bounds are NULL. */
typedef struct SchemaNumberRules
{
	Numeric minimum;
	Numeric maximum;
	Numeric above; /* exclusiveMinimum */
	Numeric below; /* exclusiveMaximum */
	Numeric multiple_of;
} SchemaNumberRules;

/* An absent maximum is -1, here and below. */
typedef struct SchemaStringRules
{
	int64 min_length;
	int64 max_length;
	const SchemaPattern *pattern;
	IntegFormat format;
} SchemaStringRules;

typedef struct SchemaArrayRules
{
	int64 min_items;
	int64 max_items;
	bool unique;
	SchemaList prefix;
	SchemaNode *items; /* of what follows the prefix */
	SchemaNode *contains;
	int64 min_contains;
	int64 max_contains;
} SchemaArrayRules;

typedef struct SchemaProperty
{
	const char *name;
	int len;
	bool required;
	SchemaNode *node; /* NULL where the name is only required */
} SchemaProperty;

typedef struct SchemaPatternProperty
{
	const SchemaPattern *pattern;
	SchemaNode *node;
} SchemaPatternProperty;

/* What the presence of a property asks of the whole object. */
typedef struct SchemaDependency
{
	const char *name;
	int len;
	int nrequired;
	JsonbValue *required;
	SchemaNode *node; /* or NULL */
} SchemaDependency;

typedef struct SchemaObjectRules
{
	int64 min_properties;
	int64 max_properties;
	int nproperties;
	SchemaProperty *properties; /* in jsonb's key order, so that one pass joins them with an object */
	int npatterns;
	SchemaPatternProperty *patterns;
	SchemaNode *additional;
	SchemaNode *names;
	int ndependencies;
	SchemaDependency *dependencies;
} SchemaObjectRules;

struct SchemaNode
{
	bool never;	   /* the schema false */
	bool anything; /* true, {}, or annotations only */
	bool nullable; /* OpenAPI 3.0 */
	bool fills;	   /* a default may be missing below */
	uint8 types;   /* of SchemaType; 0: any */
	uint8 visit;   /* used by the search for cycles */
	JsonbValue *constant;
	int nenum; /* -1: no enum */
	JsonbValue *enumeration;
	SchemaNumberRules *number;
	SchemaStringRules *string;
	SchemaArrayRules *array;
	SchemaObjectRules *object;

	/* Applied to the same value as the node itself. */
	SchemaNode *ref;
	SchemaList all_of;
	SchemaList any_of;
	SchemaList one_of;
	SchemaNode * not ;
	SchemaNode *condition;
	SchemaNode *then;
	SchemaNode *otherwise;

	SchemaNode *unevaluated_items;
	SchemaNode *unevaluated_properties;
	JsonbValue *fallback;		  /* "default": its own, else that of a schema it refers to */
	const JsonbContainer *source; /* NULL for the shared true and false */
};

struct IntegSchema
{
	const char *where;
	SchemaNode *root;
};

#endif /* INTEG_SCHEMA_NODE_H */
