/*
 * URLs: composed with libcurl's parser, compared by origin. Free of PostgreSQL.
 *
 * Everything here is stricter than RFC 3986, so that no two parsers (ours, libcurl's, a proxy's,
 * the service's) can read different things out of one URL.
 */
#ifndef INTEG_HTTP_URL_H
#define INTEG_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

/* Longest URL that is composed or requested, in bytes. */
#define INTEG_URL_MAX 16384

/*
 * The origin (scheme://host:port, lower case, default port left out, IPv6 literals in their canonical
 * form) of an absolute http or https URL, malloc'ed. NULL with a sentence in problem where
 * the URL is malformed or too long, has another scheme, carries credentials, control characters,
 * spaces or backslashes, port 0, or a host that is not ASCII (the xn-- form of a name is).
 * Source: RFC 6454, section 4; RFC 3986.
 */
extern char *integ_url_origin(const char *url, char *problem, size_t size);

/*
 * What integ_url_origin says of the text of a URL, without parsing its host and port: false with a sentence in problem
 * where it refuses. *authority is the length up to the path, query or end. For a URL that
 * begins as one whose origin is known.
 */
extern bool integ_url_check(const char *url, size_t *authority, char *problem, size_t size);

/*
 * base (an absolute URL, maybe with a path and a query) joined with path (already percent-encoded
 * where it came from values; "" for none; may carry a query) and query (encoded, without '?';
 * NULL for none), malloc'ed. origin is what integ_url_origin says of base, which saves parsing it again; NULL where
 * the caller does not know it. The result has base's origin and a path that starts with base's path: a
 * path such as "@evil.example/", "//evil.example", "/../x" or "\\evil" is refused, and so is a segment that
 * becomes "." or ".." once decoded. Queries of base, path and query follow each other in
 * this order. Characters that RFC 3986 does not allow as they stand (non-ASCII, quotes, braces)
 * are percent-encoded. NULL with a sentence in problem otherwise.
 */
extern char *integ_url_compose(const char *base, const char *origin, const char *path, const char *query,
							   char *problem, size_t size);

/*
 * A redirect's Location against the URL that was requested, malloc'ed, its fragment dropped.
 * NULL with a sentence in problem where the result is no URL that integ_url_origin accepts.
 */
extern char *integ_url_resolve(const char *url, const char *location, char *problem, size_t size);

/* Percent-encodes everything but RFC 3986 unreserved characters, malloc'ed; NULL when out of memory. */
extern char *integ_url_encode(const char *value, size_t len);

#endif /* INTEG_HTTP_URL_H */
