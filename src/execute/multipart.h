/*
 * Bodies of several parts (RFC 2046, section 5.1; RFC 7578).
 */
#ifndef INTEG_EXECUTE_MULTIPART_H
#define INTEG_EXECUTE_MULTIPART_H

#include "execute/content.h"

/* A body under way: in the exchange's memory. */
typedef struct IntegMultipart IntegMultipart;

/*
 * A body of the parts that a document says: an object has a part by each of its members, a list one by each element.
 * Raises IG400 for what is no part.
 */
extern IntegMultipart *integ_multipart_begin(IntegCall *call, const Jsonb *document);

/* Adds a part of text. */
extern void integ_multipart_add(IntegCall *call, IntegMultipart *multipart, const char *name, const char *text);

/* Ends the body: its bytes, and its media type with the boundary. */
extern const char *integ_multipart_end(IntegMultipart *multipart, size_t *len, const char **type);

#endif /* INTEG_EXECUTE_MULTIPART_H */
