/*
 * URLs: composed with libcurl's parser, compared by origin. Free of PostgreSQL.
 */
#ifndef INTEG_HTTP_URL_H
#define INTEG_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The origin (scheme://host:port, lower case, default port left out) of an
 * absolute http or https URL, malloc'ed. NULL with a sentence in problem where the URL is
 * malformed, has another scheme, carries credentials or control characters.
 */
extern char *integ_url_origin(const char *url, char *problem, size_t size);

/*
 * base (an absolute URL, maybe with a path) joined with path (already percent-encoded
 * where it came from values; "" for none) and query (encoded, without '?'; NULL for none),
 * malloc'ed. The result has base's origin and a path that starts with base's path: a
 * path such as "@evil.example/", "//evil.example", "/../x" or "\\evil" is refused. NULL with a sentence in
 * problem otherwise.
 */
extern char *integ_url_compose(const char *base, const char *path, const char *query, char *problem,
							   size_t size);

/* Percent-encodes everything but RFC 3986 unreserved characters, malloc'ed. */
extern char *integ_url_encode(const char *value, size_t len);

#endif /* INTEG_HTTP_URL_H */
