/*
 * The "format" keyword as an assertion. Free of PostgreSQL.
 */
#ifndef INTEG_SCHEMA_FORMAT_H
#define INTEG_SCHEMA_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

typedef enum IntegFormat
{
	INTEG_FORMAT_NONE, /* unknown: an annotation */
	INTEG_FORMAT_DATE_TIME,
	INTEG_FORMAT_DATE,
	INTEG_FORMAT_TIME,
	INTEG_FORMAT_DURATION,
	INTEG_FORMAT_EMAIL,
	INTEG_FORMAT_IDN_EMAIL,
	INTEG_FORMAT_HOSTNAME,
	INTEG_FORMAT_IPV4,
	INTEG_FORMAT_IPV6,
	INTEG_FORMAT_URI,
	INTEG_FORMAT_URI_REFERENCE,
	INTEG_FORMAT_IRI,
	INTEG_FORMAT_IRI_REFERENCE,
	INTEG_FORMAT_URI_TEMPLATE,
	INTEG_FORMAT_UUID,
	INTEG_FORMAT_JSON_POINTER,
	INTEG_FORMAT_RELATIVE_JSON_POINTER,
	INTEG_FORMAT_REGEX,
	INTEG_FORMAT_BYTE
} IntegFormat;

/* The format of a name ("date-time"), INTEG_FORMAT_NONE where it is not checked. */
extern IntegFormat integ_format_find(const char *name, size_t len);

/* The name of a format, for messages. */
extern const char *integ_format_name(IntegFormat format);

/*
 * Whether the text (UTF-8, not terminated) has the format. Sources: RFC 3339 (date-time,
 * date, time, duration), RFC 5321 and 6531 (email), RFC 1123 (hostname), RFC 3986 and 3987
 * (URIs, IRIs, addresses), RFC 6570 (uri-template), RFC 9562 (uuid), RFC 6901 (JSON Pointer), ECMA-262
 * (regex), RFC 4648 section 4 (byte).
 */
extern bool integ_format_valid(IntegFormat format, const char *text, size_t len);

#endif /* INTEG_SCHEMA_FORMAT_H */
