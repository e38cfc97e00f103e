/*
 * Bytes that come with an input: a file of a multipart body, or a whole binary one.
 */
#ifndef INTEG_EXECUTE_CONTENT_H
#define INTEG_EXECUTE_CONTENT_H

#include "execute/call.h"

/* Largest body of a request: what is more is an upload of its own kind, not a call. */
#define INTEG_MAX_REQUEST_BODY (64 * 1024 * 1024)

typedef struct IntegContent
{
	const char *data;
	size_t len;
	const char *type;	  /* contentType as given, or NULL */
	const char *filename; /* or NULL */
	const JsonbContainer *headers;
	bool is_text; /* given as text */
} IntegContent;

/*
 * Whether the object is content: {"base64" | "hex" | "text": …} or {"loid": oid}, with "contentType" and "filename"
 * if it
 * has them. docs/calls.md describes it.
 */
extern bool integ_content_is(const JsonbContainer *object);

/*
 * Reads content, in CurrentMemoryContext; a large object as the actor of the call, whose right to read it is checked.
 * what names the content for messages. Raises IG400 for what is not as it should be, IG403 where the actor may not read
 * the large object, IG404 where there is none.
 */
extern void integ_content_read(const IntegCall *call, const JsonbContainer *object, const char *what,
							   IntegContent *content);

/* The bytes of a text in base64. Raises IG400. */
extern void integ_content_decode(const IntegCall *call, const char *base64, size_t len, const char *what,
								 IntegContent *content);

#endif /* INTEG_EXECUTE_CONTENT_H */
