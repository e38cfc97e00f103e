/*
 * YAML documents as JSON text. Free of PostgreSQL.
 */
#ifndef INTEG_DEFINITIONS_YAML_H
#define INTEG_DEFINITIONS_YAML_H

#include <stddef.h>

/*
 * One YAML 1.2 document (core schema: plain scalars are null, booleans, integers and floats where
 * they look like one) as JSON text, malloc'ed. The text is UTF-8. Aliases are copied out.
 *
 * NULL with a sentence in problem, which names line and column: for what is not YAML, more than one document, a
 * duplicate key, a key that is no scalar, a tag other than the core schema's, .inf and .nan, more than 128 levels,
 * more than max bytes of JSON.
 */
extern char *integ_yaml_to_json(const char *text, size_t len, size_t max, char *problem, size_t size);

#endif /* INTEG_DEFINITIONS_YAML_H */
