/*
 * The raw gateway: requests that a caller makes up, sent along the path of a call with
 * the definition's authentication, headers, query and transforms.
 */
#ifndef INTEG_GATEWAY_GATEWAY_H
#define INTEG_GATEWAY_GATEWAY_H

#include "postgres.h"

#include "definitions/definition.h"
#include "utils/jsonb.h"

/* What a caller asks for; the documents may be NULL. */
typedef struct IntegRawRequest
{
	const char *http_method; /* as the caller wrote it */
	const char *path;
	const Jsonb *query;
	const Jsonb *headers;
	const Jsonb *body;
	const char *encoding; /* json, form, text; NULL: json */
} IntegRawRequest;

/*
 * The request as a method of its own, in CurrentMemoryContext: its values are literal, never templates, so that
 * they reach no credential. Raises IG400 for what is no request.
 */
extern IntegMethod *integ_raw_method(const IntegRawRequest *request);

/* The request as a document, and the method that such a document describes. Raises as integ_raw_method. */
extern Jsonb *integ_raw_document(const IntegRawRequest *request);
extern IntegMethod *integ_raw_method_of(const Jsonb *document);

/*
 * Raises IG403 where the caller sets what is the definition's, libcurl's or HTTP's own: the place of a credential,
 * Host, Cookie, Content-Length and the like.
 */
extern void integ_raw_protect(const IntegRawRequest *request, const IntegDefinition *definition, const IntegAuth *auth);

#endif /* INTEG_GATEWAY_GATEWAY_H */
