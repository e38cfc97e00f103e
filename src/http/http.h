/*
 * One HTTP exchange over libcurl. Free of PostgreSQL: no palloc, no ereport; a
 * failure is a kind and a sentence, which the caller raises after the transfer.
 */
#ifndef INTEG_HTTP_HTTP_H
#define INTEG_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most that the headers of all answers of one exchange (interim ones and redirects too) may come to. */
#define INTEG_HTTP_MAX_HEADER_BYTES (128 * 1024)
#define INTEG_HTTP_MAX_HEADERS 256

/* Most that the headers of a request may come to: more is no header but a body, and servers refuse it. */
#define INTEG_HTTP_MAX_REQUEST_HEADER_BYTES (64 * 1024)

/* Longest a connection may have been idle for a write to use it: the service may be closing an
 * older one at this moment, and then nobody knows whether the write arrived. Seconds. */
#define INTEG_HTTP_WRITE_IDLE 3

typedef struct IntegHttpHeader
{
	const char *name;
	const char *value;
} IntegHttpHeader;

typedef struct IntegHttpRequest
{
	const char *method;				/* GET, POST, … */
	const char *url;				/* absolute, as composed by integ_url_compose */
	const IntegHttpHeader *headers; /* secrets included; an empty value is sent as such */
	int nheaders;
	const char *body; /* NULL for none */
	size_t body_len;
	int timeout_ms; /* of the whole exchange; of the waits for it where it is streamed */
	int connect_timeout_ms;
	size_t max_response;		   /* bytes after decompression */
	size_t window;				   /* 0: the body is collected; else streamed: most that waits for the reader */
	int max_redirects;			   /* of GET and HEAD, within the same origin; 0: a redirect is the answer */
	const char *allowed_addresses; /* CIDR list */
	const char *ca_file;		   /* NULL or "": the system's only */
	const char *proxy;			   /* NULL or "": none, also not from the environment */
} IntegHttpRequest;

typedef enum IntegHttpFailure
{
	INTEG_HTTP_OK,		  /* an answer was read whole, whatever its status */
	INTEG_HTTP_CANCELLED, /* the caller stopped waiting */
	INTEG_HTTP_TIMEOUT,
	INTEG_HTTP_DNS,
	INTEG_HTTP_CONNECT,
	INTEG_HTTP_TLS,
	INTEG_HTTP_BLOCKED,	  /* the address guard refused */
	INTEG_HTTP_REDIRECT,  /* to another origin, too many, or without a Location */
	INTEG_HTTP_TOO_LARGE, /* the body passed max_response, or the headers their cap */
	INTEG_HTTP_TRUNCATED, /* the connection ended before the promised length */
	INTEG_HTTP_PROTOCOL,  /* not HTTP, bad encoding, … */
	INTEG_HTTP_INTERNAL	  /* out of memory, library failure */
} IntegHttpFailure;

typedef struct IntegHttpResponse
{
	IntegHttpFailure failure;
	char error[256];		  /* sentence for a person; no secret, no query values */
	bool maybe_sent;		  /* false: certain that no byte of the request reached the service */
	long status;			  /* 0 where none arrived */
	IntegHttpHeader *headers; /* of the final answer, names in lower case, values valid UTF-8 */
	int nheaders;
	char *body; /* decompressed; NUL-terminated beyond body_len; never NULL after an exchange that is OK */
	size_t body_len;
	size_t received; /* bytes of the body, also those that were read while it arrived */
	int64_t duration_us;
	bool reused_connection;
} IntegHttpResponse;

/*
 * Whether the request can be sent as it stands: method and header names are tokens (RFC 9110, section
 * 5.6.2), header values have no control characters (no injection of further headers), and no
 * header is one that HTTP itself owns (Host, Content-Length, Transfer-Encoding, Connection, …), and all of them are
 * within INTEG_HTTP_MAX_REQUEST_HEADER_BYTES. On
 * false problem holds a sentence that names the header but not its value: bad input, to be refused before anything is
 * recorded. A request that fails this is never sent: it ends as INTEG_HTTP_INTERNAL.
 */
extern bool integ_http_request_check(const IntegHttpRequest *request, char *problem, size_t size);

/* Whether the method only reads: GET, HEAD, OPTIONS, TRACE (RFC 9110, section 9.2.1). */
extern bool integ_http_method_is_safe(const char *method);

/* Wipes and frees what the response holds (its memory is malloc'ed); the struct itself is the caller's. */
extern void integ_http_response_free(IntegHttpResponse *response);

/* A header's value by its lower-case name, NULL where absent; the first of several. */
extern const char *integ_http_response_header(const IntegHttpResponse *response, const char *name);

#endif /* INTEG_HTTP_HTTP_H */
