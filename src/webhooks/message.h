/*
 * What a request's signature is made over: internal to webhooks.
 */
#ifndef INTEG_WEBHOOKS_MESSAGE_H
#define INTEG_WEBHOOKS_MESSAGE_H

#include "webhooks/signature.h"

typedef struct IntegMessage
{
	char *data; /* malloc'ed */
	size_t len;
} IntegMessage;

/* What stands for the variables of a template besides what the request itself tells. */
typedef struct IntegMessageParts
{
	const char *timestamp; /* NULL: none */
	const char *id;		   /* NULL: none */
	const char *url;
	IntegSignatureKey secret;
} IntegMessageParts;

/* Expands the template; false where there is no memory. What looks like no variable stands for itself. */
extern bool integ_message_expand(const char *template, const IntegInbound *request, const IntegMessageParts *parts,
								 IntegMessage *message);

#endif /* INTEG_WEBHOOKS_MESSAGE_H */
