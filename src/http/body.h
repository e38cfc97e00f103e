/*
 * From the bytes of a body to text that PostgreSQL takes. Free of PostgreSQL.
 */
#ifndef INTEG_HTTP_BODY_H
#define INTEG_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>

/* Deepest nesting of arrays and objects that an answer may have: far beyond what services
 * send, far below what exhausts a stack. */
#define INTEG_BODY_MAX_DEPTH 128

typedef enum IntegBodyKind
{
	INTEG_BODY_EMPTY,
	INTEG_BODY_JSON,
	INTEG_BODY_TEXT,
	INTEG_BODY_BINARY
} IntegBodyKind;

typedef struct IntegMediaType
{
	char name[96];	  /* "application/json", lower case, no parameters; "" where absent or malformed */
	char charset[40]; /* lower case, unquoted; "" where none is given */
} IntegMediaType;

/*
 * Reads a Content-Type (RFC 9110, section 8.3.1); NULL gives empty names. What is too long for
 * its field counts as absent.
 */
extern void integ_media_type_parse(const char *content_type, IntegMediaType *type);

/*
 * What the body is: by its media type (application/json, text/json, anything +json; text/…, +xml and the
 * well-known textual application types; else binary); where none is given, by its first bytes.
 */
extern IntegBodyKind integ_body_kind(const char *content_type, const char *body, size_t len);

typedef enum IntegBodyStatus
{
	INTEG_BODY_OK,
	INTEG_BODY_TOO_DEEP, /* nested beyond INTEG_BODY_MAX_DEPTH */
	INTEG_BODY_CHARSET,	 /* declares an encoding that is not one of Unicode's */
	INTEG_BODY_NO_MEMORY
} IntegBodyStatus;

typedef struct IntegBodyText
{
	const char *text; /* valid UTF-8 without NUL bytes, NUL-terminated; into the body where nothing had to change */
	size_t len;
	char *owned;   /* malloc'ed text to free, NULL where text points into the body */
	bool replaced; /* something in it became U+FFFD */
} IntegBodyText;

/*
 * JSON text for jsonb_in out of a body, whose byte at body[len] must be NUL. UTF-8, UTF-16 and UTF-32 are read by their
 * byte order mark, else by the declared charset, else by the pattern of their first bytes (RFC
 * 4627, section 3). Invalid sequences, NUL bytes, and in strings \u0000 and lone surrogates become
 * U+FFFD. Whether it is JSON at all is left to jsonb_in. One pass, and no copy where nothing
 * changes. On a status other than INTEG_BODY_OK nothing is owned.
 */
extern IntegBodyStatus integ_body_to_json_text(const char *body, size_t len, const char *content_type,
											   IntegBodyText *text);

/* As above for a body that is text: no escapes are read and no depth is counted. */
extern IntegBodyStatus integ_body_to_text(const char *body, size_t len, const char *content_type,
										  IntegBodyText *text);

/* Makes bytes valid UTF-8 in their place: each byte of an invalid sequence becomes '?'. */
extern void integ_utf8_sanitize(char *bytes, size_t len);

#endif /* INTEG_HTTP_BODY_H */
