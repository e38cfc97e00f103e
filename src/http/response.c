/*
 * What goes into an exchange is checked here, and what came out of it is read and freed.
 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/http.h"

#define TOKEN 1	  /* may be part of a token (RFC 9110, section 5.6.2) */
#define CONTROL 2 /* may be no part of a header's value */

/* Every character of every request is looked up here. */
static const unsigned char classes[256] = {
	[0x01 ... 0x08] = CONTROL,
	[0x0a ... 0x1f] = CONTROL,
	[0x7f] = CONTROL,
	['0' ... '9'] = TOKEN,
	['A' ... 'Z'] = TOKEN,
	['a' ... 'z'] = TOKEN,
	['!'] = TOKEN,
	['#'] = TOKEN,
	['$'] = TOKEN,
	['%'] = TOKEN,
	['&'] = TOKEN,
	['\''] = TOKEN,
	['*'] = TOKEN,
	['+'] = TOKEN,
	['-'] = TOKEN,
	['.'] = TOKEN,
	['^'] = TOKEN,
	['_'] = TOKEN,
	['`'] = TOKEN,
	['|'] = TOKEN,
	['~'] = TOKEN,
};

/* Whether the text is a token; its length. */
static bool
is_token(const char *text, size_t *len)
{
	const char *c = text;

	while (classes[(unsigned char) *c] & TOKEN)
		c++;
	*len = (size_t) (c - text);
	return *len > 0 && *c == '\0';
}

/* Whether the text may be a header's value; its length. */
static bool
is_value(const char *text, size_t *len)
{
	const char *c = text;

	while (*c != '\0' && !(classes[(unsigned char) *c] & CONTROL))
		c++;
	*len = (size_t) (c - text);
	return *c == '\0';
}

static bool
is_one_of(const char *name, const char *const *names)
{
	for (; *names != NULL; names++)
		if ((name[0] | 0x20) == (*names)[0] && strcasecmp(name, *names) == 0)
			return true;
	return false;
}

bool
integ_http_method_is_safe(const char *method)
{
	static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "TRACE", NULL};

	for (int i = 0; safe[i] != NULL; i++)
		if (strcmp(method, safe[i]) == 0)
			return true;
	return false;
}

bool
integ_http_request_check(const IntegHttpRequest *request, char *problem, size_t size)
{
	/* Framing, routing and what belongs to one hop: setting these would let one request look like two. */
	static const char *const owned[] = {"host", "content-length", "transfer-encoding", "connection", "keep-alive",
										"upgrade", "te", "trailer", "expect", "proxy-connection",
										"proxy-authorization", "http2-settings", NULL};
	size_t bytes = 0, name_len, value_len;

	if (!is_token(request->method, &name_len))
	{
		snprintf(problem, size, "The HTTP method is not a word.");
		return false;
	}
	/* CONNECT would open a tunnel instead of asking for something. */
	if (strcasecmp(request->method, "CONNECT") == 0)
	{
		snprintf(problem, size, "The HTTP method CONNECT is not for requests.");
		return false;
	}
	if (request->body != NULL && strcmp(request->method, "HEAD") == 0)
	{
		snprintf(problem, size, "A HEAD request has no body.");
		return false;
	}
	for (int i = 0; i < request->nheaders; i++)
	{
		const IntegHttpHeader *header = &request->headers[i];

		if (!is_token(header->name, &name_len))
		{
			snprintf(problem, size, "The name of header %d contains a character that no header name may contain.", i + 1);
			return false;
		}
		if (is_one_of(header->name, owned))
		{
			snprintf(problem, size, "The header \"%s\" is set by HTTP itself.", header->name);
			return false;
		}
		if (!is_value(header->value, &value_len))
		{
			snprintf(problem, size, "The value of the header \"%s\" contains a control character.", header->name);
			return false;
		}
		bytes += name_len + value_len + 4;
		if (bytes > INTEG_HTTP_MAX_REQUEST_HEADER_BYTES)
		{
			snprintf(problem, size, "With the header \"%s\" the headers have more than %d bytes.", header->name,
					 INTEG_HTTP_MAX_REQUEST_HEADER_BYTES);
			return false;
		}
	}
	return true;
}

void
integ_http_response_free(IntegHttpResponse *response)
{
	/* An answer may be a token: nothing of it stays in freed memory. Names and values share one block. */
	if (response->body != NULL)
		OPENSSL_cleanse(response->body, response->body_len);
	free(response->body);
	for (int i = 0; i < response->nheaders; i++)
		OPENSSL_cleanse((char *) response->headers[i].value, strlen(response->headers[i].value));
	free(response->headers);
	response->body = NULL;
	response->body_len = 0;
	response->headers = NULL;
	response->nheaders = 0;
}

const char *
integ_http_response_header(const IntegHttpResponse *response, const char *name)
{
	for (int i = 0; i < response->nheaders; i++)
		if (strcmp(response->headers[i].name, name) == 0)
			return response->headers[i].value;
	return NULL;
}
