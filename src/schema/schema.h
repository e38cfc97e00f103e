/*
 * JSON Schema (2020-12, and draft 7 where it differs), compiled once and
 * validated on jsonb.
 */
#ifndef INTEG_SCHEMA_SCHEMA_H
#define INTEG_SCHEMA_SCHEMA_H

#include "postgres.h"

#include "utils/jsonb.h"

typedef struct IntegSchema IntegSchema;

/*
 * One violation. path is a JSON Pointer into the document ("" is the document itself);
 * the message continues it ("must be at most 100"). It never holds a value of the document, which may be a
 * secret, but names of its properties.
 */
typedef struct IntegSchemaProblem
{
	char *path;
	char *message;
} IntegSchemaProblem;

#define INTEG_SCHEMA_MAX_PROBLEMS 20

typedef struct IntegSchemaProblems
{
	int count;
	IntegSchemaProblem items[INTEG_SCHEMA_MAX_PROBLEMS];
} IntegSchemaProblems;

/*
 * Compiles a schema (an object or a boolean) into CurrentMemoryContext, which then
 * holds all of it. where names the place of the schema in messages
 * ("inputSchema of method get_inventory"). Raises IG400 for an unknown type, a bad
 * keyword value, a $ref that does not resolve or leaves the document, a cycle of
 * $refs that consumes nothing, a pattern that does not compile; the detail has the JSON
 * Pointer within the schema.
 */
extern IntegSchema *integ_schema_compile(const Jsonb *schema, const char *where);

/*
 * Whether the document is valid. Both strings of a problem are in CurrentMemoryContext. Raises IG400 for a
 * document of more than 500 levels. problems may be NULL: then the first violation ends the walk.
 */
extern bool integ_schema_validate(const IntegSchema *schema, const Jsonb *document,
								  IntegSchemaProblems *problems);

/*
 * As integ_schema_validate, but raises IG400: what names the document ("input of erp_main.get_inventory"); the
 * detail lists the violations.
 */
extern void integ_schema_require(const IntegSchema *schema, const Jsonb *document, const char *what);

/*
 * The document with absent properties filled from "default", at every depth that
 * exists, by properties, items, $ref and allOf; the document itself where nothing is missing. A null is present.
 * An inserted default is filled too; one that contains itself without an end raises IG400.
 */
extern const Jsonb *integ_schema_fill(const IntegSchema *schema, const Jsonb *document);

#endif /* INTEG_SCHEMA_SCHEMA_H */
