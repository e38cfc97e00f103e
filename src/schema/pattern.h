/*
 * Compiled patterns: ECMA-262 text, PostgreSQL's engine. Private to src/schema/.
 */
#ifndef INTEG_SCHEMA_PATTERN_H
#define INTEG_SCHEMA_PATTERN_H

#include "postgres.h"

#include "schema/node.h"

/*
 * Compiles a pattern into CurrentMemoryContext and frees it with that context. NULL where it does
 * not compile, with a phrase in *problem that continues "the pattern …".
 */
extern SchemaPattern *schema_pattern_compile(const char *pattern, int len, const char **problem);

/* Whether the pattern matches somewhere in the text (UTF-8). Raises IG400 where the engine gives up. */
extern bool schema_pattern_matches(const SchemaPattern *pattern, const char *text, int len);

/* The pattern as it was written. */
extern const char *schema_pattern_source(const SchemaPattern *pattern);

#endif /* INTEG_SCHEMA_PATTERN_H */
