/*
 * A service may echo what it was sent. Secrets in an answer are overwritten
 * before anything reads it.
 */
#include "execute/call.h"

/* Shorter strings are no secrets, and would mask half of an ordinary answer. */
#define SHORTEST_MASKED 6

static void
mask_in(char *text, size_t len, const IntegCallSecret *secret)
{
	char *end = text + len;

	while ((text = memmem(text, end - text, secret->data, secret->len)) != NULL)
	{
		memset(text, '*', secret->len);
		text += secret->len;
	}
}

void
integ_call_mask(IntegCall *call)
{
	IntegHttpResponse *response = call->response;

	for (const IntegCallSecret *secret = call->secrets; secret != NULL; secret = secret->next)
	{
		if (!secret->masked || secret->len < SHORTEST_MASKED)
			continue;
		if (response->body != NULL)
			mask_in(response->body, response->body_len, secret);
		for (int i = 0; i < response->nheaders; i++)
			mask_in((char *) response->headers[i].value, strlen(response->headers[i].value), secret);
		mask_in(response->error, strlen(response->error), secret);
	}
}
