/*
 * Regular expressions of ECMA-262, which JSON Schema uses, written as the
 * advanced regular expressions of PostgreSQL. Free of PostgreSQL.
 */
#ifndef INTEG_SCHEMA_ECMA_H
#define INTEG_SCHEMA_ECMA_H

#include <stdbool.h>
#include <stddef.h>

/* What a translation may grow to (repetitions above 255 are written out), in bytes. */
#define INTEG_ECMA_MAX_BYTES (64 * 1024)

typedef struct IntegEcmaResult
{
	size_t length;		 /* of the translation */
	bool has_references; /* uses \1 … or \k<name> */
	bool has_classes;	 /* uses [[:alpha:]] and the like, whose meaning comes from a collation */
	const char *problem; /* where it failed: a phrase that continues "the pattern …" */
	size_t offset;		 /* and the byte in the pattern */
} IntegEcmaResult;

/*
 * Writes the translation of a pattern (UTF-8, not terminated) to out, not
 * terminated. Call it with out NULL first to learn the length; what does
 * not fit is left out. False where the pattern is no regular expression of
 * ECMA-262 or uses what cannot be expressed: docs/json-schema.md, "Patterns", lists that.
 *
 * The translation accepts the same strings; lengths of matches and captured groups
 * may differ, so it answers whether a text matches and nothing else.
 */
extern bool integ_ecma_translate(const char *pattern, size_t len, char *out, size_t size, IntegEcmaResult *result);

#endif /* INTEG_SCHEMA_ECMA_H */
