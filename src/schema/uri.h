/*
 * References between schemas. Free of PostgreSQL.
 */
#ifndef INTEG_SCHEMA_URI_H
#define INTEG_SCHEMA_URI_H

#include <stdbool.h>
#include <stddef.h>

/* The size that integ_uri_resolve needs at most. */
#define INTEG_URI_ROOM(base_len, reference_len) ((base_len) + (reference_len) + 3)

/*
 * Resolves a reference against a base as RFC 3986, section 5.2 does, into out, which
 * has INTEG_URI_ROOM bytes; terminated. Everything is a string of bytes:
 * nothing is decoded or validated.
 */
extern void integ_uri_resolve(const char *base, const char *reference, char *out);

/* Decodes %xx in place and returns the new length; an escape that is malformed stays as it is. */
extern size_t integ_uri_decode(char *text, size_t len);

#endif /* INTEG_SCHEMA_URI_H */
