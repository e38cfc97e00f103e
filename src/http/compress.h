/*
 * Compression of request bodies. Free of PostgreSQL.
 */
#ifndef INTEG_HTTP_COMPRESS_H
#define INTEG_HTTP_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Below this a body is sent as it is: it fits a packet either way. */
#define INTEG_COMPRESS_MIN 1024

/*
 * The body in gzip (RFC 1952), malloc'ed; *out_len is set. NULL where it comes out no smaller (*out_len 0) or memory is
 * lacking (*out_len 1).
 */
extern char *integ_compress(const char *body, size_t len, size_t *out_len);

#endif /* INTEG_HTTP_COMPRESS_H */
